import math

import numpy as np
import pytest
import torch

from aecompanion.evaluate.distortion import DEFINITIONS, distortion_score, log_odds, nontarget_change, nontarget_level
from aecompanion.explain.readout import bounded_log_l1
from aecompanion.pipeline.rng import generator

every_definition = pytest.mark.parametrize("definition", DEFINITIONS)


def pair(*values):
    """The probabilities of one image, the target first."""
    return torch.tensor([values], dtype=torch.float64)


# the examples of the slides: the target and one non-target, clean, then masked and reverse
CLEAN, MASKED, REVERSE = pair(0.9711, 0.0111), pair(0.0003, 0.0022), pair(0.9096, 0.6469)
TARGET = torch.tensor([0])


@pytest.fixture
def pairs():
    clean, masked = torch.rand(2, 6, 5, generator=generator(0, 1), dtype=torch.float64)
    return clean, masked, torch.tensor([0, 4, 2, 2, 1, 3])


# the numbers of the slides


@pytest.mark.parametrize(("other", "target", "nontarget"), [(MASKED, 11.63, 1.63), (REVERSE, 1.21, -5.1)])
def test_the_log_odds_of_the_slides(other, target, nontarget):
    change = (log_odds(CLEAN) - log_odds(other))[0].tolist()
    assert change == pytest.approx([target, nontarget], abs=0.01)


@pytest.mark.parametrize(("other", "target", "nontarget"), [(MASKED, 0.979, 0.0128), (REVERSE, 0.086, 0.710)])
def test_the_bounded_divergences_of_the_slides(other, target, nontarget):
    found = bounded_log_l1(CLEAN, other)[0].tolist()
    assert found == pytest.approx([target, nontarget], abs=5e-4)


@pytest.mark.parametrize(
    ("other", "definition", "expected"),
    [(MASKED, "signed", 10.0), (MASKED, "absolute", 10.0), (REVERSE, "signed", 6.3), (REVERSE, "absolute", -3.9)],
)
def test_the_scores_of_the_slides_examples(other, definition, expected):
    assert distortion_score(CLEAN, other, TARGET, definition=definition).item() == pytest.approx(expected, abs=0.02)


def test_the_signed_form_rewards_a_nontarget_that_rises_and_the_absolute_form_penalises_it():
    stays, rises = pair(0.0003, 0.0111), pair(0.0003, 0.6469)
    signed, absolute = (
        [distortion_score(CLEAN, other, TARGET, definition=definition).item() for other in (stays, rises)]
        for definition in ("signed", "absolute")
    )
    assert signed[1] > signed[0] + 5
    assert absolute[1] < absolute[0] - 5
    assert signed[0] == absolute[0]


def test_both_forms_penalise_a_nontarget_that_falls():
    stays, falls = pair(0.0003, 0.0111), pair(0.0003, 0.0001)
    for definition in ("signed", "absolute"):
        kept, lost = (distortion_score(CLEAN, other, TARGET, definition=definition).item() for other in (stays, falls))
        assert lost < kept


# by hand and by numpy


def test_the_absolute_form_is_the_default(pairs):
    assert torch.equal(distortion_score(*pairs), distortion_score(*pairs, definition="absolute"))


@pytest.mark.parametrize(("definition", "expected"), [("signed", 2.5), ("absolute", 1.0)])
def test_the_nontargets_are_averaged(definition, expected):
    """Log-odds fall by 2 for the target (class 1), by 0.5 and by -1.5 for the others, in units of ln 3."""
    clean = torch.sigmoid(math.log(3) * torch.tensor([[0.5, 2, 0]], dtype=torch.float64))
    masked = torch.sigmoid(math.log(3) * torch.tensor([[0, 0, 1.5]], dtype=torch.float64))
    found = distortion_score(clean, masked, torch.tensor([1]), definition=definition).item()
    assert found == pytest.approx(expected * math.log(3))


def in_numpy(clean, masked, target, definition):
    """The formulas of the module, one image at a time."""
    p, q = (each.double().numpy().clip(1e-7, 1 - 1e-7) for each in (clean, masked))
    delta = np.log(p / (1 - p)) - np.log(q / (1 - q))
    coin = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    found = []
    for change, divergence, own in zip(delta, coin, target.tolist(), strict=True):
        others = [c for c in range(len(change)) if c != own]
        found.append(
            {
                "signed": change[own] - np.mean(change[others]),
                "absolute": change[own] - np.mean(np.abs(change[others])),
                "ratio": np.log(1 + divergence[own] / np.mean(divergence[others])),
            }[definition]
        )
    return found


@every_definition
@pytest.mark.parametrize("classes", [2, 5])
def test_the_score_is_the_formula_evaluated_by_numpy(pairs, definition, classes):
    clean, masked = (each[:, :classes] for each in pairs[:2])
    target = pairs[2] % classes
    found = distortion_score(clean, masked, target, definition=definition)
    assert (found.shape, found.dtype) == ((6,), torch.float64)
    assert found.tolist() == pytest.approx(in_numpy(clean, masked, target, definition), rel=1e-5)  # 1e-7 in the ratio


@every_definition
def test_single_precision_makes_no_difference(pairs, definition):
    clean, masked, target = pairs
    found = distortion_score(clean.float(), masked.float(), target, definition=definition)
    assert torch.allclose(found, distortion_score(*pairs, definition=definition), rtol=1e-3, atol=1e-4)


# invariants


@every_definition
def test_a_pair_does_not_see_the_others(pairs, definition):
    every = distortion_score(*pairs, definition=definition)
    alone = [distortion_score(*(each[i : i + 1] for each in pairs), definition=definition) for i in range(6)]
    assert torch.equal(torch.cat(alone), every)


@every_definition
def test_the_order_of_the_classes_does_not_matter(pairs, definition):
    clean, masked, target = pairs
    found = distortion_score(clean.flip(1), masked.flip(1), 4 - target, definition=definition)
    assert torch.allclose(found, distortion_score(*pairs, definition=definition))


def test_the_absolute_score_is_never_above_the_signed_one(pairs):
    assert (distortion_score(*pairs) <= distortion_score(*pairs, definition="signed")).all()


def test_exchanging_the_images_negates_the_signed_score(pairs):
    clean, masked, target = pairs
    found = distortion_score(masked, clean, target, definition="signed")
    assert torch.allclose(found, -distortion_score(*pairs, definition="signed"))


@pytest.mark.parametrize("definition", ["signed", "absolute"])
def test_an_unchanged_image_scores_zero(pairs, definition):
    assert not distortion_score(pairs[0], pairs[0], pairs[2], definition=definition).any()


# saturated probabilities


@every_definition
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_saturated_probabilities_give_finite_scores(definition, dtype):
    corners = torch.cartesian_prod(*[torch.tensor([0, 1], dtype=dtype)] * 4)
    found = distortion_score(corners[:, :2], corners[:, 2:], torch.zeros(16, dtype=torch.int64), definition=definition)
    assert found.isfinite().all()


def test_a_saturated_class_weighs_at_most_16_per_side():
    assert log_odds(torch.tensor([0.0, 0.5, 1.0])).tolist() == pytest.approx([-16.118, 0, 16.118], abs=1e-3)
    assert distortion_score(pair(1, 0.5), pair(0, 0.5), TARGET).item() == pytest.approx(2 * 16.118, abs=1e-2)
    assert distortion_score(pair(0.5, 0), pair(0.5, 1), TARGET).item() == pytest.approx(-2 * 16.118, abs=1e-2)


def test_the_ratio_is_large_where_only_the_target_moves_and_small_where_only_the_others_do():
    own, other = (
        distortion_score(pair(0.5, 0.5), masked, TARGET, definition="ratio").item()
        for masked in (pair(0.1, 0.5), pair(0.5, 0.1))
    )
    assert own > 10
    assert 0 < other < 1e-5


# changes and levels


def test_the_change_and_the_level_of_the_nontargets_by_hand():
    clean = torch.tensor([[0.9, 0.2, 0.4], [0.1, 0.5, 0.8]])
    masked = torch.tensor([[0.1, 0.5, 0.3], [0.1, 0.5, 0.2]])
    target = torch.tensor([0, 2])
    assert nontarget_change(clean, masked, target).tolist() == pytest.approx([0.2, 0.0], abs=1e-6)
    assert nontarget_level(masked, target).tolist() == pytest.approx([0.4, 0.3], abs=1e-6)


# errors


def test_an_unknown_definition_is_an_error():
    expected = "^definition 'squared' is unknown, expected one of absolute, signed, ratio$"
    with pytest.raises(ValueError, match=expected):
        distortion_score(CLEAN, MASKED, TARGET, definition="squared")


@every_definition
@pytest.mark.parametrize(("clean", "masked"), [((3, 4), (3, 5)), ((3, 4), (2, 4)), ((4,), (4,)), ((3, 1), (3, 1))])
def test_different_shapes_and_fewer_than_two_classes_are_an_error(definition, clean, masked):
    expected = r"^clean \(.*\) and masked \(.*\), expected n×K twice, K at least 2$"
    with pytest.raises(ValueError, match=expected):
        distortion_score(
            torch.rand(clean), torch.rand(masked), torch.zeros(3, dtype=torch.int64), definition=definition
        )


@every_definition
@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan, math.inf])
@pytest.mark.parametrize("name", ["clean", "masked"])
def test_numbers_that_are_no_probabilities_are_an_error(definition, value, name):
    values = {"clean": torch.full((2, 3), 0.5), "masked": torch.full((2, 3), 0.5)}
    values[name][1, 2] = value
    with pytest.raises(ValueError, match=rf"^{name} holds values outside \[0, 1\], expected probabilities$"):
        distortion_score(values["clean"], values["masked"], torch.tensor([0, 1]), definition=definition)


def test_two_targets_for_three_pairs_are_an_error():
    with pytest.raises((ValueError, RuntimeError)):
        distortion_score(torch.rand(3, 4), torch.rand(3, 4), torch.tensor([0, 1]))


@every_definition
def test_one_target_for_three_pairs_is_an_error(definition):
    with pytest.raises((ValueError, RuntimeError)):
        distortion_score(torch.rand(3, 4), torch.rand(3, 4), torch.tensor([0]), definition=definition)
