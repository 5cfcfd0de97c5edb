import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from aecompanion.attack.adaptive import Defended, Expected, Together
from aecompanion.attack.gradient import quantise
from aecompanion.attack.margin import margins
from aecompanion.defend.defences import unchanged
from aecompanion.defend.halftone import halftone
from aecompanion.defend.levels import Levels
from aecompanion.pipeline.rng import generator, seeded
from aecompanion.studies import worst_defences
from aecompanion.studies.worst_defences import TOPS, Case, attacked, doubled, portfolio, rows, united

IMAGES = quantise(0.2 + 0.6 * torch.rand(6, 1, 8, 8, generator=generator(4, 1)))
LABELS = torch.arange(6)


def network(seed):
    with seeded(seed, 1):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 8)).eval()


@pytest.fixture(params=["none", "halftone", "random"])
def case(request):
    transform = {"none": unchanged, "halftone": halftone, "random": halftone}[request.param]
    draw = (lambda images, k: halftone(images, threshold=0.4 + 0.1 * (k % 3))) if request.param == "random" else None
    return Case(network(1), network(2), transform, draw)


def test_rows_are_what_the_real_defence_says_of_the_images_found(case):
    found = attacked(case, IMAGES, LABELS, eps=[4 / 255, 32 / 255], steps=3, queries=4, seed=0)
    table = rows(found, case.network, case.transform, LABELS)
    assert table["level"].tolist() == [4] * 6 + [32] * 6
    assert table["image"].tolist() == [*range(6), *range(6)]
    for e, level in enumerate((4, 32)):
        part = table[table["level"] == level]
        for t, k in enumerate(TOPS):
            with torch.no_grad():
                left = margins(case.network(case.transform(found.images[e, t])), LABELS, [k])[:, 0] > 0
            assert part[f"top{k}"].tolist() == (~left).tolist()
            if case.draw is None:
                assert torch.equal(left, found.broken(found.eps[e], k))
    assert (table["passes1"] <= table["passes5"]).all()


def test_the_views_are_the_real_network_with_its_own_gradient_added(case):
    view = case.mixed(case.network)
    kind = {0: Defended, 1: Together}[int(case.transform is not unchanged)]
    assert isinstance(view, kind)
    if case.draw is not None:
        assert isinstance(view.views[0], Expected)
    elif kind is Together:
        assert torch.equal(view(IMAGES)[:6], case.network(halftone(IMAGES)))
        assert torch.equal(view(IMAGES)[6:], case.network(IMAGES))


def test_a_transformation_may_bring_its_surrogate():
    blurred = Case(network(1), network(2), Levels(4, sigma=1.0))
    assert blurred.real(blurred.network).surrogate == blurred.transform.surrogate


def test_gradients_come_before_transfer_and_search():
    kinds = [attack.kind for attack in portfolio(Case(network(1), network(2)), steps=4, queries=2)]
    assert kinds == ["gradient"] * 5 + ["transfer", "search", "refinement"]


def row(adversary, level, image, top1, top5, *, steps=0, seed=1, defence="dots", **facts):
    facts |= {"defence": defence, "seed": seed, "image": image, "adversary": adversary}
    return facts | {"level": level, "steps": steps, "top1": top1, "top5": top5}


def of_portfolio(level, image, top1, top5, **facts):
    spent = {f"spent{k}": 100.0 for k in TOPS}
    spent |= {f"passes{k}": np.inf if right else 7.0 for k, right in zip(TOPS, (top1, top5), strict=True)}
    spent |= {f"by{k}": "" if right else "average margin" for k, right in zip(TOPS, (top1, top5), strict=True)}
    return row("worst", level, image, top1, top5, steps=12, **spent, **facts)


def test_the_union_is_never_above_a_part_and_never_rises_with_the_radius():
    table = pd.DataFrame(
        [
            row("none", 0, 0, True, True),
            row("none", 0, 1, False, True),  # wrong without attack, as this draw has it
            row("transfer", 2, 0, True, True),
            row("bpda", 4, 0, False, True, steps=20),  # breaks what the portfolio missed
            row("bpda", 4, 0, False, True, steps=50) | {"adversary": "long bpda"},
            row("bpda", 4, 0, False, False, steps=20, seed=2),  # another network: does not count
            row("bpda", 4, 0, False, False, steps=20, defence="levels"),
            *(of_portfolio(level, 0, True, True) for level in (2, 4, 8)),
            *(of_portfolio(level, 1, True, level < 4) for level in (2, 4)),
            of_portfolio(8, 1, True, True),  # a larger radius, another draw's luck
        ]
    )
    found = united(table, worst="worst")
    worst = found[found["adversary"] == "worst"].set_index(["image", "level"]).sort_index()
    assert worst["top1"].tolist() == [True, False, False, False, False, False]
    assert worst["top5"].tolist() == [True, True, True, True, False, False]
    assert worst["by1"].tolist() == ["", "bpda", "bpda", "none", "none", "none"]
    assert worst["by5"].tolist() == ["", "", "", "", "average margin", "smaller radius"]
    assert worst["passes1"].tolist() == [np.inf, 120, 120, 100, 100, 100]
    parts = found[found["adversary"] != "worst"]
    pd.testing.assert_frame_equal(parts, table[table["adversary"] != "worst"])
    assert table["top1"].sum() == 2 + 6  # the caller's rows stay as they were


def test_a_table_of_a_real_worst_case_is_united_with_its_parts(case):
    found = attacked(case, IMAGES, LABELS, eps=[4 / 255, 32 / 255], steps=2, queries=2, seed=0)
    mine = rows(found, case.network, case.transform, LABELS)
    lucky = mine.assign(adversary="lucky", steps=3, top1=mine["image"] % 2 == 0, top5=mine["image"] != 4)
    both = pd.concat([mine.assign(adversary="worst", steps=2), lucky]).assign(defence="d", seed=1)
    table = united(both, worst="worst").pivot(index=["level", "image"], columns="adversary", values=["top1", "top5"])
    for k in TOPS:
        assert (table[f"top{k}", "worst"].astype(int) <= table[f"top{k}", "lucky"].astype(int)).all()
        assert (table[f"top{k}", "worst"].loc[32].astype(int) <= table[f"top{k}", "worst"].loc[4].astype(int)).all()


def test_a_random_defence_is_screened_by_its_own_draws_and_not_by_the_plain_network():
    case = Case(network(1), network(2), halftone, lambda images, k: halftone(images, threshold=0.4 + 0.1 * (k % 3)))
    for attack in portfolio(case, steps=4, queries=2):
        if attack.kind == "gradient":
            logits = attack.view(IMAGES).reshape(-1, len(IMAGES), 8)
            assert not attack.exact
            assert len(logits) > attack.screen == 2
            behind = [case.network(halftone(IMAGES, threshold=0.4 + 0.1 * k)) for k in range(3)]
            for screened in logits[: attack.screen]:
                assert any(torch.equal(screened, each) for each in behind)


def left(right1, right5, levels=(4, 32)):
    return pd.DataFrame(
        [
            {"level": level, "image": image, "top1": image in right1, "top5": image in right5}
            for level in levels
            for image in range(6)
        ]
    )


def test_every_doubling_gives_what_is_left_twice_the_work_from_new_starts(monkeypatch):
    """A judge that breaks image 2 at 32/255 in the second round, and nothing else."""
    case, asked = Case(network(1), network(2), halftone), []

    def watched(judge, images, labels, *, eps, attacks, tops, seed, indices):
        asked.append((round(255 * eps[0]), tops, attacks[0].steps, attacks[-1].queries, seed, list(indices)))
        assert torch.equal(images, IMAGES[list(indices)])
        assert torch.equal(labels, LABELS[list(indices)])
        broken = [i == 2 and eps[0] > 0.1 and attacks[0].steps == 12 for i in indices]
        margin = torch.tensor([[[1.0 if each else -1.0 for each in broken]]])
        return type("Worst", (), {"margin": margin, "spent": torch.full((1, 1, len(indices)), 7.0)})

    monkeypatch.setattr(worst_defences, "worst_case", watched)
    options = {"aims": {32: (1, 5), 4: (1,)}, "steps": 3, "queries": 4, "doublings": 3, "seed": 9}
    found = doubled(case, IMAGES, LABELS, left({0, 2}, {0, 2, 3}).sample(frac=1, random_state=0), **options)
    rounds = [
        (4, (1,), 3, 8, [0, 2]), (32, (1,), 3, 8, [0, 2]), (32, (5,), 3, 8, [0, 2, 3]),
    ]  # fmt: skip
    expected = [(lv, k, 6, 16, 11, left) for lv, k, _, _, left in rounds]
    expected += [(lv, k, 12, 32, 13, left) for lv, k, _, _, left in rounds]
    expected += [(4, (1,), 24, 64, 17, [0, 2]), (32, (1,), 24, 64, 17, [0]), (32, (5,), 24, 64, 17, [0, 3])]
    assert asked == expected
    assert found["effort"].tolist() == [2] * 12 + [4] * 12 + [8] * 12
    table = found.set_index(["effort", "level", "image"])
    assert table.loc[(2, 32), "top1"].tolist() == [True, False, True, False, False, False]
    assert table.loc[(4, 32), "top1"].tolist() == [True, False, False, False, False, False]
    assert table.loc[(4, 32), "top5"].tolist() == [True, False, False, True, False, False]
    assert table.loc[(8, 4), "top1"].tolist() == [True, False, True, False, False, False]
    assert table.loc[(8, 32), "spent"].tolist() == [14, 0, 0, 7, 0, 0]
    assert found["top1"].dtype == bool


def test_what_breaks_at_a_small_radius_or_in_top5_is_broken_at_larger_ones_and_in_top1(monkeypatch):
    case = Case(network(1), network(2))

    def all_broken_in_top5(judge, images, labels, *, tops, **rest):
        return type("Worst", (), {"margin": torch.full((1, 1, len(images)), 1.0 if tops == (5,) else -1.0)}
                    | {"spent": torch.ones(1, 1, len(images))})  # fmt: skip

    monkeypatch.setattr(worst_defences, "worst_case", all_broken_in_top5)
    options = {"steps": 3, "queries": 4, "doublings": 1, "seed": 0}
    found = doubled(case, IMAGES, LABELS, left({0, 1}, {0, 1, 2}), aims={4: (1, 5), 32: (1,)}, **options)
    assert not found[["top1", "top5"]].any(axis=None)


def test_doublings_never_bring_an_image_back():
    case = Case(network(1), network(2), halftone)
    before = rows(
        attacked(case, IMAGES, LABELS, eps=[4 / 255], steps=1, queries=1, seed=0), case.network, halftone, LABELS
    )
    options = {"aims": {4: (1, 5)}, "steps": 1, "queries": 1, "doublings": 2, "seed": 0}
    found = doubled(case, IMAGES, LABELS, before, **options).pivot(
        index="effort", columns="image", values=["top1", "top5"]
    )
    for k in TOPS:
        counts = [before[f"top{k}"].sum(), *found[f"top{k}"].astype(int).sum(axis=1)]
        assert counts == sorted(counts, reverse=True)


def test_a_random_defence_cannot_be_pushed():
    case = Case(network(1), network(2), halftone, lambda images, k: halftone(images))
    with pytest.raises(ValueError, match="a random defence"):
        doubled(case, IMAGES, LABELS, left({0}, {0}), aims={4: (1,)}, steps=1, queries=1, doublings=1, seed=0)
