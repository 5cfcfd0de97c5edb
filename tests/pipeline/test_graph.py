import re

import pytest

from aecompanion.pipeline import graph
from aecompanion.report.papers import papers

STAGES = {
    "raw": {"outs": ["build/raw"]},
    "data": {"deps": ["build/raw"], "outs": ["build/data"]},
    "train": {"deps": ["build/data/images.npz"], "outs": [{"build/networks": {"persist": True}}]},
    "attack": {"deps": ["build/data", "build/networks"], "outs": ["build/attack.csv"]},
    "other": {"deps": ["build/data"], "outs": ["build/other.csv"]},
    "claims_report": {"deps": ["build/attack.csv", "build/other.csv"], "outs": ["build/results"]},
}


def test_a_stage_comes_after_those_whose_outputs_it_reads_also_inside_of_them():
    found = graph.edges(STAGES)
    assert found["train"] == ["data"]
    assert found["attack"] == ["data", "train"]
    assert found["claims_report"] == ["attack", "other"]


def test_a_graph_has_what_leads_to_its_stages_and_nothing_else():
    assert graph.mermaid(["attack"], graph.edges(STAGES)).splitlines() == [
        "flowchart LR",
        "    data[data]",
        "    train[train]",
        "    attack(attack)",
        "    data --> train",
        "    data --> attack",
        "    train --> attack",
    ]


def test_every_paper_has_its_graph():
    blocks = graph.graphs().split("```mermaid\n")[1:]
    assert len(blocks) == len(papers())
    for block in blocks:
        lines = block.partition("\n```")[0].splitlines()
        assert 5 < len(lines) < 120
        named = {re.match(r" +(\w+)[\[(]", line)[1] for line in lines[1:] if "-->" not in line}
        assert {name for line in lines if "-->" in line for name in line.split() if name != "-->"} <= named
    assert graph.graphs([3]).count("```mermaid") == 1


def test_an_unknown_paper_is_one_sentence():
    with pytest.raises(ValueError, match="^no paper 9, expected some of 1, 2, 3, 4, 5, 6$"):
        graph.graphs([9])
