"""A small net that tells foreground from background, trained without any class and without pre-trained weights."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from wsscli.classes import FOREGROUND, ClassTable
from wsscli.errors import UsageError
from wsscli.nets.backbones import Backbone

SIDE = 129
STRIDE = 4
INNER_STRIDE = 16
CHANNELS = 32


class Student(nn.Module):
    """Eight convolutions from a whole photo, warped to a square, to a soft mask of a quarter of its resolution.

    Six convolutions shrink the square to a sixteenth, where a step sees most of the photo; their result, enlarged, and
    what the second one found at a quarter meet in the seventh; the eighth gives the mask. The last result is a logit z
    with `sigmoid(z)` the soft mask; the net returns [0, z], whose softmax has the same sigmoid in channel 1, so that
    whatever reads a segmentation net reads it. Images of any size and shape are warped to the square and back: the
    mask's samples are placed at every 4th row and column of the image given, the first and the last on its border.

    Attributes:
        classes: background and foreground, no others.
        side: of the square, a multiple of 16, plus 1.
        size: what the longer side of an image is scaled to before the net sees it; the net warps it further.
        stride: pixels of the image given a step of the net's output.

    Source: Croitoru, Bogolin and Leordeanu, ICCV 2017, section 4 (the student); as "8-layer CNN" in Jing et al.,
        Coarse-to-fine, section III-B.
    Differs: 129 pixels to 33, not 128 to 32 (first and last sample lie on the border); no fully connected layer, so
        far fewer weights, but steps at a sixteenth of the resolution that see the whole; batch normalisation.
    """

    arch = "student"
    stride = STRIDE
    fresh = ()
    last = ("mask.",)

    def __init__(self, classes: ClassTable = FOREGROUND, *, side: int = SIDE) -> None:
        super().__init__()
        check_side(side)
        self.classes, self.side = classes, side
        self.size = 2 * side - 1
        self.backbone = Backbone("student", _Body(), _features, STRIDE, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
        self.mask = nn.Conv2d(CHANNELS, 1, 1)

    @classmethod
    def build(cls, name: str, classes: ClassTable, *, side: int = SIDE, output_stride: int | None = None) -> Student:
        """A net from what a manifest says; `name` is always `student`.

        Raises:
            UsageError: another output stride than the net's own.
        """
        if output_stride not in (None, STRIDE):
            raise UsageError(f"--output-stride {output_stride}: a {name} net has {STRIDE} and no other; leave it out")
        return cls(classes, side=side)

    @property
    def config(self) -> dict[str, object]:
        """What `nets.store` needs to build the net again; JSON values only."""
        return {
            "arch": self.arch,
            "backbone": self.backbone.name,
            "side": self.side,
            "classes": list(self.classes.names),
        }

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N,3,H,W) normalised -> logits (N, 2, h, w), h = ceil(H / 4), the first channel zeros."""
        height, width = images.shape[-2:]
        square = (height, width) == (self.side, self.side)
        seen = images if square else _warp(images, self.side)
        z = self.mask(self.backbone(seen))  # (N,1,s,s)
        if not square:
            z = placed(z, (height, width), self.side)
        return torch.cat([torch.zeros_like(z), z], 1)


def check_side(side: int) -> None:
    """Raises UsageError for a side of the square whose samples would not lie on the border."""
    if side < 33 or (side - 1) % INNER_STRIDE:
        below = max(33, (side - 1) // INNER_STRIDE * INNER_STRIDE + 1)
        raise UsageError(
            f"--crop-size {side}: a student's square has a multiple of {INNER_STRIDE}, plus 1; take {below} or "
            f"{below + INNER_STRIDE}"
        )


def placed(z: torch.Tensor, size: tuple[int, int], side: int) -> torch.Tensor:
    """Maps of a square at the samples that a net of this stride would have on the image warped to it.

    Args:
        z: (N,1,s,s), the first and last sample on the border pixels of the square.
        size: (H,W) of the image; its samples are every 4th row and column.
        side: of the square.

    Returns:
        (N,1,ceil(H/4),ceil(W/4)) float32, bilinear; a pixel's centre goes where the warp puts it.
    """
    axes = []
    for length in size:
        pixels = torch.arange(0, length, STRIDE, dtype=torch.float32, device=z.device)
        there = (pixels + 0.5) * side / length - 0.5  # in pixels of the square
        axes.append(there / (side - 1) * 2 - 1)
    points = torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1], -1)  # (h,w,2), x first
    points = points.expand(len(z), *points.shape)
    return F.grid_sample(z.float(), points, mode="bilinear", padding_mode="border", align_corners=True)


def _warp(images: torch.Tensor, side: int) -> torch.Tensor:
    """(N,3,H,W) -> (N,3,side,side); antialiased where it shrinks, as the training's area means are."""
    return F.interpolate(images.float(), (side, side), mode="bilinear", align_corners=False, antialias=True)


class _Body(nn.Module):
    """(N,3,H,W) -> (N,32,H/4,W/4): convolutions one to seven."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(_step(3, 24, 5, stride=2), _step(24, 48, 3, stride=2))
        self.coarse = nn.Sequential(
            _step(48, 64, 3, stride=2), _step(64, 96, 3, stride=2), _step(96, 96, 3, dilation=2), _step(96, 48, 3)
        )
        self.joined = _step(48 + 48, CHANNELS, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        fine = self.fine(images)  # (N,48,h,w)
        coarse = self.coarse(fine)  # (N,48,h/4,w/4)
        coarse = F.interpolate(coarse, fine.shape[-2:], mode="bilinear", align_corners=True)
        return self.joined(torch.cat([coarse, fine], 1))


def _features(body: nn.Module, images: torch.Tensor) -> torch.Tensor:
    return body(images)


def _step(channels: int, out: int, kernel: int, *, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(channels, out, kernel, stride, padding, dilation, bias=False),
        nn.BatchNorm2d(out),
        nn.ReLU(inplace=True),
    )
