import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from aecompanion.defend.transforms import median
from aecompanion.evaluate.detection import (
    SCORES,
    auroc,
    channel_effect,
    image_scores,
    most_influential,
    score_rows,
    uncertainty,
)
from aecompanion.evaluate.dissimilarity import nissim
from aecompanion.explain.cam import cam
from aecompanion.explain.causal_effect import LatentEffects
from aecompanion.explain.gradcam import heatmap
from aecompanion.networks.read import squashed
from aecompanion.networks.zoo import create
from aecompanion.pipeline.rng import generator, seeded
from aecompanion.train.causal_autoencoder import CausalAutoencoder, cut

COLUMNS = {"p", "signed_effect", "confidence", "bottleneck", "heatmap"}

# ---- AUROC


@pytest.mark.parametrize("levels", [2, 5, None], ids=["two values", "ties", "no ties"])
@pytest.mark.parametrize(("clean", "attacked"), [(1, 1), (7, 30), (40, 12)])
def test_auroc_equals_scikit_learn(clean, attacked, levels):
    values = np.random.default_rng(clean).random(clean + attacked)
    values = values if levels is None else np.floor(values * levels)
    truth = np.repeat([0, 1], [clean, attacked])
    assert auroc(values[:clean], values[clean:]) == pytest.approx(roc_auc_score(truth, values), abs=1e-12)


def test_auroc_equals_the_share_of_pairs_in_which_the_attacked_one_is_larger():
    clean, attacked = np.random.default_rng(3).integers(0, 6, (2, 9, 2))
    pairs = [(a > c) + (a == c) / 2 for a in attacked.flat for c in clean.flat]
    assert auroc(clean, attacked) == pytest.approx(np.mean(pairs), abs=1e-12)


@pytest.mark.parametrize(
    ("clean", "attacked", "expected"),
    [
        ([1, 2], [3, 4], 1.0),
        ([3, 4], [1, 2], 0.0),
        ([5, 5], [5], 0.5),
        ([2, 1], [1, 2], 0.5),
        ([0, 1, 2, 3], [2], 2.5 / 4),
        ([-np.inf, 0], [np.inf], 1.0),
        ([], [1], np.nan),
        ([1], [], np.nan),
        ([], [], np.nan),
    ],
)
def test_auroc_of_a_few_values(clean, attacked, expected):
    found = auroc(np.array(clean), np.array(attacked))
    assert isinstance(found, float)
    assert found == pytest.approx(expected, nan_ok=True, abs=1e-15)


def test_auroc_leaves_its_arguments_alone():
    clean, attacked = np.array([3.0, 1.0, 2.0]), np.array([2.0, 0.0])
    auroc(clean, attacked)
    assert (clean.tolist(), attacked.tolist()) == ([3, 1, 2], [2, 0])


# ---- single scores


def test_the_uncertainty_of_one_label_is_what_the_largest_probability_lacks():
    p = torch.tensor([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0], [0.125, 0.25, 0.625]])
    assert uncertainty(p, multi_label=False).tolist() == [0.5, 0.0, 0.375]


def test_the_uncertainty_of_several_labels_is_the_mean_of_their_decisions():
    p = torch.tensor([[0.5, 0.25, 0.75, 1.0], [0.0, 1.0, 0.0, 1.0], [0.5, 0.5, 0.5, 0.5]])
    assert uncertainty(p, multi_label=True).tolist() == [(0.5 + 0.25 + 0.25) / 4, 0.0, 0.5]


def effects_of(p_do, p_through=(0.5, 0.5)):
    """Two images with p = (1, 0), so that an expected effect is p'_0 - 1."""

    def pair(first):
        return torch.tensor([[value, 1 - value] for value in first])

    return LatentEffects(pair((1.0, 1.0)), pair(p_through), torch.stack([pair(each) for each in p_do]), torch.zeros(2))


def test_the_effect_of_a_channel_is_its_own_beyond_that_of_the_bottleneck():
    assert channel_effect(effects_of([(0.25, 0.75)])).tolist() == [-0.25, 0.25]
    assert channel_effect(effects_of([(0.5, 0.5)], p_through=(0.75, 0.5))).tolist() == [-0.25, 0.0]
    assert channel_effect(effects_of([(0.25, 0.5), (1.0, 1.0)])).tolist() == [-0.25, 0.0]  # of the first channel


@pytest.mark.parametrize(
    ("p_do", "expected"),
    [
        ([(0.5, 0.5), (0.25, 0.5), (0.5, 0.625)], 1),
        ([(1.0, 0.0), (0.75, 0.625)], 0),  # opposite effects do not cancel
        ([(0.25, 0.25), (0.875, 0.875)], 1),  # neither sign is preferred
        ([(0.0, 0.5), (0.75, 0.875)], 1),  # the mean over images counts, not the largest one
        ([(0.5, 0.5)], 0),
    ],
)
def test_the_most_influential_channel_has_the_largest_mean_absolute_effect(p_do, expected):
    found = most_influential(effects_of(p_do))
    assert isinstance(found, int)
    assert found == expected


def test_the_most_influential_channel_is_judged_beyond_the_bottleneck():
    """Channel 0 differs most from the untouched network, but the bottleneck alone does so too."""
    assert most_influential(effects_of([(0.25, 0.25), (0.625, 0.625)], p_through=(0.25, 0.25))) == 1


# ---- the scores of images


@pytest.fixture(scope="module")
def network(pictures):
    """Whose logits are centred, so that the pictures are of several classes."""
    model = create("compact/gap", classes=3, channels=1, size=48, seed=2).eval()
    with torch.no_grad():
        model.body.head[2].bias -= model(pictures).mean(0)
        assert len(model(pictures).argmax(1).unique()) > 1
    return model


@pytest.fixture(scope="module")
def autoencoder():
    with seeded(2, 1):
        return CausalAutoencoder(64, encoder=(5, 3), decoder=(5,)).eval()


@pytest.fixture(scope="module")
def pictures():
    """Noise, smoothed differently, so that the heatmaps differ."""
    noise = torch.rand(5, 1, 48, 48, generator=generator(2, 2))
    smooth = nn.functional.avg_pool2d(noise, 5, 1, 2) * 2 - 0.5
    return torch.cat([noise[:2], smooth[2:].clamp(0, 1)])


@pytest.fixture(scope="module")
def options(network, autoencoder):
    return {"layer": "stage3", "autoencoder": autoencoder, "channel": 1, "heat_layer": network.cam_layer()}


@pytest.fixture(scope="module", params=[False, True], ids=["softmax", "sigmoid"])
def multi_label(request):
    return request.param


@pytest.fixture(scope="module")
def scores(network, pictures, options, multi_label):
    return image_scores(network, pictures, multi_label=multi_label, **options)


def test_every_image_has_every_score(scores):
    assert set(scores) == COLUMNS
    assert scores["p"].shape == (5, 3)
    for name in COLUMNS - {"p"}:
        assert scores[name].shape == (5,), name
        assert scores[name].isfinite().all(), name
        assert not scores[name].requires_grad, name
    for name in SCORES[1:]:
        assert (scores[name] >= 0).all(), name


def test_the_probabilities_are_those_of_the_untouched_network(network, pictures, scores, multi_label):
    with torch.no_grad():
        expected = squashed(network(pictures), multi_label=multi_label)
    assert torch.allclose(scores["p"], expected, rtol=0, atol=1e-6)
    assert torch.equal(scores["confidence"], uncertainty(scores["p"], multi_label=multi_label))


def test_the_effect_and_the_error_equal_a_loop_over_images(network, autoencoder, pictures, scores, multi_label):
    def branch(picture, zero):
        errors = []

        def through(activations):
            code = autoencoder.encode(activations)
            if zero:
                code[:, 1] = 0
            restored = autoencoder.decode(code)
            errors.append((restored - activations).abs().mean().item())
            return restored

        with cut(network, "stage3", through):
            return squashed(network(picture[None]), multi_label=multi_label)[0], *errors

    for n, picture in enumerate(pictures):
        with torch.no_grad():
            (p_do, _), (p_through, error) = branch(picture, zero=True), branch(picture, zero=False)
        weights = scores["p"][n] / scores["p"][n].sum()
        expected = (weights * (p_do - p_through)).sum().item()
        assert scores["signed_effect"][n].item() == pytest.approx(expected, abs=1e-6)
        assert scores["bottleneck"][n].item() == pytest.approx(error, rel=1e-5)


def test_the_heatmaps_are_compared_to_those_of_the_filtered_images(network, pictures, scores):
    """Of this network and layer Grad-CAM is the rectified class activation map, up to a factor."""
    top = scores["p"].argmax(1)
    maps = [
        heatmap(cam(network, each, top, layer=network.cam_layer(), linear=network.body.head[2]).clamp_min(0), 48)
        for each in (pictures, median(pictures))
    ]
    assert torch.allclose(scores["heatmap"], nissim(*maps), rtol=0, atol=1e-4)
    assert (scores["heatmap"] > 1e-3).all()


def test_an_image_has_the_same_scores_alone_as_among_others(network, pictures, options, scores, multi_label):
    for n in range(len(pictures)):
        alone = image_scores(network, pictures[n : n + 1], multi_label=multi_label, **options)
        for name in COLUMNS:
            assert torch.allclose(alone[name][0], scores[name][n], rtol=1e-4, atol=1e-5), name


def test_the_network_and_the_bottleneck_are_returned_as_they_were(network, autoencoder, pictures, options, condition):
    kept, state = pictures.clone(), {name: values.clone() for name, values in network.state_dict().items()}
    network.train()
    autoencoder.train()
    try:
        before = condition(network), condition(autoencoder)
        image_scores(network, pictures[:2], multi_label=False, **options)
        assert (condition(network), condition(autoencoder)) == before
    finally:
        network.eval()
        autoencoder.eval()
    assert torch.equal(pictures, kept)
    assert all(torch.equal(values, state[name]) for name, values in network.state_dict().items())


@pytest.mark.parametrize("channel", [-1, 3])
def test_a_channel_that_does_not_exist_is_an_error(network, pictures, options, channel):
    with pytest.raises(ValueError, match=f"channel {channel} does not exist"):
        image_scores(network, pictures, multi_label=False, **options | {"channel": channel})


# ---- rows


def test_there_is_one_row_per_image_with_the_scores_and_whether_a_decision_changed():
    scores = {
        "p": torch.tensor([[0.75, 0.25], [0.5, 0.75], [0.25, 0.75], [0.625, 0.625]]),
        "signed_effect": torch.tensor([0.25, -0.5, 0.0, 0.5]),
        "confidence": torch.tensor([0.25, 0.375, 0.25, 0.375]),
        "bottleneck": torch.tensor([1.0, 2.0, 3.0, 4.0]),
        "heatmap": torch.tensor([0.0, 0.125, 0.25, 0.5]),
    }
    decisions = torch.tensor([[1, 0], [1, 1], [1, 0], [1, 1]])
    table = score_rows(scores, torch.tensor(0.25), decisions)
    assert set(table.columns) == {"signed_effect", "flipped", *SCORES}
    assert table["effect"].tolist() == [0.0, 0.75, 0.25, 0.25]
    for name in ("signed_effect", "confidence", "bottleneck", "heatmap"):
        assert table[name].tolist() == scores[name].tolist()
    assert table["flipped"].tolist() == [False, True, True, False]  # p of one half is no decision for the label
    assert table["flipped"].dtype == bool


def test_the_scores_of_images_fit_the_rows(scores):
    decisions = (scores["p"] > 0.5).long()
    decisions[3, 0] = 1 - decisions[3, 0]
    table = score_rows(scores, scores["signed_effect"].median(), decisions)
    assert table["flipped"].tolist() == [False, False, False, True, False]
    assert (table["effect"] == 0).sum() == 1  # of the image in the middle
    assert (table["effect"] >= 0).all()
