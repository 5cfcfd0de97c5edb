"""X3.11 on rows whose ratios are known."""

import numpy as np
import pandas as pd
import pytest

from aecompanion.explain.methods import AS_PUBLISHED, variants
from aecompanion.explain.specifications import MASKS, OWN, PUBLISHED, STARTS, TUNED, VARIANTS, WEIGHTS, compared
from aecompanion.papers.masks import multiverse

OPTIONS = {"resamples": 5, "seed": 0}
NAMES = (*VARIANTS, "RP (published)", "MP (published)")
BESIDE = {("coco", "vgg"): VARIANTS, ("voc", "resnet"): VARIANTS}
AWAY = (-0.1, -0.05, 0.0, 0.05, 0.1)


def rows():
    """RP deletes at .6 and changes .01 wherever it starts at 0, .3 and .04 from 1; MP .4 and .02, on black .8."""
    found = []
    for data, family, seeds, names in [("voc", "vgg", (1, 2), NAMES)] + [
        (*key, (1,), of) for key, of in BESIDE.items()
    ]:
        for seed in seeds:
            for name in names:
                for substrate in ("mean colour", "black", "blur"):
                    for pair, off in enumerate(AWAY):
                        late = "start 1" in name
                        if name.startswith("RP"):
                            deletion, change = (0.3, 0.04) if late else (0.6, 0.01)
                        else:
                            deletion, change = (0.8 if substrate == "black" else 0.4), 0.02
                        own = {"data": data, "family": family, "seed": seed, "pair": pair, "method": name}
                        own |= {"substrate": substrate, "deletion": deletion * (1 + off), "change": change * (1 + off)}
                        found.append(own)
    return pd.DataFrame(found)


def scores(stuck=()):
    found = rows().drop_duplicates(["data", "family", "seed", "pair", "method"])
    return found.assign(area=0.1, stuck=found["method"].isin(stuck).astype(float))


@pytest.fixture(scope="module")
def table():
    return multiverse.specifications(rows(), scores(), **OPTIONS)


def of(table, **levels):
    levels = {name.replace("_", " "): level for name, level in levels.items()}
    chosen = table[np.logical_and.reduce([table[name] == level for name, level in levels.items()])]
    assert len(chosen) == 1
    return chosen.iloc[0]


def test_the_masks_of_a_choice_have_its_start_and_weight():
    tuned = {"MP": {"area": 2.0, "variation": 0.1}, "EP": {"areas": [0.2]}, "RP": {"area": 3.0, "variation": 0.2}}
    settings = variants(tuned, side=8, steps=3)
    assert set(VARIANTS) <= set(settings)
    for start in STARTS:
        for weight in WEIGHTS:
            ours, theirs = (settings[name] for name in compared(start, weight, OWN))
            starts = {"0": (0, 0), "1": (1, 1), PUBLISHED: (0, 1)}[start]
            weights = {TUNED: (3, 2), PUBLISHED: (5, 0.01), "1": (1, 1)}[weight]
            assert ((ours.start, theirs.start), (ours.area, theirs.area)) == (starts, weights)
            assert (ours.loss, theirs.loss) == ("robust", "meaningful")
    published = [key for key in ((s, w, PUBLISHED) for s in STARTS for w in WEIGHTS) if compared(*key)]
    assert published == [(PUBLISHED, PUBLISHED, PUBLISHED)]
    assert set(compared(*published[0])) < set(AS_PUBLISHED)


def test_every_combination_that_ran_is_there_once(table):
    networks = ["VGG, VOC-like", "VGG, COCO-like", "ResNet, VOC-like"]
    assert table["networks"].unique().tolist() == networks
    own, published = 3 * 3 * 3 * len(networks) * 3, 3 * 3  # start, weight, substrate, networks, statistic
    assert table["masks"].value_counts().to_dict() == {OWN: 2 * own, PUBLISHED: 2 * published}
    assert not table.duplicated(["claim", *multiverse.CHOICES]).any()
    assert MASKS == (OWN, PUBLISHED)


def test_the_networks_of_the_rows_that_come_first_are_the_claims_own():
    found = rows()
    one = found[found["seed"] == 1]
    table = multiverse.specifications(one, scores(), **OPTIONS)
    assert table.loc[table["published"], "networks"].tolist() == ["VGG, VOC-like"] * 2


def test_estimates_are_rp_over_mp_and_the_published_specification_is_that_of_the_claims(table):
    own = table[table["published"]]
    assert own["removed pixels become"].tolist() == ["mean colour", "blur"]
    assert (own[["start", "area weight", "statistic"]] == ["0", TUNED, "ratio of means"]).all(axis=None)
    assert own["estimate"].tolist() == pytest.approx([1.5, 0.5])
    assert own["low"].tolist() == pytest.approx([1.5, 0.5])  # the same ratio on every pair
    shared = {"masks": OWN, "networks": "VGG, COCO-like", "area_weight": TUNED, "start": "1"}
    for substrate, expected in (("black", 0.375), ("blur", 0.75)):
        for statistic in ("ratio of means", "median ratio"):
            row = of(
                table, claim="RP deletes better than MP", removed_pixels_become=substrate, statistic=statistic, **shared
            )
            assert row["estimate"] == pytest.approx(expected)
        row = of(
            table,
            claim="RP deletes better than MP",
            removed_pixels_become=substrate,
            statistic="odds of losing",
            **shared,
        )
        assert row["estimate"] == pytest.approx(0.1 / 0.9)  # half a pair of five
    changed = of(
        table,
        claim="RP changes the other classes less than MP",
        removed_pixels_become="blur",
        statistic="odds of losing",
        **shared,
    )
    assert changed["estimate"] == pytest.approx(9)


def test_the_sign_is_decided_by_what_moves_it(table):
    found = multiverse.deciding(table).groupby("claim").first()
    assert found.loc["RP changes the other classes less than MP", "choice"] == "start"
    text = multiverse.sentences(table)
    assert text.startswith("RP deletes better than MP: of ") and "depends most on start" in text


def test_specifications_of_empty_masks_are_left_out():
    found = multiverse.specifications(rows(), scores(stuck=["RP (start 1)"]), **OPTIONS)
    assert not ((found["start"] == "1") & (found["area weight"] == TUNED)).any()
    assert ((found["start"] == "1") & (found["area weight"] == "1")).any()
    without = multiverse.specifications(rows(), scores(stuck=["RP"]), **OPTIONS)  # the claims' own masks
    assert len(without) and not without["published"].any()


def test_the_figure_has_a_curve_per_claim_and_an_axis_of_ratios(table):
    figure = multiverse.figure(table)
    top = figure.axes[:2]
    assert [panel.get_yscale() for panel in top] == ["log", "log"]
    assert [panel.get_title() for panel in top] == list(table["claim"].unique())
