"""Small trainings of every net, for one process or several: `python ranked.py WHAT[,WHAT...] DIRECTORY`, once a rank."""

import json
import os
import socket
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch

from wsscli.classes import ClassTable
from wsscli.errors import WssError
from wsscli.nets.classifier import CamNet
from wsscli.nets.dasnet import DASNet
from wsscli.nets.fpn import FPN
from wsscli.nets.hcp import HCP
from wsscli.nets.segmenter import DeepLab
from wsscli.nets.self_guided import SelfGuided
from wsscli.nets.ssd import SSD
from wsscli.nets.student import Student
from wsscli.train import ranks
from wsscli.train.box_samples import around
from wsscli.train.detection import BoxLoss
from wsscli.train.hypotheses import Labels, Pooled, forward_boxes
from wsscli.train.in_boxes import forward_in_boxes, in_boxes
from wsscli.train.joint import JointLoss, forward_joint
from wsscli.train.loop import fit
from wsscli.train.meter import SupervisionMeter
from wsscli.train.objectives import Masks, Seeds, SoftMasks
from wsscli.train.objectives import SelfGuided as Guided
from wsscli.train.settings import Settings
from wsscli.train.soft_labels import SoftLabels

CPU = torch.device("cpu")
CLASSES = ClassTable.of(["a", "b"])


class Samples:
    """Ten random samples whose number of labels, boxes or pixels grows with the index; `fail_at` stands for a kill."""

    hangs = False

    def __init__(self, make, side, fail_at=None):
        self.make, self.side, self.fail_at, self.calls = make, side, fail_at, 0

    def __len__(self):
        return 10

    def __call__(self, epoch, index):
        self.calls += 1
        if self.fail_at is not None and self.calls > self.fail_at:
            raise WssError("stopped")
        if self.hangs and ranks.current().rank == 1 and self.calls > 2:
            time.sleep(600)
        rng = np.random.default_rng([epoch, index])
        image = rng.integers(0, 255, (self.side, self.side, 3), dtype=np.uint8)
        return image, *self.make(rng, index, self.side)


def labels(rng, index, side):
    return (np.float32([index % 2, index % 3 == 0]),)


def sparse(rng, index, side):
    """A mask of which between no pixel and all are labelled."""
    mask = rng.integers(0, 3, (side, side)).astype(np.uint8)
    return np.where(rng.random((side, side)) < index / 9, mask, 255).astype(np.uint8)


def masks(rng, index, side):
    return (sparse(rng, index, side),)


def seeds(rng, index, side):
    """Seeds, labels, what is inside the photo, and true masks."""
    inside = np.zeros((side, side), bool)
    inside[: side - 2 * index] = True
    mask = np.where(inside, sparse(rng, index, side), 255).astype(np.uint8)
    return mask, np.array([True, True, True]), inside, sparse(rng, 9, side)


def shares(rng, index, side):
    points = -(-side // 4)
    maps = rng.random((3, points, points)).astype(np.float32)
    return (maps * (rng.random((points, points)) < index / 9),)


def soft(rng, index, side):
    known = (rng.random((side, side)) < index / 9).astype(np.float32)
    return (np.stack([known * rng.random((side, side)).astype(np.float32), known]),)


def hypotheses(rng, index, side):
    low = rng.uniform(0, side / 2, (4, 2))
    return *labels(rng, index, side), np.concatenate([low, low + rng.uniform(8, side / 2, (4, 2))], 1).astype(
        np.float32
    )


def boxes(rng, index, side):
    """Up to four boxes, none in the first photo."""
    count = index // 2
    found, ids = np.zeros((4, 4), np.float32), np.zeros(4, np.int64)
    low = rng.uniform(0, side / 2, (count, 2))
    found[:count] = np.concatenate([low, low + rng.uniform(20, side / 2, (count, 2))], 1)
    ids[:count] = rng.integers(1, 3, count)
    return found, ids


def in_box(rng, index, side):
    """A box, a mask in it, boxes drawn around it (some left out), which match, and the instance."""
    box = np.float32([0.1, 0.2, 0.8, 0.9])
    drawn, positive = around(box, box[None], rng)
    drawn[6 - index // 2 :] = 0
    rows = np.zeros((16, 4), np.float32)
    rows[0] = box
    mask = np.minimum(sparse(rng, index, side), 2)
    return rows, np.where(mask == 2, 255, mask).astype(np.uint8), drawn, positive, (mask == 1).astype(np.uint8)


def both(rng, index, side):
    """A box and its mask, and another photo with boxes."""
    photo = rng.integers(0, 255, (side, side, 3), dtype=np.uint8)
    return *in_box(rng, index, side), photo, *boxes(rng, index, side)


def cases(dropout=0.0, meter=None):
    """name -> (net, samples, loss, forward)."""
    segmenter = {"dropout": dropout, "size": 65}
    detector = SSD.build("tiny", CLASSES, size=129)
    dasnet, joint = (DASNet(SSD.build("tiny", CLASSES, size=129), instances=True) for _ in range(2))
    joint.frozen = ()
    cam = CamNet.build("tiny", CLASSES, dropout=dropout, size=33)
    return {
        "cam": (cam, Samples(labels, 33), Labels("sigmoid"), None),
        "self-guided": (
            SelfGuided.build("tiny", CLASSES, affinity_size=6, dropout=dropout), Samples(labels, 65), Guided(1.0), None
        ),
        "hcp": (HCP.build("tiny", CLASSES, size=65, dropout=dropout), Samples(hypotheses, 65), Pooled("squared"), forward_boxes),
        "deeplab": (DeepLab.build("tiny", CLASSES, **segmenter), Samples(masks, 65), Masks(8, 2), None),
        "fpn": (FPN.build("tiny", CLASSES, **segmenter), Samples(masks, 65), Masks(8, 2), None),
        "soft": (DeepLab.build("tiny", CLASSES, **segmenter), Samples(shares, 65), SoftLabels(8, 4), None),
        "seeds": (
            DeepLab.build("tiny", CLASSES, **segmenter), Samples(seeds, 65),
            Seeds(8, 4, crf_engine="lattice", crf_unary="log-probability", boundary_gradient="dsrg", watch=meter), None,
        ),
        "cues": (
            DeepLab.build("tiny", CLASSES, **segmenter), Samples(seeds, 65),
            Seeds(8, 4, crf_engine="lattice", grow=False, watch=meter), None,
        ),
        "student": (Student(side=65), Samples(soft, 65), SoftMasks(4), None),
        "ssd": (detector, Samples(boxes, 129), BoxLoss(detector), None),
        "dasnet": (dasnet, Samples(in_box, 129), in_boxes, forward_in_boxes),
        "joint": (joint, Samples(both, 129), JointLoss(joint), forward_joint),
    }  # fmt: skip


def one(name, directory, *, dropout=0.0, fail_at=None, meter=None, **changes):
    """Train a case; returns how far its tensors have moved."""
    directory.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(5)
    net, samples, loss, forward = cases(dropout, meter)[name]
    samples.fail_at = fail_at
    before = {key: value.clone() for key, value in net.state_dict().items()}
    how = {
        "iterations": 1, "batch_size": 4, "lr": 1.0, "weight_decay": 0.0, "optimizer": "sgd", "schedule": "constant",
        "norms_frozen": True, "frozen": getattr(net, "frozen", ()), "log_every": 1, "checkpoint_seconds": 0.0,
    }  # fmt: skip
    fit(net, samples, loss, Settings(**how | changes), directory, device=CPU, workers=1, forward=forward, meter=meter)
    return {key: value - before[key] for key, value in net.state_dict().items() if value.is_floating_point()}


LONG = {"iterations": 9, "lr": 0.01, "dropout": 0.3}  # 36 of 40 samples: three epochs end in the middle of a batch


def gradients(directory):
    """The first step of every case, and a second one, which needs all gradients to have been found in the first."""
    directory.mkdir(exist_ok=True)
    for name in cases():
        torch.save(one(name, directory / name), directory / f"{name}-{ranks.current().rank}.pt")
        one(name, directory / f"{name}-two", iterations=2, lr=1e-3)


def split(directory):
    directory.mkdir(exist_ok=True)
    torch.save(one("ssd", directory / "ssd", dropout=0.5), directory / "ssd.pt")
    torch.save(one("cam", directory / "cam", dropout=0.5), directory / "cam.pt")


def watched(directory, fail_at=None):
    """A training with a meter; it may be stopped, and goes on."""
    one("cues", directory, meter=SupervisionMeter(3), fail_at=fail_at, **LONG)


def stopped(directory):
    directory.mkdir(exist_ok=True)
    try:
        watched(directory, fail_at=9)
    except WssError as error:
        (directory / f"said-{ranks.current().rank}").write_text(str(error))


def hanging(directory):
    """Rank 1 does not come to the second step."""
    Samples.hangs = True
    try:
        one("cam", directory, iterations=4, lr=0.1)
    except WssError as error:
        (directory / "said").write_text(str(error))


def launch(what, directory, *, world=2, wait=True):
    """Run WHAT in so many processes, several in directories of their names; returns their exit codes (or the processes)."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    directory.mkdir(parents=True, exist_ok=True)
    started = []
    for rank in range(world):
        environment = os.environ | {
            "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": str(world),
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        started.append(subprocess.Popen([sys.executable, __file__, what, directory], env=environment))
    return [process.wait() for process in started] if wait else started


def rows(directory):
    """The log's rows of the training, without what only says how fast it was."""
    found = [json.loads(line) for line in (directory / "log.jsonl").read_text().splitlines()]
    drop = ("time", "images_per_second")
    return [{k: v for k, v in row.items() if k not in drop} for row in found if row["event"] != "processes"]


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1] == "hanging":
        ranks.PATIENCE = timedelta(seconds=20)
    ranks.join(CPU)
    for name in sys.argv[1].split(","):
        globals()[name](Path(sys.argv[2]) / (name if "," in sys.argv[1] else ""))
