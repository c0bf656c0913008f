"""wss export cam-npy"""

from wsscli.cli.options import command
from wsscli.steps.export_cam_npy import export_cam_npy as step

main = command(step)
