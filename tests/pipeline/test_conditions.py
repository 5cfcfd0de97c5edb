import pytest

from aecompanion.papers.halftone import tables as halftone_tables
from aecompanion.papers.shift import tables as shift_tables
from aecompanion.pipeline import conditions, parameters
from aecompanion.report import claims

OWN = parameters.complete(parameters.composed())
BROKEN = [  # changed values, the parameter that is blamed, what was expected
    (
        {"faces_attack.eps": [0.02, 0.04]},
        "faces_attack.eps",
        "expected 0.01, 0.05, 0.075, 0.1 among the strengths",
    ),
    ({"faces_attack.eps": [0.01, 0.05, 0.1]}, "faces_attack.eps", "expected 0.01, 0.05, 0.075, 0.1 among"),
    ({"imagenet_effects.eps": [8 / 255]}, "imagenet_effects.eps", "expected 2/255, 8/255 among the strengths"),
    ({"imagenet_shift.eps": [0.01, 0.1]}, "imagenet_shift.eps", "expected 0.01, 0.05, 0.075, 0.1 among"),
    (
        {"faces_train.networks": ["compact/vgg"]},
        "faces_attack.source",
        "expected values of faces_train.networks, whose",
    ),
    (
        {"faces_attack.source": "compact/mlp"},
        "faces_attack.source",
        "expected values of faces_train.networks, whose signs",
    ),
    ({"faces_gradcam.modes": ["own_pred"]}, "faces_gradcam.modes", "expected own_pred, clean_pred among the modes"),
    (
        {"gradcam_randomization.seeds": [3, 4]},
        "gradcam_randomization.seeds",
        "expected values of faces_train.seeds, whose",
    ),
    ({"mod_vid.window": 65}, "mod_vid.window", "expected at most 64, the side of the images (faces_data.size)"),
    (
        {"photos_data.size": 32},
        "photos_train.network",
        "expected another network, since photos_data.size is 32 and the compact ones take images from 48 px on",
    ),
    (
        {"photos_attack.eps": [2 / 255, 4 / 255, 16 / 255]},
        "photos_attack.eps",
        "expected 8/255 among the strengths (the tables are at 8/255)",
    ),
    (
        {"defence_adaptive.eps": [4 / 255]},
        "defence_adaptive.eps",
        "expected 8/255 among the strengths (the tables are at 8/255)",
    ),
    (
        {"defence_adaptive.eps": [8 / 255, 6 / 255]},
        "defence_adaptive.eps",
        "expected values of photos_attack.eps, whose",
    ),
    ({"halftone_activations.eps": 6 / 255}, "halftone_activations.eps", "expected values of photos_attack.eps, whose"),
    (
        {"defence_adaptive.long_steps": 20},
        "defence_adaptive.long_steps",
        "expected three different numbers, beside table_steps 20 and steps 12",
    ),
    (
        {"defence_adaptive.table_steps": 12},
        "defence_adaptive.long_steps",
        "expected three different numbers, beside table_steps 12 and steps 12",
    ),
    (
        {"mask_tuning.seed": 1},
        "mask_tuning.seed",
        "expected values of scenes_train.tuning_seed, whose network no result",
    ),
    (
        {"scenes_train.tuning_seed": 3, "mask_tuning.seed": 3},
        "scenes_train.tuning_seed",
        "expected a seed that results",
    ),
    (
        {"mask_steps.seed": 4},
        "mask_steps.seed",
        "expected values of scenes_train.seeds and scenes_train.tuning_seed, whose",
    ),
    (
        {"mask_maps.seeds": [1, 4]},
        "mask_maps.seeds",
        "expected values of scenes_train.seeds, whose networks it explains",
    ),
    ({"mask_maps.family_seeds": [2]}, "mask_maps.family_seeds", "expected values of scenes_train.family_seeds, whose"),
    ({"scenes_train.families": ["resnet"]}, "mask_maps.families", "expected values of scenes_train.families, whose"),
    (
        {"mask_tuning.strength": 0.2},
        "mask_maps.strength",
        "expected values of mask_tuning.strength, at which the weights",
    ),
    ({"mask_randomization.seeds": [4]}, "mask_randomization.seeds", "expected values of scenes_train.seeds, whose"),
    ({"counterfactual_steps.seed": 4}, "counterfactual_steps.seed", "expected values of objects_train.seeds, whose"),
    (
        {"counterfactual_sets.seeds": [1, 4]},
        "counterfactual_sets.seeds",
        "expected values of objects_train.seeds, whose",
    ),
    (
        {"truth_counterfactuals.seeds": [1, 4]},
        "truth_counterfactuals.seeds",
        "expected values of objects_train.seeds, whose",
    ),
    ({"truth_counterfactuals.seed": 4}, "truth_counterfactuals.seed", "expected values of objects_data.seed, whose"),
    (
        {"counterfactual_controls.seed": 4},
        "counterfactual_controls.seed",
        "expected values of counterfactual_sets.seeds",
    ),
    ({"my_method.scene_seed": 7}, "my_method.scene_seed", "expected values of scenes_data.seed, whose scenes it takes"),
    (
        {"my_method.training": 7},
        "my_method.training",
        "expected values of scenes_train.seeds, whose network it explains",
    ),
    ({"counterfactual_sets.confidence": 0.8}, "counterfactual_sets.confidence", "expected 0.9, at which claims and"),
    ({"counterfactual_sets.levels": [0.8, 0.99]}, "counterfactual_sets.levels", "expected 0.9 among the confidences"),
    ({"counterfactual_sets.images": 151}, "counterfactual_sets.sets", "expected at most 3 sets of 151 images, since"),
    (
        {"spurious_features.strengths": [0.0, 0.4]},
        "spurious_features.strengths",
        "expected 0.0, 0.8 among the strengths",
    ),
    (
        {"scenes_data.coco_images": "a"},
        "scenes_data.coco_images",
        "expected a path exactly where scenes_data.coco_inst",
    ),
    (
        {"scenes_data.coco_instances": "a"},
        "scenes_data.coco_images",
        "expected a path exactly where scenes_data.coco_in",
    ),
    ({"truth_methods.seeds": [4]}, "truth_methods.seeds", "expected values of truth_worlds.seeds, whose effects it"),
    ({"truth_methods.objects": ["small"]}, "truth_methods.objects", "expected values of truth_worlds.objects, whose"),
    ({"truth_methods.strength": 0.25}, "truth_methods.strength", "expected values of mask_tuning.strength, at which"),
    ({"truth_worlds.seeds": [4]}, "truth_worlds.seeds", "expected values of scenes_train.seeds, whose networks it"),
    (
        dict.fromkeys(["truth_worlds.seeds", "truth_methods.seeds", "truth_metrics.seeds"], [4])
        | {"scenes_train.seeds": [1, 2, 3, 4], "objects_train.seeds": [1, 2, 3]},
        "truth_worlds.seeds",
        "expected values of objects_train.seeds, whose networks it asks: [1, 2, 3]",
    ),
    ({"truth_metrics.seeds": [4]}, "truth_metrics.seeds", "expected values of truth_worlds.seeds, whose worlds'"),
    ({"truth_worlds.digits_seed": 3}, "truth_worlds.digits_seed", "expected values of scenes_data.seed, whose test"),
    ({"truth_worlds.seed": 1}, "truth_worlds.seed", "expected another seed than those of the data sets, 1, 1, 1"),
]
KEPT = [  # changes that leave every condition satisfied
    {"faces_attack.eps": [0.1, 0.075, 0.05, 0.01]},
    {"faces_train.networks": ["compact/resnet", "compact/inception"]},
    {"mask_steps.seed": 0},
    {"mask_maps.families": []},
    {"photos_attack.eps": [2 / 255, 4 / 255, 8 / 255, 16 / 255, 32 / 255]},
    {"counterfactual_sets.images": 150},
    {"counterfactual_sets.images": 200, "objects_data.root": "~/cifar"},
    {"scenes_data.coco_images": "a", "scenes_data.coco_instances": "b"},
    {"mod_vid.window": 63},
    {"photos_data.size": 48},
    {"photos_data.size": 32, "photos_train.network": "aecompanion.networks.cifar_resnet:resnet20"},
]


def changed(changes):
    values = {name: dict(content) if isinstance(content, dict) else content for name, content in OWN.items()}
    for parameter, value in changes.items():
        section, name = parameter.split(".")
        values[section][name] = value
    return values


@pytest.mark.parametrize(("changes", "blamed", "expected"), BROKEN)
def test_a_broken_condition_is_one_sentence_with_parameter_value_and_what_was_expected(changes, blamed, expected):
    values = changed(changes)
    section, name = blamed.split(".")
    with pytest.raises(ValueError) as caught:
        conditions.check(values, "params.yaml")
    message = str(caught.value)
    assert message.startswith(f"params.yaml: {blamed} is {conditions.shown(values[section][name])}: {expected}")
    assert "\n" not in message


@pytest.mark.parametrize("changes", KEPT)
def test_what_no_condition_forbids_passes(changes):
    conditions.check(changed(changes), "params.yaml")


def test_every_condition_is_broken_by_some_case():
    def broken(condition, changes):
        values = changed(changes)
        places = [parameter.split(".") for parameter in condition.parameters]
        return condition.broken(*(values[section][name] for section, name in places)) is not None

    for condition in conditions.CONDITIONS:
        assert any(broken(condition, changes) for changes, _, _ in BROKEN), condition.parameters


def test_conditions_are_about_parameters_that_exist():
    for condition in conditions.CONDITIONS:
        for parameter in condition.parameters:
            section, name = parameter.split(".")
            assert name in OWN[section], parameter


@pytest.mark.parametrize(
    ("value", "expected"),
    [(8 / 255, "8/255"), ([2 / 255, 0.01], "[2/255, 0.01]"), (1.0, "1.0"), (0, "0"), ("a", "'a'"), (["a"], "['a']")],
)
def test_a_strength_that_is_a_grey_level_is_shown_as_one(value, expected):
    assert conditions.shown(value) == expected


def test_a_condition_on_a_section_that_is_not_given_is_not_checked():
    conditions.check({"halftone_activations": {"eps": 6 / 255}}, "-p")


def test_the_conditions_ask_for_the_levels_of_tables_and_claims():
    arguments = [claim.arguments | {"estimate": claim.estimator.__name__} for claim in claims.register()]
    assert conditions.HOLDING["faces_attack.eps"][0] == shift_tables.LEVELS
    for attacked in ("photos_attack.eps", "defence_adaptive.eps"):
        assert conditions.HOLDING[attacked][0] == (halftone_tables.LEVEL / 255,)
    both = {given["level"] for given in arguments if given["estimate"].startswith("photograph_") and "level" in given}
    assert {round(255 * each) for each in conditions.HOLDING["imagenet_effects.eps"][0]} == both
    marks = {each for given in arguments if given["estimate"] == "fooled_by_mark" for each in given["strengths"]}
    assert set(conditions.HOLDING["spurious_features.strengths"][0]) == marks
    least = {given["level"] for given in arguments if given["estimate"] == "norms_differ"}
    assert set(conditions.HOLDING["counterfactual_sets.levels"][0]) == least
    assert [given["confidence"] for given in arguments if given["estimate"] == "matched"] == [0.9]
    modes = {given["mode"] for given in arguments if given.get("mode")}
    assert set(conditions.HOLDING["faces_gradcam.modes"][0]) == modes
