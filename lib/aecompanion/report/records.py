"""Facts of a run's prepared data and networks, for the cards of both: build/results/records.json.

Read from what stages left: `dataset.json`, `index.csv` and `images.npy` of each prepared set, and the JSON card beside
each file of weights; which sets and which weights, `report.domains` says. `report.data_page` and `report.networks_page`
make pages of them.
"""

import functools
import hashlib
import json
import math
import struct
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from aecompanion.data.dataset import SPLITS
from aecompanion.data.sources import manifest
from aecompanion.networks.efficientnet_lite import VARIANTS
from aecompanion.networks.facts import network_facts
from aecompanion.pipeline import paths
from aecompanion.report.domains import domains

FEW = 12  # classes up to which they are listed
BUFFERS = ("running_mean", "running_var", "num_batches_tracked")  # in a file of weights, and no parameters
REPORT = "claims_report"  # reads all of it for these cards
PUBLISHED = "imagenet"  # the domain that networks with published weights read
SHIPPED = "imagenet/right.csv"  # what each network with published weights says of each photograph


def collect() -> dict[str, Any]:
    """All facts: `data` by prepared set, `networks` by folder of weights, `shipped` by raw file. A set that these data
    do not have (a folder of photographs has no held-out regions) is left out.
    """
    return {
        "data": {
            name: data_of(folder) | {"stage": stage_of(name)}
            for each in domains()
            for name in each.sets
            if (folder := prepared(name)) is not None
        },
        "networks": {
            name: {"stage": stage_of(name), "used": readers(name), "rows": rows_of(paths.find(name))}
            for each in domains()
            for name in each.networks
        },
        "shipped": shipped() if any(each.name == PUBLISHED for each in domains()) else {},
    }


# ---- data


def prepared(name: str) -> Path | None:
    """The folder of a prepared set, None for one that its stage does not always make, below "photos/data", say. Raises
    FileNotFoundError where that stage has not run.
    """
    try:
        return paths.find(name)
    except FileNotFoundError:
        within = Path(name).parent
        if len(within.parts) < 2:
            raise
        paths.find(within.as_posix())
        return None


def data_of(folder: Path) -> dict[str, Any]:
    """Facts of one prepared set: its card without the names of many classes, images per split, hashes."""
    card = json.loads((folder / "dataset.json").read_text())
    split = pd.read_csv(folder / "index.csv", usecols=["split"])["split"]
    classes = card.pop("classes")
    return card | {
        "classes": len(classes),
        "names": classes if len(classes) <= FEW else [],
        "images": len(split),
        "splits": {name: int((split == name).sum()) for name in SPLITS},
        "sha256": {name: digest(folder / name) for name in ("images.npy", "index.csv") if (folder / name).is_file()},
    }


def digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


# ---- networks


def rows_of(place: Path) -> list[dict[str, Any]]:
    """A row per network of a folder (or file) of weights, its seeds together."""
    groups: dict[str, list[tuple[int | None, Path]]] = {}
    for file in sorted(place.rglob("*.safetensors")) if place.is_dir() else [place]:
        network, seed = named(file)
        inside = file.parent.relative_to(place).as_posix() if place.is_dir() else "."
        groups.setdefault(network if inside == "." else f"{inside}/{network}", []).append((seed, file))
    return [row_of(network, members) for network, members in sorted(groups.items())]


def named(file: Path) -> tuple[str, int | None]:
    """vgg_1 is the network vgg of seed 1, 1 a bottleneck of seed 1, inverse itself."""
    network, _, seed = file.stem.rpartition("_")
    if not seed.isdigit():
        return file.stem, None
    return network or "bottleneck", int(seed)


def row_of(network: str, members: list[tuple[int | None, Path]]) -> dict[str, Any]:
    """Facts of one network over its seeds; a score is a list in the order of the seeds."""
    members = sorted(members, key=lambda pair: (pair[0] is not None, pair[0]))
    cards = [json.loads(card.read_text()) for _, file in members if (card := file.with_suffix(".json")).is_file()]
    row = {
        "network": network,
        "seeds": [seed for seed, _ in members if seed is not None],
        "parameters": parameters(members[0][1]),
        "bytes": sum(file.stat().st_size for _, file in members),
    }
    for card in cards[:1]:
        row["architecture"] = card.get("name") or bottleneck(card)
        row |= {key: card[key] for key in ("classes", "channels", "size", "source") if key in card and "name" in card}
    if epochs := sorted({card["epochs"] for card in cards if "epochs" in card}):
        row["epochs"] = epochs
    for score in ("accuracy", "auroc"):
        if any(score in card for card in cards):
            row["score"] = score
            row |= {split: [round(card[score][split], 4) for card in cards] for split in cards[0][score]}
    if any("agreement" in card for card in cards):
        row |= {"score": "agreement", "validation": [round(card["agreement"], 4) for card in cards]}
    return row


def bottleneck(card: dict[str, Any]) -> str:
    """ "after stage1, 3×3: 32 → 16 → 64 → 32 channels"."""
    widths = [card["channels"], *card["encoder"], *card["decoder"], card["channels"]]
    kernel = card["kernel"]
    return f"after {card['layer']}, {kernel}×{kernel}: {' → '.join(map(str, widths))} channels"


def parameters(file: Path) -> int:
    """Trained numbers of a file of weights, from the shapes in its head."""
    with file.open("rb") as opened:
        head = json.loads(opened.read(struct.unpack("<Q", opened.read(8))[0]))
    tensors = {name: facts for name, facts in head.items() if name != "__metadata__"}
    return sum(math.prod(facts["shape"]) for name, facts in tensors.items() if not name.endswith(BUFFERS))


def shipped() -> dict[str, dict[str, Any]]:
    """Networks with published weights that packages ship: parameters, side of their images, and on how many of the
    photographs they were right (None where the run asked others).
    """
    said = pd.read_csv(paths.find(SHIPPED))
    found = {}
    for source in manifest():
        name = Path(source.path).stem
        if name in VARIANTS:
            size = VARIANTS[name].size
            facts = {"parameters": network_facts(f"pip/{name}", 1000, 3, size).parameters, "size": size}
            asked = f"pip/{name}" in said
            right = int((said[f"pip/{name}"] == said["label"]).sum()) if asked else None
            found[source.path] = facts | {"right": right, "photographs": len(said) if asked else None}
    return found


# ---- the pipeline


def stage_of(name: str) -> str:
    """The stage that writes it, "" for none."""
    wanted = paths.pipeline_place(name).relative_to(paths.ROOT)
    return next(
        (stage for stage, (_, outs) in wiring().items() if any(each in (wanted, *wanted.parents) for each in outs)), ""
    )


def readers(name: str) -> list[str]:
    """The stages that read it or a file of it, but for the report."""
    wanted = paths.pipeline_place(name).relative_to(paths.ROOT)
    return [
        stage
        for stage, (deps, _) in wiring().items()
        if stage != REPORT and any(each in (wanted, *wanted.parents) or wanted in each.parents for each in deps)
    ]


@functools.cache
def wiring() -> dict[str, tuple[list[Path], list[Path]]]:
    """Stage → what it reads and what it writes, from dvc.yaml."""
    stages = yaml.safe_load((paths.ROOT / "dvc.yaml").read_text())["stages"]

    def named(entries: list) -> list[Path]:
        return [Path(each if isinstance(each, str) else next(iter(each))) for each in entries]

    return {stage: (named(body.get("deps", [])), named(body.get("outs", []))) for stage, body in stages.items()}
