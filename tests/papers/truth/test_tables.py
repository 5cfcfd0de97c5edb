import numpy as np
import pandas as pd
import pytest
from benched import DEAR, ITEMS, NETWORKS, OTHER, VARIED

from aecompanion.explain.methods import METHODS
from aecompanion.explain.neighbours import NEIGHBOURS
from aecompanion.papers.truth import tables
from aecompanion.report import claims
from aecompanion.studies.truth import CONTROLS

OWN = {claim.id: claim for claim in claims.register() if claim.paper == 6}
VOC = {"world": "voc", "family": "vgg"}
OPTIONS = {"resamples": 100, "seed": 0}


@pytest.fixture
def rows(paper6_tables):
    return paper6_tables["methods"]


def test_values_are_seeds_items_methods(rows):
    found = tables.values(rows, "rank", ["BP", "occlusion"], **VOC)
    assert found.shape == (2, ITEMS, 2)
    assert tables.values(rows, "rank", ["BP", "RP"], **VOC).shape == (2, DEAR, 2)
    assert tables.values(rows, "rank", ["RP", "RP (published)"], **VOC).shape == (2, VARIED, 2)


def test_values_average_the_targets_of_an_item(rows):
    more = rows.assign(target=7, rank=rows["rank"] + 0.2)
    once, twice = (tables.values(each, "rank", ["BP"], **VOC) for each in (rows, pd.concat([rows, more])))
    np.testing.assert_allclose(twice, once + 0.1)


def test_pooled_items_stand_behind_each_other(rows):
    networks = [VOC, {"world": "coco", "family": "vgg"}]
    found = tables.pooled(rows, "rank", ["RP", "MP"], networks)
    assert found.shape == (2, 2 * DEAR, 2)
    assert tables.difference(found) == pytest.approx((0.2 + 0.16) / 2)
    less = rows[(rows["world"] != "coco") | (rows["seed"] == 1)]
    with pytest.raises(ValueError, match=r"\[2, 1\] seeds"):
        tables.pooled(less, "rank", ["RP", "MP"], networks)


def test_the_table_has_a_row_per_network_and_method(rows):
    table = tables.method_table(rows, **OPTIONS)
    assert len(table) == len(NETWORKS) * (len(CONTROLS) + len(METHODS) + len(NEIGHBOURS))
    voc = table[(table["world"] == "VOC-like scenes") & (table["network"] == "vgg")].set_index("method")
    assert voc.loc["RP", "rank"] == pytest.approx(0.6) and voc.loc["Shapley (parts)", "rank"] == pytest.approx(0.9)
    assert (voc["rank_low"] <= voc["rank"]).all() and (voc["rank"] <= voc["rank_high"]).all()
    assert voc.loc["RP", "passes"] == 129 and voc.loc["painted truth", "passes"] == 0
    assert voc["sign"].notna().sum() == 1
    assert set(table["network"]) >= {"robust, trained with mark", "resnet"}


def test_the_front_is_what_nothing_beats():
    table = pd.DataFrame(
        {
            "method": ["painted truth", "a", "b", "c", "d", "e"],
            "rank": [1.0, 0.5, 0.4, 0.7, 0.7, 0.6],
            "passes": [0, 2, 2, 10, 20, 15],
        }
    )
    assert tables.front(table).tolist() == ["", "yes", "", "yes", "", ""]


def test_masks_are_compared_in_pairs(rows):
    table = tables.mask_table(rows, **OPTIONS)
    first = table[table["comparison"] == "equal starts (0), own weights"].set_index(["world", "family"])
    assert len(first) == len(NETWORKS)
    assert first.loc[("voc", "vgg"), "rank"] == pytest.approx(0.2)
    assert first.loc[("chest", "vgg"), "rank"] == pytest.approx(-0.2)
    assert first.loc[("voc", "vgg"), "share"] == 0
    published = table[table["comparison"] == "each as published"]
    assert "mosaics" not in set(published["world"]) and len(published) == len(NETWORKS) - 1


@pytest.mark.parametrize(
    ("claim", "estimate", "verdict"),
    [
        ("P6.01", 0.9 - (OTHER - 0.04), "reproduced"),  # BP, the first method
        ("P6.03", -0.9 + (OTHER - 0.15), None),
        ("P6.17", 1.0, "reproduced"),
        ("P6.18", 0.2, "reproduced"),
        ("P6.13", 0.5, None),
        ("P6.19", -1.0, "reproduced"),
        ("P6.20", 0.2, "reproduced"),
        ("P6.22", -0.2, "not reproduced"),
        ("P6.25", 0.2 * (1 + 0.8 - 1 + 0.7) / 4, None),
        ("P6.28", 0.0, "no difference"),
        ("P6.29", -1.0, "reproduced"),
    ],
)
def test_estimates_by_hand(paper6_tables, claim, estimate, verdict):
    row = claims.evaluate(OWN[claim], paper6_tables, **OPTIONS)
    if claim == "P6.03":  # of all methods the last one in the registries has the highest rank there
        others = [name for name in (*METHODS, *NEIGHBOURS) if (METHODS | NEIGHBOURS)[name].family != "mask"]
        ranks = paper6_tables["methods"].query("world == 'chest'").groupby("method")["rank"].mean()
        estimate = ranks["Shapley (parts)"] - ranks[[each for each in others if each != "Shapley (parts)"]].max()
    assert row["ours"] == pytest.approx(estimate, abs=1e-6)
    assert verdict is None or row["verdict"] == verdict


def test_cheap_methods_are_those_with_at_most_occlusions_passes(paper6_tables):
    rows = paper6_tables["methods"]
    dear = rows.assign(forward=rows["forward"].where(rows["method"] != "BP", 500))
    best = rows.assign(rank=rows["rank"].where(rows["method"] != "BP", 0.95))
    both = dear.assign(rank=best["rank"])
    occlusion = rows[(rows["world"] == "voc") & (rows["family"] == "vgg") & (rows["method"] == "occlusion")]["rank"]
    found = [claims.evaluate(OWN["P6.06"], {"methods": each}, **OPTIONS)["ours"] for each in (best, both)]
    assert found[0] == pytest.approx(0.95 - occlusion.mean())
    assert found[1] < found[0]


@pytest.mark.parametrize("claim", OWN)
def test_without_rows_of_its_world_a_claim_is_not_testable(claim, paper6_tables):
    if OWN[claim].estimator.__module__ != "aecompanion.papers.truth.claims":
        pytest.skip("a claim about other tables")
    row = claims.evaluate(OWN[claim], {"methods": paper6_tables["methods"].iloc[:0]}, **OPTIONS)
    assert row["verdict"] == "not testable here"
