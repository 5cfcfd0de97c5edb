import numpy as np
import pandas as pd
import pytest
import torch

from aecompanion.explain.causal_effect import LatentEffects
from aecompanion.studies.latents import bottleneck, latent_rows
from aecompanion.train import causal_autoencoder

COLUMNS = ["image", "label", "channel", "effect", "expected", "baseline", "same"]
NAMES = np.array([10, 20, 30])


@pytest.fixture
def single():
    """Two classes, three images, two channels; the bottleneck alone turns the third decision."""
    p = torch.tensor([[1.0, 0.0], [0.25, 0.75], [0.75, 0.25]])
    p_through = torch.tensor([[0.75, 0.25], [0.25, 0.75], [0.25, 0.75]])
    zeroed = [[0.25, 0.75], [0.25, 0.75], [0.5, 0.5]], [[1.0, 0.0], [0.5, 0.5], [0.25, 0.75]]
    return LatentEffects(p, p_through, torch.tensor(zeroed), torch.zeros(3))


@pytest.fixture
def multi():
    """Two labels with independent probabilities, three images, one channel."""
    p = torch.tensor([[0.75, 0.25], [0.75, 0.75], [0.25, 0.25]])
    p_through = torch.tensor([[0.75, 0.5], [0.75, 0.25], [0.5, 0.25]])
    return LatentEffects(p, p_through, torch.tensor([[[0.25, 0.5], [0.5, 0.5], [1.0, 1.0]]]), torch.zeros(3))


def test_with_one_label_there_is_one_row_per_image_and_channel(single):
    found = latent_rows(single, torch.tensor([0, 1, 1]), NAMES)
    expected = [
        (10, 0, 0, -0.5, -0.5, -0.25, True),  # ECE - ECE0 = -3/4 + 1/4
        (20, 1, 0, 0.0, 0.0, 0.0, True),
        (30, 1, 0, -0.25, 0.125, -0.25, False),  # -1/8 + 1/4
        (10, 0, 1, 0.25, 0.25, -0.25, True),  # 0 + 1/4
        (20, 1, 1, -0.25, -0.125, 0.0, True),
        (30, 1, 1, 0.0, 0.0, -0.25, False),
    ]
    assert list(found.columns) == COLUMNS
    assert list(found.itertuples(index=False, name=None)) == expected
    assert found.index.tolist() == list(range(6))


def test_with_several_labels_an_image_has_a_row_for_each_that_it_has(multi):
    found = latent_rows(multi, torch.tensor([[1, 0], [1, 1], [0, 1]]), NAMES)
    # weights (3/4, 1/4), (1/2, 1/2), (1/2, 1/2); ECE -5/16, -1/4, 3/4; ECE0 1/16, -1/4, 1/8
    expected = [
        (10, 0, 0, -0.5, -0.375, 0.0625, True),  # p of one half through the bottleneck is no decision for label 1
        (20, 0, 0, -0.25, 0.0, -0.25, False),
        (20, 1, 0, 0.25, 0.0, -0.25, False),
        (30, 1, 0, 0.75, 0.625, 0.125, True),
    ]
    assert list(found.itertuples(index=False, name=None)) == expected


def test_an_image_without_any_label_has_one_row_per_channel_with_label_minus_one_and_no_effect(multi):
    found = latent_rows(multi, torch.tensor([[0, 0], [1, 0], [0, 0]]), NAMES)
    assert list(found.columns) == COLUMNS
    assert found["image"].tolist() == [20, 10, 30]
    assert found["label"].tolist() == [0, -1, -1]
    assert found["effect"].isna().tolist() == [False, True, True]
    assert found["expected"].tolist() == [0.0, -0.375, 0.625]
    assert found["baseline"].tolist() == [-0.25, 0.0625, 0.125]
    assert found["same"].tolist() == [False, True, True]


def test_one_label_is_a_decision_between_classes_several_are_one_by_one(multi):
    """The first image's decision is label 0 either way; as one of two classes it is so even when both exceed 1/2."""
    p_through = torch.tensor([[0.75, 0.625], [0.75, 0.875], [0.25, 0.125]])
    found = LatentEffects(multi.p, p_through, multi.p_do, multi.error)
    assert latent_rows(found, torch.tensor([0, 0, 0]), NAMES)["same"].tolist() == [True, False, True]
    assert latent_rows(found, torch.ones(3, 2), NAMES)["same"].tolist() == [False] * 2 + [True] * 4


def test_labels_as_one_hot_vectors_give_the_rows_of_indices(single):
    labels = torch.tensor([0, 1, 1])
    first, second = (latent_rows(single, each, NAMES) for each in (labels, torch.eye(2)[labels]))
    pd.testing.assert_frame_equal(first.drop(columns="same"), second.drop(columns="same"))


def test_images_may_have_names(single):
    found = latent_rows(single, torch.tensor([0, 1, 1]), np.array(["a", "b", "c"]))
    assert found["image"].tolist() == ["a", "b", "c"] * 2


def test_the_effect_of_every_image_label_and_channel_is_in_its_row():
    p, p_through = torch.rand(2, 4, 3, generator=torch.Generator().manual_seed(1))
    p_do = torch.rand(5, 4, 3, generator=torch.Generator().manual_seed(2))
    found = latent_rows(LatentEffects(p, p_through, p_do, torch.zeros(4)), torch.ones(4, 3), np.arange(4))
    assert len(found) == 5 * 4 * 3
    for row in found.itertuples():
        n, k, j = row.image, row.label, row.channel
        weights = p[n] / p[n].sum()
        assert row.effect == pytest.approx((p_do[j, n, k] - p_through[n, k]).item(), abs=1e-6)
        assert row.expected == pytest.approx((weights * (p_do[j, n] - p_through[n])).sum().item(), abs=1e-6)
        assert row.baseline == pytest.approx((weights * (p_through[n] - p[n])).sum().item(), abs=1e-6)


def test_a_bottleneck_is_read_with_the_layer_it_was_saved_for(tmp_path):
    saved = causal_autoencoder.CausalAutoencoder(6, encoder=(4, 2), decoder=(4,))
    causal_autoencoder.save(saved, tmp_path / "3.safetensors", layer="stage1")
    found = bottleneck(tmp_path, 3, device="cpu")
    assert found["layer"] == "stage1"
    weights = found["autoencoder"].state_dict()
    assert all(torch.equal(weights[name], each) for name, each in saved.state_dict().items())


def test_the_effect_at_the_mean_code_stands_beside_that_at_zero(multi):
    labels = torch.tensor([[1, 0], [1, 1], [0, 1]])
    usual = LatentEffects(multi.p, multi.p_through, multi.p_do + 0.125, torch.zeros(3))
    found = latent_rows(multi, labels, NAMES, usual)
    assert list(found.columns) == [*COLUMNS, "usual"]
    assert found["usual"].tolist() == (found["expected"] + 0.125).tolist()
