"""What weights a training starts from: `--init`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wsscli.errors import WssError

if TYPE_CHECKING:
    from wsscli.maskdir.manifest import Input
    from wsscli.nets.store import Net


@dataclass(frozen=True)
class Init:
    """Where weights come from.

    Attributes:
        kind: as it stands in the manifest: `imagenet`, `none`, `file` or `model`.
        paths: the file, or the model directories: what the first one lacks is looked for in the next.
    """

    kind: str
    paths: tuple[Path, ...] = ()

    @classmethod
    def of(cls, text: str) -> Init:
        """What `--init` says.

        Raises:
            WssError: it is neither a word nor a path that exists.
        """
        if text in ("imagenet", "none"):
            return cls(text)
        whole = Path(text)
        paths = (whole,) if whole.exists() else tuple(Path(part.strip()) for part in text.split(","))
        for path in paths:
            if len(paths) > 1 and (not path.is_dir() or path == Path()):
                raise WssError(f"--init {text}: '{path}' is no directory; each part of a list is a model directory")
            if not text or not path.exists():
                known = "imagenet, none, a weights file or a model directory"
                raise WssError(f"--init {text}: no such file or directory; give {known}")
        return cls("model" if paths[0].is_dir() else "file", paths)

    @property
    def backbone(self) -> str:
        """What the backbone itself is built with; the weights of a model directory come after (`load`)."""
        return "none" if self.kind == "model" else str(self.paths[0]) if self.paths else self.kind

    def load(self, model: Net) -> None:
        """Take the tensors of the model directories, where it is those."""
        from wsscli.nets.store import init_from

        if self.kind == "model":
            init_from(model, *self.paths)

    def rates(self, branches: int, stride: int) -> tuple[int, ...] | None:
        """Dilations for a net with so many branches at this output stride, as the model directories have them.

        Weights learnt at one dilation mean little at another. None where no model says.
        """
        from wsscli.nets.segmenter import RATES, rates_at
        from wsscli.nets.store import model_manifest

        for path in self.paths if self.kind == "model" else ():
            config = model_manifest(path).model or {}
            found = config.get("rates") or RATES.get(str(config.get("arch")))
            if found is not None and len(found) == branches:
                return rates_at(found, config["output_stride"], stride)
        return None

    def inputs(self) -> list[Input]:
        """Entries of the lineage."""
        from wsscli.maskdir.manifest import Input
        from wsscli.maskdir.maskdir import input_file
        from wsscli.nets.store import model_manifest

        if self.kind == "model":
            roles = ["init", *(f"init-{k}" for k in range(2, len(self.paths) + 1))]  # a resumed run looks them up
            return [
                Input(role, str(path.resolve()), model_manifest(path).digest())
                for role, path in zip(roles, self.paths, strict=True)
            ]
        return [input_file("init", path) for path in self.paths]

    def supervision(self) -> list[str]:
        """Entries of the ledger: the earlier models', or an unknown file's."""
        from wsscli.nets.store import model_manifest

        if self.kind == "model":
            return [entry for path in self.paths for entry in model_manifest(path).supervision]
        return [f"external-model:{path.name}" for path in self.paths]
