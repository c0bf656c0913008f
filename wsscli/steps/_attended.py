"""Segmenting with a dasnet: boxes first, then each class within its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsscli.errors import UsageError, WssError
from wsscli.steps._data import data_ref
from wsscli.steps._ledger import inherit
from wsscli.steps._options import flag
from wsscli.steps._run import Plan, Run, per_image

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from wsscli.data.dataset import Dataset
    from wsscli.maskdir.detections import Detected, Entry
    from wsscli.maskdir.manifest import Input, Manifest
    from wsscli.maskdir.scores import Scores
    from wsscli.maskdir.writer import Output
    from wsscli.nets.dasnet import DASNet

    Corners = NDArray[np.float32]

_BATCH = 16  # boxes that instances are cut out of at a time


@dataclass(frozen=True)
class Finding:
    """Options of predicting with a dasnet.

    Attributes:
        box_threshold: A detected box counts from this score on.
        box_nms: Of two boxes of a class that overlap more than this, the better one stays.
        true_boxes: The data set's boxes instead of detected ones: how good masks would be if the detector were perfect.
        boxes: With --true-boxes: boxes from this list instead of the data set's own (see `wss train-det`).
    """

    box_threshold: float = 0.3
    box_nms: float = 0.45
    true_boxes: bool = False
    boxes: Path | None = None


def predict_in_boxes(
    model: Path,
    out: Path,
    *,
    manifest: Manifest,
    dataset: Dataset,
    how: Finding,
    masks: bool,
    scores: bool,
    crf: bool,
    strange: Sequence[str],
    bf16: bool | None,
    device: str,
    run: Run,
) -> Path:
    """Segment images with a dasnet; see `predict`.

    Args:
        model: its directory.
        out: the directory to write.
        manifest: the model's.
        dataset: the photos.
        how: where the boxes come from.
        masks, scores, crf, bf16, device, run: as of every prediction.
        strange: options of predict that were given and that no dasnet takes.

    Raises:
        UsageError: an option that is not taken or is out of its range.
        WssError: images without boxes under `true_boxes`, or of other classes than the net's.
    """
    from wsscli.maskdir.manifest import Input
    from wsscli.nets.device import halve_convolutions, native_bf16, one_torch_thread, pick_device
    from wsscli.nets.store import load_dasnet
    from wsscli.steps._sources import check_table
    from wsscli.steps.train_det import box_inputs, with_boxes

    if strange:
        raise UsageError(f"{flag(strange[0])}: a dasnet does not take it; leave it out")
    if not 0 <= how.box_threshold <= 1:
        raise UsageError(f"--box-threshold {how.box_threshold:g}: give 0 to 1")
    if not 0 < how.box_nms <= 1:
        raise UsageError(f"--box-nms {how.box_nms:g}: give more than 0, at most 1")
    if how.boxes is not None and not how.true_boxes:
        raise UsageError("--boxes: are taken with --true-boxes only; add that, or leave --boxes out")
    dataset = with_boxes(dataset, how.boxes)
    if how.true_boxes and dataset.format == "images":
        raise WssError(
            f"{dataset.root}: photos alone have no true boxes; name a data set with --data, or leave --true-boxes out"
        )
    if how.true_boxes:
        check_table(manifest.classes, model, dataset.classes, dataset.root, class_free=False)
    ids = run.select(dataset.ids)
    chosen = pick_device(device)
    half = native_bf16(chosen) if bf16 is None else bf16
    net = load_dasnet(model, chosen)
    if half:
        halve_convolutions(net)
    plan = Plan(
        step="predict",
        out=out,
        kind="masks+scores" if masks and scores else "masks" if masks else "scores",
        options={
            "masks": masks, "scores": scores, "crf": crf, "true_boxes": how.true_boxes,
            **({} if how.true_boxes else {"box_threshold": how.box_threshold, "box_nms": how.box_nms}),
            "size": net.size, "bf16": half, "device": chosen.type,
        },
        classes=net.classes,
        data=data_ref(dataset),
        split=dataset.split,
        inputs=[Input("model", str(model.resolve()), manifest.digest()), *box_inputs(dataset)],
        supervision=inherit(manifest, add=["boxes"] if how.true_boxes else []),
        score_type="probability" if scores else None,
    )  # fmt: skip
    work = partial(
        _segment, dataset=dataset, net=net, boxes=_true_boxes(dataset) if how.true_boxes else None, how=how,
        masks=masks, scores=scores, crf=crf, bf16=half, device=chosen,
    )  # fmt: skip
    with one_torch_thread():
        return per_image(plan, run, ids, work)


def _true_boxes(dataset: Dataset) -> Callable[[str], tuple[Corners, NDArray[np.int64]]]:
    """What reads the boxes of an image, as shares of its sides, and their classes."""
    from wsscli.data.base import require_boxes

    def read(name: str) -> tuple[Corners, NDArray[np.int64]]:
        import numpy as np

        found = require_boxes(dataset, [name])[name]
        height, width = dataset.size(name)
        kept = ~found.crowd
        shares: Corners = (found.boxes[kept] / np.array([width, height, width, height])).astype(np.float32)
        return shares, found.labels[kept]

    return read


def _segment(
    name: str,
    *,
    dataset: Dataset,
    net: DASNet,
    boxes: Callable[[str], tuple[Corners, NDArray[np.int64]]] | None,
    how: Finding,
    masks: bool,
    scores: bool,
    crf: bool,
    bf16: bool,
    device: torch.device,
) -> Output:
    from wsscli.steps.predict import predicted

    image = dataset.image(name)
    look = Look(net, image, bf16=bf16, device=device)
    corners, labels = boxes(name) if boxes is not None else look.detected(how.box_threshold, how.box_nms)
    found = look.classes(corners, labels)
    return predicted(image, found, masks=masks, scores=scores, crf=crf)


@dataclass(frozen=True)
class Cutter:
    """What `detect --segment` adds to boxes: masks, and instances.

    Attributes:
        path: the dasnet's directory.
        manifest: its manifest.
        net: in evaluation, on `device`.
        threshold: masks are made from boxes with a score of at least this.
        instances: whether the object in every box is cut out.
        bf16: compute in bfloat16.
        device: where the net is.
    """

    path: Path
    manifest: Manifest
    net: DASNet
    threshold: float
    instances: bool
    bf16: bool
    device: torch.device

    @classmethod
    def of(
        cls,
        path: Path | None,
        detector: Manifest,
        threshold: float,
        *,
        instances: bool,
        bf16: bool,
        device: torch.device,
    ) -> Cutter | None:
        """Load the net; None where none is named.

        Raises:
            WssError: it is no dasnet, is of other classes than the detector, or has not learnt instances.
        """
        from wsscli.nets.device import halve_convolutions
        from wsscli.nets.store import load_dasnet, model_manifest
        from wsscli.steps._sources import check_table

        if path is None:
            return None
        manifest = model_manifest(path, arch="boxes")
        check_table(manifest.classes, path, detector.classes, Path("the detector"), class_free=False)
        net = load_dasnet(path, device)
        if instances and not net.has_instances:
            raise WssError(f"{path}: has not learnt instances; train it with `wss train-seg --arch dasnet --instances`")
        if bf16:
            halve_convolutions(net)
        return cls(path, manifest, net, threshold, instances, bf16, device)

    def inputs(self) -> list[Input]:
        """The net as an entry of the lineage."""
        from wsscli.maskdir.manifest import Input

        return [Input("segment", str(self.path.resolve()), self.manifest.digest())]

    def __call__(self, name: str, image: Any, found: Detected) -> tuple[NDArray[np.uint8], list[Entry] | None]:
        """The mask of an image (H,W), and the entries of its instances, one for every box, in their order."""
        import numpy as np

        from wsscli.evaluate.instances import encode
        from wsscli.maskdir.argmax import label_map

        height, width = image.shape[:2]
        boxes = (found.boxes / np.array([width, height, width, height])).astype(np.float32)
        look = Look(self.net, image, bf16=self.bf16, device=self.device)
        sure = found.scores >= self.threshold
        mask = label_map(look.classes(boxes[sure], found.labels[sure]))
        if not self.instances:
            return mask, None
        entries = []
        for cut, label, score in zip(look.instances(boxes), found.labels, found.scores.tolist(), strict=True):
            rle = encode(cut)
            coded = {"size": [int(side) for side in rle["size"]], "counts": rle["counts"].decode()}
            entry = {"image_id": name, "category_id": int(label), "segmentation": coded, "score": round(score, 5)}
            entries.append(entry)
        return mask, entries


class Look:
    """One image as a dasnet sees it: its features are found once, for boxes and for all classes.

    Args:
        net: in evaluation, on `device`.
        image: uint8 RGB (H,W,3); warped to the net's square.
        bf16: compute in bfloat16.
        device: where the net is.
    """

    def __init__(self, net: DASNet, image: Any, *, bf16: bool, device: torch.device | str) -> None:
        import torch

        from wsscli.steps.detect import warped

        self.net, self.size = net, (image.shape[0], image.shape[1])
        self.device, self.bf16 = torch.device(device), bf16
        with torch.inference_mode(), self._precision():
            self.maps = net.maps(net.backbone.normalise(warped(image, net.size, self.device)))

    def _precision(self) -> Any:
        import torch

        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    def detected(self, threshold: float, nms: float) -> tuple[Corners, NDArray[np.int64]]:
        """Boxes (n,4) as shares of the image's sides, and their classes (n,)."""
        import torch

        with torch.inference_mode():
            with self._precision():
                found = self.net.detector.found(self.maps)
            found = type(found)(*(part.float() for part in found))
            boxes, labels, _ = self.net.detector.detections(found, threshold=threshold, nms=nms)[0]
        return (boxes / self.net.size).cpu().numpy(), labels.cpu().numpy()

    def classes(self, boxes: Corners, labels: NDArray[np.int64]) -> Scores:
        """Probabilities of the background and of the boxes' classes, at the net's resolution.

        The classes' own foreground probabilities do not sum to 1. The background gets 1 less the largest of them, and
        all are divided by their sum: a class is the largest where its own is, if that exceeds 0.5.

        Args:
            boxes: (n,4), as shares of the image's sides.
            labels: (n,), their classes.

        Source: METHODS section 5; DASNet, section 3.5 (a max operation on all class-specific maps).
        """
        import numpy as np
        import torch

        from wsscli.maskdir.scores import Scores
        from wsscli.nets.dasnet import foreground

        present = np.unique(labels)
        most = max([1, *(int((labels == label).sum()) for label in present)])
        rows = np.zeros((len(present), most, 4), np.float32)
        for row, label in zip(rows, present, strict=True):
            mine = boxes[labels == label]
            row[: len(mine)] = mine
        side = self.net.size
        maps = torch.zeros(0, side, side)
        if len(present):
            given = torch.from_numpy(rows).to(self.device)
            with torch.inference_mode():
                with self._precision():
                    shared = [part.expand(len(present), -1, -1, -1) for part in self.maps]
                    logits = self.net.of_class(shared, given).logits
                maps = foreground(logits.float(), given).cpu()
        background = 1 - torch.cat([torch.zeros(1, side, side), maps]).amax(0, keepdim=True)
        every = torch.cat([background, maps])
        shares = (every / every.sum(0)).half().float().numpy()  # as a score file has them
        return Scores(shares, np.concatenate([[0], present]).astype(np.int64), self.size)

    def instances(self, boxes: Corners) -> list[NDArray[np.bool_]]:
        """The mask (H,W) of the object in each box, one box at a time.

        Args:
            boxes: (n,4), as shares of the image's sides.

        Source: DASNet, section 3.5, inference of instances.
        """
        import numpy as np
        import torch

        from wsscli.maskdir.scores import resize_maps

        masks: list[NDArray[np.bool_]] = []
        height, width = self.size
        for first in range(0, len(boxes), _BATCH):
            part = torch.from_numpy(np.ascontiguousarray(boxes[first : first + _BATCH], np.float32)).to(self.device)
            with torch.inference_mode(), self._precision():
                inside = self.net.of_box([m.expand(len(part), -1, -1, -1) for m in self.maps], part).float().cpu()
            for soft, box in zip(resize_maps(inside.numpy(), self.size), boxes[first : first + _BATCH], strict=True):
                x0, y0, x1, y1 = box * np.array([width, height, width, height], np.float32)
                frame = np.zeros(self.size, bool)
                frame[int(np.floor(y0)) : int(np.ceil(y1)), int(np.floor(x0)) : int(np.ceil(x1))] = True
                masks.append((soft > 0.5) & frame)
        return masks
