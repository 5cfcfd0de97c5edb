import numpy as np
import pytest
import torch
from torch import nn

from aecompanion.defend import transforms
from aecompanion.evaluate import detectors, suspicion
from aecompanion.evaluate.dissimilarity import nissim
from aecompanion.explain.causal_effect import latent_effects
from aecompanion.explain.gradcam import gradcam, heatmap
from aecompanion.networks.read import features, squashed
from aecompanion.networks.zoo import create
from aecompanion.pipeline.rng import generator, seeded
from aecompanion.train.causal_autoencoder import CausalAutoencoder

DETECTORS = detectors.DETECTORS


@pytest.fixture(scope="module")
def pictures():
    """Noise, smoothed differently, so that the heatmaps differ; on the 8-bit grid."""
    noise = torch.rand(6, 1, 48, 48, generator=generator(2, 2))
    smooth = nn.functional.avg_pool2d(noise, 5, 1, 2) * 2 - 0.5
    return (torch.cat([noise[:2], smooth[2:].clamp(0, 1)]) * 255).round() / 255


@pytest.fixture(scope="module", params=[False, True], ids=["softmax", "sigmoid"])
def setting(request, pictures):
    model = create("compact/gap", classes=3, channels=1, size=48, seed=2).eval()
    with torch.no_grad():
        model.body.head[2].bias -= model(pictures).mean(0)
    with seeded(2, 1):
        autoencoder = CausalAutoencoder(64, encoder=(5, 3), decoder=(5,)).eval()
    known = torch.rand(40, 1, 48, 48, generator=generator(2, 3))
    labels = torch.arange(40) % 3
    if request.param:
        labels = nn.functional.one_hot(labels, 3)
        labels[::4] = 0
        labels[1::4, 0] = 1
    return suspicion.Setting(
        model=model,
        layer="stage3",
        autoencoder=autoencoder,
        channel=1,
        multi_label=request.param,
        heat_layer="stage4",
        penultimate=suspicion.last_linear(model),
        clean=pictures,
        known=known,
        labels=labels,
    )


@pytest.fixture(scope="module")
def fitted(setting):
    return detectors.fit(setting)


@pytest.fixture(scope="module")
def found(setting, fitted, pictures):
    return detectors.image_scores(setting.model, fitted, pictures)


def test_every_detector_scores_every_image(found):
    assert set(found) == set(DETECTORS)
    for name, values in found.items():
        assert values.shape == (6,), name
        assert values.isfinite().all(), name
        assert not values.requires_grad, name


@pytest.mark.parametrize("name", DETECTORS)
def test_a_detector_is_a_function_of_images_that_an_attack_can_climb(setting, fitted, found, pictures, name):
    if DETECTORS[name].value is suspicion.probability_sum and not setting.multi_label:
        pytest.skip("the probabilities of a softmax sum to one")
    variable = pictures.clone().requires_grad_()
    values = fitted[name](variable)
    assert torch.allclose(values.detach(), found[name], rtol=1e-4, atol=1e-5)
    (slope,) = torch.autograd.grad(values.sum(), variable)
    assert slope.isfinite().all()
    assert (slope.flatten(1).abs().amax(1) > 0).sum() >= 5  # of a two-sided one, not that of the image in the middle


@pytest.mark.parametrize("name", DETECTORS)
def test_an_image_has_the_same_score_alone_as_among_others(setting, fitted, found, pictures, name):
    alone = torch.cat([detectors.read(setting.model, fitted[name], each[None]) for each in pictures])
    assert torch.allclose(alone, found[name], rtol=1e-4, atol=1e-5)


def test_sides_turn_the_same_value_round(fitted, found):
    for one, two in (("sum", "sum_two"), ("confidence", "confidence_two")):
        assert torch.allclose((found[one] - fitted[two].usual).abs(), found[two], atol=1e-6)
        assert fitted[two].usual == found[one].median()
    assert torch.allclose((-found["small_effect"] - fitted["effect"].usual).abs(), found["effect"], atol=1e-6)


def test_what_is_read_of_the_probabilities(setting, found, pictures):
    with torch.no_grad():
        p = squashed(setting.model(pictures), multi_label=setting.multi_label)
    assert torch.allclose(found["sum"], p.sum(1), atol=1e-6)
    expected = suspicion.uncertainty(p, multi_label=setting.multi_label)
    assert torch.allclose(found["confidence"], expected, atol=1e-6)


def test_effect_and_error_are_those_of_the_method(setting, found, pictures):
    options = {"layer": "stage3", "autoencoder": setting.autoencoder, "multi_label": setting.multi_label}
    effects = latent_effects(setting.model, pictures, channels=[1], **options)
    assert torch.allclose(-found["small_effect"], effects.expected[0] - effects.baseline, atol=1e-6)
    assert torch.allclose(found["bottleneck"], effects.error, rtol=1e-5)


def test_squeezing_is_the_largest_change_of_the_answer(setting, found, pictures):
    def p(images):
        with torch.no_grad():
            return squashed(setting.model(images), multi_label=setting.multi_label)

    squeezed = (transforms.bit_depth(pictures, bits=4), transforms.median(pictures))
    moved = torch.stack([(p(pictures) - p(each)).abs().sum(1) for each in squeezed])
    assert torch.allclose(found["squeezing"], moved.amax(0), atol=1e-5)


def test_the_distance_is_that_to_the_nearest_group(setting, found, pictures):
    layer = setting.model.body.head[1]
    h = features(setting.model, setting.known, layer=layer).double().numpy()
    several = setting.multi_label
    labels = setting.labels.numpy()
    member = [labels[:, k] == 1 if several else labels == k for k in range(3)]
    member += [labels.sum(1) == 0] if several else []
    means = [h[rows].mean(0) for rows in member]
    rest = np.concatenate([h[rows] - mean for rows, mean in zip(member, means, strict=True)])
    covariance = rest.T @ rest / len(rest)
    covariance += suspicion.RIDGE * np.diag(covariance).mean() * np.eye(len(covariance))
    away = features(setting.model, pictures, layer=layer).double().numpy()[:, None] - np.stack(means)
    expected = np.einsum("ngi,ij,ngj->ng", away, np.linalg.inv(covariance), away).min(1)
    assert found["mahalanobis"].numpy() == pytest.approx(expected, rel=1e-3)


def test_the_heatmaps_are_compared_to_those_of_the_filtered_images(setting, found, pictures):
    with torch.no_grad():
        top = setting.model(pictures).argmax(1)
    pairs = (pictures, transforms.median(pictures))
    maps = [heatmap(gradcam(setting.model, each, top, layer="stage4"), 48) for each in pairs]
    assert torch.allclose(found["heatmap"], nissim(*maps), atol=1e-4)


def test_the_surrogates_have_the_value_of_what_they_stand_for(pictures):
    assert torch.equal(suspicion.four_bits(pictures), transforms.bit_depth(pictures, bits=4))
    assert torch.equal(suspicion.median_of_nine(pictures), transforms.median(pictures))


def test_the_network_comes_back_as_it_was(setting, fitted, pictures, condition):
    before = condition(setting.model)
    detectors.image_scores(setting.model, fitted, pictures[:2])
    assert condition(setting.model) == before


def test_an_unknown_detector_is_an_error(setting):
    with pytest.raises(ValueError, match="detector 'magic' is unknown, expected one of effect, "):
        detectors.fit(setting, ["sum", "magic"])
