"""wss detect"""

from wsscli.cli.options import command
from wsscli.steps.detect import detect as step

main = command(step)
