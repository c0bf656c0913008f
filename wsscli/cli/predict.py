"""wss predict"""

from wsscli.cli.options import command
from wsscli.steps.predict import predict as step

main = command(step)
