"""What a user would run otherwise: the same work in one process, a photo at a time, with the usual library.

Each function takes what the step reads and a folder, and returns the work of one photo. Files are read and written as other
code does it (PIL, numpy.save), and libraries use as many threads as they do when nobody tells them otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from inputs import Inputs
from PIL import Image
from torch import nn
from torch.nn import functional as F

Work = Callable[[str], object]


def _photo(inputs: Inputs, name: str) -> np.ndarray:
    return np.array(Image.open(inputs.dataset.image_path(name)).convert("RGB"))


def _mask(folder: Path, name: str) -> np.ndarray:
    return np.array(Image.open(folder / "masks" / f"{name}.png"))


def _save(out: Path, name: str, mask: np.ndarray) -> None:
    path = out / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask.astype(np.uint8)).save(path)


def _full(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Scores (K,H,W) at the photo's size and their classes."""
    with np.load(folder / "scores" / f"{name}.npz") as file:
        scores, size = torch.from_numpy(file["scores"].astype(np.float32)), tuple(file["size"].tolist())
        full = F.interpolate(scores[None], size, mode="bilinear", align_corners=False)[0]
        return full.numpy(), file["classes"]


def argmax(inputs: Inputs, out: Path) -> Work:
    def one(name: str) -> None:
        scores, classes = _full(inputs.probabilities, name)
        _save(out, name, classes[scores.argmax(0)])

    return one


def crf(inputs: Inputs, out: Path) -> Work:
    """pydensecrf with all classes."""
    import pydensecrf.densecrf as dcrf
    from pydensecrf.utils import unary_from_softmax

    def one(name: str) -> None:
        image = _photo(inputs, name)
        p, classes = _full(inputs.probabilities, name)
        field = dcrf.DenseCRF2D(image.shape[1], image.shape[0], len(classes))
        field.setUnaryEnergy(unary_from_softmax(p))
        field.addPairwiseGaussian(sxy=3, compat=3)
        field.addPairwiseBilateral(sxy=80, srgb=13, rgbim=image, compat=10)
        q = np.array(field.inference(10)).reshape(p.shape)
        _save(out, name, classes[q.argmax(0)])

    return one


def grabcut(inputs: Inputs, out: Path) -> Work:
    """cv2.grabCut from the box of each class."""

    def one(name: str) -> None:
        image, mask = _photo(inputs, name), _mask(inputs.masks, name)
        result = np.zeros_like(mask)
        for c in sorted(set(np.unique(mask).tolist()) - {0, 255}):
            box = cv2.boundingRect((mask == c).astype(np.uint8))
            if box[2:] == image.shape[1::-1]:
                continue
            state = np.zeros(mask.shape, np.uint8)
            cv2.grabCut(image, state, box, np.zeros((1, 65)), np.zeros((1, 65)), 5, cv2.GC_INIT_WITH_RECT)
            result[(state == cv2.GC_FGD) | (state == cv2.GC_PR_FGD)] = c
        _save(out, name, result)

    return one


def guided_filter(inputs: Inputs, out: Path) -> Work:
    """cv2.ximgproc, the same window, eps and number of iterations, on one map a class of the mask."""

    def one(name: str) -> None:
        image, mask = _photo(inputs, name), _mask(inputs.masks, name)
        classes = np.unique(mask[mask != 255])
        maps = np.ascontiguousarray(np.stack([mask == c for c in classes], 2), np.float32)
        prepared = cv2.ximgproc.createGuidedFilter(image, 17, 1e-6 * 255**2)
        for _ in range(15):
            maps = np.atleast_3d(prepared.filter(maps))
        _save(out, name, classes[maps.argmax(2)])

    return one


def propose(inputs: Inputs, out: Path) -> Work:
    """Selective search of OpenCV's contributed modules, `fast`."""
    search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()

    def one(name: str) -> None:
        search.setBaseImage(np.ascontiguousarray(_photo(inputs, name)[..., ::-1]))
        search.switchToSelectiveSearchFast()
        np.save(out / f"{name.replace('/', '_')}.npy", search.process()[:2000])

    return one


def grow(inputs: Inputs, out: Path) -> Work:
    """The authors' layer in Python."""
    import runpy

    layer = runpy.run_path(str(Path(__file__).resolve().parents[1] / "tests/grow/literal.py"))["layer"]

    def one(name: str) -> None:
        p, classes = _full(inputs.probabilities, name)
        labels = sorted(inputs.dataset.labels(name) or ())
        _save(out, name, layer(_mask(inputs.seeds, name), p, classes.tolist(), labels=labels))

    return one


def _pixels(net: Any, image: np.ndarray, size: tuple[int, int]) -> torch.Tensor:
    batch = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    resized = F.interpolate(batch, size, mode="bilinear", align_corners=False)
    pixels: torch.Tensor = net.backbone.normalise(resized.round().byte())
    return pixels


def predict(inputs: Inputs, out: Path) -> Work:
    """The same net in a plain torch loop."""
    from wsscli.nets.store import load_segmenter

    net = load_segmenter(inputs.segmenter, torch.device("cpu"))

    @torch.no_grad()
    def one(name: str) -> None:
        image = _photo(inputs, name)
        factor = net.size / max(image.shape[:2])
        size = (round(image.shape[0] * factor), round(image.shape[1] * factor))
        logits = F.interpolate(net(_pixels(net, image, size)), image.shape[:2], mode="bilinear", align_corners=False)
        _save(out, name, logits[0].argmax(0).numpy())

    return one


def detect(inputs: Inputs, out: Path) -> Work:
    """The same net in a plain torch loop."""
    from wsscli.nets.store import load_model

    net = load_model(inputs.detector, torch.device("cpu"), arch="detection")

    @torch.no_grad()
    def one(name: str) -> None:
        (found,) = net.detections(net(_pixels(net, _photo(inputs, name), (net.size, net.size))))
        np.savez(out / f"{name.replace('/', '_')}.npz", boxes=found.boxes, labels=found.labels, scores=found.scores)

    return one


class _Tapped(nn.Module):
    """A classifier as pytorch-grad-cam wants it: one forward pass, a layer whose output are the features."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net, self.tap = net, nn.Identity()

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.net.logits(self.tap(self.net.features(pixels)))
        return logits


def _imagenet(inputs: Inputs) -> tuple[Any, dict[int, int], dict[str, Any]]:
    from wsscli.steps._classifier import load_imagenet
    from wsscli.steps.make_seeds import RECIPES

    recipe = RECIPES["imagenet"]
    loaded = load_imagenet(inputs.class_map, inputs.dataset.classes, recipe["output_stride"], torch.device("cpu"))
    return loaded.net, dict(loaded.channels), recipe


def _cams_of(inputs: Inputs, out: Path, maps_of: Callable[[torch.Tensor, list[int]], torch.Tensor], net: Any) -> Work:
    """Maps of all sizes and mirror images, added up at the photo's size, saved as irn saves them."""
    _, channels, recipe = _imagenet(inputs)

    def one(name: str) -> None:
        image = _photo(inputs, name)
        classes = [c for c in sorted(inputs.dataset.labels(name) or ()) if c in channels]
        if not classes:
            return
        total = torch.zeros(len(classes), *image.shape[:2])
        for scale in recipe["scales"]:
            size = (round(image.shape[0] * scale), round(image.shape[1] * scale))
            pixels = _pixels(net, image, size)
            maps = maps_of(torch.cat([pixels, pixels.flip(3)]), [channels[c] for c in classes])  # (2,K,h,w)
            both = maps[:1] + maps[1:].flip(3)
            total += F.interpolate(both, image.shape[:2], mode="bilinear", align_corners=False)[0].relu()
        total /= total.amax((1, 2), keepdim=True) + 1e-5
        np.save(out / f"{name.replace('/', '_')}.npy", {"keys": np.array(classes), "high_res": total.numpy()})  # type: ignore[arg-type]

    return one


def cams(inputs: Inputs, out: Path) -> Work:
    """CAMs in a plain torch loop."""
    net, _, _ = _imagenet(inputs)

    @torch.no_grad()
    def maps_of(batch: torch.Tensor, wanted: list[int]) -> torch.Tensor:
        maps: torch.Tensor = net.classifier(net.features(batch))
        return maps[:, wanted]

    return _cams_of(inputs, out, maps_of, net)


def grad_cams(inputs: Inputs, out: Path) -> Work:
    """pytorch-grad-cam: a pass forward and one backward a class."""
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    net, _, _ = _imagenet(inputs)
    tapped = _Tapped(net)
    method = GradCAM(model=tapped, target_layers=[tapped.tap])

    def maps_of(batch: torch.Tensor, wanted: list[int]) -> torch.Tensor:
        maps = [method(input_tensor=batch, targets=[ClassifierOutputTarget(c)] * len(batch)) for c in wanted]
        return torch.from_numpy(np.stack(maps, 1))

    return _cams_of(inputs, out, maps_of, net)


def judge_sklearn(inputs: Inputs, _: Path) -> Work:
    """sklearn.metrics.confusion_matrix, summed."""
    from sklearn.metrics import confusion_matrix

    total = np.zeros((inputs.classes, inputs.classes), np.int64)

    def one(name: str) -> None:
        truth, guess = (
            np.asarray(Image.open(inputs.data / "SegmentationClass" / f"{name}.png")),
            _mask(inputs.masks, name),
        )
        keep = truth != 255
        total[:] += confusion_matrix(truth[keep], guess[keep], labels=np.arange(inputs.classes))

    return one


def judge_torchmetrics(inputs: Inputs, _: Path) -> Work:
    from torchmetrics.classification import MulticlassConfusionMatrix

    metric = MulticlassConfusionMatrix(inputs.classes, ignore_index=255)

    def one(name: str) -> None:
        truth, guess = (
            np.array(Image.open(inputs.data / "SegmentationClass" / f"{name}.png")),
            _mask(inputs.masks, name),
        )
        metric.update(torch.from_numpy(guess)[None].long(), torch.from_numpy(truth)[None].long())

    return one
