"""The command line: a table of subcommands, loaded only when they are called, and what happens to errors."""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from wsscli import __version__
from wsscli.errors import ToldElsewhereError, UsageError, WssError
from wsscli.launch import Launch, launched

STOPPED = 130  # exit code of a command that Ctrl-C has ended
# name -> (module, summary); a nested table in place of the module makes a group. Plain data: listing loads nothing.
Table = dict[str, tuple[Any, str]]
COMMANDS: Table = {
    "demo": ("wsscli.cli.demo", "Run the whole chain on a small generated data set and make a report."),
    "train-cls": ("wsscli.cli.train_cls", "Train an image classifier from image-level labels."),
    "make-seeds": ("wsscli.cli.make_seeds", "Class activation maps and hard seeds from a classifier."),
    "saliency": ("wsscli.cli.saliency", "Unsupervised saliency maps of photos."),
    "propose": ("wsscli.cli.propose", "Ranked region proposals of photos: masks of what may be an object."),
    "argmax": ("wsscli.cli.argmax", "Turn score maps into masks, without any refinement."),
    "crf": ("wsscli.cli.crf", "Refine scores or masks with a fully connected CRF."),
    "grabcut": ("wsscli.cli.grabcut", "Refine masks with GrabCut."),
    "guided-filter": ("wsscli.cli.guided_filter", "Refine scores or masks with the guided filter."),
    "grow": ("wsscli.cli.grow", "Grow seeds into confident pixels of score maps (DSRG)."),
    "train-seg": ("wsscli.cli.train_seg", "Train a segmentation network on a mask directory."),
    "train-det": ("wsscli.cli.train_det", "Train an object detector from boxes."),
    "detect": ("wsscli.cli.detect", "Find objects with a trained detector."),
    "predict": ("wsscli.cli.predict", "Segment images with a trained network."),
    "refine-round": ("wsscli.cli.refine_round", "Refine masks by networks that learn from them, round by round."),
    "eval": ("wsscli.cli.eval", "Score masks, seeds or score maps against true masks."),
    "show": ("wsscli.cli.show", "Overlays of masks and scores as PNGs or one HTML page."),
    "verify": ("wsscli.cli.verify", "Check a mask directory: manifest, ids, sizes, values, digests."),
    "import": (
        {
            "masks": ("wsscli.cli.import_masks", "Turn a folder of masks (indexed or RGB) into a mask directory."),
            "cam-npy": ("wsscli.cli.import_cam_npy", "Turn CAM dictionaries (.npy) of other code into cam scores."),
            "proposals": ("wsscli.cli.import_proposals", "Turn MCG's .mat files or COCO RLE json into proposals."),
            "sec-cues": ("wsscli.cli.import_sec_cues", "Turn the seed file of SEC or DSRG into a mask directory."),
        },
        "Bring other tools' files into mask directories.",
    ),
    "export": (
        {
            "voc-server": ("wsscli.cli.export_voc_server", "Pack predictions for PASCAL VOC's test server."),
            "cam-npy": ("wsscli.cli.export_cam_npy", "Write cam scores as CAM dictionaries (.npy) for other code."),
        },
        "Pack mask directories for other tools.",
    ),
    "methods": ("wsscli.cli.methods", "List the methods, their options and their papers."),
    "doctor": ("wsscli.cli.doctor", "Say what works on this machine and what does not."),
}


class LazyGroup(TyperGroup):
    """A group whose commands are imported when they are called, not when they are listed."""

    table: Table

    def list_commands(self, ctx: Any) -> list[str]:
        del ctx
        return list(self.table)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A stub that knows its name and summary: enough for the list of commands."""
        del ctx
        if cmd_name not in self.table:
            return None
        return TyperCommand(cmd_name, callback=_nothing, help=self.table[cmd_name][1])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, _, rest = super().resolve_command(ctx, args)
        return name, load(str(name), self.table), rest


def _nothing() -> None:
    """Stubs are never called."""


def load(name: str, table: Table | None = None) -> Any:
    """The real command (or group) of this name, its module imported."""
    target, summary = (COMMANDS if table is None else table)[name]
    if isinstance(target, dict):
        return _group(target, summary, name)
    single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    single.command(name=name)(import_module(target).main)
    return typer.main.get_command(single)


def _group(table: Table, summary: str, name: str | None = None) -> Any:
    bound = type("Bound", (LazyGroup,), {"table": table})
    app = typer.Typer(
        name=name, cls=bound, no_args_is_help=True, add_completion=False, help=summary, pretty_exceptions_enable=False
    )
    app.callback()(_version_callback if table is COMMANDS else _nothing)
    return typer.main.get_group(app)


def _print_version(value: bool) -> None:
    if value:
        sys.stdout.write(f"wss {__version__}\n")
        raise typer.Exit


def _version_callback(
    version: bool = typer.Option(False, "--version", callback=_print_version, is_eager=True, help="Print the version."),
) -> None:
    del version


def _stop(number: int, frame: object) -> None:
    del number, frame
    raise KeyboardInterrupt


def _speaker(launch: Launch | None) -> str:
    """What stands before a message; of several processes all but the first name themselves."""
    return "" if launch is None or launch.rank == 0 else f"{launch}: "


def _resumable(words: list[str]) -> bool:
    """Whether a command fills a directory image by image, or keeps checkpoints."""
    return words[:1] not in (["show"], ["demo"], ["export"]) and not {"-o", "--out"}.isdisjoint(words)


def _again(message: str) -> str:
    """The message, of a command that would take away what it has done itself."""
    return message.replace("same command", "same command without --overwrite") if "--overwrite" in sys.argv else message


def main() -> None:
    """The entry point `wss`: errors become one line on stderr and an exit code."""
    launch = None
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads are 3-4x slower beside another process
    summary = "Weakly-supervised semantic segmentation. Every step reads and writes mask directories."
    try:
        launch = launched()
        if launch is not None and launch.world > 1:
            signal.signal(signal.SIGTERM, _stop)  # so a launcher ends all processes when one has failed
        _group(COMMANDS, summary)(prog_name="wss")
    except WssError as error:
        message = _again(" ".join(str(error).split()))
        # what is wrong with the call itself is wrong in every process
        if not isinstance(error, ToldElsewhereError) and not (_speaker(launch) and isinstance(error, UsageError)):
            sys.stderr.write(f"wss: error: {_speaker(launch)}{message}\n")
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, SystemExit) as error:
        if isinstance(error, SystemExit) and error.code != STOPPED:  # which Typer makes of the former
            raise
        goes_on = "; the same command goes on from here" if _resumable(sys.argv[1:]) else ""
        sys.stderr.write(f"wss: {_speaker(launch)}stopped{_again(goes_on)}\n")
        sys.exit(STOPPED)
    except BrokenPipeError:  # the reader of our result is gone: nothing is left to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)


if __name__ == "__main__":
    main()
