"""Gaussian filtering in a few dimensions by the permutohedral lattice, compiled with numba and free of the GIL.

The lattice replaces a sum over all pairs of points by three steps: splat each point's values on the corners of
the simplex it lies in, blur along the lattice's d + 1 axes, slice the values back. Position and colour together
give five dimensions (bilateral kernel), position alone two.

Source: Adams, Baek, Davis, "Fast high-dimensional filtering using the permutohedral lattice", 2010, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsscli.errors import WssError
from wsscli.refine.compiled import compiled

LANES = 4  # values are kept in groups of four so that the compiler emits one 128-bit operation for each group
FAR = 2**19  # see Lattice.of
_BLOCK = 4  # see Lattice.of


@compiled
def _slot(table, keys, key, dimensions):  # type: ignore[no-untyped-def]
    """The place of `key` in the open-addressing table: its own, or the empty one where it belongs."""
    code = np.uint64(0)
    for k in range(dimensions):
        code = (code + np.uint64(np.int64(key[k]))) * np.uint64(0x9E3779B97F4A7C15)
    # the multiplier mixes upwards, so the well-mixed bits are the high ones
    place = np.int64((code >> np.uint64(33)) & np.uint64(table.size - 1))
    while True:
        entry = table[place]
        if entry < 0:
            return place
        same = True
        for k in range(dimensions):
            if keys[entry, k] != key[k]:
                same = False
                break
        if same:
            return place
        place = (place + 1) & (table.size - 1)


@compiled
def _build(features):  # type: ignore[no-untyped-def]
    """Simplex corners and barycentric weights of every point, and each corner's two neighbours on each axis."""
    n, d = features.shape
    corners = np.empty((n, d + 1), np.int32)
    weights = np.empty((n, d + 1), np.float32)

    size = 1024
    while size < 2 * n:
        size *= 2
    table = np.full(size, -1, np.int32)
    keys = np.empty((size // 2 + d + 1, d), np.int32)
    filled = 0

    # The blur has standard deviation sqrt(2/3) (d + 1) per axis: features are stretched so that it counts as 1 (p. 6)
    scale = np.empty(d, np.float32)
    spread = np.float32(np.sqrt(2.0 / 3.0) * (d + 1))
    for i in range(d):
        scale[i] = np.float32(1.0 / np.sqrt(np.float64((i + 2) * (i + 1))) * spread)

    down = np.float32(1.0) / np.float32(d + 1)
    up = np.float32(d + 1)
    elevated = np.empty(d + 1, np.float32)
    nearest = np.empty(d + 1, np.float32)
    rank = np.empty(d + 1, np.int32)
    barycentric = np.empty(d + 2, np.float32)
    key = np.empty(d, np.int32)

    for p in range(n):
        # y = E x: onto the plane whose coordinates sum to 0 (p. 5)
        total = np.float32(0.0)
        for j in range(d, 0, -1):
            c = features[p, j - 1] * scale[j - 1]
            elevated[j] = total - np.float32(j) * c
            total += c
        elevated[0] = total

        # the nearest lattice point with remainder 0, and the order of the differences to it
        steps = 0
        for i in range(d + 1):
            v = np.rint(down * elevated[i])
            nearest[i] = v * up
            steps += int(v)
            rank[i] = 0
        for i in range(d):
            di = elevated[i] - nearest[i]
            for j in range(i + 1, d + 1):
                if di < elevated[j] - nearest[j]:
                    rank[i] += 1
                else:
                    rank[j] += 1
        # the rounded point may lie off the plane: bring it back
        for i in range(d + 1):
            rank[i] += steps
            if rank[i] < 0:
                rank[i] += d + 1
                nearest[i] += up
            elif rank[i] > d:
                rank[i] -= d + 1
                nearest[i] -= up

        # barycentric coordinates (p. 10)
        for i in range(d + 2):
            barycentric[i] = 0.0
        for i in range(d + 1):
            v = (elevated[i] - nearest[i]) * down
            barycentric[d - rank[i]] += v
            barycentric[d - rank[i] + 1] -= v
        barycentric[0] += np.float32(1.0) + barycentric[d + 1]

        for remainder in range(d + 1):
            for i in range(d):
                # the canonical simplex: the corner's first d + 1 - remainder ranks move up, the others back
                shift = remainder if rank[i] <= d - remainder else remainder - (d + 1)
                key[i] = np.int32(nearest[i]) + shift
            place = _slot(table, keys, key, d)
            entry = table[place]
            if entry < 0:
                entry = filled
                table[place] = entry
                for i in range(d):
                    keys[entry, i] = key[i]
                filled += 1
            corners[p, remainder] = entry
            weights[p, remainder] = barycentric[remainder]

        if 2 * (filled + d + 1) > size:
            size *= 2
            wider = np.empty((size // 2 + d + 1, d), np.int32)
            wider[:filled] = keys[:filled]
            keys = wider
            table = np.full(size, -1, np.int32)
            for e in range(filled):
                for i in range(d):
                    key[i] = keys[e, i]
                table[_slot(table, keys, key, d)] = e

    # Neighbours. Corner 0 stands for "no such corner" (always zero), so ids move up by one.
    neighbours = np.zeros((d + 1, filled + 1, 2), np.int32)
    for axis in range(d + 1):
        for e in range(filled):
            for i in range(d):
                key[i] = keys[e, i] - 1
            if axis < d:
                key[axis] = keys[e, axis] + d
            other = table[_slot(table, keys, key, d)]
            if other >= 0:  # the step back from there leads here
                neighbours[axis, e + 1, 0] = other + 1
                neighbours[axis, other + 1, 1] = e + 1
    corners += 1
    return corners, weights, neighbours


@compiled
def _apply(corners, weights, neighbours, norm, values, out, grid, spare):  # type: ignore[no-untyped-def]
    """out = norm * lattice(norm * values); values and out (N, G, 4), grid and spare (M + 1, G, 4)."""
    n, groups, _ = values.shape
    axes = corners.shape[1]
    grid[:] = 0.0
    for p in range(n):
        for g in range(groups):
            a = norm[p] * values[p, g, 0]
            b = norm[p] * values[p, g, 1]
            c = norm[p] * values[p, g, 2]
            e = norm[p] * values[p, g, 3]
            for j in range(axes):
                w = weights[p, j]
                o = corners[p, j]
                grid[o, g, 0] += w * a
                grid[o, g, 1] += w * b
                grid[o, g, 2] += w * c
                grid[o, g, 3] += w * e
    half = np.float32(0.5)
    source = grid
    target = spare
    target[0] = 0.0
    for axis in range(axes):
        for m in range(1, source.shape[0]):
            before = neighbours[axis, m, 0]
            after = neighbours[axis, m, 1]
            for g in range(groups):
                for s in range(LANES):
                    target[m, g, s] = source[m, g, s] + half * (source[before, g, s] + source[after, g, s])
        source, target = target, source
    # d + 1 blurs of weight 2 each on a simplex grid gain this factor on average (constant of Adams' code)
    alpha = np.float32(1.0) / (np.float32(1.0) + np.float32(2.0) ** np.float32(1 - axes))
    for p in range(n):
        for g in range(groups):
            a = np.float32(0.0)
            b = np.float32(0.0)
            c = np.float32(0.0)
            e = np.float32(0.0)
            for j in range(axes):
                w = weights[p, j] * alpha
                o = corners[p, j]
                a += w * source[o, g, 0]
                b += w * source[o, g, 1]
                c += w * source[o, g, 2]
                e += w * source[o, g, 3]
            out[p, g, 0] = a * norm[p]
            out[p, g, 1] = b * norm[p]
            out[p, g, 2] = c * norm[p]
            out[p, g, 3] = e * norm[p]


@dataclass(frozen=True)
class Lattice:
    """One Gaussian kernel over N fixed points, symmetrically normalised; built once, applied many times.

    Any number of threads may filter with one object: it is never written to after `of`.
    """

    corners: NDArray[np.int32]  # (N, d + 1): the ids (from 1) of the simplex corners around each point
    weights: NDArray[np.float32]  # (N, d + 1): barycentric, each row sums to 1
    neighbours: NDArray[np.int32]  # (d + 1, M + 1, 2): the corner before and after along each axis; 0 = none
    norm: NDArray[np.float32]  # (N,): 1 / sqrt of the filtered ones

    @classmethod
    def of(cls, features: NDArray[np.float32]) -> Lattice:
        """The lattice of these points; the kernel is exp(-|f - g|^2 / 2).

        Args:
            features: float32 (N, d), divided by the standard deviations; at most 2^19 in size, since beyond that
                float32 cannot say which simplex a point lies in.

        Raises:
            WssError: a feature is larger, or NaN.
        """
        n, d = features.shape
        far = float(np.abs(features).max(initial=0))
        if not far <= FAR:  # also false for NaN
            raise WssError(
                f"crf: the image spans {far:g} standard deviations of a kernel, at most {FAR} can be told apart; take "
                "larger ones"
            )
        # pydensecrf elevates four points at a time and fills the last four with points at the origin. They carry no
        # value but create corners that the blur passes through, so equal marginals need the same corners.
        padded = np.zeros((-(-n // _BLOCK) * _BLOCK, d), np.float32)
        padded[:n] = features
        corners, weights, neighbours = _build(padded)
        bare = cls(corners[:n], weights[:n], neighbours, np.ones(n, np.float32))
        sums = bare.filtered_ones().astype(np.float64)
        return cls(bare.corners, bare.weights, neighbours, (1 / np.sqrt(sums + 1e-20)).astype(np.float32))

    def filtered_ones(self) -> NDArray[np.float32]:
        """What `filter` makes of a channel of ones, float32 (N,)."""
        ones = np.zeros((len(self.norm), 1, LANES), np.float32)
        ones[..., 0] = 1
        return np.ascontiguousarray(self.filter(ones)[:, 0, 0])

    def filter(self, values: NDArray[np.float32], out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """norm * K (norm * values), each channel for itself.

        Args:
            values: float32 (N, G, 4): channels in groups of four (`LANES`), unused ones zero.
            out: where the result goes, as `values` and not `values` itself; made when None.

        Returns:
            float32 (N, G, 4).
        """
        if out is None:
            out = np.empty_like(values)
        grid = np.empty((self.neighbours.shape[1], *values.shape[1:]), np.float32)  # (M + 1, G, 4)
        _apply(self.corners, self.weights, self.neighbours, self.norm, values, out, grid, np.empty_like(grid))
        return out
