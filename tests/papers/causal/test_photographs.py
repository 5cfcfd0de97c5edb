import matplotlib.pyplot as plt
import numpy as np
import pictured
import pytest

from aecompanion.evaluate.detection import auroc
from aecompanion.explain.fills import FILLS
from aecompanion.papers.causal import claims_photographs, photographs
from aecompanion.report.claims import evaluate, register
from aecompanion.studies.photograph_detectors import SCORES
from aecompanion.studies.photograph_effects import REGIONS

OPTIONS = {"resamples": 100, "seed": 0}


@pytest.fixture(scope="module")
def found(request):
    tables = {
        "photograph_regions": pictured.region_rows(),
        "photograph_channels": pictured.channel_rows(),
        "photograph_attacks": pictured.attack_rows(),
        "photograph_evasion": pictured.evasion_rows(),
    }
    mine = [each for each in register() if each.estimator.__module__ == claims_photographs.__name__]
    return {each.id: evaluate(each, tables, **OPTIONS) for each in mine}


def test_the_region_table_has_sizes_and_their_spread():
    table = photographs.region_table(pictured.region_rows(), **OPTIONS).set_index(["network", "fill", "region"])
    assert len(table) == 2 * len(FILLS) * len(REGIONS)
    row = table.loc["lite1", "mean", "map"]
    assert row["size"] == pytest.approx(0.2)
    assert row["effect"] == pytest.approx((-0.38 + 0.39 - 0.41 + 0.42) / 8)
    assert row["median"] == pytest.approx(0.2)
    assert row["quartile"] < row["median"] < row["third_quartile"]


def test_channels_are_ordered_by_the_other_half():
    rows = pictured.channel_rows()
    swapped = rows[(rows["half"] == 0) & (rows["channel"] == 1)].index
    rows.loc[swapped, "expected"] = 5.0  # seen by half 1 only, which now puts this channel first
    values = photographs.ranked(rows)[0, :, 0]
    assert values[0, 0] == pytest.approx(0.6, abs=0.003)  # half 0: the order of half 1, where nothing has changed
    assert values[1, 0] == pytest.approx(0.1, abs=0.003)


def test_the_channel_table_has_the_first_the_median_and_the_last():
    table = photographs.channel_table(pictured.channel_rows(), **OPTIONS).set_index("network")
    assert table.loc["lite0", "first"] == pytest.approx(0.6)
    assert table.loc["lite0", "median"] == pytest.approx(0.075)
    assert table.loc["lite0", "last"] == pytest.approx(0.01)
    assert table.loc["lite1", "at the mean code"] == pytest.approx(0.075)
    assert (table["agreement"] == 1).all()


def test_aurocs_are_those_of_each_network():
    table = photographs.detection_table(pictured.attack_rows(), **OPTIONS)
    table = table.set_index(["network", "attack", "level"])
    clean = np.arange(4)
    assert table.loc[("lite0", "fgsm", 2), "effect"] == pytest.approx(auroc(clean, clean + 0.5))
    assert table.loc[("lite1", "fgsm", 8), "heatmap"] == pytest.approx(0.5)
    assert table.loc[("lite1", "fgsm", 8), "lost"] == 1


def test_the_evasion_table_has_both_arms():
    table = photographs.evasion_table(pictured.evasion_rows(), **OPTIONS).set_index("detector")
    assert table.loc["squeezing", ["plain", "adaptive", "adaptive: fooled"]].tolist() == [1, 0.5, 0.75]
    assert not [name for name in table if "decisions" in name]


def test_claims_are_about_the_network_that_fits_worst(found):
    assert sorted(found, key=lambda each: float(each[3:])) == [f"P1.{number}" for number in range(174, 219)]
    assert found["P1.174"]["ours"] == pytest.approx(0.05)  # half of the first network's .4 - .3
    assert found["P1.191"]["ours"] == pytest.approx(0.5 * pictured.MORE["black"])
    assert found["P1.193"]["ours"] == pytest.approx(0.1)  # the largest: the first network's
    assert found["P1.195"]["ours"] == pytest.approx(0.3 / 0.0375)
    assert found["P1.197"]["ours"] == pytest.approx(0.3 - 2 * 0.075)
    assert found["P1.201"]["ours"] == pytest.approx(0.5)  # NISSIM at 8/255: nothing happens to the second network's
    assert found["P1.204"]["ours"] == pytest.approx(0.5)
    assert found["P1.205"]["ours"] == pytest.approx(0)
    assert found["P1.207"]["ours"] == pytest.approx(0.5)
    assert found["P1.213"]["ours"] == pytest.approx(-0.5)
    assert {row["n"] for row in found.values()} == {4}


def test_no_claim_asks_for_the_lead_of_the_map_under_the_fill_that_made_it(found):
    said = [row["statement"] for row in found.values() if "causal-effect map" in row["statement"]]
    assert len(said) == len(FILLS) - 1
    assert not any("fill mean" in each for each in said)


def test_figures_show_every_region_score_and_network():
    rows = pictured.region_rows()
    figure = photographs.region_figure(rows, photographs.region_table(rows, **OPTIONS))
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["lite0", "lite1"]
    assert sum(len(each.get_offsets()) for each in figure.axes[0].collections if len(each.get_offsets()) > 1) == (
        4 * len(FILLS) * len(REGIONS)
    )
    table = photographs.detection_table(pictured.attack_rows(), **OPTIONS)
    other = photographs.detector_figure(table, photographs.evasion_table(pictured.evasion_rows(), **OPTIONS))
    assert len(other.axes) == 3
    assert len(other.axes[0].get_yticklabels()) == len(SCORES)
    other.canvas.draw()
    plt.close("all")
