"""wss export voc-server"""

from wsscli.cli.options import command
from wsscli.steps.export_voc_server import export_voc_server as step

main = command(step)
