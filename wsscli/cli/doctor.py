"""wss doctor"""

from __future__ import annotations

import json as json_module
import sys
from typing import Annotated

import typer

from wsscli.errors import WssError
from wsscli.steps.doctor import doctor

MARKS = {"ok": "ok     ", "missing": "without", "broken": "BROKEN "}


def main(
    json: Annotated[bool, typer.Option("--json", help="As one JSON document.")] = False,
) -> None:
    """Say what works on this machine and what does not, a sentence each; exit code 1 when something is broken."""
    findings = doctor()
    if json:
        sys.stdout.write(json_module.dumps([f._asdict() for f in findings], indent=1) + "\n")
    else:
        for finding in findings:
            sys.stdout.write(f"{MARKS[finding.state]}  {finding.name}: {finding.sentence}\n")
    broken = [finding.name for finding in findings if finding.state == "broken"]
    if broken:
        raise WssError(f"broken: {', '.join(broken)}; what to do stands above")
