"""wss train-cls"""

from wsscli.cli.options import command
from wsscli.steps.train_cls import train_cls as step

main = command(step)
