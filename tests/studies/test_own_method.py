"""What is handed in gets the numbers that the built-in rows get, and goes through the tables under its own name."""

import captum.attr
import pytest
import torch
from torch import nn

from aecompanion.attack.attacks import ATTACKS
from aecompanion.attack.crafted import craft
from aecompanion.evaluate.detectors import DETECTORS, fit, image_scores
from aecompanion.evaluate.suspicion import Setting
from aecompanion.explain import methods
from aecompanion.explain.methods import METHODS, Options
from aecompanion.networks.zoo import create
from aecompanion.pipeline.rng import generator, seeded
from aecompanion.studies import own_examples, own_rows
from aecompanion.studies.own_method import (
    OWN,
    Strength,
    attack_of,
    defence_of,
    detector_of,
    entered,
    handed_in,
    load,
    method_of,
)

SIZE = 16
IMAGES = (255 * torch.rand(4, 1, SIZE, SIZE, generator=generator(8, 1))).round() / 255
LABELS = torch.tensor([0, 2, 1, 0])
EXAMPLES = "aecompanion.studies.own_examples"


@pytest.fixture
def model():
    with seeded(8, 2):
        body = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * SIZE * SIZE, 3))
    return create(body, classes=3, channels=1, size=SIZE, cam_layers=["0"], multi_label=True).eval()


def test_rise_handed_in_has_the_scores_of_rise_bit_for_bit(model):
    options = {"references": IMAGES * 0, "rise_masks": 40, "seed": 3, "keys": [7, 8, 9, 10]}
    mine = handed_in(
        "explain", "aecompanion.explain.methods:random_masks", model, IMAGES, LABELS, options=Options(**options)
    )
    assert (mine.notes, mine.forward, mine.backward) == ([], 40, 0)
    with entered(METHODS, OWN, method_of(mine)):
        found = {name: methods.explain(name, model, IMAGES, LABELS, **options) for name in ("RISE", OWN)}
        parts = own_rows.explained(["RISE", OWN], model, IMAGES, LABELS, Options(**options), batch=3)
        assert METHODS[OWN].passes(Options(**options)) == METHODS["RISE"].passes(Options(**options))
        assert METHODS[OWN].family == METHODS["RISE"].family
    assert OWN not in METHODS
    assert torch.equal(found["RISE"].maps, found[OWN].maps)
    assert torch.equal(parts["RISE"].maps, parts[OWN].maps)
    torch.testing.assert_close(parts[OWN].maps, found[OWN].maps)
    inside = torch.zeros(4, 1, SIZE, SIZE, dtype=torch.bool)
    inside[:, :, 4:8, 4:8] = True
    rows = own_rows.games(model, IMAGES, LABELS, IMAGES * 0, inside, found, keys=options["keys"], seed=0)
    built_in, own = (rows[rows["method"] == name].drop(columns="method").reset_index(drop=True) for name in found)
    assert built_in["deletion"].nunique() > 1
    assert built_in.equals(own)


def test_captums_class_and_the_same_by_hand(model):
    mine = handed_in("explain", "captum.attr:IntegratedGradients", model, IMAGES, LABELS, options=Options())
    assert (mine.forward, mine.backward) == (50, 50)  # captum's default number of steps
    expected = captum.attr.IntegratedGradients(model).attribute(IMAGES.clone().requires_grad_(), target=LABELS)
    torch.testing.assert_close(mine(model, IMAGES, LABELS, Options()), expected.detach())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gradient", "'gradient' names no function, expected package.module:function or path/to/file.py:function"),
        ("no_such_package:f", "'no_such_package:f' cannot be imported .ModuleNotFoundError: No module named"),
        ("/nowhere/mine.py:f", "'/nowhere/mine.py:f' cannot be imported .FileNotFoundError: no such file"),
        (f"{EXAMPLES}:gradient_times_imput", ".* has no 'gradient_times_imput', did you mean 'gradient_times_input'"),
    ],
)
def test_a_wrong_name_is_one_sentence(name, said):
    with pytest.raises(ValueError, match=f"^{said}[^\n]*$"):
        load(name)


def test_a_file_beside_the_project_is_enough(tmp_path, model):
    file = tmp_path / "mine.py"
    file.write_text("def darkness(model, images, target):\n    return 1 - images.mean(1, keepdim=True)\n")
    mine = handed_in("explain", f"{file}:darkness", model, IMAGES, LABELS, options=Options())
    assert torch.equal(mine(model, IMAGES, LABELS, Options()), 1 - IMAGES)
    file.write_text("import nothing_of_that_name\n")
    with pytest.raises(ValueError, match="cannot be imported .ModuleNotFoundError"):
        load(f"{file}:darkness")


@pytest.mark.parametrize(
    ("kind", "function", "said"),
    [
        ("explain", 3, "explain=int: is a int, expected something that can be called"),
        ("attack", lambda model, images, labels: images, r"attack=<lambda>: asks for \(.*\), expected .*eps"),
        ("defend", lambda: 0, r"defend=<lambda>: asks for \(\), expected \(images\)"),
        ("detect", lambda a, b, c: 0, r"detect=<lambda>: asks for \(a, b, c\), expected \(model, images\)"),
    ],
)
def test_a_call_that_fits_no_form_is_one_sentence(model, kind, function, said):
    with pytest.raises(ValueError, match=f"^{said}[^\n]*$"):
        handed_in(kind, function, model, IMAGES, LABELS)


def test_an_attack_enters_crafted_sets_and_one_that_leaves_the_ball_has_not_attacked(model):
    strength = Strength(eps=8 / 255, keys=range(4))
    mine = handed_in("attack", f"{EXAMPLES}:random_signs", model, IMAGES, LABELS, options=strength)
    with entered(ATTACKS, OWN, attack_of(mine)):
        found = craft(model, IMAGES, LABELS, attack=OWN, eps=8 / 255, seed=5)
    expected = own_examples.random_signs(model, IMAGES, LABELS, eps=8 / 255, seed=5)
    assert torch.equal(found, (expected * 255).round() / 255)

    def far(model, images, labels, *, eps):
        return 1 - images

    mine = handed_in("attack", far, model, IMAGES, LABELS, options=strength)
    answer = model(IMAGES).argmax(1)
    with entered(ATTACKS, OWN, attack_of(mine)):
        rows, sets = own_rows.attacks(model, IMAGES, answer, ["fgsm", OWN], eps=[2 / 255], steps=2, seed=0)
    own = rows[rows["method"] == OWN]
    assert not own["kept"].any()
    assert own["right"].all()  # the clean image's answer
    assert own["distance"].min() > 2.5
    assert rows.loc[rows["method"] == "fgsm", "kept"].all()
    assert [*sets] == [("fgsm", 2), (OWN, 2)]


def test_seeds_and_indices_reach_an_attack_that_names_them(model):
    seen = []

    def attack(model, images, labels, *, eps, seed, indices):
        seen.append((seed, list(indices)))
        return images

    mine = handed_in("attack", attack, model, IMAGES, LABELS, options=Strength(eps=0.1, seed=4, keys=range(9, 13)))
    assert seen[0] == (4, [9])
    mine(model, IMAGES, LABELS, Strength(eps=0.1, seed=2, keys=[3, 4, 5, 6]))
    assert seen[-1] == (2, [3, 4, 5, 6])


def test_a_defence_is_a_transformation_and_a_detector_a_row(model):
    mine = handed_in("defend", f"{EXAMPLES}:gaussian_blur", model, IMAGES, LABELS)
    assert torch.equal(defence_of(mine)(IMAGES), own_examples.gaussian_blur(IMAGES))
    mine = handed_in("detect", f"{EXAMPLES}:total_variation", model, IMAGES, LABELS)
    setting = Setting(model, "0", None, 0, True, "0", "3", IMAGES, IMAGES, LABELS)
    with entered(DETECTORS, OWN, detector_of(mine)):
        scores = image_scores(model, fit(setting, [OWN]), IMAGES)[OWN]
    assert torch.equal(scores, own_examples.total_variation(IMAGES))
    assert OWN not in DETECTORS
    with (
        pytest.raises(ValueError, match="'effect' is a row already, expected a name of its own"),
        entered(DETECTORS, "effect", None),
    ):
        pass


def test_the_table_is_what_it_was_after_an_exception():
    with pytest.raises(RuntimeError), entered(METHODS, OWN, None):
        raise RuntimeError
    assert OWN not in METHODS


def test_examples_are_what_they_say(model):
    given = IMAGES.clone().requires_grad_()
    (slope,) = torch.autograd.grad(model(given).gather(1, LABELS[:, None]).sum(), given)
    assert torch.equal(own_examples.gradient_times_input(model, IMAGES, LABELS), (slope * IMAGES).abs())
    signs = own_examples.random_signs(model, 0.5 * torch.ones_like(IMAGES), LABELS, eps=0.25, seed=1)
    assert signs.unique().tolist() == [0.25, 0.75]
    last = own_examples.random_signs(model, IMAGES[2:], LABELS[2:], eps=0.25, seed=1, indices=[2, 3])
    assert torch.equal(last, own_examples.random_signs(model, IMAGES, LABELS, eps=0.25, seed=1)[2:])
    flat = torch.tensor([[[[0.0, 1.0], [0.0, 0.0]]]])
    assert own_examples.total_variation(flat).tolist() == [1.0]  # down: (0 + 1) / 2, across: (1 + 0) / 2
