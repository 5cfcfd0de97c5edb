"""NIH ChestX-ray14: 112,120 frontal radiographs of 30,805 patients, 14 findings mined from reports, 984 drawn boxes.

    root/images/00000001_000.png ...      any reduction of the released 1024×1024 PNG files, at any depth below root
    Data_Entry_2017_v2020.csv[.gz]        findings, patient and view of each image
    BBox_List_2017.csv[.gz]               findings with a box x, y, w, h in pixels of the released file

A box in the prepared size×size image, with W×H the file's size and s = size / min(W, H) as in `read_image`:

    left = s·(x·W/1024 - (W - min(W, H))/2),   right = left + s·w·W/1024,   top and bottom with y, h, H

then clipped and rounded to whole pixels, at least one. The columns OriginalImage[Width,Height] play no part: they are
the size of the DICOM image before the release scaled it to 1024×1024. A patient's images share one split, both views
(PA, AP) are kept.

torchxrayvision's `NIH_Dataset` reads the tables (either spelling of the columns, gz). Its images (no resizing), its
checks (none) and its masks (square files only) are not used. Wang et al., "ChestX-ray8", CVPR 2017.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageOps

from aecompanion.data.dataset import Dataset
from aecompanion.data.files import image_files, one_line
from aecompanion.data.pixels import PACK_LIMIT, check_unreadable, even_spread, readable
from aecompanion.data.regions import Regions, boxes_to_masks

FRAME = 1024  # side of the released files, the unit of the boxes
ENTRY, BOXES = "Data_Entry_2017_v2020.csv", "BBox_List_2017.csv"
COLUMNS = {
    ENTRY: ["Image Index", "Finding Labels", "Patient ID", "Patient Age", "View Position"],
    BOXES: ["Image Index", "Finding Label", "Bbox [x", "y", "w", "h]"],  # the comma of "Bbox [x,y,w,h]" splits it
}


def chest_xray14(
    root: Path,
    *,
    findings: Sequence[str],
    size: int = 64,
    seed: int = 0,
    limit: int | None = None,
    entry: Path | None = None,
    boxes: Path | None = None,
    unreadable: str = "error",
    progress: Callable[[Iterable], Iterable] = iter,
) -> tuple[Dataset, Regions | None, np.ndarray]:
    """The radiographs below `root` with `findings` as classes, a region per box (None where no box applies), and the
    view of each image: N names, "PA" or "AP" in the NIH table, "UNKNOWN" where a table says none.

    A table in `root` wins over `entry` or `boxes`, and these over the complete tables that torchxrayvision ships.
    `limit` takes an even spread over the images; `unreadable` is "error" or "skip" as in `image_folder`. In `counts`,
    "no finding" and "several findings" speak of all 14 findings, "other findings only" of images with none of
    `findings`. Raises FileNotFoundError for a missing folder or table, ValueError for contents that do not fit.
    """
    root = Path(root)
    check_unreadable(unreadable)
    if limit is not None and limit < 3:
        raise ValueError(f"limit is {limit}, expected at least 3 (train, validation, test)")
    files = radiographs(root)
    entry, boxes = table(root, ENTRY, entry), table(root, BOXES, boxes)
    rows, labels, drawn, known = read_tables(root, entry, boxes)
    for finding in findings:
        if finding not in known:
            raise ValueError(f"finding {finding!r} is unknown to {entry}, expected one of {', '.join(known)}")
    if not findings or len(set(findings)) < len(findings):
        raise ValueError(f"findings is {list(findings)}, expected at least one and none twice")

    present = np.flatnonzero(rows["Image Index"].isin(files).to_numpy())
    if not len(present):
        raise ValueError(f"{root}: none of its {len(files)} images is in {entry}, expected names like 00000001_000.png")
    in_table, in_folder = len(rows), len(present)
    checked(rows.iloc[present], known, entry)
    present = present[np.argsort(rows["Image Index"].to_numpy()[present])]
    present = present[even_spread(len(present), limit)]

    keep_pixels = len(present) * size * size <= PACK_LIMIT
    kept, pixels = [], []
    pictures = [files[name] for name in rows["Image Index"].iloc[present]]
    for place, image in readable(pictures, channels=1, size=size, unreadable=unreadable, progress=progress):
        kept.append(present[place])
        if keep_pixels:
            pixels.append(image)
    skipped = len(present) - len(kept)
    rows, labels = rows.iloc[kept], labels[kept]

    chosen = labels[:, [known.index(finding) for finding in findings]]
    split = split_by_patient(rows["Patient ID"].to_numpy(), seed)
    used = {name: str(files[name].resolve()) for name in rows["Image Index"]}
    regions, box_counts = prepared_boxes(drawn, used, list(findings), size=size)
    patients, images = rows["Patient ID"].nunique(), len(rows)
    dataset = Dataset(
        images=np.stack(pixels) if keep_pixels else None,
        files=None if keep_pixels else list(used.values()),
        labels=torch.from_numpy(chosen),
        split=split,
        classes=list(findings),
        source=f"NIH ChestX-ray14, {images:,} radiographs of {patients:,} patients",
        channels=1,
        size=size,
        counts={
            "images": images,
            "patients": patients,
            "no finding": int((labels.sum(1) == 0).sum()),
            "other findings only": int(((labels.sum(1) > 0) & (chosen.sum(1) == 0)).sum()),
            "several findings": int((labels.sum(1) > 1).sum()),
            **box_counts,
            "unreadable": skipped,
            "absent from the folder": in_table - in_folder,
            "absent from the table": len(files) - in_folder,
        },
    )
    return dataset, regions, rows["view"].to_numpy(str)


def radiographs(root: Path) -> dict[str, Path]:
    """Every PNG below `root` by its name, which is the key of both tables."""
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder, expected images/*.png in it")
    files = {}
    for file in image_files(root, [".png"]):
        if file.name in files:
            raise ValueError(f"{file}: the same name as {files[file.name]}, expected each image once")
        files[file.name] = file
    if not files:
        raise ValueError(f"{root}: holds no .png file, expected images/*.png")
    return files


def table(root: Path, name: str, given: Path | None) -> Path:
    """The table `name` of `root`, else the given one, else torchxrayvision's; its columns checked."""
    import torchxrayvision  # slow to import

    shipped = Path(torchxrayvision.__file__).parent / "data" / f"{name}.gz"
    places = [root / name, root / f"{name}.gz", Path(given) if given else shipped]
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        raise FileNotFoundError(f"{places[-1]}: no such file, expected the table {name} or {name}.gz")
    try:
        header = pd.read_csv(file, nrows=0).columns
    except (ValueError, OSError) as error:
        raise ValueError(f"{file}: cannot be read as a table ({one_line(error)})") from error
    for column in COLUMNS[name]:
        if column not in header:
            raise ValueError(f"{file}: has no column {column!r}, expected {', '.join(COLUMNS[name])}")
    if name == BOXES and list(header[:6]) != COLUMNS[BOXES]:  # NIH_Dataset goes by position
        raise ValueError(f"{file}: begins with {', '.join(header[:6])}, expected {', '.join(COLUMNS[BOXES])}")
    if name == ENTRY and not {"Patient Gender", "Patient Sex"} & set(header):
        raise ValueError(f"{file}: has no column 'Patient Gender', expected it or 'Patient Sex'")
    return file


def read_tables(root: Path, entry: Path, boxes: Path) -> tuple[pd.DataFrame, np.ndarray, pd.DataFrame, list[str]]:
    """Rows of the entry table, their rows×14 labels, the checked boxes, and the names of the 14 findings."""
    from torchxrayvision.datasets import NIH_Dataset

    state = np.random.get_state()  # noqa: NPY002 - NIH_Dataset seeds numpy's global generator
    try:
        nih = NIH_Dataset(str(root), str(entry), str(boxes), views=["*"], unique_patients=False)
    except (AttributeError, TypeError, ValueError) as error:  # text among numbers, a row with too many columns
        raise ValueError(f"{entry}, {boxes}: cannot be read by torchxrayvision ({one_line(error)})") from error
    finally:
        np.random.set_state(state)  # noqa: NPY002
    drawn = nih.pathology_maskscsv
    corners = drawn[["x", "y", "w", "h"]].apply(pd.to_numeric, errors="coerce")
    x, y, w, h = corners.to_numpy(float).T
    # a comparison with nan is false
    right = (x >= 0) & (y >= 0) & (w > 0) & (h > 0) & (x + w <= FRAME) & (y + h <= FRAME)
    for row in np.flatnonzero(~right)[:1]:
        name, finding, *box = drawn.iloc[row, :6]
        raise ValueError(
            f"{boxes}: {finding} box {row + 1} of {name} is ({', '.join(map(str, box))}), "
            f"expected numbers x, y, w, h with w and h above 0 inside {FRAME}×{FRAME}"
        )
    drawn[["x", "y", "w", "h"]] = corners
    return nih.csv, nih.labels.astype(np.int64), drawn, list(nih.pathologies)


def checked(rows: pd.DataFrame, known: list[str], entry: Path) -> None:
    """Raise ValueError for what `NIH_Dataset` passes over: it looks for the 14 names anywhere in a row's text."""
    for column in ("Finding Labels", "Patient ID"):
        for name in rows["Image Index"][rows[column].isna()].head(1):
            raise ValueError(f"{entry}: {column!r} of {name} is empty, expected a value for every image")
    for name in rows["Image Index"][rows["Image Index"].duplicated()].head(1):
        raise ValueError(f"{entry}: {name} has more than one row, expected each image once")
    for name, text in zip(rows["Image Index"], rows["Finding Labels"], strict=True):
        parts = text.split("|")
        for part in set(parts) - {"No Finding", *known}:
            raise ValueError(f"{entry}: {name} has the finding {part!r}, expected No Finding or {', '.join(known)}")


def split_by_patient(patients: np.ndarray, seed: int, *, validation: float = 0.1, test: float = 0.2) -> np.ndarray:
    """A split name per image, drawn by patient (seeded), each with at least one patient: N names."""
    every = np.unique(patients)
    if len(every) < 3:
        raise ValueError(f"the images are of {len(every)} patient(s), expected at least 3 (train, validation, test)")
    shuffled = np.random.default_rng(seed).permutation(every)
    n_validation, n_test = (max(1, round(share * len(every))) for share in (validation, test))
    split = np.full(len(patients), "train", dtype=object)
    split[np.isin(patients, shuffled[:n_validation])] = "validation"
    split[np.isin(patients, shuffled[n_validation : n_validation + n_test])] = "test"
    return split


def prepared_boxes(
    drawn: pd.DataFrame, files: dict[str, str], findings: list[str], *, size: int
) -> tuple[Regions | None, dict[str, int]]:
    """The boxes of the images `files` (by name, in order) as regions, one entry per box, and what became of each."""
    places = {name: place for place, name in enumerate(files)}
    drawn = drawn[drawn["Image Index"].isin(places)]
    ours = drawn[drawn["Finding Label"].isin(findings)]
    found = []
    for name, finding, *box in ours[["Image Index", "Finding Label", "x", "y", "w", "h"]].itertuples(index=False):
        with Image.open(files[name]) as opened:
            shape = ImageOps.exif_transpose(opened).size[::-1]
        prepared = prepared_box(box, shape, size)
        if prepared:
            found.append((places[name], findings.index(finding), *prepared))
    counts = {"boxes": len(found), "boxes outside the chosen findings": len(drawn) - len(ours)}
    counts["boxes cropped away"] = len(ours) - len(found)
    if not found:
        return None, counts
    values = np.array(sorted(found))
    masks = boxes_to_masks(values[:, 2:], (size, size))[:, 0].numpy()
    return Regions(values[:, 0], values[:, 1], values[:, 2:], masks), counts


def prepared_box(box: Sequence[float], shape: tuple[int, int], size: int) -> tuple[int, int, int, int] | None:
    """(x, y, w, h) of the released file as (top, left, bottom, right) of the image prepared from a file of `shape`
    H×W; None where the centre crop leaves nothing of it.
    """
    (x, y, w, h), (height, width) = box, shape
    short, starts, ends = min(shape), [], []
    for start, length, side in ((y, h, height), (x, w, width)):
        low, high = (size / short * (edge * side / FRAME - (side - short) / 2) for edge in (start, start + length))
        if high <= 0 or low >= size:
            return None
        starts.append(min(max(0, round(low)), size - 1))
        ends.append(max(min(size, round(high)), starts[-1] + 1))
    return (*starts, *ends)
