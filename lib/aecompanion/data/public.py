"""The folders that a profile asks for: whether they are there, what to put where if not, downloads where they exist.

A profile names every data set by a path; paths that begin with `public/` lie in the checkout's folder `public/`, which
git ignores (a folder, or a link to one). `aecompanion public NAME` checks what the profile NAME names and
counts the files; with `--download` it first fetches, through torchvision and with its checksums, what torchvision can
fetch (CIFAR-10, VOC 2007) into the layout that the loaders read. Without a network it says what to put where.

Single files, such as weights, stand in the profile's section `files`, each with its SHA-256 and its source, and have to
have that hash.
"""

import argparse
import dataclasses
import hashlib
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from aecompanion.data.files import image_files
from aecompanion.data.image_folder import SUFFIXES
from aecompanion.pipeline import parameters
from aecompanion.pipeline.paths import ROOT, remove

FOLDER = "public"
Files = dict[str, dict[str, str]]  # path: its sha256 and its source


@dataclasses.dataclass(frozen=True)
class Place:
    """A parameter that names real data: what has to be there, and how to get it (None: by hand)."""

    section: str
    parameter: str
    what: str
    where: str
    download: Callable[[Path], None] | None = None


def cifar10(folder: Path) -> None:
    """CIFAR-10 as an image folder {train,test}/CLASS/*.png, from torchvision's download (MD5 checked there)."""
    from torchvision.datasets import CIFAR10

    archive = folder.with_name(f".archive.{folder.name}")
    part = folder.with_name(f".part.{folder.name}")
    remove(part)
    for split in ("train", "test"):
        source = CIFAR10(archive, train=split == "train", download=True)
        for name in source.classes:
            (part / split / name).mkdir(parents=True, exist_ok=True)
        for number, (pixels, label) in enumerate(zip(source.data, source.targets, strict=True)):
            Image.fromarray(np.asarray(pixels)).save(part / split / source.classes[label] / f"{number:05d}.png")
    part.rename(folder)
    remove(archive)


def voc2007(folder: Path) -> None:
    """VOC 2007's trainval and test parts below folder/VOCdevkit, from torchvision's download (MD5 checked there)."""
    from torchvision.datasets import VOCDetection

    for split in ("trainval", "test"):
        VOCDetection(folder, year="2007", image_set=split, download=True)


PLACES = (
    Place("faces_data", "root", "one folder of images per person", "ORL: cam-orl.co.uk/facedatabase.html; VGGFace2"),
    Place(
        "faces_train",
        "recogniser",
        "the weights of a MobileFaceNet (or null in the profile)",
        "the state dict of one for 112×96",
    ),
    Place("photos_data", "root", "{train,test}/CLASS/*.jpg", "CIFAR-10 (download), ImageNet: image-net.org", cifar10),
    Place("objects_data", "root", "{train,test}/CLASS/*.jpg", "CIFAR-10 (download), ImageNet: image-net.org", cifar10),
    Place("scenes_data", "voc_root", "VOCdevkit/VOC2007", "PASCAL VOC 2007 (download)", voc2007),
    Place("scenes_data", "coco_images", "the images of instances.json", "COCO: cocodataset.org"),
    Place(
        "scenes_data", "coco_instances", "an annotation file such as instances_val2014.json", "COCO: cocodataset.org"
    ),
    Place("imagenet_data", "root", "val/WNID/*.jpg and classes.csv", "ImageNet: image-net.org, or a sample of it"),
    Place("objects_train", "start", "a state dict", "weights of objects_train.network"),
    Place("objects_train", "judge_start", "a state dict", "weights of objects_train.judge"),
    Place("photos_train", "start", "a state dict", "weights of photos_train.network"),
    Place("chest_data", "root", "images/*.png under their released names", "NIH: nihcc.app.box.com/v/ChestXray-NIHCC"),
)


def named(params: dict) -> list[tuple[Place, Path]]:
    """The places that these parameters name, with their absolute paths (relative ones are the checkout's)."""
    found = []
    for place in PLACES:
        value = (params.get(place.section) or {}).get(place.parameter)
        if value is not None:
            found.append((place, ROOT / value))
    return found


def check(params: dict, files: Files | None = None) -> list[str]:
    """One line per named folder or file. Raises FileNotFoundError with one line for each that is missing or empty, or
    that is a file of another hash than `files` has.
    """
    files = files or {}
    lines, missing = [], [line for name in files if (line := wrong(name, **files[name]))]
    for place, path in named(params):
        parameter = f"{place.section}.{place.parameter}"
        if not path.exists() and params[place.section][place.parameter] in files:
            continue  # told already
        if path.is_file():
            lines.append(f"{parameter}: {path}")
            continue
        count = len(image_files(path, SUFFIXES)) if path.is_dir() else 0
        if count:
            lines.append(f"{parameter}: {path}, {count:,} images")
        else:
            hint = ", or add --download" if place.download else ""
            missing.append(f"{parameter}: {path} is missing or empty, put {place.what} there ({place.where}){hint}")
    if missing:
        raise FileNotFoundError("\n".join(missing))
    return lines


def wrong(name: str, *, sha256: str, source: str) -> str | None:
    """What is wrong with a file of the checkout, in one sentence; None where it has its hash."""
    path = ROOT / name
    if not path.is_file():
        return f"{path} is missing, put the file of that name there ({source}; SHA-256 {sha256})"
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    return None if found == sha256 else f"{path} has SHA-256 {found}, expected {sha256}: take it from {source}"


def download(params: dict) -> None:
    """Fetch every named folder that is not there and that torchvision can fetch, each once.

    Raises RuntimeError naming the folder where the download fails (no network, a wrong checksum).
    """
    for place, path in named(params):
        if path.exists() or place.download is None:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            place.download(path)
        except (OSError, RuntimeError) as error:
            raise RuntimeError(f"{path}: the download failed ({error}), put {place.what} there by hand") from error


def main() -> None:
    parser = argparse.ArgumentParser(prog="aecompanion public", description=__doc__.splitlines()[0])
    parser.add_argument("profile", help="a file of profiles/, without .yaml")
    parser.add_argument("--download", action="store_true", help="fetch what torchvision can fetch")
    arguments = parser.parse_args()
    try:
        params = parameters.composed(arguments.profile)
        files = params.pop("files", {})
        if arguments.download:
            download(params)
        print("\n".join(check(params, files)))
    except (ValueError, FileNotFoundError, RuntimeError) as error:
        sys.exit(f"aecompanion public: {error}")


if __name__ == "__main__":
    main()
