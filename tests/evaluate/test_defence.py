import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from aecompanion.defend.defences import Defence, catalogue, transforms, unchanged
from aecompanion.evaluate.defence import area, by_transform, defended, outcomes

COLUMNS = ["label", "prediction", "top1", "top5"]


class Pixels(nn.Module):
    """Whose logits are the pixels in their order, moved on by some classes."""

    def __init__(self, shift=0):
        super().__init__()
        self.shift = shift

    def forward(self, images):
        return images.flatten(1).roll(self.shift, 1)


def pictures(*pixels):
    """Images 1×1×n whose pixels these are."""
    return torch.tensor(pixels)[:, None, None]


@pytest.fixture
def falling():
    """Four equal images whose logits fall from class 0 to class 6, but the last two of which rise."""
    fall = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3]
    return pictures(fall, fall, fall, fall[::-1])


# ---- outcomes


def test_top1_is_the_largest_logit_and_top5_the_five_largest(falling):
    found = outcomes(Pixels(), falling, torch.tensor([0, 4, 5, 2]))
    assert list(found.columns) == COLUMNS
    assert found["label"].tolist() == [0, 4, 5, 2]
    assert found["prediction"].tolist() == [0, 0, 0, 6]
    assert found["top1"].tolist() == [True, False, False, False]
    assert found["top5"].tolist() == [True, True, False, True]
    assert found["top1"].dtype == found["top5"].dtype == bool


@pytest.mark.parametrize(("label", "top5"), [(0, True), (1, True), (2, True), (3, True), (4, True), (5, False)])
def test_the_fifth_class_counts_and_the_sixth_does_not(falling, label, top5):
    found = outcomes(Pixels(), falling[:1], torch.tensor([label]))
    assert found["top5"].tolist() == [top5]
    assert found["top1"].tolist() == [label == 0]


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_with_at_most_five_classes_every_label_is_among_the_five_best(falling, classes):
    labels = torch.arange(classes)
    found = outcomes(Pixels(), falling[:1, ..., :classes].expand(classes, -1, -1, -1), labels)
    assert found["top5"].all()
    assert found["top1"].tolist() == [True] + [False] * (classes - 1)


def test_the_images_come_in_order_whatever_the_batches():
    labels = torch.arange(300) % 6
    found = outcomes(Pixels(), torch.eye(6)[labels][:, None, None], labels)
    assert found["prediction"].tolist() == labels.tolist()
    assert found["top1"].all()


def test_the_network_is_asked_in_evaluation_mode_and_returned_as_it_was(convolutional, images, labels, condition):
    expected = outcomes(convolutional, images, labels)
    before = condition(convolutional.train())
    pd.testing.assert_frame_equal(outcomes(convolutional, images, labels), expected)
    assert condition(convolutional) == before


# ---- area


@pytest.mark.parametrize(
    ("levels", "accuracy", "expected"),
    [
        ([0, 1], [1.0, 0.0], 0.5),
        ([0, 4, 8, 16], [0.75, 0.75, 0.75, 0.75], 0.75),
        ([0, 4, 8, 16], [1.0, 0.5, 0.25, 0.25], (4 * 0.75 + 4 * 0.375 + 8 * 0.25) / 16),
        ([2, 4, 8], [0.0, 1.0, 1.0], (2 * 0.5 + 4) / 6),  # the range does not start at 0
        ([-1, 0, 3], [0.0, 1.0, 0.0], 0.5),
        ((0.0, 0.1), np.array([0.2, 0.6]), 0.4),
        ([0, 1, 2], [1, 0, 1], 0.5),
    ],
)
def test_the_area_is_the_mean_accuracy_over_the_range_of_levels(levels, accuracy, expected):
    found = area(levels, accuracy)
    assert isinstance(found, float)
    assert found == pytest.approx(expected, abs=1e-15)


def test_the_area_does_not_depend_on_the_unit_of_the_levels():
    accuracy = [0.9, 0.4, 0.2]
    assert area([0, 2 / 255, 8 / 255], accuracy) == pytest.approx(area([0, 2, 8], accuracy), rel=1e-12)


@pytest.mark.parametrize(
    ("levels", "accuracy"),
    [
        ([0, 2, 1], [1, 1, 1]),
        ([0, 1, 1], [1, 1, 1]),
        ([1, 0], [1, 1]),
        ([0, 1], [1, 1, 1]),
        ([0, 1, 2], [1, 1]),
        ([0], [1]),
        ([], []),
        ([[0, 1]], [[1, 1]]),
    ],
)
def test_levels_that_do_not_ascend_in_pairs_with_accuracies_are_an_error(levels, accuracy):
    with pytest.raises(ValueError, match=r"^levels \[.*\] and accuracies \[.*\], expected ascending pairs$"):
        area(levels, accuracy)


# ---- several defences behind one transformation


@pytest.fixture
def flip():
    """A transformation that reverses the pixels, and what it was called with."""

    def transform(images):
        transform.seen.append(images)
        return images.flip(-1)

    transform.seen = []
    return transform


@pytest.fixture
def pair(flip):
    return [Defence("a", "baseline", "first", flip), Defence("b", "halftone", "second", flip)]


@pytest.fixture
def sets(falling):
    """Clean images and the same, reversed, as attacked ones, with other labels."""
    return {
        ("known", "clean", 0): (falling, torch.tensor([6, 5, 0, 0])),
        ("known", "pgd", 8): (falling.flip(-1)[:2], torch.tensor([0, 1])),
        ("held_out", "pgd", 8): (falling[3:], torch.tensor([0])),
    }


def load(defence, seed):
    return Pixels(shift=1 if defence.network == "second" else 0)


def test_there_is_one_row_per_defence_set_and_image_with_its_facts(pair, sets):
    table = defended(pair, 3, load, sets)
    assert set(table.columns) == {
        *("defence", "kind", "network", "seed", "split", "attack", "level", "image"),
        *COLUMNS,
    }
    facts = ["defence", "kind", "network", "split", "attack", "level", "image"]
    assert sorted(table[facts].itertuples(index=False, name=None)) == sorted(
        (*defence, *key, image)
        for key, count in zip(sets, (4, 2, 1), strict=True)
        for defence in (("a", "baseline", "first"), ("b", "halftone", "second"))
        for image in range(count)
    )
    assert set(table["seed"]) == {3}
    assert table.index.tolist() == list(range(len(table)))


def test_a_row_is_the_outcome_of_its_network_behind_the_transformation(pair, sets):
    table = defended(pair, 3, load, sets).set_index(["defence", "split", "attack"])
    # reversed, the first three clean images have their largest pixel last; the second network moves it on to class 0
    clean = table.loc[("a", "known", "clean")]
    assert clean["prediction"].tolist() == [6, 6, 6, 0]
    assert clean["top1"].tolist() == [True, False, False, True]
    assert clean["top5"].tolist() == [True, True, False, True]
    assert table.loc[("b", "known", "clean"), "prediction"].tolist() == [0, 0, 0, 1]
    assert table.loc[("b", "known", "clean"), "top1"].tolist() == [False, False, True, False]
    assert table.loc[("a", "known", "pgd"), "label"].tolist() == [0, 1]
    assert table.loc[("a", "known", "pgd"), "prediction"].tolist() == [0, 0]
    assert table.loc[("b", "known", "pgd"), "prediction"].tolist() == [1, 1]
    assert table.loc[[("a", "held_out", "pgd")], "prediction"].tolist() == [0]


def test_the_transformation_is_computed_once_per_set(pair, sets, flip):
    defended([*pair, Defence("c", "control", "first", flip)], 3, load, sets)
    assert len(flip.seen) == len(sets)
    assert all(seen is images for seen, (images, _) in zip(flip.seen, sets.values(), strict=True))


def test_every_network_is_loaded_once_for_the_seed_and_load_decides_about_the_next_one(flip, sets):
    pair = [Defence("a", "none", "grey", flip), Defence("b", "control", "grey", flip, next_seed=True)]
    asked = []

    def seeded(defence, seed):
        asked.append((defence, seed))
        return Pixels(shift=seed + defence.next_seed)

    table = defended(pair, 2, seeded, sets)
    assert asked == [(pair[0], 2), (pair[1], 2)]
    held_out = table[table["split"] == "held_out"].set_index("defence")
    assert held_out["prediction"].to_dict() == {"a": 2, "b": 3}
    assert held_out["seed"].to_dict() == {"a": 2, "b": 2}


def test_defences_that_transform_differently_are_an_error_that_names_them(pair, sets):
    with pytest.raises(ValueError, match=r"^\['a', 'b', 'c'\] transform differently, expected one transformation$"):
        defended([*pair, Defence("c", "none", "first")], 3, load, sets)


# ---- groups


def test_defences_are_grouped_by_their_transformation_in_their_order(flip):
    found = by_transform(
        [
            first := Defence("1", "none", "grey"),
            second := Defence("2", "halftone", "grey", flip),
            third := Defence("3", "control", "grey", unchanged),
            fourth := Defence("4", "halftone", "hybrid", flip),
            fifth := Defence("5", "halftone", "hybrid", lambda images: images.flip(-1)),
        ]
    )
    assert found == [[first, third], [second, fourth], [fifth]]


def test_no_defence_makes_no_group():
    assert by_transform([]) == []


def test_all_defences_fall_into_groups_that_can_be_evaluated_together():
    defences = catalogue(transforms())
    groups = by_transform(defences)
    assert sorted(defence.name for group in groups for defence in group) == sorted(d.name for d in defences)
    assert len({id(group[0].transform) for group in groups}) == len(groups)
    by_name = [{defence.name for defence in group} for group in groups]
    assert any({"no defence", "hybrid without halftoning", "grey, other seed"} <= names for names in by_name)
    assert {"tv", "tv, retrained"} in by_name
    for group in groups:
        table = defended(
            group, 1, lambda *_: Pixels(), {("known", "clean", 0): (torch.zeros(1, 1, 8, 8), torch.tensor([0]))}
        )
        assert len(table) == len(group)
