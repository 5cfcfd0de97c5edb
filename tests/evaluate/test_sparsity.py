import math

import numpy as np
import pandas as pd
import pytest
import torch

from aecompanion.evaluate.sparsity import gini, sparsity
from aecompanion.pipeline.rng import generator

COLUMNS = ["background", "outside", "changed", "gini", "largest", "l1", "l15", "l2"]


def left_half(height=4, width=4):
    """The object is the left half."""
    mask = torch.zeros(1, height, width, dtype=torch.bool)
    mask[..., : width // 2] = True
    return mask


def one(delta, mask=None):
    """The row of one image."""
    table = sparsity(delta, left_half(*delta.shape[2:]) if mask is None else mask)
    return table.iloc[0].to_dict()


@pytest.fixture
def changes():
    """Six changes of colour images, the larger part of them small, and random objects."""
    delta = torch.rand(6, 3, 5, 7, generator=generator(6, 1)) ** 3 - 0.3
    masks = torch.rand(6, 5, 7, generator=generator(6, 2)) < 0.4
    return delta, masks


# by hand


@pytest.mark.parametrize(("column", "background"), [(1, 0.0), (2, 1.0)])
def test_one_pixel(column, background):
    """Its three channels change by 0.1, -0.2 and 0.3."""
    delta = torch.zeros(1, 3, 4, 4)
    delta[0, :, 2, column] = torch.tensor([0.1, -0.2, 0.3])
    expected = {
        "background": background,
        "outside": background / 8,  # one of eight pixels
        "changed": 1 / 16,
        "gini": 15 / 16,
        "largest": 0.3,
        "l1": 0.6,
        "l15": (0.1**1.5 + 0.2**1.5 + 0.3**1.5) ** (2 / 3),
        "l2": math.sqrt(0.14),
    }
    assert one(delta) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("value", [0.5, -0.5])
def test_a_uniform_change(value):
    expected = {
        "background": 0.5,
        "outside": 1.0,
        "changed": 1.0,
        "gini": 0.0,
        "largest": 0.5,
        "l1": 0.5 * 48,
        "l15": 0.5 * 48 ** (2 / 3),
        "l2": 0.5 * math.sqrt(48),
    }
    assert one(torch.full((1, 3, 4, 4), value)) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_the_background_weighs_pixels_by_how_much_they_change():
    delta = torch.zeros(1, 1, 4, 4)
    delta[0, 0, 0] = torch.tensor([0.3, 0.0, 0.1, -0.2])
    row = one(delta)
    assert row["background"] == pytest.approx(0.5)
    assert row["outside"] == pytest.approx(2 / 8)
    assert row["changed"] == pytest.approx(3 / 16)


def test_a_pixel_is_visible_above_2_of_255_in_any_channel():
    delta = torch.zeros(1, 3, 4, 4)
    delta[0, :, 0, 3] = 2 / 255
    delta[0, 2, 1, 3] = -3 / 255
    delta[0, 0, 2, 0] = 3 / 255
    row = one(delta)
    assert row["changed"] == pytest.approx(2 / 16)
    assert row["outside"] == pytest.approx(1 / 8)


def test_an_image_that_has_not_changed_has_no_share_and_no_gini():
    row = one(torch.zeros(1, 3, 4, 4))
    assert {name for name, value in row.items() if math.isnan(value)} == {"background", "gini"}
    assert all(value == 0 for value in row.values() if not math.isnan(value))


def test_an_object_that_fills_the_image_leaves_nothing_outside():
    row = one(torch.full((1, 3, 4, 4), 0.5), torch.ones(1, 4, 4, dtype=torch.bool))
    assert row["background"] == 0
    assert math.isnan(row["outside"])


def test_the_table_has_a_row_per_image_and_the_columns_of_the_docstring(changes):
    table = sparsity(*changes)
    assert list(table.columns) == COLUMNS
    assert len(table) == 6
    assert (table.dtypes == np.float64).all()


def test_the_table_is_the_formulas_evaluated_by_numpy(changes):
    table = sparsity(*changes)
    for row, delta, mask in zip(table.itertuples(), *(each.numpy() for each in changes), strict=True):
        size = np.abs(delta.astype(float))
        energy, visible = size.sum(0), size.max(0) > 2 / 255
        pairs = np.abs(energy.reshape(-1, 1) - energy.reshape(1, -1)).mean()
        expected = [
            energy[~mask].sum() / energy.sum(),
            visible[~mask].mean(),
            visible.mean(),
            pairs / (2 * energy.mean()),  # the Gini index is half the relative mean difference
            size.max(),
            *((size**p).sum() ** (1 / p) for p in (1, 1.5, 2)),
        ]
        assert list(row[1:]) == pytest.approx(expected, rel=1e-5)


# the Gini index


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 1, 1, 1], 0),
        ([0, 0, 0, 5], 3 / 4),
        ([5, 0, 0, 0], 3 / 4),
        ([0, 0, 1, 1], 1 / 2),
        ([1, 3], 1 / 4),
        ([3, 1, 2], 2 / 9),
        ([7], 0),
    ],
)
def test_the_gini_index_by_hand(values, expected):
    assert gini(torch.tensor([values], dtype=torch.float64)).item() == pytest.approx(expected)


@pytest.mark.parametrize("count", [2, 10, 1000])
def test_the_gini_index_of_one_value_is_one_less_than_the_count_over_the_count(count):
    values = torch.zeros(1, count, dtype=torch.float64)
    values[0, count // 3] = 0.01
    assert gini(values).item() == pytest.approx((count - 1) / count, rel=1e-12)


def test_rows_have_their_own_gini_index_and_zeros_none():
    found = gini(torch.tensor([[2.0, 2.0], [0.0, 0.0], [0.0, 1.0]])).tolist()
    assert found == pytest.approx([0, math.nan, 0.5], nan_ok=True)


# invariants


@pytest.mark.parametrize("scale", [1e-3, 0.5, -1])
def test_scaling_leaves_background_and_gini_and_scales_the_norms(changes, scale):
    before, after = sparsity(*changes), sparsity(scale * changes[0], changes[1])
    pd.testing.assert_frame_equal(after[["background", "gini"]], before[["background", "gini"]], rtol=1e-6)
    norms = ["largest", "l1", "l15", "l2"]
    pd.testing.assert_frame_equal(after[norms], abs(scale) * before[norms], rtol=1e-5)


def test_the_order_of_the_pixels_and_the_channels_does_not_matter(changes):
    delta, masks = changes
    pd.testing.assert_frame_equal(sparsity(delta.flip(1, 2, 3), masks.flip(1, 2)), sparsity(delta, masks))


def test_the_background_of_the_object_and_that_of_the_rest_are_the_whole(changes):
    delta, masks = changes
    both = sparsity(delta, masks)["background"] + sparsity(delta, ~masks)["background"]
    assert both.tolist() == pytest.approx([1] * 6)


def test_the_mask_counts_for_the_background_only(changes):
    delta, masks = changes
    same = [name for name in COLUMNS if name not in ("background", "outside")]
    pd.testing.assert_frame_equal(sparsity(delta, masks)[same], sparsity(delta, ~masks)[same])


def test_an_image_does_not_see_the_others(changes):
    delta, masks = changes
    alone = [sparsity(delta[i : i + 1], masks[i : i + 1]) for i in range(6)]
    pd.testing.assert_frame_equal(pd.concat(alone, ignore_index=True), sparsity(delta, masks), rtol=1e-12)


def test_masks_may_be_zeros_and_ones(changes):
    delta, masks = changes
    pd.testing.assert_frame_equal(sparsity(delta, masks.float()), sparsity(delta, masks))


def test_the_norms_are_ordered(changes):
    table = sparsity(*changes)
    assert (table["largest"] < table["l2"]).all()
    assert (table["l2"] < table["l15"]).all()
    assert (table["l15"] < table["l1"]).all()


def test_the_change_itself_stays(changes):
    before = changes[0].clone()
    sparsity(*changes)
    assert torch.equal(changes[0], before)


# errors


@pytest.mark.parametrize(
    ("delta", "masks"),
    [((2, 3, 4, 5), (2, 5, 4)), ((2, 3, 4, 5), (1, 4, 5)), ((2, 3, 4, 5), (2, 1, 4, 5)), ((3, 4, 5), (3, 4, 5))],
)
def test_shapes_that_do_not_fit_are_an_error(delta, masks):
    expected = f"changes {delta}, masks {masks}: expected N×C×H×W and N×H×W"
    with pytest.raises(ValueError) as error:
        sparsity(torch.zeros(delta), torch.zeros(masks, dtype=torch.bool))
    assert str(error.value) == expected
