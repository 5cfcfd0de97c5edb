"""A stage depends on what its code is, not on how it is worded: on the real notebooks and the real graph of imports."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import yaml
from dvc.repo import Repo

from aecompanion.pipeline import fingerprint
from aecompanion.pipeline.paths import ROOT

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
NOTEBOOK_STAGES = [name for name in STAGES if name not in ("raw", "code")]


# ---- what is reached


def test_imports_are_found_wherever_they_stand():
    source = "import a.b\ndef f():\n    from aecompanion.x import y, z\n"
    source += "    return 'aecompanion.train.fit:fit', 'aecompanion.train.fit'"
    assert set(fingerprint.imported(source)) == {"a.b", "aecompanion.x.y", "aecompanion.x.z", "aecompanion.train.fit"}


def test_modules_named_in_parameters_are_reached():
    values = {
        "network": "aecompanion.networks.preact:plain",
        "more": [{"a": "aecompanion.train.fit:fit"}, "compact/vgg", 1, None],
    }
    assert set(fingerprint.named_in(values)) == {"aecompanion.networks.preact", "aecompanion.train.fit"}


def test_a_package_that_is_not_pinned_is_one_sentence():
    with pytest.raises(ValueError, match=r"^a\.ipynb imports numbat, which requirements\.txt does not pin: add it to"):
        fingerprint.packages({"numbat.core", "os.path", "aecompanion.pipeline.rng"}, "a.ipynb")


def test_import_names_and_distributions_may_differ():
    found = fingerprint.packages({"PIL.Image", "sklearn.metrics", "yaml"}, "a.ipynb")
    assert list(found) == ["pillow", "pyyaml", "scikit-learn"]


# ---- the pipeline


def test_every_stage_depends_on_its_own_fingerprint_and_on_no_other_code():
    for name in NOTEBOOK_STAGES:
        code = [dep for dep in STAGES[name]["deps"] if dep.startswith(("build/code", "lib", "notebooks"))]
        assert code == [f"build/code/{name}.json"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of what the first stage reads, and the fingerprints there."""
    root = tmp_path_factory.mktemp("tree")
    for name in ("lib", "notebooks"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"))
    for name in ("params.yaml", "requirements.txt", "dvc.yaml", "dvc.lock", "data.dvc", ".dvcignore"):
        shutil.copy2(ROOT / name, root / name)
    (root / ".dvc").mkdir()
    (root / ".dvc" / "config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    return root, written(root)[0]


def written(root):
    """Run the first stage: the fingerprints, and what it printed."""
    environment = os.environ | {"PYTHONPATH": str(root / "lib")}
    done = subprocess.run(
        [sys.executable, "-m", "aecompanion", "code"],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return {file.stem: json.loads(file.read_text()) for file in (root / "build" / "code").glob("*.json")}, done.stdout


def restore(root, facts):
    """Put the fingerprints back."""
    for stage, each in facts.items():
        (root / "build" / "code" / f"{stage}.json").write_text(json.dumps(each, indent=1) + "\n")


@pytest.fixture
def edited(tree):
    """A function that edits one file and returns the stages whose fingerprint changed, and what was printed."""
    root, before = tree
    originals = {}

    def edit(name, change):
        file = root / name
        originals[file] = file.read_text()
        changed = change(originals[file])
        assert changed != originals[file]
        file.write_text(changed)
        after, said = written(root)
        assert set(after) == set(before) == set(NOTEBOOK_STAGES)
        return {stage for stage in after if after[stage] != before[stage]}, said

    yield edit
    for file, text in originals.items():
        file.write_text(text)
    restore(root, before)


def docstring(text):
    return text.replace('"""', '"""Reworded: ', 1)


def test_a_docstring_and_a_comment_in_a_module_that_all_reach_make_nothing_stale(edited):
    assert edited("lib/aecompanion/pipeline/paths.py", lambda text: docstring(text) + "\n# a comment\n") == (set(), "")


def test_a_reworded_markdown_cell_and_outputs_make_nothing_stale(edited):
    def reword(text):
        notebook = json.loads(text)
        notebook["cells"][0]["source"].append("\nAnother sentence.")
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code":
                cell["outputs"], cell["execution_count"] = [], 77
        return json.dumps(notebook)

    assert edited("notebooks/4_explain/mask_maps.ipynb", reword) == (set(), "")


def test_a_method_makes_exactly_the_stages_stale_that_reach_it_and_the_message_names_it(edited, tree):
    stale, said = edited("lib/aecompanion/explain/rise.py", lambda text: text + "\nCHUNK_OF_ANOTHER_SIZE = 16\n")
    reaching = {stage for stage, facts in tree[1].items() if "aecompanion.explain.rise" in facts["modules"]}
    assert stale == reaching
    assert "mask_maps" in stale
    assert not {"faces_train", "faces_gradcam", "photos_attack"} & stale
    assert said.startswith("aecompanion.explain.rise changed: stale is what it makes in ")


def test_a_code_cell_makes_its_own_stage_stale(edited):
    def more(text):
        notebook = json.loads(text)
        next(cell for cell in reversed(notebook["cells"]) if cell["cell_type"] == "code")["source"].append("\nx = 1")
        return json.dumps(notebook)

    stale, said = edited("notebooks/4_explain/mask_maps.ipynb", more)
    assert stale == {"mask_maps"}
    assert said == "mask_maps.ipynb changed: stale is what it makes in mask_maps\n"


def test_another_torch_makes_stale_what_computes_with_it(edited, tree):
    stale, said = edited("requirements.txt", lambda text: text.replace("\ntorch==", "\ntorch==9."))
    assert stale == {stage for stage, facts in tree[1].items() if "torch" in facts["packages"]}
    assert {"faces_train", "mask_maps", "faces_gradcam"} <= stale
    assert said.startswith("torch changed: ")


def test_another_pytest_makes_nothing_stale(edited):
    assert edited("requirements.txt", lambda text: text.replace("\npytest==", "\npytest==9.")) == (set(), "")


def test_the_title_of_a_display_makes_only_the_report_stale(edited):
    stale, said = edited(
        "lib/aecompanion/papers/masks/paper.yaml", lambda text: text.replace('title: "', 'title: "New, ', 1)
    )
    assert stale == {"claims_report"}
    assert "lib/aecompanion/papers/masks/paper.yaml changed" in said


def test_the_answer_of_a_paper_makes_nothing_stale(edited):
    name = "lib/aecompanion/papers/masks/paper.yaml"
    assert edited(name, lambda text: text.replace("answer: >-\n", "answer: >-\n  In other words.\n", 1)) == (set(), "")


def test_a_number_of_a_paper_makes_stale_what_shows_it_and_the_report(edited):
    stale, _ = edited(
        "lib/aecompanion/papers/masks/reported.yaml", lambda text: text.replace("value: 0.2068", "value: 0.2069")
    )
    assert {"mask_games", "claims_report"} <= stale
    assert not {"faces_train", "mask_maps", "photos_attack"} & stale


@pytest.mark.parametrize(
    ("file", "shown"),
    [("masks/claims", set()), ("shift/claims", {"mod_vid"}), ("causal/claims_effects", {"shortcut_regions"})],
)
def test_a_claim_makes_only_the_report_stale_and_notebooks_that_show_an_estimator_of_its_paper(edited, file, shown):
    stale, _ = edited(f"lib/aecompanion/papers/{file}.py", lambda text: text + "\nANOTHER = 1\n")
    assert stale == {"claims_report"} | shown


def test_dvc_sees_a_changed_method_and_no_changed_prose(tree):
    """The same through `dvc status`, on the stages' own dependencies (outputs are not in this copy)."""
    root, _ = tree

    def stale():
        with Repo(str(root)) as repo:
            status = repo.status()
        return {
            stage.rpartition(":")[2]
            for stage, entries in status.items()
            for entry in entries
            for file, state in (entry.get("changed deps", {}) if isinstance(entry, dict) else {}).items()
            if file.startswith("build/code/") and state == "modified"
        }

    file = root / "lib" / "aecompanion" / "explain" / "rise.py"
    text, before = file.read_text(), stale()
    try:
        file.write_text(docstring(text))
        written(root)
        assert stale() == before
        file.write_text(text + "\nMORE = 1\n")
        written(root)
        assert "mask_maps" in stale()
    finally:
        file.write_text(text)
        restore(root, tree[1])


# ---- drawing

MASKS = ["mask_tuning", "mask_maps", "mask_steps", "photo_masks", "mask_randomization"]
COSTLY = [*(name for name in NOTEBOOK_STAGES if name.endswith("_train")), "chest_autoencoder", *MASKS]


@pytest.mark.parametrize("stage", COSTLY)
def test_what_trains_and_what_makes_masks_reaches_no_module_that_draws(stage, tree):
    assert fingerprint.DRAWING not in tree[1][stage]["modules"]


def test_another_colour_makes_exactly_the_stages_stale_that_draw(edited, tree):
    stale, said = edited(
        "lib/aecompanion/report/figures.py", lambda text: text.replace('"#009E73", "#D55E00"', '"#009E74", "#D55E00"')
    )
    assert stale == {stage for stage, facts in tree[1].items() if fingerprint.DRAWING in facts["modules"]}
    assert {"mask_gallery", "photo_gallery"} <= stale
    assert not stale & set(COSTLY)
    assert said.startswith("aecompanion.report.figures changed: stale is what it makes in ")
