"""wss verify"""

from wsscli.cli.options import command
from wsscli.steps.verify import verify as step

main = command(step)
