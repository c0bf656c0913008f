"""From speed.csv, which bench_steps.py, bench_train.py, bench_seeds.py and bench_predict.py fill: README's table, RESULTS' plots.

python benchmarks/speed.py        both anew; nothing of them is typed by hand
"""

from __future__ import annotations

import re

from bars import Bar, bar_plot
from rows import HERE, Row, read, table

README = HERE.parent / "README.md"
BEGIN, END = "<!-- speed, made by benchmarks/speed.py -->", "<!-- end of speed -->"
HEAD = [
    "step",
    "images/s",
    "alternative, one process",
    "its images/s",
    "times as fast",
    "2 workers over 1",
    "of its bare network",
]


def shown(row: Row) -> list[str]:
    """A line of README's table."""
    where = "" if row["device"] == "cpu" else f" ({row['device']})"
    rate, other = (
        f"{float(row[key]):g}" if row[key] else "-" for key in ("images_per_second", "alternative_per_second")
    )
    return [
        f"`{row['step']}`{where}", rate, row["alternative"] or "-", other,
        f"{float(row['ratio']):.3g}" if row["ratio"] else "-", row["scaling"] or "-", row["of_bare"] or "-",
    ]  # fmt: skip


def block(rows: list[Row]) -> str:
    """What stands in README between its two marks."""
    if not rows:
        return f"{BEGIN}\n{END}"
    return f"{BEGIN}\n{table(HEAD, [shown(row) for row in rows])}\n{END}"


def into_readme(rows: list[Row]) -> None:
    """Put the table in README.

    Raises:
        SystemExit: README has no place for it.
    """
    text = README.read_text(encoding="utf-8")
    changed, count = re.subn(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: block(rows), text, flags=re.DOTALL)
    if count != 1:
        raise SystemExit(f"{README}: the marks '{BEGIN}' and '{END}' must stand there once, in this order")
    README.write_text(changed, encoding="utf-8")


def sections() -> dict[str, str]:
    """Heading -> text for RESULTS.md; draws the plots."""
    rows = [row for row in read("speed.csv") if row["device"] == "cpu"]
    if not rows:
        return {}
    faster = [
        Bar(f"{row['step']} / {row['alternative']}", *(float(row[key]) for key in ("ratio", "ratio_low", "ratio_high")))
        for row in rows
        if row["ratio"]
    ]
    once = {row["step"]: row for row in rows if row["scaling"]}
    scaling = [
        Bar(
            name, *(float(row[key]) for key in ("scaling", "scaling_low", "scaling_high")),
            float(row["scaling_asked"]) if row["scaling_asked"] else None,
        )
        for name, row in once.items()
    ]  # fmt: skip
    text = "Drawn from `speed.csv` by `python benchmarks/speed.py`; the tables are under steps, train, seeds and predict below."
    for name, bars, title, log in (
        ("speed.svg", faster, "Images a second, times those of the alternative in one process (logarithmic)", True),
        ("scaling.svg", scaling, "Two workers over one; the mark is what is asked for", False),
    ):
        if bars:
            (HERE / name).write_text(bar_plot(bars, title=title, log=log), encoding="utf-8")
            text += f"\n\n![{title}]({name})"
    commands = dict.fromkeys(f"- {row['date']}: `{row['command']}`" for row in rows)
    return {"Speed": f"{text}\n\nCommands:\n\n" + "\n".join(commands)}


def main() -> None:
    from run import rewrite

    into_readme(read("speed.csv"))
    rewrite(sections())


if __name__ == "__main__":
    main()
