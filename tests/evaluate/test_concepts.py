import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from aecompanion.evaluate.concepts import concept_rows, decide, fit_head
from aecompanion.pipeline.rng import seeded

COLUMNS = ["concept", "image", "value", "present", "decision", "effect", "coefficient", "right", "right_do"]
WEIGHTS, BIAS = np.array([2.0, -1.0, 0.0, 0.5]), -0.25


def binary(count, seed=1):
    """Four independent concepts, but the third mostly occurs together with the first."""
    rng = np.random.default_rng(seed)
    concepts = (rng.random((count, 4)) < 0.4).astype(float)
    follows = rng.random(count) < 0.9
    concepts[follows, 2] = concepts[follows, 0]
    return concepts


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


# ---- the mechanism


@pytest.mark.parametrize(("weight", "expected"), [(50.0, 1), (-50.0, 0)])
def test_a_concept_of_extreme_weight_decides_alone(weight, expected):
    concepts = np.array([[1.0, 0.0], [1.0, 1.0]] * 50)
    found = decide(concepts, np.array([weight, 0.0]), bias=0.0, seed=3)
    assert found.dtype.kind == "i"
    assert found.tolist() == [expected] * 100


def test_extreme_weights_follow_the_concepts():
    concepts = binary(200)
    found = decide(concepts, np.array([100.0, 0, 0, 0]), bias=-50.0, seed=3)
    assert found.tolist() == concepts[:, 0].astype(int).tolist()


@pytest.mark.parametrize("logit", [0.0, np.log(3), -2.0])
def test_the_rate_of_decisions_is_the_logistic_of_bias_and_weights(logit):
    count = 20_000
    concepts = np.tile([1.0, 0.0, 2.0], (count, 1))
    found = decide(concepts, np.array([logit - 1, 7.0, 0.25]), bias=0.5, seed=4)
    p = sigmoid(logit)
    assert abs(found.mean() - p) < 4 * np.sqrt(p * (1 - p) / count)


def test_the_same_seed_gives_the_same_decisions_and_another_seed_others():
    concepts = binary(100)
    first, again, other = (decide(concepts, WEIGHTS, bias=BIAS, seed=seed) for seed in (5, 5, 6))
    assert first.tolist() == again.tolist() != other.tolist()


def test_a_decision_does_not_depend_on_the_weights_of_absent_concepts():
    concepts = binary(100) * [1, 1, 0, 1]
    found = [decide(concepts, WEIGHTS + [0, 0, extra, 0], bias=BIAS, seed=5).tolist() for extra in (0, 9)]
    assert found[0] == found[1]


# ---- the head


@pytest.fixture(scope="module")
def fitted():
    concepts = binary(40_000)
    return fit_head(concepts, decide(concepts, WEIGHTS, bias=BIAS, seed=6))


def test_the_head_finds_the_weights_of_the_mechanism(fitted):
    found = fitted.weight[1].detach().numpy()
    assert found == pytest.approx(WEIGHTS, abs=0.15)
    assert np.sign(found)[WEIGHTS != 0].tolist() == [1, -1, 1]
    assert np.abs(found).argsort().tolist() == np.abs(WEIGHTS).argsort().tolist()
    assert fitted.bias[1].item() == pytest.approx(BIAS, abs=0.1)


def test_the_logits_of_the_head_are_zero_and_the_log_odds(fitted):
    assert (fitted.weight.shape, fitted.bias.shape) == ((2, 4), (2,))
    assert not fitted.training
    assert fitted.weight[0].tolist() == [0] * 4
    assert fitted.bias[0].item() == 0


def test_the_head_of_counts_has_the_log_odds_of_the_counts():
    """One binary concept: 3 of 4 decide so without it, 1 of 5 with it."""
    concepts = np.repeat([[0.0], [1.0]], [400, 500], axis=0)
    decisions = np.repeat([1, 0, 1, 0], [300, 100, 100, 400])
    head = fit_head(concepts, decisions)
    assert head.bias[1].item() == pytest.approx(np.log(3), abs=1e-3)
    assert head.weight[1, 0].item() == pytest.approx(-np.log(4) - np.log(3), abs=5e-3)


@pytest.mark.parametrize("value", [0, 1])
def test_decisions_of_one_kind_are_an_error(value):
    with pytest.raises(ValueError, match=f"^the 7 decisions are all {value}, expected both kinds$"):
        fit_head(binary(7), np.full(7, value))


def test_no_decision_at_all_is_an_error():
    with pytest.raises(ValueError, match="decisions"):
        fit_head(np.zeros((0, 4)), np.zeros(0, int))


# ---- rows


@pytest.fixture
def head():
    """Log-odds 2 a - b + 0.5."""
    head = nn.Linear(2, 2)
    head.weight.data = torch.tensor([[0.5, -0.25], [2.5, -1.25]])
    head.bias.data = torch.tensor([1.0, 1.5])
    return head


CONCEPTS = np.array([[0.0, 0.0], [0.5, 1.0], [0.0, 1.0], [-1.0, 0.25]])
DECISIONS = np.array([1, 1, 1, 0])
PRESENT = np.array([[False, False], [True, True], [False, True], [False, True]])


@pytest.fixture
def rows(head):
    return concept_rows(head, CONCEPTS, DECISIONS, PRESENT, ["marker", "shadow"])


def test_there_is_one_row_per_concept_and_image(rows):
    assert list(rows.columns) == COLUMNS
    assert rows.index.tolist() == list(range(8))
    assert rows["concept"].tolist() == ["marker"] * 4 + ["shadow"] * 4
    assert rows["image"].tolist() == [0, 1, 2, 3] * 2
    assert rows["value"].tolist() == CONCEPTS.T.flatten().tolist()
    assert rows["present"].tolist() == PRESENT.T.flatten().tolist()
    assert rows["decision"].tolist() == DECISIONS.tolist() * 2


def test_the_effect_is_the_change_of_the_logistic_when_the_concept_is_set_to_zero(rows):
    logits = 2 * CONCEPTS[:, 0] - CONCEPTS[:, 1] + 0.5
    expected = [sigmoid(logits - weight * CONCEPTS[:, j]) - sigmoid(logits) for j, weight in enumerate((2, -1))]
    assert rows["effect"].to_numpy() == pytest.approx(np.concatenate(expected), abs=1e-6)
    assert rows["effect"][[0, 2, 4]].tolist() == [0, 0, 0]  # a concept that is off already


def test_the_coefficient_is_that_of_the_log_odds_and_undefined_for_other_heads(rows, head):
    assert rows["coefficient"].tolist() == [2] * 4 + [-1] * 4
    other = concept_rows(nn.Sequential(head), CONCEPTS, DECISIONS, PRESENT, ["marker", "shadow"])
    assert other["coefficient"].isna().all()


def test_right_and_right_do_compare_the_heads_decision_before_and_after(rows):
    # log-odds before: 0.5, 0.5, -0.5, -1.75; without the marker: 0.5, -0.5, -0.5, 0.25; without the shadow: 0.5, 1.5,
    # 0.5, -1.5
    assert rows["right"].tolist() == [True, True, False, True] * 2
    assert rows["right_do"].tolist() == [True, False, False, False] + [True, True, True, True]
    assert rows["right"].dtype == rows["right_do"].dtype == bool


def test_concepts_may_be_integers(head):
    whole = np.array([[0, 1], [1, 1]])
    pd.testing.assert_frame_equal(
        concept_rows(head, whole, DECISIONS[:2], whole > 0, ["a", "b"]).drop(columns="value"),
        concept_rows(head, whole.astype(float), DECISIONS[:2], whole > 0, ["a", "b"]).drop(columns="value"),
    )


def test_a_non_parent_that_follows_a_cause_is_correlated_but_has_almost_no_effect(fitted):
    concepts = binary(2000, seed=8)
    decisions = decide(concepts, WEIGHTS, bias=BIAS, seed=9)
    table = concept_rows(fitted, concepts, decisions, concepts > 0, ["strong", "against", "follower", "weak"])
    effect = table[table["present"]].groupby("concept")["effect"].mean()
    correlation = np.corrcoef(concepts.T, decisions)[-1]
    assert abs(correlation[2]) > abs(correlation[3])
    assert effect["strong"] < -0.3
    assert effect["against"] > 0.1
    assert effect["weak"] < -0.05
    assert abs(effect["follower"]) < 0.03


def test_the_head_is_returned_as_it_was(head, condition):
    concepts, before = CONCEPTS.copy(), condition(head.train())
    concept_rows(head, concepts, DECISIONS, PRESENT, ["marker", "shadow"])
    assert condition(head) == before
    assert np.array_equal(concepts, CONCEPTS)


def test_the_head_is_asked_in_evaluation_mode():
    concepts = binary(200)
    decisions = decide(concepts, WEIGHTS, bias=BIAS, seed=9)
    with seeded(4, 1):
        head = nn.Sequential(nn.Dropout(0.9), nn.Linear(4, 2))
        tables = [
            concept_rows(head.train(mode), concepts, decisions, concepts > 0, list("abcd")) for mode in (False, True)
        ]
    pd.testing.assert_frame_equal(*tables)
