import json

import pytest

from aecompanion.pipeline import paths
from aecompanion.report import displays

CARD = {"source": "faces", "n": 240, "seeds": [1, 2]}


@pytest.fixture(autouse=True)
def tree(tmp_path, monkeypatch):
    """An empty project whose notebooks run as a stage."""
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(paths, "BUILD", tmp_path / "build")
    monkeypatch.setattr(paths, "BY_HAND", tmp_path / "build" / "by_hand")
    monkeypatch.setenv("COMPANION_STAGE", "mod_vid")
    return tmp_path


def write(path):
    path.write_text("content")


# ---- the register


def test_every_display_has_slug_notebook_title_and_original():
    for name, entry in displays.register().items():
        assert set(entry) - {"suffix", "alias"} == {"slug", "notebook", "title", "original"}, name
        assert all(entry.values()), name


def test_no_two_displays_have_the_same_file():
    files = [(displays.place(name, displays.suffix(name))) for name in displays.register()]
    assert len(set(files)) == len(files)


def test_a_display_is_found_by_its_id():
    assert displays.entry("F5.4")["slug"] == "vid_distribution"
    assert displays.stem("F5.4") == "F5.4_vid_distribution"
    assert displays.place("F5.4", ".png") == "displays/mod_vid/F5.4_vid_distribution.png"
    assert displays.place("T1.6", ".csv") == "displays/true_effects/T1.6_concepts.csv"


def test_the_companion_experiments_and_our_displays_of_paper_1_are_complete():
    known = displays.register()
    assert [known[name].get("alias") for name in known if name[:3] in ("F1.", "T1.")] == [f"C{k}" for k in range(1, 10)]
    numbers = [int(name.removeprefix("X1.")) for name in known if name.startswith("X1.")]
    assert numbers == sorted(numbers)
    assert set(range(1, 17)) <= set(numbers)


@pytest.mark.parametrize("function", [displays.entry, displays.stem, lambda name: displays.place(name, ".png")])
def test_an_unknown_id_is_an_error_that_names_it_and_the_register(function):
    with pytest.raises(ValueError, match=r"^display 'F5\.40' is in no lib/aecompanion/papers/\*/paper\.yaml$"):
        function("F5.40")


# ---- saving


def test_a_display_and_its_card_are_saved_side_by_side(tree):
    saved = displays.save("F5.4", ".png", write, **CARD)
    folder = tree / "build" / "displays" / "mod_vid"
    assert saved == folder / "F5.4_vid_distribution.png"
    assert saved.read_text() == "content"
    assert sorted(path.name for path in folder.iterdir()) == ["F5.4_vid_distribution.json", "F5.4_vid_distribution.png"]


def test_the_card_says_where_the_display_comes_from():
    saved = displays.save("T5.3", ".csv", write, **CARD, note="Three readings.", parameters={"window": 7})
    card = json.loads(saved.with_suffix(".json").read_text())
    assert card == {
        "id": "T5.3",
        "notebook": "mod_vid",
        "caption": "Three readings. Data: faces; n = 240; training seeds 1, 2.",
        "source": "faces",
        "n": 240,
        "seeds": [1, 2],
        "parameters": {"window": 7},
    }


def test_a_card_without_note_and_parameters_begins_with_the_data():
    saved = displays.save("F5.4", ".png", write, **CARD)
    card = json.loads(saved.with_suffix(".json").read_text())
    assert card["caption"] == "Data: faces; n = 240; training seeds 1, 2."
    assert card["parameters"] == {}


def test_an_unknown_id_writes_nothing(tree):
    with pytest.raises(ValueError, match="'F5.40'"):
        displays.save("F5.40", ".png", write, **CARD)
    assert list(tree.iterdir()) == []


@pytest.mark.parametrize(
    ("seeds", "line"),
    [([], "no training here"), ([0], "training seed 0"), ([1, 2, 3], "training seeds 1, 2, 3")],
)
def test_the_seed_line_names_the_training_seeds(seeds, line):
    assert displays.seed_line(seeds) == line


def test_a_display_that_cannot_be_made_says_why_in_its_card():
    saved = displays.save("F5.4", ".png", write, **CARD, missing="needs boxes")
    assert json.loads(saved.with_suffix(".json").read_text())["missing"] == "needs boxes"


@pytest.mark.parametrize(
    ("display", "suffix"), [("F1.1", ".png"), ("T1.6", ".csv"), ("X1.5", ".png"), ("X1.6", ".csv"), ("X3.8", ".gif")]
)
def test_the_suffix_of_a_registered_display(display, suffix):
    assert displays.suffix(display) == suffix
