"""wss train-seg"""

from wsscli.cli.options import command
from wsscli.steps.train_seg import train_seg as step

main = command(step)
