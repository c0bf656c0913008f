"""Rounds in a row: going on, adding rounds, what is refused before anything is written, and what is overwritten."""

import shutil
import sys
from dataclasses import replace

import pytest

from wsscli.errors import UsageError, WssError
from wsscli.maskdir.manifest import read_manifest, write_manifest
from wsscli.maskdir.maskdir import open_maskdir
from wsscli.steps._data import Data
from wsscli.steps._round import Cutting, Predicting
from wsscli.steps._run import Run
from wsscli.steps._train import Training
from wsscli.steps.refine_round import refine_round
from wsscli.steps.verify import problems

ITERATIONS = 6
OVERWRITE = Run(workers=2, overwrite=True)
DRY = Run(workers=2, dry_run=True)


def files(out):
    return {
        str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*")) if p.is_file() and p.name != "log.jsonl"
    }


def times(out):
    return {p: p.stat().st_mtime_ns for p in out.rglob("*")}


def copied(there, tmp_path):
    return shutil.copytree(there, tmp_path / "copy")


def test_run_again_it_does_nothing(shared, one, caplog):
    before = times(one)
    for run in (Run(workers=2), DRY):
        caplog.clear()
        with caplog.at_level("INFO", "wsscli"):
            assert shared(run=run) == one
        assert caplog.messages == [f"{one} is complete with the same options: nothing to do"]
    assert times(one) == before


def test_what_a_kill_at_the_very_end_leaves_goes_away(shared, one, tmp_path):
    out = copied(one, tmp_path)
    shutil.copytree(out / "refined", out / "cut")
    shutil.copytree(out / "refined", out / ".cut.gone")
    shared(out, run=DRY)
    assert (out / "cut").exists()
    shared(out)
    assert files(out) == files(one)


def test_other_options_are_refused_and_overwrite_replaces(shared, one, tmp_path, message):
    out, short = copied(one, tmp_path), shared.training(iterations=3)
    for run in (Run(workers=2), DRY):  # a dry run says what the real one would
        assert message(WssError, shared, out, training=short, run=run) == (
            f"{out}: was made with other options: --iterations was 6, now 3; use another -o, or --overwrite to "
            "replace it"
        )
    (out / "notes.txt").write_text("mine")
    (out / "masks/stale.png").write_bytes(b"old")
    shared(out, training=short, run=OVERWRITE)
    assert (out / "notes.txt").read_text() == "mine"
    (out / "notes.txt").unlink()
    fresh = shared(tmp_path / "fresh", training=short)
    assert {name: data for name, data in files(out).items() if not name.endswith("wss.json")} == {
        name: data for name, data in files(fresh).items() if not name.endswith("wss.json")
    }
    assert list(problems(out)) == []


def test_one_writer_at_a_time(refine, monkeypatch, message):
    """A round holds its directory while its parts are made."""
    source = refine.loose()
    train = refine.__class__

    def meanwhile(*args, run, **options):
        if not run.dry_run:
            train(refine.scenes)(source=source)

    monkeypatch.setattr("wsscli.steps.train_seg.train_seg", meanwhile)
    assert message(WssError, refine, source=source) == (
        f"{refine.scenes.out}/round: another wss process is writing here; wait for it, or use another -o"
    )


# --- several rounds ---


def test_rounds_are_single_rounds_in_a_chain(shared, one, two, tmp_path):
    assert two == shared.scenes.out / "rounds/round-2"
    second = shared(tmp_path / "second", source=one, first_init=None)
    for made, single in ((two.parent / "round-1", one), (two, second)):
        assert read_manifest(made).digest() == read_manifest(single).digest()
        assert files(made / "masks") == files(single / "masks")
    assert [(item.role, item.path) for item in read_manifest(two).inputs] == [
        ("masks", str(two.parent / "round-1")), ("init", str(two.parent / "round-1/model")),
    ]  # fmt: skip
    assert read_manifest(two / "model").options["init"] == "model"


def test_the_directory_of_several_rounds(two, tmp_path, message):
    found = read_manifest(two.parent)
    assert (found.kind, found.complete, found.images) == ("rounds", True, 4)
    assert (found.options["rounds"], found.options["init"], found.options["first_init"]) == (2, "previous", "none")
    assert message(WssError, open_maskdir, two.parent) == (
        f"{two.parent}: holds several rounds of `wss refine-round`; name one of them, such as {two}"
    )
    out = copied(two.parent, tmp_path)
    (out / "round-7").mkdir()
    (out / "round-7/mine.txt").write_text("mine")
    assert list(problems(out)) == []
    shutil.rmtree(out / "round-1/model")  # a net may be thrown away
    assert list(problems(out)) == []
    shutil.rmtree(out / "round-1")
    assert list(problems(out)) == [f"{out}/round-1: missing"]


@pytest.fixture(scope="module")
def three(shared):
    """The third of three rounds, made at once."""
    return shared("three", rounds=3)


def test_more_rounds_go_on_from_those_there(shared, two, three, tmp_path, caplog):
    out = copied(two.parent, tmp_path)
    before = files(out / "round-2")
    with caplog.at_level("INFO", "wsscli"):
        assert shared(out, rounds=3) == out / "round-3"
    assert f"{out}: going on, 2 of 3 rounds are done" in caplog.text and "0 of 4 images" not in caplog.text
    assert files(out / "round-2") == before
    assert files(three / "masks") == files(out / "round-3/masks")
    assert read_manifest(out).digest() == read_manifest(three.parent).digest()
    assert list(problems(out)) == []


def test_fewer_rounds_are_there_already(shared, three, caplog):
    out, before = three.parent, times(three.parent)
    with caplog.at_level("INFO", "wsscli"):
        assert shared(out, rounds=2) == out / "round-2"
    assert caplog.messages == [f"{out} holds 3 rounds with the same options: nothing to do"]
    caplog.clear()
    with caplog.at_level("INFO", "wsscli"):
        assert shared(out, rounds=3) == three
    assert caplog.messages == [f"{out} is complete with the same options: nothing to do"]
    assert times(out) == before


def stop_in(monkeypatch, number):
    """Stop in the training of this round."""
    from wsscli.steps import train_seg as module

    train = module.train_seg

    def stopping(source, out, *, run, **options):
        if not run.dry_run and out.parent.name == f"round-{number}":
            raise KeyboardInterrupt
        return train(source, out, run=run, **options)

    monkeypatch.setattr(module, "train_seg", stopping)


def test_stopped_it_goes_on_with_another_number_of_rounds(shared, two, three, tmp_path, monkeypatch, caplog, message):
    out = tmp_path / "o"
    with monkeypatch.context() as patch:
        stop_in(patch, 2)
        message(KeyboardInterrupt, shared, out, rounds=2)
    assert not read_manifest(out).complete and read_manifest(out).options["rounds"] == 2
    with monkeypatch.context() as patch, caplog.at_level("INFO", "wsscli"):
        stop_in(patch, 3)
        message(KeyboardInterrupt, shared, out, rounds=5)  # more
    assert f"{out}: going on, 1 of 5 rounds are done" in caplog.text
    caplog.clear()
    with caplog.at_level("INFO", "wsscli"):
        assert shared(out, rounds=2) == out / "round-2"  # those are there; the third is somebody's to go on with
    assert caplog.messages == [f"{out} holds 2 rounds with the same options: nothing to do"]
    assert read_manifest(out).options["rounds"] == 5
    assert shared(out, rounds=3) == out / "round-3"  # fewer
    assert read_manifest(out).digest() == read_manifest(three.parent).digest()
    assert files(out / "round-3/masks") == files(three / "masks")


def test_a_number_of_rounds_changes_under_the_lock_only(shared, two, tmp_path, message):
    """Another process that is writing there keeps its manifest."""
    from wsscli.maskdir.writer import begin

    out = copied(two.parent, tmp_path)
    present = replace(read_manifest(out), complete=False)
    write_manifest(out, present)
    with begin(out, present):
        assert message(WssError, shared, out, rounds=3) == (
            f"{out}: another wss process is writing here; wait for it, or use another -o"
        )
    assert read_manifest(out) == present


def test_a_single_round_and_several_are_told_apart(shared, one, two, tmp_path, message):
    out = two.parent
    for run in (Run(workers=2), DRY):
        assert message(WssError, shared, out, run=run) == (
            f"{out}: holds rounds in directories of their own (round-2 is the last), but --rounds 1 makes -o a round "
            f"itself; give --rounds 2 or more, or make one more with `wss refine-round {two} -o OTHER`, or use "
            "--overwrite to replace them all"
        )
    assert message(WssError, shared, one, rounds=2) == (
        f"{one}: is a single round, but --rounds 2 makes directories of rounds within -o; go on from it with `wss "
        f"refine-round {one} --rounds 2 -o OTHER`, or use --overwrite to replace it"
    )


def test_rounds_of_other_options_are_refused_and_replaced(shared, two, tmp_path, message):
    out, short = copied(two.parent, tmp_path), shared.training(iterations=1)
    for run in (Run(workers=2), DRY):
        assert message(WssError, shared, out, rounds=3, hidden=8, run=run) == (
            f"{out}: was made with other options: --hidden was None, now 8; use another -o, or --overwrite to replace it"
        )
    assert read_manifest(out).complete and read_manifest(out).options["rounds"] == 2
    (out / "round-3").mkdir()
    (out / "round-3/mine.txt").write_text("mine")
    shared(out, training=short, run=OVERWRITE)  # a single round in its place
    assert not (out / "round-1").exists() and read_manifest(out).kind == "masks"
    assert (out / "round-3/mine.txt").read_text() == "mine"  # the manifest spoke of two
    shutil.rmtree(out / "round-3")
    assert list(problems(out)) == []


@pytest.mark.parametrize("run", [Run(workers=2), OVERWRITE, DRY])
def test_somebody_else_s_files_in_the_way(shared, two, tmp_path, message, run):
    out = copied(two.parent, tmp_path)
    (out / "round-3").mkdir()
    (out / "round-3/mine.txt").write_text("mine")
    before = times(out)
    assert message(WssError, shared, out, rounds=3, run=run) == (
        f"{out}/round-3: not made by the command that made {out}, but a round would be written there; move it away, or "
        "use another -o"
    )
    assert times(out) == before


def test_every_round_from_the_same_start(shared, tmp_path):
    out = shared(tmp_path / "o", rounds=2, init="none", training=shared.training(iterations=1))
    assert [item.role for item in read_manifest(out).inputs] == ["masks"]
    assert read_manifest(out / "model").options["init"] == "none"
    assert read_manifest(tmp_path / "o").options["init"] == "none"


# --- what is refused before anything is written ---


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"rounds": 0}, "--rounds 0: give 1 or more"),
        (
            {"min_foreground": 0.9, "max_foreground": 0.8},
            "--min-foreground 0.9 --max-foreground 0.8: give shares of an image, 0 <= least <= most <= 1",
        ),
        ({"foreground": True}, "--label-count all: --foreground looks at no labels; leave one of them out"),
        (
            {"cutting": Cutting(grabcut=False, grabcut_scale=0.5)},
            "--grabcut-scale: --no-grabcut cuts nothing; leave one of them out",
        ),
        ({"cutting": Cutting(grabcut_iterations=0)}, "grabcut: 0 iterations; take 1 or more (5 is usual)"),
        ({"predicting": Predicting((9.0, 1.0))}, "--predict-scales 9,1: give one or more from 0.25 to 4"),
        (
            {"training": Training(recipe="coarse-to-fine", device="cpu")},
            "--recipe coarse-to-fine: names no length of the training; give --epochs or --iterations",
        ),
        ({"hidden": 0}, "--hidden 0: give 1 or more"),
        ({"size": 8}, "--size 8: give 32 or more"),
        ({"loss_step": 99}, "--loss-step 99: give 1 to the stride of the net's output, 8"),
        ({"arch": "cam"}, "--arch cam: train-seg builds deeplab, deeplab-largefov, fpn, dfpn, student, dasnet"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("rounds", [1, 2])
def test_options_out_of_range(shared, tmp_path, message, options, text, rounds):
    assert message(UsageError, shared, tmp_path / "o", **({"rounds": rounds} | options)) == text
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("run", [Run(workers=2), DRY])
def test_a_start_that_has_no_weights(shared, tmp_path, message, run):
    assert message(UsageError, shared, tmp_path / "o", first_init=None, rounds=2, run=run) == (
        "backbone tiny has no ImageNet weights; pass --init none or --init FILE"
    )
    assert not (tmp_path / "o").exists()


def test_a_package_that_is_not_installed(shared, tmp_path, monkeypatch, message):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert message(WssError, shared, tmp_path / "o", training=shared.training(tensorboard=True)) == (
        "--tensorboard: the package is not installed; pip install 'wsscli[tensorboard]'"
    )
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("rounds", [1, 2])
def test_a_damaged_mask(refine, message, rounds):
    source = refine.loose()
    mask = source / "masks/c.png"
    mask.write_bytes(mask.read_bytes()[:40])
    assert str(mask) in message(WssError, refine, source=source, rounds=rounds)
    assert not (refine.scenes.out / "round").exists()


def test_no_image_of_one_class(refine, message):
    source = refine.scenes.masks("some", ids=["c", "d"])
    assert message(WssError, refine, source=source, label_count="single") == (
        f"{source}: none of its 2 images has exactly one class; --label-count all takes images of several"
    )


def test_two_starts(shared, tmp_path, message):
    text = message(
        UsageError, refine_round, shared.loose(), tmp_path / "o", init="imagenet", first_init="none", backbone="tiny"
    )
    assert text == "--first-init none: with --init imagenet every round starts from that; leave one of them out"


def test_an_input_within_the_output(refine, message):
    inside = refine.loose().rename(refine.scenes.out / "masks")
    out = refine.scenes.out
    assert message(WssError, refine, "", source=inside) == (
        f"{out}: its input 'masks', {inside}, lies in it; a step never writes into what it reads, use another -o"
    )
    assert message(WssError, refine, "", source=refine.loose(), watch=str(inside)).startswith(f"{out}: its input '")


def test_labels_are_needed(refine, message):
    source = refine.loose()
    shutil.rmtree(refine.scenes.root / "Annotations")
    for count in ("single", "all"):
        text = message(WssError, refine, "o", source=source, label_count=count)
        assert text.startswith(f"{refine.scenes.root}: no image-level labels for 4 of 4 images of split train (a, b, c")


def test_masks_of_another_table(refine, message):
    source, root = refine.loose(), refine.scenes.root
    (root / "classes.txt").write_text("disc\nstar\nmoon\n")
    found = read_manifest(source)
    text = message(WssError, refine, "o", source=source, data=Data(root, class_names=("disc", "star", "moon")))
    assert found.classes.names[2] == "square"
    assert text == (
        f"{source}: its class table is not the one of {root}: class 2 is 'star' there and 'square' here; use the table "
        "of one data set"
    )


@pytest.mark.parametrize("rounds", [1, 2])
def test_dry_run(shared, tmp_path, caplog, rounds):
    with caplog.at_level("INFO", "wsscli"):
        out = shared(tmp_path / "o", rounds=rounds, run=DRY)
    assert out == tmp_path / ("o" if rounds == 1 else "o/round-2")
    kind = "masks" if rounds == 1 else "rounds"
    assert caplog.messages == [
        f"would read masks {shared.loose()} (4 images of split train) and write {kind} to {tmp_path}/o"
    ]
    assert not (tmp_path / "o").exists()
