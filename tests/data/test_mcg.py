import json

import numpy as np
import pytest
from pycocotools import mask as rle
from scipy.io import savemat

from wsscli.data.mcg import read_coco_proposals, read_mat
from wsscli.errors import WssError

SUPERPIXELS = np.array([[1, 1, 2], [5, 5, 2]], np.uint16)  # number 3 and 4 do not occur
FORM = '[{"image_id": ..., "segmentation": {"size": [H, W], "counts": ...}, "score": ...}, ...]'


def cell(*lists):
    made = np.empty((len(lists), 1), object)
    for k, members in enumerate(lists):
        made[k, 0] = np.array(members, np.float64).reshape(1, -1)
    return made


def masks_of(item):
    return item.masks(range(len(item))).astype(int).tolist()


def test_mcg_as_it_is_ranked(tmp_path):
    savemat(tmp_path / "a.mat", {"superpixels": SUPERPIXELS, "labels": cell([5, 1], [2]), "other": 3})
    item = read_mat(tmp_path / "a.mat")
    assert masks_of(item) == [[[1, 1, 0], [1, 1, 0]], [[0, 0, 1], [0, 0, 1]]]
    assert item.scores.tolist() == [1, 0.5]


def test_mcg_by_its_scores(tmp_path):
    savemat(
        tmp_path / "a.mat", {"superpixels": SUPERPIXELS, "labels": cell([1], [2], [5]), "scores": [[0.1], [0.9], [0.5]]}
    )
    item = read_mat(tmp_path / "a.mat")
    assert masks_of(item) == [[[0, 0, 1], [0, 0, 1]], [[0, 0, 0], [1, 1, 0]], [[1, 1, 0], [0, 0, 0]]]
    np.testing.assert_allclose(item.scores, [0.9, 0.5, 0.1])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"labels": cell([1], [3])}, "proposal 2 names the superpixel 3, not there"),
        ({"labels": cell([1], [9])}, "proposal 2 names the superpixel 9, not there"),
        ({"labels": cell([1], [])}, "proposal 2 has no superpixel"),
        ({"scores": [[1.0], [2.0], [3.0]]}, "3 scores for 2 proposals"),
        ({"scores": [[1.0], [np.nan]]}, "the score nan is no number that can be kept"),
        ({"scores": [[1e300], [1.0]]}, "the score 1e+300 is no number that can be kept"),
        ({"labels": cell([1], [1.5])}, "proposal 2: not all of it are whole numbers"),
        ({"labels": np.array([[1], [2]])}, "labels is no cell of lists"),
        ({"labels": {"a": 1}}, "labels is no cell of lists"),
        ({"superpixels": np.array([[1.0, np.nan]])}, "superpixels: not all of it are whole numbers"),
        ({"superpixels": np.array([[1, 2j]])}, "superpixels: not all of it are whole numbers"),
        ({"superpixels": np.ones((2, 2, 2))}, "superpixels of the shape (2, 2, 2), need (H, W)"),
        ({"superpixels": np.zeros((0, 0))}, "superpixels of the shape (0, 0), need (H, W)"),
    ],
)
def test_mat_files_of_another_form(tmp_path, changes, told):
    path = tmp_path / "a.mat"
    savemat(path, {"superpixels": SUPERPIXELS, "labels": cell([1], [2]), **changes})
    with pytest.raises(WssError) as caught:
        read_mat(path)
    assert str(caught.value) == f"{path}: not proposals as MCG writes them: {told}"


def test_mat_files_that_are_none(tmp_path):
    with pytest.raises(WssError) as caught:
        read_mat(tmp_path / "a.mat")
    assert str(caught.value) == f"{tmp_path}/a.mat: no such file of proposals"
    for garbage in (b"", b"MATLAB 5.0 MAT-file" + bytes(200), b"what is this" * 30):
        (tmp_path / "b.mat").write_bytes(garbage)
        with pytest.raises(WssError, match=r"b\.mat: not readable as a MATLAB file \(.*\); get it again$"):
            read_mat(tmp_path / "b.mat")
    savemat(tmp_path / "b.mat", {"superpixels": SUPERPIXELS})
    torn = bytearray((tmp_path / "b.mat").read_bytes())
    torn[144] ^= 255  # the class of the matrix: scipy trips over it
    (tmp_path / "b.mat").write_bytes(torn)
    with pytest.raises(WssError, match=r"b\.mat: not readable as a MATLAB file \(.*\); get it again$"):
        read_mat(tmp_path / "b.mat")
    (tmp_path / "c.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(100))
    with pytest.raises(WssError) as caught:
        read_mat(tmp_path / "c.mat")
    assert str(caught.value) == (
        f"{tmp_path}/c.mat: a MATLAB file of version 7.3, which is not read; save it with `save(FILE, '-v7')`"
    )
    savemat(tmp_path / "d.mat", {"superpixels": SUPERPIXELS})
    with pytest.raises(WssError) as caught:
        read_mat(tmp_path / "d.mat")
    assert str(caught.value) == f"{tmp_path}/d.mat: no entry 'labels'; MCG's files hold superpixels and labels"


def compressed(mask):
    found = rle.encode(np.asfortranarray(np.array(mask, np.uint8)))
    return {"size": list(found["size"]), "counts": found["counts"].decode()}


def coco(tmp_path, *entries):
    path = tmp_path / "p.json"
    path.write_text(json.dumps(list(entries)))
    return path


def test_rle_masks_by_score(tmp_path):
    first, second = [[1, 0, 0], [1, 0, 0]], [[0, 1, 1], [0, 0, 1]]
    path = coco(
        tmp_path,
        {"image_id": 7, "segmentation": compressed(first), "score": 0.25},
        {"image_id": 7, "segmentation": {"size": [2, 3], "counts": [2, 1, 1, 2]}, "score": 0.75},
        {"image_id": 7, "segmentation": compressed([[0, 0, 0], [0, 0, 0]]), "score": 0.9},
        {"image_id": "sub/b", "segmentation": compressed(second)},
        {"image_id": "sub/b", "segmentation": compressed(first)},
        {"image_id": "empty", "segmentation": compressed([[0, 0, 0], [0, 0, 0]])},
    )
    found = read_coco_proposals(path)
    assert set(found.entries) == {"7", "sub/b", "empty"}
    item, left_out = found.read("7")
    assert masks_of(item) == [[[0, 1, 1], [0, 0, 1]], first] and left_out == 1
    assert item.scores.tolist() == [0.75, 0.25]
    item, left_out = found.read("sub/b")  # without scores as they stand
    assert masks_of(item) == [second, first] and left_out == 0
    assert found.read("empty") == (None, 1)


def test_rle_masks_of_another_form(tmp_path):
    def told(segmentation):
        found = read_coco_proposals(coco(tmp_path, {"image_id": 1, "segmentation": segmentation}))
        with pytest.raises(WssError) as caught:
            found.read("1")
        return str(caught.value)

    head, tail = f"{tmp_path}/p.json: mask 1 of image '1' is no RLE mask (", '); need {"size": [H, W], "counts": ...}'
    wanted = f"{head}an RLE of 5 pixels, the image has 6{tail}"
    assert told({"size": [2, 3], "counts": [2, 3]}) == wanted
    assert told({"size": [2, 3], "counts": ""}) == f"{head}an RLE of 0 pixels, the image has 6{tail}"
    assert told([[0, 0, 1, 1, 0, 1]]) == f"{head}no object{tail}"
    for other in ({"size": [2, 3]}, None, {"counts": [6]}, {"size": [2], "counts": [2]}):
        found = told(other)
        assert found.startswith(head) and found.endswith(tail)
    both = coco(
        tmp_path,
        {"image_id": 1, "segmentation": {"size": [2, 3], "counts": [0, 6]}},
        {"image_id": 1, "segmentation": {"size": [3, 2], "counts": [0, 6]}},
    )
    with pytest.raises(WssError) as caught:
        read_coco_proposals(both).read("1")
    assert str(caught.value) == f"{both}: masks of image '1' differ in size: [(2, 3), (3, 2)]"


def test_sizes_are_known_before_any_mask_is_decoded(tmp_path):
    huge = {"size": [10**6, 10**6], "counts": [10**12 - 1, 1]}
    found = read_coco_proposals(coco(tmp_path, *[{"image_id": 1, "segmentation": huge}] * 2))
    assert found.size("1") == (10**6, 10**6)


@pytest.mark.parametrize("score", [None, "good", [1], float("nan"), -float("inf"), 1e300])
def test_scores_that_are_none(tmp_path, score):
    path = coco(
        tmp_path, {"image_id": 1, "segmentation": {"size": [1, 1], "counts": [0, 1]}},
        {"image_id": 1, "segmentation": {"size": [1, 1], "counts": [0, 1]}, "score": score},
    )  # fmt: skip
    with pytest.raises(WssError) as caught:
        read_coco_proposals(path).read("1")
    assert str(caught.value) == (
        f"{path}: the score {score!r} of mask 2 of image '1' is no finite number; mend it, or leave out all scores to "
        "keep the order of the file"
    )


def test_json_files_that_are_none(tmp_path):
    path = tmp_path / "p.json"
    with pytest.raises(WssError, match=r"p\.json: not readable as JSON \(.*\)$"):
        read_coco_proposals(path)
    path.write_text("[{]")
    with pytest.raises(WssError, match=r"p\.json: not readable as JSON \(.*\)$"):
        read_coco_proposals(path)
    path.write_text("[" * 100_000)
    with pytest.raises(WssError, match=r"p\.json: not readable as JSON \(.*\)$"):
        read_coco_proposals(path)
    for text in ("{}", "[]"):
        path.write_text(text)
        with pytest.raises(WssError) as caught:
            read_coco_proposals(path)
        assert str(caught.value) == f"{path}: no list of proposals; need {FORM}"
    path.write_text('[{"image_id": 1}]')
    with pytest.raises(WssError) as caught:
        read_coco_proposals(path)
    assert str(caught.value) == f"{path}: entry 1 has no image_id or no segmentation; need {FORM}"
