"""Adding a method is its module, its row and its test: one row more runs through what iterates over them."""

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from torch import nn

from aecompanion.explain.methods import LOSS, METHODS, STARTS, Explained, Method, Options, explain, named, rescaled
from aecompanion.networks.zoo import create
from aecompanion.papers.masks import (
    figures as masks_figures,
    randomization as masks_randomization,
    sanity as masks_sanity,
    tables as masks_tables,
)
from aecompanion.pipeline.rng import generator, seeded
from aecompanion.sanity.map_randomization import study
from aecompanion.sanity.randomization import OTHER, WAYS

INTERVALS = {"resamples": 20, "seed": 0}
FIRST = [*METHODS]


def gradient_times_input(model, images, target, options):
    """max over channels of |x · ∂z_c / ∂x|."""
    given = images.detach().clone().requires_grad_()
    (slope,) = torch.autograd.grad(model(given).gather(1, target[:, None]).sum(), given)
    return Explained((slope * images).abs().amax(1, keepdim=True))


@pytest.fixture
def toy(monkeypatch):
    """Registered while the test runs."""
    row = Method("toy", gradient_times_input, lambda options: (1, 1), "gradient", "#123456", "h")
    monkeypatch.setitem(METHODS, "toy", row)
    return row


@pytest.fixture
def tables(toy, made_of_methods):
    return made_of_methods()


def test_it_is_one_of_the_methods_and_is_gone_afterwards(toy):
    assert [*METHODS] == [*FIRST, "toy"]
    assert named("gradient")[-1] == "toy"
    assert METHODS["toy"].passes(Options()) == (1, 1)


def network():
    with seeded(5, 1):
        body = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16 * 16, 3))
    return create(body, classes=3, channels=1, size=16, cam_layers=["0"]).eval()


def test_the_one_call_explains_with_it(toy):
    images = torch.rand(3, 1, 16, 16, generator=generator(5, 2))
    maps = explain("toy", network(), images, 1).maps
    assert maps.shape == (3, 1, 16, 16)
    assert maps.std() > 0
    with pytest.raises(ValueError, match="expected one class for each of 3 images"):
        explain("toy", network(), images, torch.tensor([1, 2]))


def test_the_sanity_check_randomises_it_and_shows_it(toy):
    images = torch.rand(3, 1, 16, 16, generator=generator(5, 2))
    settings = {name: rescaled(name, side=4, steps=2, area=0.05, variation=0.0) for name in LOSS}
    rows = study(network(), images, torch.tensor([0, 2, 1]), images * 0, settings=settings, rise_masks=8, workers=1)
    assert list(rows["method"].unique()) == [*FIRST, "toy"]
    assert set(rows.loc[rows["method"] == "toy", "way"]) == {*WAYS, OTHER}
    rows = rows.assign(seed=1)
    assert masks_randomization.summary(rows, **INTERVALS)["method"].unique().tolist() == [*FIRST, "toy"]
    figure = masks_sanity.curves(rows)
    assert [panel.get_title() for panel in figure.axes[: len(FIRST) + 1]] == [*FIRST, "toy"]


def test_every_table_of_the_paper_has_its_row(tables):
    scores = tables["scores"]
    vgg = scores[scores["family"] == "vgg"]
    deletion, distortion = (
        make(vgg, **INTERVALS) for make in (masks_tables.deletion_table, masks_tables.distortion_table)
    )
    assert deletion["method"].tolist() == ["random", *FIRST, "toy", *STARTS] * 3
    assert distortion["method"].tolist() == [*FIRST, "toy", *STARTS] * 3
    networks = masks_tables.by_network(scores, "energy", **INTERVALS)
    assert networks["method"].tolist() == [*FIRST, "toy"] * 4
    assert masks_tables.spread_table(scores)["method"].tolist() == [*FIRST, "toy"] * 2
    short = masks_tables.in_short(deletion, distortion)
    assert short["method"].tolist()[-4:] == ["toy", "MP", "EP", "RP"]


def test_every_figure_of_the_paper_shows_it_in_its_own_colour(toy, tables):
    scores = tables["scores"]
    names = ["random", *METHODS, *STARTS]
    shares = np.linspace(0, 1, 5)
    curves = {name: np.tile(1 - shares, (2, 1)) for name in names}
    panel = masks_figures.deletion_curves(shares, curves, 0, title="").axes[0]
    (line,) = (line for line in panel.lines if line.get_label().startswith("toy"))
    assert (line.get_color(), line.get_marker()) == (toy.colour, toy.marker)
    vgg = scores[scores["family"] == "vgg"]
    bars = masks_figures.distortion_bars(vgg, [*METHODS, *STARTS], **INTERVALS).axes[0]
    assert toy.colour in {to_hex(bar.get_facecolor()) for group in bars.containers for bar in group}
