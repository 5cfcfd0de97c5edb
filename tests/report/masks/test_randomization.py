import pytest
from randomised import similarity_rows, value

from aecompanion.explain.methods import METHODS
from aecompanion.report.masks import randomization as masks_randomization
from aecompanion.sanity.map_randomization import OTHER, RECALIBRATED, WAYS


def test_methods_are_in_the_order_of_the_paper_and_others_last():
    assert masks_randomization.methods_of(["x", "RP", "BP", "RP"]) == ["BP", "RP", "x"]


def test_the_telling_pair_is_constant_least_often(similarity):
    rows = similarity[similarity["way"] != OTHER].copy()
    assert masks_randomization.telling_pair(rows, "MP") == 0
    rows["undefined"] = (rows["position"] == 0) | (rows["depth"] == 1)
    assert masks_randomization.telling_pair(rows, "MP") == 1


def test_the_summary_has_the_top_layer_all_layers_and_another_image_per_method(similarity):
    table = masks_randomization.summary(similarity)
    columns = ["method", "re-initialised", "pairs", "spearman", "ssim", "hog", "undefined"]
    assert list(table.columns) == columns
    chosen = {
        "top layer": ("cascading", 1 / 3),
        "all layers": ("cascading", 1.0),
        "all layers, recalibrated": (RECALIBRATED, 1.0),
        "none, other image": (OTHER, 0.0),
    }
    expected = [(method, what) for method in METHODS for what in chosen]
    assert list(table[["method", "re-initialised"]].itertuples(index=False, name=None)) == expected
    assert set(table["pairs"]) == {2}
    for row in table.itertuples():
        way, depth = chosen[row[2]]
        mean = value(way, depth, row.method)
        assert (row.spearman, row.ssim, row.hog) == pytest.approx((mean, mean / 2, mean / 3))
        empty = {1 / 3: 0.5, 1.0: 1.0}.get(depth, 0.0) if row.method == "MP" else 0.0
        assert row.undefined == empty


def test_the_summary_leaves_out_what_was_not_studied():
    rows = similarity_rows(methods=("RP",), ways=WAYS)
    table = masks_randomization.summary(rows[rows["way"] != OTHER])
    assert table["re-initialised"].tolist() == ["top layer", "all layers"]
