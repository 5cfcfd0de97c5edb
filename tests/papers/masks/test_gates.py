import numpy as np
import pandas as pd
import pytest

from aecompanion.papers.masks import gates


@gates.gated
def mean(tables, *, data="voc", column="area", methods=()):
    """Of the column."""
    return tables["scores"][[column]].to_numpy(), np.mean


def quality(auroc, data="coco", family="vgg"):
    """Two classes of two seeds around a mean."""
    rows = [(seed, name, auroc + off) for seed in (1, 2) for name, off in (("a", -0.02), ("b", 0.02))]
    return pd.DataFrame(rows, columns=["seed", "class", "auroc"]).assign(data=data, family=family)


def scores(areas, stuck=0.0, method="RP", data="coco"):
    return pd.DataFrame({"area": areas, "stuck": stuck}).assign(method=method, data=data, family="vgg")


def finite(tables, **arguments):
    values, statistic = mean(tables, **{"data": "coco"} | arguments)
    return bool(np.isfinite(statistic(values)))


FULL = [0.1, 0.2, 0.1, 0.3]


@pytest.mark.parametrize(("auroc", "passes"), [(0.86, True), (0.84, False)])
def test_networks_that_read_too_little_make_a_claim_untestable(auroc, passes):
    tables = {"scores": scores(FULL), "quality": quality(auroc)}
    assert finite(tables) is passes
    why = gates.failed(tables, data="coco")
    assert why == ("" if passes else "the networks read coco with an AUROC of 0.84, needed 0.85")


def test_the_auroc_is_that_of_the_claims_own_data_and_of_the_explained_family():
    tables = {"scores": scores(FULL)}
    assert finite(tables | {"quality": pd.concat([quality(0.9), quality(0.5, "voc"), quality(0.5, family="resnet")])})
    assert not finite(tables | {"quality": quality(0.5, "voc")}, data="voc")
    assert (
        gates.failed(tables | {"quality": quality(0.5, "voc")}, method="RP") != ""
    )  # without data: the randomised one
    assert finite(tables)  # a table that is not there is not asked


@pytest.mark.parametrize(("empty", "passes"), [(2, True), (3, False)])
@pytest.mark.parametrize("how", ["area", "stuck"])
def test_a_method_most_of_whose_masks_are_empty_makes_a_claim_untestable(empty, passes, how):
    areas = np.where(np.arange(4) < empty, 0.003, 0.1) if how == "area" else np.full(4, 0.1)
    stuck = (np.arange(4) < empty).astype(float) if how == "stuck" else 0.0
    tables = {"scores": pd.concat([scores(areas, stuck), scores(FULL, method="MP")])}
    assert finite(tables, methods=["MP", "RP"]) is passes
    assert finite(tables, methods=["MP"])
    assert finite(tables, methods=["MP", "RP"], column="stuck")  # it counts them itself
    if not passes:
        why = "75% of the masks of RP on coco are empty, allowed 50%"
        for arguments in ({"methods": ["MP", "RP"]}, {"method": "RP"}, {"method": "MP", "others": ["RP"]}):
            assert gates.failed(tables, data="coco", **arguments) == why


def test_where_the_gates_are_passed_the_estimate_is_the_estimators():
    values, statistic = mean({"scores": scores(FULL)}, data="coco", methods=["RP"])
    assert statistic(values) == pytest.approx(0.175)
    assert mean.__name__ == "mean"
    assert mean.__doc__ == "Of the column."


def test_a_cell_of_a_mask_is_not_empty():
    assert gates.share_empty(scores([1 / 256, 0.99 / 256]), "coco", "RP") == 0.5
