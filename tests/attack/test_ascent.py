import pytest
import torch

from aecompanion.attack.ascent import Ascent, Progress, checkpoints, join


def pixels(*values):
    """One pixel per image."""
    return torch.tensor(values).reshape(-1, 1, 1, 1)


def start(*values):
    """Progress from images whose pixel is their objective and whose gradient is ten times as large."""
    return Progress(pixels(*values), torch.tensor(values), 10 * pixels(*values))


def see(progress, *values):
    progress.see(pixels(*values), torch.tensor(values), 10 * pixels(*values))


def pass_through(progress, *values):
    """The values of a single image, one step each."""
    for value in values:
        see(progress, value)


# ---- checkpoints


def test_the_checkpoints_of_75_steps():
    assert checkpoints(75) == [16, 30, 42, 52, 60, 66, 70, 74]


def test_the_checkpoints_of_100_steps():
    # 22, then periods of 19, 16, 13, 10, 7, 6, 6: the least is 6; the next would be at 105
    assert checkpoints(100) == [22, 41, 57, 70, 80, 87, 93, 99]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [(1, []), (2, [1]), (5, [1, 2, 3, 4]), (10, [2, 3, 4, 5, 6, 7, 8, 9]), (14, [3, 5, 6, 7, 8, 9, 10, 11, 12, 13])],
)
def test_a_period_has_at_least_one_step(steps, expected):
    assert checkpoints(steps) == expected


@pytest.mark.parametrize("steps", [34, 50, 150, 200, 500, 1000])
def test_every_period_is_shorter_than_the_last_until_the_least(steps):
    found = [0, *checkpoints(steps)]
    periods = [after - before for before, after in zip(found, found[1:], strict=False)]
    assert periods[0] == 22 * steps // 100
    for before, after in zip(periods, periods[1:], strict=False):
        assert after == max(before - 3 * steps // 100, 6 * steps // 100)
    assert found[-1] < steps <= found[-1] + periods[-1]


# ---- best points


def test_the_best_point_of_every_image_is_kept_with_its_gradient():
    progress = start(0.5, 0.5, 0.5)
    see(progress, 0.75, 0.25, 0.5)
    see(progress, 0.625, 0.375, 0.875)
    found = progress.result()
    assert torch.equal(found.images, pixels(0.75, 0.5, 0.875))
    assert found.value.tolist() == [0.75, 0.5, 0.875]
    assert torch.equal(progress.gradient, pixels(7.5, 5.0, 8.75))


def test_the_trace_is_the_best_so_far_after_each_step_and_the_start():
    progress = start(0.5, 0.5)
    for values in [(0.75, 0.25), (0.625, 0.375), (0.875, 0.5), (0.25, 0.625)]:
        see(progress, *values)
    assert progress.result().trace.tolist() == [[0.5, 0.5], [0.75, 0.5], [0.75, 0.5], [0.875, 0.5], [0.875, 0.625]]


def test_an_image_that_is_only_as_good_does_not_replace_the_best():
    progress = start(0.5)
    progress.see(pixels(0.875), torch.tensor([0.5]), pixels(1.0))
    assert progress.x.item() == 0.5
    assert progress.gradient.item() == 5.0


def test_the_last_step_may_come_without_a_gradient():
    progress = start(0.5, 0.5)
    progress.see(pixels(0.75, 0.25), torch.tensor([0.75, 0.25]))
    assert progress.result().images.flatten().tolist() == [0.75, 0.5]
    assert progress.gradient.flatten().tolist() == [5.0, 5.0]


def test_an_objective_that_is_not_a_number_is_never_the_best():
    progress = start(0.5, 0.5)
    see(progress, float("nan"), 0.75)
    assert progress.result().images.flatten().tolist() == [0.5, 0.75]
    assert progress.result().trace[-1].tolist() == [0.5, 0.75]


def test_progress_does_not_share_memory_with_the_callers_tensors():
    x, value, gradient = pixels(0.5), torch.tensor([0.5]), pixels(5.0)
    progress = Progress(x, value, gradient)
    for tensor in (x, value, gradient):
        tensor.zero_()
    assert (progress.x.item(), progress.value.item(), progress.gradient.item()) == (0.5, 0.5, 5.0)
    assert progress.result().trace.tolist() == [[0.5]]


# ---- stalling


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((1.0, 2.0, 3.0, 4.0), False),  # 4 of 4 steps rise
        ((1.0, 2.0, 3.0, 2.5), True),  # 3 of 4, just 75 %
        ((1.0, 2.0, 3.0, 4.0, 3.5), False),  # 4 of 5, more than 75 %
        ((-1.0, -2.0, -3.0, -4.0), True),
        ((0.0, 0.0, 0.0, 0.0), True),  # level is not a rise
        ((1.0,), False),
        ((-1.0,), True),
    ],
)
def test_an_image_stalls_when_at_most_three_quarters_of_the_steps_rise(values, expected):
    progress = start(0.0)
    pass_through(progress, *values)
    assert progress.stalled().tolist() == [expected]


BELOW = (1.0, 2.0, 3.0, 4.0, 4.5)  # from a best value of 5: falls, then rises in four of five steps, in vain


def test_an_image_whose_best_value_has_not_changed_stalls():
    progress = start(4.0)
    pass_through(progress, 5.0)
    assert progress.stalled().tolist() == [False]
    pass_through(progress, *BELOW)
    assert progress.stalled().tolist() == [True]


def test_an_image_whose_best_value_has_changed_does_not_stall():
    progress = start(4.0)
    pass_through(progress, 5.0)
    progress.stalled()
    pass_through(progress, *BELOW[:-1], 5.5)
    assert progress.stalled().tolist() == [False]


def test_an_unchanged_best_value_is_forgiven_at_the_first_checkpoint_and_after_a_stall():
    progress = start(5.0)
    pass_through(progress, *BELOW)
    assert progress.stalled().tolist() == [False]  # the first checkpoint
    pass_through(progress, *BELOW)
    assert progress.stalled().tolist() == [True]
    pass_through(progress, *BELOW)
    assert progress.stalled().tolist() == [False]  # it stalled at the last one
    pass_through(progress, *BELOW)
    assert progress.stalled().tolist() == [True]


def test_every_period_counts_its_own_steps():
    progress = start(0.0)
    pass_through(progress, 1.0, 2.0, 3.0, 4.0)
    assert progress.stalled().tolist() == [False]
    pass_through(progress, 5.0, 4.5)  # one of two; of all six it would be 83 %
    assert progress.stalled().tolist() == [True]
    pass_through(progress, 6.0, 7.0)  # two of two; of all eight it would be 88 %
    assert progress.stalled().tolist() == [False]


def test_every_image_stalls_on_its_own():
    progress = start(0.0, 0.0, 0.0)
    see(progress, 1.0, -1.0, 1.0)
    see(progress, 2.0, 1.0, 0.5)
    see(progress, 3.0, 0.5, 1.5)
    assert progress.stalled().tolist() == [False, True, True]


# ---- restart


def test_a_restart_puts_only_the_chosen_images_back_to_their_best_point():
    progress = start(0.5, 0.5, 0.5)
    see(progress, 0.25, 0.25, 0.25)
    x, gradient = progress.restart(torch.tensor([True, False, True]), pixels(0.25, 0.25, 0.25), pixels(2.5, 2.5, 2.5))
    assert x.flatten().tolist() == [0.5, 0.25, 0.5]
    assert gradient.flatten().tolist() == [5.0, 2.5, 5.0]


def test_a_restart_broadcasts_over_all_axes_of_an_image():
    best, other = torch.ones(2, 3, 4, 5), torch.zeros(2, 3, 4, 5)
    progress = Progress(best, torch.tensor([1.0, 1.0]), best)
    x, gradient = progress.restart(torch.tensor([False, True]), other, other)
    assert torch.equal(x, torch.stack([other[0], best[0]]))
    assert torch.equal(gradient, x)


def test_after_a_restart_a_rise_is_counted_from_the_best_value():
    progress = start(0.5, 0.5)
    see(progress, 0.25, 0.25)
    progress.stalled()
    progress.restart(torch.tensor([True, False]), pixels(0.25, 0.25), pixels(2.5, 2.5))
    see(progress, 0.375, 0.375)  # less than .5, from which the first continued, but more than .25
    assert progress.stalled().tolist() == [True, False]


# ---- join


def test_joined_ascents_lie_side_by_side():
    first = Ascent(pixels(0.25, 0.5), torch.tensor([2.0, 4.0]), torch.tensor([[1.0, 3.0], [2.0, 4.0]]))
    second = Ascent(pixels(0.75), torch.tensor([6.0]), torch.tensor([[5.0], [6.0]]))
    both = join([first, second])
    assert torch.equal(both.images, pixels(0.25, 0.5, 0.75))
    assert both.value.tolist() == [2.0, 4.0, 6.0]
    assert both.trace.tolist() == [[1.0, 3.0, 5.0], [2.0, 4.0, 6.0]]
