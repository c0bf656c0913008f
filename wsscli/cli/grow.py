"""wss grow"""

from wsscli.cli.options import command
from wsscli.steps.grow import grow as step

main = command(step)
