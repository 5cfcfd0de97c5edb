"""The page of advice from toy tables whose advice is plain."""

import pandas as pd
import pytest

from aecompanion.papers.truth import page as which
from aecompanion.pipeline import paths
from aecompanion.report import displays, pages

WORLDS = ("scenes", "objects")


def method_rows(**ranks):
    """ranks: method → (rank in scenes, rank in objects with either network); every interval reaches 0.1 up and down."""
    cells = [("scenes", "vgg", 0), ("objects", "plain", 1), ("objects", "marked", 1)]
    cost = {"BP": 2, "IG": 48, "RISE": 200, "Shapley (parts)": 9}
    return pd.DataFrame(
        [
            {"world": world, "network": network, "method": method.replace("_", " "), "rank": values[place]}
            | {"rank_low": values[place] - 0.1, "rank_high": values[place] + 0.1, "passes": cost.get(method, 0)}
            for world, network, place in cells
            for method, values in ranks.items()
        ]
    )


@pytest.fixture
def methods():
    ranks = {"painted truth": (1, 1), "parts": (0.7, 0.9), "random": (0, 0), "Shapley (parts)": (0.99, 0.99)}
    return method_rows(**ranks, RISE=(0.9, 0.8), BP=(0.85, 0.3), IG=(0.86, 0.75))


@pytest.fixture
def metrics():
    believe = {"deletion": ("noise", "noise"), "ROAD": ("both", "misleads"), "average drop": ("", "not shown")}
    rows = [
        {"world": world, "metric": metric, "kind": "removal", "order": 0.31, "noise": 0.62, "believe": said[place]}
        for place, world in enumerate(WORLDS)
        for metric, said in believe.items()
    ]
    others = [("random", "control"), ("truth, other half", "ceiling")]
    rows += [
        {"world": world, "metric": name, "kind": kind, "order": 0.0, "noise": None, "believe": None}
        for world in WORLDS
        for name, kind in others
    ]
    return pd.DataFrame(rows)


def test_the_highest_mean_is_advised_beside_the_highest_of_few_passes(methods):
    """RISE leads with .9, .8 and .8; BP (.85, .3, .3) is the only one of few passes, and good on scenes alone."""
    found = which.advice_on_methods(which.labelled(methods))
    assert found == (
        "**Begin with RISE** (200 passes, mean 0.83, as good as the best in 3 of 3 columns), **or, if passes are dear, "
        "with BP** (2 passes, mean 0.48, as good as the best in 1 of 3 columns)."
    )


def test_where_the_first_falls_behind_the_cheapest_that_does_not_is_named(methods):
    weak = methods["method"].eq("RISE") & methods["world"].eq("scenes")
    found = which.advice_on_methods(which.labelled(methods.assign(rank=methods["rank"].where(~weak, 0.7))))
    assert found.startswith("**Begin with IG**")  # .86, .75, .75 against .7, .8, .8
    weak = methods["method"].eq("IG") & methods["world"].eq("objects")
    found = which.advice_on_methods(which.labelled(methods.assign(rank=methods["rank"].where(~weak, 0.2))))
    assert found.endswith("columns).")  # RISE everywhere


def test_guided_rules_and_what_is_told_the_parts_are_never_advised(methods):
    guided = methods[methods["method"] == "RISE"].assign(method="guided BP", rank=0.99, passes=2)
    found = which.advice_on_methods(which.labelled(pd.concat([methods, guided], ignore_index=True)))
    assert "guided" not in found
    assert "Shapley" not in found


def test_a_metric_is_advised_only_where_more_than_half_of_the_worlds_believe_it(metrics):
    found = which.advice_on_ranking(metrics)  # ROAD in one of two worlds
    assert found.startswith("**Rank methods by no metric**")
    assert "at most in 1 of 2 (ROAD), which may be chance" in found
    everywhere = metrics.assign(believe=metrics["believe"].where(metrics["metric"] != "ROAD", "both"))
    assert which.advice_on_ranking(everywhere).startswith(
        "**Rank methods by ROAD**: shown to find their true order in 2"
    )
    none = metrics.assign(believe="not shown")
    assert "worlds, in none." in which.advice_on_ranking(none)


def test_cells_say_what_is_believed(methods, metrics):
    shown = which.metric_matrix(metrics).set_index("metric")
    assert shown.loc["deletion", "scenes"] == "0.31 / **0.62**"
    assert list(shown.loc["ROAD"]) == ["**0.31** / **0.62**", "*0.31 / 0.62*"]
    assert shown.loc["random", "scenes"] == "0.00 / –"
    table = which.method_matrix(which.labelled(methods))
    assert list(table) == ["method", "passes", "scenes", "objects, plain", "objects, marked"]
    assert table["method"].tolist() == ["RISE", "IG", "BP", "Shapley (parts)", "parts", "random"]
    assert table.set_index("method").loc["BP", "scenes"] == "**0.85**"
    assert table.set_index("method").loc["Shapley (parts)", "scenes"] == "0.99"  # told the parts: never advised


def test_the_page_is_two_printed_pages_and_says_its_rules(methods, metrics):
    text = which.page(methods, metrics)
    assert text.count("\n") < 70 and max(map(len, text.splitlines())) < 800
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "# Which explanation, which metric?",
        "## Advice",
        "## Explanations",
        "## Metrics",
        "## Rules of the advice",
    ]
    assert text == which.page(methods, metrics)


def test_the_published_page_is_what_the_tables_say(tmp_path, methods, metrics):
    assert which.read(tmp_path) is None
    (tmp_path / "tables").mkdir()
    for id, table in ((which.METHODS, methods), (which.METRICS, metrics)):
        table.to_csv(tmp_path / "tables" / f"{displays.stem(id)}.csv", index=False, float_format="%.4f")
    assert which.page(*which.read(tmp_path)) == which.page(methods, metrics)
    published = which.read(paths.ROOT / "results")
    assert (which.NAME in pages.texts()) == (published is not None)
    if published is not None:
        assert (paths.ROOT / which.NAME).read_text() == which.page(*published)


def test_as_good_as_the_best_is_whose_mean_reaches_the_lower_end_of_its_interval():
    """So a wide interval of one's own is no help."""
    own = pd.DataFrame({"world": "w", "network": "n", "method": ["occlusion", "EP", "MP"], "rank": [0.8, 0.75, 0.6]})
    found = which.labelled(own.assign(rank_low=[0.7, 0.1, 0.0], rank_high=[0.9, 1.0, 1.0]))
    assert found["good"].tolist() == [True, True, False]


def test_what_is_never_advised_is_what_the_studies_call_so():
    from aecompanion.papers.truth.tables import TOLD
    from aecompanion.studies.truth import CONTROLS

    assert (which.CONTROLS, which.TOLD) == (CONTROLS, TOLD)
