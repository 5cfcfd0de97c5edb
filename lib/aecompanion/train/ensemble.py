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
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import torch

from aecompanion.data.dataset import Dataset
from aecompanion.networks import checkpoint, compact, zoo
from aecompanion.pipeline import jobs
from aecompanion.train import fit, reading, score

PRECISION_VARIABLE = (
    "COMPANION_PRECISION"  # set by aecompanion.pipeline.run where params.yaml asks for other than float32
)
TRAIN = "aecompanion.train.ensemble:train_one"
HISTORY = "history.json"  # beside the weights and the card of a result


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

    A killed call continues where it stopped: what is trained, and the state of what is not, are kept below
    build/resume/ under a hash of the options, the data and the code, until `forget_resume()`. Where it runs says
    `pipeline.jobs`.
    """
    if PRECISION_VARIABLE in os.environ:
        options = {"precision": os.environ[PRECISION_VARIABLE]} | options
    keys = [(run.label, run.seed) for run in runs]
    if len(set(keys)) < len(keys):
        raise ValueError(f"two runs share a label and a seed among {keys}, expected different files")
    folder.mkdir(parents=True, exist_ok=True)
    fingerprints = {data: code_and_data(data) for data in {run.data for run in runs}}
    works = [
        {
            "name": run.name,
            "label": run.label,
            "seed": run.seed,
            "data": [str(data) for data in run.data],
            "device": device,
            "options": options | run.options,
            "trainer": run.trainer,
        }
        for run in runs
    ]
    for work, run in zip(works, runs, strict=True):
        work["resume"] = str(resume_file(fingerprints[run.data], work))
    trained = jobs.files(TRAIN, works)
    rows = [jobs.own(file.with_suffix(".rows")) for file in trained]
    for work, file in zip(works, rows, strict=True):
        work["rows"] = str(file)  # of this call, so no part of the result's name
    told = reported(rows)

    def tell(_: int) -> None:
        for row in next(told):
            on_epoch(row)

    try:
        jobs.run(TRAIN, works, trained, workers=workers, tick=tell)
    finally:
        for file in rows:
            file.unlink(missing_ok=True)
    for result in trained:
        for file in result.glob("*.*"):
            if file.name != HISTORY:
                shutil.copyfile(file, folder / file.name)
    tables = [pd.DataFrame(json.loads((result / HISTORY).read_text())) for result in trained]
    return pd.concat(tables).sort_values(["network", "seed", "epoch"], ignore_index=True)


def reported(files: list[Path]) -> Iterator[list[dict]]:
    """Again and again, the rows that workers have added to `files` since the last time, each epoch once."""
    places, known = dict.fromkeys(files, 0), set()
    while True:
        rows = []
        for file in filter(Path.exists, files):
            with file.open("rb") as lines:
                lines.seek(places[file])
                whole = lines.read().rpartition(b"\n")[0]
            places[file] += len(whole) + bool(whole)
            for row in map(json.loads, whole.splitlines()):
                key = (file, row["epoch"])
                if key not in known:  # a job that was tried again tells some of its epochs again
                    known.add(key)
                    rows.append(row)
        yield rows


def cost(name: str) -> int:
    """Longest first, so that no core idles at the end; unknown networks first of all."""
    order = ["xception", "resnet_deep", "gap", "inception", "resnet", "vgg", "residual", "digits"]
    return order.index(zoo.short(name)) if zoo.short(name) in order else -1


def train_one(job: dict, folder: Path) -> None:
    """Job: create and fit one network; leave weights, card and a row per epoch in a new folder."""
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

    def tell(row: dict) -> None:
        with Path(job["rows"]).open("a") as rows:
            rows.write(json.dumps(identity | row) + "\n")

    history = function(job["trainer"])(
        network,
        views,
        seed=job["seed"],
        device=job["device"],
        resume=Path(job["resume"]),
        progress=tell,
        **job["options"],
    )
    measure = score.metric(first)
    measured = {split: score.score(network, first, first.indices(split)) for split in ("validation", "test")}
    folder.mkdir()
    file = folder / f"{job['label']}_{job['seed']}.safetensors"
    checkpoint.save(network, file, **{measure: measured}, epochs=job["options"]["epochs"], source=first.source)
    facts = {"family": network.card["family"], f"test_{measure}": measured["test"]}
    table = history.assign(**identity, **facts)
    (folder / HISTORY).write_text(json.dumps(table.to_dict("records")))


def function(name: str) -> Callable[..., pd.DataFrame]:
    """The function that "package.module:function" names."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def forget_resume() -> None:
    """Remove what is kept, once the stage's outputs are in place."""
    jobs.forget()


def code_and_data(folders: tuple[Path, ...]) -> str:
    """Hash of the training code and of the data sets' files."""
    digest = hashlib.sha256(torch.__version__.encode())
    for module in (fit, reading, score, zoo, compact):
        digest.update(inspect.getsource(module).encode())
    for data in folders:
        digest.update(jobs.content(data).encode())
    return digest.hexdigest()


def resume_file(fingerprint: str, job: dict) -> Path:
    """One file per network, under a key of code (also of a factory's and the trainer's modules), data, options and the
    weights that it starts from.
    """
    facts = {key: job[key] for key in ("name", "label", "seed", "device", "options", "trainer")}
    for name in (job["name"], job["trainer"]):
        if ":" in name:
            with contextlib.suppress(ImportError):  # the zoo says so in a sentence
                fingerprint += inspect.getsource(importlib.import_module(name.partition(":")[0]))
    if start := job["options"].get("start"):
        fingerprint += jobs.content(Path(start))
    key = hashlib.sha256((fingerprint + json.dumps(facts, sort_keys=True)).encode()).hexdigest()[:16]
    file = jobs.folder() / f"{job['label']}_{job['seed']}_{key}.pt"
    file.parent.mkdir(parents=True, exist_ok=True)
    return file
