import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsscli.errors import WssError
from wsscli.maskdir.manifest import Manifest, write_manifest
from wsscli.maskdir.maskdir import open_maskdir
from wsscli.maskdir.proposals import ProposalSet, encode_proposals, read_proposals, write_proposals
from wsscli.maskdir.writer import Output, write_output

SUPERPIXELS = np.array([[0, 0, 1], [2, 3, 1]], np.int32)


def of(*lists, superpixels=SUPERPIXELS, scores=None):
    starts = np.cumsum([0, *map(len, lists)], dtype=np.int64)
    members = np.array([m for part in lists for m in part], np.int32)
    scores = np.arange(len(lists), 0, -1) if scores is None else scores
    return ProposalSet(superpixels, starts, members, np.array(scores, np.float32))


@st.composite
def sets(draw):
    height, width, parts = draw(st.integers(1, 5)), draw(st.integers(1, 6)), draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    superpixels = np.unique(rng.integers(0, parts, (height, width)), return_inverse=True)[1]
    superpixels = superpixels.reshape(height, width).astype(np.int32)
    n, s = draw(st.integers(0, 7)), superpixels.max() + 1
    lists = [sorted(rng.choice(s, rng.integers(1, s + 1), replace=False).tolist()) for _ in range(n)]
    return of(*lists, superpixels=superpixels), rng


def literal_masks(item):
    """bool (n, H, W), pixel by pixel."""
    found = np.zeros((len(item), *item.size), bool)
    for i in range(len(item)):
        for y in range(item.size[0]):
            for x in range(item.size[1]):
                for k in range(item.starts[i], item.starts[i + 1]):
                    found[i, y, x] |= item.superpixels[y, x] == item.members[k]
    return found


def test_by_hand():
    item = of([0], [1, 3])
    assert len(item) == 2 and item.size == (2, 3) and item.n_superpixels == 4
    np.testing.assert_array_equal(item.mask(1), [[0, 0, 1], [0, 1, 1]])
    assert item.areas.tolist() == [2, 3]
    assert item.boxes.tolist() == [[0, 0, 2, 1], [1, 0, 3, 2]]
    np.testing.assert_array_equal(item.coverage([0.5, 2]), [[0.5, 0.5, 2], [0, 2, 2]])
    assert item.means(np.array([[1.0, 3, 4], [9, 5, 6]])).tolist() == [2, 5]
    labels = np.array([[7, 255, 1], [0, 1, 255]], np.uint8)
    np.testing.assert_allclose(item.overlaps(labels, [1, 7, 9]), [[0, 0.5, 0], [2 / 3, 0, 0]])
    np.testing.assert_allclose(item.overlaps(labels, [1, 7], ignore=255), [[0, 1], [1, 0]])
    assert item.boxes.dtype == np.int32 and item.areas.dtype == np.int64


@settings(deadline=None, max_examples=40)
@given(sets())
def test_equal_to_loops_over_pixels(made):
    item, rng = made
    masks = literal_masks(item)
    np.testing.assert_array_equal(item.masks(range(len(item))), masks)
    chosen = rng.permutation(len(item))[: len(item) // 2]
    np.testing.assert_array_equal(item.masks(chosen), masks[chosen])
    assert item.areas.tolist() == [int(m.sum()) for m in masks]
    weights, values = rng.normal(size=len(item)), rng.normal(size=item.size)
    total = np.zeros(item.size)
    for mask, weight in zip(masks, weights, strict=True):
        total += weight * mask
    np.testing.assert_allclose(item.coverage(weights), total, atol=1e-12)
    np.testing.assert_allclose(item.means(values), [values[m].mean() for m in masks], atol=1e-12)
    for mask, (x0, y0, x1, y1) in zip(masks, item.boxes, strict=True):
        rows, columns = np.nonzero(mask)
        assert (x0, y0, x1, y1) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    labels = rng.choice([0, 1, 2, 255], item.size).astype(np.uint8)
    for ignore in (None, 255):
        found = item.overlaps(labels, [2, 0, 5], ignore=ignore)
        assert found.shape == (len(item), 3)
        for i, mask in enumerate(masks):
            for j, value in enumerate([2, 0, 5]):
                seen = np.ones(item.size, bool) if ignore is None else labels != ignore
                both, either = mask & (labels == value) & seen, (mask | (labels == value)) & seen
                assert found[i, j] == pytest.approx(both.sum() / max(1, either.sum()))


@settings(deadline=None, max_examples=40)
@given(sets(), st.integers(0, 9))
def test_the_best_alone(made, count):
    item, _ = made
    few = item.first(count)
    assert len(few) == min(count, len(item))
    np.testing.assert_array_equal(few.masks(range(len(few))), item.masks(range(len(few))))
    np.testing.assert_array_equal(few.scores, item.scores[:count])


@settings(deadline=None, max_examples=40)
@given(sets())
def test_files_hold_what_was_written(tmp_path_factory, made):
    item, _ = made
    path = tmp_path_factory.mktemp("proposals") / "a" / "b.npz"
    data = write_proposals(path, item)
    assert path.read_bytes() == data == encode_proposals(item)
    back = read_proposals(path)
    for name in ("superpixels", "starts", "members", "scores"):
        was, now = getattr(item, name), getattr(back, name)
        np.testing.assert_array_equal(was, now)
        assert was.dtype == now.dtype


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 70), st.integers(0, 2**32 - 1))
def test_of_masks_is_exact(n, seed):
    rng = np.random.default_rng(seed)
    masks = rng.random((n, 4, 5)) < rng.random((n, 1, 1))
    masks[:, 1, 1] = True
    scores = rng.integers(0, 4, n)
    item = ProposalSet.of_masks(masks, scores)
    order = sorted(range(n), key=lambda i: (-scores[i], i))
    np.testing.assert_array_equal(item.masks(range(n)), masks[order])
    assert item.scores.tolist() == sorted(scores.tolist(), reverse=True)
    assert item.n_superpixels == len({tuple(masks[:, y, x]) for y in range(4) for x in range(5)})
    first = [np.argmax(item.superpixels.ravel() == s) for s in range(item.n_superpixels)]
    assert first == sorted(first)
    write = encode_proposals(ProposalSet.of_masks(list(masks), scores))
    assert write == encode_proposals(item)


def test_of_masks_refuses_an_empty_one():
    masks = np.array([[[True, False]], [[False, False]]])
    with pytest.raises(WssError) as caught:
        ProposalSet.of_masks(masks, [1, 2])
    assert str(caught.value) == "mask 1 of 2 has no pixel; leave it out"


def test_many_superpixels_keep_their_numbers(tmp_path):
    superpixels = np.arange(70000, dtype=np.int32).reshape(700, 100)
    item = of([3, 69999], [65536], superpixels=superpixels)
    write_proposals(tmp_path / "a.npz", item)
    np.testing.assert_array_equal(read_proposals(tmp_path / "a.npz").superpixels, superpixels)
    assert read_proposals(tmp_path / "a.npz").members.tolist() == [3, 69999, 65536]


@pytest.mark.parametrize(
    ("item", "fault"),
    [
        (
            of([0], superpixels=np.zeros(3, np.int32)),
            "superpixels (3,), starts (2,), members (1,), scores (1,); need (H, W), (n + 1,), (m,) and (n,)",
        ),
        (of([0], scores=[2, 1]), "superpixels (2, 3), starts (2,), members (1,), scores (2,) do not fit each other"),
        (of([0], []), "proposal 1 has no superpixel"),
        (of([0], superpixels=SUPERPIXELS - 1), "the superpixel -1 is negative"),
        (of([0, 4], [1]), "members 0..4 are not among the superpixels 0..3"),
        (of([0], [3, 1]), "members of a proposal do not ascend"),
        (of([0], [1], scores=[1, 2]), "scores are not finite and descending"),
        (of([0], scores=[np.nan]), "scores are not finite and descending"),
    ],
)
def test_unsound_sets_are_not_written(item, fault):
    with pytest.raises(WssError) as caught:
        encode_proposals(item)
    assert str(caught.value) == f"proposals: {fault}"


def test_missing_and_damaged(tmp_path):
    with pytest.raises(WssError, match=r"none\.npz: no such proposals$"):
        read_proposals(tmp_path / "none.npz")
    path = tmp_path / "s.npz"
    for garbage in (b"", b"PK\x03\x04 torn", b"\x93NUMPY"):
        path.write_bytes(garbage)
        with pytest.raises(
            WssError, match=r"s\.npz: cannot be read as proposals \(.*the file is damaged, write it again"
        ):
            read_proposals(path)
    np.savez(path, superpixels=SUPERPIXELS)
    with pytest.raises(WssError) as caught:
        read_proposals(path)
    assert str(caught.value) == (
        f"{path}: proposals without the entry 'counts'; need superpixels, counts, steps, scores"
    )
    np.savez(path, superpixels=np.array([print], dtype=object), counts=[1], steps=[0], scores=[1.0])
    with pytest.raises(WssError, match=r"s\.npz: cannot be read as proposals \(Object arrays cannot be loaded"):
        read_proposals(path)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"counts": [2, 1]}, "counts (2,) of the sum 3 do not fit steps (2,)"),
        ({"counts": [[1, 1]]}, "counts (1, 2) of the sum 2 do not fit steps (2,)"),
        ({"counts": [2, 0]}, "counts (2,) of the sum 2 do not fit steps (2,)"),
        ({"counts": [3, -1]}, "counts (2,) of the sum 2 do not fit steps (2,)"),
        ({"steps": [[0, 3]]}, "counts (2,) of the sum 2 do not fit steps (1, 2)"),
        ({"steps": [0, 9]}, "members 0..9 are not among the superpixels 0..3"),
        ({"scores": [1.0, 2.0]}, "scores are not finite and descending"),
        (
            {"superpixels": [0, 1]},
            "superpixels (2,), starts (3,), members (2,), scores (2,); need (H, W), (n + 1,), (m,) and (n,)",
        ),
    ],
)
def test_unsound_files(tmp_path, changes, fault):
    path = tmp_path / "s.npz"
    np.savez(path, **({"superpixels": SUPERPIXELS, "counts": [1, 1], "steps": [0, 3], "scores": [2.0, 1.0]} | changes))
    with pytest.raises(WssError) as caught:
        read_proposals(path)
    assert str(caught.value) == f"{path}: not sound proposals: {fault}; the file is damaged, write it again"


def test_a_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "s.npz"
    data = bytearray(write_proposals(path, of([0], [1, 3])))
    with zipfile.ZipFile(path) as archive:
        at = archive.infolist()[1].header_offset - 5  # the end of the first entry's bytes
    data[at] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(WssError, match=r"s\.npz: .*; the file is damaged, write it again$"):
        read_proposals(path)


def test_a_directory_of_proposals(tmp_path):
    item = of([0], [1, 3])
    record = write_output(tmp_path, "sub/a", Output(proposals=item))
    assert list(record["files"]) == ["proposals/sub/a.npz"]
    write_manifest(tmp_path, Manifest(kind="proposals", step="propose", complete=True, images=1))
    opened = open_maskdir(tmp_path, need="proposals")
    assert opened.has_proposals and not opened.has_masks and not opened.has_scores
    assert opened.ids == ["sub/a"]
    np.testing.assert_array_equal(opened.proposals("sub/a").mask(1), item.mask(1))
    assert open_maskdir(tmp_path, need="anything").ids == ["sub/a"]
    for need in ("any", "masks", "scores"):
        with pytest.raises(WssError) as caught:
            open_maskdir(tmp_path, need=need)
        assert str(caught.value) == (
            f"{tmp_path}: holds proposals (written by `wss propose`), but a mask directory is needed"
        )
    (tmp_path / "proposals/sub/a.npz").unlink()
    with pytest.raises(WssError, match=r"speaks of 1 images, but 0 are in proposals/; put the others back"):
        _ = open_maskdir(tmp_path, need="proposals").ids


def test_other_directories_hold_no_proposals(tmp_path):
    write_manifest(tmp_path, Manifest(kind="masks", step="crf", complete=True))
    with pytest.raises(WssError) as caught:
        open_maskdir(tmp_path, need="proposals")
    assert str(caught.value) == (
        f"{tmp_path}: holds masks (written by `wss crf`), but proposals are needed; make them with `wss propose`"
    )
    (tmp_path / "plain").mkdir()
    with pytest.raises(WssError) as caught:
        open_maskdir(tmp_path / "plain", need="proposals")
    assert str(caught.value) == (
        f"{tmp_path}/plain: no wss.json here, so no proposals; make them with `wss propose`, or `wss import proposals`"
    )
