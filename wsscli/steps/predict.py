"""`wss predict`: segment images with a trained net."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wsscli.errors import UsageError, WssError
from wsscli.steps._attended import Finding, predict_in_boxes
from wsscli.steps._data import Data, data_ref, photos_or_data
from wsscli.steps._ledger import inherit
from wsscli.steps._options import changed, flag
from wsscli.steps._run import Plan, Run, per_image

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from wsscli.data.dataset import Dataset
    from wsscli.maskdir.scores import Scores
    from wsscli.maskdir.writer import Output
    from wsscli.nets.store import Segmenter


def predict(
    model: Path,
    out: Path,
    *,
    images: Path | None = None,
    masks: bool = True,
    scores: bool = False,
    scales: tuple[float, ...] = (1.0,),
    flip: bool = False,
    crf: bool = False,
    labels_only: bool = False,
    size: int | None = None,
    output_stride: int | None = None,
    bf16: bool | None = None,
    device: str = "auto",
    finding: Finding = Finding(),
    data: Data = Data(),
    run: Run = Run(),
) -> Path:
    """Segment images with a net of train-seg: masks, probabilities, or both.

    A dasnet finds boxes first and each class in its own; it sees the whole photo, warped to its square.

    Args:
        model: The model directory that train-seg wrote.
        out: The directory to write.
        images: A photo, or a folder of photos without labels, instead of a data set.
        masks: Write masks.
        scores: Write probabilities at twice the net's resolution too (a dasnet's at its square's); masks are their
            argmax (before --crf).
        scales: Sizes that the net sees an image at, as multiples of --size; probabilities are averaged.
        flip: Average over the mirror image too.
        crf: Refine the masks with the fully connected CRF (`wss crf` has its options).
        labels_only: Only the classes of an image's labels, and the background.
        size: Pixels of an image's longer side at scale 1; the training's when left out.
        output_stride: Another output stride than in training: smaller is finer and slower.
        bf16: Compute in bfloat16; where the device has it when left out.
        device: auto, cpu, cuda, cuda:N or mps.

    Returns:
        The directory.

    Raises:
        UsageError: an option is out of its range.
        WssError: no trained net, images without labels under --labels-only, an image that cannot be read.
    """
    from wsscli.maskdir.manifest import Input
    from wsscli.nets.device import halve_convolutions, native_bf16, one_torch_thread, pick_device
    from wsscli.nets.store import check_use, load_segmenter, model_manifest

    if not masks and not scores:
        raise UsageError("--no-masks without --scores: nothing to write; add --scores")
    if crf and not masks:
        raise UsageError("--crf refines masks; leave --no-masks out")
    if size is not None and size < 32:
        raise UsageError(f"--size {size}: give 32 or more")
    if not scales or min(scales) < 0.25 or max(scales) > 4:
        raise UsageError(f"--scales {','.join(f'{scale:g}' for scale in scales)}: give one or more from 0.25 to 4")
    manifest = model_manifest(model)
    if (manifest.model or {}).get("arch") == "dasnet":
        asked = {
            "scales": scales != (1.0,), "flip": flip, "labels_only": labels_only, "size": size,
            "output_stride": output_stride,
        }  # fmt: skip
        strange = [name for name, given in asked.items() if given]
        return predict_in_boxes(
            model, out, manifest=manifest, dataset=photos_or_data(images, data, manifest), how=finding, masks=masks,
            scores=scores, crf=crf, strange=strange, bf16=bf16, device=device, run=run,
        )  # fmt: skip
    check_use(manifest, model, "segmentation")
    if changed(finding):
        raise UsageError(f"{flag(changed(finding)[0])}: only a dasnet takes it; leave it out")
    dataset = photos_or_data(images, data, manifest)
    ids = run.select(dataset.ids)
    chosen = pick_device(device)
    half = native_bf16(chosen) if bf16 is None else bf16
    net = load_segmenter(model, chosen, output_stride=output_stride)
    net.size = size or net.size
    if half:
        halve_convolutions(net)
    labels = _labels(dataset, ids, net) if labels_only else None
    plan = Plan(
        step="predict",
        out=out,
        kind="masks+scores" if masks and scores else "masks" if masks else "scores",
        options={
            "masks": masks, "scores": scores, "scales": list(scales), "flip": flip, "crf": crf,
            "labels_only": labels_only, "size": net.size, "output_stride": net.backbone.stride, "bf16": half,
            "device": chosen.type,
        },
        classes=net.classes,
        data=data_ref(dataset),
        split=dataset.split,
        inputs=[Input("model", str(model.resolve()), manifest.digest())],
        supervision=inherit(manifest, add=["image-labels"] if labels_only else []),
        score_type="probability" if scores else None,
    )  # fmt: skip
    work = partial(
        _segment, dataset=dataset, net=net, labels=labels, masks=masks, scores=scores, scales=scales, flip=flip,
        crf=crf, bf16=half, device=chosen,
    )  # fmt: skip
    with one_torch_thread():
        return per_image(plan, run, ids, work)


def _labels(dataset: Dataset, ids: list[str], net: Any) -> Mapping[str, tuple[int, ...]]:
    from wsscli.classes import FOREGROUND
    from wsscli.data.dataset import require_labels

    if net.classes == FOREGROUND != dataset.classes:
        raise WssError("--labels-only: the net tells foreground from background and knows no classes; leave it out")
    if dataset.classes != net.classes:
        raise WssError(
            f"--labels-only: {dataset.root} has other classes than the net ({len(dataset.classes)} and "
            f"{len(net.classes)}); give the net's with --class-names {','.join(net.classes.foreground[:3])},..."
        )
    return require_labels(dataset, ids)


def _segment(
    name: str,
    *,
    dataset: Dataset,
    net: Segmenter,
    labels: Mapping[str, tuple[int, ...]] | None,
    masks: bool,
    scores: bool,
    scales: tuple[float, ...],
    flip: bool,
    crf: bool,
    bf16: bool,
    device: torch.device,
) -> Output:
    image = dataset.image(name)
    classes = None if labels is None else (0, *labels[name])
    found = probabilities(net, image, classes, scales=scales, flip=flip, bf16=bf16, device=device)
    return predicted(image, found, masks=masks, scores=scores, crf=crf)


def predicted(image: Any, found: Scores, *, masks: bool, scores: bool, crf: bool) -> Output:
    """What is written of an image (H,W,3) and its probabilities."""
    from wsscli.maskdir.argmax import label_map
    from wsscli.maskdir.writer import Output

    mask = None
    if crf:
        mask = _refined(image, found)
    elif masks:
        mask = label_map(found)
    return Output(mask=mask, scores=found if scores else None)


def probabilities(
    net: Segmenter,
    image: Any,
    classes: tuple[int, ...] | None = None,
    *,
    scales: tuple[float, ...] = (1.0,),
    flip: bool = False,
    bf16: bool = False,
    device: torch.device | str = "cpu",
) -> Scores:
    """A net's class probabilities of one image, as a score file has them (rounded to float16).

    Args:
        net: in evaluation, on `device`.
        image: uint8 RGB (H,W,3).
        classes: only these ids, ascending, their probabilities made to sum to 1; None for all.
        scales: multiples of `net.size`; probabilities are averaged.
        flip: average over the mirror image too.
        bf16: compute in bfloat16.
        device: where the net is.
    """
    import torch

    from wsscli.maskdir.scores import Scores
    from wsscli.seeds.multiscale import multiscale
    from wsscli.train.augment import resize

    height, width = image.shape[:2]
    kept = torch.arange(len(net.classes)) if classes is None else torch.tensor(classes)
    factor = net.size / max(height, width)
    nearer = min(max(factor, 0.25), 2.0)
    if nearer != factor:  # a very large photo, or a tiny one: brought near the net's size once, not for every scale
        image = resize(image, max(1, round(height * factor / nearer)), max(1, round(width * factor / nearer)))
        factor = net.size / max(image.shape[:2])

    def maps_of(pixels: torch.Tensor) -> torch.Tensor:
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=bf16):
            logits = net(net.backbone.normalise(pixels.contiguous(memory_format=torch.channels_last)))
        kept_logits: torch.Tensor = logits.float()[:, kept]
        return kept_logits.softmax(1)  # (N,K,h,w)

    with torch.inference_mode():
        total = multiscale(
            maps_of, image, scales=[factor * scale for scale in scales], flip=flip, stride=net.stride,
            device=device,
        )  # fmt: skip
    mean = torch.from_numpy(total / (len(set(scales)) * (2 if flip else 1)))
    rounded = mean.half().float().numpy()  # numpy's own float16 takes ten times as long
    return Scores(rounded, kept.numpy(), (height, width))


def _refined(image: Any, found: Scores) -> Any:
    """The CRF's mask; only labels that occur take part (classes that win some pixel before it)."""
    import numpy as np

    from wsscli.maskdir.argmax import label_map
    from wsscli.maskdir.scores import Scores
    from wsscli.refine.crf import dense_crf

    present = np.isin(found.classes, np.unique(label_map(found)))
    taking_part = Scores(found.scores[present], found.classes[present], found.size)
    marginals = dense_crf(image, taking_part.full())  # (K,H,W)
    return taking_part.classes.astype(np.uint8)[marginals.argmax(0)]
