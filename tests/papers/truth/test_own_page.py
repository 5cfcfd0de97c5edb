"""The page of what was handed in: its rows are where they should be, and parts that were left out say so."""

import pandas as pd
import pytest
import torch
from matplotlib import pyplot as plt

from aecompanion.papers.truth import own_page
from aecompanion.studies.own_method import OWN


def rows(part, method, measure, value, where="scenes"):
    return {"part": part, "method": method, "where": where, "measure": measure, "value": value, "low": value - 0.1,
            "high": value + 0.1}  # fmt: skip


@pytest.fixture
def numbers():
    found = [rows("explanations", name, "rank", value) for name, value in {"BP": 0.5, OWN: 0.7, "uniform": 0}.items()]
    found += [rows("attacks", "clean", "accuracy", 1.0, "0/255")]
    for level in (1, 8):
        found += [rows("attacks", name, "accuracy", 0.5, f"{level}/255") for name in ("pgd", OWN)]
        found += [rows("detectors", name, "pgd", level / 10, f"{level}/255") for name in ("confidence", OWN)]
    for measure in ("clean", "worst"):
        found += [rows("defences", name, measure, 0.6, "photographs") for name in ("jpeg", OWN)]
    return pd.DataFrame(found)


def panels(figure):
    return {panel.get_title(): panel for panel in figure.axes}


def test_every_part_has_its_rows(numbers):
    maps = {"BP": torch.rand(1, 8, 8), OWN: torch.rand(1, 8, 8)}
    figure = own_page.page(torch.rand(3, 8, 8), maps, numbers, {"BP": 2, OWN: 40})
    found = panels(figure)
    assert {"image", "BP", OWN, *own_page.PANELS} <= set(found)
    points = {each.get_label(): each.lines[0].get_xydata()[0].tolist() for each in found["explanations"].containers}
    assert points == {"BP": [2, 0.5], OWN: [40, 0.7]}
    lines = {each.get_label(): each.lines[0].get_xydata().tolist() for each in found["attacks"].containers}
    assert lines == {"PGD": [[0, 1], [1, 0.5], [8, 0.5]], OWN: [[0, 1], [1, 0.5], [8, 0.5]]}
    assert [tick.get_text() for tick in found["defences"].get_yticklabels()] == ["jpeg", OWN]
    assert found["detectors"].get_xlabel() == "AUROC at 8/255"
    assert [each.lines[0].get_xdata().tolist() for each in found["detectors"].containers] == [[0.8, 0.8]]
    plt.close(figure)


def test_a_part_that_was_left_out_says_so(numbers):
    figure = own_page.page(None, {}, numbers[numbers["part"] == "defences"], {})
    said = {title: [text.get_text() for text in panel.texts] for title, panel in panels(figure).items()}
    assert [title for title in own_page.PANELS if said[title] == ["none handed in"]] == [
        "explanations", "attacks", "detectors"
    ]  # fmt: skip
    plt.close(figure)


def test_maps_stand_beside_their_images():
    figure = own_page.maps_of(
        torch.rand(2, 1, 8, 8), {"BP": torch.rand(2, 1, 8, 8), OWN: torch.rand(2, 1, 8, 8)}, rows=2
    )
    assert [panel.get_title() for panel in figure.axes] == ["image", "BP", OWN, "", "", ""]
    plt.close(figure)
