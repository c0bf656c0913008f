from xml.etree import ElementTree

import numpy as np
import pytest

from wsscli.classes import ClassTable
from wsscli.data.dataset import open_dataset
from wsscli.data.generated import CLASSES, draw_scene, write_generated
from wsscli.data.textures import GROUNDS, ground, noise, smoothstep
from wsscli.data.things import THINGS
from wsscli.errors import WssError


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return write_generated(tmp_path_factory.mktemp("tiny") / "set", preset="tiny")


def _bytes(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_the_tiny_set_is_a_devkit(tiny):
    train, val = open_dataset(tiny, split="train"), open_dataset(tiny, split="val")
    assert (len(train), len(val), train.format) == (8, 4, "voc")
    assert train.classes.foreground == CLASSES
    assert len(CLASSES) >= 3
    for name in train.ids:
        assert train.image(name).shape == (48, 64, 3)
        assert train.truth(name).shape == (48, 64)


def test_labels_and_boxes_are_those_of_the_mask(tiny):
    for split in ("train", "val"):
        data = open_dataset(tiny, split=split)
        for name in data.ids:
            mask = data.truth(name)
            assert data.labels(name) == tuple(int(v) for v in np.unique(mask) if v)
            covered = np.zeros(mask.shape, bool)
            for item in ElementTree.parse(tiny / f"Annotations/{name}.xml").getroot().findall("object"):
                box = [int(item.findtext(f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax")]
                covered[box[1] - 1 : box[3], box[0] - 1 : box[2]] = True
                label = data.classes.id(item.findtext("name"))
                assert (mask[box[1] - 1 : box[3], box[0] - 1 : box[2]] == label).any()
            assert not mask[~covered].any()


def test_equal_seeds_give_equal_bytes_and_others_do_not(tiny, tmp_path):
    again = _bytes(write_generated(tmp_path / "again", preset="tiny"))
    assert again == _bytes(tiny)
    other = _bytes(write_generated(tmp_path / "other", preset="tiny", seed=1))
    assert other["JPEGImages/train_0000.jpg"] != again["JPEGImages/train_0000.jpg"]


def test_a_longer_set_begins_with_the_shorter_one(tiny, tmp_path):
    longer = _bytes(write_generated(tmp_path / "longer", preset="tiny", images=10, val=0))
    assert longer["JPEGImages/train_0007.jpg"] == _bytes(tiny)["JPEGImages/train_0007.jpg"]
    assert open_dataset(tmp_path / "longer").split == "train"


def test_train_and_val_differ(tiny):
    files = _bytes(tiny)
    assert files["JPEGImages/train_0000.jpg"] != files["JPEGImages/val_0000.jpg"]


def test_sets_are_balanced_and_hold_several_things_a_picture():
    table = ClassTable.of(CLASSES)
    scenes = [draw_scene(table, (48, 64), np.random.default_rng([5, n]), n) for n in range(40)]
    counts = np.zeros(len(table), int)
    for scene in scenes:
        present = np.unique(scene.mask)
        assert 0 in present
        assert len(present) > 1
        counts[present] += 1
    assert counts[1:].min() >= 8
    assert sum(len(scene.boxes) > 1 for scene in scenes) >= 15
    covered = np.mean([np.mean(scene.mask > 0) for scene in scenes])
    assert 0.1 < covered < 0.5


@pytest.mark.parametrize("name", THINGS)
def test_every_thing_alone(name):
    scene = draw_scene(ClassTable.of([name]), (64, 64), np.random.default_rng(3))
    assert scene.image.shape == (64, 64, 3)
    assert set(np.unique(scene.mask)) == {0, 1}


@pytest.mark.parametrize("kind", GROUNDS)
def test_every_ground_is_textured_and_in_range(kind):
    colour = ground(kind, 40, 60, np.random.default_rng(1))
    assert colour.shape == (40, 60, 3)
    assert colour.min() >= 0
    assert colour.max() <= 1
    assert colour.std(axis=(0, 1)).max() > 0.01


def test_noise_is_smooth_and_in_range():
    x = np.linspace(-5, 70, 2000)
    values = noise(x, np.full_like(x, 3.3), np.random.default_rng(0))
    assert values.min() >= 0
    assert values.max() <= 1
    assert np.abs(np.diff(values)).max() < 0.1
    knots = noise(np.array([2.0]), np.array([5.0]), np.random.default_rng(0))
    assert knots[0] == np.random.default_rng(0).random((64, 64))[5, 2]


def test_smoothstep_both_ways():
    values = np.array([-1.0, 0.0, 0.5, 1.0, 2.0])
    assert smoothstep(0, 1, values).tolist() == [0, 0, 0.5, 1, 1]
    assert smoothstep(1, 0, values).tolist() == [1, 1, 0.5, 0, 0]


def test_errors(tmp_path):
    with pytest.raises(WssError) as error:
        write_generated(tmp_path, classes=("ball", "cow"))
    assert str(error.value) == "no generated thing 'cow'; there are ball, crate, fish, starfish"
    with pytest.raises(WssError) as error:
        write_generated(tmp_path, size=(10, 64))
    assert str(error.value) == "a generated picture of 10x64 is too small; give at least 24x24"
