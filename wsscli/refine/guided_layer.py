"""The guided filter as a layer: the result of `wsscli.refine.guided_filter`, batched, with gradients, on any device.

The filter of a fixed image is linear in the map, G = F p, and F is symmetric but for the number of windows around a
pixel: F = N^-1 S. So its gradient is a filtering, too, F^T g = N F N^-1 g, and nothing of the iterations is kept.

Source: Ke and Hsu, "Generating Self-Guided Dense Annotations for Weakly Supervised Semantic Segmentation",
equations 6-10; He, Sun and Tang, "Guided Image Filtering", TPAMI 2013, equations 19-21.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F

from wsscli.errors import WssError
from wsscli.refine.guided_filter import check_options


def guided_layer(
    images: torch.Tensor, maps: torch.Tensor, *, window: int = 35, eps: float = 1e-6, iterations: int = 1
) -> torch.Tensor:
    """Filter the maps of a batch with their images as guides, each map for itself.

    Gradients go to the maps, exactly, at the memory of one filtering; to the images there are none. Computed in
    float64 (see `guided_filter` for why), on the CPU where the device has no float64 (mps).

    Args:
        images: (N,3,H,W) RGB, uint8, or float in [0, 1]; not normalised with a net's mean and deviation.
        maps: float (N,C,H,W), on the images' device.
        window: side of the square window, pixels, odd; cut off at the borders.
        eps: regularisation, for colours in [0, 1].
        iterations: times the filter is applied, each output the next input.

    Returns:
        (N,C,H,W) in the maps' type, on their device.

    Raises:
        WssError: the shapes do not fit, or a float image lies outside [0, 1].
        UsageError: an option is out of range.

    Source: Ke and Hsu, section 3.3, equations 6-8.
    """
    check_options(window=window, eps=eps, iterations=iterations)
    guide = GuideBatch.of(images, window=window, eps=eps)
    guide.check(maps)
    filtered: torch.Tensor = _Filter.apply(guide.own(maps), guide, iterations)  # type: ignore[no-untyped-call]
    return filtered.to(maps.device, maps.dtype)


def linear_model(images: torch.Tensor, alpha: torch.Tensor, beta: torch.Tensor) -> torch.Tensor:
    """G = alpha . I + beta at every pixel.

    The gradient of alpha is I times that of G (eq. 9), that of beta is that of G (eq. 10).

    Args:
        images: float (N,3,H,W).
        alpha: float (N,C,3,H,W).
        beta: float (N,C,H,W).

    Returns:
        (N,C,H,W).

    Source: Ke and Hsu, equation 6.
    """
    return (alpha * images[:, None]).sum(2) + beta


@dataclass(frozen=True)
class GuideBatch:
    """What depends on the images alone, float64 and without gradients; for any number of maps and iterations."""

    images: torch.Tensor  # (N,3,H,W), colours in [0, 1]
    mean: torch.Tensor  # (N,3,H,W), of the window around each pixel
    factors: tuple[torch.Tensor, ...]  # each (N,1,H,W): l10, l20, l21, d0, d1, d2 of L D L^T = covariance + eps
    count: torch.Tensor  # (H,W): pixels of that window
    radius: int

    @classmethod
    @torch.no_grad()
    def of(cls, images: torch.Tensor, *, window: int, eps: float) -> GuideBatch:
        """Means and factorised covariances of all windows; arguments as in `guided_layer`."""
        if images.ndim != 4 or images.shape[1] != 3:
            raise WssError(f"guided filter: images of shape {tuple(images.shape)}; they must be (N, 3, H, W)")
        scale = 255 if images.dtype == torch.uint8 else 1
        colours = _double(images) / scale
        if colours.numel() and not bool(((colours >= 0) & (colours <= 1)).all()):
            raise WssError(
                f"guided filter: the images hold values from {float(colours.min()):g} to {float(colours.max()):g}; "
                "float images lie in [0, 1], as eps is meant for them"
            )
        radius = window // 2
        count = _sums(colours.new_ones(colours.shape[2:]), radius)  # (H,W)
        mean = _sums(colours, radius) / count
        products = torch.stack([colours[:, i] * colours[:, j] for i in range(3) for j in range(i, 3)], 1)  # (N,6,H,W)
        rr, rg, rb, gg, gb, bb = torch.split(_sums(products, radius) / count, 1, 1)
        r, g, b = torch.split(mean, 1, 1)
        rg, rb, gb = rg - r * g, rb - r * b, gb - g * b
        d0 = rr - r * r + eps
        l10, l20 = rg / d0, rb / d0
        d1 = gg - g * g + eps - l10 * rg
        rest = gb - l20 * rg
        l21 = rest / d1
        d2 = bb - b * b + eps - l20 * rb - l21 * rest
        return cls(colours, mean, (l10, l20, l21, d0, d1, d2), count, radius)

    def check(self, maps: torch.Tensor) -> None:
        """Raises WssError when the maps are not of the images' number and size."""
        n, _, height, width = self.images.shape
        if maps.ndim != 4 or maps.shape[0] != n or maps.shape[2:] != (height, width):
            raise WssError(
                f"guided filter: maps of shape {tuple(maps.shape)} on {n} images of {height} x {width}; they must be "
                "(N, C, H, W) of the images' number and size"
            )

    def own(self, maps: torch.Tensor) -> torch.Tensor:
        """The maps where and as the images are: float64, on their device."""
        return _double(maps).to(self.images.device)

    def coefficients(self, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """alpha (N,C,3,H,W) and beta (N,C,H,W) of float64 maps (N,C,H,W), with gradients to the maps.

        Source: Ke and Hsu, equation 6: the means of He's a and b (equations 19-20) over the windows around a pixel.
        """
        l10, l20, l21, d0, d1, d2 = self.factors
        p = self._mean(maps)
        cov = self._mean(maps[:, :, None] * self.images[:, None]) - p[:, :, None] * self.mean[:, None]  # (N,C,3,H,W)
        y0 = cov[:, :, 0]
        y1 = cov[:, :, 1] - l10 * y0
        y2 = cov[:, :, 2] - l20 * y0 - l21 * y1
        a2 = y2 / d2
        a1 = y1 / d1 - l21 * a2
        a0 = y0 / d0 - l10 * a1 - l20 * a2
        a = torch.stack([a0, a1, a2], 2)  # (N,C,3,H,W)
        b = p - (a * self.mean[:, None]).sum(2)
        return self._mean(a), self._mean(b)

    def filter(self, maps: torch.Tensor, iterations: int = 1) -> torch.Tensor:
        """Filtered float64 maps (N,C,H,W); autograd can follow it, but keeps every iteration."""
        for _ in range(iterations):
            maps = linear_model(self.images, *self.coefficients(maps))
        return maps

    def _mean(self, values: torch.Tensor) -> torch.Tensor:
        return _sums(values, self.radius) / self.count


class _Filter(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: torch.Tensor, guide: GuideBatch, iterations: int) -> torch.Tensor:
        ctx.guide, ctx.iterations = guide, iterations
        return guide.filter(maps.clone(), iterations)  # a function must not return its very input

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        count = ctx.guide.count
        back: torch.Tensor = _Filter.apply(grads[0] / count, ctx.guide, ctx.iterations)  # type: ignore[no-untyped-call]
        return count * back, None, None


def _double(values: torch.Tensor) -> torch.Tensor:
    return (values.cpu() if values.device.type == "mps" else values).double()


def _sums(values: torch.Tensor, radius: int) -> torch.Tensor:
    """Sums of (..., H, W) over the square window around each pixel, cut off at the borders."""
    for dim in (-2, -1):
        length = values.shape[dim]
        at = torch.arange(length, device=values.device)
        before = F.pad(values.cumsum(dim), (1, 0) if dim == -1 else (0, 0, 1, 0))  # before[i]: of the first i
        end, start = (at + radius + 1).clamp(max=length), (at - radius).clamp(min=0)
        values = before.index_select(dim, end) - before.index_select(dim, start)
    return values
