"""wss argmax"""

from wsscli.cli.options import command
from wsscli.steps.argmax import argmax as step

main = command(step)
