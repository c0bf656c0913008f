"""wss saliency"""

from wsscli.cli.options import command
from wsscli.steps.saliency import saliency as step

main = command(step)
