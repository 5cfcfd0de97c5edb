import numpy as np
import pandas as pd
import pytest
from randomised import similarity_rows, value

from aecompanion.explain.methods import METHODS
from aecompanion.papers.masks import randomization as masks_randomization
from aecompanion.report.randomization import SHARE
from aecompanion.sanity.randomization import OTHER, RECALIBRATED, RETRAINED, WAYS

OPTIONS = {"resamples": 20, "seed": 0}
STAGES = {
    "top layer": ("cascading", 1 / 3),
    "all layers": ("cascading", 1.0),
    "all layers, recalibrated": (RECALIBRATED, 1.0),
    "none, retrained": (RETRAINED, 0.0),
    "none, other image": (OTHER, 0.0),
}


def test_methods_are_in_the_order_of_the_paper_and_others_last():
    assert masks_randomization.methods_of(["x", "RP", "BP", "RP"]) == ["BP", "RP", "x"]


@pytest.mark.parametrize("typical", [0, 1, 2])
def test_the_typical_pair_is_nearest_to_the_medians_whatever_they_are(typical):
    rows = similarity_rows()
    rows = rows[rows["position"] == 0]
    order = {0: (1, 0, 2), 1: (0, 1, 2), 2: (0, 2, 1)}[typical]  # the middle one is the typical pair
    pairs = [rows.assign(position=p, spearman=rows["spearman"] + 0.1 * off) for p, off in enumerate(order)]
    assert masks_randomization.typical_pair(pd.concat(pairs)) == typical


def test_the_yardsticks_do_not_choose_the_typical_pair(similarity):
    with pytest.raises(ValueError, match="no rows of a re-initialised network"):
        masks_randomization.typical_pair(similarity[similarity["way"].isin([OTHER, RETRAINED])])


def test_the_summary_has_every_stage_and_both_yardsticks_per_method(similarity):
    table = masks_randomization.summary(similarity, **OPTIONS)
    columns = ["method", "re-initialised", "n", "spearman", "spearman_low", "spearman_high"]
    columns += [SHARE, f"{SHARE}_low", f"{SHARE}_high", "ssim", "hog", "smooth", "rise", "undefined"]
    assert list(table.columns) == columns
    expected = [(method, what) for method in METHODS for what in STAGES]
    assert list(table[["method", "re-initialised"]].itertuples(index=False, name=None)) == expected
    assert set(table["n"]) == {2}
    for _, row in table.iterrows():
        way, depth = STAGES[row["re-initialised"]]
        mean = value(way, depth, row["method"])
        assert row[["spearman", "ssim", "hog"]].tolist() == pytest.approx([mean, mean / 2, mean / 3])
        assert row["spearman_low"] <= mean <= row["spearman_high"]
        whole = row["re-initialised"].startswith("all")
        assert row["rise"] == pytest.approx(7 * mean if whole else np.nan, nan_ok=True)
        assert row["smooth"] == pytest.approx(mean + 0.05 if row["method"] == "BP" else np.nan, nan_ok=True)
        empty = {1 / 3: 0.5, 1.0: 1.0}.get(depth, 0.0) if row["method"] == "MP" else 0.0
        assert row["undefined"] == empty


def test_the_share_of_retrained_is_between_the_yardsticks_and_leaves_constant_maps_out(similarity):
    table = masks_randomization.summary(similarity, **OPTIONS).set_index(["method", "re-initialised"])[SHARE]
    low, high = (value(way, 0.0, "RP") for way in (OTHER, RETRAINED))
    assert table["RP", "top layer"] == pytest.approx((value("cascading", 1 / 3, "RP") - low) / (high - low))
    assert (table["RP", "none, retrained"], table["RP", "none, other image"]) == pytest.approx((1, 0), abs=1e-9)
    assert np.isnan(table["MP", "all layers"])
    low, high = (value(way, 0.0, "MP") for way in (OTHER, RETRAINED))
    here = value("cascading", 1 / 3, "MP") + 0.02  # of the pair that is left
    assert table["MP", "top layer"] == pytest.approx((here - low) / (high - low))


def test_the_summary_leaves_out_what_was_not_studied():
    rows = similarity_rows(methods=("RP",), ways=WAYS)
    table = masks_randomization.summary(rows[rows["way"] != OTHER], **OPTIONS)
    assert table["re-initialised"].tolist() == ["top layer", "all layers", "none, retrained"]
    assert SHARE not in table
