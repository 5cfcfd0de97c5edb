import dataclasses

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from aecompanion.networks.zoo import create
from aecompanion.pipeline.rng import generator
from aecompanion.report import one_page
from aecompanion.studies.all_five import Options, examine

CLASSES = ["one", "two", "a name that is longer than a panel is wide"]


@pytest.fixture(scope="module")
def examined():
    network = create("compact/resnet", classes=3, size=48, seed=1).eval()
    images = torch.rand(5, 3, 48, 48, generator=generator(1))
    options = Options(steps=2, mask_steps=2, side=4)
    return examine(network, images, classes=CLASSES, names=list("abcde"), options=options)


@pytest.fixture
def drawn(examined):
    figure = one_page.page(examined)
    figure.canvas.draw()
    yield figure
    plt.close(figure)


def test_a_page_has_a_row_per_image_up_to_four_and_three_scales(drawn):
    grid = np.array(drawn.axes[: 5 * len(one_page.HEADS)]).reshape(5, -1)
    assert grid.shape == (5, 9)
    assert all(len(panel.images) == 1 for panel in grid[:4].ravel())
    assert [bool(axes.axison) for axes in grid[4]] == [column in (2, 3, 4) for column in range(9)]


def test_all_changes_share_one_symmetric_scale_and_all_maps_the_one_from_0_to_1(drawn):
    grid = np.array(drawn.axes[: 5 * len(one_page.HEADS)]).reshape(5, -1)[:4]
    limits = {panel.images[0].get_clim() for panel in grid[:, 2]}
    assert len(limits) == 1
    low, high = limits.pop()
    assert low == -high
    assert {panel.images[0].get_clim() for panel in grid[:, 3:6].ravel()} == {(0, 1)}


def test_the_first_row_names_every_method_with_its_paper(drawn):
    heads = [text.get_text() for axes in drawn.axes[:9] for text in axes.texts]
    for wanted in ("paper 2\ncounterfactual", "paper 3\nRP mask", "paper 5\nGrad-CAM", "paper 4\nhalftone"):
        assert wanted in heads
    assert "paper 1\nregion replaced" in heads


def test_the_rows_can_be_chosen(examined):
    figure = one_page.page(examined, rows=[4])
    assert len(figure.axes) == 2 * len(one_page.HEADS)
    assert figure.axes[0].get_ylabel() == "e"
    plt.close(figure)


@pytest.mark.parametrize("rows", [[], [0, 1, 2, 3, 4]])
def test_a_page_of_no_or_too_many_rows_is_one_sentence(examined, rows):
    with pytest.raises(ValueError, match=f"^rows name {len(rows)} images, expected 1 to 4 on a page$"):
        one_page.page(examined, rows=rows)


def test_the_table_has_a_row_per_image_in_order(examined):
    table = one_page.table(examined)
    assert table.index.tolist() == list("abcde")
    assert list(table) == list(one_page.COLUMNS)
    assert table["p"].tolist() == examined.numbers["p"].round(2).tolist()


def test_a_long_name_is_cut():
    assert one_page.brief("short") == "short"
    assert one_page.brief("x" * 30) == "x" * 17 + "…"


def test_dollars_in_names_are_no_mathematics(examined):
    """Read as mathematics the first name ends the page with a ParseException, the second loses its dollars."""
    numbers = examined.numbers.assign(image="a$b^$c.jpg", **{"class": "cost $5 and $6"})
    figure = one_page.page(dataclasses.replace(examined, numbers=numbers), rows=[0])
    figure.canvas.draw()
    assert figure.axes[0].get_ylabel() == "a$b^$c.jpg"
    assert figure.axes[0].get_title().startswith("cost $5 and $6")
    plt.close(figure)
