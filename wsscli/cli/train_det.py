"""wss train-det"""

from wsscli.cli.options import command
from wsscli.steps.train_det import train_det as step

main = command(step)
