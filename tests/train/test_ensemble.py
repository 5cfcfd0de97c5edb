import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from lib import paths
from lib.data.dataset import Dataset, split_by_sample
from lib.train import checkpoint, ensemble
from lib.train.fit import accuracy

NETWORKS = ["compact/vgg", "compact/resnet"]
EPOCHS = 24
OPTIONS = {"epochs": EPOCHS, "batch": 16, "lr": 1e-3}
ROOT = Path(__file__).resolve().parents[2]

# the same call in a process of its own that tells its workers at each epoch; arguments: data, out, build
SCRIPT = f"""
import json, multiprocessing, sys
from pathlib import Path
from lib import paths
from lib.train.ensemble import train_all

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
    dataset.save(tmp_path_factory.mktemp("squares"))
    return tmp_path_factory.getbasetemp() / "squares0"


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
    environment["PYTHONPATH"] = str(ROOT)
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
    states = (folder / "build" / "by_hand" / "resume" / "networks").glob("[a-z]*.pt")
    kept = sum(len(torch.load(file, weights_only=True)["rows"]) for file in states)
    assert 0 < kept < 2 * EPOCHS
    build_in(folder / "build", monkeypatch)
    table = ensemble.train_all(NETWORKS, [0], data, folder / "out", workers=1, on_epoch=rows.append, **OPTIONS)
    assert len(rows) == 2 * EPOCHS - kept
    pd.testing.assert_frame_equal(table, undisturbed[1], check_exact=True)
    for name in ("vgg_0.safetensors", "resnet_0.safetensors"):
        assert same_weights(folder / "out" / name, undisturbed[0] / name)


# without training


def test_a_worker_s_error_reaches_the_caller_and_no_worker_is_left(data, build, tmp_path):
    with pytest.raises(ValueError, match="batch is 49, expected at most the 48 training images"):
        ensemble.train_all(["compact/vgg"], [0], data, tmp_path, workers=1, epochs=1, batch=49)
    assert multiprocessing.active_children() == []


def test_the_slowest_network_comes_first_and_an_unknown_one_before_it():
    names = ["compact/vgg", "compact/resnet", "compact/xception", "mine.nets:factory", "compact/inception"]
    order = ["mine.nets:factory", "compact/xception", "compact/inception", "compact/resnet", "compact/vgg"]
    assert sorted(names, key=ensemble.cost) == order


JOB = {"name": "compact/vgg", "seed": 0, "device": "cpu", "options": {"epochs": 1}}


def test_a_state_file_depends_on_the_job_and_the_fingerprint(build):
    others = [JOB | change for change in ({"name": "compact/resnet"}, {"seed": 1}, {"options": {"epochs": 2}})]
    files = {ensemble.resume_file("a", JOB), ensemble.resume_file("b", JOB)}
    files |= {ensemble.resume_file("a", job) for job in others}
    assert len(files) == 5
    assert ensemble.resume_file("a", dict(JOB)) in files


@pytest.mark.parametrize(("stage", "folder"), [(None, "by_hand/resume/networks"), ("train", "resume/train")])
def test_states_are_kept_in_a_place_of_their_own(build, monkeypatch, stage, folder):
    if stage:
        monkeypatch.setenv(paths.STAGE_VARIABLE, stage)
    assert ensemble.resume_folder() == build / folder
    assert ensemble.resume_file("a", JOB).parent == build / folder


def test_forget_resume_removes_the_states(build):
    ensemble.resume_file("a", JOB).write_bytes(b"state")
    ensemble.forget_resume()
    assert not ensemble.resume_folder().exists()
    ensemble.forget_resume()  # nothing there is fine


def test_the_fingerprint_changes_with_the_data(tmp_path):
    (tmp_path / "index.csv").write_text("label\n0\n")
    before = ensemble.code_and_data(tmp_path)
    assert ensemble.code_and_data(tmp_path) == before
    (tmp_path / "index.csv").write_text("label\n1\n")
    assert ensemble.code_and_data(tmp_path) != before
