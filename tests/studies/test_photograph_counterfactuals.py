import numpy as np
import pytest
import torch

from aecompanion.networks.zoo import create
from aecompanion.pipeline.rng import generator
from aecompanion.studies import photograph_counterfactuals as study
from aecompanion.studies.counterfactuals import confidence

IMAGES = torch.rand(2, 3, 48, 48, generator=generator(0))
KEYS = [4, 7]


@pytest.fixture(scope="module")
def networks():
    return [create(f"compact/{name}", classes=4, channels=3, size=48, seed=1).eval() for name in ("vgg", "resnet")]


@pytest.fixture(scope="module")
def found(networks):
    maker, judge = networks
    labels = study.predict(maker, IMAGES).argmax(1)
    whole = torch.ones(2, 1, 48, 48, dtype=torch.bool)
    half = whole.clone()
    half[..., 24:] = False
    regions = {"gradcam": whole, "moved": half, "centre": ~half}
    clean = confidence(maker, IMAGES, study.most_likely_other(maker, IMAGES, labels))
    run = {"steps": 3, "searches": 2, "keys": KEYS, "level": float(clean.max()) + 0.0002}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "LARGEST", {"l1.5": 400.0, "l2": 50.0})  # an untrained network is hard to convince
        return run["level"], labels, *study.rows_of(maker, [judge], IMAGES, labels, regions, **run)


def test_the_target_is_the_most_likely_other_class(networks, found):
    _, labels, rows, _ = found
    second = study.predict(networks[0], IMAGES).topk(2).indices[:, 1]
    assert rows.drop_duplicates("image")["target"].tolist() == second.tolist()
    assert labels.tolist() != second.tolist()


def test_shares_add_up_and_a_region_that_is_the_whole_image_has_all_of_the_change(found):
    _, _, rows, _ = found
    np.testing.assert_allclose(rows["inside"], 1)
    np.testing.assert_allclose(rows["moved"] + rows["centre"], 1)
    np.testing.assert_allclose(rows["area"], 1)


def test_the_confidence_is_reached_within_the_radius(networks, found):
    level, _, rows, changed = found
    own = rows[(rows["ball"] == "l1.5") & (rows["change"] == "own")]
    reached = np.isfinite(own["radius"])
    assert reached.any()
    assert (own.loc[reached, "confidence"] >= level - 1e-6).all()
    assert (own.loc[reached, "l15"] <= own.loc[reached, "radius"] * 1.001).all()
    said = confidence(networks[0], changed["l1.5"], torch.tensor(own["target"].to_numpy()))
    np.testing.assert_allclose(own["confidence"], said, atol=1e-6)


def test_shuffled_pixels_keep_their_values_and_lose_their_places():
    delta = torch.randn(2, 3, 6, 6, generator=generator(3))
    moved = study.shuffled(delta, keys=KEYS)
    assert not torch.equal(moved, delta)
    for before, after in zip(delta, moved, strict=True):
        pixels = [sorted(map(tuple, each.flatten(1).T.tolist())) for each in (before, after)]
        assert pixels[0] == pixels[1]
    assert torch.equal(study.shuffled(delta[1:], keys=KEYS[1:])[0], moved[1])


def test_neighbours_tell_a_slope_from_a_checkerboard_and_from_noise():
    slope = torch.arange(64.0).expand(1, 1, 64, 64)
    board = (torch.arange(64)[:, None] + torch.arange(64)) % 2
    noise = torch.randn(1, 3, 64, 64, generator=generator(0))
    assert study.neighbours(slope)[0] == pytest.approx(1, abs=1e-6)
    assert study.neighbours(board[None, None].float())[0] == pytest.approx(-1, abs=1e-6)
    assert abs(study.neighbours(noise)[0]) < 0.03


def test_without_other_networks_belief_is_unknown():
    assert np.isnan(study.belief([], IMAGES, torch.tensor([0, 1]))).all()
