"""Table, figure and claims about metrics from toy rows whose orders are known."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from support import estimators
from truth_rows import metric_rows

from aecompanion.evaluate.faithfulness import METRICS
from aecompanion.evaluate.intervals import interval
from aecompanion.papers.truth import claims_metrics, metrics
from aecompanion.studies.truth_metrics import CEILING, REPEATED


@pytest.fixture(scope="module")
def rows():
    return metric_rows()


@pytest.fixture(scope="module")
def table(rows):
    return metrics.metric_table(rows, resamples=60)


def test_the_table_says_which_metric_to_believe_where(table):
    own = table.set_index(["world", "metric"])
    assert own.loc[("VOC-like scenes", "deletion"), "believe"] == "both"
    assert own.loc[("VOC-like scenes", "insertion"), ["order", "noise"]].tolist() == [-1, -1]
    assert own.loc[("VOC-like scenes", "insertion"), "believe"] == "misleads"
    assert own.loc[("chest phantoms", "deletion"), "believe"] != "both"
    assert (own.xs("constant", level="metric")[["order", "noise"]] == 0).all(axis=None)
    assert (own.xs(REPEATED, level="metric")["order"] == 1).all()
    assert own.xs("max-sensitivity", level="metric")["noise"].isna().all()
    assert (own.xs(CEILING, level="metric")["believe"] == "").all()
    assert len(table) == 2 * (len(METRICS) + 2) and not own.index.duplicated().any()


@pytest.mark.parametrize(
    "order, noise, said",
    [
        ((0.1, 0.5), (0.6, 0.9), "both"),
        ((0.1, 0.5), (0.4, 0.9), "methods"),
        ((-0.1, 0.5), (0.6, 0.9), "noise"),
        ((-0.1, 0.5), (0.4, 0.9), "not shown"),
        ((-0.5, -0.1), (0.6, 0.9), "misleads"),
        ((0.1, 0.5), (np.nan, np.nan), "methods"),
    ],
)
def test_the_rule_of_belief(order, noise, said):
    row = dict(zip(("order_low", "order_high", "noise_low", "noise_high"), (*order, *noise), strict=True))
    assert metrics.believed(row) == said


def test_the_figure_has_a_column_per_world(table, rows):
    figure = metrics.metric_figure(table, rows)
    assert len(figure.axes) == 4 and [panel.get_title() for panel in figure.axes[:2]] == list(
        dict.fromkeys(table["world"])
    )
    lines = {line.get_label() for line in figure.axes[2].get_lines()}
    assert {"deletion", "insertion", CEILING} <= lines and "random" not in lines
    plt.close(figure)


def test_every_point_stands_on_its_metrics_line_also_where_a_world_lacks_one(table, rows):
    last = table["world"].iloc[-1]
    less = table[~((table["world"] == last) & (table["metric"] == "deletion"))]
    figure = metrics.metric_figure(less, rows)
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    lines = dict(zip(names, figure.axes[0].get_yticks(), strict=True))
    for panel, world in zip(figure.axes[:2], dict.fromkeys(table["world"]), strict=True):
        part = less[less["world"] == world].dropna(subset=["order"])
        orders = panel.containers[0].lines[0]
        points = {(round(x, 6), round(y - 0.17, 6)) for x, y in zip(*orders.get_data(), strict=True) if x == x}
        assert points == {(round(row.order, 6), lines[row.metric]) for row in part.itertuples()}
    plt.close(figure)


def test_the_sentence_counts_worlds(table):
    said = metrics.sentences(table, ["deletion", "insertion"])
    assert said == "deletion: methods 1, noise 1 of 2; insertion: methods 0, noise 0 of 2"


def test_claims_ask_every_composed_world(rows):
    found = estimators(6)
    for metric, seen in (("deletion", None), ("insertion", -1.0)):
        for name in ("order", "falls"):
            values, statistic = found[name]({"metrics": rows}, metric=metric)
            assert values.shape[:3] == (3, 8, 2)
            result = interval(statistic, values, resamples=60)
            if seen is not None:
                assert result.value == seen
            assert result.value <= statistic.parts(values)[1]  # the least of the worlds, one of which is noise
    one = rows[rows["world"] == "voc"]
    for name in ("order", "falls"):
        values, statistic = found[name]({"metrics": one}, metric="deletion")
        assert interval(statistic, values, resamples=60).low > 0.5
    values, statistic = found["follows"]({"metrics": rows}, metric="random")
    assert interval(statistic, values, resamples=60).high < 0.5


def test_claims_without_composed_worlds_are_not_testable(rows):
    for estimator in (claims_metrics.order, claims_metrics.falls, claims_metrics.follows):
        values, statistic = estimator({"metrics": rows.assign(world="mosaics")}, metric="deletion")
        assert np.isnan(statistic(values)) and statistic.why == "no composed world was asked"
