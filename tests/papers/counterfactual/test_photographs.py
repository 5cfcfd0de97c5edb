import matplotlib.pyplot as plt
import numpy as np
import pictured
import pytest
import torch

from aecompanion.papers.counterfactual import claims_photographs, photographs
from aecompanion.report.claims import evaluate, register
from aecompanion.studies.photograph_counterfactuals import SHUFFLED

OPTIONS = {"resamples": 100, "seed": 0}


def evaluated(rows):
    mine = [each for each in register() if each.estimator.__module__ == claims_photographs.__name__]
    return {each.id: evaluate(each, {"photographs": rows}, **OPTIONS) for each in mine}


def test_the_table_says_who_reaches_the_confidence_and_takes_means_of_those_who_do_in_every_ball():
    table = photographs.table(pictured.plain_rows(), "lite0", **OPTIONS).set_index(["ball", "change"])
    assert table.loc[("l1.5", "own"), "reached"] == 1
    assert table.loc[("l2", "own"), "reached"] == 0.75
    assert (table["photographs"] == 3).all()
    assert table.loc[("l1.5", "own"), "l1"] == pytest.approx(20)  # of the first three: .9, 1 and 1.1 times it
    assert table.loc[("l1.5", "own"), "median radius"] == pytest.approx(1.05)
    assert table.loc[("l1.5", SHUFFLED), "neighbours"] == 0


def test_the_table_of_photographs_that_reach_it_nowhere_has_no_means():
    table = photographs.table(pictured.plain_rows().assign(radius=np.inf), "lite0", **OPTIONS)
    assert (table["reached"] == 0).all()
    assert table["l1"].isna().all()


def test_claims_are_evaluated_on_photographs_that_reach_the_confidence():
    found = evaluated(pictured.plain_rows())
    assert sorted(found) == [f"P2.{number}" for number in range(71, 81)]
    expected = {"P2.71": 0.5, "P2.72": 2, "P2.73": 0.01, "P2.74": 0.3, "P2.75": 0.01, "P2.76": 0.02, "P2.77": 0.2}
    expected |= {"P2.78": 0.2, "P2.79": 0.15, "P2.80": 0.3}
    assert {name: row["ours"] for name, row in found.items()} == pytest.approx(expected)
    assert {row["n"] for row in found.values()} == {3}


def test_without_any_such_photograph_or_another_network_claims_say_so():
    nowhere = evaluated(pictured.plain_rows().assign(radius=np.inf))
    assert {row["verdict"] for row in nowhere.values()} == {"not testable here"}
    assert {row["reason"] for row in nowhere.values()} == {claims_photographs.NONE}
    alone = evaluated(pictured.plain_rows().assign(realism=np.nan))
    assert {name for name, row in alone.items() if row["verdict"] == "not testable here"} == {"P2.75", "P2.76"}


def test_panels_have_the_photograph_and_two_pictures_per_ball():
    images, regions = torch.full((2, 3, 8, 8), 0.5), torch.zeros(2, 1, 8, 8, dtype=torch.bool)
    regions[:, :, 2:5, 2:5] = True
    changed = {"l1.5": images + 0.1, "l2": images}
    rows = pictured.plain_rows()
    rows = rows[rows["image"] < 12]
    figure = photographs.panels(images, changed, regions, rows, classes=["cat", "dog"], labels=[0, 0])
    assert len(figure.axes) == 2 * 5
    titles = [axes.get_title() for axes in figure.axes[:5]]
    assert titles[:2] == ["cat", "dog 91%\nl1.5, radius 0.90"]
    assert "change, ±25.5 grey levels" in titles[2]
    plt.close(figure)
