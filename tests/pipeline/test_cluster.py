import collections
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from jobbed import module

from aecompanion.pipeline import cluster, jobs

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 90  # seconds until a test gives up waiting


class Cluster:
    """`aecompanion cluster 2` with the toy functions in `folder`."""

    def __init__(self, folder):
        self.file, self.prefix = folder / "cluster.json", module(folder)
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "lib"), str(folder), *sys.path[1:]])}
        command = [sys.executable, "-m", "aecompanion", "cluster", "2", "--file", self.file]
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        self.said = self.process.stdout.readline()

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        self.process.wait(PATIENCE)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """A cluster of two workers."""
    pytest.importorskip("distributed")
    found = Cluster(tmp_path_factory.mktemp("cluster"))
    yield found
    found.stop()


@pytest.fixture
def toy(running, monkeypatch):
    """Prefix of the toy functions, which run on the cluster."""
    monkeypatch.setenv(cluster.VARIABLE, str(running.file))
    return running.prefix


def work(folder, *numbers, **more):
    """Jobs with these numbers and their files."""
    many = [{"number": number, "log": str(folder / "log"), **more} for number in numbers]
    return many, [folder / "out" / f"{number}.txt" for number in numbers]


def log(folder):
    return collections.Counter((folder / "log").read_text().split() if (folder / "log").exists() else [])


def listening(pid):
    """The addresses at which a process and its descendants listen."""
    psutil = pytest.importorskip("psutil")
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return {each.laddr.ip for one in family for each in one.net_connections("inet") if each.status == "LISTEN"}


def test_a_cluster_listens_on_loopback_alone_and_says_where_it_is(running):
    assert f"export {cluster.VARIABLE}={running.file}" in running.said
    assert json.loads(running.file.read_text())["address"].startswith("tcp://127.0.0.1:")
    assert listening(running.process.pid) == {"127.0.0.1"}


def test_jobs_run_there_single_threaded_to_the_same_files_as_here(toy, tmp_path, monkeypatch):
    many, files = work(tmp_path, *range(4))
    seen = []
    jobs.run(f"{toy}write", many, files, tick=seen.append)
    assert [file.read_text() for file in files] == [f"{number} 1" for number in range(4)]
    assert (seen[0], seen[-1]) == (0, 4)
    jobs.run(f"{toy}write", many, files)
    assert log(tmp_path) == {"0": 1, "1": 1, "2": 1, "3": 1}


def test_the_job_of_a_killed_worker_is_tried_again(toy, tmp_path):
    many, files = work(tmp_path, 0, 1, deaths=1)
    jobs.run(f"{toy}die", many, files)
    assert [file.read_text() for file in files] == ["whole"] * 2
    assert log(tmp_path) == {"0": 2, "1": 2}


def test_an_exception_of_a_job_there_reaches_the_caller_once(toy, tmp_path):
    many, files = work(tmp_path, 5)
    with pytest.raises(ValueError, match="no 5"):
        jobs.run(f"{toy}fail", many, files)
    assert log(tmp_path) == {"5": 1}
    assert list((tmp_path / "out").iterdir()) == []


def test_a_job_at_which_every_worker_dies_is_given_up_in_one_sentence(toy, tmp_path):
    many, files = work(tmp_path, 8, deaths=99)
    with pytest.raises(RuntimeError, match="^too many workers died at one job, "):
        jobs.run(f"{toy}die", many, files)
    assert not files[0].exists()


def test_a_worker_there_of_another_world_refuses(toy, tmp_path, monkeypatch):
    here = jobs.world()
    monkeypatch.setattr(jobs, "world", lambda: here | {"library": "another"})
    with pytest.raises(RuntimeError, match="^a worker on .* has {'library': .*expected the caller's"):
        jobs.run(f"{toy}write", *work(tmp_path, 0))


def test_a_cluster_that_goes_away_is_one_sentence_and_its_results_stay(tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    own = Cluster(tmp_path)
    monkeypatch.setenv(cluster.VARIABLE, str(own.file))
    many, files = work(tmp_path, 0, 1)
    many[1]["until"] = str(tmp_path / "go")
    killed = []

    def tick(done):
        if done == 1 and not killed:
            killed.append(own.stop(signal.SIGKILL))

    with pytest.raises(RuntimeError, match=f"^the cluster at {cluster.VARIABLE}=.* went away: start it and run"):
        jobs.run(f"{own.prefix}write", many, files, tick=tick)
    assert [file.exists() for file in files] == [True, False]
    (tmp_path / "go").touch()
    monkeypatch.delenv(cluster.VARIABLE)
    monkeypatch.syspath_prepend(tmp_path)
    jobs.run(f"{own.prefix}write", many, files)
    assert log(tmp_path)["0"] == 1


def test_an_address_where_nobody_is_is_one_sentence(tmp_path, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(cluster, "TIMEOUT", "1s")
    monkeypatch.setenv(cluster.VARIABLE, "tcp://127.0.0.1:9")
    with pytest.raises(RuntimeError, match="^no cluster answers at COMPANION_CLUSTER=tcp://127.0.0.1:9 "):
        jobs.run("toy_jobs:write", *work(tmp_path, 0))


def test_without_dask_the_sentence_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.setenv(cluster.VARIABLE, "tcp://127.0.0.1:9")
    with pytest.raises(RuntimeError, match="^Dask is not installed: pip install .*requirements-cluster.txt$"):
        jobs.run("toy_jobs:write", *work(tmp_path, 0))


def test_a_cluster_has_workers(tmp_path):
    with pytest.raises(ValueError, match="0 workers, expected at least 1"):
        cluster.start(0, tmp_path / "file")


def test_a_stopped_cluster_leaves_no_file_and_no_process(tmp_path):
    psutil = pytest.importorskip("psutil")
    pytest.importorskip("distributed")
    own = Cluster(tmp_path)
    family = psutil.Process(own.process.pid).children(recursive=True)
    own.stop()
    deadline = time.monotonic() + PATIENCE
    while any(each.is_running() and each.status() != "zombie" for each in family) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not own.file.exists()
    assert [each.pid for each in family if each.is_running() and each.status() != "zombie"] == []
    assert own.process.returncode == 0
