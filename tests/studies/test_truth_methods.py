import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from benched import READS_ALL, Places, picture

from aecompanion.data.worlds import Picture
from aecompanion.studies import truth, truth_methods as study
from aecompanion.studies.truth_methods import VARIANTS, pairs_of, wanted

FOUR = [[4.0, -2.0, 1.0], [0.5, 3.0, 0.0], [1.0, 2.0, 0.0], [-1.0, 0.5, 2.0]]  # weights of four classes
LEVELS = [(200, 90, 5)] * 2 + [(50, 60, 250)] * 2


class World:
    """Four pictures with three parts each; in the mosaics every picture shows the classes 0 and 1."""

    multi_label = True
    pictures = [picture(name, levels) for name, levels in zip("abcd", LEVELS, strict=True)]

    def __len__(self):
        return len(self.pictures)

    def picture(self, index) -> Picture:
        return self.pictures[index]


def relabelled(each: Picture, labels) -> Picture:
    """The same picture with other classes."""
    parts = [dataclasses.replace(part, label=label) for part, label in zip(each.parts, [*labels, -1], strict=True)]
    return dataclasses.replace(each, parts=tuple(parts))


@pytest.fixture
def rows():
    shown, targets = truth.pairs(World.pictures)
    return truth.effects(Places(READS_ALL), shown, targets, multi_label=True)


def test_the_first_pictures_with_all_their_targets(rows):
    found = pairs_of(rows, World(), pictures=2, targets=5, least=0.2)
    assert (found.numbers, found.targets, found.items) == ([0, 1, 2, 3], [0, 1, 0, 1], ["a", "a", "b", "b"])
    assert [each.name for each in found.pictures] == found.items and found.positions == [0, 0, 1, 1]
    whole = truth.true_effects(rows, least=0.2)
    assert all(np.array_equal(a, b) for a, b in zip(found.effects, whole, strict=False))


def test_another_target_is_left_out_from_picture_to_picture(rows):
    found = pairs_of(rows, World(), pictures=4, targets=1, least=0.2)
    assert (found.items, found.targets) == (list("abcd"), [0, 1, 0, 1])
    assert found.numbers == [0, 3, 4, 7]


def test_pictures_apart_show_no_class_twice_and_first_targets_come_first():
    class Grids(World):
        pictures = [*map(relabelled, World.pictures, [(0, 1), (1, 2), (2, 3), (0, 3)])]

    shown, targets = truth.pairs(Grids.pictures)
    rows = truth.effects(Places(FOUR), shown, targets, multi_label=True)
    found = pairs_of(rows, Grids(), pictures=4, targets=2, apart=True, least=0.2)
    assert (found.items, found.targets, found.positions) == (list("acac"), [0, 2, 1, 3], [0, 2, 0, 2])
    effect = truth.true_effects(rows, least=0.2)
    assert all(np.array_equal(effect[pair], each) for pair, each in zip(found.numbers, found.effects, strict=True))
    assert pairs_of(rows, Grids(), pictures=1, targets=9, apart=True, least=0.2).items == ["a", "a"]
    assert pairs_of(rows, Grids(), pictures=4, targets=2, least=0.2).items == list("aabbccdd")


def test_masks_run_on_the_first_pictures_only():
    limits = {"dear": 4, "variants": 2, "varied": True}
    first, then, last = (wanted(place, **limits) for place in (1, 3, 4))
    assert set(first) - set(then) == set(VARIANTS)
    assert set(then) - set(last) == {"MP", "EP", "RP"}
    assert set(wanted(0, **limits | {"varied": False})) == set(then)
    assert len(set(first)) == len(first)


def test_rows_have_items_numbers_and_passes(rows):
    found = pairs_of(rows, World(), pictures=3, targets=2, least=0.2).select([1, 4])
    scored = study.scored(
        Places(READS_ALL), found, ["BP", "occlusion", "Shapley (parts)"],
        references=torch.zeros_like, seed=0, least=0.2, windows=3, multi_label=True,
    )  # fmt: skip
    assert set(scored["method"]) == {*truth.CONTROLS, "BP", "occlusion", "Shapley (parts)"}
    assert set(zip(scored["pair"], scored["item"], strict=True)) == {(1, "a"), (4, "c")}
    passes = scored.groupby("method")[["forward", "backward"]].first()
    assert passes.loc["BP"].tolist() == [1, 1] and passes.loc["occlusion"].tolist() == [10, 0]
    assert passes.loc["painted truth"].tolist() == [0, 0]
    ranks = scored.pivot(index="method", columns="pair", values="rank")
    assert ranks.loc["painted truth"].tolist() == pytest.approx([1, 1])
    assert ranks.loc["Shapley (parts)"].tolist() == pytest.approx([1, 1])  # the network is additive, the ground black


def test_wide_pictures_are_explained_one_by_one(rows, monkeypatch):
    found = pairs_of(rows, World(), pictures=3, targets=2, least=0.2)
    run = {"references": torch.zeros_like, "seed": 0, "least": 0.2, "multi_label": True, "rise_masks": 40}
    names, shown = ["IG", "RISE", "SmoothGrad", "Shapley (parts)"], []
    whole = study.scored(Places(READS_ALL), found, names, **run)
    monkeypatch.setattr(study, "PIXELS", 1)
    network = Places(READS_ALL)
    network.register_forward_pre_hook(lambda module, given: shown.append(len(given[0])))
    single = study.scored(network, found, ["IG"], **run)
    assert max(shown) == 24  # the points of one pair
    assert len(single) == len(whole[whole["method"].isin(single["method"].unique())])
    pd.testing.assert_frame_equal(whole, study.scored(Places(READS_ALL), found, names, **run), atol=1e-5)


def test_rows_do_not_depend_on_who_shares_the_job(rows):
    found = pairs_of(rows, World(), pictures=3, targets=2, least=0.2)
    run = {"references": torch.zeros_like, "seed": 0, "least": 0.2, "multi_label": True, "rise_masks": 40}
    whole = study.scored(Places(READS_ALL), found, ["RISE", "SmoothGrad"], **run)
    alone = study.scored(Places(READS_ALL), found.select([2]), ["RISE", "SmoothGrad"], **run)
    same = whole[whole["pair"] == 2].reset_index(drop=True)
    pd.testing.assert_frame_equal(same, alone, check_exact=False, atol=1e-5)
