"""Archives for VOC's test server: what is in them, equal bytes, and what is refused."""

import tarfile

import numpy as np
import pytest
from PIL import Image

from wsscli.classes import ClassTable
from wsscli.data.voc import VOC_NAMES
from wsscli.errors import WssError
from wsscli.maskdir.png import read_mask, voc_palette, write_mask
from wsscli.maskdir.writer import Output
from wsscli.steps._run import Plan, Run, open_job, per_image
from wsscli.steps.export_voc_server import Files, export_voc_server

IDS = ["2008_000006", "2008_000011", "2008_000012"]
INSIDE = "results/VOC2012/Segmentation/comp6_test_cls"


def mask_of(name):
    return np.full((4, 6), IDS.index(name) * 10, np.uint8)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "masks"
    for name in IDS:
        write_mask(path / f"{name}.png", mask_of(name))
    return path


def test_the_archive_is_what_the_server_wants(folder, tmp_path):
    out = export_voc_server(folder, tmp_path / "up" / "mine.tgz")
    assert out == tmp_path / "up" / "mine.tgz"
    with tarfile.open(out) as tar:
        assert tar.getnames() == [f"{INSIDE}/{name}.png" for name in IDS]
        tar.extractall(tmp_path / "there", filter="data")
    for name in IDS:
        with Image.open(tmp_path / "there" / INSIDE / f"{name}.png") as image:
            assert image.mode == "P"
            assert image.getpalette() == voc_palette().ravel().tolist()
            assert np.array_equal(np.array(image), mask_of(name))
    assert [path.name for path in (tmp_path / "up").iterdir()] == ["mine.tgz"]


def test_equal_masks_give_equal_bytes_whatever_their_files(folder, tmp_path):
    first = export_voc_server(folder, tmp_path / "a.tgz").read_bytes()
    grey = tmp_path / "grey"
    grey.mkdir()
    for name in IDS:
        Image.fromarray(mask_of(name)).save(grey / f"{name}.png", compress_level=1)
    assert export_voc_server(grey, tmp_path / "b.tar.gz").read_bytes() == first


def test_a_folder_instead_of_an_archive(folder, tmp_path):
    out = export_voc_server(folder, tmp_path / "out", competition="comp5", image_set="val")
    target = out / "results/VOC2012/Segmentation/comp5_val_cls"
    assert sorted(path.name for path in target.iterdir()) == [f"{name}.png" for name in IDS]
    assert np.array_equal(read_mask(target / f"{IDS[1]}.png"), mask_of(IDS[1]))


def test_again(folder, tmp_path, caplog):
    caplog.set_level("INFO", "wsscli")
    for out in (tmp_path / "a.tgz", tmp_path / "out"):
        export_voc_server(folder, out)
        export_voc_server(folder, out)
    assert f"{tmp_path / 'a.tgz'} is complete with the same masks: nothing to do" in caplog.messages
    write_mask(folder / f"{IDS[2]}.png", mask_of(IDS[1]))
    with pytest.raises(WssError) as error:
        export_voc_server(folder, tmp_path / "a.tgz")
    assert str(error.value) == f"{tmp_path / 'a.tgz'}: is there with other content; --overwrite replaces it"
    with pytest.raises(WssError) as error:
        export_voc_server(folder, tmp_path / "out")
    changed = tmp_path / "out" / INSIDE / f"{IDS[2]}.png"
    assert str(error.value) == f"{changed}: is there with other content; --overwrite replaces it"
    (folder / f"{IDS[0]}.png").unlink()
    with pytest.raises(WssError) as error:
        export_voc_server(folder, tmp_path / "out")
    assert str(error.value) == (
        f"{tmp_path / 'out' / INSIDE}: holds {IDS[0]}.png, which is not among these masks; --overwrite removes it"
    )
    for out in (tmp_path / "a.tgz", tmp_path / "out"):
        export_voc_server(folder, out, files=Files(overwrite=True))
    assert sorted(path.stem for path in changed.parent.iterdir()) == IDS[1:]
    assert np.array_equal(read_mask(changed), mask_of(IDS[1]))


def test_unlabelled_pixels_are_refused_and_nothing_is_written(folder, tmp_path):
    mask = mask_of(IDS[1])
    mask[0, :3] = 255
    write_mask(folder / f"{IDS[1]}.png", mask)
    with pytest.raises(WssError) as error:
        export_voc_server(folder, tmp_path / "a.tgz")
    assert str(error.value) == (
        f"{folder}: 3 pixels are unlabelled (255) in 1 of 3 masks ({IDS[1]}); the server takes complete predictions "
        "only: export the output of `wss predict`, or `wss crf` first"
    )
    assert not (tmp_path / "a.tgz").exists()


def test_values_beyond_voc_are_refused(folder, tmp_path):
    write_mask(folder / f"{IDS[0]}.png", np.full((2, 2), 21, np.uint8))
    with pytest.raises(WssError) as error:
        export_voc_server(folder, tmp_path / "a.tgz")
    assert str(error.value) == f"{folder}/{IDS[0]}.png: value 21, but VOC's classes end at 20"


def test_other_class_tables_are_refused(tmp_path):
    def write(name, names):
        plan = Plan("predict", tmp_path / name, "masks", {}, ClassTable.of(names))
        return per_image(plan, Run(workers=1), IDS, lambda i: Output(mask=mask_of(i) // 20))

    other = write("other", ("cat", "dog"))
    with pytest.raises(WssError) as error:
        export_voc_server(other, tmp_path / "a.tgz")
    assert str(error.value) == (
        f"{other}: has 3 classes (background, cat, dog, ...), but the server knows VOC's 21 in their order; predict "
        "with a net of VOC's classes"
    )
    assert export_voc_server(write("good", VOC_NAMES), tmp_path / "a.tgz").exists()


def test_incomplete_directories_are_refused(tmp_path):
    plan = Plan("predict", tmp_path / "half", "masks", {}, ClassTable.of(VOC_NAMES))
    with open_job(plan, Run(), IDS) as job:
        job.put(IDS[0], Output(mask=mask_of(IDS[0])))
    with pytest.raises(WssError, match="incomplete"):
        export_voc_server(tmp_path / "half", tmp_path / "a.tgz")


def test_the_list_of_the_server(folder, tmp_path):
    listed = tmp_path / "test.txt"
    listed.write_text(f"{IDS[2]}\n{IDS[0]}\n")
    out = export_voc_server(folder, tmp_path / "a.tgz", files=Files(ids=listed))
    with tarfile.open(out) as tar:
        assert tar.getnames() == [f"{INSIDE}/{IDS[0]}.png", f"{INSIDE}/{IDS[2]}.png"]
    listed.write_text(f"{IDS[2]}\n2009_1\n2009_2\n")
    with pytest.raises(WssError) as error:
        export_voc_server(folder, tmp_path / "b.tgz", files=Files(ids=listed))
    assert str(error.value) == (
        f"{folder}: no mask for 2 of the 3 ids of {listed}, the first is '2009_1'; predict these images too"
    )


def test_ids_with_folders_are_refused(folder, tmp_path):
    write_mask(folder / "sub" / "x.png", mask_of(IDS[0]))
    with pytest.raises(WssError) as error:
        export_voc_server(folder, tmp_path / "a.tgz")
    assert str(error.value) == f"{folder}: id 'sub/x' has a '/'; the server's ids are plain names as 2008_000006"


@pytest.mark.parametrize("year", ["../VOC", "", "/VOC"])
def test_names_of_the_servers_folders_stay_inside(folder, tmp_path, year):
    with pytest.raises(WssError, match=r"^the server's path: the id "):
        export_voc_server(folder, tmp_path / "a.tgz", year=year)


def test_dry_run_checks_and_writes_nothing(folder, tmp_path, caplog):
    caplog.set_level("INFO", "wsscli")
    export_voc_server(folder, tmp_path / "a.tgz", files=Files(dry_run=True))
    assert caplog.messages == [f"would pack 3 masks of {folder} as {INSIDE}/*.png into {tmp_path / 'a.tgz'}"]
    assert not (tmp_path / "a.tgz").exists()


def test_a_place_that_cannot_be_written(folder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WssError, match=r"^cannot write .*file/a\.tgz: "):
        export_voc_server(folder, tmp_path / "file" / "a.tgz")
