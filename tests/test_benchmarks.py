"""What benchmarks write by themselves: rows of measured figures, README's table, plots. Their figures are not tested here."""

import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from wsscli.cli.completions import commands

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import bars
import common
import rows
import speed

ROOT = Path(__file__).parents[1]
ROW = {
    "step": "crf", "device": "cpu", "images_per_second": "12", "alternative": "pydensecrf", "alternative_per_second": "2",
    "ratio": "6.01", "ratio_low": "5.5", "ratio_high": "6.2", "scaling": "1.9", "scaling_low": "1.8", "scaling_high": "2",
    "scaling_asked": "1.8", "date": "2026-11-21", "command": "python benchmarks/bench_steps.py",
}  # fmt: skip


@pytest.fixture
def here(tmp_path, monkeypatch):
    for module in (rows, speed):
        monkeypatch.setattr(module, "HERE", tmp_path)
    return tmp_path


def test_rows_take_the_place_of_those_with_the_same_keys_and_keep_what_they_do_not_say(here):
    rows.put("speed.csv", ("step", "device"), ROW, ROW | {"step": "grow"})
    rows.note("speed.csv", {"step": "crf", "device": "cpu"}, of_bare="0.95")
    rows.put("speed.csv", ("step", "device"), ROW | {"alternative": "first"}, ROW | {"alternative": "second"})
    found = [(row["step"], row["alternative"], row["of_bare"]) for row in rows.read("speed.csv")]
    assert found == [("crf", "first", "0.95"), ("crf", "second", "0.95"), ("grow", "pydensecrf", "")]


def test_a_note_on_a_row_that_is_not_there_makes_one(here):
    rows.note("speed.csv", {"step": "predict", "device": "cuda"}, of_bare="0.9")
    (row,) = rows.read("speed.csv")
    assert (row["step"], row["device"], row["of_bare"], row["ratio"]) == ("predict", "cuda", "0.9", "")


def test_readmes_table_is_made_of_the_rows(here, monkeypatch):
    readme = here / "README.md"
    readme.write_text(f"before\n{speed.BEGIN}\nold\n{speed.END}\nafter\n")
    monkeypatch.setattr(speed, "README", readme)
    rows.put("speed.csv", ("step", "device"), ROW)
    speed.into_readme(rows.read("speed.csv"))
    text = readme.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text
    assert "| `crf` | 12 | pydensecrf | 2 | 6.01 | 1.9 | - |" in text
    readme.write_text("no place for it")
    with pytest.raises(
        SystemExit, match=re.escape(f"{readme}: the marks '{speed.BEGIN}' and '{speed.END}' must stand")
    ):
        speed.into_readme(rows.read("speed.csv"))


def test_readme_holds_the_figures_of_speed_csv():
    assert speed.block(rows.read("speed.csv")) in (ROOT / "README.md").read_text(), "run python benchmarks/speed.py"


def test_the_plots_hold_every_row(here):
    rows.put(
        "speed.csv", ("step", "device"), ROW, ROW | {"step": "slow", "ratio": "0.5", "ratio_low": "0.4", "scaling": ""}
    )
    (text,) = speed.sections().values()
    assert "![" in text and "(speed.svg)" in text and "python benchmarks/bench_steps.py" in text
    drawn = ElementTree.parse(here / "speed.svg").getroot()
    assert {"crf / pydensecrf", "slow / pydensecrf"} <= set(drawn.itertext())
    assert "slow" not in set(ElementTree.parse(here / "scaling.svg").getroot().itertext())  # nothing was measured


def test_bars_below_one_lie_to_the_left_of_it():
    drawn = ElementTree.fromstring(
        bars.bar_plot([bars.Bar("half", 0.5, 0.4, 0.6), bars.Bar("ten", 10, 9, 11)], title="t", log=True)
    )
    half, ten = [r for r in drawn.iter() if r.tag.endswith("rect")][1:]
    assert float(half.get("x")) + float(half.get("width")) == pytest.approx(float(ten.get("x")), abs=0.2)


def test_ratios_are_of_the_same_round():
    slow, fast = [common.Took(2, 1), common.Took(9, 1)], [common.Took(1, 2), common.Took(3, 4)]
    assert common.ratios(slow, fast) == [2, 3] and common.ratios(slow, fast, 1) == [0.5, 0.25]
    assert common.spread([2, 3, 7]) == "3.00 (2.00-7.00)"


def test_every_command_is_timed_or_named_as_not():
    import bench_steps
    import bench_train

    timed = {name.split(" --")[0] for name in (*bench_steps.CASES, *bench_train.CASES)}
    known = {" ".join(command.words) for command in commands() if not command.below}
    assert not timed & set(bench_steps.UNTIMED)
    assert timed | set(bench_steps.UNTIMED) == known
