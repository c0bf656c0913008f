"""Packed journal lines, listings in place of asking for every file, and sums over images."""

from wsscli.maskdir.records import InPlace, Records, Totals

ONE = {"id": "b/é", "files": {"masks/b/é.png": "00ff"}, "pixels": {"0": 5, "255": 1}, "fell_back": "empty"}
TWO = {"id": "a", "files": {"masks/a.png": "11", "scores/a.npz": "22"}, "pixels": {"0": 2}}
NONE = {"id": "c", "files": {}, "dropped": "no photo"}


def test_records_are_what_was_put_in_and_sorted_by_id():
    records = Records()
    records.update((record["id"], record) for record in (ONE, TWO, NONE))
    assert dict(records) == {"b/é": ONE, "a": TWO, "c": NONE}
    assert [record["id"] for record in records.in_order()] == ["a", "b/é", "c"]
    assert "a" in records and "d" not in records and len(records) == 3
    records["a"] = NONE
    del records["c"]
    assert records["a"] == NONE and set(records) == {"a", "b/é"}


def test_in_place_is_asking_for_every_file(tmp_path):
    for name in ("masks/b/é.png", "masks/a.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    in_place = InPlace(tmp_path)
    assert [in_place(record) for record in (ONE, TWO, NONE)] == [True, False, True]
    assert [all((tmp_path / name).exists() for name in record["files"]) for record in (ONE, TWO, NONE)] == [
        in_place(record) for record in (ONE, TWO, NONE)
    ]
    assert not InPlace(tmp_path / "masks" / "a.png")(TWO)  # a file where a folder should be


def test_totals():
    totals = Totals()
    for record in (ONE, TWO, NONE):
        totals.add(record)
    assert totals.files == {**ONE["files"], **TWO["files"]} and totals.pixels == {0: 7, 255: 1}
    assert totals.dropped == [{"id": "c", "reason": "no photo"}] and not totals.has_instances
    assert totals.fell_back == [{"id": "b/é", "reason": "empty"}]
    totals.add({"id": "d", "files": {}, "instances": []})
    assert totals.has_instances
