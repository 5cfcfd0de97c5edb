import gc
import operator
import threading
import time

import pytest
import torch

from aecompanion.pipeline.parallel import VARIABLE, apart, over

PATIENCE = 10  # seconds until a job that waits for another one gives up; nothing waits that long unless it fails


@pytest.fixture(params=[1, 3])
def threads(request):
    """torch's number of threads in this thread; put back afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def in_a_new_thread(function):
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_the_results_come_in_the_order_of_the_jobs(workers):
    assert list(over(lambda job: job**2, range(20), workers=workers)) == [job**2 for job in range(20)]


def test_the_order_is_kept_where_a_later_job_ends_first():
    second = threading.Event()

    def job(number):
        if number == 1:
            second.set()
        return number, second.wait(PATIENCE)  # the first job ends after the second

    assert list(over(job, [0, 1])) == [(0, True), (1, True)]


@pytest.mark.parametrize("workers", [2, 3])
def test_as_many_jobs_run_at_a_time_as_there_are_workers(workers):
    together = threading.Barrier(workers, timeout=PATIENCE)
    running, most, lock = [], [], threading.Lock()

    def job(number):
        with lock:
            running.append(number)
            most.append(len(running))
        together.wait()
        with lock:
            running.remove(number)

    list(over(job, range(2 * workers), workers=workers))
    assert max(most) == workers


def test_a_single_worker_does_one_job_after_another():
    log = []
    list(over(lambda job: log.extend([job, job]), range(5), workers=1))
    assert log == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_there_are_two_workers_unless_told_otherwise():
    names = set()
    together = threading.Barrier(2, timeout=PATIENCE)

    def job(_):
        together.wait()
        names.add(threading.get_ident())

    list(over(job, range(6)))
    assert len(names) == 2


def test_a_result_is_given_out_before_the_other_jobs_have_ended():
    received = threading.Event()
    results = over(lambda job: job or received.wait(PATIENCE), [7, 0])
    assert next(results) == 7
    received.set()
    assert list(results) == [True]


def test_no_jobs_give_no_results():
    assert list(over(lambda job: job, [])) == []


def test_jobs_may_come_from_an_iterator():
    assert list(over(str, iter([3, 1, 2]))) == ["3", "1", "2"]


@pytest.mark.parametrize("workers", [0, -1])
def test_no_worker_is_an_error(workers):
    with pytest.raises(ValueError, match=f"^workers is {workers}, expected at least 1$"):
        list(over(str, [1], workers=workers))


# ---- exceptions


def slow(started, *, fail_at=None):
    """A job of ten milliseconds that notes that it was started."""

    def job(number):
        started.append(number)
        if number == fail_at:
            raise RuntimeError(f"job {number}")
        time.sleep(0.01)
        return number

    return job


def test_an_exception_reaches_the_caller_after_the_results_before_it_and_the_rest_is_cancelled():
    started, results = [], []
    with pytest.raises(RuntimeError, match="^job 3$"):
        for result in over(slow(started, fail_at=3), range(100)):
            results.append(result)
    assert results == [0, 1, 2]
    assert len(started) < 100
    time.sleep(0.05)
    assert len(started) < 100


def test_no_job_runs_any_more_when_the_exception_arrives():
    running = []

    def job(number):
        if number == 0:
            raise RuntimeError("job 0")
        running.append(number)
        time.sleep(0.05)
        running.remove(number)

    with pytest.raises(RuntimeError):
        list(over(job, range(20)))
    assert running == []


# ---- torch's threads


def test_a_job_sees_one_torch_thread(threads):
    assert set(over(lambda _: torch.get_num_threads(), range(6))) == {1}


def test_torchs_number_of_threads_stays_what_it_was_between_and_after_the_results(threads):
    for _ in over(lambda _: torch.get_num_threads(), range(4)):
        assert torch.get_num_threads() == threads
    assert torch.get_num_threads() == threads
    assert in_a_new_thread(torch.get_num_threads) == threads


def test_it_stays_what_it_was_after_an_exception(threads):
    with pytest.raises(RuntimeError):
        list(over(slow([], fail_at=1), range(5)))
    assert torch.get_num_threads() == threads
    assert in_a_new_thread(torch.get_num_threads) == threads


@pytest.mark.parametrize("leave", ["close", "delete"])
def test_it_stays_what_it_was_and_the_rest_is_cancelled_where_the_caller_leaves_half_way(threads, leave):
    started = []
    results = over(slow(started), range(100))
    assert next(results) == 0
    if leave == "close":
        results.close()
    del results
    gc.collect()
    assert len(started) < 100
    assert torch.get_num_threads() == threads
    assert in_a_new_thread(torch.get_num_threads) == threads


# processes


@pytest.mark.parametrize("workers", [1, 2])
def test_the_number_of_processes_changes_neither_order_nor_bits(workers):
    assert list(apart(operator.mul, range(30), 1 / 3, workers=workers)) == [1 / 3 * job for job in range(30)]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_exception_in_a_process_reaches_the_caller(workers):
    with pytest.raises(ZeroDivisionError):
        list(apart(operator.truediv, [1, 0, 2], 1.0, workers=workers))


def test_no_process_is_an_error():
    with pytest.raises(ValueError, match="^workers is 0, expected at least 1$"):
        list(apart(operator.mul, [0], 1, workers=0))


def test_a_process_with_a_share_of_the_cores_has_no_more_workers(monkeypatch):
    monkeypatch.setenv(VARIABLE, "1")
    assert list(apart(lambda _, job: job, range(4), None, workers=3)) == [0, 1, 2, 3]  # in this process: never pickled
    assert len(set(over(lambda _: threading.get_ident(), range(8), workers=3))) == 1
