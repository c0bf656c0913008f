"""Tables of docs/methods.md that are made from the code's own numbers.

They stand between `<!-- made: NAME -->` and `<!-- end -->`. `python -m wsscli.cli.tables docs/methods.md` writes them
anew (`make docs`); a test holds the page to them.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# name in a recipe -> (name in the table, option that overrides it)
_TRAINING = {
    "epochs": ("epochs", "--epochs"),
    "iterations": ("iterations", "--iterations"),
    "batch_size": ("batch size", "--batch-size"),
    "optimizer": ("optimiser", ""),
    "lr": ("learning rate", "--lr"),
    "schedule": ("schedule", "--schedule"),
    "weight_decay": ("weight decay", "--weight-decay"),
    "head_lr": ("head lr", "--head-lr"),
    "image_head_lr": ("head lr, image stage", ""),
    "bias_lr": ("bias lr", ""),
    "fast": ("head lr is for", ""),
    "crop_size": ("crop", "--crop-size"),
    "longer": ("longer side", "--size"),
    "scale": ("scale", "--scale-range"),
    "flip": ("flip", "--flip"),
    "expand": ("expand", "--expand"),
    "jitter": ("jitter", "--jitter"),
    "dropout": ("dropout", "--dropout"),
    "freeze": ("freeze", "--freeze"),
    "output_stride": ("output stride", "--output-stride"),
    "loss_step": ("loss step", "--loss-step"),
    "step_every": ("step: every", ""),
    "step_epochs": ("step: every, epochs", ""),
    "step_factor": ("step: times", ""),
}
_SEEDS = {
    "scales": ("scales", "--scales"),
    "flip": ("flip", "--flip"),
    "output_stride": ("output stride", "--output-stride"),
    "fg_rule": ("foreground rule", "--fg-rule"),
    "fg_threshold": ("foreground threshold", "--fg-threshold"),
    "bg_heat": ("heat of the background", "--bg-heat"),
}


def tables() -> dict[str, str]:
    """Name of a table -> its lines."""
    from wsscli.steps.make_seeds import RECIPES as SEEDS
    from wsscli.train.recipes import RECIPES

    commands = {
        "classification": "train-cls", "segmentation": "train-seg", "seeding": "on seeds",
        "self-guided": "--arch self-guided", "hcp": "--arch hcp", "student": "--arch student",
        "detection": "train-det", "dasnet": "--arch dasnet",
    }  # fmt: skip
    training = {f"{recipe}, {commands[task]}": values for (recipe, task), values in RECIPES.items()}
    return {"recipes": _table(training, _TRAINING), "seeds": _table(SEEDS, _SEEDS)}


def _table(columns: Mapping[str, Mapping[str, Any]], rows: dict[str, tuple[str, str]]) -> str:
    names = list(rows) + sorted({key for values in columns.values() for key in values} - set(rows))
    lines = [f"| | option | {' | '.join(columns)} |", "| --- " * (len(columns) + 2) + "|"]
    for name in names:
        absent = "the backbone's" if name == "output_stride" else ""
        cells = [_cell(values[name], name) if name in values else absent for values in columns.values()]
        if any(cells):
            shown, option = rows.get(name, (name, ""))
            lines.append(f"| {shown} | {f'`{option}`' if option else ''} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(value: Any, name: str) -> str:
    if value is None:
        return "the model's own" if name == "output_stride" else "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (tuple, list)):
        return " to ".join(f"{v:g}" for v in value) if name == "scale" else ", ".join(f"{v:g}" for v in value)
    if name == "longer" and value == 0:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)


def fill(page: str) -> str:
    """The page with its tables made anew."""
    for name, table in tables().items():
        pattern = rf"(<!-- made: {name} -->\n).*?(<!-- end -->)"
        page = re.sub(pattern, lambda found, table=table: f"{found[1]}{table}\n{found[2]}", page, flags=re.DOTALL)  # type: ignore[misc]
    return page


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(fill(path.read_text(encoding="utf-8")), encoding="utf-8")
