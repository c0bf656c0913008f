"""Clips with known masks: textured discs on a textured ground, and a photo that a camera pans over."""

import cv2
import numpy as np


def texture(rng, height, width, sigma, colour, strength=25.0):
    noise = cv2.GaussianBlur(rng.normal(0, 1, (height, width, 3)), (0, 0), sigma)
    return (np.array(colour) + strength * noise / noise.std()).clip(0, 255)


def moving(seed=0, frames=24, size=(90, 120), objects=1, pan=0.0):
    """Textured ellipses on their orbits; frames uint8 (n,H,W,3), masks bool (n,H,W). `pan`: pixels a frame."""
    rng = np.random.default_rng(seed)
    height, width = size
    ground = texture(rng, height, 2 * width, 6, (100, 140, 90))
    skins = [texture(rng, height, width, 2, colour) for colour in ((190, 80, 60), (70, 90, 190))]
    phases = rng.uniform(0, 2 * np.pi, (2, 2))
    photos, masks = [], []
    for t in range(frames):
        shift = round(pan * t)
        photo, mask = ground[:, shift : shift + width].copy(), np.zeros(size, bool)
        for k in range(objects):
            turn = 2 * np.pi * t / frames
            x = round(width * (0.5 + 0.28 * np.sin(turn * (1 + k) + phases[k, 0])))
            y = round(height * (0.5 + 0.25 * np.cos(turn + phases[k, 1])))
            shape = np.zeros(size, np.uint8)
            cv2.ellipse(shape, (x, y), (17, 12), 20 * k, 0, 360, 1, -1)
            photo[shape > 0] = np.roll(skins[k], (y, x), (0, 1))[shape > 0]
            mask |= shape > 0
        photos.append((photo + rng.normal(0, 3, photo.shape)).clip(0, 255).astype(np.uint8))
        masks.append(mask)
    return np.stack(photos), np.stack(masks)


def panned(photo, cut, shape, frames=24):
    """A photo panned and zoomed, a cut-out (h,w,3) with its shape (h,w) moving before it."""
    height, width = photo.shape[:2]
    scale = 0.4 * min(height, width) / max(shape.shape)
    cut = cv2.resize(cut, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    shape = cv2.resize(shape.astype(np.uint8), cut.shape[1::-1], interpolation=cv2.INTER_NEAREST) > 0
    photos, masks = [], []
    for t in range(frames):
        zoom, x = 1.1 + 0.1 * t / frames, 8 * t / frames - 4
        view = np.array([[zoom, 0, (1 - zoom) * width / 2 + x], [0, zoom, (1 - zoom) * height / 2]])
        seen = cv2.warpAffine(photo, view, (width, height), borderMode=cv2.BORDER_REPLICATE)
        turn, mask = 2 * np.pi * t / frames, np.zeros((height, width), bool)
        top = round((height - shape.shape[0]) * (0.5 + 0.4 * np.sin(turn)))
        left = round((width - shape.shape[1]) * (0.5 + 0.45 * np.cos(turn)))
        place = np.s_[top : top + shape.shape[0], left : left + shape.shape[1]]
        mask[place] = shape
        seen[place][shape] = cut[shape]
        photos.append(seen)
        masks.append(mask)
    return photos, masks
