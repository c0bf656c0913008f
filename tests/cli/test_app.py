import os
import subprocess
import sys

import pytest
import typer

import wsscli
from wsscli.cli.app import COMMANDS, load, main
from wsscli.errors import FailUnderError, PartialError, UsageError, WssError

WSS = [sys.executable, "-m", "wsscli"]


def wss(*words, **more):
    return subprocess.run([*WSS, *map(str, words)], capture_output=True, text=True, check=False, **more)


def test_version():
    assert wss("--version").stdout == f"wss {wsscli.__version__}\n"


def test_no_command_shows_the_commands():
    done = wss()
    assert all(name in done.stdout + done.stderr for name in COMMANDS)


def test_an_unknown_command_is_a_usage_error():
    done = wss("segment")
    assert done.returncode == 2 and "No such command 'segment'" in done.stderr and done.stdout == ""


def test_an_unknown_option_is_a_usage_error():
    done = wss("crf", "x", "-o", "y", "--steam")
    assert done.returncode == 2 and "--steam" in done.stderr and done.stdout == ""


def test_errors_are_one_line_on_stderr(tmp_path):
    done = wss("crf", tmp_path / "none", "-o", tmp_path / "out")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == f"wss: error: {tmp_path / 'none'}: no such directory\n"
    assert not (tmp_path / "out").exists()


def test_of_several_processes_the_first_speaks_for_itself_and_the_others_by_name(tmp_path):
    second = os.environ | {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}
    failing = ["crf", tmp_path / "none", "-o", tmp_path / "out"]
    done = wss(*failing, env=second)
    assert done.stderr == f"wss: error: rank 1 of 2: {tmp_path / 'none'}: no such directory\n" and done.returncode == 1
    assert wss(*failing, env=second | {"RANK": "0"}).stderr == wss(*failing).stderr
    wrong = ["train-det", "--dropout", "0.5", "-o", tmp_path / "out"]  # of the call itself: every process finds it
    done = wss(*wrong, env=second)
    assert (done.returncode, done.stderr, done.stdout) == (2, "", "")
    done = wss(*wrong, env=second | {"RANK": "0"})
    assert (done.returncode, done.stderr) == (2, "wss: error: --dropout: a detector has none; leave it out\n")


def test_exit_codes():
    assert [e.exit_code for e in (WssError, UsageError, PartialError, FailUnderError)] == [1, 2, 3, 4]


def test_a_stopped_command_says_how_it_goes_on(monkeypatch, capsys):
    def stopped() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("wsscli.cli.methods.main", stopped)
    monkeypatch.setattr(sys, "argv", ["wss", "methods"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 130
    assert capsys.readouterr().err == "wss: stopped\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("-o out", "wss: stopped; the same command goes on from here\n"),
        ("-o out --overwrite", "wss: stopped; the same command without --overwrite goes on from here\n"),
    ],
)
def test_what_begins_anew_does_not_go_on(monkeypatch, capsys, words, said):
    def stopped(out: str = typer.Option(..., "-o"), overwrite: bool = False) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("wsscli.cli.crf.main", stopped)
    monkeypatch.setattr(sys, "argv", ["wss", "crf", *words.split()])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().err == said


def test_methods_lists_every_row():
    from wsscli.methods import METHODS

    said = wss("methods").stdout
    assert all(name in said for name in METHODS)


@pytest.mark.parametrize("name", [n for n, (t, _) in COMMANDS.items() if isinstance(t, str)])
def test_the_summary_in_the_list_is_a_short_form_of_the_command(name):
    assert load(name).help, f"wss {name} has no words of its own"


def test_help_is_quick():
    """What it takes beside its library (0.1 s on a quiet machine); in processor time, so that a busy one does not fail it."""
    library = [sys.executable, "-c", "import typer.main, typer.rich_utils, rich.markdown"]

    def seconds(command):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as child:
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
        assert child.returncode == 0
        return usage.ru_utime + usage.ru_stime

    assert min(seconds([*WSS, "train-cls", "--help"]) for _ in range(3)) < 3 * min(seconds(library) for _ in range(3))


def test_a_closed_pipe_is_no_traceback():
    line = f"{sys.executable} -m wsscli methods | head -c 1"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
