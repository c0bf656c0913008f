"""Every step killed (SIGKILL) at random moments and run again ends with an undisturbed run's bytes.

Twice a step here; `python benchmarks/killed.py` does it ten times.
"""

import random
import sys
from pathlib import Path

import pytest

from wsscli.data.generated import write_generated

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import killed
from killed import STEPS, finish, torture

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    root = tmp_path_factory.mktemp("killed")
    write_generated(root / "voc", preset="tiny")
    return {"voc": root / "voc"}


@pytest.fixture(scope="module")
def other_wss(start_wss):
    """With another seed of Python's hashes: the order of a set is no part of a result."""
    return start_wss()


# in the order of the chain, and all in one of pytest's workers (--dist=loadfile): each reads what those before have left
@pytest.mark.parametrize("step", STEPS)
def test_killed_and_run_again(places, step, warm_wss, other_wss, monkeypatch):
    words = [word.format(**{k: str(v) for k, v in places.items()}) for word in STEPS[step].split()]
    root = places["voc"].parent
    places[step] = root / step.replace(" ", "-")
    monkeypatch.setattr(killed, "WSS", [str(other_wss / "wss")])
    seconds = finish(words, places[step])
    monkeypatch.setattr(killed, "WSS", [str(warm_wss / "wss")])
    torture(words, places[step], root / f"{places[step].name}-torn", seconds, 2, random.Random(step))
