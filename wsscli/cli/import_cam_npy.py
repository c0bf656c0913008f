"""wss import cam-npy"""

from wsscli.cli.options import command
from wsscli.steps.import_cam_npy import import_cam_npy as step

main = command(step)
