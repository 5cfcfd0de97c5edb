import numpy as np
import pandas as pd
import pytest

from aecompanion.papers.causal import shortcut as causal_shortcut
from aecompanion.report.figures import COLOURS

OPTIONS = {"resamples": 20, "seed": 0}
LUNGS = ["lung, left (10%)", "lung, right (10%)"]
HALVES = {"upper": np.arange(16).reshape(4, 4) < 8, "lower": np.arange(16).reshape(4, 4) >= 8}


@pytest.fixture
def table(paper1_tables):
    return causal_shortcut.region_table(paper1_tables["shortcut"], **OPTIONS)


def grid_rows(scale=1.0, view="PA"):
    """Two images of one view on a 2×2 grid: |CE| is 0.1 and 0.3 in the first block, and zero elsewhere."""
    rows = [
        {"image": image, "row": row, "column": column, "effect": scale * size * (row == column == 0), "view": view}
        for image, size in ((0, 0.1), (1, -0.3))
        for row in range(2)
        for column in range(2)
    ]
    return pd.DataFrame(rows).assign(seed=1)


# ---- tables


def test_the_table_holds_size_control_and_excess_of_every_region_and_fill(table):
    parts = [[name, f"{name}_low", f"{name}_high"] for name in ("size", "control", "excess")]
    assert list(table.columns) == ["fill", "region", "share", "images", *sum(parts, []), "size per share"]
    found = table.set_index(["fill", "region"])
    assert len(found) == 2 * 6
    row = found.loc[("mean", "outside")]
    assert row[["share", "size", "control", "excess"]].tolist() == pytest.approx([0.5, 0.3, 0.2, 0.1])
    assert row["size per share"] == pytest.approx(0.6)
    assert found.loc[("black", "outside"), "excess"] == pytest.approx(0.3)
    assert (table["size_low"] <= table["size"]).all()
    assert (table["size"] <= table["size_high"]).all()


def test_only_images_that_have_the_region_count(table):
    found = table.set_index(["fill", "region"])
    row = found.loc[("mean", "marker")]
    assert row[["share", "images", "size", "excess"]].tolist() == pytest.approx([0.05, 4, 0.6, 0.55])
    assert found.loc[("mean", "lungs"), "images"] == 6


def test_the_quality_is_the_auroc_with_the_images_of_each_view(paper1_tables):
    found = causal_shortcut.quality(paper1_tables["viewed"], ["AP", "PA"], **OPTIONS)
    assert found["auroc"] == pytest.approx((8 / 9 + 7 / 9) / 2)
    assert found["auroc_low"] <= found["auroc"] <= found["auroc_high"]
    assert (found["AP"], found["PA"]) == (3, 3)


def test_the_quality_of_a_single_view_is_undefined(paper1_tables):
    viewed = paper1_tables["viewed"]
    found = causal_shortcut.quality(viewed[viewed["view"] == "PA"], ["AP", "PA"], **OPTIONS)
    assert (found["AP"], found["PA"]) == (0, 3)
    assert np.isnan(found["auroc"])


# ---- figures


def test_the_mean_images_are_those_of_the_views_that_there_are():
    images = np.arange(3.0)[:, None, None, None] * np.ones((3, 1, 2, 2))
    found = causal_shortcut.mean_images(images, np.array(["PA", "AP", "PA"]), ["AP", "PA", "LL"])
    assert {view: mean.tolist() for view, mean in found.items()} == {"AP": [[1, 1]] * 2, "PA": [[1, 1]] * 2}


def test_the_map_is_the_mean_size_of_the_effect_per_block():
    assert causal_shortcut.grid_map(grid_rows()) == pytest.approx(np.array([[0.2, 0], [0, 0]]))


def test_both_maps_have_one_scale():
    means = {"AP": np.full((4, 4), 0.2), "PA": np.full((4, 4), 0.4)}
    figure = causal_shortcut.view_maps(means, pd.concat([grid_rows(), grid_rows(2, "AP")]))
    panels = [axes for axes in figure.axes if axes.images][:4]
    assert [axes.get_title().split(":")[0] for axes in panels] == ["AP", "AP", "PA", "PA"]
    heats = [panels[i].images[0] for i in (1, 3)]
    assert [heat.get_clim() for heat in heats] == [(0, pytest.approx(0.4))] * 2
    assert np.allclose(heats[0].get_array(), 2 * heats[1].get_array())


def test_a_single_view_has_one_pair_of_panels_and_no_effect_at_all_is_drawn():
    figure = causal_shortcut.view_maps({"PA": np.zeros((4, 4))}, grid_rows(0))
    assert len([axes for axes in figure.axes if axes.get_title()]) == 2


def test_the_bars_are_the_parts_then_the_rest_with_their_shares(table):
    parts = {"frame": HALVES["upper"], "lungs": HALVES["lower"]}
    figure = causal_shortcut.region_effects(np.zeros((4, 4)), parts, table, "mean")
    left, right = figure.axes[:2]
    labels = [label.get_text() for label in right.get_yticklabels()]
    assert labels == ["frame  1 (25%)", "lungs  2 (20%)", "outside (50%)", "marker (5%)", *LUNGS]
    assert [bar.get_width() for bar in right.patches] == pytest.approx([0.2, 0.26, 0.3, 0.6, 0.12, 0.08])
    assert [text.get_text() for text in left.texts] == ["1", "2"]
    assert {text.get_text() for text in figure.legends[0].texts} == {"control, mean", "black"}


def test_the_numbers_stand_in_their_regions(table):
    parts = {"frame": HALVES["upper"], "lungs": np.eye(4, dtype=bool) & HALVES["lower"]}
    figure = causal_shortcut.region_effects(np.zeros((4, 4)), parts, table, "mean")
    tint = figure.axes[0].images[1].get_array()
    for text, mask in zip(figure.axes[0].texts, parts.values(), strict=True):
        column, row = text.get_position()
        assert mask[row, column]
    assert np.ma.filled(tint, np.nan)[HALVES["upper"]].tolist() == [0] * 8
    assert len(COLOURS) >= 10  # a colour for each part of a chest
