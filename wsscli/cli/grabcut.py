"""wss grabcut"""

from wsscli.cli.options import command
from wsscli.steps.grabcut import grabcut as step

main = command(step)
