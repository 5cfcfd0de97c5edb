import math

import pyautoattack
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

from aecompanion.attack.adaptive import Defended, Noisy, Together, identity
from aecompanion.attack.climb import Climb, late
from aecompanion.attack.flags import flags
from aecompanion.attack.gradient import pgd, quantise
from aecompanion.attack.margin import average, dlr, entropy, margin, margins
from aecompanion.attack.square import Square, share
from aecompanion.attack.worst_case import State, Task, judge_of, judge_of_draws, worst_case
from aecompanion.pipeline.rng import generator, seeded

GRID = [1 / 255, 4 / 255, 16 / 255]


# ---- objectives by hand


LOGITS = torch.tensor([[5.0, 3.0, 1.0, 0.0], [0.0, 1.0, 4.0, 2.0]])
LABELS = torch.tensor([0, 1])


@pytest.mark.parametrize(
    ("objective", "k", "expected"),
    [
        (margin, 1, [-2, 3]),
        (margin, 2, [-4, 1]),
        (margin, 3, [-5, -1]),
        (average, 1, [-2, 3]),
        (average, 2, [-3, 2]),
        (average, 3, [-11 / 3, 1]),
        (dlr, 1, [-2 / 4, 3 / 3]),
        (dlr, 2, [-4 / 5, 1 / 4]),
    ],
)
def test_objectives_of_the_best_k_by_hand(objective, k, expected):
    assert objective(LOGITS, LABELS, k).tolist() == pytest.approx(expected)


def test_the_margin_is_above_zero_exactly_where_the_label_has_left_the_best_k():
    logits, labels = torch.randn(200, 7, generator=generator(0, 1)), torch.arange(200) % 7
    for k in (1, 3, 5):
        left = ~(logits.topk(k).indices == labels[:, None]).any(1)
        assert torch.equal(margins(logits, labels, [k])[:, 0] > 0, left)
    assert torch.allclose(entropy(logits, labels, 5), F.cross_entropy(logits, labels, reduction="none"))


@pytest.mark.parametrize("k", [0, 4, 5])
def test_top_k_of_k_classes_is_always_right_and_refused(k):
    with pytest.raises(ValueError, match=f"k is {k} of 4 classes, expected at least 1"):
        margin(LOGITS, LABELS, k)


def test_dlr_does_not_change_when_logits_are_scaled():
    assert torch.allclose(dlr(1000 * LOGITS, LABELS, 2), dlr(LOGITS, LABELS, 2))


# ---- a linear network, whose worst case is known


def grey(count, channels=2, size=8):
    """Images on the 8-bit grid, far from black and white."""
    return quantise(0.3 + 0.4 * torch.rand(count, channels, size, size, generator=generator(3, 1)))


@pytest.fixture
def linear():
    with seeded(1, 1):
        return nn.Sequential(nn.Flatten(), nn.Linear(128, 6)).eval()


def exact(model, images, labels, eps):
    """A linear network is wrong within eps iff some other class gains eps · |w_j - w_c|_1 on its margin."""
    weights = model[1].weight
    gain = (weights[None] - weights[labels][:, None]).abs().sum(2)
    logits = model(images)
    reach = logits - logits.gather(1, labels[:, None]) + eps * gain
    return reach.scatter(1, labels[:, None], -math.inf).amax(1) > 0


@pytest.mark.parametrize("attack", [Climb("climb", None), Climb("target", None, target=1)], ids=["margin", "targeted"])
def test_the_worst_case_of_a_linear_network_is_exact(linear, attack):
    images = grey(60)
    labels = linear(images).argmax(1)
    attacks = [
        Climb(f"{attack.name} {rank}", linear, steps=30, target=rank if attack.target else None) for rank in range(1, 6)
    ]
    found = worst_case(judge_of(linear), images, labels, eps=GRID, attacks=attacks)
    for eps in GRID:
        expected = exact(linear, images, labels, eps)
        assert (found.broken(eps, 1) <= expected).all()  # nothing breaks that cannot
        assert found.accuracy(eps, 1) == pytest.approx(1 - expected.float().mean().item(), abs=0.01 + 1 / 60)
    assert found.accuracy(GRID[0], 1) > found.accuracy(GRID[2], 1)


def test_images_lie_in_the_ball_on_the_grid_and_are_what_the_judge_says(linear):
    images, labels = grey(20), torch.arange(20) % 6
    attacks = [Climb("climb", linear, steps=5, start="random"), Square(queries=20)]
    found = worst_case(judge_of(linear), images, labels, eps=GRID, tops=(1, 3), attacks=attacks, seed=2)
    for e, eps in enumerate(GRID):
        for t, k in enumerate((1, 3)):
            attacked = found.images[e, t]
            assert (attacked - images).abs().max() <= eps + 1e-6
            assert torch.equal(attacked, quantise(attacked))
            assert torch.equal(margins(linear(attacked), labels, [k])[:, 0] > 0, found.broken(eps, k))
    assert (found.broken(GRID[0], 3) <= found.broken(GRID[0], 1)).all()
    assert (found.broken(GRID[0], 1) <= found.broken(GRID[1], 1)).all()


def test_a_batch_of_one_and_of_many_give_the_same_images(linear):
    images, labels = grey(6), torch.arange(6) % 6
    attacks = [Climb("climb", linear, steps=4, start="random"), Square(queries=8)]
    options = {"eps": [2 / 255], "attacks": attacks, "seed": 5}
    together = worst_case(judge_of(linear), images, labels, **options)
    for i in range(6):
        alone = worst_case(judge_of(linear), images[i : i + 1], labels[i : i + 1], indices=[i], **options)
        assert torch.equal(alone.images[:, :, 0], together.images[:, :, i])


def test_broken_images_are_given_to_no_later_attack_and_passes_are_counted(linear):
    images = grey(12)
    labels = linear(images).argmax(1)
    labels[:4] = (labels[:4] + 1) % 6  # wrong from the beginning
    calls = []

    class Watch:
        name, kind = "watch", "search"

        def run(self, task):
            calls.append(task.left.tolist())
            task.show(task.images, cost=3)

    found = worst_case(judge_of(linear), images, labels, eps=[0.5], attacks=[Climb("c", linear, steps=30), Watch()])
    assert found.by[0][0][:4] == ["clean"] * 4
    assert found.passes[0, 0, :4].tolist() == [1] * 4
    assert set(found.by[0][0][4:]) == {"c"}
    assert calls == []  # nothing was left
    found = worst_case(judge_of(linear), images, labels, eps=[0.0], attacks=[Climb("c", linear, steps=3), Watch()])
    assert calls == [list(range(4, 12))]
    assert found.spent[0, 0].tolist() == [1] * 4 + [1 + 4 + 3] * 8
    assert found.passes[0, 0, 4:].isinf().all()


def test_accuracy_falls_with_the_budget_to_the_worst_case(linear):
    images = grey(40)
    labels = linear(images).argmax(1)
    found = worst_case(judge_of(linear), images, labels, eps=GRID, attacks=[Climb("c", linear, steps=10)])
    curve = [found.accuracy(GRID[1], 1, budget=b) for b in (0, 1, 5, 20, math.inf)]
    assert curve == sorted(curve, reverse=True)
    assert curve[0] == 1
    assert curve[-1] == found.accuracy(GRID[1], 1)


def test_the_best_iterate_counts_not_the_last():
    """One pixel; wrong only within a window that the sign steps cross and leave."""

    class Window(nn.Module):
        def forward(self, images):
            x = images.flatten(1).mean(1)
            inside = 0.1 - (x - 0.6).abs()
            return torch.stack([x * 0, torch.where(inside > 0, inside, 0.001 * x - 1)], 1)

    image, label = quantise(torch.full((1, 1, 1, 1), 0.3)), torch.tensor([0])
    model, seen = Window(), []

    class Through:  # to the window and beyond
        name, kind = "through", "search"

        def run(self, task):
            for step in (0.1, 0.3, 0.6):
                seen.append(task.show(image + step, cost=1).sum().item())
                if not len(task.left):
                    return

    found = worst_case(judge_of(model), image, label, eps=[0.7], attacks=[Through()])
    assert seen == [1, 0]  # left, then broken, and dropped
    assert found.images[0, 0].item() == pytest.approx(0.6, abs=0.5 / 255)


def test_a_random_defence_is_broken_where_all_draws_are_wrong(linear):
    images, labels = grey(5), torch.arange(5) % 6
    draws = [lambda x: linear(x), lambda x: linear(x).roll(1, 1)]
    found = judge_of_draws(draws)(images, labels, (1,))
    expected = torch.minimum(*(margins(draw(images), labels, (1,)) for draw in draws))
    assert torch.equal(found, expected)


def test_views_are_averaged_and_the_first_is_the_real_one(linear):
    images, labels = grey(4), torch.arange(4) % 6
    view = Together(Defended(linear, quantise, identity), linear)
    assert torch.equal(view(images), torch.cat([linear(quantise(images)), linear(images)]))
    noisy = Noisy(view, sigma=0.1, draws=2)
    assert torch.equal(noisy(images)[:8], view(images))
    assert len(noisy(images)) == 24
    attacks = [Climb("c", view, steps=4, exact=True)]
    found = worst_case(judge_of(linear), images, labels, eps=[4 / 255], attacks=attacks)
    assert torch.equal(margins(linear(found.images[0, 0]), labels, [1])[:, 0] > 0, found.broken(4 / 255, 1))


def test_the_callers_network_and_images_come_back(linear):
    linear.train()
    images, before = grey(3), grey(3)
    worst_case(judge_of(linear), images, torch.tensor([0, 1, 2]), eps=[0.1], attacks=[Climb("c", linear, steps=2)])
    assert linear.training
    assert all(parameter.requires_grad for parameter in linear.parameters())
    assert torch.equal(images, before)


def test_the_share_of_the_squares_halves_on_the_schedule():
    assert [share(step, 10000, 0.8) for step in (0, 10, 11, 51, 201)] == [0.8, 0.8, 0.4, 0.2, 0.1]


def test_square_needs_no_gradient_and_breaks_a_network_that_has_none():
    with seeded(1, 1):
        model = nn.Sequential(Quantised(), nn.Flatten(), nn.Linear(64, 6)).eval()
    images = grey(30, channels=1)
    labels = model(images).argmax(1)
    found = worst_case(judge_of(model), images, labels, eps=[64 / 255], attacks=[Square(queries=200)])
    assert found.accuracy(64 / 255, 1) < 0.5


def test_the_share_of_the_late_rise_by_hand():
    history = torch.tensor([[0.0, 1.0, 1.0], [2.0, 1.0, 2.0], [3.0, 1.0, 1.0], [4.0, 1.0, 1.0]])
    assert late(history) == pytest.approx([0.0, 0.0, 0.0])  # the last quarter is the last value alone
    history = torch.cat([history, history + 4])  # 8 steps, the last two of them
    assert late(history) == pytest.approx([1 / 8, 0.0, 0.0])
    assert late(torch.zeros(3, 5)) == []


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"eps": []}, "eps"),
        ({"eps": [0.2, 0.1]}, "ascending"),
        ({"eps": [8.0]}, "at most 1"),
        ({"attacks": []}, "0 attacks"),
        ({"indices": [1]}, "equal numbers"),
        ({"tops": (6,)}, "k is 6 of 6"),
    ],
)
def test_bad_inputs_are_refused(linear, change, what):
    options = {"eps": [0.1], "attacks": [Climb("c", linear, steps=1)]} | change
    with pytest.raises(ValueError, match=what):
        worst_case(judge_of(linear), grey(3), torch.tensor([0, 1, 2]), **options)


def test_images_outside_the_unit_interval_are_refused(linear):
    with pytest.raises(ValueError, match="expected \\[0, 1\\]"):
        worst_case(judge_of(linear), grey(2) * 255, LABELS, eps=[0.1], attacks=[Climb("c", linear, steps=1)])


# ---- flags


class Quantised(nn.Module):
    """Five grey levels, whose gradient is zero almost everywhere: gradients masked on purpose."""

    def forward(self, images):
        return (4 * images).round() / 4


FAR = 64 / 255


def portfolio(model, other):
    return [
        Climb("margin", model, steps=20, exact=False),
        Climb("ce", model, objective="cross-entropy", steps=20, start="random"),
        Climb("transfer", other, steps=20, kind="transfer"),
        Square(queries=100),
    ]


def test_a_network_that_masks_its_gradients_raises_at_least_two_flags_and_a_plain_one_none(linear):
    with seeded(1, 1):
        plain = nn.Sequential(nn.Flatten(), nn.Linear(64, 6)).eval()
    with seeded(2, 1):
        other = nn.Sequential(nn.Flatten(), nn.Linear(64, 6)).eval()
    other[1].weight.data = plain[1].weight + 0.3 * other[1].weight
    masked = nn.Sequential(Quantised(), plain).eval()
    images = grey(50, channels=1)
    raised = {}
    for name, model in {"plain": plain, "masked": masked}.items():
        labels = model(images).argmax(1)
        found = worst_case(
            judge_of(model), images, labels, eps=[1 / 255, 4 / 255, 16 / 255, FAR], attacks=portfolio(model, other)
        )
        raised[name] = [each.name for each in flags(found, chance=1 / 6, far=FAR) if each.raised]
    assert raised["plain"] == []
    assert len(raised["masked"]) >= 2
    assert {"no gradient", "transfer beats white box"} <= set(raised["masked"])


def test_every_flag_can_be_raised_and_names_its_limit(linear):
    images = grey(10)
    labels = linear(images).argmax(1)
    found = worst_case(judge_of(linear), images, labels, eps=[0.0, 1e-9], attacks=[Climb("c", linear, steps=4)])
    assert [each.name for each in flags(found, chance=1 / 6, far=1e-9) if each.raised] == ["chance not reached"]
    with pytest.raises(ValueError, match="the last to be"):
        flags(found, chance=0.1, far=0.3)


# ---- an independent implementation


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    images = torch.tensor(data.images, dtype=torch.float32)[:, None] / 16
    return quantise(images), torch.tensor(data.target)


def trained(digits, *, eps):
    """A small network on 8×8 digits; eps > 0: on PGD of this size."""
    images, labels = digits[0][300:], digits[1][300:]
    with seeded(1, 4):
        model = nn.Sequential(
            nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(192, 32), nn.ReLU(),
            nn.Linear(32, 10),
        )  # fmt: skip
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    for epoch in range(12):
        for i, chosen in enumerate(torch.randperm(len(images), generator=generator(0, epoch)).split(100)):
            x = images[chosen]
            if eps:
                x = pgd(model, x, labels[chosen], eps=eps, steps=4, seed=epoch * 100 + i)
            optimiser.zero_grad()
            F.cross_entropy(model(x), labels[chosen]).backward()
            optimiser.step()
    return model.eval()


@pytest.mark.parametrize("eps", [0.0, 0.1], ids=["plain", "adversarially trained"])
def test_agreement_with_autoattack_within_a_point(digits, eps):
    model = trained(digits, eps=eps)
    images, labels = digits[0][:100], digits[1][:100]
    radius = 20 / 255
    theirs = pyautoattack.AutoAttack(model, norm="Linf", eps=radius, seed=0)
    theirs.square.n_queries = 100  # both networks have gradients, so that nothing hangs on it
    theirs.apgd_targeted.n_target_classes, theirs.fab.n_target_classes, theirs.fab.n_iter = 4, 4, 20
    with torch.no_grad():
        attacked = quantise(theirs.run_standard_evaluation(images, labels, batch_size=100)[0])
        reference = (model(attacked).argmax(1) == labels).float().mean().item()
    attacks = [
        Climb("ce", model, objective="cross-entropy", steps=60),
        Climb("margin", model, steps=60, start="random"),
        *(Climb(f"target {rank}", model, steps=40, target=rank) for rank in range(1, 5)),
        Square(queries=100),
    ]
    found = worst_case(judge_of(model), images, labels, eps=[radius], attacks=attacks)
    assert found.accuracy(radius, 1) == pytest.approx(reference, abs=0.0101)


# ---- a random defence is judged where its own fresh draws are all wrong


def test_the_judge_of_draws_is_asked_about_images_that_all_views_get_wrong(linear):
    asked = []

    def judge(images, labels, tops):
        asked.append(len(images))
        return torch.full((len(images), len(tops)), -2.0)

    images, labels = grey(3), torch.tensor([0, 1, 2])
    state = State(judge, images, labels, (1,), range(3))
    task = Task(state, torch.arange(3), 1 / 255, 1, "attack", 0)
    wrong = torch.zeros(3, 6)
    wrong[:, 5] = 1.0
    right = F.one_hot(labels, 6).float()
    once = wrong.clone()
    once[1] = right[1]  # the second draw gets image 1 right
    keep = task.show(images, cost=2, views=torch.stack([wrong, once]))
    assert asked == [2]
    assert keep.tolist() == [True, True, True]
    assert state.best[0].tolist() == [-2, -1, -2]  # judged, its least margin, judged
    assert state.spent.tolist() == [2, 2, 2]
    task.show(images, cost=2, views=torch.stack([right, right]))
    assert asked == [2]


def test_a_screened_climb_breaks_what_a_judged_one_does(linear):
    images, labels = grey(12), torch.arange(12) % 6
    judge = judge_of_draws([linear])
    found = [
        worst_case(judge, images, labels, eps=GRID, attacks=[Climb("a", linear, "margin", 6, screen=screen)])
        for screen in (0, 1)
    ]
    assert torch.equal(found[0].margin > 0, found[1].margin > 0)
