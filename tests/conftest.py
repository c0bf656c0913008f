"""What tests of several rooms share."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

# how long an example takes is the machine's load
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

WARM = Path(__file__).with_name("warm_wss.py")


@pytest.fixture(scope="session")
def start_wss(tmp_path_factory):
    """Makes folders for the front of PATH: the `wss` there does not load torch anew for each command (warm_wss.py)."""
    servers = []
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}

    def start():
        folder = tmp_path_factory.mktemp("wss")
        command = [sys.executable, WARM, "serve", folder / "socket"]
        server = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        servers.append(server)
        assert server.stdout.readline() == b"ready\n"
        words = [sys.executable, "-IS", WARM, "call", folder / "socket"]
        (folder / "wss").write_text(f'#!/bin/sh\nexec {shlex.join(map(str, words))} "$@"\n')
        (folder / "wss").chmod(0o755)
        return folder

    yield start
    for server in servers:
        server.communicate()


@pytest.fixture(scope="session")
def warm_wss(start_wss):
    return start_wss()
