import dataclasses
import math

import pytest
import torch
from masked import CLASSES, SLIDE, pixel_sums

from aecompanion.explain.logit_slice import Slice, logit_plane
from aecompanion.explain.mask import Settings, optimise
from aecompanion.studies import cases


def test_a_case_is_what_the_network_says_of_the_three_images(scene, history):
    model, (image, reference) = pixel_sums(), scene
    for case in history:
        masked = case.mask * image + (1 - case.mask) * reference
        reverse = (1 - case.mask) * image + case.mask * reference
        assert torch.allclose(case.masked, masked, atol=1e-6)
        assert torch.allclose(case.reverse, reverse, atol=1e-6)
        expected = model(torch.stack([image, masked, reverse])).sigmoid()
        assert torch.allclose(case.p, expected, atol=1e-5)


def test_properties_of_a_case(history):
    assert [case.area for case in history] == pytest.approx([1, 0.875, 0.75, 0.625, 0.5])
    assert history[0].others == [1, 2]
    assert history[0].name(1) == "“b”"
    p = torch.tensor([[0.9, 0.5, 0.1], [0.1, 0.7, 0.5], [0.9, 0.0, 0.0]])
    assert dataclasses.replace(history[0], p=p).distorted == 2
    assert dataclasses.replace(history[0], p=p, target=2).distorted == 0


def test_flipped_are_the_non_targets_whose_decision_changes(history):
    p = torch.tensor([[0.9, 0.4, 0.9], [0.1, 0.6, 0.8], [0.9, 0.1, 0.5]])
    case = dataclasses.replace(history[0], p=p)
    assert cases.flipped(case) == [1]  # the target's own change does not count
    assert cases.flipped(case, 2) == [2]


def test_terms_of_the_slide_s_example(history):
    """The paper's sheep and dog, by hand."""
    found = cases.terms(dataclasses.replace(history[0], p=SLIDE, target=0, classes=["sheep", "dog"]))
    assert found == pytest.approx(
        {"masked target": -0.979, "masked others": 0.0128, "reverse target": 0.086, "reverse level": math.log2(1.6469)},
        abs=1e-3,
    )


def test_the_terms_add_up_to_the_loss_that_is_optimised(scene):
    image, reference = scene
    model, plain = pixel_sums(), Settings("robust", side=None, steps=1, area=0, variation=0, noise=0, start=0.3)
    found = optimise(model, image[None], 0, reference[None], plain, multi_label=True)
    loss = found.losses[0, 0].item()
    (case,) = cases.cases(model, image, reference, torch.full((1, 1, 16, 16), 0.3), 0, CLASSES)
    assert sum(cases.terms(case).values()) == pytest.approx(loss, abs=1e-5)


# files


@pytest.fixture
def plane(history):
    other = history[-1].mask.flip(2) * 0.5 + 0.1 * torch.eye(16)
    image, reference = history[0].image, history[0].reference
    return logit_plane(pixel_sums(), image, history[-1].masked, reference + other * (image - reference), steps=5)


def test_histories_the_plane_and_the_facts_come_back_bit_for_bit(tmp_path, history, plane):
    given = {"scene: RP": cases.History(range(5), history), "other: MP, last": cases.History([4], history[-1:])}
    cases.save(tmp_path / "steps", given, plane, card={"n": 1, "share": 1 / 3}, missing=None)
    found, again, facts = cases.load(tmp_path / "steps")
    assert list(found) == list(given)
    for name, wanted in given.items():
        assert found[name].steps == list(wanted.steps)
        for case, old in zip(found[name].cases, wanted.cases, strict=True):
            assert (case.target, list(case.classes)) == (old.target, CLASSES)
            assert all(getattr(case, part).equal(getattr(old, part)) for part in ("image", "reference", "mask", "p"))
            assert case.masked.equal(old.masked) and case.reverse.equal(old.reverse)
    for field in dataclasses.fields(Slice):
        one, other = getattr(again, field.name), getattr(plane, field.name)
        assert one.dtype == other.dtype and one.equal(other), field.name
    assert (facts["card"], facts["missing"]) == ({"n": 1, "share": 1 / 3}, None)


def test_where_no_mask_moved_there_is_no_plane(tmp_path, history):
    cases.save(tmp_path / "steps", {"scene: RP": cases.History([0], history[:1])}, None, missing="on one line")
    assert cases.load(tmp_path / "steps")[1:] == (
        None,
        {"histories": {"scene: RP": {"steps": [0], "target": 0}}, "classes": CLASSES, "missing": "on one line"},
    )


def test_a_history_without_cases_is_refused(tmp_path):
    with pytest.raises(ValueError, match="history 'scene: RP' has no case, expected at least one"):
        cases.save(tmp_path / "steps", {"scene: RP": cases.History([], [])}, None)
