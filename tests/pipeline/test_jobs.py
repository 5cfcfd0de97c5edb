import collections
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from jobbed import NAME, module

from aecompanion.pipeline import cluster, jobs, parallel, passes, paths

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60  # seconds until a test gives up waiting

# the same call in a process of its own that says how many results there are and who works; arguments: jobs, files
SCRIPT = f"""
import json, multiprocessing, sys
from pathlib import Path
from aecompanion.pipeline import jobs

def tell(done):
    print(json.dumps([done, [process.pid for process in multiprocessing.active_children()]]), flush=True)

if __name__ == "__main__":
    jobs.run("{NAME}:write", json.loads(sys.argv[1]), [Path(file) for file in sys.argv[2:]], tick=tell)
"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Prefix of the toy functions; without a cluster."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv(cluster.VARIABLE, raising=False)
    return module(tmp_path)


@pytest.fixture
def work(tmp_path):
    """Makes jobs with these numbers and their files."""

    def make(*numbers, **more):
        many = [{"number": number, "log": str(tmp_path / "log"), **more} for number in numbers]
        return many, [tmp_path / "out" / f"{number}.txt" for number in numbers]

    return make


def log(tmp_path):
    return (tmp_path / "log").read_text().split() if (tmp_path / "log").exists() else []


def alive(pid):
    """Whether the process runs; one that ended but was not collected counts as gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def left(folder):
    """What stands in a folder beside whole results and their passes."""
    return sorted(file.name for file in folder.iterdir() if file.name.startswith("."))


def test_every_job_has_its_file_single_threaded_and_no_process_is_left(toy, work, tmp_path):
    many, files = work(*range(5))
    seen = []
    jobs.run(f"{toy}write", many, files, workers=2, tick=seen.append)
    assert [file.read_text() for file in files] == [f"{number} 1" for number in range(5)]
    assert (seen[0], seen[-1]) == (0, 5) and seen == sorted(seen)
    assert left(tmp_path / "out") == []
    assert multiprocessing.active_children() == []


def test_a_single_worker_takes_the_jobs_in_their_order(toy, work, tmp_path):
    many, files = work(3, 1, 2)
    jobs.run(f"{toy}write", many, files, workers=1)
    assert log(tmp_path) == ["3", "1", "2"]


def test_a_result_that_is_there_is_not_computed_again(toy, work, tmp_path):
    many, files = work(0, 1, 2)
    jobs.run(f"{toy}write", many[1:2], files[1:2])
    seen, before = [], files[1].stat().st_mtime_ns
    jobs.run(f"{toy}write", many, files, workers=1, tick=seen.append)
    assert log(tmp_path) == ["1", "0", "2"]
    assert (seen[0], seen[-1], files[1].stat().st_mtime_ns) == (1, 3, before)
    jobs.run(f"{toy}write", many, files)
    assert len(log(tmp_path)) == 3


def test_a_result_may_be_a_folder(toy, work):
    many, files = work(7)
    jobs.run(f"{toy}folder", many, files)
    assert [file.name for file in files[0].iterdir()] == ["number"]


def test_an_exception_of_a_job_reaches_the_caller_once_with_its_traceback_and_ends_the_rest(toy, work, tmp_path):
    many, files = work(4, 5, 6)
    with pytest.raises(ValueError) as caught:
        jobs.run(f"{toy}fail", many, files, workers=1)
    assert str(caught.value) == "no 4"
    assert "In a worker" in caught.value.__notes__[0] and "in fail" in caught.value.__notes__[0]
    assert log(tmp_path) == ["4"]
    assert list((tmp_path / "out").iterdir()) == []
    assert multiprocessing.active_children() == []


def test_an_exception_that_cannot_be_sent_comes_in_its_words(toy, work):
    many, files = work(1)
    with pytest.raises(RuntimeError) as caught:
        jobs.run(f"{toy}unpicklable", many, files)
    assert str(caught.value) == "Own: one and two"


@pytest.mark.parametrize("function", ["toy_jobs:absent", "no_such_module:write"])
def test_a_function_that_is_not_there_is_named(toy, work, function):
    with pytest.raises((AttributeError, ModuleNotFoundError), match="absent|no_such_module"):
        jobs.run(function, *work(1))


def test_a_process_that_dies_is_replaced_and_its_job_alone_tried_again(toy, work, tmp_path):
    many, files = work(0, 1, 2, 3)
    many = [job | {"deaths": 2 if job["number"] == 1 else 0} for job in many]
    jobs.run(f"{toy}die", many, files, workers=2)
    assert [file.read_text() for file in files] == ["whole"] * 4
    assert collections.Counter(log(tmp_path)) == {"0": 1, "1": 3, "2": 1, "3": 1}


def test_after_three_deaths_a_job_is_given_up_in_one_sentence(toy, work, tmp_path):
    many, files = work(8, deaths=3)
    with pytest.raises(RuntimeError, match="^3 processes died at one job, .*toy_jobs:die.*$"):
        jobs.run(f"{toy}die", many, files)
    assert log(tmp_path) == ["8"] * 3
    assert not files[0].exists()


@pytest.mark.parametrize("value", [Path("a"), (1, 2), {1: "a"}, float("nan"), {"a", "b"}, lambda: 0])
def test_a_job_that_is_not_plain_values_is_refused_before_anything_runs(toy, work, tmp_path, value):
    many, files = work(0, 1)
    with pytest.raises(ValueError, match="is not plain values"):
        jobs.run(f"{toy}write", [many[0], many[1] | {"given": value}], files)
    assert log(tmp_path) == []


def test_two_jobs_do_not_share_a_file_and_somebody_works(toy, work):
    many, files = work(0, 1)
    with pytest.raises(ValueError, match="have one file"):
        jobs.run(f"{toy}write", many, files[:1] * 2)
    with pytest.raises(ValueError, match="workers is 0"):
        jobs.run(f"{toy}write", many, files, workers=0)


@pytest.mark.parametrize("fact", ["library", "checkout", "torch", "code path of the processor"])
def test_a_worker_of_another_world_refuses_in_one_sentence(toy, work, tmp_path, monkeypatch, fact):
    here = jobs.world()
    monkeypatch.setattr(jobs, "world", lambda: here | {fact: "another"})
    many, files = work(0)
    with pytest.raises(RuntimeError) as caught:
        jobs.run(f"{toy}write", many, files)
    assert re.fullmatch(rf"a worker on \S+ has {{'{fact}': .*}}, expected .*'another'}}", str(caught.value))
    assert log(tmp_path) == []


def test_two_runs_of_the_same_jobs_at_once_both_end_with_the_same_files(toy, work, tmp_path):
    many, files = work(*range(3), until=str(tmp_path / "go"))
    runs = [threading.Thread(target=jobs.run, args=(f"{toy}write", many, files)) for _ in range(2)]
    for run in runs:
        run.start()
    deadline = time.monotonic() + PATIENCE
    while len(log(tmp_path)) < 4 and time.monotonic() < deadline:  # two of each at the same two jobs
        time.sleep(0.02)
    (tmp_path / "go").touch()
    for run in runs:
        run.join()
    assert collections.Counter(log(tmp_path))["0"] == 2
    assert [file.read_text() for file in files] == ["0 1", "1 1", "2 1"]
    assert left(tmp_path / "out") == []


def test_of_two_folders_at_one_place_the_first_stays(tmp_path):
    place = tmp_path / "result"
    with jobs.placed(place) as late:
        late.mkdir()
        (late / "who").write_text("late")
        place.mkdir()
        (place / "who").write_text("early")
    assert (place / "who").read_text() == "early"
    assert [file.name for file in tmp_path.iterdir()] == ["result"]


def test_a_killed_caller_leaves_no_process_and_its_results_are_taken_by_the_next(toy, work, tmp_path):
    many, files = work(0, 1)
    many[1]["until"] = str(tmp_path / "go")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = [sys.executable, script, json.dumps(many), *files]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "lib"), str(tmp_path)])}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            done, workers = json.loads(line)
            if done == 1 and len(log(tmp_path)) == 2:
                break
        process.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(workers) == 2 and not any(map(alive, workers))
    assert [file.exists() for file in files] == [True, False]
    (tmp_path / "go").touch()
    jobs.run(f"{toy}write", many, files)
    assert collections.Counter(log(tmp_path)) == {"0": 1, "1": 2}
    assert files[1].read_text() == "1 1"


def test_the_passes_of_every_job_count_once_wherever_and_however_often_it_ran(toy, work, monkeypatch):
    many, files = work(2, 3, deaths=1)
    for _ in range(2):  # the second time all results are there
        counter = passes.Counter()
        monkeypatch.setattr(passes, "counter", counter)
        jobs.run(f"{toy}look", many, files)
        assert [(row["kind"], row["forward"], row["batch"]) for row in counter.rows()] == [("look", 5, 3)]


def test_workers_leave_no_count_beside_the_stage_s_own(toy, work, tmp_path):
    before = dict(os.environ)
    with passes.recorded(tmp_path / "s.json"):
        jobs.run(f"{toy}die", *work(1, deaths=1))
        assert os.environ[passes.VARIABLE]
    assert (tmp_path / "s.json").exists()
    assert dict(os.environ) == before


# names


@pytest.fixture
def build(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "BUILD", tmp_path / "build")
    monkeypatch.setattr(paths, "BY_HAND", tmp_path / "build" / "by_hand")
    monkeypatch.delenv(paths.STAGE_VARIABLE, raising=False)
    return tmp_path / "build"


def test_a_name_depends_on_function_job_code_and_inputs_alone(build, tmp_path, monkeypatch):
    job, other = {"a": 1, "b": 2}, {"a": 1, "b": 3}
    given = tmp_path / "given"
    given.mkdir()
    (given / "one").write_text("1")

    def name(job=job, function="m:f"):
        return jobs.files(function, [job], ".npz", inputs=(given,))[0]

    first = name()
    assert name({"b": 2, "a": 1}) == first
    names = {first, name(other), name(function="m:g")}
    (given / "one").write_text("2")
    names.add(name())
    (given / "one").rename(given / "two")
    names.add(name())
    here = jobs.world()
    monkeypatch.setattr(jobs, "world", lambda: here | {"library": "edited"})
    names.add(name())
    monkeypatch.setattr(jobs, "world", lambda: here | {"checkout": "elsewhere"})
    assert len(names) == 6 and name() in names
    assert {each.suffix for each in names} == {".npz"}


@pytest.mark.parametrize(("stage", "place"), [(None, "by_hand/resume/jobs"), ("train", "resume/train")])
def test_results_wait_outside_declared_outputs_until_they_are_forgotten(build, monkeypatch, stage, place):
    if stage:
        monkeypatch.setenv(paths.STAGE_VARIABLE, stage)
    assert jobs.folder() == build / place
    jobs.folder().mkdir(parents=True)
    jobs.forget()
    assert not jobs.folder().exists()
    jobs.forget()  # nothing there is fine


def test_the_library_s_hash_is_of_its_code_and_tables(monkeypatch, tmp_path):
    monkeypatch.setattr(jobs, "LIBRARY", tmp_path)
    found = []
    for name, text in [("a.py", "1"), ("a.py", "2"), ("b.yaml", "1"), ("c.txt", "1")]:
        (tmp_path / name).write_text(text)
        found.append(jobs.world.__wrapped__()["library"])
    assert len(set(found)) == 3 and found[2] == found[3]


def test_a_worker_ends_with_the_process_that_started_it():
    code = "import os, sys, time; from aecompanion.pipeline import parallel; "
    code += "parallel.end_with(int(sys.argv[1])); time.sleep(60)"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "lib")}
    gone = subprocess.run([sys.executable, "-c", code, "1"], env=environment, timeout=PATIENCE, check=False)
    assert gone.returncode == 1  # its parent is not process 1
    assert parallel.cores() >= 1
