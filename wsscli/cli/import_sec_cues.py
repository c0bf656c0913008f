"""wss import sec-cues"""

from wsscli.cli.options import command
from wsscli.steps.import_sec_cues import import_sec_cues as step

main = command(step)
