"""`wss saliency`: one map an image, from the photo alone or from the clip that it is a frame of."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wsscli.data.dataset import open_dataset
from wsscli.errors import PartialError, WssError
from wsscli.maskdir.maskdir import open_maskdir
from wsscli.saliency import video_pca
from wsscli.saliency.rbd import saliency as rbd
from wsscli.steps._clips import Clips
from wsscli.steps._data import Data
from wsscli.steps._run import Run
from wsscli.steps.saliency import saliency

CLIPS = runpy.run_path(str(Path(__file__).parents[1] / "saliency" / "clips.py"))


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


def write_clip(root, clip, frames, names=None):
    folder = root / clip
    folder.mkdir(parents=True)
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"{names[number] if names else number}.png")


def test_clips(tmp_path):
    """Twelve frames named 0 to 11 beside a still clip and a clip of one frame."""
    frames, masks = CLIPS["moving"](frames=12, size=(60, 80))
    root = tmp_path / "videos"
    write_clip(root, "a/moving", frames)
    write_clip(root, "b-still", np.repeat(frames[:1], 3, axis=0))
    write_clip(root, "c-one", frames[:1])
    found = open_maskdir(saliency(tmp_path / "sal", video=True, data=Data(root), run=Run(workers=3)), need="scores")
    manifest = found.manifest
    assert manifest.options == {"method": "video-pca"} and manifest.score_type == "saliency"
    assert (manifest.data.format, manifest.supervision, len(found.ids)) == ("images", (), 16)
    assert {item["id"]: item["reason"] for item in manifest.fell_back} == {
        **{f"b-still/{k}": "nothing moves in the 3 frames of its clip" for k in range(3)},
        "c-one/0": "the only frame of its clip",
    }
    for k, mask in enumerate(masks):
        scores = found.scores(f"a/moving/{k}")
        full = scores.full()[0]
        assert scores.classes.tolist() == [0] and full.shape == mask.shape
        assert full[mask].mean() > 5 * full[~mask].mean()
    assert not found.scores("b-still/1").scores.any()


def test_a_clip_is_modelled_whole_whatever_is_asked_for(tmp_path):
    """--limit, workers, and models that are dropped in between do not count."""
    root, files = tmp_path / "videos", {}
    for clip in ("a", "b", "c"):
        write_clip(root, clip, CLIPS["moving"](ord(clip), frames=6, size=(40, 50))[0])
    whole = saliency(tmp_path / "whole", video=True, data=Data(root), run=Run(workers=1))
    (tmp_path / "ids.txt").write_text("c/5\na/2\nb/0\na/3\n")
    part = saliency(tmp_path / "part", video=True, data=Data(root), run=Run(workers=4, ids=tmp_path / "ids.txt"))
    files = sorted(path.relative_to(part) for path in part.rglob("*.npz"))
    assert len(files) == 4
    for file in files:
        assert (part / file).read_bytes() == (whole / file).read_bytes()


def test_each_clip_is_learnt_once(tmp_path, monkeypatch):
    learnt = []
    learn = video_pca.learn
    monkeypatch.setattr(video_pca, "learn", lambda *given: learnt.append(1) or learn(*given))
    for clip in ("a", "b"):
        write_clip(tmp_path / "videos", clip, CLIPS["moving"](frames=6, size=(40, 50))[0])
    saliency(tmp_path / "sal", video=True, data=Data(tmp_path / "videos"), run=Run(workers=4))
    assert len(learnt) == 2


def test_models_beyond_the_last_few_are_dropped(tmp_path):
    for clip in ("a", "b", "c"):
        write_clip(tmp_path / "videos", clip, CLIPS["moving"](frames=4, size=(20, 30))[0])
    clips = Clips(open_dataset(tmp_path / "videos", format="images"), most=2)
    for clip in ("a", "b", "a", "c"):
        clips(f"{clip}/0")
    assert list(clips._known) == ["a", "c"]


def test_frames_in_the_order_of_their_numbers(tmp_path):
    write_clip(tmp_path, "clip", [np.zeros((4, 4, 3), np.uint8)] * 4, ["f10", "f2", "f1", "g0"])
    clips = Clips(open_dataset(tmp_path, format="images"), most=1)
    assert clips.frames == {"clip": ["clip/f1", "clip/f2", "clip/f10", "clip/g0"]}


def test_frames_of_one_folder_are_one_clip(tmp_path):
    write_clip(tmp_path, "clip", CLIPS["moving"](frames=4, size=(30, 40))[0])
    found = open_maskdir(saliency(tmp_path / "sal", video=True, data=Data(tmp_path / "clip")))
    assert found.ids == ["0", "1", "2", "3"] and found.manifest.fell_back == ()


def test_frames_of_several_sizes_are_refused(tmp_path, message):
    frames = [np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3), np.uint8), np.zeros((4, 6, 3), np.uint8)]
    root = tmp_path / "videos"
    write_clip(root, "clip", frames)
    assert message(WssError, saliency, tmp_path / "sal", video=True, data=Data(root)) == (
        f"{root}/clip/2.png: 4 x 6 (height x width), but 2 of the 3 frames of its clip are 4 x 4; a clip's frames are of "
        "one size"
    )


@pytest.fixture
def broken(tmp_path):
    """Two clips of twelve frames; of the first one frame is cut off, one has another size and one is no image."""
    frames, _ = CLIPS["moving"](frames=12, size=(60, 80))
    for clip in ("a", "b"):
        write_clip(tmp_path / "videos", clip, frames)
    folder = tmp_path / "videos/a"
    cut = (folder / "5.png").read_bytes()
    (folder / "5.png").write_bytes(cut[: len(cut) // 2])
    Image.fromarray(frames[0, :40]).save(folder / "0.png")  # the first one, by which the others are not judged
    (folder / "7.png").write_bytes(b"nothing")
    return tmp_path / "videos"


BAD = ["a/0", "a/5", "a/7"]


def test_bad_frames_are_left_out_and_the_rest_of_their_clip_is_done(broken, tmp_path):
    out = tmp_path / "sal"
    with pytest.raises(PartialError):
        saliency(out, video=True, data=Data(broken), run=Run(workers=3, keep_going=True))
    found = open_maskdir(out)
    reasons = {item["id"]: item["reason"] for item in found.manifest.dropped}
    assert sorted(reasons) == BAD and found.manifest.fell_back == ()
    assert reasons["a/0"] == (
        f"failed: {broken}/a/0.png: 40 x 80 (height x width), but 9 of the 12 frames of its clip are 60 x 80; a clip's "
        "frames are of one size"
    )
    for name in BAD[1:]:
        assert reasons[name].startswith(f"failed: {broken}/{name}.png: ")
    for name in BAD:  # as if they had never been there
        (broken / f"{name}.png").unlink()
    without = saliency(tmp_path / "without", video=True, data=Data(broken), run=Run(workers=1))
    files = [f"scores/{name}.npz" for name in found.ids]
    assert len(files) == 21
    for file in files:
        assert (out / file).read_bytes() == (without / file).read_bytes()


@pytest.mark.parametrize("keep_going", [False, True])
def test_what_is_wrong_with_a_clip_is_found_once(tmp_path, monkeypatch, keep_going):
    """A frame whose head is right, so that it is told by decoding it only."""
    from wsscli.data.base import Dataset

    write_clip(tmp_path / "videos", "a", CLIPS["moving"](frames=8, size=(20, 30))[0])
    read, image = [], Dataset.image

    def counted(self, name):
        read.append(name)
        if name == "a/5":
            raise WssError("a/5 is cut off")
        return image(self, name)

    monkeypatch.setattr(Dataset, "image", counted)
    clips = Clips(open_dataset(tmp_path / "videos", format="images"), 2, keep_going=keep_going)
    for _ in range(3):
        with pytest.raises(WssError, match=r"^a/5 is cut off$"):
            clips("a/5")
    assert read == [f"a/{k}" for k in range(8 if keep_going else 6)]
    if keep_going:
        assert clips("a/6")[2] is None
    else:
        with pytest.raises(WssError, match=r"^a/5 is cut off$"):
            clips("a/6")


def test_a_bad_frame_is_an_error_of_its_clip(broken, tmp_path, message):
    text = message(WssError, saliency, tmp_path / "sal", video=True, data=Data(broken), run=Run(workers=1))
    assert text.startswith(f"{broken}/a/5.png: ")


def test_a_clip_of_bad_frames_only(tmp_path):
    write_clip(tmp_path / "videos", "a", CLIPS["moving"](frames=4, size=(20, 30))[0])
    for k in range(3):
        cut = (tmp_path / f"videos/a/{k}.png").read_bytes()
        (tmp_path / f"videos/a/{k}.png").write_bytes(cut[:60] if k else b"")
    clips = Clips(open_dataset(tmp_path / "videos", format="images"), 1, keep_going=True)
    values, size, why = clips("a/3")
    assert (values.any(), size, why) == (False, (20, 30), "the only frame of its clip")
    (tmp_path / "videos/a/3.png").write_bytes(b"")
    clips = Clips(open_dataset(tmp_path / "videos", format="images"), 1, keep_going=True)
    for k in range(4):
        with pytest.raises(WssError, match=rf"a/{k}\.png"):
            clips(f"a/{k}")


def test_a_long_clip_none_of_whose_sample_can_be_read(tmp_path, monkeypatch):
    monkeypatch.setattr(video_pca, "MOST_FRAMES", 2)
    write_clip(tmp_path / "videos", "a", CLIPS["moving"](frames=5, size=(20, 30))[0])
    for k in (0, 4):
        cut = (tmp_path / f"videos/a/{k}.png").read_bytes()
        (tmp_path / f"videos/a/{k}.png").write_bytes(cut[: len(cut) // 2])
    clips = Clips(open_dataset(tmp_path / "videos", format="images"), 1, keep_going=True)
    assert clips("a/2")[1] == (20, 30)
    with pytest.raises(WssError, match=r"a/4\.png"):
        clips("a/4")
