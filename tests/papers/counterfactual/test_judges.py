import numpy as np
import pandas as pd
import pytest

from aecompanion.papers.counterfactual import judges, specifications
from aecompanion.papers.counterfactual.claims_judges import judged_differently, share_above
from aecompanion.papers.counterfactual.tables import KINDS, NETWORKS

OPTIONS = {"resamples": 10, "seed": 0}


@pytest.fixture(scope="module")
def reasonable(paper2_tables):
    """Of images with targets in both halves of the classes; four images each, so that no half is left out."""
    rows = paper2_tables["counterfactuals"]
    doubled = pd.concat([rows, rows.assign(image=rows["image"] + 4)], ignore_index=True)
    doubled["target"] = np.where(doubled["image"] < 14, 0, 1)
    moves = paper2_tables["trajectories"]
    moves = pd.concat([moves.assign(image=moves["image"] + first) for first in (10, 14)], ignore_index=True)
    moves = moves[moves["method"] != "FW + momentum"]
    least = paper2_tables["least"].assign(image=lambda each: each["image"] + 10)
    return specifications.table(doubled, least, moves, level=0.9, **{"resamples": 10, "seed": 0})


# tables


def test_the_table_of_judges_has_a_row_per_network_and_ball_and_a_column_per_judge(paper2_tables):
    table = judges.judge_table(paper2_tables["counterfactuals"], **OPTIONS).set_index(["network", "kind"])
    assert list(table.index) == [(network, kind) for network in NETWORKS for kind in KINDS]
    row = table.loc["multi", "l1.5"]
    assert row[list(judges.JUDGES.values())].tolist() == pytest.approx([0.6, 0.54, 0.42, 0.3])
    assert row["LPIPS-like"] == pytest.approx(0.3)


def test_judges_that_were_not_there_leave_empty_columns(paper2_tables):
    others = [name for name in judges.JUDGES if name != "realism"]
    rows = paper2_tables["counterfactuals"].assign(**dict.fromkeys(others, np.nan))
    table = judges.judge_table(rows, **OPTIONS)
    assert table[[judges.JUDGES[name] for name in others]].isna().all(axis=None)
    assert judges.asked(rows) == ["realism"]
    condition = {"network": "multi", "kind": "l1"}
    values, statistic = judged_differently(
        {"counterfactuals": rows}, column="realism_multi", first=condition, second=condition
    )
    assert np.isnan(statistic(values))


def test_own_radii_are_those_of_images_that_reach_the_confidence_in_every_ball(paper2_tables):
    least = paper2_tables["least"]
    assert set(judges.reaching(least, 0.9)["image"]) == {0, 1, 2}
    assert set(judges.reaching(least, 0.99)["image"]) == {0, 1}  # image 2 not in l2 for seed 1
    table = judges.rule_table(paper2_tables["counterfactuals"], least, level=0.99, **OPTIONS)
    assert table["rule"].tolist() == 3 * [judges.ONE] + 3 * [judges.OWN]
    assert table["images"].tolist() == [4, 4, 4, 2, 2, 2]
    matched = table[table["rule"] == judges.ONE].set_index("kind")
    assert matched.loc[list(KINDS), "background"].tolist() == pytest.approx([0.1, 0.2, 0.4])


def test_the_table_of_the_l1_ball_compares_every_method_with_auto_frank_wolfe(paper2_tables):
    table = judges.sparse_table(paper2_tables["sparse"], **OPTIONS).set_index("method")
    assert table.loc["AFW", "AFW minus it"] == 0
    assert table.loc["FW", "AFW minus it"] == pytest.approx(0.08)
    assert table.loc["FW-L1-q, q = d/16", "changed"] == pytest.approx(0.3)


# every reasonable choice


def test_wins_are_the_share_above_zero_minus_one_half_with_ties_halved():
    assert specifications.wins(np.array([[1.0, 0.0], [2.0, -1.0]])) == pytest.approx(0.5 + 0.125 - 0.5)


def test_each_claim_has_one_published_specification(reasonable):
    assert reasonable.groupby("claim", sort=False)["published"].sum().to_dict() == {
        specifications.SPARSER: 1,
        specifications.BELIEVED: 1,
        specifications.AHEAD: 1,
    }
    assert not reasonable.duplicated(["claim", *specifications.CHOICES]).any()


def test_specifications_have_the_values_of_their_rows(reasonable):
    own = reasonable[reasonable["published"]].set_index("claim")["estimate"]
    assert own[specifications.SPARSER] == pytest.approx(0.2)  # background .4 in l2, .2 in l1.5
    assert own[specifications.BELIEVED] == pytest.approx(0.1)
    assert own[specifications.AHEAD] == pytest.approx(0.08)
    chosen = reasonable[reasonable["claim"] == specifications.SPARSER]
    chosen = chosen.query("measure == 'Gini index, negative' and ball == 'l1' and statistic == 'mean'")
    chosen = chosen.query("targets == 'all' and seeds == 'all' and network == 'plain'")
    assert chosen["estimate"].tolist() == pytest.approx([0.3])  # .9 in l1, .6 in l2


def test_step_schedule_and_half_of_the_targets_are_chosen(reasonable):
    rows = reasonable[reasonable["claim"] == specifications.AHEAD]
    assert set(rows["step"]) == set(specifications.STEPS)
    assert set(rows[rows["ball"] == "2.0"]["schedule"]) == {"published", "released"}
    assert set(rows["targets"]) == {"all"}  # three images in the later half are too few
    assert set(reasonable[reasonable["claim"] == specifications.SPARSER]["targets"]) == set(specifications.TARGETS)


def test_the_share_above_zero_counts_specifications_and_not_images():
    ahead, behind = np.full((2, 5), 1.0), np.full((2, 5), -1.0)
    outlier = np.array([[9.0, -1, -1, -1, -1], [9.0, -1, -1, -1, -1]])  # its mean is 1, median and wins are below 0
    values = np.stack([ahead, behind, outlier], -1)
    assert share_above(values) == pytest.approx((3 + 0 + 1) / 9)


def test_figure_and_sentences_are_about_every_claim(reasonable):
    drawn = specifications.figure(reasonable)
    assert len(drawn.axes) == 6
    assert drawn.axes[2].get_yscale() == "symlog"
    text = specifications.sentences(reasonable)
    assert all(f"{claim}: of " in text for claim in (specifications.SPARSER, specifications.AHEAD))
    assert set(specifications.deciding(reasonable)["choice"]) <= set(specifications.CHOICES)
