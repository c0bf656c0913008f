"""wss crf"""

from wsscli.cli.options import command
from wsscli.steps.crf import crf as step

main = command(step)
