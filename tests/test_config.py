import pytest
import yaml

from lib import config
from lib.defend.halftone import METHODS
from lib.paths import ROOT
from lib.report import paper4

PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
TUTORIAL = ROOT / "profiles" / "tutorial.yaml"

GOOD = [  # values at the edge of what is allowed
    ("faces_data", "root", None),
    ("faces_data", "root", "~/faces"),
    ("faces_data", "identities", None),
    ("faces_data", "identities", 2),
    ("faces_data", "samples", 3),
    ("faces_data", "size", 48),
    ("faces_train", "lr", 1),
    ("faces_train", "seeds", [0]),
    ("faces_attack", "eps", [0.0, 1.0]),
    ("faces_attack", "eps", [0, 1]),
    ("faces_attack", "images", None),
    ("faces_attack", "device", "mps"),
    ("faces_attack", "device", "cuda:3"),
    ("mod_vid", "resamples", 100),
    ("photos_data", "root", "~/photos"),
    ("photos_data", "classes", 2),
    ("photos_data", "train", 2),
    ("photos_data", "test", 1),
    ("photos_data", "size", 48),
    ("photos_data", "channels", 3),
    ("photos_data", "quality", 1),
    ("photos_data", "quality", 95),
    ("photos_data", "bits", 8),
    ("photos_data", "tv_weight", 1),
    ("photos_data", "dots", "bayer"),
    ("halftone_gallery", "size", 32),
    ("halftone_gallery", "noise", 255),
    ("photos_train", "epochs", 2),
    ("photos_train", "batch", 2),
    ("photos_train", "inverse_epochs", 1),
    ("photos_attack", "levels", [8]),
    ("photos_attack", "levels", [1, 255, 8]),
    ("photos_attack", "images", None),
    ("halftone_activations", "level", 1),
    ("defence_transfer", "resamples", 100),
    ("defence_adaptive", "levels", [16, 8]),
    ("defence_adaptive", "noise", 0),
    ("defence_adaptive", "noise", 0.5),
    ("imagenet_defences", "images", 21),
    ("imagenet_defences", "levels", [1]),  # its table is not at 8/255
]
BAD = [  # section, parameter, value, what the sentence says after "is VALUE: "
    ("00_start_here", "photograph", 3, "input should be a valid string"),
    ("00_start_here", "eps", "0.01", "input should be a valid number"),
    ("00_start_here", "eps", float("nan"), "input should be less than or equal to 1"),
    ("faces_data", "root", 3, "input should be a valid string"),
    ("faces_data", "identities", 1, "input should be greater than or equal to 2"),
    ("faces_data", "identities", 40.0, "input should be a valid integer"),
    ("faces_data", "samples", "60", "input should be a valid integer"),
    ("faces_data", "size", 47, "input should be greater than or equal to 48"),
    ("faces_data", "channels", 2, "input should be 1 or 3"),
    ("faces_data", "seed", True, "input should be a valid integer"),
    ("faces_data", "seed", -1, "input should be greater than or equal to 0"),
    ("faces_data", "unreadable", "ignore", "input should be 'error' or 'skip'"),
    ("faces_train", "networks", "compact/vgg", "input should be a valid list"),
    ("faces_train", "networks", [], "list should have at least 1 item"),
    ("faces_train", "seeds", [1, -1], "input should be greater than or equal to 0"),
    ("faces_train", "epochs", 0, "input should be greater than or equal to 1"),
    ("faces_train", "lr", 0.0, "input should be greater than 0"),
    ("faces_train", "device", "gpu", "string should match pattern"),
    ("faces_train", "device", "cuda:", "string should match pattern"),
    ("faces_attack", "eps", [0.1, 1.5], "input should be less than or equal to 1"),
    ("faces_attack", "eps", 0.1, "input should be a valid list"),
    ("faces_attack", "images", 0, "input should be greater than or equal to 1"),
    ("faces_gradcam", "modes", ["own"], "input should be 'own_pred', 'clean_pred' or 'true_label'"),
    ("mod_vid", "window", None, "input should be a valid integer"),
    ("claims_report", "resamples", 99, "input should be greater than or equal to 100"),
    ("my_network", "mean", [123.7], "input should be less than or equal to 1"),
    ("my_network", "mean", 0.5, "input should be a valid list"),
    ("my_network", "photographs", [], "list should have at least 1 item"),
    ("my_images", "fill", "grey", "input should be 'mean', 'ring', 'black', 'white', 'blur' or 'inpaint'"),
    ("my_images", "share", 1.0, "input should be less than 1"),
    ("photos_data", "root", 3, "input should be a valid string"),
    ("photos_data", "classes", 1, "input should be greater than or equal to 2"),
    ("photos_data", "train", 1, "input should be greater than or equal to 2"),
    ("photos_data", "validation", 0, "input should be greater than or equal to 1"),
    ("photos_data", "test", None, "input should be a valid integer"),
    ("photos_data", "size", 47, "input should be greater than or equal to 48"),
    ("photos_data", "channels", 2, "input should be 1 or 3"),
    ("photos_data", "unreadable", "ignore", "input should be 'error' or 'skip'"),
    ("photos_data", "quality", 0, "input should be greater than or equal to 1"),
    ("photos_data", "quality", 96, "input should be less than or equal to 95"),
    ("photos_data", "bits", 9, "input should be less than or equal to 8"),
    ("photos_data", "tv_weight", 0.0, "input should be greater than 0"),
    ("photos_data", "dots", "floyd", "input should be 'floyd_steinberg', 'jarvis', 'stucki', 'atkinson' or 'bayer'"),
    ("halftone_gallery", "size", 31, "input should be greater than or equal to 32"),
    ("halftone_gallery", "noise", 256, "input should be less than or equal to 255"),
    ("photos_train", "network", ["compact/residual"], "input should be a valid string"),
    ("photos_train", "epochs", 1, "input should be greater than or equal to 2"),
    ("photos_train", "batch", 33, "input should be a multiple of 2"),
    ("photos_train", "batch", 0, "input should be greater than or equal to 2"),
    ("photos_train", "lr", 1.5, "input should be less than or equal to 1"),
    ("photos_train", "inverse_epochs", 0, "input should be greater than or equal to 1"),
    ("photos_attack", "levels", [4, 16], "expected 8 among the levels (the tables are at 8/255)"),
    ("counterfactual_sets", "levels", [0.8, 0.99], "expected 0.9 among the confidences (the claims are at 0.9)"),
    ("photos_attack", "levels", [], "list should have at least 1 item"),
    ("photos_attack", "levels", [8, 0], "input should be greater than or equal to 1"),
    ("photos_attack", "levels", [8, 256], "input should be less than or equal to 255"),
    ("photos_attack", "levels", [8, 0.1], "input should be a valid integer"),
    ("photos_attack", "levels", 8, "input should be a valid list"),
    ("photos_attack", "steps", 0, "input should be greater than or equal to 1"),
    ("photos_attack", "workers", 0, "input should be greater than or equal to 1"),
    ("halftone_activations", "level", 0, "input should be greater than or equal to 1"),
    ("halftone_activations", "resamples", 99, "input should be greater than or equal to 100"),
    ("defence_transfer", "workers", 0, "input should be greater than or equal to 1"),
    ("defence_adaptive", "images", None, "input should be a valid integer"),
    ("defence_adaptive", "draws", 0, "input should be greater than or equal to 1"),
    ("defence_adaptive", "noise", -0.1, "input should be greater than or equal to 0"),
    ("defence_adaptive", "noise", 0.51, "input should be less than or equal to 0.5"),
    ("imagenet_defences", "images", 22, "input should be less than or equal to 21"),
    ("imagenet_defences", "levels", [], "list should have at least 1 item"),
]


@pytest.fixture
def write(tmp_path):
    """Write text (or a mapping) as small.yaml and return the file."""

    def to(content):
        file = tmp_path / "small.yaml"
        file.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return file

    return to


def sentence(file):
    """The message of the error that loading the file raises; always one line that begins with the file's name."""
    with pytest.raises(ValueError) as caught:
        config.load(file)
    message = str(caught.value)
    assert message.startswith("small.yaml: ")
    assert "\n" not in message
    return message.removeprefix("small.yaml: ")


# ---- the project's own files


def test_the_projects_parameters_fit_the_schema():
    assert config.load() == PARAMS


def test_the_projects_parameters_and_the_schema_have_the_same_sections_and_names():
    assert set(PARAMS) == {*config.TOP_LEVEL, *config.SCHEMA}
    everywhere = {"device"}  # of a section only where it differs from the top of the file
    assert {name: set(PARAMS[name]) for name in config.SCHEMA} == {
        name: set(of) - everywhere for name, of in config.SCHEMA.items()
    }


def test_the_tutorial_profile_empties_every_section():
    composed = config.compose(config.load(), config.load(TUTORIAL))
    assert composed == {name: PARAMS[name] for name in config.TOP_LEVEL} | {name: {} for name in config.SCHEMA}


# ---- one value


@pytest.mark.parametrize(("section", "name", "value"), GOOD)
def test_a_value_at_the_edge_is_accepted(write, section, name, value):
    assert config.load(write({section: {name: value}})) == {section: {name: value}}


@pytest.mark.parametrize(("section", "name", "value", "expected"), BAD)
def test_a_bad_value_is_one_sentence_with_file_section_parameter_and_value(write, section, name, value, expected):
    assert sentence(write({section: {name: value}})).startswith(f"{section}.{name} is {value!r}: {expected}")


@pytest.mark.parametrize("section", ["photos_attack", "defence_adaptive"])
@pytest.mark.parametrize("levels", [[2, 4, 16], [7, 9], [80]])
def test_levels_without_that_of_the_tables_are_a_sentence_that_asks_for_it(write, section, levels):
    found = sentence(write({section: {"levels": levels}}))
    assert found.startswith(f"{section}.levels is {levels}: ")
    assert found.endswith(f"expected {paper4.LEVEL} among the levels (the tables are at {paper4.LEVEL}/255)")


def test_every_dither_that_the_project_has_can_be_chosen():
    for dots in METHODS:
        config.check_section("photos_data", {"dots": dots}, "-p")


@pytest.mark.parametrize("value", [0, -1, 1.5, "2", True, None])
def test_a_bad_number_of_threads_is_one_sentence(write, value):
    assert sentence(write({"threads": value})).startswith(f"threads is {value!r}: input should be ")


@pytest.mark.parametrize("value", ["float16", "bf16", 16, None])
def test_an_unknown_precision_is_one_sentence(write, value):
    assert sentence(write({"precision": value})).startswith(f"precision is {value!r}: input should be 'float32' or ")


# ---- sections and files


def test_an_unknown_section_is_a_sentence_that_lists_the_known_ones(write):
    known = ", ".join([*config.TOP_LEVEL, *config.SCHEMA])
    assert sentence(write({"faces_dat": {}})) == f"section 'faces_dat' is unknown, expected one of: {known}"


def test_an_unknown_parameter_is_a_sentence_that_lists_the_known_ones(write):
    found = sentence(write({"mod_vid": {"seed": 0, "windw": 7}}))
    assert found == "mod_vid.windw is not a parameter, expected one of: window, resamples, seed"


@pytest.mark.parametrize("section", [3, "seed", ["seed"]])
def test_a_section_that_is_no_mapping_is_a_sentence_with_what_it_is(write, section):
    assert sentence(write({"mod_vid": section})) == f"section mod_vid is {section!r}, expected a mapping of parameters"


@pytest.mark.parametrize(("content", "kind"), [("[1, 2]", "list"), ("just words", "str"), ("5", "int")])
def test_a_file_that_is_no_mapping_is_a_sentence_with_what_it_is(write, content, kind):
    assert sentence(write(content)) == f"holds a {kind}, expected a mapping of sections"


@pytest.mark.parametrize("content", ["mod_vid: {seed: 0", "mod_vid:\n\tseed: 0", "a: b: c"])
def test_a_file_that_is_not_yaml_is_one_sentence(write, content):
    assert sentence(write(content)).startswith("not valid YAML (")


@pytest.mark.parametrize(("content", "values"), [("", {}), ("mod_vid:\n", {"mod_vid": None})])
def test_an_empty_file_and_an_empty_section_are_accepted(write, content, values):
    assert config.load(write(content)) == values


def test_a_section_is_checked_under_the_name_its_values_came_by():
    with pytest.raises(ValueError, match=r"^-p: mod_vid\.seed is 'x': input should be a valid integer"):
        config.check_section("mod_vid", {"seed": "x"}, "-p")


# ---- composing


BASE = {"threads": 2, "mod_vid": {"window": 7, "seed": 0}, "shift_gallery": {"seed": 0}}


@pytest.mark.parametrize(
    ("overlay", "changed"),
    [
        ({}, {}),
        ({"mod_vid": {"seed": 5}}, {"mod_vid": {"window": 7, "seed": 5}}),
        ({"mod_vid": {"resamples": 100}}, {"mod_vid": {"window": 7, "seed": 0, "resamples": 100}}),
        ({"mod_vid": None}, {"mod_vid": {}}),
        ({"mod_vid": {}}, {}),
        ({"threads": 1}, {"threads": 1}),
        ({"claims_report": {"seed": 3}}, {"claims_report": {"seed": 3}}),
    ],
    ids=["nothing", "replaced", "added", "emptied", "untouched", "top-level", "new-section"],
)
def test_a_profile_replaces_keys_and_null_empties_a_section(overlay, changed):
    assert config.compose(BASE, overlay) == BASE | changed


def test_a_profile_may_fill_a_section_that_the_base_leaves_empty():
    assert config.compose({"mod_vid": None}, {"mod_vid": {"seed": 5}}) == {"mod_vid": {"seed": 5}}


def test_composing_leaves_both_sides_as_they_were():
    base, overlay = {"mod_vid": {"seed": 0}}, {"mod_vid": {"seed": 1}, "shift_gallery": None}
    config.compose(base, overlay)["mod_vid"]["seed"] = 9
    config.compose(base, {})["mod_vid"]["seed"] = 9
    assert base == {"mod_vid": {"seed": 0}}
    assert overlay == {"mod_vid": {"seed": 1}, "shift_gallery": None}


# profiles


def test_a_profile_lies_over_the_one_it_extends(tmp_path):
    files = {
        "params": {"threads": 2, "mod_vid": {"window": 7, "resamples": 500}, "shift_gallery": {"seed": 3}},
        "small": {"mod_vid": None},
        "real": {"extends": "small", "download": True, "mod_vid": {"window": 9}},
    }
    for name, values in files.items():
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(values))
    found = config.profile("real", tmp_path, tmp_path / "params.yaml")
    expected = {"threads": 2, "mod_vid": {"window": 9}, "shift_gallery": {"seed": 3}, "download": True}
    assert found == expected


def test_a_profile_that_extends_itself_or_nothing_known_says_so(tmp_path):
    (tmp_path / "params.yaml").write_text("threads: 2\n")
    (tmp_path / "loop.yaml").write_text("extends: loop\n")
    (tmp_path / "lost.yaml").write_text("extends: none\n")
    with pytest.raises(ValueError, match="loop.yaml: extends itself, expected another profile"):
        config.profile("loop", tmp_path, tmp_path / "params.yaml")
    with pytest.raises(FileNotFoundError, match="profiles/none.yaml is missing, expected one of: loop, lost, params"):
        config.profile("lost", tmp_path, tmp_path / "params.yaml")
