import numpy as np
import pytest

from aecompanion.data.drawn import Drawn, check_changes


def test_a_digit_covers_its_box_where_its_ink_is_above_the_threshold():
    drawn = Drawn(3, np.array([[0.0, 0.2, 0.5]]), (1, 0), np.zeros(3))
    assert np.argwhere(drawn.covered(4, 0)).tolist() == [[1, 1], [1, 2]]
    assert np.argwhere(drawn.covered(4, 0.3)).tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("without", "instead", "problem"),
    [
        ({4}, {}, "no digit of class 4, expected one of: 1, 2"),
        (set(), {4: 5}, "no digit of class 4, expected one of: 1, 2"),
        ({1}, {1: 5}, "class 1 is in without and in instead"),
        (set(), {1: 10}, "class 10 cannot take the place of 1: expected one of 10"),
        (set(), {1: -1}, "class -1 cannot take the place of 1"),
        (set(), {1: 2}, "class 2 cannot take the place of 1"),
        (set(), {1: 5, 2: 5}, "class 5 cannot take the place of 1"),
    ],
)
def test_changes_that_make_no_sense_are_refused(without, instead, problem):
    with pytest.raises(ValueError, match=problem):
        check_changes(without, instead, [2, 1], 10)


@pytest.mark.parametrize(("without", "instead"), [({2}, {1: 2}), (set(), {1: 2, 2: 1}), (set(), {1: 1}), ({1, 2}, {})])
def test_changes_that_leave_every_class_once_are_allowed(without, instead):
    check_changes(without, instead, [2, 1], 10)
