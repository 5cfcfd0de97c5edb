import pandas as pd
import pytest
import torch
from photographed import CLASSES, NAMES, Colours

from aecompanion.studies import photographs as study


def one(rows, **values):
    (row,) = rows.loc[(rows[list(values)] == pd.Series(values)).all(axis=1)].to_dict("records")
    return row


def test_the_masked_image_is_blank_where_the_mask_is_0_and_the_reverse_image_where_it_is_1(photographs, explained):
    images, references = photographs
    shown = study.views(images, references, explained["MP"].mask)
    assert shown["masked"][..., :4].abs().max() == 0 and torch.equal(shown["masked"][..., 4:], images[..., 4:])
    assert shown["reverse"][..., 4:].abs().max() == 0 and torch.equal(shown["reverse"][..., :4], images[..., :4])


def test_p_is_the_softmax_and_the_share_is_the_softmax_without_the_target(photograph_rows):
    logits = 6 * torch.tensor([0.9, 0.5, 0.0, 0.1])
    row = one(photograph_rows, photograph="first", method="MP", view="clean", **{"class": "green"})
    assert row["p"] == pytest.approx(logits.softmax(0)[1].item(), abs=1e-6)
    assert row["share"] == pytest.approx(logits[1:].softmax(0)[0].item(), abs=1e-6)
    assert row["area"] == 0.5


def test_rivals_are_those_of_the_clean_image_and_a_class_that_leads_a_view_without_being_one_is_an_outsider(
    photographs, explained
):
    options = {"names": NAMES, "classes": CLASSES, "rivals": 1}
    rows = study.readings(Colours(), *photographs, explained, torch.tensor([0, 0]), **options)
    roles = rows[(rows["photograph"] == "first") & (rows["view"] == "clean")].set_index(["method", "class"])["role"]
    assert roles["MP"].to_dict() == {"red": "target", "green": "rival", "nothing": "outsider"}  # first when blank
    assert roles["RP"].to_dict() == {"red": "target", "green": "rival", "nothing": "outsider"}  # in the reverse image


def test_only_methods_with_masks_have_rows_and_the_target_has_no_share(photograph_rows):
    assert set(photograph_rows["method"]) == {"MP", "RP"}
    assert (photograph_rows["share"].isna() == (photograph_rows["role"] == "target")).all()
    assert not one(photograph_rows, photograph="first", method="RP", view="clean", role="target")["stuck"]
    assert one(photograph_rows, photograph="second", method="RP", view="clean", role="target")["stuck"]


def test_a_mask_of_the_half_that_the_network_does_not_see_changes_nothing_and_its_reverse_is_blank(
    photograph_rows,
):
    row = one(study.summary(photograph_rows), photograph="first", method="RP")
    assert row["p_masked"] == pytest.approx(row["p_clean"]) and row["change_max"] == pytest.approx(0, abs=1e-6)
    assert row["p_reverse"] == pytest.approx(torch.tensor([0, 0, 0, 0.6]).softmax(0)[0].item(), abs=1e-6)
    assert row["reverse_first"] == "nothing"


def test_summary_by_hand(photograph_rows):
    row = one(study.summary(photograph_rows), photograph="first", method="MP")
    clean, masked = torch.tensor([3, 0, 0.6]).softmax(0), torch.tensor([0, 0, 0.6]).softmax(0)
    change = (clean - masked).abs()[[0, 2]]  # the rivals are green and nothing
    assert row["change_mean"] == pytest.approx(change.mean().item(), abs=1e-6)
    assert row["change_max"] == pytest.approx(change.max().item(), abs=1e-6)
    assert row["changed_most"] == "green"
    assert row["unwatched_clean"] == pytest.approx(clean[1].item(), abs=1e-6)
    assert row["unwatched_masked"] == pytest.approx(masked[1].item(), abs=1e-6)
    assert row["p_reverse"] == pytest.approx(row["p_clean"])
