"""wss refine-round"""

from wsscli.cli.options import command
from wsscli.steps.refine_round import refine_round as step

main = command(step)
