import dataclasses
import importlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from aecompanion.data.dataset import Dataset, split_by_sample
from aecompanion.networks import checkpoint, zoo
from aecompanion.networks.compact import FAMILIES
from aecompanion.pipeline import jobs, paths
from aecompanion.train import adversarial, ensemble
from aecompanion.train.ensemble import Run
from aecompanion.train.fit import fit
from aecompanion.train.score import accuracy, auroc

NETWORKS = ["compact/vgg", "compact/resnet"]
EPOCHS = 24
OPTIONS = {"epochs": EPOCHS, "batch": 16, "lr": 1e-3}
ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 300  # seconds until a test gives up waiting

# the same call in a process of its own that tells its workers at each epoch; arguments: data, out, build
SCRIPT = f"""
import json, multiprocessing, sys
from pathlib import Path
from aecompanion.pipeline import jobs, paths
from aecompanion.train.ensemble import train_all

def tell(row):
    print(json.dumps([process.pid for process in multiprocessing.active_children()]), flush=True)

if __name__ == "__main__":
    data, out, paths.BUILD = (Path(argument) for argument in sys.argv[1:])
    paths.BY_HAND = paths.BUILD / "by_hand"
    train_all({NETWORKS}, [0], data, out, on_epoch=tell, **{OPTIONS})
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with 60 noisy images of three classes; a bright square says which by its place."""
    rng, labels = np.random.default_rng(0), np.repeat([0, 1, 2], 20)
    images = rng.integers(0, 60, (60, 1, 48, 48), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:, 16:32, 16 * label : 16 * label + 16] += 180
    dataset = Dataset(
        images=images,
        labels=torch.from_numpy(labels),
        split=split_by_sample(labels, 0),
        classes=["left", "middle", "right"],
        source="squares",
        channels=1,
        size=48,
    )
    folder = tmp_path_factory.mktemp("squares")
    dataset.save(folder)
    return folder


def build_in(folder: Path, monkeypatch) -> None:
    monkeypatch.setattr(paths, "BUILD", folder)
    monkeypatch.setattr(paths, "BY_HAND", folder / "by_hand")
    monkeypatch.delenv(paths.STAGE_VARIABLE, raising=False)


@pytest.fixture
def build(tmp_path, monkeypatch):
    build_in(tmp_path / "build", monkeypatch)
    return tmp_path / "build"


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory):
    """Folder, table and reported rows of one whole run, by one worker."""
    out, rows = tmp_path_factory.mktemp("undisturbed"), []
    with pytest.MonkeyPatch.context() as monkeypatch:
        build_in(tmp_path_factory.mktemp("build"), monkeypatch)
        table = ensemble.train_all(NETWORKS, [0], data, out, workers=1, on_epoch=rows.append, **OPTIONS)
    return out, table, rows


def alive(pid: int) -> bool:
    """Whether the process runs; one that ended but was not collected counts as gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def same_weights(first: Path, second: Path) -> bool:
    a, b = load_file(first), load_file(second)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# whole runs


def test_every_network_leaves_its_weights_and_its_card(undisturbed):
    names = sorted(file.name for file in undisturbed[0].iterdir())
    assert names == ["resnet_0.json", "resnet_0.safetensors", "vgg_0.json", "vgg_0.safetensors"]


def test_the_card_holds_the_accuracy_of_the_loaded_network(undisturbed, data):
    dataset, file = Dataset.load(data), undisturbed[0] / "vgg_0.safetensors"
    card, network = checkpoint.card(file), checkpoint.load(file)
    assert (card["name"], card["classes"], card["seed"], card["epochs"]) == ("compact/vgg", 3, 0, EPOCHS)
    assert card["source"] == "squares"
    for split in ("validation", "test"):
        assert card["accuracy"][split] == accuracy(network, dataset, dataset.indices(split)) == 1


def test_the_table_has_one_row_per_network_and_epoch(undisturbed):
    table = undisturbed[1]
    assert table["network"].tolist() == ["resnet"] * EPOCHS + ["vgg"] * EPOCHS
    assert table["epoch"].tolist() == [*range(1, EPOCHS + 1)] * 2
    assert set(table.columns) >= {"loss", "train_accuracy", "validation_accuracy", "test_accuracy", "seed", "family"}


def test_every_epoch_is_reported_once(undisturbed):
    _, table, rows = undisturbed
    reported = pd.DataFrame(rows).sort_values(["network", "seed", "epoch"], ignore_index=True)
    pd.testing.assert_frame_equal(reported, table[reported.columns], check_exact=True)


def test_no_worker_is_left_after_a_run(undisturbed):
    assert multiprocessing.active_children() == []


@pytest.fixture(scope="module")
def killed(data, tmp_path_factory):
    """A run by two workers killed at its first epoch: its folder, its workers, those that are alive a while later."""
    folder = tmp_path_factory.mktemp("killed")
    (folder / "script.py").write_text(SCRIPT)
    (folder / "out").mkdir()
    command = [sys.executable, folder / "script.py", data, folder / "out", folder / "build"]
    environment = {key: value for key, value in os.environ.items() if key != paths.STAGE_VARIABLE}
    environment["PYTHONPATH"] = str(ROOT / "lib")
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        workers = json.loads(process.stdout.readline())
        process.kill()
    deadline = time.monotonic() + 10
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    left = [pid for pid in workers if alive(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    return folder, workers, left


def test_the_workers_of_a_killed_run_end(killed):
    _, workers, left = killed
    assert len(workers) == 2
    assert left == []


def test_a_killed_run_continues_to_the_same_bits(killed, undisturbed, data, monkeypatch):
    folder, rows = killed[0], []
    states = (folder / "build" / "by_hand" / "resume" / "jobs").glob("[a-z]*.pt")
    kept = sum(len(torch.load(file, weights_only=True)["rows"]) for file in states)
    assert 0 < kept < 2 * EPOCHS
    build_in(folder / "build", monkeypatch)
    table = ensemble.train_all(NETWORKS, [0], data, folder / "out", workers=1, on_epoch=rows.append, **OPTIONS)
    assert len(rows) == 2 * EPOCHS - kept
    pd.testing.assert_frame_equal(table, undisturbed[1], check_exact=True)
    for name in ("vgg_0.safetensors", "resnet_0.safetensors"):
        assert same_weights(folder / "out" / name, undisturbed[0] / name)


def test_a_trained_network_is_not_trained_again_until_it_is_forgotten(data, build, tmp_path):
    options = {"epochs": 1, "batch": 16, "workers": 1}
    first = ensemble.train_all(["compact/vgg"], [0], data, tmp_path / "a", **options)
    rows = []
    again = ensemble.train_all(["compact/vgg"], [0], data, tmp_path / "b", on_epoch=rows.append, **options)
    assert rows == []
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    names = sorted(file.name for file in (tmp_path / "b").iterdir())
    assert names == ["vgg_0.json", "vgg_0.safetensors"]
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert not list(jobs.folder().glob(".part*"))


def test_two_runs_at_one_state_both_end_with_the_same_bits(data, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = {key: value for key, value in os.environ.items() if key != paths.STAGE_VARIABLE}
    environment["PYTHONPATH"] = str(ROOT / "lib")
    command = [sys.executable, tmp_path / "script.py", data]
    outs = [tmp_path / "first", tmp_path / "second"]
    running = [
        subprocess.Popen([*command, out, tmp_path / "build"], env=environment, stdout=subprocess.DEVNULL)
        for out in outs
    ]
    assert [process.wait(PATIENCE) for process in running] == [0, 0]
    for name in ("vgg_0.safetensors", "resnet_0.safetensors"):
        assert same_weights(*(out / name for out in outs))


def test_every_epoch_is_told_once_also_where_a_job_began_again(tmp_path):
    files = [tmp_path / "a", tmp_path / "b"]
    told = ensemble.reported(files)
    assert next(told) == []
    files[0].write_text('{"epoch": 1}\n{"epoch": 2}\n{"epo')
    assert next(told) == [{"epoch": 1}, {"epoch": 2}]
    files[0].write_text('{"epoch": 1}\n{"epoch": 2}\n{"epoch": 1}\n{"epoch": 3}\n')
    files[1].write_text('{"epoch": 1}\n')
    assert next(told) == [{"epoch": 3}, {"epoch": 1}]
    assert next(told) == []


# runs of their own


@pytest.fixture(scope="module")
def negative(data, tmp_path_factory):
    """The same images in another representation."""
    dataset, folder = Dataset.load(data), tmp_path_factory.mktemp("negative")
    dataclasses.replace(dataset, images=255 - dataset.images, source="negatives").save(folder)
    return folder


@pytest.fixture(scope="module")
def two_runs(data, negative, tmp_path_factory):
    """Folder, table and reported rows of a plain and a hybrid run of one network and seed, by one worker."""
    out, rows = tmp_path_factory.mktemp("two") / "deeper" / "out", []
    runs = [
        Run("compact/vgg", "plain", 5, (data,), {"epochs": 1}),
        Run("compact/vgg", "hybrid", 5, (negative, data), {"lr": 2e-3}),
    ]
    with pytest.MonkeyPatch.context() as monkeypatch:
        build_in(tmp_path_factory.mktemp("build"), monkeypatch)
        table = ensemble.train(runs, out, workers=1, on_epoch=rows.append, epochs=3, batch=16, lr=1e-3)
    return out, table, rows


def test_the_labels_name_the_files(two_runs):
    names = [f"{label}_5.{suffix}" for label in ("hybrid", "plain") for suffix in ("json", "safetensors")]
    assert sorted(file.name for file in two_runs[0].iterdir()) == names


def test_the_labels_name_the_rows_and_a_run_s_options_override_the_others(two_runs):
    table = two_runs[1]
    assert table["network"].tolist() == ["hybrid"] * 3 + ["plain"]
    assert table["epoch"].tolist() == [1, 2, 3, 1]
    assert table["seed"].tolist() == [5] * 4
    cards = {label: checkpoint.card(two_runs[0] / f"{label}_5.safetensors") for label in ("hybrid", "plain")}
    assert [(label, card["name"], card["epochs"]) for label, card in cards.items()] == [
        ("hybrid", "compact/vgg", 3),
        ("plain", "compact/vgg", 1),
    ]


def test_the_runs_are_trained_in_their_order(two_runs):
    assert [(row["network"], row["epoch"]) for row in two_runs[2]] == [
        ("plain", 1),
        *(("hybrid", i) for i in (1, 2, 3)),
    ]


@pytest.mark.parametrize("label", ["plain", "hybrid"])
def test_a_run_gives_the_bits_of_fit_in_this_process(two_runs, data, negative, label):
    folders, options = {
        "plain": ([data], {"epochs": 1, "lr": 1e-3}),
        "hybrid": ([negative, data], {"epochs": 3, "lr": 2e-3}),
    }[label]
    network, threads = zoo.create("compact/vgg", classes=3, channels=1, size=48, seed=5), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        fit(network, [Dataset.load(folder) for folder in folders], batch=16, seed=5, **options)
    finally:
        torch.set_num_threads(threads)
    weights = load_file(two_runs[0] / f"{label}_5.safetensors")
    assert all(torch.equal(weights[name], tensor) for name, tensor in network.state_dict().items())


def test_train_all_is_a_run_for_each_network_and_seed_the_most_expensive_first(monkeypatch):
    monkeypatch.setattr(ensemble, "train", lambda *given, **options: (*given, options))
    data, out = Path("data"), Path("out")
    runs, folder, options = ensemble.train_all(NETWORKS, [3, 1], data, out, epochs=2, workers=4)
    assert runs == [
        Run("compact/resnet", "resnet", 3, (data,)),
        Run("compact/vgg", "vgg", 3, (data,)),
        Run("compact/resnet", "resnet", 1, (data,)),
        Run("compact/vgg", "vgg", 1, (data,)),
    ]
    assert (folder, options) == (out, {"epochs": 2, "workers": 4})


# without training


def test_a_worker_s_error_reaches_the_caller_and_no_worker_is_left(data, build, tmp_path):
    with pytest.raises(ValueError, match="batch is 49, expected at most the 48 training images"):
        ensemble.train_all(["compact/vgg"], [0], data, tmp_path, workers=1, epochs=1, batch=49)
    assert multiprocessing.active_children() == []


def test_the_slowest_network_comes_first_and_an_unknown_one_before_it():
    names = ["compact/vgg", "compact/resnet", "compact/xception", "mine.nets:factory", "compact/inception"]
    order = ["mine.nets:factory", "compact/xception", "compact/inception", "compact/resnet", "compact/vgg"]
    assert sorted(names, key=ensemble.cost) == order


@pytest.mark.parametrize("name", FAMILIES)
def test_a_known_network_is_never_taken_for_an_unknown_one(name):
    assert ensemble.cost(f"compact/{name}") > ensemble.cost("mine.nets:factory")


JOB = {"name": "compact/vgg", "label": "vgg", "seed": 0, "device": "cpu", "options": {"epochs": 1}}
JOB |= {"trainer": "aecompanion.train.fit:fit", "resume": "unused"}


def trained(job, folder):
    """The table of one training, which leaves its files in folder/result."""
    ensemble.train_one(JOB | {"rows": str(folder / "rows")} | job, folder / "result")
    return pd.DataFrame(json.loads((folder / "result" / ensemble.HISTORY).read_text()))


def told(folder):
    """The rows that it reported on the way."""
    return [json.loads(line) for line in (folder / "rows").read_text().splitlines()]


@pytest.mark.parametrize(("first", "measured"), [("squares", 0.25), ("negatives", 0.75)])
def test_the_card_is_about_the_first_representation(data, negative, tmp_path, monkeypatch, first, measured):
    monkeypatch.setattr(ensemble.fit, "fit", lambda *given, **options: pd.DataFrame({"epoch": [1]}))
    scripted = {"squares": 0.25, "negatives": 0.75}
    monkeypatch.setattr(ensemble.score, "accuracy", lambda network, view, indices: scripted[view.source])
    folders = [str(data), str(negative)]
    job = {"data": folders if first == "squares" else folders[::-1]}
    table = trained(job, tmp_path)
    card = checkpoint.card(tmp_path / "result" / "vgg_0.safetensors")
    assert (card["source"], card["accuracy"]) == (first, {"validation": measured, "test": measured})
    assert table["test_accuracy"].tolist() == [measured]


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """Folder of 40 small images with none to three of three labels."""
    rng, folder = np.random.default_rng(1), tmp_path_factory.mktemp("several")
    dataset = Dataset(
        images=rng.integers(0, 256, (40, 1, 16, 16), dtype=np.uint8),
        labels=torch.from_numpy(rng.integers(0, 2, (40, 3))),
        split=np.array(["train"] * 20 + ["validation"] * 10 + ["test"] * 10, dtype=object),
        classes=["a", "b", "c"],
        source="labels by chance",
        channels=1,
        size=16,
    )
    dataset.save(folder)
    return folder


def test_with_several_labels_the_auroc_stands_for_the_accuracy(several, tmp_path):
    job = {"name": "compact/digits", "label": "digits", "data": [str(several)]}
    options = {"epochs": 2, "batch": 10, "lr": 1e-3}
    table = trained(job | {"resume": str(tmp_path / "state.pt"), "options": options}, tmp_path)

    dataset, network = Dataset.load(several), checkpoint.load(tmp_path / "result" / "digits_0.safetensors")
    measured = {split: auroc(network, dataset, dataset.indices(split)) for split in ("validation", "test")}
    card = checkpoint.card(tmp_path / "result" / "digits_0.safetensors")
    assert "accuracy" not in card
    assert card["auroc"] == pytest.approx(measured)
    assert card["auroc"]["validation"] == table["validation_auroc"].max()
    assert table["test_auroc"].tolist() == [card["auroc"]["test"]] * 2
    assert not {"validation_accuracy", "test_accuracy"} & set(table)
    assert set(told(tmp_path)[0]) >= {"network", "seed", "epoch", "loss", "train_accuracy", "validation_auroc"}


@pytest.mark.parametrize("kind", ["several", "one"])
def test_the_card_tells_whether_an_image_may_have_several_labels(data, several, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(ensemble.fit, "fit", lambda *given, **options: pd.DataFrame({"epoch": [1]}))
    folder, name = (several, "compact/digits") if kind == "several" else (data, "compact/vgg")
    trained({"name": name, "data": [str(folder)]}, tmp_path)
    file = tmp_path / "result" / "vgg_0.safetensors"
    assert checkpoint.card(file)["multi_label"] is (kind == "several")
    assert checkpoint.load(file).card["multi_label"] is (kind == "several")


# trainers


def test_a_run_is_trained_by_fit_unless_told_otherwise():
    assert Run("compact/vgg", "vgg", 0, ()).trainer == "aecompanion.train.fit:fit"
    assert ensemble.function(Run("compact/vgg", "vgg", 0, ()).trainer) is fit


def test_a_function_is_found_by_the_names_of_its_module_and_its_own():
    assert ensemble.function("aecompanion.train.ensemble:cost") is ensemble.cost
    assert ensemble.function("json:dumps") is json.dumps


@pytest.mark.parametrize(
    ("name", "error", "text"),
    [
        ("aecompanion.train.absent:fit", ModuleNotFoundError, "^No module named 'aecompanion.train.absent'$"),
        ("aecompanion.train.fit:absent", AttributeError, "^module 'aecompanion.train.fit' has no attribute 'absent'$"),
    ],
)
def test_a_trainer_that_is_not_there_is_an_error_that_names_it(name, error, text):
    with pytest.raises(error, match=text):
        ensemble.function(name)


def test_the_trainer_gets_the_arguments_of_fit_and_trains_the_network_that_is_saved(data, tmp_path, monkeypatch):
    given = {}

    def train(network, views, **options):
        given.update(options, views=[view.source for view in views])
        torch.nn.init.constant_(network.body.head[-1].bias, 7.0)
        options["progress"]({"epoch": 1})
        return pd.DataFrame({"epoch": [1], "loss": [0.5]})

    monkeypatch.setitem(sys.modules, "my_trainer", types.SimpleNamespace(train=train))
    job = {"data": [str(data)], "resume": "state.pt", "trainer": "my_trainer:train"}
    table = trained(job | {"seed": 3, "options": {"epochs": 1, "threats": [1]}}, tmp_path)

    progress = given.pop("progress")
    assert given == {
        "views": ["squares"],
        "seed": 3,
        "device": "cpu",
        "resume": Path("state.pt"),
        "epochs": 1,
        "threats": [1],
    }
    assert callable(progress)
    assert told(tmp_path) == [{"network": "vgg", "seed": 3, "epoch": 1}]
    assert table[["network", "epoch", "loss"]].to_numpy().tolist() == [["vgg", 1, 0.5]]
    weights = load_file(tmp_path / "result" / "vgg_3.safetensors")
    assert weights["body.head.4.bias"].tolist() == [7.0] * 3


def test_an_adversarial_run_gives_the_bits_of_its_trainer(several, tmp_path):
    dataset, threat = Dataset.load(several), {"norm": "l2", "eps": 0.1, "steps": 2}
    one = dataclasses.replace(dataset, labels=dataset.labels.argmax(1))
    one.save(tmp_path / "one")
    options = {"epochs": 1, "batch": 10, "lr": 1e-3, "threats": [threat]}
    job = {"name": "compact/digits", "label": "digits", "data": [str(tmp_path / "one")]}
    job |= {"resume": str(tmp_path / "state.pt"), "trainer": "aecompanion.train.adversarial:fit", "options": options}
    trained(job, tmp_path)

    network = zoo.create("compact/digits", classes=3, channels=1, size=16, seed=0)
    adversarial.fit(network, [one], **options)
    weights = load_file(tmp_path / "result" / "digits_0.safetensors")
    assert all(torch.equal(weights[name], tensor) for name, tensor in network.state_dict().items())
    other = zoo.create("compact/digits", classes=3, channels=1, size=16, seed=0)
    fit(other, [one], **{name: value for name, value in options.items() if name != "threats"})
    assert not all(torch.equal(weights[name], tensor) for name, tensor in other.state_dict().items())


def test_the_jobs_of_a_call_carry_the_trainers_of_their_runs(data, build, tmp_path, monkeypatch):
    seen = {}

    def stop(fingerprint, job):
        seen[job["label"]] = job["trainer"]
        if len(seen) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(ensemble, "resume_file", stop)
    runs = [
        Run("compact/vgg", "plain", 0, (data,)),
        Run("compact/vgg", "robust", 0, (data,), trainer="aecompanion.train.adversarial:fit"),
    ]
    with pytest.raises(KeyboardInterrupt):
        ensemble.train(runs, tmp_path, epochs=1)
    assert seen == {"plain": "aecompanion.train.fit:fit", "robust": "aecompanion.train.adversarial:fit"}


@pytest.mark.parametrize(
    ("given", "option", "expected"),
    [(None, {}, None), ("bfloat16", {}, "bfloat16"), ("bfloat16", {"precision": "float32"}, "float32")],
)
def test_the_precision_of_the_parameters_holds_unless_a_call_has_its_own(
    data, build, tmp_path, monkeypatch, given, option, expected
):
    seen = []

    def stop(fingerprint, job):
        seen.append(job["options"].get("precision"))
        raise KeyboardInterrupt

    monkeypatch.setattr(ensemble, "resume_file", stop)
    monkeypatch.delenv(ensemble.PRECISION_VARIABLE, raising=False)
    if given:
        monkeypatch.setenv(ensemble.PRECISION_VARIABLE, given)
    with pytest.raises(KeyboardInterrupt):
        ensemble.train([Run("compact/vgg", "plain", 0, (data,))], tmp_path, epochs=1, **option)
    assert seen == [expected]


# states


def test_the_state_of_a_run_is_kept_under_the_fingerprint_of_its_own_data(data, negative, build, tmp_path, monkeypatch):
    seen = {}

    def stop(fingerprint, job):
        seen[job["label"]] = fingerprint
        if len(seen) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(ensemble, "resume_file", stop)
    runs = [Run("compact/vgg", "plain", 0, (data,)), Run("compact/vgg", "hybrid", 0, (data, negative))]
    with pytest.raises(KeyboardInterrupt):
        ensemble.train(runs, tmp_path, epochs=1)
    expected = {run.label: ensemble.code_and_data(run.data) for run in runs}
    assert seen == expected
    assert len(set(expected.values())) == 2


def test_a_state_file_depends_on_the_job_and_the_fingerprint(build):
    changes = (
        {"name": "compact/resnet"},
        {"label": "grey"},
        {"seed": 1},
        {"device": "cuda"},
        {"options": {"epochs": 2}},
        {"trainer": "aecompanion.train.adversarial:fit"},
        {"trainer": "aecompanion.train.fit:train_epoch"},  # of the same module
    )
    files = {ensemble.resume_file("a", JOB), ensemble.resume_file("b", JOB)}
    files |= {ensemble.resume_file("a", JOB | change) for change in changes}
    assert len(files) == 9
    assert ensemble.resume_file("a", dict(JOB)) in files


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Two modules of code that are not part of the fingerprint, as functions that write them anew."""
    monkeypatch.syspath_prepend(tmp_path)

    def writer(name):
        def write(code):
            (tmp_path / f"{name}.py").write_text(code)
            importlib.invalidate_caches()

        write("make = train = None\n")
        monkeypatch.delitem(sys.modules, name, raising=False)
        return write

    yield {name: writer(name) for name in ("my_factory", "my_trainer")}
    for name in ("my_factory", "my_trainer"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("changed", ["my_factory", "my_trainer"])
def test_a_state_file_depends_on_the_code_of_the_factory_and_of_the_trainer(build, written, changed):
    job = JOB | {"name": "my_factory:make", "trainer": "my_trainer:train"}
    before = ensemble.resume_file("a", job)
    assert ensemble.resume_file("a", job) == before
    written[changed]("make = train = None  # other code\n")
    assert ensemble.resume_file("a", job) != before


def test_the_code_of_a_module_that_is_not_used_does_not_matter(build, written):
    job = JOB | {"trainer": "my_trainer:train"}
    before = ensemble.resume_file("a", job)
    written["my_factory"]("make = train = None  # other code\n")
    assert ensemble.resume_file("a", job) == before


def test_a_factory_that_cannot_be_imported_has_a_state_file(build):
    file = ensemble.resume_file("a", JOB | {"name": "no.such.module:net", "label": "net"})
    assert file.name.startswith("net_0_")


def test_a_state_file_depends_on_the_weights_that_it_starts_from(build, tmp_path):
    start = tmp_path / "start.safetensors"
    job = JOB | {"options": {"epochs": 1, "start": str(start)}}
    start.write_bytes(b"a")
    before = ensemble.resume_file("a", job)
    assert ensemble.resume_file("a", job) == before
    start.write_bytes(b"b")
    assert ensemble.resume_file("a", job) != before


def test_states_are_kept_with_the_results_that_wait(build):
    assert ensemble.resume_file("a", JOB).parent == jobs.folder()


def test_forget_resume_removes_the_states(build):
    ensemble.resume_file("a", JOB).write_bytes(b"state")
    ensemble.forget_resume()
    assert not jobs.folder().exists()
    ensemble.forget_resume()  # nothing there is fine


@pytest.fixture
def folders(tmp_path):
    """Two folders of one file each."""
    for name in ("grey", "halftone"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.csv").write_text(f"label\n{name}\n")
    return tmp_path / "grey", tmp_path / "halftone"


def test_the_fingerprint_changes_with_the_data(folders):
    before = ensemble.code_and_data(folders[:1])
    assert ensemble.code_and_data(folders[:1]) == before
    (folders[0] / "index.csv").write_text("label\n1\n")
    assert ensemble.code_and_data(folders[:1]) != before


@pytest.mark.parametrize("view", [0, 1])
def test_the_fingerprint_covers_the_files_of_every_representation(folders, view):
    before = ensemble.code_and_data(folders)
    (folders[view] / "images.npy").write_bytes(b"more")
    assert ensemble.code_and_data(folders) != before


def test_the_fingerprint_depends_on_which_representations_there_are_and_which_is_first(folders):
    grey, halftone = folders
    given = [(grey,), (halftone,), (grey, halftone), (halftone, grey)]
    assert len({ensemble.code_and_data(data) for data in given}) == 4
