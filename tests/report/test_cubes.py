import numpy as np
import pandas as pd
import pytest

from aecompanion.evaluate.intervals import interval
from aecompanion.papers.halftone import tables as halftone_tables
from aecompanion.report.cubes import cube, mean_row, untestable

OPTIONS = {"resamples": 20, "seed": 0}
A, B = {"region": "a", "fill": 0}, {"region": "b", "fill": 0}


def table(*rows, item="image"):
    return pd.DataFrame(rows, columns=["region", "fill", "seed", item, "effect"])


FULL = [
    *(("a", 0, 7, 30, 1.0), ("a", 0, 3, 30, 2.0), ("a", 0, 7, 4, 3.0), ("a", 0, 3, 4, 4.0)),
    *(("b", 0, 3, 4, 5.0), ("b", 0, 7, 4, 6.0), ("b", 0, 3, 30, 7.0), ("b", 0, 7, 30, 8.0)),
    ("b", 9, 7, 30, 9.0),
]


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([A, B], [[[4, 5], [2, 7]], [[3, 6], [1, 8]]]),
        ([B, A], [[[5, 4], [7, 2]], [[6, 3], [8, 1]]]),
        ([A], [[[4], [2]], [[3], [1]]]),
        ([{"fill": 9}], [[[9]]]),
        ([A, A], [[[4, 4], [2, 2]], [[3, 3], [1, 1]]]),
    ],
)
def test_the_cube_is_seeds_and_images_ascending_by_conditions_as_given(conditions, expected):
    found = cube(table(*FULL), "effect", conditions)
    assert found.tolist() == expected
    assert found.dtype == float


@pytest.mark.parametrize("state", range(3))
def test_the_order_and_the_index_of_the_rows_do_not_matter(state):
    rows = table(*FULL)
    mixed = rows.sample(frac=1, random_state=state)
    expected = cube(rows, "effect", [A, B])
    assert np.array_equal(cube(mixed, "effect", [A, B]), expected)
    assert np.array_equal(cube(mixed.set_axis([0] * len(mixed)), "effect", [A, B]), expected)


def test_truth_values_become_zeros_and_ones_and_missing_values_stay():
    rows = table(("a", 0, 1, 0, True), ("a", 0, 1, 1, False))
    assert cube(rows, "effect", [A]).tolist() == [[[1.0], [0.0]]]
    rows = table(("a", 0, 1, 0, np.nan), ("a", 0, 1, 1, 2.0))
    assert np.array_equal(cube(rows, "effect", [A]), [[[np.nan], [2.0]]], equal_nan=True)


def test_another_column_may_tell_items_apart():
    rows = table(*FULL, item="case").assign(image=5)  # all cases in one image
    found = cube(rows, "effect", [A, B], item="case")
    assert np.array_equal(found, cube(table(*FULL), "effect", [A, B]))
    with pytest.raises(ValueError, match="4 rows, expected one per seed and image$"):
        cube(rows, "effect", [A])


@pytest.mark.parametrize("item", ["image", "case"])
@pytest.mark.parametrize(
    ("rows", "condition", "count", "end"),
    [
        (FULL, {"region": "c"}, 0, ""),
        ([], A, 0, ""),
        ([*FULL, FULL[0]], A, 5, ""),
        (FULL[1:], A, 3, ", the same in all"),
    ],
    ids=["unknown", "empty", "duplicate", "missing"],
)
def test_a_condition_needs_one_row_per_seed_and_item(item, rows, condition, count, end):
    with pytest.raises(ValueError) as error:
        cube(table(*rows, item=item), "effect", [condition], item=item)
    assert str(error.value) == f"{condition}: {count} rows, expected one per seed and {item}{end}"


def test_a_condition_that_leaves_a_column_open_is_an_error():
    with pytest.raises(ValueError, match=r"^\{'region': 'b'\}: 5 rows, expected one per seed and image$"):
        cube(table(*FULL), "effect", [{"region": "b"}])


@pytest.mark.parametrize(
    "changed",
    [
        lambda rows: rows.replace({"image": {30: 31}}),
        lambda rows: rows.replace({"seed": {7: 8}}),
        lambda rows: rows[rows["image"] == 4],
        lambda rows: rows[rows["seed"] == 3],
    ],
    ids=["image", "seed", "fewer images", "fewer seeds"],
)
def test_conditions_of_other_images_or_seeds_are_an_error_and_not_paired(changed):
    rows = table(*FULL)
    second = rows["region"] == "b"
    with pytest.raises(ValueError, match=r"^\{'region': 'b', 'fill': 0\}: \d rows, .*, the same in all$"):
        cube(pd.concat([rows[~second], changed(rows[second])]), "effect", [A, B])


def test_the_rows_of_the_callers_table_stay_as_they_are():
    rows = table(*FULL)
    before = rows.copy()
    cube(rows, "effect", [A, B])
    pd.testing.assert_frame_equal(rows, before)


# ---- rows and gaps


def test_what_cannot_be_tested_has_an_undefined_value_and_interval():
    values, statistic = untestable()
    assert values.shape == (1, 1)
    found = interval(statistic, values, **OPTIONS)
    assert np.isnan([found.value, found.low, found.high]).all()
    assert np.isnan(statistic(np.ones((2, 3))))


@pytest.mark.parametrize(
    ("statistic", "arguments"), [(np.mean, ()), (np.median, (np.median,)), (np.nanmean, (np.nanmean,))]
)
def test_a_row_is_a_statistic_the_mean_unless_told_otherwise_with_its_interval(statistic, arguments):
    values = np.arange(12.0).reshape(2, 6) ** 2
    found = mean_row(values, "size", *arguments, **OPTIONS)
    expected = interval(statistic, values, **OPTIONS)
    assert found == {"size": expected.value, "size_low": expected.low, "size_high": expected.high}
    assert list(found) == ["size", "size_low", "size_high"]
    assert found["size_low"] < found["size"] < found["size_high"]


def test_a_row_of_a_constant_has_an_interval_of_width_zero():
    assert set(mean_row(np.full((2, 4), 0.5), "p", **OPTIONS).values()) == {0.5}


def test_a_missing_value_is_left_out_by_nanmean_only():
    values = np.array([[1.0, np.nan, 3.0]])
    assert np.isnan(mean_row(values, "size", **OPTIONS)["size"])
    assert mean_row(values, "size", np.nanmean, **OPTIONS)["size"] == 2


def test_paper_4_uses_these():
    assert (halftone_tables.cube, halftone_tables.mean_row) == (cube, mean_row)
