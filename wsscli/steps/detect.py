"""`wss detect`: objects found by a trained detector."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsscli.errors import UsageError
from wsscli.steps._attended import Cutter
from wsscli.steps._data import Data, data_ref, photos_or_data
from wsscli.steps._ledger import inherit
from wsscli.steps._run import Plan, Run, per_image

if TYPE_CHECKING:
    import torch

    from wsscli.data.dataset import Dataset
    from wsscli.maskdir.detections import Detected
    from wsscli.maskdir.writer import Output
    from wsscli.nets.ssd import SSD


def detect(
    model: Path,
    out: Path,
    *,
    images: Path | None = None,
    threshold: float = 0.01,
    nms: float = 0.45,
    most: int = 200,
    segment: Path | None = None,
    segment_threshold: float = 0.3,
    instances: bool = False,
    bf16: bool | None = None,
    device: str = "auto",
    data: Data = Data(),
    run: Run = Run(),
) -> Path:
    """Find objects with a detector of train-det: boxes, classes and scores, in OUT/boxes.json (COCO's results form).

    With --segment also masks of the images' classes, in OUT/masks; with --instances the mask of every box's object, in
    OUT/instances.json (COCO's results form, run-length coded).

    Args:
        model: The model directory that train-det wrote, or a dasnet of train-seg, whose detector it is then.
        out: The directory to write.
        images: A photo, or a folder of photos, instead of a data set.
        threshold: Leave out boxes with a score of at most this. Average precision looks at all of them; for looking at,
            0.3 to 0.5 is better.
        nms: Of two boxes of a class that overlap by more than this (intersection over union), the better one stays.
        most: At most so many boxes an image, the best ones.
        segment: A dasnet of train-seg: each class is segmented within the boxes found.
        segment_threshold: Masks are made from boxes with a score of at least this; --instances from all that are found.
        instances: Also cut out the object in every box; the dasnet must have learnt it (train-seg --instances).
        bf16: Compute in bfloat16; where the device has it when left out.
        device: auto, cpu, cuda, cuda:N or mps.

    Returns:
        The directory.

    Raises:
        UsageError: an option is out of its range.
        WssError: no trained detector, an image that cannot be read; a dasnet of other classes, or without instances.

    Source: Liu et al., SSD, section 3.
    """
    from wsscli.maskdir.manifest import Input
    from wsscli.nets.device import halve_convolutions, native_bf16, one_torch_thread, pick_device
    from wsscli.nets.store import check_use, load_dasnet, load_detector, model_manifest

    check_detecting(threshold, nms, most)
    if segment is None and (instances or segment_threshold != 0.3):
        raise UsageError(
            f"--{'instances' if instances else 'segment-threshold'}: needs a net that segments within boxes; add "
            "--segment MODEL"
        )
    if not 0 <= segment_threshold <= 1:
        raise UsageError(f"--segment-threshold {segment_threshold:g}: give 0 to 1")
    manifest = model_manifest(model)
    whole = (manifest.model or {}).get("arch") == "dasnet"
    if not whole:
        check_use(manifest, model, "detection")
    dataset = photos_or_data(images, data, manifest)
    ids = run.select(dataset.ids)
    chosen = pick_device(device)
    half = native_bf16(chosen) if bf16 is None else bf16
    net: SSD = load_dasnet(model, chosen).detector if whole else load_detector(model, chosen)
    if half:
        halve_convolutions(net)
    cutter = Cutter.of(segment, manifest, segment_threshold, instances=instances, bf16=half, device=chosen)
    plan = Plan(
        step="detect",
        out=out,
        kind="detections" if cutter is None else "masks+detections",
        options={
            "threshold": threshold, "nms": nms, "most": most, "size": net.size, "bf16": half, "device": chosen.type,
            **({} if cutter is None else {"segment_threshold": segment_threshold, "instances": instances}),
        },
        classes=net.classes,
        data=data_ref(dataset),
        split=dataset.split,
        inputs=[Input("model", str(model.resolve()), manifest.digest()), *(cutter.inputs() if cutter else [])],
        supervision=inherit(manifest, *([cutter.manifest] if cutter else [])),
    )  # fmt: skip
    work = partial(
        _detect, dataset=dataset, net=net, threshold=threshold, nms=nms, most=most, cutter=cutter, bf16=half,
        device=chosen,
    )  # fmt: skip
    with one_torch_thread():
        return per_image(plan, run, ids, work)


def check_detecting(threshold: float, nms: float, most: int) -> None:
    """Raises UsageError for a threshold, an overlap or a number of boxes out of its range."""
    if not 0 <= threshold < 1:
        raise UsageError(f"--threshold {threshold:g}: give 0 or more, below 1")
    if not 0 < nms <= 1:
        raise UsageError(f"--nms {nms:g}: give more than 0, at most 1")
    if most < 1:
        raise UsageError(f"--most {most}: give 1 or more")


def _detect(
    name: str, *, dataset: Dataset, net: SSD, threshold: float, nms: float, most: int, cutter: Cutter | None,
    bf16: bool, device: torch.device,
) -> Output:  # fmt: skip
    from wsscli.maskdir.detections import entries_of
    from wsscli.maskdir.writer import Output

    image = dataset.image(name)
    found = detections(net, image, threshold=threshold, nms=nms, most=most, bf16=bf16, device=device)
    out = Output(boxes=entries_of(name, found))
    if cutter is not None:
        out.mask, out.instances = cutter(name, image, found)
    return out


def detections(
    net: SSD,
    image: Any,
    *,
    threshold: float = 0.01,
    nms: float = 0.45,
    most: int = 200,
    bf16: bool = False,
    device: torch.device | str = "cpu",
) -> Detected:
    """What a detector finds in one image, best first.

    Args:
        net: in evaluation, on `device`.
        image: uint8 RGB (H,W,3); it is warped to the net's square.
        threshold, nms, most: see `detect`.
        bf16: compute in bfloat16.
        device: where the net is.
    """
    import numpy as np
    import torch

    from wsscli.maskdir.detections import Detected

    height, width = image.shape[:2]
    with torch.inference_mode():
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=bf16):
            found = net(net.backbone.normalise(warped(image, net.size, device)))
        in_float = type(found)(*(part.float() for part in found))
        (result,) = net.detections(in_float, threshold=threshold, nms=nms, most=most)
    boxes = result.boxes.double().cpu().numpy() * np.tile([width / net.size, height / net.size], 2)
    # what is thinner than a hundredth of a pixel would have no area in the file
    real = ((boxes[:, 2:] - boxes[:, :2]) >= 0.01).all(1)
    return Detected(boxes[real], result.labels.cpu().numpy()[real], result.scores.double().cpu().numpy()[real])


def warped(image: Any, size: int, device: torch.device | str) -> torch.Tensor:
    """An image uint8 (H,W,3) as a net's square, uint8 (1,3,size,size), channels last."""
    import torch

    from wsscli.train.augment import resize

    square = torch.from_numpy(resize(image, size, size)).permute(2, 0, 1)[None].to(device)
    return square.contiguous(memory_format=torch.channels_last)
