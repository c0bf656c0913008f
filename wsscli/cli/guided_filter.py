"""wss guided-filter"""

from wsscli.cli.options import command
from wsscli.steps.guided_filter import guided_filter as step

main = command(step)
