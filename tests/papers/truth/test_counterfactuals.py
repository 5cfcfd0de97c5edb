import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from drawn import fits, image, names, shown, ticks, titles
from scipy.stats import spearmanr
from truth_rows import ALIGNED, BY_BALL, IMAGES, SEEDS, counterfactual_rows

from aecompanion.papers.truth import claims_counterfactuals as claims, counterfactuals as draw
from aecompanion.studies.counterparts import COLUMNS

OPTIONS = {"resamples": 100, "seed": 0}


@pytest.fixture
def rows():
    return counterfactual_rows()


@pytest.fixture
def tables(rows):
    return {"counterfactuals": rows}


def value(estimator, tables, **arguments):
    values, statistic = estimator(tables, **arguments)
    assert values.shape[:2] == (len(SEEDS), len(IMAGES))
    return statistic(values)


# ---- estimators


def test_balls_and_networks_are_compared_on_the_same_images(tables):
    found = value(claims.balls_differ, tables, column="aligned", network="multi", first="l1.5", second="l2")
    assert found == pytest.approx(0.03)
    assert value(claims.networks_differ, tables, column="aligned", ball="l1") == pytest.approx(0.4)


def test_robustness_is_compared_with_the_largest_difference_of_two_balls(tables):
    """Gain .4, largest difference .05 (l1.5 before l1)."""
    assert value(claims.robustness_before_ball, tables, column="aligned") == pytest.approx(0.35)


def test_controls_are_taken_off(tables):
    asked = {"column": "aligned", "first": claims.MULTI}
    handwriting = claims.NONE | {"change": "another digit"}
    assert value(claims.against_control, tables, **asked, second=handwriting) == pytest.approx(0.5515 - 0.6)
    noise = claims.MULTI | {"change": "noise"}
    assert value(claims.against_control, tables, **asked, second=noise) == pytest.approx(0.5515 - 0.02)
    erased = claims.NONE | {"change": "erased"}  # whose target is named half the time in these rows
    assert value(claims.against_control, tables, column="named", first=claims.MULTI, second=erased) == 0.25
    assert value(claims.erases_more, tables) == pytest.approx(0.4)


def test_a_judge_that_believes_the_square_follows_the_truth_and_one_that_turns_it_round_does_not(tables):
    assert value(claims.judge_follows_truth, tables, column="realism") == pytest.approx(1)
    assert value(claims.judge_follows_truth, tables, column="realism_robust") == pytest.approx(-1)


def test_rank_correlations_are_scipys_and_constant_rows_are_left_out():
    values = np.random.default_rng(0).integers(0, 5, (2, 3, 8, 2)).astype(float)
    values[1, 2, :, 0] = 4
    expected = [spearmanr(*values[s, i].T).statistic for s in range(2) for i in range(3) if (s, i) != (1, 2)]
    assert claims.mean_rank_correlation(values) == pytest.approx(np.mean(expected))


@pytest.mark.parametrize(
    ("estimator", "arguments"),
    [
        (claims.balls_differ, {"column": "aligned", "network": "multi", "first": "l1.5", "second": "l2"}),
        (claims.networks_differ, {"column": "aligned", "ball": "l1"}),
        (claims.robustness_before_ball, {"column": "aligned"}),
        (claims.against_control, {"column": "aligned", "first": claims.MULTI, "second": claims.PLAIN}),
        (claims.erases_more, {}),
        (claims.judge_follows_truth, {"column": "realism"}),
    ],
)
def test_images_that_nobody_composed_cannot_be_tested(estimator, arguments):
    values, statistic = estimator({"counterfactuals": pd.DataFrame(columns=COLUMNS)}, **arguments)
    assert np.isnan(statistic(values))
    assert statistic.why == claims.COMPOSED


# ---- figures


def test_the_gallery_has_a_counterfactual_above_its_change_on_one_scale():
    images = 0.3 + 0.5 * image(2, 3, 4, 5)
    columns = {("plain", "l2"): images + 0.1, ("the truth", ""): images - 0.2}
    captions = {("plain", "l2"): ["cosine 0.10", "cosine 0.20"], ("the truth", ""): ["", ""]}
    figure = draw.gallery(images, columns, titles=["“3” to “8”", "“1” to “7”"], captions=captions)
    *panels, bar = figure.axes
    assert len(panels) == 2 * 2 * 3
    assert titles(panels[:2]) == ["“3” to “8”", "plain\nl2\ncosine 0.10"]
    assert shown(panels[6 + 1]) == pytest.approx((images[1] + 0.1).numpy().transpose(1, 2, 0))
    for number, (place, change) in itertools.product((0, 1), ((1, 0.3), (2, -0.6))):
        panel = panels[6 * number + 3 + place]
        assert shown(panel) == pytest.approx(np.full((4, 5), change), abs=1e-6)
        assert panel.images[0].get_clim() == pytest.approx((-0.6, 0.6))
    assert bar.get_ylabel() == "change, sum over channels"
    assert fits(figure)


def test_pictures_without_any_change_can_be_drawn():
    images = image(1, 3, 4, 5)
    figure = draw.gallery(images, {("plain", ""): images}, titles=["“3” to “8”"], captions={("plain", ""): [""]})
    assert torch.tensor(figure.axes[3].images[0].get_clim()).abs().max() > 0


def test_the_scores_have_a_panel_each_with_every_network_and_ball(rows):
    figure = draw.score_panels(rows, **OPTIONS)
    assert titles(figure.axes) == list(draw.PANELS.values())
    panel = figure.axes[0]
    assert ticks(panel.get_xticklabels()) == list(draw.NETWORK_TITLES.values())
    assert len(panel.containers) == len(claims.BALLS) * len(claims.NETWORKS)
    middles = {round(float(bar.lines[0].get_ydata()[0]), 4) for bar in panel.containers}
    assert round(ALIGNED["multi"] + BY_BALL["l1.5"] + 0.0015, 4) in middles
    levels = {line.get_label(): line.get_ydata()[0] for line in panel.lines if not line.get_label().startswith("_")}
    assert levels["digit erased"] == pytest.approx(0.45)
    (legend,) = figure.legends
    assert {"true, other handwriting", "FW-L1-q", "noise in the ball"} <= set(names(legend))
    assert fits(figure)
