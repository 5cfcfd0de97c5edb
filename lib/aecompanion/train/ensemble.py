"""Train many small networks at once: one process and one thread per core, each network resumable.

A compact network on small images does not fill two threads (measured: two single-threaded processes train about 1.4
times as many images per second as one process with two threads), and single-threaded runs give the same bits whatever
the number of cores.
"""

import contextlib
import dataclasses
import hashlib
import importlib
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

from aecompanion.data.dataset import Dataset
from aecompanion.networks import checkpoint, compact, zoo
from aecompanion.pipeline import parallel, paths
from aecompanion.train import fit, reading, score

PRECISION_VARIABLE = (
    "COMPANION_PRECISION"  # set by aecompanion.pipeline.run where params.yaml asks for other than float32
)
_updates = None  # the queue to the parent, set in each worker


@dataclasses.dataclass(frozen=True)
class Run:
    """One network to train: `name` for the zoo, `label` in file names and tables, folders of the data set (several:
    its representations, trained on together), the options of its trainer that differ from the others', and the trainer
    by name, "package.module:function" with the arguments of `train.fit.fit`.
    """

    name: str
    label: str
    seed: int
    data: tuple[Path, ...]
    options: dict = dataclasses.field(default_factory=dict)
    trainer: str = "aecompanion.train.fit:fit"


def train_all(networks: list[str], seeds: list[int], data: Path, folder: Path, **options) -> pd.DataFrame:
    """`train` every network with every seed on the data set in `data`, the most expensive family first."""
    ordered = sorted(networks, key=cost)
    return train([Run(name, zoo.short(name), seed, (data,)) for seed in seeds for name in ordered], folder, **options)


def train(
    runs: list[Run],
    folder: Path,
    *,
    workers: int = 2,
    device: str = "cpu",
    on_epoch: Callable[[dict], None] = lambda row: None,
    **options,
) -> pd.DataFrame:
    """Train every run, in this order; write `LABEL_SEED.safetensors` and its card into `folder`; return one row per
    run and epoch (network: the label, seed, epoch, loss, accuracies). Of several representations the test accuracy and
    the card's are the first one's; where images have several labels, AUROC stands for accuracy. Raises ValueError if
    two runs share label and seed.

    Args:
        workers: processes; one thread each on a CPU.
        on_epoch: called in this process with each finished epoch's row (for a progress bar).
        options: of `train.fit.fit`, for all runs; without `precision` it is that of params.yaml.

    A killed call continues where it stopped: states are kept below build/resume/ under a hash of the options, the data
    and the training code, until `forget_resume()`.
    """
    if PRECISION_VARIABLE in os.environ:
        options = {"precision": os.environ[PRECISION_VARIABLE]} | options
    keys = [(run.label, run.seed) for run in runs]
    if len(set(keys)) < len(keys):
        raise ValueError(f"two runs share a label and a seed among {keys}, expected different files")
    folder.mkdir(parents=True, exist_ok=True)
    fingerprints = {data: code_and_data(data) for data in {run.data for run in runs}}
    jobs = [
        {
            "name": run.name,
            "label": run.label,
            "seed": run.seed,
            "data": [str(data) for data in run.data],
            "folder": str(folder),
            "device": device,
            "options": options | run.options,
            "trainer": run.trainer,
        }
        for run in runs
    ]
    for job, run in zip(jobs, runs, strict=True):
        job["resume"] = str(resume_file(fingerprints[run.data], job))
    workers = parallel.capped(workers)
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
    order = ["xception", "resnet_deep", "gap", "inception", "resnet", "vgg", "residual", "digits"]
    return order.index(zoo.short(name)) if zoo.short(name) in order else -1


def train_one(job: dict) -> pd.DataFrame:
    """Worker: create, fit and save one network."""
    views = [Dataset.load(Path(data)) for data in job["data"]]
    first = views[0]
    network = zoo.create(
        job["name"],
        classes=len(first.classes),
        channels=first.channels,
        size=first.size,
        seed=job["seed"],
        multi_label=first.multi_label,
    )
    identity = {"network": job["label"], "seed": job["seed"]}
    history = function(job["trainer"])(
        network,
        views,
        seed=job["seed"],
        device=job["device"],
        resume=Path(job["resume"]),
        progress=lambda row: _updates.put(identity | row),
        **job["options"],
    )
    measure = score.metric(first)
    measured = {split: score.score(network, first, first.indices(split)) for split in ("validation", "test")}
    file = Path(job["folder"]) / f"{identity['network']}_{job['seed']}.safetensors"
    checkpoint.save(network, file, **{measure: measured}, epochs=job["options"]["epochs"], source=first.source)
    facts = {"family": network.card["family"], f"test_{measure}": measured["test"]}
    return history.assign(**identity, **facts)


def function(name: str) -> Callable[..., pd.DataFrame]:
    """The function that "package.module:function" names."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


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


def code_and_data(folders: tuple[Path, ...]) -> str:
    """Hash of the training code and of the data sets' files."""
    digest = hashlib.sha256(torch.__version__.encode())
    for module in (fit, reading, score, zoo, compact):
        digest.update(inspect.getsource(module).encode())
    for file in (file for data in folders for file in sorted(data.iterdir())):
        digest.update(file.name.encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def resume_file(fingerprint: str, job: dict) -> Path:
    """One file per network, under a key of code (also of a factory's and the trainer's modules), data and options."""
    facts = {key: job[key] for key in ("name", "label", "seed", "device", "options", "trainer")}
    for name in (job["name"], job["trainer"]):
        if ":" in name:
            with contextlib.suppress(ImportError):  # the zoo says so in a sentence
                fingerprint += inspect.getsource(importlib.import_module(name.partition(":")[0]))
    key = hashlib.sha256((fingerprint + json.dumps(facts, sort_keys=True)).encode()).hexdigest()[:16]
    file = resume_folder() / f"{job['label']}_{job['seed']}_{key}.pt"
    file.parent.mkdir(parents=True, exist_ok=True)
    return file
