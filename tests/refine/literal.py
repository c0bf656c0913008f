"""Mean field of the fully connected CRF as written down, float64: what the exact batched form must equal.

Loaded by path from the tests.
"""

import math

import numpy as np


def mean_field(image, p, iterations, gauss_sxy, gauss_compat, bilateral_sxy, bilateral_srgb, bilateral_compat):
    """Every pair of pixels, one after the other; image (H, W, 3), p (K, H, W)."""
    k, height, width = p.shape
    pixels = [(y, x) for y in range(height) for x in range(width)]
    labels = range(k)
    at = range(len(pixels))
    near = [[0.0] * len(pixels) for _ in at]
    alike = [[0.0] * len(pixels) for _ in at]
    for i, (y, x) in enumerate(pixels):
        for j, (v, u) in enumerate(pixels):
            apart = (y - v) ** 2 + (x - u) ** 2
            colours = sum((float(image[y, x, c]) - float(image[v, u, c])) ** 2 for c in range(3))
            near[i][j] = math.exp(-apart / (2 * gauss_sxy**2))
            alike[i][j] = math.exp(-apart / (2 * bilateral_sxy**2) - colours / (2 * bilateral_srgb**2))
    for kernel in (near, alike):
        sums = [sum(row) for row in kernel]
        for i in at:
            for j in at:
                kernel[i][j] /= math.sqrt(sums[i] * sums[j])

    log = [[math.log(min(max(float(p[c, y, x]), 1e-5), 1)) for y, x in pixels] for c in labels]
    energy = log
    for step in range(iterations + 1):
        q = [[0.0] * len(pixels) for _ in labels]
        for i in at:
            total = sum(math.exp(energy[c][i]) for c in labels)
            for c in labels:
                q[c][i] = math.exp(energy[c][i]) / total
        if step == iterations:
            break
        energy = [
            [
                log[c][i]
                + gauss_compat * sum(near[i][j] * q[c][j] for j in at)
                + bilateral_compat * sum(alike[i][j] * q[c][j] for j in at)
                for i in at
            ]
            for c in labels
        ]
    return np.array(q).reshape(p.shape)


def mean_field_matrices(image, p, iterations, gauss_sxy, gauss_compat, bilateral_sxy, bilateral_srgb, bilateral_compat):
    """The same with numpy's matrices, for grids on which the loops take minutes."""
    k, height, width = p.shape
    y, x = np.mgrid[:height, :width]
    at = np.stack([x, y], -1).reshape(-1, 2)

    def kernel(features):
        gram = np.exp(-sum((f[:, None] - f) ** 2 for f in features.T.astype(np.float64)) / 2)
        norm = 1 / np.sqrt(gram.sum(1))
        return norm[:, None] * gram * norm

    near = kernel(at / gauss_sxy)
    colours = image.reshape(-1, 3) / np.float64(bilateral_srgb)
    alike = kernel(np.concatenate([at / bilateral_sxy, colours], 1))
    log = np.log(np.clip(p, 1e-5, 1).astype(np.float64)).reshape(k, -1)
    energy = log
    for step in range(iterations + 1):
        odds = np.exp(energy - energy.max(0))
        q = odds / odds.sum(0)
        if step < iterations:
            energy = log + gauss_compat * q @ near + bilateral_compat * q @ alike
    return q.reshape(k, height, width)
