import time

import nbformat
import papermill
import pytest
import yaml
from nbformat import v4

from aecompanion.defend.halftone import METHODS
from aecompanion.pipeline import parameters
from aecompanion.pipeline.notebooks import sources
from aecompanion.pipeline.parameters import Eps, Natural, Parameter
from aecompanion.pipeline.paths import ROOT

PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
SECTIONS = parameters.sections()

GOOD = [  # values at the edge of what is allowed
    ("faces_data", "root", None),
    ("faces_data", "root", "~/faces"),
    ("faces_data", "identities", None),
    ("faces_data", "identities", 2),
    ("faces_data", "samples", 3),
    ("faces_data", "size", 48),
    ("faces_train", "lr", 1),
    ("digits_data", "samples", 500),
    ("mod_vid", "window", 3),
    ("mask_maps", "families", []),
    ("my_network", "cam_layers", None),
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
    ("photos_data", "size", 32),
    ("photos_data", "channels", 3),
    ("photos_data", "validation_of", "test"),
    ("photos_train", "start", "public/weights/net.th"),
    ("objects_train", "judge_start", None),
    ("photos_data", "quality", 1),
    ("photos_data", "quality", 95),
    ("photos_data", "bits", 8),
    ("photos_data", "tv_weight", 1),
    ("photos_data", "dots", "bayer"),
    ("halftone_gallery", "size", 32),
    ("halftone_gallery", "eps", 1),
    ("photos_train", "epochs", 2),
    ("photos_train", "batch", 2),
    ("photos_train", "inverse_epochs", 1),
    ("photos_attack", "eps", [8 / 255]),
    ("photos_attack", "eps", ["1/255", "255/255", "8/255"]),
    ("photos_attack", "eps", ["8/255", 2 / 255]),
    ("photos_attack", "images", None),
    ("halftone_activations", "eps", "1/255"),
    ("defence_transfer", "resamples", 100),
    ("defence_adaptive", "eps", ["16/255", "8/255"]),
    ("defence_adaptive", "noise", 0),
    ("defence_adaptive", "noise", 0.5),
    ("imagenet_defences", "images", None),
    ("imagenet_defences", "eps", "1/255"),  # its table is not at 8/255
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
    ("faces_train", "seeds", [1, 2, 1], "list should not hold a value twice"),
    ("faces_attack", "eps", [0.1, "k/255"], "input should be a valid number"),
    ("00_start_here", "eps", "256/255", "input should be less than or equal to 1"),
    ("00_start_here", "eps", "-1/255", "input should be a valid number"),
    ("00_start_here", "eps", "1/2", "input should be a valid number"),
    ("my_images", "radius", "0/255", "input should be greater than 0"),
    ("digits_data", "samples", 501, "input should be less than or equal to 500"),
    ("mod_vid", "window", 8, "input should be odd"),
    ("mask_maps", "families", ["vgg"], "input should be 'googlenet' or 'resnet'"),
    ("chest_data", "healthy", 1.0, "input should be less than 1"),
    ("chest_data", "marker_chance", [0.8], "list should have at least 2 items"),
    ("spurious_features", "strengths", [0.8, 0.8], "list should not hold a value twice"),
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
    ("photos_data", "size", 31, "input should be greater than or equal to 32"),
    ("photos_data", "channels", 2, "input should be 1 or 3"),
    ("photos_data", "validation_of", "val", "input should be 'train' or 'test'"),
    ("objects_train", "start", 3, "input should be a valid string"),
    ("objects_train", "start_lr", 0, "input should be greater than 0"),
    ("photos_data", "unreadable", "ignore", "input should be 'error' or 'skip'"),
    ("photos_data", "quality", 0, "input should be greater than or equal to 1"),
    ("photos_data", "quality", 96, "input should be less than or equal to 95"),
    ("photos_data", "bits", 9, "input should be less than or equal to 8"),
    ("photos_data", "tv_weight", 0.0, "input should be greater than 0"),
    ("photos_data", "dots", "floyd", "input should be 'floyd_steinberg', 'jarvis', 'stucki', 'atkinson' or 'bayer'"),
    ("halftone_gallery", "size", 31, "input should be greater than or equal to 32"),
    ("halftone_gallery", "eps", "256/255", "input should be less than or equal to 1"),
    ("photos_train", "network", ["compact/residual"], "input should be a valid string"),
    ("photos_train", "epochs", 1, "input should be greater than or equal to 2"),
    ("photos_train", "batch", 33, "input should be a multiple of 2"),
    ("photos_train", "batch", 0, "input should be greater than or equal to 2"),
    ("photos_train", "lr", 1.5, "input should be less than or equal to 1"),
    ("photos_train", "inverse_epochs", 0, "input should be greater than or equal to 1"),
    ("photos_attack", "eps", [], "list should have at least 1 item"),
    ("photos_attack", "eps", [0.1, -0.1], "input should be greater than or equal to 0"),
    ("photos_attack", "eps", [0.1, "256/255"], "input should be less than or equal to 1"),
    ("photos_attack", "eps", [0.1, "8 of 255"], "input should be a valid number"),
    ("photos_attack", "eps", 0.1, "input should be a valid list"),
    ("photos_attack", "steps", 0, "input should be greater than or equal to 1"),
    ("photos_attack", "workers", 0, "input should be greater than or equal to 1"),
    ("halftone_activations", "eps", 8, "input should be less than or equal to 1"),
    ("halftone_activations", "resamples", 99, "input should be greater than or equal to 100"),
    ("defence_transfer", "workers", 0, "input should be greater than or equal to 1"),
    ("defence_adaptive", "images", None, "input should be a valid integer"),
    ("defence_adaptive", "draws", 0, "input should be greater than or equal to 1"),
    ("defence_adaptive", "noise", -0.1, "input should be greater than or equal to 0"),
    ("defence_adaptive", "noise", 0.51, "input should be less than or equal to 0.5"),
    ("imagenet_defences", "known", 0, "input should be greater than or equal to 1"),
    ("imagenet_defences", "eps", 1.5, "input should be less than or equal to 1"),
]


@pytest.fixture
def write(tmp_path):
    """Write text (or a mapping) as small.yaml and return the file."""

    def to(content):
        file = tmp_path / "small.yaml"
        file.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return file

    return to


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Write params.yaml and profiles of a project and point the module to it."""
    monkeypatch.setattr(parameters, "ROOT", tmp_path)

    def to(params, **profiles):
        (tmp_path / "profiles").mkdir()
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
        for name, values in profiles.items():
            (tmp_path / "profiles" / f"{name}.yaml").write_text(yaml.safe_dump(values))

    return to


@pytest.fixture
def notebook(tmp_path):
    """Write a notebook with this parameters cell and return the file."""

    def to(code):
        cells = [v4.new_code_cell("other = 3"), v4.new_code_cell(code, metadata={"tags": ["parameters"]})]
        file = tmp_path / "tiny.ipynb"
        nbformat.write(v4.new_notebook(cells=cells), file)
        return file

    return to


def sentence(file):
    """The message of the error that loading the file raises; always one line that begins with the file's name."""
    with pytest.raises(ValueError) as caught:
        parameters.load(file)
    message = str(caught.value)
    assert message.startswith("small.yaml: ")
    assert "\n" not in message
    return message.removeprefix("small.yaml: ")


# ---- the parameters cell


def test_a_cell_declares_names_types_and_values(notebook):
    code = 'n: "Natural" = 3  # a = b\neps: "Eps" = 8 / 255  # x\nnames: "Optional[Names]" = [\n    "a"\n]  # y'
    found = parameters.declared(notebook(code))
    assert {name: each.value for name, each in found.items()} == {"n": 3, "eps": 8 / 255, "names": ["a"]}
    assert found["n"] == Parameter(Natural, 3)
    assert found["eps"].type is Eps


@pytest.mark.parametrize("line", ["n = 3", 'n: "Natural"', "n: int = 3", "print(3)"])
def test_a_line_without_type_or_value_is_one_sentence(notebook, line):
    with pytest.raises(ValueError, match=r"^tiny\.ipynb: .* declares no parameter, expected name: \"Type\" = value$"):
        parameters.declared(notebook(line))


def test_a_type_that_the_vocabulary_lacks_is_one_sentence(notebook):
    with pytest.raises(ValueError, match=r"^tiny\.ipynb: n is of type 'Integer', which `pipeline.parameters` lacks$"):
        parameters.declared(notebook('n: "Integer" = 3'))


def test_a_changed_notebook_is_read_again(notebook):
    file = notebook('n: "Natural" = 3')
    assert parameters.declared(file)["n"].value == 3
    time.sleep(0.01)
    assert parameters.declared(notebook('n: "Natural" = 4'))["n"].value == 4


@pytest.mark.parametrize("source", sources(), ids=lambda source: source.stem)
def test_papermill_sees_the_same_parameters_with_types_and_meanings(source):
    found = papermill.inspect_notebook(source)
    assert list(found) == list(SECTIONS[source.stem])
    assert all(each["inferred_type_name"] != "None" and each["help"] for each in found.values())


@pytest.mark.parametrize("section", SECTIONS)
def test_every_notebooks_own_values_are_of_their_types(section):
    own = {name: each.value for name, each in SECTIONS[section].items()}
    assert parameters.check_section(section, own, SECTIONS[section], "own") == own


# ---- the project's own files


def test_the_projects_parameters_are_of_their_types_and_satisfy_all_conditions():
    assert parameters.composed() == PARAMS


def test_params_yaml_has_every_section_which_dvc_asks_for_and_only_what_differs_from_the_notebooks():
    assert set(PARAMS) == {*parameters.TOP_LEVEL, *SECTIONS}
    same = [
        f"{section}.{name}"
        for section in SECTIONS
        for name, value in PARAMS[section].items()
        if value == SECTIONS[section][name].value
    ]
    assert same == []


@pytest.mark.parametrize("name", sorted(file.stem for file in (ROOT / "profiles").glob("*.yaml")))
def test_every_profile_is_of_its_types_and_satisfies_all_conditions(name):
    parameters.composed(name)


def test_the_tutorial_profile_empties_every_section():
    top = {name: PARAMS[name] for name in parameters.TOP_LEVEL}
    assert parameters.composed("tutorial") == top | {name: {} for name in SECTIONS}


def test_params_yaml_and_what_describes_parameters_stay_short():
    """A stage cost twenty lines (934 for 47) before the types moved into the notebooks: now less than half of that."""
    files = [
        ROOT / "params.yaml",
        *(ROOT / "lib" / "aecompanion" / "pipeline" / name for name in ("parameters.py", "conditions.py")),
    ]
    assert sum(len(file.read_text().splitlines()) for file in files) < 934 / 47 / 2 * len(SECTIONS)


# ---- one value


@pytest.mark.parametrize(("section", "name", "value"), GOOD)
def test_a_value_at_the_edge_is_accepted(write, section, name, value):
    many = isinstance(value, list)
    numbers = [int(each[:-4]) / 255 if str(each).endswith("/255") else each for each in (value if many else [value])]
    assert parameters.load(write({section: {name: value}})) == {section: {name: numbers if many else numbers[0]}}


@pytest.mark.parametrize(("section", "name", "value", "expected"), BAD)
def test_a_bad_value_is_one_sentence_with_file_section_parameter_and_value(write, section, name, value, expected):
    assert sentence(write({section: {name: value}})).startswith(f"{section}.{name} is {value!r}: {expected}")


@pytest.mark.parametrize(
    ("section", "name", "given", "expected"),
    [
        ("00_start_here", "eps", "8/255", 8 / 255),
        ("00_start_here", "eps", "0/255", 0.0),
        ("faces_attack", "eps", ["1/255", 0.01, "255/255"], [1 / 255, 0.01, 1.0]),
        ("objects_train", "linf", "4 / 255", 4 / 255),
        ("my_images", "radius", "510/255", 2.0),
    ],
)
def test_an_attack_strength_may_be_given_in_grey_levels_of_255(write, section, name, given, expected):
    assert parameters.load(write({section: {name: given}}))[section][name] == expected


def test_every_dither_that_the_project_has_can_be_chosen():
    for dots in METHODS:
        parameters.check_section("photos_data", {"dots": dots}, SECTIONS["photos_data"], "-p")


@pytest.mark.parametrize("value", [0, -1, 1.5, "2", True, None])
def test_a_bad_number_of_threads_is_one_sentence(write, value):
    assert sentence(write({"threads": value})).startswith(f"threads is {value!r}: input should be ")


@pytest.mark.parametrize("value", ["float16", "bf16", 16, None])
def test_an_unknown_precision_is_one_sentence(write, value):
    assert sentence(write({"precision": value})).startswith(f"precision is {value!r}: input should be 'float32' or ")


# ---- sections and files


def test_an_unknown_section_is_a_sentence_that_names_the_nearest(write):
    found = sentence(write({"faces_dat": {}}))
    assert found.startswith("section 'faces_dat' is unknown, expected a notebook or one of threads, device, precision")
    assert found.endswith("(nearest: faces_data)")


def test_an_unknown_parameter_is_a_sentence_that_lists_the_known_ones(write):
    found = sentence(write({"mod_vid": {"seed": 0, "windw": 7}}))
    known = "window, rendered, controlled, steps, draws, resamples, seed, device"
    assert found == f"mod_vid.windw is not a parameter, expected one of: {known}"


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
    assert parameters.load(write(content)) == values


def test_a_section_is_checked_under_the_name_its_values_came_by():
    with pytest.raises(ValueError, match=r"^-p: mod_vid\.seed is 'x': input should be a valid integer"):
        parameters.check_section("mod_vid", {"seed": "x"}, SECTIONS["mod_vid"], "-p")


# ---- composing


BASE = {"threads": 2, "mod_vid": {"window": 7, "seed": 0}, "shift_gallery": {"face": 0}}


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
    assert parameters.compose(BASE, overlay) == BASE | changed


def test_a_profile_may_fill_a_section_that_the_base_leaves_empty():
    assert parameters.compose({"mod_vid": None}, {"mod_vid": {"seed": 5}}) == {"mod_vid": {"seed": 5}}


def test_composing_leaves_both_sides_as_they_were():
    base, overlay = {"mod_vid": {"seed": 0}}, {"mod_vid": {"seed": 1}, "shift_gallery": None}
    parameters.compose(base, overlay)["mod_vid"]["seed"] = 9
    parameters.compose(base, {})["mod_vid"]["seed"] = 9
    assert base == {"mod_vid": {"seed": 0}}
    assert overlay == {"mod_vid": {"seed": 1}, "shift_gallery": None}


def test_complete_parameters_are_the_notebooks_own_where_a_section_says_nothing(project):
    project({"threads": 3, "mod_vid": {"seed": 4}, "shift_gallery": None})
    found = parameters.complete(parameters.composed())
    assert found["threads"] == 3
    assert found["mod_vid"] == {name: each.value for name, each in SECTIONS["mod_vid"].items()} | {"seed": 4}
    assert found["shift_gallery"] == {"face": SECTIONS["shift_gallery"]["face"].value}
    assert set(found) == {"threads", *SECTIONS}


# profiles


def test_a_profile_lies_over_the_one_it_extends(project):
    project(
        {"threads": 2, "mod_vid": {"window": 7, "resamples": 500}, "shift_gallery": {"face": 3}},
        small={"mod_vid": None},
        real={"extends": "small", "download": True, "mod_vid": {"window": 9}},
    )
    expected = {"threads": 2, "mod_vid": {"window": 9}, "shift_gallery": {"face": 3}, "download": True}
    assert parameters.composed("real") == expected


def test_a_profiles_files_have_a_hash_and_a_source(project):
    facts = {"sha256": "0" * 64, "source": "a site"}
    project({"threads": 2}, good={"files": {"public/a.th": facts}}, bad={"files": {"public/a.th": {"md5": "0"}}})
    assert parameters.composed("good")["files"] == {"public/a.th": facts}
    with pytest.raises(ValueError, match="bad.yaml: files is "):
        parameters.composed("bad")


def test_a_profile_that_extends_the_notebooks_starts_from_their_own_values_and_the_top_of_params_yaml(project):
    project({"threads": 3, "mod_vid": {"window": 9}}, small={"extends": "notebooks", "shift_gallery": {"face": 5}})
    own = {name: {} for name in SECTIONS}
    assert parameters.composed("small") == {"threads": 3} | own | {"shift_gallery": {"face": 5}}


def test_a_profile_that_extends_itself_or_nothing_known_says_so(project):
    project({"threads": 2}, loop={"extends": "loop"}, lost={"extends": "none"})
    with pytest.raises(ValueError, match="loop.yaml: extends itself, expected another profile or 'notebooks'"):
        parameters.composed("loop")
    with pytest.raises(FileNotFoundError, match="profiles/none.yaml is missing, expected one of: loop, lost$"):
        parameters.composed("lost")


def test_a_broken_condition_is_a_sentence_that_names_the_composed_file(project):
    project({"threads": 2}, small={"faces_attack": {"eps": [0.02, 0.04]}})
    with pytest.raises(ValueError, match=r"^small\.yaml: faces_attack\.eps is \[0\.02, 0\.04\]: expected 0\.01, "):
        parameters.composed("small")


def test_the_layers_below_a_profile_need_not_satisfy_the_conditions(project):
    project({"defence_adaptive": {"steps": 20}}, small={"defence_adaptive": {"table_steps": 30}})
    assert parameters.composed("small") == {"defence_adaptive": {"steps": 20, "table_steps": 30}}
