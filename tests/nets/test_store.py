import pytest
import torch

from wsscli.classes import ClassTable
from wsscli.errors import UsageError, WssError
from wsscli.maskdir.manifest import Manifest, write_manifest
from wsscli.nets.classifier import CamNet
from wsscli.nets.segmenter import DeepLab
from wsscli.nets.store import build_model, init_from, load_model, model_manifest, save_model

CLASSES = ClassTable.of(["cat", "dog"])


def classifier(classes=CLASSES):
    return CamNet.build("tiny", classes, output_stride=4, dropout=0.3, size=65)


def segmenter(arch="deeplab", classes=CLASSES):
    return DeepLab.build("tiny", classes, arch=arch, hidden=8, size=129)


def store(directory, net, *, complete=True, **changes):
    directory.mkdir(exist_ok=True)
    save_model(directory, net)
    values = {"kind": "model", "step": "train-cls", "classes": net.classes, "model": net.config, **changes}
    write_manifest(directory, Manifest(complete=complete, **values))
    return directory


@pytest.mark.parametrize("make", [classifier, segmenter, lambda: segmenter("deeplab-largefov")])
def test_round_trip(tmp_path, make):
    model = make().eval()
    loaded = load_model(store(tmp_path / "m", model))
    assert loaded.config == model.config and not loaded.training
    image = torch.randn(1, 3, 33, 33, generator=torch.Generator().manual_seed(0))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), loaded.parameters(), strict=True))
    assert torch.allclose(model(image), loaded(image), atol=1e-6)
    save_model(tmp_path, loaded)
    assert (tmp_path / "model.safetensors").read_bytes() == (tmp_path / "m" / "model.safetensors").read_bytes()


def test_same_bytes_from_channels_last(tmp_path):
    model = segmenter()
    store(tmp_path / "a", model)
    store(tmp_path / "b", model.to(memory_format=torch.channels_last))
    assert (tmp_path / "a/model.safetensors").read_bytes() == (tmp_path / "b/model.safetensors").read_bytes()


def test_another_output_stride(tmp_path):
    directory = store(tmp_path / "m", classifier())
    assert load_model(directory, output_stride=8).backbone.stride == 8
    with pytest.raises(UsageError, match="backbone tiny: output stride 5 is not possible; take one of 4, 8, 16"):
        load_model(directory, output_stride=5)


def test_maps_of_the_classifier_average_to_its_logits():
    model = classifier().eval()
    image = torch.randn(2, 3, 65, 65, generator=torch.Generator().manual_seed(0))
    assert model.maps(image).shape == (2, 2, 17, 17)
    assert torch.allclose(model.maps(image).mean((2, 3)), model(image), atol=1e-6)
    assert model.classifier.bias is None


def test_vgg_has_conv6_and_conv7():
    model = CamNet.build("vgg16", CLASSES)
    convs = [m for m in model.head.modules() if isinstance(m, torch.nn.Conv2d)]
    assert [(m.in_channels, m.out_channels, m.dilation) for m in convs] == [(512, 1024, (4, 4)), (1024, 1024, (4, 4))]
    assert model.classifier.weight.shape == (2, 1024, 1, 1)
    assert len(list(classifier().head.parameters())) == 0


def test_branches():
    model = segmenter()
    rates = [branch[0].dilation[0] for branch in model.branches]
    assert rates == [6, 12, 18, 24]
    assert [branch[0].dilation[0] for branch in segmenter("deeplab-largefov").branches] == [12]
    image = torch.zeros(2, 3, 65, 65)
    assert model.eval()(image).shape == (2, 3, 9, 9)
    summed = sum(branch(model.backbone(image)) for branch in model.branches)
    assert torch.allclose(model(image), summed)
    assert DeepLab.build("vgg16", CLASSES).hidden == 1024


def test_prefixes_name_the_new_and_the_last_parameters():
    for model in (classifier(), segmenter()):
        names = [name for name, _ in model.named_parameters()]
        last = [name for name in names if name.startswith(model.last)]
        assert last and set(last) < set(names)
        assert all(name.startswith(model.fresh) for name in last)
        assert {name for name in names if not name.startswith(model.fresh)} == {
            name for name in names if name.startswith("backbone.")
        }


def test_unknown_architectures():
    with pytest.raises(UsageError, match="unknown DeepLab architecture 'fpn'; known: deeplab, deeplab-largefov"):
        segmenter("fpn")
    with pytest.raises(WssError, match="unknown architecture 'later' in a model's manifest; update wsscli"):
        build_model({"arch": "later", "classes": ["background"], "backbone": "tiny"})


def refused(directory, **options):
    with pytest.raises(WssError) as caught:
        model_manifest(directory, **options)
    return str(caught.value)


def test_directories_that_are_no_complete_model(tmp_path):
    advice = "pass what train-cls or train-seg wrote"
    assert refused(tmp_path / "no") == f"{tmp_path}/no: not a model directory (no wss.json); {advice}"
    (tmp_path / "empty").mkdir()
    assert refused(tmp_path / "empty") == f"{tmp_path}/empty: not a model directory (no wss.json); {advice}"
    store(tmp_path / "masks", classifier(), kind="masks", model=None)
    assert refused(tmp_path / "masks") == f"{tmp_path}/masks: holds masks, not a model; {advice}"
    store(tmp_path / "part", classifier(), complete=False, model=None)
    assert refused(tmp_path / "part") == (
        f"{tmp_path}/part: its training is not complete; run the same train-cls command again to finish it"
    )


def test_the_other_sort_of_net(tmp_path):
    cam, seg = store(tmp_path / "cam", classifier()), store(tmp_path / "seg", segmenter())
    assert model_manifest(cam, arch="cam").model == classifier().config
    assert refused(cam, arch="hcp") == f"{cam}: holds a 'cam' net; pass what `wss train-cls --arch hcp` wrote"
    assert refused(cam, arch="segmentation") == (
        f"{cam}: holds a 'cam' net, a segmentation net is needed; pass what train-seg wrote"
    )
    assert (
        refused(seg, arch="cam") == f"{seg}: holds a 'deeplab' net, a classifier is needed; pass what train-cls wrote"
    )


def test_weights_that_do_not_fit_the_manifest(tmp_path):
    directory = store(tmp_path / "m", classifier())
    save_model(directory, segmenter())
    with pytest.raises(
        WssError, match=r"model\.safetensors: does not fit the model entry of its wss\.json \(classifier"
    ):
        load_model(directory)
    (directory / "model.safetensors").unlink()
    with pytest.raises(WssError, match=r"model\.safetensors: no such weights file"):
        load_model(directory)


def test_a_segmenter_starts_from_a_classifier(tmp_path, caplog):
    caplog.set_level("INFO", "wsscli")
    source = classifier()
    model = DeepLab.build("tiny", CLASSES)
    init_from(model, store(tmp_path / "cls", source))
    assert torch.equal(model.backbone.body[0].weight, source.backbone.body[0].weight)
    assert f"--init {tmp_path}/cls: stay random: branches.0.0.weight" in caplog.text
    assert f"--init {tmp_path}/cls: not taken: classifier.weight" in caplog.text


def test_the_same_net_starts_where_it_was(tmp_path, caplog):
    caplog.set_level("INFO", "wsscli")
    source, model = segmenter(), segmenter()
    init_from(model, store(tmp_path / "m", source))
    assert all(torch.equal(a, b) for a, b in zip(source.parameters(), model.parameters(), strict=True))
    assert not caplog.text


def test_a_head_for_other_classes_stays_random(tmp_path):
    source = segmenter()
    model = segmenter(classes=ClassTable.of(["cow", "sheep"]))  # as many, but others
    before = model.branches[0][6].weight.clone()
    init_from(model, store(tmp_path / "m", source))
    assert torch.equal(model.branches[0][6].weight, before)
    assert torch.equal(model.branches[0][3].weight, source.branches[0][3].weight)


def test_another_backbone_is_refused(tmp_path):
    directory = store(tmp_path / "m", classifier())
    with pytest.raises(WssError) as caught:
        init_from(CamNet.build("lite0", CLASSES), directory)
    assert str(caught.value) == f"{directory}: its backbone is tiny, not lite0; pass --backbone tiny or another --init"
