"""wss import masks"""

from wsscli.cli.options import command
from wsscli.steps.import_masks import import_masks as step

main = command(step)
