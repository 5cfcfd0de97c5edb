import json

import numpy as np
import pandas as pd
import pytest

from aecompanion.pipeline import paths
from aecompanion.report import tables

CARD = {"source": "faces", "n": 240, "seeds": [1]}


@pytest.fixture(autouse=True)
def tree(tmp_path, monkeypatch):
    """An empty project whose notebooks run as a stage."""
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(paths, "BUILD", tmp_path / "build")
    monkeypatch.setenv("COMPANION_STAGE", "mod_vid")
    return tmp_path


def test_a_table_is_saved_with_four_decimals_and_without_an_index(tree):
    table = pd.DataFrame({"network": ["vgg", "x,y"], "n": [1, 20], "mean": [1 / 3, -2.00005]}, index=[7, 8])
    saved = tables.save("T5.1", table.assign(paper=[np.nan, 1e-9]), **CARD)
    assert saved == tree / "build" / "displays" / "mod_vid" / "T5.1_accuracy.csv"
    assert saved.read_bytes() == b'network,n,mean,paper\nvgg,1,0.3333,\n"x,y",20,-2.0000,0.0000\n'
    assert json.loads(saved.with_suffix(".json").read_text())["id"] == "T5.1"


def test_the_same_table_saved_twice_gives_the_same_bytes():
    table = pd.DataFrame({"mean": np.random.default_rng(0).random(50), "network": ["vgg"] * 50})
    first = tables.save("T5.1", table, **CARD)
    contents = first.read_bytes(), first.with_suffix(".json").read_bytes()
    again = tables.save("T5.1", table.copy(), **CARD)
    assert (again.read_bytes(), again.with_suffix(".json").read_bytes()) == contents


def test_markdown_rounds_floats_and_leaves_missing_values_empty():
    table = pd.DataFrame({"name": ["a", None], "count": [3, 4], "mean": [0.12345, np.nan], "ok": [True, False]})
    assert tables.markdown(table).splitlines() == [
        "| name | count | mean | ok |",
        "| --- | --- | --- | --- |",
        "| a | 3 | 0.123 | True |",
        "|  | 4 |  | False |",
    ]
    assert tables.markdown(table[["mean"]], decimals=1).splitlines()[2] == "| 0.1 |"


def test_markdown_keeps_a_cell_in_its_cell():
    table = pd.DataFrame({"text": ["a | b", "two\nlines"]})
    assert tables.markdown(table).splitlines()[2:] == [r"| a \| b |", "| two lines |"]
