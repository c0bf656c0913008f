"""wss show"""

from wsscli.cli.options import command
from wsscli.steps.show import show as step

main = command(step)
