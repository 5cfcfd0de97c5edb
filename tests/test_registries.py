"""A toy attack and a toy defence, each added as its row alone, are crafted, stored, judged, tabulated and drawn."""

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib import pyplot as plt
from support import One, estimators
from torch import nn

from aecompanion.attack import crafted
from aecompanion.attack.attacks import ATTACKS, Attack, crafted_names
from aecompanion.defend.defences import DEFENCES, TRANSFORMS, Row, catalogue, transforms
from aecompanion.evaluate.defence import by_transform, defended
from aecompanion.evaluate.intervals import interval
from aecompanion.papers.causal import attacked
from aecompanion.papers.halftone import curves, tables as halftone_tables
from aecompanion.pipeline.rng import generator, seeded

OPTIONS = {"resamples": 100, "seed": 0}
SIDE, CLASSES, COUNT, LEVELS = 20, 8, 6, (2, 8)


def darker(model, images, labels, *, eps, objective=None, strength=1.0):
    """The toy attack: everything is darker by eps."""
    return (images - strength * eps).clamp(0, 1)


def mirrored(images):
    """The toy defence: left and right change places."""
    return images.flip(-1)


@pytest.fixture
def toys(monkeypatch):
    row = Attack(
        darker,
        title="Darker",
        colour="#123456",
        line=":",
        marker="h",
        cost=lambda strength=1.0: (0, 0),
        crafted=lambda eps, steps, seed, indices: {"strength": 0.5},
    )
    monkeypatch.setitem(ATTACKS, "darker", row)
    monkeypatch.setitem(TRANSFORMS, "mirror", lambda settings: mirrored)
    monkeypatch.setitem(DEFENCES, "mirror", Row("baseline", "grey", "mirror"))
    plt.switch_backend("Agg")
    yield
    plt.close("all")


@pytest.fixture
def images():
    return torch.randint(0, 256, (COUNT, 1, SIDE, SIDE), generator=generator(31, 1)) / 255


@pytest.fixture
def labels():
    return torch.arange(COUNT) % CLASSES


def network(seed):
    with seeded(31, seed):
        return nn.Sequential(nn.Flatten(), nn.Linear(SIDE * SIDE, CLASSES)).eval()


@pytest.fixture
def transfer(toys, images, labels, tmp_path):
    """The rows of defence_transfer, by the same calls."""
    tables = []
    for seed in (1, 2):
        made = {
            (attack, level): crafted.craft(network(seed), images, labels, attack=attack, eps=level / 255, steps=2)
            for attack in crafted_names()
            for level in LEVELS
        }
        crafted.save(tmp_path / "sets.npz", made)
        sets = {("known", "clean", 0): (images, labels)}
        sets |= {("known", *key): (each, labels) for key, each in crafted.load(tmp_path / "sets.npz").items()}
        for group in by_transform(catalogue(transforms())):
            tables.append(defended(group, seed, lambda defence, number: network(number), sets))
    return pd.concat(tables, ignore_index=True).assign(source="grey")


def test_the_toy_attack_is_crafted_with_the_options_of_its_row(toys, images, labels):
    found = crafted.craft(network(1), images, labels, attack="darker", eps=8 / 255)
    assert torch.equal((found * 255).round(), (images * 255 - 4).clamp_min(0).round())
    with pytest.raises(ValueError, match="expected one of fgsm, ifgsm, pgd, darker$"):
        crafted.craft(network(1), images, labels, attack="lighter", eps=8 / 255)


def test_the_toy_defence_is_a_transformation_and_a_defence(toys, images):
    assert torch.equal(transforms()["mirror"](images), images.flip(-1))
    (found,) = [defence for defence in catalogue(transforms()) if defence.name == "mirror"]
    assert (found.kind, found.network, found.transform) == ("baseline", "grey", mirrored)


def test_the_tables_of_paper_4_hold_both(transfer):
    table = halftone_tables.attack_table(transfer, ["no defence", "mirror"], **OPTIONS)
    assert list(dict.fromkeys(table["attack"])) == ["clean", "fgsm", "ifgsm", "pgd", "darker"]
    assert table["paper_top5"].isna().all()
    mean = table.set_index(["defence", "attack"])["top1"]
    rows = transfer[(transfer["defence"] == "mirror") & (transfer["attack"] == "darker") & (transfer["level"] == 8)]
    assert mean["mirror", "darker"] == pytest.approx(rows["top1"].mean())
    assert "mirror" in set(halftone_tables.comparison_table(transfer, **OPTIONS)["defence"])
    four = halftone_tables.mean_over_attacks(transfer, "top1", "mirror", "known")
    attacked = transfer[(transfer["defence"] == "mirror") & (transfer["level"] == 8)]
    assert four.mean() == pytest.approx(attacked["top1"].mean())


@pytest.mark.parametrize(
    ("name", "arguments", "conditions"),
    [
        ("largest_drop", {}, 5),
        ("undefended_order", {}, 4),
        ("attack_spread", {}, 4),
        ("pgd_weakest", {}, 4),
        ("least_margin", {"kind": "baseline"}, 6),
    ],
)
def test_the_claims_of_paper_4_count_both(transfer, name, arguments, conditions):
    values, statistic = estimators(4)[name](One(transfer), **arguments)
    assert values.shape == (2, COUNT, conditions)
    assert np.isfinite(interval(statistic, values, **OPTIONS).value)


def test_the_figures_of_paper_4_draw_both(transfer):
    figure = curves.accuracy_curves(transfer, classes=CLASSES)
    assert [panel.get_title() for panel in figure.axes[:4]] == ["FGSM", "I-FGSM", "PGD", "Darker"]
    assert any("mirror" in text.get_text() for text in figure.legends[0].get_texts())
    table = halftone_tables.attack_table(transfer, ["no defence", "mirror"], **OPTIONS)
    bars = curves.paired_bars(table, groups="defence", bars="attack", value="top1", ylabel="top-1")
    assert [text.get_text() for text in bars.legends[0].get_texts()] == ["clean", "FGSM", "I-FGSM", "PGD", "Darker"]


def test_the_figures_of_paper_1_know_its_look(toys):
    assert attacked.looks()["darker"] == ("Darker", "#123456", ":")
