"""wss propose"""

from wsscli.cli.options import command
from wsscli.steps.propose import propose as step

main = command(step)
