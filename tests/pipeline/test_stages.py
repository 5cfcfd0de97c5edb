import os
import signal
import subprocess
import sys
import time

import pytest
import yaml

from aecompanion.pipeline import parallel, stages

SLEEP = "import sys, time, pathlib; pathlib.Path('{0}.started').write_text(str(time.time())); {1}"
WRITE = "pathlib.Path('{0}.out').write_text('{0}'); pathlib.Path('{0}.ended').write_text(str(time.time()))"
NEEDS = {"first": [], "short": ["first"], "long": ["first"], "apart": [], "last": ["short", "long"]}
SECONDS = {"first": 1.0, "short": 1.0, "long": 5.0, "apart": 2.0, "last": 1.0}


def alive(process):
    """Whether a process of this user runs."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def command(name, body):
    code = SLEEP.format(name, body).replace('"', "'")
    return f'{sys.executable} -c "{code}"'


@pytest.fixture
def toy(tmp_path):
    """A function that writes a pipeline of five sleeping stages into a folder; `own` replaces what a stage does."""

    def make(name="toy", **own):
        root = tmp_path / name
        (root / ".dvc").mkdir(parents=True)
        (root / ".dvc" / "config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
        every = {}
        for stage, needs in NEEDS.items():
            body = own.get(stage, f"time.sleep(0.5); {WRITE.format(stage)}")
            every[stage] = {"cmd": command(stage, body), "outs": [f"{stage}.out"]}
            every[stage]["deps"] = [f"{need}.out" for need in needs]
        (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": every}))
        return root

    return make


def at_once(root, jobs, **options):
    said = []
    needs, stale = stages.pipeline(root)
    try:
        environment = dict(os.environ)
        options = {"seconds": SECONDS.get, "say": said.append} | options
        stages.run(root, needs, stale, jobs=jobs, environment=environment, **options)
    finally:
        said[:] = [line for line in said if line.endswith("started")]
    return [line.partition(":")[0] for line in said]


def moment(root, stage, what):
    return float((root / f"{stage}.{what}").read_text())


def lock(root):
    return yaml.safe_load((root / "dvc.lock").read_text())["stages"]


def test_a_path_is_the_longest_chain_of_seconds_to_the_end():
    needs = {stage: set(each) for stage, each in NEEDS.items()}
    assert stages.paths_of(needs, SECONDS.get) == {"first": 7, "short": 2, "long": 6, "apart": 2, "last": 1}


def test_stages_run_at_once_in_order_and_the_lock_is_that_of_a_plain_repro(toy):
    slow = f"time.sleep(4); {WRITE.format('first')}"  # a second stage asks twice a second for DVC's lock
    root, plain = toy(first=slow), toy("plain", first=slow)
    order = at_once(root, 2)
    assert order[:2] == ["first", "apart"]  # both ready, the longer path first
    assert order.index("long") < order.index("short") < order.index("last")
    assert moment(root, "apart", "started") < moment(root, "first", "ended")  # side by side
    for stage, needs in NEEDS.items():
        assert all(moment(root, need, "ended") <= moment(root, stage, "started") for need in needs)
    dvc = [sys.executable, "-m", "dvc", "repro"]
    subprocess.run(dvc, cwd=plain, check=True, capture_output=True)
    assert lock(root) == lock(plain)
    before = (root / "dvc.lock").read_bytes()
    again = subprocess.run(dvc, cwd=root, check=True, capture_output=True, text=True)
    assert "Running stage" not in again.stdout
    assert (root / "dvc.lock").read_bytes() == before
    assert at_once(root, 2) == []  # nothing is stale
    (root / "long.out").unlink()
    assert at_once(root, 2) == ["long", "last"]


def test_after_a_failure_nothing_starts_and_its_sentence_is_told(toy):
    root = toy(first="sys.exit('aecompanion run: first.ipynb, cell 3: no')")
    with pytest.raises(RuntimeError, match=r"^first failed: aecompanion run: first\.ipynb, cell 3: no$"):
        at_once(root, 2)
    assert not any((root / f"{stage}.started").exists() for stage in ("short", "long", "last"))
    assert (root / "apart.ended").exists()  # ran already, was waited for
    assert set(lock(root)) == {"apart"}


def test_an_interrupt_leaves_no_process(toy):
    root = toy(first="pathlib.Path('pid').write_text(str(__import__('os').getpid())); time.sleep(60)")

    def say(line):
        if line.startswith("apart: done"):  # `first` sleeps by now
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores interrupts
    try:
        with pytest.raises(KeyboardInterrupt):
            at_once(root, 2, say=say)
    finally:
        signal.signal(signal.SIGINT, before)
    until = time.monotonic() + 5
    pid = int((root / "pid").read_text())
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert not alive(pid)


def test_a_stage_beside_another_has_its_share_of_the_cores(toy, monkeypatch):
    monkeypatch.setattr(parallel, "cores", lambda: 8)
    note = "time.sleep(1); pathlib.Path('{0}.out').write_text(__import__('os').environ['COMPANION_WORKERS'])"
    root = toy(**{stage: note.format(stage) for stage in NEEDS})
    at_once(root, 2)
    assert (root / "first.out").read_text() == "4"
    assert (root / "last.out").read_text() == "8"


def test_a_target_brings_what_it_needs_and_an_unknown_one_is_an_error(toy):
    root = toy()
    assert set(stages.pipeline(root, ["short"])[0]) == {"first", "short"}
    with pytest.raises(ValueError, match="no stage 'none', expected one of apart, first, last, long, short"):
        stages.pipeline(root, ["none"])


def test_no_job_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="jobs is 0"):
        stages.run(tmp_path, {}, set(), jobs=0, environment={})
