import numpy as np
import pytest
import torch

from aecompanion.explain.causal_effect import region_effects
from aecompanion.explain.fills import FILLS
from aecompanion.networks.zoo import create
from aecompanion.pipeline.rng import generator
from aecompanion.studies import photograph_effects as study
from aecompanion.train.causal_autoencoder import activations_of

KEYS = [4, 7, 9]
IMAGES = torch.rand(3, 3, 48, 48, generator=generator(0))
LABELS = torch.tensor([0, 1, 2])


@pytest.fixture(scope="module")
def network():
    return create("compact/vgg", classes=4, channels=3, size=48, seed=1).eval()


@pytest.fixture(scope="module")
def regions(network):
    return study.regions_of(network, IMAGES, LABELS, area=0.1, per_side=3, keys=KEYS)


def test_regions_have_one_area(regions):
    assert list(regions) == list(study.REGIONS)
    for masks in regions.values():
        assert masks.flatten(1).sum(1).tolist() == [round(0.1 * 48**2)] * 3


def test_the_moved_region_has_the_form_of_grad_cams_and_does_not_hang_on_its_batch(regions):
    again = study.moved(regions["gradcam"][1:2], keys=[7])
    assert torch.equal(again[0], regions["moved"][1])
    shifts = [(y, x) for y in range(12, 36) for x in range(12, 36)]
    assert any(torch.equal(regions["gradcam"][1].roll(each, dims=(1, 2)), regions["moved"][1]) for each in shifts)


def test_the_centre_is_a_square():
    found = study.centre((5, 5), torch.tensor([9, 1]))
    expected = torch.zeros(5, 5, dtype=torch.bool)
    expected[1:4, 1:4] = True
    assert torch.equal(found[0, 0], expected)
    assert found[1, 0].nonzero().tolist() == [[2, 2]]


def test_an_effect_is_that_of_its_region_and_fill(network, regions):
    rows = study.effect_rows(network, IMAGES, LABELS, regions, keys=KEYS)
    assert len(rows) == 3 * len(study.REGIONS) * len(FILLS)
    one = region_effects(network, IMAGES[1:2], regions["centre"][1:2], fill="white")[0, 1]
    chosen = rows[(rows["image"] == 7) & (rows["region"] == "centre") & (rows["fill"] == "white")]
    assert chosen["effect"].item() == pytest.approx(one.item(), abs=1e-5)
    assert (rows["p"] + rows["effect"]).between(0, 1).all()


def test_the_bottleneck_restores_what_it_is_given_and_zero_is_the_average(network):
    layer = study.middle_layer(network)
    assert layer == network.cam_layers[-2]
    bottleneck = study.components(network, IMAGES, layer=layer)
    activations = activations_of(network, IMAGES, layer=layer)
    torch.testing.assert_close(bottleneck(activations), activations, atol=1e-4, rtol=1e-4)
    code = bottleneck.encode(activations).movedim(1, -1).flatten(0, -2)
    torch.testing.assert_close(code.mean(0), torch.zeros(code.shape[1]), atol=1e-4, rtol=0)
    spread = code.var(0)
    assert (spread.diff() <= 1e-5).all()  # largest first
    mean = bottleneck.decode(torch.zeros(1, code.shape[1], 1, 1))[0, :, 0, 0]
    torch.testing.assert_close(mean, activations.mean((0, 2, 3)), atol=1e-4, rtol=1e-4)


def test_channels_have_a_row_per_photograph_and_the_mean_code_of_the_other_half(network):
    cut = study.opened(network, IMAGES, units=4)
    rows = study.channel_rows(network, IMAGES, LABELS, cut, keys=KEYS)
    assert sorted(zip(rows["image"], rows["channel"], strict=True)) == [(key, c) for key in KEYS for c in range(4)]
    assert rows.groupby("image")["half"].first().to_dict() == {4: 0, 7: 1, 9: 0}
    assert rows["baseline"].abs().max() < 1e-5
    assert rows["same"].all()
    # the other half of the photographs 4 and 9 is 7 alone: at its own code nothing of it changes
    alone = study.opened(network, IMAGES[[1, 1]], units=4)
    mine = study.channel_rows(network, IMAGES[[1, 1]], LABELS[[1, 1]], alone, keys=[1, 2])
    assert mine["usual"].abs().max() < 1e-5


def test_an_efficientnet_is_cut_before_its_last_halving():
    network = create("pip/efficientnet_lite0", classes=4, channels=3, size=64, seed=1).eval()
    layer = study.middle_layer(network)
    assert layer == "_blocks.10"
    assert activations_of(network, torch.rand(1, 3, 64, 64), layer=layer).shape == (1, 112, 4, 4)


def test_a_network_without_another_layer_is_refused(network):
    class Bare:
        cam_layers, body = ("features",), torch.nn.Linear(1, 1)

    with pytest.raises(ValueError, match="Linear has one Grad-CAM layer, expected another one before it"):
        study.middle_layer(Bare())


def test_halves_share_nothing():
    assert [[part.tolist() for part in pair] for pair in study.halves(3)] == [[[0, 2], [1]], [[1], [0, 2]]]
    with pytest.raises(ValueError, match="^1 photographs, expected at least 2"):
        study.halves(1)
    assert np.concatenate([own for own, _ in study.halves(2)]).tolist() == [0, 1]
