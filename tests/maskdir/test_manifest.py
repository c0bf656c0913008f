import json
from dataclasses import replace

import pytest

from wsscli.classes import ClassTable
from wsscli.errors import WssError
from wsscli.maskdir.manifest import (
    DataRef,
    Input,
    Manifest,
    content_digest,
    file_digest,
    ids_digest,
    read_manifest,
    write_manifest,
)

FULL = Manifest(
    kind="masks+scores", step="make-seeds", options={"scales": [0.5, 1.0], "flip": True}, paths={"saliency": "/a/b"},
    seed=3, classes=ClassTable.of(["cat", "dog"]), data=DataRef("/data/voc", "voc", None), split="train", images=2,
    ids_digest=ids_digest(["b", "a"]), inputs=(Input("model", "/m", "sha256:0"),), supervision=("image-labels",),
    score_type="cam", dropped=({"id": "a", "reason": "r"},), pixels={"cat": 3}, versions={"python": "3.11"},
)  # fmt: skip


def test_comes_back_equal(tmp_path):
    write_manifest(tmp_path, FULL)
    assert read_manifest(tmp_path) == FULL


def test_digest_leaves_out_versions_and_paths_only():
    same = replace(
        FULL, versions={}, paths={}, data=DataRef("/else", "voc", None), inputs=(Input("model", "/n", "sha256:0"),)
    )
    assert same.digest() == FULL.digest()
    for change in ({"seed": 4}, {"options": {}}, {"inputs": ()}, {"split": "val"}, {"content": "x"}, {"pixels": {}}):
        assert replace(FULL, **change).digest() != FULL.digest()


def test_ids_digest_does_not_depend_on_order_but_on_every_id():
    assert ids_digest(["a", "b"]) == ids_digest(["b", "a"])
    assert len({ids_digest(x) for x in (["a"], ["a", "b"], ["ab"], [])}) == 4


def test_content_digest_names_files():
    assert (
        content_digest({"a": "1", "b": "2"})
        == content_digest({"b": "2", "a": "1"})
        != content_digest({"a": "2", "b": "1"})
    )


def test_no_manifest(tmp_path):
    assert read_manifest(tmp_path) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"wss\.json: not a readable manifest .*--overwrite"),
        ('{"a":' * 100_000, r"wss\.json: not a readable manifest .*--overwrite"),
        ("[]", r"wss\.json: not a manifest of wss \(no format 'wss-directory'\)"),
        (json.dumps({"format": "wss-directory", "version": 9}), r"manifest version 9, this wss reads 1; update wsscli"),
        (json.dumps({"format": "wss-directory", "version": 1}), r"lacks or garbles an entry .*--overwrite"),
    ],
)
def test_bad_manifests(tmp_path, text, message):
    (tmp_path / "wss.json").write_text(text)
    with pytest.raises(WssError, match=message):
        read_manifest(tmp_path)


def test_unreadable(tmp_path):
    (tmp_path / "wss.json").mkdir()
    with pytest.raises(WssError, match=r"wss\.json: cannot be read"):
        read_manifest(tmp_path)
    with pytest.raises(WssError, match=r"none: cannot be read \(No such file"):
        file_digest(tmp_path / "none")
