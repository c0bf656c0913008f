"""CAM dictionaries: the schemas as published code writes them, what is refused, and fitting maps to photos."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from wsscli.classes import ClassTable
from wsscli.data.cam_npy import (
    FORMS,
    choose_map,
    encode_maps,
    fit_maps,
    is_empty,
    read_dictionary,
    read_maps,
    schema_of,
    strided_size,
)
from wsscli.errors import WssError

CLASSES = ClassTable.of(("cat", "dog", "hen"))
KEYS = [0, 2]  # cat and hen
HIGH = np.random.default_rng(0).random((2, 6, 8)).astype(np.float32)
LOW = np.random.default_rng(1).random((2, 2, 2)).astype(np.float32)
SCHEMAS = list(FORMS)

# as the code of each schema writes it; the comment names the line
WRITTEN = {
    "psa": {0: HIGH[0], 2: HIGH[1]},  # cam_dict[i] = norm_cam[i]
    "irn": {"keys": torch.tensor(KEYS), "cam": torch.tensor(LOW), "high_res": HIGH},  # valid_cat, strided_cam.cpu()
    "puzzlecam": {"keys": np.array([0, 1, 3]), "cam": torch.tensor(LOW), "hr_cam": HIGH},  # np.pad(keys + 1, (1, 0))
    "clip-es": {"keys": np.array(KEYS), "attn_highres": HIGH.astype(np.float16)},
    "toco": {"keys": np.array(KEYS), "high_res": HIGH},
}
RANDOM_WALK = {"keys": np.array([0, 1, 3]), "rw": HIGH}  # PuzzleCAM's inference_rw.py


def save(tmp_path, content, name="x.npy"):
    np.save(tmp_path / name, content)
    return tmp_path / name


def read(tmp_path, content, schema=None, entry=None):
    path = save(tmp_path, content)
    found = read_dictionary(path)
    schema = schema or schema_of(found, path)
    return read_maps(found, path, schema, entry or choose_map(found, path, schema), CLASSES)


def told(call, *args):
    with pytest.raises(WssError) as caught:
        call(*args)
    return str(caught.value)


@pytest.mark.parametrize("schema", SCHEMAS)
def test_what_the_published_code_writes(tmp_path, schema):
    path = save(tmp_path, WRITTEN[schema])
    content = read_dictionary(path)
    assert schema_of(content, path) == schema
    maps, classes = read(tmp_path, WRITTEN[schema])
    assert classes.tolist() == [1, 3] and classes.dtype == np.int64 and maps.dtype == np.float32
    expected = HIGH.astype(np.float16) if schema == "clip-es" else HIGH
    np.testing.assert_array_equal(maps, expected)


def test_maps_that_are_not_the_finest(tmp_path):
    for schema in ("irn", "puzzlecam"):
        np.testing.assert_array_equal(read(tmp_path, WRITTEN[schema], entry="cam")[0], LOW)
    np.testing.assert_array_equal(read(tmp_path, RANDOM_WALK)[0], HIGH)
    assert schema_of(RANDOM_WALK, tmp_path) == "puzzlecam" and choose_map(RANDOM_WALK, tmp_path, "puzzlecam") == "rw"
    assert schema_of({"keys": np.array(KEYS), "highres": HIGH}, tmp_path) == "clip-es"


def test_maps_alone_under_cam_are_told_apart_by_their_number(tmp_path):
    path = tmp_path / "x"
    assert schema_of({"keys": np.array(KEYS), "cam": LOW}, path) == "irn"
    assert schema_of({"keys": np.array([0, 1, 3]), "cam": LOW}, path) == "puzzlecam"
    assert schema_of({"keys": np.array([0, 1, 3]), "cam": "?"}, path) == "irn"  # reading says what is wrong with it


def test_classes_come_ascending_whatever_their_order(tmp_path):
    """CLIP-ES lists classes as the XML file does."""
    maps, classes = read(tmp_path, {"keys": np.array([2, 0]), "attn_highres": HIGH})
    assert classes.tolist() == [1, 3]
    np.testing.assert_array_equal(maps, HIGH[::-1])
    maps, classes = read(tmp_path, {2: HIGH[0], np.int64(0): HIGH[1]})
    assert classes.tolist() == [1, 3]
    np.testing.assert_array_equal(maps, HIGH[::-1])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "uint8", ">f4"])
def test_kinds_of_numbers(tmp_path, dtype):
    maps, _ = read(tmp_path, {1: (HIGH[0] * 200).astype(dtype)})
    assert maps.dtype == np.float32
    np.testing.assert_array_equal(maps[0], (HIGH[0] * 200).astype(dtype).astype(np.float32))


@pytest.mark.parametrize(
    ("schema", "content"),
    [
        ("psa", {}),
        ("irn", {}),
        ("irn", {"keys": torch.zeros(0, dtype=torch.int64)}),
        ("irn", {"keys": torch.zeros(0, dtype=torch.int64), "cam": torch.zeros(0, 2, 2), "high_res": HIGH[:0]}),
        ("irn", {"keys": np.empty(0), "cam": np.empty(0), "high_res": np.empty(0)}),
        ("toco", {"keys": [], "high_res": []}),
        ("puzzlecam", {"keys": np.array([0]), "cam": torch.zeros(0, 2, 2), "hr_cam": HIGH[:0]}),
    ],
)
def test_an_image_without_a_class(tmp_path, schema, content):
    path = save(tmp_path, content)
    found = read_dictionary(path)
    maps, classes = read_maps(found, path, schema, None, CLASSES)
    assert maps.shape == (0, 1, 1) and classes.shape == (0,)
    if schema != "puzzlecam":
        assert is_empty(found) and schema_of(found, path) is None


AGAIN = "make the CAMs again"


@pytest.mark.parametrize(
    ("schema", "content", "message"),
    [
        ("psa", {3: HIGH[0]}, "holds the class key 3, but keys of psa count the 3 foreground classes from 0; name the "
         "data set (or --class-names) of these CAMs, or another --schema"),
        ("toco", {"keys": np.array([-1]), "high_res": HIGH[:1]}, "holds the class key -1, but keys of toco count the 3 "
         "foreground classes from 0; name the data set (or --class-names) of these CAMs, or another --schema"),
        ("puzzlecam", {"keys": np.array([0, 4]), "rw": HIGH[:1]}, "holds the class key 4, but keys of puzzlecam count "
         "the 3 foreground classes from 1 (0 is the background); name the data set (or --class-names) of these CAMs, or "
         "another --schema"),
        ("irn", {"keys": np.array([1, 1]), "cam": LOW}, f"holds the class key 1 twice; {AGAIN}"),
        ("psa", WRITTEN["irn"], "holds the entry 'keys', but psa's files go from class number to map; another --schema?"),
        ("psa", {True: HIGH[0]}, "holds the entry True, but psa's files go from class number to map; another --schema?"),
        ("psa", {0: HIGH[0], 1: LOW[0]}, "its maps are 2x2 and 8x6 pixels; all must be of one size"),
        ("psa", {0: HIGH}, "class key 0 is a float32 of shape (2, 6, 8), but it holds a map (h, w) of numbers; " + AGAIN),
        ("psa", {1: "x"}, f"class key 1 is a str, but it holds a map (h, w) of numbers; {AGAIN}"),
        ("psa", {1: np.zeros((0, 3))}, "class key 1 is a float64 of shape (0, 3), but it holds a map (h, w) of numbers; "
         + AGAIN),
        ("psa", {1: np.array([[1j]])}, "class key 1 is a complex128 of shape (1, 1), but it holds a map (h, w) of "
         f"numbers; {AGAIN}"),
        ("psa", {1: np.array([[np.nan, 1], [np.inf, 0]])}, f"class key 1 holds 2 values that are NaN or infinite; {AGAIN}"),
        ("psa", {1: np.array([[1e300]])}, f"class key 1 holds 1 values that are NaN or infinite; {AGAIN}"),
        ("psa", {0: 1 - HIGH[0], 2: HIGH[0]}, "its maps sum to 1 at each pixel: CRF scores as psa's --out_la_crf writes "
         "them, with the background as key 0 and classes from 1; import the CAMs (--out_cam)"),
        ("irn", WRITTEN["psa"], "has no entry 'keys', it holds 0, 2; name another --map or --schema"),
        ("irn", {"keys": np.array(KEYS), "high_res": HIGH[0]}, "'high_res' is a float32 of shape (6, 8), but it holds "
         f"maps (classes, h, w) of numbers; {AGAIN}"),
        ("irn", {"keys": np.array(KEYS), "high_res": [1]}, "'high_res' is a list, but it holds maps (classes, h, w) of "
         f"numbers; {AGAIN}"),
        ("irn", {"keys": np.array([0.0, 1.0]), "high_res": HIGH}, "its 'keys' are a float64 of shape (2,), but they are "
         f"integers, one a class; {AGAIN}"),
        ("irn", {"keys": np.array([[0, 1]]), "high_res": HIGH}, "its 'keys' are a int64 of shape (1, 2), but they are "
         f"integers, one a class; {AGAIN}"),
        ("irn", {"keys": "cat", "high_res": HIGH}, f"its 'keys' are a str, but they are integers, one a class; {AGAIN}"),
        ("irn", {"keys": [[0], [1, 2]], "high_res": HIGH}, "its 'keys' are a list, but they are integers, one a class; "
         + AGAIN),
        ("irn", {"keys": np.array([0, 1, 2]), "high_res": HIGH}, "has 3 keys and 2 maps in 'high_res', which do not fit "
         "each other (keys of irn do not begin with one for the background); name another --schema"),
        ("puzzlecam", {"keys": np.array([0, 1]), "hr_cam": HIGH}, "has 2 keys and 2 maps in 'hr_cam', which do not fit "
         "each other (keys of puzzlecam begin with one for the background); name another --schema"),
        ("puzzlecam", {"keys": np.array([1, 2]), "hr_cam": HIGH}, "its 'keys' are [1, 2], but PuzzleCAM's begin with 0 "
         "for the background; name another --schema"),
    ],
)  # fmt: skip
def test_files_that_cannot_be_right(tmp_path, schema, content, message):
    path = save(tmp_path, content)
    found = read_dictionary(path)
    entry = "high_res" if "high_res" in found else "cam" if "cam" in found else next(iter(found))
    entry = next((name for name in FORMS[schema].maps if name in found), entry)
    assert told(read_maps, found, path, schema, entry, CLASSES) == f"{path}: {message}"


def test_entries_that_are_not_there(tmp_path):
    path = tmp_path / "x"
    assert told(choose_map, {"keys": KEYS, "map": 1}, path, "irn") == (
        f"{path}: has no entry 'high_res' or 'cam', it holds 'keys', 'map'; name another --map or --schema"
    )
    assert told(read_maps, WRITTEN["toco"], path, "toco", "cam", CLASSES) == (
        f"{path}: has no entry 'cam', it holds 'keys', 'high_res'; name another --map or --schema"
    )
    many = {f"k{i}": i for i in range(9)}
    assert told(schema_of, many, path) == (
        f"{path}: holds 'k0', 'k1', 'k2', 'k3', 'k4', 'k5', ...: no schema that wss knows (psa, irn, puzzlecam, clip-es, "
        "toco); name the nearest with --schema and the entry with --map"
    )
    assert "holds 'key', 'cam': no schema" in told(schema_of, {"key": 1, "cam": LOW}, path)


def test_files_that_are_no_dictionary(tmp_path):
    assert told(read_dictionary, save(tmp_path, HIGH)) == (
        f"{tmp_path}/x.npy: holds a ndarray of shape (2, 6, 8), but a CAM file holds a dictionary: class -> map, or "
        "'keys' and maps"
    )
    path = tmp_path / "list.npy"
    np.save(path, np.array([1, {"a": 2}], object))
    assert told(read_dictionary, path).startswith(f"{path}: holds a ndarray of shape (2,), but a CAM file holds a dict")


names = ["keys", "cam", "high_res", "hr_cam", "rw", "attn_highres", -1, 0, 1, 2, 4]
values = [
    None, 1, "cat", HIGH, HIGH[0], HIGH[:1], np.array(KEYS), np.array([0]), np.array([0, 1, 3]), np.float32(3), np.array(2),
    [], [0], [2, 0], [[1], [2, 3]], np.array([None, 1], object), np.full((1, 2, 2), np.nan), {},
]  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from(names), st.sampled_from(values)), max_size=4), st.sampled_from(SCHEMAS))
def test_any_dictionary_gives_maps_or_our_error(entries, schema):
    path, content = Path("x.npy"), dict(entries)
    try:
        schema_of(content, path)
        entry = None if is_empty(content) else choose_map(content, path, schema)
        maps, classes = read_maps(content, path, schema, entry, CLASSES)
    except WssError as error:
        assert str(error).startswith("x.npy: ")
    else:
        assert len(maps) == len(classes) and maps.ndim == 3 and np.isfinite(maps).all()


@pytest.mark.parametrize("schema", SCHEMAS)
def test_written_as_the_published_code_writes(tmp_path, schema):
    path = tmp_path / "x.npy"
    path.write_bytes(encode_maps(schema, [1, 3], HIGH, LOW))
    mine = np.load(path, allow_pickle=True).item()
    theirs = WRITTEN[schema]
    assert list(mine) == list(theirs)
    for key, value in theirs.items():
        assert type(mine[key]) is type(value) and mine[key].dtype == value.dtype, key
        np.testing.assert_array_equal(np.asarray(mine[key]), np.asarray(value))
    assert all(type(key) is type(other) for key, other in zip(mine, theirs, strict=True))


@pytest.mark.parametrize("schema", SCHEMAS)
def test_their_code_reads_ours(tmp_path, schema):
    """The reading lines of each repository's own evaluation; each labels a pixel with its class id."""
    (tmp_path / "x.npy").write_bytes(encode_maps(schema, [1, 3], HIGH, LOW))
    predict_dict = np.load(tmp_path / "x.npy", allow_pickle=True).item()
    threshold = 0.4
    if schema == "psa":  # SEAM's evaluation.py
        h, w = next(iter(predict_dict.values())).shape
        tensor = np.zeros((21, h, w), np.float32)
        for key in predict_dict:
            tensor[key + 1] = predict_dict[key]
        tensor[0, :, :] = threshold
        labels = np.argmax(tensor, axis=0).astype(np.uint8)
    else:
        entry = {"irn": "high_res", "puzzlecam": "hr_cam", "clip-es": "attn_highres", "toco": "high_res"}[schema]
        cams = np.pad(predict_dict[entry], ((1, 0), (0, 0), (0, 0)), mode="constant", constant_values=threshold)
        # irn's eval_cam.py, CLIP-ES's eval_cam.py; PuzzleCAM's evaluate.py has the 0 already
        pad = schema != "puzzlecam"
        keys = np.pad(predict_dict["keys"] + 1, (1, 0), mode="constant") if pad else predict_dict["keys"]
        labels = keys[np.argmax(cams, axis=0)]
    stacked = np.stack([np.full((6, 8), threshold, HIGH.dtype), *HIGH.astype("f2" if schema == "clip-es" else "f4")])
    np.testing.assert_array_equal(labels, np.array([0, 1, 3])[stacked.argmax(0)])
    if schema in ("irn", "puzzlecam"):  # make_sem_seg_labels.py, inference_rw.py: cams.cuda()
        assert torch.equal(predict_dict["cam"].cpu(), torch.from_numpy(LOW))


@pytest.mark.parametrize("schema", SCHEMAS)
def test_an_image_without_a_class_written(tmp_path, schema):
    path = tmp_path / "x.npy"
    path.write_bytes(encode_maps(schema, [], HIGH[:0], LOW[:0]))
    content = read_dictionary(path)
    maps, classes = read_maps(content, path, schema, None, CLASSES)
    assert len(maps) == len(classes) == 0


def test_fitting_maps_to_the_photo(tmp_path):
    maps = np.arange(2 * 400 * 512, dtype=np.float32).reshape(2, 400, 512)
    path = tmp_path / "x"
    for size in ((400, 512), (500, 640)):
        assert fit_maps(maps, size, path) is maps
    for size in ((399, 512), (393, 507), (386, 500)):  # rounded up to multiples of 8, 8 and 16
        np.testing.assert_array_equal(fit_maps(maps, size, path), maps[:, : size[0], : size[1]])
    np.testing.assert_array_equal(fit_maps(maps[:, :384], (353, 481), path), maps[:, :353, :481])  # and of 32
    small = maps[:, :24, :32]
    assert fit_maps(small, (375, 500), path) is small
    square = maps[:, :28, :28]  # a net that sees the photo warped
    assert fit_maps(square, (375, 500), path) is square and fit_maps(square, (500, 375), path) is square


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((500, 375), (375, 500)),  # on its side
        ((24, 32), (500, 375)),
        ((376, 512), (375, 500)),  # height rounded up to 8, width to 16
        ((8, 600), (375, 500)),
        ((281, 500), (375, 500)),  # of another photo, as high and as wide at most
        ((18, 32), (375, 500)),
    ],
)
def test_maps_of_another_photo(tmp_path, shape, size):
    assert told(fit_maps, np.zeros((1, *shape), np.float32), size, tmp_path) == (
        f"{tmp_path}: its maps are {shape[1]}x{shape[0]} pixels, which does not fit the photo of {size[1]}x{size[0]} "
        "(width x height); were they made from this photo, turned as its EXIF data says?"
    )


@pytest.mark.parametrize("stride", [4, 8, 16, 32])
@pytest.mark.parametrize("scale", [0.5, 1, 1.5])
@pytest.mark.parametrize("size", [(375, 500), (281, 500), (500, 333), (100, 101), (33, 400)])
def test_maps_of_nets_at_any_stride_fit(tmp_path, size, scale, stride):
    seen = [round(n * scale) for n in size]
    for shape in (
        [-(-n // stride) for n in seen],
        [max(1, n // stride) for n in seen],
        [(n - 1) // stride + 1 for n in seen],
    ):
        maps = np.zeros((1, *shape), np.float32)
        assert fit_maps(maps, size, tmp_path) is maps


def test_a_nearly_square_photo_may_have_maps_that_are_rounded_the_other_way(tmp_path):
    maps = np.zeros((1, 24, 25), np.float32)
    assert fit_maps(maps, (382, 381), tmp_path) is maps


def test_the_low_resolution_is_irns():
    for height in range(1, 40):
        assert strided_size((height, 500)) == ((height - 1) // 4 + 1, 125)
