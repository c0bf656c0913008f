"""Writes fixtures/crf_*.npz: generated inputs and what pydensecrf makes of them, so that the comparison always runs.

    pip install pydensecrf2 && python tests/refine/make_crf_fixtures.py

Not a test: run again only when a case is added.
"""

from pathlib import Path

import cv2
import numpy as np

from wsscli.refine.crf import PRESETS, dense_crf

HERE = Path(__file__).parent / "fixtures"
# name: height, width, labels, preset, iterations. Sizes not divisible by 4 reach the last, partly filled block.
CASES = {
    "koltun2": (40, 56, 2, "koltun", 10),
    "koltun5": (37, 53, 5, "koltun", 10),
    "deeplab3": (41, 39, 3, "deeplab", 10),
    "start1": (9, 11, 3, "koltun", 1),
}


def smooth(rng: np.random.Generator, height: int, width: int, channels: int, sigma: float) -> np.ndarray:
    noise = rng.normal(size=(height, width, channels)).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), sigma).reshape(height, width, channels)
    return blurred / blurred.std()


def generate(height: int, width: int, labels: int) -> tuple[np.ndarray, np.ndarray]:
    """An image of soft blobs with one hard-edged square and a black corner; probabilities that half follow it."""
    rng = np.random.default_rng([height, width, labels])
    image = np.clip(128 + 50 * smooth(rng, height, width, 3, 4), 0, 255)
    image[height // 4 : height // 2, width // 4 : width // 2] = (200, 60, 40)
    image[: height // 6, : width // 6] = 0
    image = np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)
    logits = 1.5 * smooth(rng, height, width, labels, 3).transpose(2, 0, 1)
    logits[1, height // 4 : height // 2, width // 4 : width // 2] += 1
    odds = np.exp(logits - logits.max(0))
    probabilities = (odds / odds.sum(0)).astype(np.float32)
    probabilities[:, 0, 0] = np.eye(labels, dtype=np.float32)[0]  # a certain pixel: the clip matters
    return image, probabilities


if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    for name, (height, width, labels, preset, iterations) in CASES.items():
        image, probabilities = generate(height, width, labels)
        marginals = dense_crf(image, probabilities, engine="pydensecrf", iterations=iterations, **PRESETS[preset])
        np.savez_compressed(
            HERE / f"crf_{name}.npz",
            image=image,
            probabilities=probabilities,
            marginals=marginals,
            preset=preset,
            iterations=iterations,
        )
