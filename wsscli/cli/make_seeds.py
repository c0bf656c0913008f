"""wss make-seeds"""

from wsscli.cli.options import command
from wsscli.steps.make_seeds import make_seeds as step

main = command(step)
