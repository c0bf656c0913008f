"""wss methods"""

from __future__ import annotations

import json as json_module
import sys
from typing import Annotated

import typer

from wsscli.methods import METHODS


def main(
    json: Annotated[bool, typer.Option("--json", help="As one JSON document.")] = False,
) -> None:
    """List the methods: where each is used, what it does, and its paper."""
    if json:
        sys.stdout.write(json_module.dumps({name: row._asdict() for name, row in METHODS.items()}, indent=1) + "\n")
        return
    for name, row in METHODS.items():
        used = f"wss {row.step} {row.option}".rstrip()
        sys.stdout.write(f"{name}\n    {used}\n    {row.summary}\n    {row.source}\n")
