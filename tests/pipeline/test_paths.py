import pytest
import yaml

from aecompanion.pipeline import paths

PIPELINE = {
    "faces_data": {"outs": ["build/faces/data"]},
    "mod_vid": {"outs": ["build/faces/shift.parquet", {"build/displays/mod_vid": {"cache": False}}]},
    "claims_report": {"outs": ["results/claims.csv"]},
    "nothing": {"cmd": "true"},
}


@pytest.fixture(autouse=True)
def tree(tmp_path, monkeypatch):
    """An empty project with the pipeline above; by hand unless a test sets the stage."""
    build = tmp_path / "build"
    for name, value in {
        "ROOT": tmp_path,
        "BUILD": build,
        "BY_HAND": build / "by_hand",
        "DATA": tmp_path / "data",
    }.items():
        monkeypatch.setattr(paths, name, value)
    monkeypatch.delenv("COMPANION_STAGE", raising=False)
    monkeypatch.delenv(paths.NOTEBOOK_VARIABLE, raising=False)
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": PIPELINE}))
    return tmp_path


@pytest.fixture
def as_stage(monkeypatch):
    monkeypatch.setenv("COMPANION_STAGE", "faces_data")


def folder_of(*files):
    """A `write` that makes a folder with these files."""

    def write(path):
        path.mkdir()
        for file in files:
            (path / file).write_text(file)

    return write


def content(tree):
    return sorted(str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file() and path.name != "dvc.yaml")


# ---- places


@pytest.mark.parametrize(("name", "place"), [("faces/a.npz", "build/faces/a.npz"), ("results/b.csv", "results/b.csv")])
def test_a_stage_saves_to_the_pipelines_place(tree, as_stage, name, place):
    assert paths.save(name, lambda path: path.write_text("x")) == tree / place
    assert content(tree) == [place]


@pytest.mark.parametrize("name", ["faces/a.npz", "results/b.csv"])
def test_a_notebook_run_by_hand_saves_below_by_hand(tree, name):
    assert paths.save(name, lambda path: path.write_text("x")) == tree / "build" / "by_hand" / name
    assert content(tree) == [f"build/by_hand/{name}"]


def test_only_the_folder_results_lies_at_the_top(tree):
    assert paths.pipeline_place("results_of_mine/a.csv") == tree / "build" / "results_of_mine" / "a.csv"


def test_the_stage_is_what_the_runner_set(monkeypatch):
    assert paths.stage() is None
    monkeypatch.setenv("COMPANION_STAGE", "mod_vid")
    assert paths.stage() == "mod_vid"


# ---- saving


def test_a_file_is_written_under_another_name_in_the_same_folder_and_keeps_its_suffix(tree, as_stage):
    seen = []

    def write(path):
        seen.append(path)
        path.write_text("x")
        assert not (tree / "build" / "a" / "b.png").exists()

    saved = paths.save("a/b.png", write)
    assert (seen[0].parent, seen[0].suffix) == (saved.parent, ".png")
    assert seen[0] != saved
    assert content(tree) == ["build/a/b.png"]


def test_a_file_is_replaced(as_stage):
    for text in ("old, and longer", "new"):
        saved = paths.save("a.txt", lambda path, text=text: path.write_text(text))
    assert saved.read_text() == "new"


def test_a_folder_is_replaced_and_not_merged(tree, as_stage):
    paths.save("a", folder_of("old", "both"))
    paths.save("a", folder_of("new", "both"))
    assert content(tree) == ["build/a/both", "build/a/new"]


@pytest.mark.parametrize("kind", ["file", "folder"])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_the_old_content_stays_and_nothing_is_left_when_writing_fails(tree, as_stage, kind, error):
    paths.save("a/b", folder_of("old") if kind == "folder" else lambda path: path.write_text("old"))
    before = content(tree)

    def write(path):
        folder_of("half")(path) if kind == "folder" else path.write_text("half")
        raise error("disk full")

    with pytest.raises(error, match="disk full"):
        paths.save("a/b", write)
    assert content(tree) == before
    assert (tree / before[0]).read_text() == "old"
    assert [path.name for path in (tree / "build" / "a").iterdir()] == ["b"]


@pytest.mark.parametrize("left", ["file", "folder"])
def test_what_a_killed_run_left_under_the_temporary_name_is_no_obstacle(tree, as_stage, left):
    part = tree / "build" / ".part.a"
    if left == "folder":
        part.mkdir(parents=True)
        (part / "stale").touch()
    else:
        part.parent.mkdir()
        part.touch()
    paths.save("a", folder_of("new"))
    assert content(tree) == ["build/a/new"]


# ---- finding


def test_find_prefers_the_pipelines_file_to_one_written_by_hand(monkeypatch):
    by_hand = paths.save("a.txt", lambda path: path.write_text("by hand"))
    assert paths.find("a.txt") == by_hand
    monkeypatch.setenv("COMPANION_STAGE", "faces_data")
    pipeline = paths.save("a.txt", lambda path: path.write_text("pipeline"))
    monkeypatch.delenv("COMPANION_STAGE")
    assert pipeline != by_hand
    assert paths.find("a.txt") == pipeline


def test_find_finds_a_folder_and_a_file_in_it(as_stage):
    saved = paths.save("faces/data", folder_of("index.csv"))
    assert paths.find("faces/data") == saved
    assert paths.find("faces/data/index.csv") == saved / "index.csv"


@pytest.mark.parametrize(
    ("name", "place", "stage"),
    [
        ("faces/data", "build/faces/data", "faces_data"),
        ("faces/data/index.csv", "build/faces/data/index.csv", "faces_data"),
        ("displays/mod_vid/F5.4.png", "build/displays/mod_vid/F5.4.png", "mod_vid"),
        ("results/claims.csv", "results/claims.csv", "claims_report"),
    ],
)
def test_a_missing_file_is_an_error_that_names_it_and_the_stage_that_writes_it(name, place, stage):
    with pytest.raises(
        FileNotFoundError, match=rf"^{place} is missing: run the stage {stage} first \(`dvc repro {stage}`"
    ):
        paths.find(name)


def test_a_missing_folder_that_several_stages_write_into_names_them_all():
    with pytest.raises(
        FileNotFoundError, match=r"^build/faces is missing: run the stages faces_data, mod_vid first \("
    ):
        paths.find("faces")


@pytest.mark.parametrize("opened", ["notebooks/5_evaluate/mod_vid.ipynb", "mod_vid.ipynb"])
def test_in_an_open_notebook_one_command_makes_all_that_it_reads(monkeypatch, opened):
    monkeypatch.setenv(paths.NOTEBOOK_VARIABLE, opened)
    with pytest.raises(
        FileNotFoundError,
        match=r"^build/faces/data is missing: run `dvc repro mod_vid` first, which makes all that mod_vid reads$",
    ):
        paths.find("faces/data")


@pytest.mark.parametrize("opened", ["scratch.ipynb", "mod_vid", "console-1"])
def test_in_a_notebook_of_ones_own_the_stage_that_writes_the_file_is_named(monkeypatch, opened):
    monkeypatch.setenv(paths.NOTEBOOK_VARIABLE, opened)
    with pytest.raises(FileNotFoundError, match=r"run the stage faces_data first \(`dvc repro faces_data`"):
        paths.find("faces/data")


def test_what_was_saved_is_noted_where_the_runner_asks_for_it(tree, monkeypatch):
    monkeypatch.setenv(paths.SAVED_VARIABLE, str(tree / "note"))
    saved = [paths.save(name, lambda path: path.write_text("x")) for name in ("a.txt", "b/c.txt")]
    assert (tree / "note").read_text().splitlines() == [str(path) for path in saved]


@pytest.mark.parametrize("name", ["faces/database", "claims.csv", "face"])
def test_a_missing_file_that_no_stage_writes_is_an_error_that_says_so(name):
    with pytest.raises(FileNotFoundError, match=f"^build/{name} is missing: no stage writes it$"):
        paths.find(name)


def test_every_output_of_the_real_pipeline_has_its_stage_as_writer(monkeypatch):
    root = paths.Path(paths.__file__).parents[3]
    monkeypatch.setattr(paths, "ROOT", root)
    monkeypatch.setattr(paths, "BUILD", root / "build")
    stages = yaml.safe_load((root / "dvc.yaml").read_text())["stages"]
    outs = {
        (out if isinstance(out, str) else next(iter(out))): name
        for name, body in stages.items()
        for out in body["outs"]
    }
    assert outs["build/faces/data"] == "faces_data"
    assert outs.pop("build/results") == "claims_report"
    assert paths.writers_of("./results/any/file") == ["claims_report"]  # "results/..." is the published folder
    for out, name in outs.items():
        assert paths.writers_of(f"{out.removeprefix('build/')}/any/file") == [name]
    assert {"latent_effects", "pixel_effects"} < set(paths.writers_of("causal"))


# ---- raw data and removal


def test_a_raw_file_lies_below_data(tree):
    (tree / "data").mkdir()
    (tree / "data" / "cat.png").touch()
    assert paths.raw("cat.png") == tree / "data" / "cat.png"


def test_a_missing_raw_file_is_an_error_that_says_how_to_get_it():
    with pytest.raises(FileNotFoundError, match=r"^data/photos/cat\.png is missing: `make data` copies it"):
        paths.raw("photos/cat.png")


@pytest.fixture
def outside(tree, monkeypatch):
    """The package installed without a checkout; the names that were fetched."""
    fetched = []

    def fetch(name):
        fetched.append(name)
        (tree / "data").mkdir(exist_ok=True)
        (tree / "data" / name).touch()

    monkeypatch.setattr(paths, "IN_CHECKOUT", False)
    monkeypatch.setattr(paths, "fetch", fetch)
    return fetched


def test_outside_a_checkout_a_raw_file_is_fetched_first(tree, outside):
    assert paths.raw("cat.png") == tree / "data" / "cat.png"
    assert outside == ["cat.png"]


def test_in_a_checkout_nothing_is_fetched(outside, monkeypatch):
    monkeypatch.setattr(paths, "IN_CHECKOUT", True)
    with pytest.raises(FileNotFoundError, match=r"^data/cat\.png is missing: `make data`"):
        paths.raw("cat.png")
    assert outside == []


def test_what_cannot_be_fetched_is_an_error_with_its_place_and_the_command(tree, outside, monkeypatch):
    monkeypatch.setattr(paths, "fetch", None)
    with pytest.raises(FileNotFoundError, match=f"^{tree}/data/cat.png is missing: `aecompanion data` copies it"):
        paths.raw("cat.png")


def test_the_root_is_the_innermost_checkout_of_a_file_or_else_the_current_folder(tree, monkeypatch):
    side = tree / "build" / "side"
    for folder in (tree, side):
        (folder / "lib" / "aecompanion").mkdir(parents=True)
        (folder / "dvc.yaml").touch()
    assert paths.root_of(tree / "lib" / "aecompanion" / "a.py") == tree
    assert paths.root_of(side / "lib" / "aecompanion" / "a.py") == side
    (side / "dvc.yaml").unlink()
    assert paths.root_of(side / "lib" / "aecompanion" / "a.py") == tree
    (tree / "dvc.yaml").unlink()
    monkeypatch.chdir(side)
    assert paths.root_of(tree / "lib" / "aecompanion" / "a.py") == side


def test_raw_files_lie_in_a_checkouts_data_or_in_the_users_cache_unless_the_variable_names_a_folder(tree, monkeypatch):
    monkeypatch.delenv(paths.DATA_VARIABLE, raising=False)
    monkeypatch.setattr(paths.platformdirs, "user_cache_path", lambda name: tree / "cache" / name)
    (tree / "data").mkdir()  # somebody's own, as long as this is no checkout
    assert paths.data_of(tree) == tree / "cache" / "aecompanion" / "data"
    (tree / "lib" / "aecompanion").mkdir(parents=True)
    assert paths.data_of(tree) == tree / "data"
    monkeypatch.setenv(paths.DATA_VARIABLE, str(tree / "elsewhere"))
    assert paths.data_of(tree) == tree / "elsewhere"


def test_outside_a_checkout_no_stage_writes_a_missing_file(tree):
    (tree / "dvc.yaml").unlink()
    with pytest.raises(FileNotFoundError, match="^build/a is missing: no stage writes it$"):
        paths.find("a")


def test_remove_deletes_files_and_trees_and_accepts_what_is_not_there(tree):
    folder_of("x")(tree / "folder")
    (tree / "file").touch()
    for name in ("folder", "file", "nothing"):
        paths.remove(tree / name)
    assert content(tree) == []
    assert [path.name for path in tree.iterdir()] == ["dvc.yaml"]


def test_remove_deletes_a_link_and_not_what_it_points_to(tree):
    folder_of("x")(tree / "folder")
    (tree / "link").symlink_to(tree / "folder")
    paths.remove(tree / "link")
    assert not (tree / "link").is_symlink()
    assert content(tree) == ["folder/x"]
