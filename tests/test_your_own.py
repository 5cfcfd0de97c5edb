"""The notebooks for a reader's network, images and method, opened by hand: a wrong parameter is one right sentence."""

import json

import matplotlib
import matplotlib_inline.backend_inline
import pytest

from aecompanion.pipeline import paths
from aecompanion.pipeline.notebooks import locate

ASKED = {  # the cell that has read the parameters
    "my_network": "check_folder(root)",
    "my_images": "own = own_images(",
    "my_method": "own_method.load(name)",
}


MISSING = FileNotFoundError


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """Run a notebook's code cells up to that cell, as somebody who opens it and changes parameters."""
    monkeypatch.setattr(matplotlib_inline.backend_inline, "set_matplotlib_formats", lambda *_, **__: None)
    monkeypatch.setattr(paths, "BY_HAND", tmp_path / "by_hand")
    monkeypatch.delenv(paths.STAGE_VARIABLE, raising=False)

    def run(name, **given):
        variables = {}
        for cell in json.loads(locate(name).read_text())["cells"]:
            source = "".join(cell["source"])
            if cell["cell_type"] == "code":
                exec(compile(source, name, "exec"), variables)  # noqa: S102
                if "parameters" in cell["metadata"].get("tags", []):
                    assert given.keys() <= variables.keys()
                    variables |= given
                if ASKED[name] in source:
                    return variables
        raise AssertionError(f"{name} has no cell with {ASKED[name]!r}")

    with matplotlib.rc_context():
        yield run


def test_a_network_by_name_needs_nothing_else(opened):
    found = opened("my_network", source="torchvision/resnet18")
    assert (found["names"][340], found["native"], found["choice"].weights) == ("zebra", 224, "pretrained")


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        (
            {"source": "torchvision/resnet19"},
            ValueError,
            "network 'torchvision/resnet19' is unknown to torchvision .nearest",
        ),
        (
            {"source": "mine:make"},
            ValueError,
            "network 'mine:make' has no pretrained weights, .*: set weights to",
        ),
        (
            {"weights": "HERE/pretraned"},
            FileNotFoundError,
            ".*/pretraned: no such file, .*.did you mean pretrained..",
        ),
        ({"classes": "HERE/names.txt"}, MISSING, ".*/names.txt: no such file, expected a text file"),
        ({"photographs": ["chelsae"]}, ValueError, "photograph 'chelsae' is unknown, expected one of: .*chelsea"),
        ({"root": "HERE/photos"}, MISSING, ".*/photos: no such folder, expected a folder of images"),
        ({"root": "HERE"}, ValueError, ".*: holds no images, expected .jpg"),
    ],
)
def test_my_network_says_what_is_wrong_before_it_makes_a_network(opened, tmp_path, given, error, said):
    empty = tmp_path / "here"
    empty.mkdir()
    given = {
        name: value.replace("HERE", str(empty)) if name != "photographs" else value for name, value in given.items()
    }
    with pytest.raises(error, match=f"^{said}[^\n]*$"):
        opened("my_network", **given)


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"root": "HERE/photos"}, MISSING, ".*/photos: no such folder, expected a folder of images"),
        ({"root": "HERE"}, ValueError, ".*: holds no images, expected .jpg"),
        (
            {"boxes": "HERE/boxes.csv"},
            FileNotFoundError,
            ".*/boxes.csv: no such file, expected a table with the columns",
        ),
        ({"unreadable": "ignore"}, ValueError, "unreadable is 'ignore', expected"),
    ],
)
def test_my_images_says_what_is_wrong_where_it_reads_the_folder(opened, tmp_path, given, error, said):
    empty = tmp_path / "here"
    empty.mkdir()
    with pytest.raises(error, match=f"^{said}[^\n]*$"):
        opened("my_images", **{name: value.replace("HERE", str(empty)) for name, value in given.items()})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"explain": "mine"}, "'mine' names no function, expected package.module:function or path/to/file.py:function"),
        ({"attack": "nowhere.mine:f"}, "'nowhere.mine:f' cannot be imported .ModuleNotFoundError: No module named"),
        (
            {"defend": "aecompanion.studies.own_examples:gausian_blur"},
            ".* has no 'gausian_blur', did you mean 'gaussian",
        ),
        ({"explain": None, "attack": None, "defend": None, "detect": None}, "nothing is handed in, expected explain,"),
        ({"compared": ["BP", "Grad-cam"]}, "compared holds 'Grad-cam', expected some of BP, Grad-CAM, RISE"),
        ({"defences": ["blur"]}, "defences holds 'blur', expected some of no defence, jpeg"),
    ],
)
def test_my_method_says_what_is_wrong_before_it_computes_anything(opened, given, said):
    with pytest.raises(ValueError, match=f"^{said}[^\n]*$"):
        opened("my_method", **given)


@pytest.mark.parametrize("name", ["my_network", "my_images"])
def test_before_make_data_one_sentence_says_so(opened, tmp_path, monkeypatch, name):
    monkeypatch.setattr(paths, "DATA", tmp_path / "data")
    monkeypatch.setattr(paths, "IN_CHECKOUT", True)
    with pytest.raises(FileNotFoundError, match=r"^data/\w+/\S+ is missing: `make data` copies it from the installed"):
        opened(name)
