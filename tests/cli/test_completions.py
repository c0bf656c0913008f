import shutil
import subprocess
from pathlib import Path

import pytest

from wsscli.cli.app import COMMANDS
from wsscli.cli.completions import FILES, commands

STORED = Path(__file__).parents[2] / "completions"
LEAVES = [c for c in commands() if not c.below]


@pytest.mark.parametrize("name", FILES)
def test_stored_scripts_are_those_of_the_command_line(name):
    assert (STORED / name).read_text() == FILES[name](), "run `make docs`"


def test_every_command_has_its_options():
    assert {c.words[0] for c in commands()} == set(COMMANDS)
    for command in LEAVES:
        assert any("--help" in option.names for option in command.options)


def complete(*words):
    """What bash offers behind these words, the last one being typed."""
    script = (
        f"source {STORED / 'wss.bash'}\n"
        f"COMP_WORDS=({' '.join(repr(w) for w in words)})\nCOMP_CWORD={len(words) - 1}\n_wss\n"
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True, check=True, cwd="/"
    )
    return done.stdout.split()


def test_bash_offers_commands_options_and_values():
    assert set(complete("wss", "")) == set(COMMANDS) | {"--help", "--version"}
    assert complete("wss", "gra") == ["grabcut"]
    assert complete("wss", "crf", "x", "--eng") == ["--engine"]
    assert complete("wss", "crf", "x", "--engine", "") == ["lattice", "pydensecrf"]
    assert complete("wss", "export", "") == ["voc-server", "cam-npy"]
    assert "--overwrite" in complete("wss", "import", "masks", "--ov")
    assert "etc" in complete("wss", "eval", "et"), "paths where no option is typed"


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_can_read_theirs(shell):
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    name = "_wss" if shell == "zsh" else "wss.fish"
    subprocess.run([shell, "-n", str(STORED / name)], check=True)
