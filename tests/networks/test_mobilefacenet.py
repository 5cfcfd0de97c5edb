import re

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch.nn import functional as F

from aecompanion.data.files import image_files
from aecompanion.networks import zoo
from aecompanion.networks.mobilefacenet import MobileFaceNet, mobilefacenet
from aecompanion.networks.recogniser import Recogniser
from aecompanion.pipeline.paths import ROOT

WEIGHTS = ROOT / "public" / "weights" / "mobilefacenet_casia_068.ckpt"
FACES = ROOT / "public" / "orl_faces"


@pytest.fixture(scope="module")
def network():
    return MobileFaceNet().eval()


@torch.no_grad()
def test_the_maps_are_those_of_the_table(network):
    """Table 1 of the paper, with 112×96 in the place of 112×112."""
    sizes = []
    parts = [network.conv1, network.dw_conv1, *(network.blocks[i] for i in (4, 5, 11, 12, 14))]
    parts += [network.conv2, network.linear7]
    hooks = [part.register_forward_hook(lambda layer, given, out: sizes.append(tuple(out.shape[1:]))) for part in parts]
    assert network(torch.zeros(2, 3, 112, 96)).shape == (2, 128)
    for hook in hooks:
        hook.remove()
    maps = [(64, 56, 48), (64, 56, 48), (64, 28, 24), (128, 14, 12), (128, 14, 12), (128, 7, 6), (128, 7, 6)]
    assert sizes == [*maps, (512, 7, 6), (512, 1, 1)]


def test_it_has_less_than_a_million_parameters_without_the_head(network):
    """The paper says 0.99 million with a last kernel of 7×7; ours has 7×6."""
    assert sum(each.numel() for each in network.parameters()) + 512 * 7 == pytest.approx(0.99e6, rel=0.02)


def test_a_shortcut_stands_exactly_where_the_shape_stays(network):
    assert [block.shortcut for block in network.blocks] == [False, *[True] * 4, False, *[True] * 6, False, *[True] * 2]


def test_another_size_is_one_sentence(network):
    with pytest.raises(ValueError, match=r"^images are 64×64, expected 112×96 for MobileFaceNet$"):
        network(torch.zeros(1, 3, 64, 64))


def test_weights_are_read_from_one_level_down(network, tmp_path):
    torch.save({"epoch": 68, "net_state_dict": network.state_dict()}, tmp_path / "068.ckpt")
    read = mobilefacenet(tmp_path / "068.ckpt")
    assert not read.training
    assert all(torch.equal(read.state_dict()[name], value) for name, value in network.state_dict().items())


def without(state, name):
    return {key: value for key, value in state.items() if key != name}


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (
            lambda state: without(state, "linear7.conv.weight"),
            "does not fit MobileFaceNet (missing linear7.conv.weight)",
        ),
        (lambda state: state | {"arc.weight": torch.zeros(2)}, "does not fit MobileFaceNet (unexpected arc.weight)"),
        (
            lambda state: state | {"linear7.conv.weight": torch.zeros(512, 1, 7, 7)},
            "does not fit MobileFaceNet (linear7.conv.weight is (512, 1, 7, 7), expected (512, 1, 7, 6))",
        ),
        (
            lambda state: state | {"linear1.bn.bias": torch.full((128,), torch.nan)},
            "linear1.bn.bias holds NaN or infinite numbers, expected finite ones",
        ),
    ],
)
def test_a_wrong_file_is_one_sentence(network, tmp_path, changed, sentence):
    file = tmp_path / "wrong.safetensors"
    save_file(changed(dict(network.state_dict())), file)
    with pytest.raises(ValueError, match=f"^{re.escape(f'{file}: {sentence}')}$"):
        mobilefacenet(file)


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.ckpt: no such file, expected a state dict"):
        mobilefacenet(tmp_path / "none.ckpt")


def test_the_zoo_makes_a_recogniser_of_it(monkeypatch):
    monkeypatch.setattr(zoo, "FULL_SIZE", dict(zoo.FULL_SIZE))
    network = zoo.create("aecompanion.networks.recogniser:mobilefacenet", classes=3, channels=1, size=64).eval()
    assert isinstance(network.body, Recogniser)
    assert network.card["family"] == "recogniser"
    assert network.cam_layers == ("net.blocks.4", "net.blocks.11", "net.conv2")
    seen = []
    network.cam_layer().register_forward_hook(lambda layer, given, out: seen.append(tuple(out.shape)))
    assert network(torch.rand(2, 1, 64, 64)).shape == (2, 3)
    assert seen == [(2, 512, 7, 6)]


@pytest.mark.skipif(not WEIGHTS.is_file(), reason="public/weights/ has no MobileFaceNet (profiles/public.yaml)")
@pytest.mark.skipif(not FACES.is_dir(), reason="public/orl_faces/ is missing (profiles/public.yaml)")
@torch.no_grad()
def test_published_weights_tell_people_apart_that_they_never_saw():
    """Area under the ROC curve of the cosine between two photographs, same person against different people: 40 people
    of AT&T, three photographs of each, at 64 px as the pipeline reads them.
    """
    from sklearn.metrics import roc_auc_score

    from aecompanion.data.pixels import read_image

    files = [file for file in image_files(FACES, {".pgm"}) if file.stem in ("1", "4", "8")]
    network = zoo.create("aecompanion.networks.recogniser:mobilefacenet", classes=2, channels=1, size=64).eval()
    network.body.net = mobilefacenet(WEIGHTS)
    images = torch.from_numpy(np.stack([read_image(file, channels=1, size=64) for file in files])).float() / 255
    units = []
    network.body.net.register_forward_hook(lambda layer, given, out: units.append(F.normalize(out)))
    for chunk in images.split(24):
        network(chunk)
    units, people = torch.cat(units), np.array([file.parent.name for file in files])
    one, two = np.triu_indices(len(files), 1)
    area = roc_auc_score(people[one] == people[two], (units @ units.T).numpy()[one, two])
    assert len(files) == 120
    assert area > 0.98
    assert Image.open(files[0]).size == (92, 112)
