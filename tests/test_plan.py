"""The plan of a profile: counts that were worked out by hand, prices, and the sentences of its errors."""

import dataclasses
import subprocess
import sys

import pytest
import torch

from lib import parameters
from lib.data import chest
from lib.data.sources import manifest
from lib.explain import causal_effect, methods
from lib.paths import ROOT
from lib.plan import __main__ as command
from lib.plan import cost, data, passes, stages_explain, stages_train
from lib.plan.cost import Facts
from lib.plan.data import Images
from lib.plan.passes import Passes
from lib.studies import regions as region_study

FACES = Images(train=100, validation=20, test=10, classes=5, channels=1, size=64)
PROFILES = [None, *sorted(file.stem for file in (ROOT / "profiles").glob("*.yaml"))]
# seconds of stages on 2 cores of an AMD EPYC, default parameters, November 2026
MEASURED = {"scenes_train": 147, "mask_maps": 155, "mask_games": 104, "counterfactual_sets": 200, "objects_train": 200}


@pytest.fixture(scope="module")
def default():
    """The default parameters and their data sets."""
    values = command.composed(None)
    return values, data.data_sets(values)


def counts(work):
    """F and B of a stage."""
    return sum(each.forward for each in work.passes), sum(each.backward for each in work.passes)


# ---- one thing


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"epochs": 2, "batch": 32}, (2 * 96 + 2 * 20 + 20 + 10, 2 * 96)),  # 3 full batches an epoch
        ({"epochs": 2, "batch": 32, "views": 2}, (2 * 6 * 32 + 4 * 20 + 20 + 10, 2 * 6 * 32)),  # 6 of 16 and 16
        ({"epochs": 1, "batch": 50, "attack": (3, 2)}, (100 * 4 + 20 + 20 + 10, 100 * 3)),
    ],
    ids=["plain", "hybrid", "adversarial"],
)
def test_a_training_counts_full_batches_and_evaluations(options, expected):
    found = passes.training("n", FACES, **options)
    assert (found.forward, found.backward) == expected
    assert found.learning


def test_a_run_of_an_ascent_has_one_forward_pass_more_than_steps():
    found = passes.ascent("n", FACES, images=4, steps=75, runs=2)
    assert (found.forward, found.backward) == (2 * 4 * 76, 2 * 4 * 75)


def test_a_cross_checked_mask_costs_two_images_a_step_and_the_clean_one():
    found = passes.masks("n", FACES, 3, rows=2, steps=150)
    assert (found.forward, found.backward) == (3 * 301, 3 * 300)


def test_the_six_methods_on_two_pairs():
    found = passes.explained("n", FACES, 2, stages_explain.METHODS, steps=10, rise_masks=100)
    # BP and Grad-CAM 1 each, RISE 100; MP 1, EP 2 and RP 2 images a step, the clean image once
    assert sum(each.forward for each in found) == 2 * (2 + 100) + 2 * (5 * 10 + 1)
    assert sum(each.backward for each in found) == 2 * 2 + 2 * 5 * 10


def test_a_map_is_scored_by_two_games_and_three_images():
    # at 64 px 16, 32, ... 256, then 512, ... 4096 pixels removed; 64, ... 512, then 1024, ... inserted; and none
    assert passes.scored("n", FACES, 2).forward == 2 * ((16 + 15 + 1) + (8 + 7 + 1) + 3)


# ---- stages, by hand


def with_section(values, **sections):
    return values | {name: values[name] | section for name, section in sections.items()}


def test_faces_train_by_hand(default):
    values, sets = default
    values = with_section(values, faces_train={"networks": ["a", "b"], "seeds": [1, 2, 3], "epochs": 2, "batch": 32})
    assert counts(stages_train.faces_train(values, sets | {"faces": FACES})) == (6 * 262, 6 * 192)


def test_faces_attack_by_hand(default):
    values, sets = default
    given = {"faces_train": {"networks": ["a"], "seeds": [1, 2]}, "faces_attack": {"eps": [0.1, 0.2], "images": None}}
    # signs: 1 and 1; predictions: clean, and two levels in two arms
    found = stages_explain.faces_attack(with_section(values, **given), sets | {"faces": FACES})
    assert counts(found) == (2 * 10 * (1 + 1 + 4), 2 * 10)


def test_photos_attack_by_hand(default):
    values, sets = default
    given = {"photos_train": {"seeds": [1]}, "photos_attack": {"levels": [2, 8], "steps": 10, "images": 5}}
    found = stages_explain.photos_attack(with_section(values, **given), {"photos": FACES, "held_out": FACES})
    # 5 images at two levels and 5 at one: FGSM 1, I-FGSM and PGD 10 each, three attacked sets looked at
    assert counts(found) == (15 * (21 + 3), 15 * 21)


def test_objects_train_with_foreign_weights_trains_the_judge_and_the_plain_network_only(default):
    values, sets = default
    given = {"objects_train": {"weights": "w.pt", "seeds": [1], "epochs": 2, "attack_images": 5, "attack_steps": 10}}
    found = stages_train.objects_train(with_section(values, **given), sets | {"objects": FACES})
    looked = 6 * 20 + 3 * 10  # six networks on validation, three on test
    attacked = 3 * 3 * 3 * 5  # norms, networks, attacks per image at most
    assert counts(found) == (2 * 262 + looked + attacked * 11, 2 * 192 + attacked * 10)


def test_a_bottleneck_channel_and_a_grid_by_hand(default):
    values, sets = default
    given = {"digits_train": {"seeds": [1]}, "chest_train": {"seeds": [1, 2]}, "latent_effects": {"images": 8}}
    found = stages_explain.latent_effects(with_section(values, **given), sets | {"digits": FACES, "chest": FACES})
    assert counts(found) == ((1 + 2) * 16 * 18, 0)  # 16 channels, without and through the bottleneck


# ---- the constants are those of the code


def test_the_constants_are_those_of_the_code(default):
    settings = methods.variants(side=16, steps=1, area=1.0, variation=0.0)
    double = {"extremal": len(settings["EP"].areas), "robust": 2}
    rows = {name: double.get(each.loss, 1) for name, each in settings.items()}
    assert {name: rows.get(name, 0) for name in passes.MASK_ROWS} == passes.MASK_ROWS
    assert sum(rows[name] for name in methods.OTHERS) == stages_explain.OTHER_ROWS
    assert len(methods.OTHERS) == stages_explain.OTHERS
    assert methods.METHODS == stages_explain.METHODS
    assert len(chest.FINDINGS) == data.FINDINGS
    assert len({"counterfactual", *causal_effect.FILLS}) == stages_explain.FILLS
    assert region_study.COUNTERFACTUAL == "counterfactual"
    assert sum(source.path.startswith("photos/") for source in manifest()) == data.PHOTOGRAPHS


def test_every_stage_of_the_schema_is_planned_or_computes_nothing():
    known = stages_train.STAGES | stages_explain.STAGES
    assert set(known) <= set(parameters.sections())
    assert set(parameters.sections()) - set(known) == {
        "halftone_gallery", "counterfactual_tables", "mod_vid", "shift_gallery", "claims_report",
    }  # fmt: skip


# ---- data sets


def test_composed_sets_have_the_sizes_of_the_parameters(default):
    values, sets = default
    assert (sets["faces"].count, sets["faces"].test, sets["faces"].classes) == (2800, 280, 40)
    assert (sets["photos"].train, sets["held_out"].test) == (1800, 240)
    assert (sets["digits"].train, sets["digits"].test) == (4000, 500)
    assert not any(each.lazy for each in sets.values())


def test_a_folder_that_is_not_there_has_its_published_size():
    found = data.from_folder("public/chestxray14", "chest_data.root", channels=1, size=224)
    assert (found.count, found.lazy) == (112_120, True)
    some = data.from_folder("public/vggface2", "faces_data.root", channels=3, size=224, classes=100)
    assert (some.count, some.classes) == (36_250, 100)
    assert data.from_folder("public/VOC", "scenes_data.voc_root", channels=3, size=300, limit=50).count == 50


@pytest.mark.parametrize(
    ("root", "per_class", "expected"),
    [
        ("public/cifar10", None, (45_000, 5_000, 10_000)),
        ("public/cifar10", 200, (1_800, 200, 2_000)),  # 200 of each of ten classes in train/, a tenth of them taken out
        ("public/cifar10", 2_000, (18_000, 2_000, 10_000)),
        ("public/orl_faces", 5, (160, 20, 20)),  # 5 of each of 40 people, then split
    ],
)
def test_a_limit_is_per_class_and_part_of_the_folder(root, per_class, expected, monkeypatch, tmp_path):
    monkeypatch.setattr(data, "ROOT", tmp_path)  # no such folder: published sizes
    found = data.from_folder(root, "photos_data.root", channels=3, size=32, per_class=per_class)
    assert (found.train, found.validation, found.test) == expected


def test_a_folder_that_is_there_is_counted(tmp_path):
    for number in range(10):
        (tmp_path / f"class{number % 2}").mkdir(exist_ok=True)
        (tmp_path / f"class{number % 2}" / f"{number}.png").touch()
    found = data.from_folder(str(tmp_path), "faces_data.root", channels=1, size=64)
    assert (found.train, found.validation, found.test, found.classes, found.lazy) == (8, 1, 1, 2, False)


def test_a_folder_that_nobody_knows_is_a_sentence_that_names_the_parameter():
    with pytest.raises(ValueError, match=r"^faces_data\.root is 'mine': expected a folder on disk, or one named"):
        data.from_folder("mine", "faces_data.root", channels=1, size=64)


# ---- prices


def test_the_facts_of_a_network_are_those_of_a_real_forward_pass():
    found = cost.network_facts("compact/digits", 10, 1, 28)
    real = cost.measured(cost.zoo.create("compact/digits", classes=10, channels=1, size=28), 1, 28, "cpu")
    # 3×3×1×32 at 26², 3×3×32×64 at 11², 1600×256, 256×10; two operations each
    by_hand = 2 * (9 * 32 * 26**2 + 9 * 32 * 64 * 11**2 + 1600 * 256 + 256 * 10)
    assert found == real == Facts(by_hand, real.parameters, real.activations, 32 * 26**2, 4)


def test_the_full_size_networks_have_the_known_cost():
    assert cost.network_facts("torchvision/resnet50", 1000, 3, 224).flops == pytest.approx(8.2e9, rel=0.01)
    assert cost.network_facts("torchvision/vgg16", 1000, 3, 224).parameters == 138_357_544


@pytest.fixture
def device():
    """1 and 0.25 images per second for a ResNet-50 at 224 px, 1 TFLOP/s for compact networks, one core."""
    rates = {kind: {"float32": (1.0, 0.25), "bfloat16": (2.0, 0.5)} for kind in cost.KINDS.values()}
    rates["resnet50"] = rates["vgg16"]
    return cost.Device("toy", "a toy", 1e9, 1e9, 1, "float32", (1e12, 1e12), rates)


LARGE = Images(0, 0, 1, 1000, 3, 224)


@pytest.mark.parametrize(
    ("options", "precision", "expected"),
    [
        ({"forward": 10}, "float32", 10),
        ({"forward": 10, "backward": 10, "learning": True}, "float32", 40),
        ({"forward": 10, "backward": 10, "learning": True}, "bfloat16", 20),
        ({"forward": 10, "backward": 10}, "bfloat16", 10 * (1 + 0.6 * 3)),  # an attack: float32, input gradients only
        ({"forward": 11, "backward": 10, "learning": True}, "float32", 41),
        ({"forward": 10, "learning": True, "reads": 5000}, "float32", 50),  # decoding takes longer
    ],
)
def test_the_seconds_of_passes_by_hand(device, options, precision, expected):
    assert cost.seconds(Passes("torchvision/resnet50", LARGE, **options), device, precision) == pytest.approx(expected)


def test_a_compact_network_has_the_rate_of_compact_networks(device):
    flops = cost.network_facts("compact/digits", 10, 1, 28).flops
    small = Passes("compact/digits", Images(0, 0, 1, 10, 1, 28), 10, 10, learning=True)
    assert cost.seconds(small, device, "float32") == pytest.approx(10 * 3 * flops / 1e12)


def test_the_memory_of_a_training_is_weights_and_activations():
    facts, some = cost.network_facts("compact/digits", 10, 1, 28), Images(0, 0, 1, 10, 1, 28)
    learning = Passes("compact/digits", some, 100, 100, learning=True, batch=8)
    assert cost.memory(learning, "float32") == 16 * facts.parameters + 8 * 4 * facts.activations
    assert cost.memory(learning, "bfloat16") == 16 * facts.parameters + 8 * 2 * facts.activations
    assert cost.memory(Passes("compact/digits", some, 3), "float32") == 4 * facts.parameters + 3 * 12 * facts.largest


def test_the_estimate_is_within_a_factor_of_three_of_what_was_measured(default):
    rows, _ = command.plan(None, cost.devices()["cpu"])
    hours = {each["stage"]: each["hours"] for each in rows}
    for stage, seconds in MEASURED.items():
        assert 1 / 3 < 3600 * hours[stage] / seconds < 3, stage


# ---- the command


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_has_a_plan_for_every_stage(name):
    rows, remarks = command.plan(name, cost.devices()["h100"])
    assert [each["stage"] for each in rows[:-1]] == list(parameters.sections())
    assert all(each[column] >= 0 for each in rows for column in command.COLUMNS[1:])
    assert rows[-1]["hours"] == pytest.approx(sum(each["hours"] for each in rows[:-1]))
    assert "NVIDIA H100" in remarks[0]


def test_every_stage_with_passes_takes_a_device(default):
    (values, sets), made = default, command.STAGES
    computing = {stage for stage in command.order(values) if stage in made and made[stage](values, sets).passes}
    assert len(computing) > 30
    assert all("device" in parameters.sections()[stage] for stage in computing)


def test_the_plan_says_what_does_not_fit():
    h100 = cost.devices()["h100"]
    assert len(command.plan("paper", h100)[1]) == 1  # the papers' scale fits
    small = dataclasses.replace(h100, memory=24 * 2**30, host=64 * 2**30)
    _, device, host = command.plan("paper", small)[1]
    assert device.startswith("More than the 24 device GiB there are, so not possible as it is: ")
    assert "mask_maps (36)" in device
    assert host == "More than the 64 host GiB there are, so not possible as it is: counterfactual_sets (105)."


def test_the_table_is_aligned_and_the_numbers_are_readable(default):
    row = dict.fromkeys(command.COLUMNS, 0.5) | {"stage": "a", "images": 1_000, "hours": 1234.5, "disk GiB": 1e-9}
    lines = command.table([row, row | {"stage": "total"}]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[2].split() == ["a", "1,000", "0.5", "0.5", "0.5", "1,234", "0.5", "0.5", "<0.001"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope"], "profiles/nope.yaml is missing, expected one of: paper, "),
        (["--device", "tpu"], "device is 'tpu', expected one of: cpu, h100"),
    ],
)
def test_a_wrong_name_ends_the_command_with_one_sentence(monkeypatch, arguments, message):
    monkeypatch.setattr(sys, "argv", ["lib.plan", *arguments])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert str(ended.value).startswith(f"lib.plan: {message}")


def test_the_command_exits_with_1_and_one_line_on_stderr():
    found = subprocess.run([sys.executable, "-m", "lib.plan", "nope"], cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 1
    assert len(found.stderr.splitlines()) == 1


def test_a_plan_leaves_torchs_generator_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    command.plan("tutorial", cost.devices()["cpu"])
    assert torch.equal(torch.get_rng_state(), before)
