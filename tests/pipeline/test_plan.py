"""The plan of a profile: counts that are exactly proportional, prices by hand, and the sentences of its errors."""

import copy
import dataclasses
import sys

import pytest
import torch

from aecompanion.data.sources import manifest
from aecompanion.networks.facts import ALIASES, network_facts
from aecompanion.pipeline import parameters, passes
from aecompanion.pipeline.paths import ROOT
from aecompanion.pipeline.plan import __main__ as command, cost, data, scale
from aecompanion.pipeline.plan.cost import Passes
from aecompanion.pipeline.plan.scale import SCALES, Size, scaled

PROFILES = [None, *sorted(file.stem for file in (ROOT / "profiles").glob("*.yaml"))]
# seconds of stages on 2 cores of an AMD EPYC, default parameters, November 2026, unit tests beside some of them
MEASURED = {"scenes_train": 147, "mask_maps": 340, "mask_games": 151, "counterfactual_sets": 200, "objects_train": 101}
SHAPE = {"classes": 40, "channels": 1, "size": 64}


@pytest.fixture(scope="module")
def values():
    """The default parameters."""
    return command.composed(None)[0]


def recorded(network, kind, forward, backward, batch=32, **shape):
    return {
        "network": network,
        **SHAPE,
        **shape,
        "kind": kind,
        "forward": forward,
        "backward": backward,
        "batch": batch,
    }


def changed(values, **sections):
    """The sizes of a run, before and after."""
    new = copy.deepcopy(values)
    for stage, own in sections.items():
        new[stage] |= own
    return Size(values), Size(new)


def counts(found):
    return {(each.network, each.kind): (each.forward, each.backward) for each in found}


# ---- scaling


def test_a_training_is_proportional_to_seeds_epochs_and_images(values):
    rows = [recorded("compact/vgg", "learn", 1000, 1000), recorded("compact/vgg", "look", 840, 0)]
    own = {"networks": ["compact/vgg"], "seeds": [1], "epochs": 7}
    base, new = changed(
        values | {"faces_train": values["faces_train"] | own}, faces_train={"seeds": [1, 2], "epochs": 14}
    )
    found, unknown = scaled("faces_train", rows, base, new)
    # 14 · 2 / 7 of the steps; validation after 14 epochs and at the end, and the test images, for two seeds
    assert counts(found)["compact/vgg", "learn"] == (4000, 4000)
    assert counts(found)["compact/vgg", "look"] == (round(840 * 2 * (15 + 1) / (8 + 1)), 0)
    assert unknown == 0
    twice = changed(values, faces_data={"samples": 2 * values["faces_data"]["samples"]})
    assert counts(scaled("faces_train", rows, *twice)[0])["compact/vgg", "learn"] == (2000, 2000)


def test_networks_that_a_parameter_names_are_swapped_at_their_size(values):
    rows = [recorded(name, "learn", 10 * k, 10 * k) for k, name in enumerate(values["faces_train"]["networks"], 1)]
    names = ["compact/vgg", "torchvision/resnet50"]
    found, _ = scaled("faces_train", rows, *changed(values, faces_train={"networks": names}, faces_data={"size": 128}))
    # the one that stays has its own passes, the new one the mean of all five
    own = 10 * (1 + values["faces_train"]["networks"].index("compact/vgg"))
    assert counts(found) == {("compact/vgg", "learn"): (own, own), ("torchvision/resnet50", "learn"): (30, 30)}
    assert {each.size for each in found} == {128}


def test_a_batch_of_a_training_follows_its_parameter(values):
    rows = [recorded("compact/vgg", "learn", 1000, 1000, 32), recorded("compact/vgg", "look", 1000, 0, 128)]
    base, new = changed(values, faces_train={"batch": 2 * values["faces_train"]["batch"]})
    assert {each.kind: each.batch for each in scaled("faces_train", rows, base, new)[0]} == {"learn": 64, "look": 128}


def test_one_network_on_two_data_sets_is_shared_in_proportion(values):
    rows = [recorded("aecompanion.networks.pooled:vgg", "learn", 700, 700, classes=10, channels=3)]
    own = {"seeds": [1, 2, 3], "epochs": 4}
    start = values | {"scenes_train": values["scenes_train"] | own}
    root = {"coco_images": "public/coco/val2014", "size": 32, "limit": 2000}  # 1,600 in the place of 2,400
    found, _ = scaled("scenes_train", rows, *changed(start, scenes_data=root))
    composed, folder = sorted(found, key=lambda each: each.classes)
    assert (composed.forward, composed.classes, composed.size) == (400, 10, 32)  # four of seven trainings
    assert (folder.forward, folder.classes, folder.size) == (round(300 * 1600 / values["scenes_data"]["train"]), 80, 32)


def test_kinds_of_passes_scale_each_with_its_own_parameters(values):
    rows = [recorded("aecompanion.networks.pooled:vgg", "attack", 100, 100, channels=3)]
    rows += [recorded("aecompanion.networks.pooled:vgg", "look", 100, 0, channels=3)]
    found, _ = scaled("mask_randomization", rows, *changed(values, mask_randomization={"steps": 320}))
    ratio = 320 / values["mask_randomization"]["steps"]
    assert [each.forward for each in sorted(found, key=lambda each: each.kind)] == [100 * ratio, 100]


def test_layers_of_a_swapped_network_count(values):
    rows = [recorded("compact/vgg", "attack", 1000, 1000)]
    own = values | {"faces_train": values["faces_train"] | {"networks": ["compact/vgg"]}}
    found, _ = scaled("gradcam_randomization", rows, *changed(own, faces_train={"networks": ["compact/xception"]}))
    before, after = (network_facts(f"compact/{name}", 40, 1, 64).layers for name in ("vgg", "xception"))
    assert found[0].forward == round(1000 * (1 + 2 * after) / (1 + 2 * before))


def test_files_are_read_where_a_set_is_too_large_to_be_packed(values):
    rows = [recorded("compact/vgg", "learn", 1000, 1000), recorded("compact/vgg", "attack", 10, 10)]
    root = {"root": "public/vggface2", "size": 224, "channels": 1}
    found, _ = scaled("faces_train", rows[:1], *changed(values, faces_data=root))
    assert [each.reads for each in found] == [True]
    assert not any(each.reads for each in scaled("faces_train", rows, Size(values), Size(values))[0])


def test_passes_that_no_rule_fits_stay_and_are_said(values):
    rows = [recorded("compact/digits", "look", 7, 0), recorded("Small", "look", 2, 0)]
    found, unknown = scaled("faces_train", rows, *changed(values, faces_train={"epochs": 70}))
    assert (counts(found), unknown) == ({("compact/digits", "look"): (7, 0)}, 9)
    _, said = command.origin({"faces_train": {}}, {}, {"faces_train": 9})
    assert said.endswith(" faces_train (9).")


def test_the_size_that_was_recorded_has_the_recorded_counts(values):
    for stage, entry in passes.load().items():
        same = Size(values | {stage: entry["parameters"]})
        found, _ = scaled(stage, entry["passes"], same, same)
        known = [each for each in entry["passes"] if {*"/:"} & {*each["network"]} or each["network"] in ALIASES]
        assert passes.merged([[vars(each) for each in found]]) == passes.merged([known]), stage


@pytest.mark.parametrize("name", PROFILES)
def test_every_expression_can_be_worked_out(name):
    size = Size(command.composed(name)[0])
    for stage, own in SCALES.items():
        assert all(each >= 0 for each in size.needs(stage))
        for rule in own.get("passes", []):
            for network in size.networks(stage, rule["network"]):
                assert all(size.times(stage, rule, kind, network) >= 0 for kind in ("learn", "attack", "look"))


def test_an_expression_that_cannot_be_worked_out_is_a_sentence(values):
    with pytest.raises(ValueError, match=r"^scales\.yaml: faces_train: 'nope \* 2' cannot be worked out"):
        Size(values).quantity("faces_train", "nope * 2")


def test_the_scales_know_stages_of_the_pipeline_only():
    assert set(SCALES) <= set(parameters.sections())
    assert scale.upto(None, 3, 5) == 3


def test_composed_sets_have_the_sizes_of_the_parameters(values):
    sets = data.data_sets(values)
    assert (sets["faces"].count, sets["faces"].test, sets["faces"].classes) == (2800, 280, 40)
    assert (sets["photos"].train, sets["held_out"].test) == (1800, 240)
    assert (sets["digits"].train, sets["digits"].test) == (4000, 500)
    assert not any(each.lazy for each in sets.values())
    assert sum(source.path.startswith("photos/") for source in manifest()) == data.PHOTOGRAPHS


# ---- prices


@pytest.fixture
def device():
    """1 and 0.25 images per second for a ResNet-50 at 224 px, 1 TFLOP/s for compact networks, one core."""
    rates = {kind: {"float32": (1.0, 0.25), "bfloat16": (2.0, 0.5)} for kind in cost.KINDS.values()}
    return cost.Device("a toy", 1, 1, 1, "float32", (1, 1), rates | {"resnet50": rates["vgg16"]})


def large(kind, forward, backward=0, reads=False):
    return Passes("torchvision/resnet50", 1000, 3, 224, kind, forward, backward, 128, reads)


@pytest.mark.parametrize(
    ("given", "precision", "expected"),
    [
        (large("look", 10), "float32", 10),
        (large("learn", 10, 10), "float32", 40),
        (large("learn", 10, 10), "bfloat16", 20),
        (large("attack", 10, 10), "bfloat16", 10 * (1 + 0.6 * 3)),  # float32, gradients of the image only
        (large("learn", 11, 10), "float32", 41),
    ],
)
def test_the_seconds_of_passes_by_hand(device, given, precision, expected):
    assert cost.seconds(given, device, precision) == pytest.approx(expected)


def test_reading_takes_longer_where_computing_is_quick(device):
    small = Passes("compact/digits", 10, 1, 28, "look", 5000, 0, 128, reads=True)
    assert cost.seconds(small, device, "float32") == pytest.approx(50)


def test_a_compact_network_has_the_rate_of_compact_networks(device):
    flops = network_facts("compact/digits", 10, 1, 28).flops
    small = Passes("compact/digits", 10, 1, 28, "learn", 10, 10, 128)
    assert cost.seconds(small, device, "float32") == pytest.approx(10 * 3 * flops / 1e12)


def test_the_memory_of_a_training_is_weights_and_activations():
    facts, learning = (
        network_facts("compact/digits", 10, 1, 28),
        Passes("compact/digits", 10, 1, 28, "learn", 100, 100, 8),
    )
    assert cost.memory(learning, "float32") == 16 * facts.parameters + 8 * 4 * facts.activations
    assert cost.memory(learning, "bfloat16") == 16 * facts.parameters + 8 * 2 * facts.activations
    looked = dataclasses.replace(learning, kind="look", forward=3, backward=0)
    assert cost.memory(looked, "float32") == 4 * facts.parameters + 3 * 12 * facts.largest


def test_the_estimate_is_within_a_factor_of_three_of_what_was_measured():
    hours = {each["stage"]: each["hours"] for each in command.plan(None, "cpu")[0]}
    for stage, seconds in MEASURED.items():
        assert 1 / 3 < 3600 * hours[stage] / seconds < 3, stage


# ---- the command


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_has_a_plan_for_every_stage(name):
    rows, remarks = command.plan(name, "h100")
    assert [each["stage"] for each in rows[:-1]] == list(parameters.sections())
    assert all(each[column] >= 0 for each in rows for column in command.COLUMNS[1:])
    assert rows[-1]["hours"] == pytest.approx(sum(each["hours"] for each in rows[:-1]))
    assert "NVIDIA H100" in remarks[0]
    assert "rough where" in remarks[1]


def test_the_plan_says_what_does_not_fit(monkeypatch):
    small = dataclasses.replace(cost.devices()["h100"], memory_gib=1, host_gib=64)
    monkeypatch.setattr(command, "devices", lambda: {"small": small})
    *_, device, host = command.plan("paper", "small")[1]
    assert device.startswith("More than the 1 device GiB there are, so not possible as it is: ")
    assert " faces_train (" in device
    assert host == "More than the 64 host GiB there are, so not possible as it is: counterfactual_sets (105)."


def test_stages_that_do_not_wait_for_each_other_run_side_by_side(tmp_path):
    stages = "stages: {code: {outs: [build/code]}, a: {deps: [build/code/a.json], outs: [build/a: {cache: false}]},"
    stages += " b: {outs: [build/b]}, c: {deps: [build/a/x.json]}, d: {deps: [build/b]}}"
    (tmp_path / "dvc.yaml").write_text(stages)
    hours = {"a": 3.0, "b": 2.0, "c": 1.0, "d": 1.5}
    found = [command.side_by_side(hours, number, tmp_path / "dvc.yaml") for number in (1, 2, 9)]
    assert found == [7.5, 4.0, 4.0]  # a then c, beside them b then d


def test_more_devices_shorten_the_total_only():
    (one, _), (four, remarks) = command.plan(None, "cpu"), command.plan(None, "cpu", 4)
    assert one[:-1] == four[:-1]
    assert max(each["hours"] for each in one[:-1]) <= four[-1]["hours"] < one[-1]["hours"]
    assert "4 such devices" in remarks[1]


def test_the_table_is_aligned_and_the_numbers_are_readable():
    row = dict.fromkeys(command.COLUMNS, 0.5) | {"stage": "a", "images": 1_000, "hours": 1234.5, "disk GiB": 1e-9}
    lines = command.table([row, row | {"stage": "total"}]).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[2].split() == ["a", "1,000", "0.5", "0.5", "0.5", "1,234", "0.5", "0.5", "<0.001"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope"], "profiles/nope.yaml is missing, expected one of: paper, "),
        (["--device", "tpu"], "device is 'tpu', expected one of: cpu, h100"),
        (["--devices", "0"], "devices is 0, expected at least 1"),
    ],
)
def test_a_wrong_name_ends_the_command_with_one_sentence(monkeypatch, arguments, message):
    monkeypatch.setattr(sys, "argv", ["aecompanion.pipeline.plan", *arguments])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert str(ended.value).startswith(f"aecompanion plan: {message}")


def test_a_plan_leaves_torchs_generator_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    command.plan("tutorial", "cpu")
    assert torch.equal(torch.get_rng_state(), before)
