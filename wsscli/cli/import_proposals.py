"""wss import proposals"""

from wsscli.cli.options import command
from wsscli.steps.import_proposals import import_proposals as step

main = command(step)
