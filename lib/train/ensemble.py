"""Train many small networks at once: one process and one thread per core, each network resumable.

A compact network on small images does not fill two threads (measured: two single-threaded processes train about 1.4
times as many images per second as one process with two threads), and single-threaded runs give the same bits whatever
the number of cores.
"""

import hashlib
import inspect
import json
import multiprocessing
import os
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from pathlib import Path

import pandas as pd
import torch

from lib import paths
from lib.data.dataset import Dataset
from lib.train import checkpoint, compact, fit, zoo

_updates = None  # the queue to the parent, set in each worker


def train_all(
    networks: list[str],
    seeds: list[int],
    data: Path,
    folder: Path,
    *,
    workers: int = 2,
    device: str = "cpu",
    on_epoch: Callable[[dict], None] = lambda row: None,
    **options,
) -> pd.DataFrame:
    """Train every network with every seed on the data set in `data`; write `NAME_SEED.safetensors` and its card into
    `folder`; return one row per network, seed and epoch.

    Args:
        workers: processes; one thread each on a CPU.
        on_epoch: called in this process with each finished epoch's row (for a progress bar).
        options: of `lib.train.fit.fit`.

    A killed call continues where it stopped: states are kept below build/resume/ under a hash of the options, the data
    and the training code, until `forget_resume()`.
    """
    jobs = [
        {"name": name, "seed": seed, "data": str(data), "folder": str(folder), "device": device, "options": options}
        for seed in seeds
        for name in sorted(networks, key=cost)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    fingerprint = code_and_data(data)
    for job in jobs:
        job["resume"] = str(resume_file(fingerprint, job))
    context = multiprocessing.get_context("spawn")
    updates = context.Queue()
    tables = []
    with ProcessPoolExecutor(
        workers, context, initializer=start_worker, initargs=(updates, os.getpid(), device)
    ) as pool:
        pending = {pool.submit(train_one, job) for job in jobs}
        try:
            while pending:
                done, pending = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
                tables += [future.result() for future in done]
                drain(updates, on_epoch)
        except BaseException:
            for process in multiprocessing.active_children():
                process.terminate()
            raise
    drain(updates, on_epoch)
    return pd.concat(tables).sort_values(["network", "seed", "epoch"], ignore_index=True)


def cost(name: str) -> int:
    """Longest first, so that no core idles at the end; unknown networks first of all."""
    order = ["xception", "resnet_deep", "inception", "resnet", "vgg"]
    return order.index(zoo.short(name)) if zoo.short(name) in order else -1


def train_one(job: dict) -> pd.DataFrame:
    """Worker: create, fit and save one network."""
    dataset = Dataset.load(Path(job["data"]))
    network = zoo.create(
        job["name"], classes=len(dataset.classes), channels=dataset.channels, size=dataset.size, seed=job["seed"]
    )
    identity = {"network": zoo.short(job["name"]), "seed": job["seed"]}
    history = fit.fit(
        network,
        dataset,
        seed=job["seed"],
        device=job["device"],
        resume=Path(job["resume"]),
        progress=lambda row: _updates.put(identity | row),
        **job["options"],
    )
    measured = {split: fit.accuracy(network, dataset, dataset.indices(split)) for split in ("validation", "test")}
    file = Path(job["folder"]) / f"{identity['network']}_{job['seed']}.safetensors"
    checkpoint.save(network, file, accuracy=measured, epochs=job["options"]["epochs"], source=dataset.source)
    return history.assign(**identity, family=network.card["family"], test_accuracy=measured["test"])


def start_worker(updates, parent: int, device: str) -> None:
    """Worker: one thread, and an end when the parent ends (a killed notebook must not leave workers behind)."""
    global _updates
    _updates = updates
    if device == "cpu":
        torch.set_num_threads(1)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def drain(updates, on_epoch: Callable[[dict], None]) -> None:
    """Hand over the epochs that have been reported so far."""
    while True:
        try:
            on_epoch(updates.get_nowait())
        except queue.Empty:
            return


def resume_folder() -> Path:
    """Where states are kept between runs: outside declared outputs, which DVC deletes before it runs a stage."""
    return (paths.BUILD if paths.stage() else paths.BY_HAND) / "resume" / (paths.stage() or "networks")


def forget_resume() -> None:
    """Remove the kept states, once the stage's outputs are in place."""
    paths.remove(resume_folder())


def code_and_data(data: Path) -> str:
    """Hash of the training code and of the data set's files."""
    digest = hashlib.sha256(torch.__version__.encode())
    for module in (fit, zoo, compact):
        digest.update(inspect.getsource(module).encode())
    for file in sorted(data.iterdir()):
        digest.update(file.name.encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def resume_file(fingerprint: str, job: dict) -> Path:
    """One file per network, under a key of code, data and options."""
    facts = {key: job[key] for key in ("name", "seed", "device", "options")}
    key = hashlib.sha256((fingerprint + json.dumps(facts, sort_keys=True)).encode()).hexdigest()[:16]
    file = resume_folder() / f"{zoo.short(job['name'])}_{job['seed']}_{key}.pt"
    file.parent.mkdir(parents=True, exist_ok=True)
    return file
