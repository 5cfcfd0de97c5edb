import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import roc_auc_score

from aecompanion.evaluate.detection import auroc, auroc_given, correlation_given, most_influential, score_rows
from aecompanion.evaluate.suspicion import uncertainty
from aecompanion.explain.causal_effect import LatentEffects

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


# ---- what one score adds to another


def test_a_score_that_only_repeats_another_adds_nothing_to_it():
    """z tells both sets apart; s is z and noise of its own, so that pairs alike in z are a coin toss in s."""
    draw = np.random.default_rng(1)
    z_clean, z_attacked = draw.normal(0, 1, 3000), draw.normal(1, 1, 3000)
    clean, attacked = z_clean + draw.normal(0, 3, 3000), z_attacked + draw.normal(0, 3, 3000)
    assert auroc(clean, attacked) > 0.55
    assert correlation_given(clean, attacked, z_clean, z_attacked) == pytest.approx(0, abs=0.03)
    assert auroc_given(clean, attacked, z_clean, z_attacked) == pytest.approx(0.5, abs=0.02)


def test_a_score_of_its_own_keeps_its_auroc_given_one_that_knows_nothing():
    draw = np.random.default_rng(2)
    z_clean, z_attacked = draw.normal(size=(2, 2000))
    clean, attacked = draw.normal(0, 1, 2000), draw.normal(1, 1, 2000)
    assert auroc_given(clean, attacked, z_clean, z_attacked) == pytest.approx(auroc(clean, attacked), abs=0.02)
    plain = stats.spearmanr(np.concatenate([clean, attacked]), np.repeat([0, 1], 2000)).statistic
    assert correlation_given(clean, attacked, z_clean, z_attacked) == pytest.approx(plain, abs=0.02)


def test_only_pairs_that_are_alike_count():
    clean, attacked = np.array([0.0, 5.0]), np.array([1.0, 4.0])
    z_clean, z_attacked = np.array([0.0, 10.0]), np.array([0.0, 10.0])  # ranks 1.5, 3.5: a tenth of four is below 2
    assert auroc_given(clean, attacked, z_clean, z_attacked) == 0.5  # 1 > 0, and 4 < 5
    assert np.isnan(auroc_given(clean, attacked, np.array([0.0, 1.0]), np.array([8.0, 9.0])))


def test_the_partial_correlation_is_that_of_the_residuals_of_ranks():
    clean, attacked, z_clean, z_attacked = np.random.default_rng(3).normal(size=(4, 40))
    ranks = [stats.rankdata(each) for each in (np.r_[clean, attacked], np.r_[z_clean, z_attacked])]
    truth = np.repeat([0.0, 1.0], 40)
    design = np.column_stack([np.ones(80), ranks[1]])
    left = [each - design @ np.linalg.lstsq(design, each, rcond=None)[0] for each in (ranks[0], truth)]
    expected = np.corrcoef(left)[0, 1]
    assert correlation_given(clean, attacked, z_clean, z_attacked) == pytest.approx(expected, abs=1e-9)
    assert np.isnan(correlation_given(z_clean, z_attacked, z_clean, z_attacked))


# ---- rows


def test_there_is_one_row_per_image_with_the_scores_and_how_many_decisions_changed():
    scores = {"small_effect": torch.tensor([0.25, -0.5, 0.0, 0.5]), "sum": torch.tensor([1.0, 2.0, 3.0, 4.0])}
    p = torch.tensor([[0.75, 0.25], [0.5, 0.75], [0.25, 0.75], [0.625, 0.625]])
    decisions = torch.tensor([[1, 0], [1, 1], [1, 0], [1, 1]])
    table = score_rows(scores, p, decisions)
    assert table["sum"].tolist() == [1, 2, 3, 4]
    assert table["signed_effect"].tolist() == [-0.25, 0.5, 0.0, -0.5]
    assert table["changed"].tolist() == [0, 1, 2, 0]  # p of one half is no decision for the label
    assert table["flipped"].tolist() == [False, True, True, False]
