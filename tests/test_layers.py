"""The rooms of the house: who may import whom, and what a command may load before it runs."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from wsscli.cli.app import COMMANDS

PACKAGE = Path(__file__).parents[1] / "wsscli"
FILES = sorted(PACKAGE.rglob("*.py"))
ARRAY_ROOMS = {"seeds", "grow", "refine", "saliency", "evaluate", "losses", "proposals"}
SHARED = {"errors", "classes", "progress", "launch"}
# room -> what it may import of wsscli beside itself and SHARED; None = anything below
ALLOWED = {
    "cli": None,
    "steps": {"maskdir", "data", "methods", "nets", "train", "report"} | ARRAY_ROOMS,
    "maskdir": {"data"},
    "data": {"maskdir"},
    "nets": {"maskdir", "data"},
    "train": {"nets", "losses", "evaluate", "refine", "grow", "maskdir", "data"},
    "report": set(),
    **dict.fromkeys(ARRAY_ROOMS, ARRAY_ROOMS),
}
HEAVY = ("torch", "numpy", "cv2", "scipy", "PIL", "numba", "skimage", "torchvision", "timm", "joblib")


def imports(path):
    """(module, at the top level of the file) of every import of a file."""
    tree = ast.parse(path.read_text())
    top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module, id(node) in top


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_downwards(path):
    room = path.relative_to(PACKAGE).parts[0]
    if room not in ALLOWED or ALLOWED[room] is None:
        return
    for module, _ in imports(path):
        parts = module.split(".")
        if parts[0] != "wsscli" or len(parts) == 1:
            continue
        assert parts[1] == room or parts[1] in SHARED | ALLOWED[room], f"{path.name} imports {module}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_the_command_line_prints(path):
    if path.relative_to(PACKAGE).parts[0] in ("cli", "__main__.py"):
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            assert name not in ("print", "sys.exit", "exit", "quit", "input"), f"{path.name}: {name}"
    for module, _ in imports(path):
        assert module.split(".")[0] not in ("typer", "rich", "click"), f"{path.name} imports {module}"


def test_no_file_is_longer_than_400_lines():
    long = {path.name: n for path in FILES if (n := len(path.read_text().splitlines())) > 400}
    assert not long


def test_init_files_are_empty():
    for path in PACKAGE.rglob("__init__.py"):
        body = ast.parse(path.read_text()).body
        code = [node for node in body if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))]
        names = {ast.unparse(target) for node in code if isinstance(node, ast.Assign) for target in node.targets}
        assert names <= {"__version__"} and len(code) == len(names), path


def leaves(table=COMMANDS, prefix=()):
    for name, (target, _) in table.items():
        if isinstance(target, dict):
            yield (*prefix, name)
            yield from leaves(target, (*prefix, name))
        else:
            yield (*prefix, name)


HELP = f"""
import contextlib, io, json, sys
from wsscli.cli.app import main

for words in json.loads(sys.argv[1]):
    sys.argv = ["wss", *words, "--help"]
    code, said = 0, io.StringIO()
    with contextlib.redirect_stdout(said):
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    print(json.dumps([words, code, said.getvalue(), [m for m in {HEAVY!r} if m in sys.modules]]))
"""


@pytest.fixture(scope="module")
def helps():
    """What `--help` of each command ends with, says and has loaded: one process for all, none of which may load anything."""
    words = [(), *leaves()]
    command = [sys.executable, "-c", HELP, json.dumps(words)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {tuple(words): rest for words, *rest in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("words", [(), *leaves()], ids=" ".join)
def test_help_loads_nothing_heavy(words, helps):
    code, said, heavy = helps[words]
    assert code == 0
    assert not heavy, "by this command or one before it"
    assert "Usage: wss" in said
