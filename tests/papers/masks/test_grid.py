"""X3.9 and X3.10 on rows whose means are known, and the rows of T3.2 that not every data set has."""

import numpy as np
import pandas as pd
import pytest
from support import One, estimators

from aecompanion.explain.methods import AS_PUBLISHED, GRID, GRID_WEIGHTS, grid_name
from aecompanion.papers.masks import grid, tables as masks_tables

OPTIONS = {"resamples": 20, "seed": 0}
AWAY = (-0.1, 0.0, 0.1)  # of three pairs
ESTIMATORS = estimators(3)


def rows(means, *, stuck=None, pairs=AWAY, data="voc"):
    """Two seeds; deletion is the mean times 1 + AWAY; one mask in three is stuck where `stuck` names the method."""
    return pd.DataFrame(
        [
            {"data": data, "family": "vgg", "seed": seed, "pair": pair, "method": method, "area": 0.1}
            | {"deletion": mean * (1 + off), "stuck": float(method in (stuck or ()) and pair == 0), "ties": 0.0}
            for method, mean in means.items()
            for seed in (1, 2)
            for pair, off in enumerate(pairs)
        ]
    )


def of_grid(name):
    """MP 0.1 and RP 0.05 from 0; from 1 MP gets better as the weight falls, RP 0.08."""
    method, start, area = GRID[name]
    if start == 0:
        return 0.1 if method == "MP" else 0.05
    return 0.08 if method == "RP" else 0.2 * area**0.1


@pytest.fixture(scope="module")
def scores():
    return rows({"RP": 0.06} | {name: of_grid(name) for name in GRID}, stuck=[grid_name("MP", 1, 1)])


def test_the_grid_has_both_starts_and_every_weight_and_rps_published_one():
    weights = {
        (method, start): [a for m, s, a in GRID.values() if (m, s) == (method, start)]
        for method, start, _ in GRID.values()
    }
    assert weights == {
        ("MP", 0.0): [1, 0.3, 0.1, 0.03, 0.01],
        ("MP", 1.0): [1, 0.3, 0.1, 0.03, 0.01],
        ("RP", 0.0): [5, 1, 0.3, 0.1, 0.03, 0.01],
        ("RP", 1.0): [5, 1, 0.3, 0.1, 0.03, 0.01],
    }


def test_the_grid_table_has_ratio_medians_win_rates_and_stuck_shares(scores):
    table = grid.grid_table(scores, **OPTIONS)
    assert table["start"].tolist() == [0.0] * 6 + [1.0] * 6
    assert table["area weight"].tolist() == [5, 1, 0.3, 0.1, 0.03, 0.01] * 2
    found = table.set_index(["start", "area weight"])
    assert found.loc[(0, 0.3), ["MP deletion", "RP deletion", "RP/MP", "RP wins"]].tolist() == pytest.approx(
        [0.1, 0.05, 0.5, 1]
    )
    assert found.loc[(0, 0.3), ["RP/MP_low", "RP/MP_high"]].tolist() == pytest.approx([0.5, 0.5])
    for area in GRID_WEIGHTS:
        assert found.loc[(1, area), "RP/MP"] == pytest.approx(0.4 / area**0.1)
        assert found.loc[(1, area), "tuned RP/MP"] == pytest.approx(0.3 / area**0.1)
    assert found.loc[(1, 0.1), "MP median"] == pytest.approx(0.2 * 0.1**0.1)
    assert found["MP stuck"].dropna().to_list() == pytest.approx([0] * 5 + [1 / 3] + [0] * 4)
    assert found.loc[(1, 5), ["RP deletion", "RP area"]].tolist() == pytest.approx([0.08, 0.1])
    assert np.isnan(found.loc[(1, 5), ["MP deletion", "RP/MP", "RP wins"]].to_numpy(float)).all()


def test_the_grid_figure_draws_ratio_and_stuck_share_of_each_start(scores):
    table = grid.grid_table(scores, **OPTIONS)
    figure = grid.grid_figure(table)
    top, bottom = np.reshape(figure.axes, (2, 2))
    assert [panel.get_title() for panel in top] == ["MP from m = 0", "MP from m = 1"]
    for panel, below, start in zip(top, bottom, (0, 1), strict=True):
        part = table[table["start"] == start].sort_values("area weight")
        line = panel.lines[0]
        assert line.get_xdata().tolist() == [0.01, 0.03, 0.1, 0.3, 1]
        assert line.get_ydata().tolist() == pytest.approx(part["RP/MP"].dropna().tolist())
        mp, rp = below.lines
        assert mp.get_ydata().tolist() == pytest.approx(part["MP stuck"].dropna().tolist())
        assert rp.get_xdata().tolist() == [0.01, 0.03, 0.1, 0.3, 1, 5]
        assert panel.get_xscale() == below.get_xscale() == "log"


def test_the_effect_of_the_weight_is_the_difference_of_two_ratios(scores):
    values, effect = ESTIMATORS["weight_effect"](One(scores), data="voc", column="deletion")
    assert effect(values) == pytest.approx(0.3 / 0.01**0.1 - 0.3)


# ---- X3.10


def test_the_table_of_substrates_has_the_mean_of_each_method_on_each():
    means = {("MP", "black"): 0.1, ("RP", "black"): 0.12, ("MP", "blur"): 0.02, ("RP", "blur"): 0.03}
    found = pd.DataFrame(
        [
            {"seed": seed, "pair": pair, "method": method, "substrate": substrate, "deletion": mean * (1 + off)}
            for (method, substrate), mean in means.items()
            for seed in (1, 2)
            for pair, off in enumerate(AWAY)
        ]
    )
    table = grid.substrate_table(found, ["RP", "MP"], **OPTIONS)
    assert list(table.columns) == ["method", "black", "black_low", "black_high", "blur", "blur_low", "blur_high"]
    assert table["method"].tolist() == ["RP", "MP"]
    assert table[["black", "blur"]].to_numpy() == pytest.approx(np.array([[0.12, 0.03], [0.1, 0.02]]))


# ---- X3.13


def test_the_table_of_rise_has_its_auc_and_rps_on_the_same_pairs_by_number_of_masks():
    known = pd.concat([rows({"RP": 0.06, "MP": 0.9}), rows({"RP": 0.03}, data="coco")])
    found = pd.DataFrame(
        [
            {"data": data, "seed": 1, "masks": masks, "pair": pair, "deletion": mean * (1 + off)}
            for data, masks, mean in (("voc", 400, 0.1), ("voc", 100, 0.12), ("coco", 100, 0.06))
            for pair, off in enumerate(AWAY[:2])
        ]
    )
    table = grid.rise_table(found, known, **OPTIONS)
    assert table[["data", "masks"]].to_numpy().tolist() == [["VOC-like", 100], ["VOC-like", 400], ["COCO-like", 100]]
    assert table["RP/RISE"].tolist() == pytest.approx([0.5, 0.6, 0.5])
    assert table["deletion"].tolist() == pytest.approx([0.114, 0.095, 0.057])  # of the first two pairs


# ---- T3.2: what only some data sets have


def test_oracle_and_published_rows_stand_where_they_ran_with_median_and_win_rate(monkeypatch):
    monkeypatch.setattr(masks_tables, "METHODS", {"MP": None, "RP": None})
    monkeypatch.setattr(masks_tables, "STARTS", ())
    means = {"random": 0.5, "MP": 0.2, "RP": 0.3}
    here = rows(means | {"oracle": 0.3} | dict.fromkeys(AS_PUBLISHED, 0.25), pairs=(-0.1, 0.0, 0.3))
    fewer = (here["method"] == "EP (published)") & (here["pair"] == 2)  # it ran on the first pairs only
    table = masks_tables.deletion_table(pd.concat([here[~fewer], rows(means, data="coco")]), **OPTIONS)
    assert table["method"].tolist() == ["random", "MP", "RP", "oracle", *AS_PUBLISHED, "random", "MP", "RP"]
    found = table[table["data"] == "VOC-like"].set_index("method")
    assert found.loc["MP", ["deletion", "median", "RP wins"]].tolist() == pytest.approx([0.2 * 3.2 / 3, 0.2, 0])
    assert found.loc["oracle", "RP wins"] == 0.5  # equal on every pair
    assert found.loc["random", "RP wins"] == 1
    assert found.loc["EP (published)", "deletion"] == pytest.approx(0.25 * 0.95)
    assert found.loc["EP (published)", "RP minus it"] == pytest.approx(0.05 * 0.95)


def test_the_typical_pair_is_the_median_one_of_one_network():
    found = rows({"RP": 0.1, "MP": 0.2}, pairs=(0.3, -0.2, 0.0, 0.1))
    assert masks_tables.typical(found, "RP", data="voc", seed=2) == 2  # ordered 1, 2, 3, 0: the lower of the two


def test_a_claim_about_a_method_that_did_not_run_is_not_testable():
    values, statistic = ESTIMATORS["difference"](
        One(rows({"MP": 0.2, "RP": 0.3})), data="voc", column="deletion", methods=["MP", "oracle"]
    )
    assert np.isnan(statistic(values))
