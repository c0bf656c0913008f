import pytest

from wsscli.errors import WssError
from wsscli.launch import Launch, launched

TORCHRUN = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}
SRUN = {"SLURM_STEP_ID": "0", "SLURM_PROCID": "2", "SLURM_NTASKS": "3", "SLURM_LOCALID": "0"}


@pytest.mark.parametrize(
    ("environment", "launch"),
    [
        ({}, None),
        (TORCHRUN, Launch(5, 8, 1, 4)),
        ({"RANK": "0", "WORLD_SIZE": "1"}, Launch(0, 1, 0)),
        ({"RANK": "1"}, None),  # not a launcher's: other tools have a RANK as well
        ({"WORLD_SIZE": "2", "RANK": ""}, None),
        (SRUN, Launch(2, 3, 0)),
        (SRUN | {"SLURM_STEP_NUM_TASKS": "6", "SLURM_PROCID": "4"}, Launch(4, 6, 0)),
        (SRUN | TORCHRUN, Launch(5, 8, 1, 4)),  # srun starts one torchrun a host
        ({k: v for k, v in SRUN.items() if k != "SLURM_STEP_ID"}, None),  # a batch script
        (SRUN | {"SLURM_STEP_ID": "4294967291"}, None),  # older SLURM: a batch script is a step of this number
    ],
)
def test_launched(environment, launch):
    assert launched(environment) == launch


def test_this_process(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "SLURM_STEP_ID"):
        monkeypatch.delenv(name, raising=False)
    assert launched() is None
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert launched().world == 2 and str(launched()) == "rank 0 of 2"


def test_what_no_launcher_sets():
    with pytest.raises(WssError) as caught:
        launched(TORCHRUN | {"RANK": "one"})
    assert str(caught.value) == (
        "RANK=one: no number; start the command with torchrun or srun, which set it, or unset it"
    )
    with pytest.raises(WssError) as caught:
        launched(TORCHRUN | {"RANK": "8"})
    assert str(caught.value) == (
        "RANK=8, WORLD_SIZE=8: ranks end at 7; start the command with torchrun or srun, or unset both"
    )
