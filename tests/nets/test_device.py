import pytest
import torch

from wsscli.classes import ClassTable
from wsscli.errors import UsageError, WssError
from wsscli.nets.device import halve_convolutions, native_bf16, pick_device
from wsscli.nets.segmenter import DeepLab


def test_names():
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert isinstance(native_bf16(torch.device("cpu")), bool)
    assert native_bf16(torch.device("mps")) is False


@pytest.mark.parametrize("name", ["tiny", "lite0"])
def test_halved_convolutions_change_nothing_under_autocast(name):
    net = DeepLab.build(name, ClassTable.of(["a"])).eval()
    image = torch.randn(1, 3, 65, 97, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        before = net(image)
        halve_convolutions(net)
        assert torch.equal(net(image), before)


def test_devices_that_are_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert pick_device("cuda") == torch.device("cuda")
    with pytest.raises(WssError) as caught:
        pick_device("cuda:1")
    assert str(caught.value) == "--device cuda:1: torch finds 1 CUDA devices here; pass --device cpu (see `wss doctor`)"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(WssError, match="--device mps: torch finds no Apple GPU here; pass --device cpu"):
        pick_device("mps")


def test_names_that_are_no_device():
    with pytest.raises(UsageError, match="--device gpu: no such device; give auto, cpu, cuda, cuda:N or mps"):
        pick_device("gpu")
    with pytest.raises(UsageError, match="--device meta: wss runs on cpu, cuda or mps"):
        pick_device("meta")
