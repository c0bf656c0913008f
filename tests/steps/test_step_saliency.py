"""`wss saliency`: one map an image, from the photo alone."""

import numpy as np
from PIL import Image

from wsscli.maskdir.maskdir import open_maskdir
from wsscli.saliency.rbd import saliency as rbd
from wsscli.steps._data import Data
from wsscli.steps._run import Run
from wsscli.steps.saliency import saliency


def test_a_map_an_image_and_no_supervision(scenes):
    for name in scenes.ids:  # neither labels nor masks are read
        (scenes.root / f"Annotations/{name}.xml").unlink()
    found = open_maskdir(saliency(scenes.out / "sal", data=Data(scenes.root, split="train")), need="scores")
    manifest = found.manifest
    assert (manifest.kind, manifest.score_type, manifest.supervision) == ("scores", "saliency", ())
    assert manifest.options == {"method": "rbd"} and found.ids == scenes.ids
    for name in scenes.ids:
        scores = found.scores(name)
        assert scores.classes.tolist() == [0] and scores.size == scenes.truth[name].shape
        photo = np.array(Image.open(scenes.root / f"JPEGImages/{name}.jpg"))
        np.testing.assert_array_equal(scores.scores[0], rbd(photo))


def test_bytes_do_not_depend_on_workers(scenes):
    data = Data(scenes.root, split="train")
    one = saliency(scenes.out / "one", data=data, run=Run(workers=1))
    many = saliency(scenes.out / "many", data=data, run=Run(workers=3))
    for name in scenes.ids:
        assert (one / f"scores/{name}.npz").read_bytes() == (many / f"scores/{name}.npz").read_bytes()
