"""A hundred damaged files of each kind that a user hands in end in a reading or in one sentence that names the file.

Two kinds of damage, both seeded: to bytes, as a broken disk or download leaves them, and to values, as people do who
edit by hand (numbers that are none, too large, negative or empty, words changed, lines lost or doubled).
"""

import json
import random
import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from aecompanion.data.chest_xray14 import chest_xray14
from aecompanion.data.coco import coco
from aecompanion.data.own import own_images, read_own
from aecompanion.data.voc import voc2007
from aecompanion.networks.foreign import load_foreign
from aecompanion.pipeline import conditions, parameters
from aecompanion.pipeline.paths import ROOT

TIMES = 100
LONGEST = 600  # characters of one sentence; a list of what is known may be long
VALUES = [
    "",
    "nan",
    "-1",
    "0",
    "1e400",
    "9" * 25,
    "null",
    "[]",
    '"',
    "ä",
    "true",
    "1,5",
    "0x1F",
    "- -",
    "\t",
    "2007-01-01",
]
TURNED = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0"  # EXIF: orientation 6


# ---- damage


def bytes_damaged(content, draw):
    """One to three of: bytes changed, a stretch lost, doubled or set to zero, the rest missing."""
    content = bytearray(content)
    for _ in range(draw.randint(1, 3)):
        at, length = draw.randrange(len(content)), draw.randint(1, 40)
        kind = draw.randrange(5)
        if kind == 0:
            content[at] = draw.randrange(256)
        elif kind == 1:
            del content[at : at + length]
        elif kind == 2:
            content[at:at] = content[at : at + length]
        elif kind == 3:
            content[at : at + length] = bytes(len(content[at : at + length]))
        else:
            del content[max(1, at) :]
        if not content:
            return b""
    return bytes(content)


def values_damaged(text, draw):
    """One to three of: a number or a word replaced, a line lost, doubled or moved."""
    for _ in range(draw.randint(1, 3)):
        lines, kind = text.splitlines(keepends=True), draw.randrange(4)
        if kind == 0 and len(lines) > 1:
            del lines[draw.randrange(len(lines))]
            text = "".join(lines)
        elif kind == 1 and len(lines) > 1:
            lines.insert(draw.randrange(len(lines)), draw.choice(lines))
            text = "".join(lines)
        else:
            found = list(re.finditer(r"-?\d+(?:\.\d+)?" if kind == 2 else r"[A-Za-z_]+", text))
            if found:
                part = draw.choice(found)
                text = text[: part.start()] + draw.choice(VALUES) + text[part.end() :]
    return text


def structure_damaged(value, draw):
    """A JSON value with one entry anywhere in it replaced, lost or doubled."""
    value = json.loads(json.dumps(value))
    place = value
    while True:
        key = draw.choice(list(place)) if isinstance(place, dict) else draw.randrange(len(place))
        if isinstance(place[key], (dict, list)) and place[key] and draw.random() < 0.85:
            place = place[key]
            continue
        kind = draw.randrange(3)
        if kind == 0:
            del place[key]
        elif kind == 1 and isinstance(place, list):
            place.append(place[key])
        else:
            place[key] = draw.choice([None, -1, 0, 1e30, float("nan"), 10**25, "", "x", [], {}, [[]], True, 2.5])
        return value


def read_or_refused(read, *names):
    """Whether it was read; an error is of a kind that callers expect, one line long, and names one of the files."""
    try:
        read()
    except (ValueError, FileNotFoundError) as error:
        said = str(error)
        assert "\n" not in said, said
        assert len(said) <= LONGEST, said
        assert any(str(name) in said for name in names), said
        return False
    return True


# ---- images


@pytest.mark.parametrize(
    ("suffix", "mode", "options"),
    [
        ("jpg", "RGB", {"quality": 60}),
        (
            "jpg",
            "RGB",
            {"exif": b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00"},
        ),
        ("png", "RGBA", {}),
        ("png", "I;16", {}),
        ("png", "P", {}),
        ("tif", "RGB", {}),
        ("tif", "L", {"compression": "tiff_lzw"}),
        ("bmp", "RGB", {}),
        ("webp", "RGB", {"quality": 60}),
    ],
)
def test_a_damaged_image_is_read_or_refused(tmp_path, suffix, mode, options):
    draw, file, read = random.Random(1), tmp_path / f"image.{suffix}", 0
    shades = np.add.outer(np.arange(48), np.arange(40)).astype(np.uint8)
    picture = (
        Image.fromarray(shades.astype(np.uint16) * 500) if mode == "I;16" else Image.fromarray(shades).convert(mode)
    )
    picture.save(file, **options)
    content = file.read_bytes()
    read_own(file, channels=3, size=32)
    for _ in range(TIMES):
        file.write_bytes(bytes_damaged(content, draw))
        read += read_or_refused(lambda: images_of(file), file)
    assert read < TIMES


def images_of(file):
    image = read_own(file, channels=3, size=32)
    assert image.shape == (3, 32, 32)
    assert image.dtype == np.uint8


# ---- annotations


@pytest.fixture
def photographs(tmp_path):
    """Twelve images, a box each."""
    for number in range(1, 13):
        pixels = np.random.default_rng(number).integers(0, 256, (40, 48, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number:012d}.jpg")
    return tmp_path


def test_damaged_coco_annotations_are_read_or_refused(photographs):
    draw, file, read = random.Random(2), photographs / "instances.json", 0
    boxes = {number: [4 + number, 6, 20, 24] for number in range(1, 13)}
    contents = {
        "images": [{"id": n, "file_name": f"{n:012d}.jpg", "height": 40, "width": 48} for n in boxes],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 1 + n % 2, "bbox": box, "iscrowd": 0, "area": 480}
            | ({"segmentation": [[4 + n, 6, 24 + n, 6, 24 + n, 30]]} if n % 3 else {})
            for n, box in boxes.items()
        ],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    }
    file.write_text(json.dumps(contents))
    coco(photographs, file, size=32)
    for turn in range(TIMES):
        if turn % 2:
            file.write_bytes(bytes_damaged(json.dumps(contents).encode(), draw))
        else:
            file.write_text(json.dumps(structure_damaged(contents, draw)))
        read += read_or_refused(lambda: coco(photographs, file, size=32), file, photographs)
    assert 0 < read < TIMES


def test_a_damaged_annotation_of_voc_is_read_or_refused(tmp_path):
    draw, read = random.Random(3), 0
    folder = tmp_path / "VOCdevkit" / "VOC2007"
    for part in ("ImageSets/Main", "Annotations", "JPEGImages"):
        (folder / part).mkdir(parents=True)
    text = (
        "<annotation>\n<filename>{name}.jpg</filename>\n<size>\n<width>48</width>\n<height>40</height>\n"
        "<depth>3</depth>\n</size>\n<object>\n<name>dog</name>\n<difficult>0</difficult>\n<bndbox>\n<xmin>5</xmin>\n"
        "<ymin>6</ymin>\n<xmax>30</xmax>\n<ymax>28</ymax>\n</bndbox>\n</object>\n</annotation>\n"
    )
    names = [f"{number:06d}" for number in range(1, 9)]
    for name in names:
        Image.new("RGB", (48, 40), (int(name) * 9, 40, 90)).save(folder / "JPEGImages" / f"{name}.jpg")
        (folder / "Annotations" / f"{name}.xml").write_text(text.format(name=name))
    lists = {part: "".join(f"{name}\n" for name in names[begin::2]) for begin, part in enumerate(("train", "val"))}
    for part, listed in lists.items():
        (folder / "ImageSets" / "Main" / f"{part}.txt").write_text(listed)
    voc2007(tmp_path, size=32)
    for turn in range(TIMES):
        if turn % 4 == 3:
            file = folder / "ImageSets" / "Main" / "train.txt"
            whole = lists["train"]
        else:
            file, whole = folder / "Annotations" / f"{names[2]}.xml", text.format(name=names[2])
        if turn % 2:
            file.write_bytes(bytes_damaged(whole.encode(), draw))
        else:
            file.write_text(values_damaged(whole, draw))
        read += read_or_refused(lambda: voc2007(tmp_path, size=32), file, folder)
        file.write_text(whole)
    assert 0 < read < TIMES


def test_a_damaged_table_of_boxes_is_read_or_refused(photographs):
    draw, file, read = random.Random(4), photographs / "boxes.csv", 0
    rows = [f"{n:012d}.jpg,{n},4,{n + 20},30,dog" for n in range(1, 13)]
    text = "\n".join(["file,left,top,right,bottom,label", *rows]) + "\n"
    file.write_text(text)
    own_images(photographs, size=32)
    for turn in range(TIMES):
        if turn % 2:
            file.write_bytes(bytes_damaged(text.encode(), draw))
        else:
            file.write_text(values_damaged(text, draw))
        read += read_or_refused(lambda: own_images(photographs, size=32), file)
    assert 0 < read < TIMES


def test_damaged_tables_of_radiographs_are_read_or_refused(tmp_path):
    draw, read = random.Random(5), 0
    head = (
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
        "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
    )
    names = [f"{patient:08d}_000.png" for patient in range(1, 13)]
    entry = [
        f"{name},{('Mass', 'Effusion', 'No Finding')[i % 3]},0,{i + 1},57,M,PA,2048,2048,.1,.1"
        for i, name in enumerate(names)
    ]
    tables = {
        "Data_Entry_2017_v2020.csv": "\n".join([head, *entry]) + "\n",
        "BBox_List_2017.csv": "Image Index,Finding Label,Bbox [x,y,w,h],,,\n"
        + "".join(f"{name},Mass,200,300,400,300,,,\n" for name in names[::3]),
    }
    for name in names:
        Image.new("L", (64, 64), 90).save(tmp_path / name)
    for name, text in tables.items():
        (tmp_path / name).write_text(text)
    chest_xray14(tmp_path, findings=("Mass", "Effusion"), size=32)
    for turn in range(TIMES):
        name = list(tables)[turn // 2 % 2]
        if turn % 2:
            (tmp_path / name).write_bytes(bytes_damaged(tables[name].encode(), draw))
        else:
            (tmp_path / name).write_text(values_damaged(tables[name], draw))
        read += read_or_refused(
            lambda: chest_xray14(tmp_path, findings=("Mass", "Effusion"), size=32), tmp_path / name, tmp_path
        )
        (tmp_path / name).write_text(tables[name])
    assert 0 < read < TIMES


# ---- weights


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_damaged_weights_are_read_or_refused(tmp_path, suffix):
    from safetensors.torch import save_file

    draw, file, read = random.Random(6), tmp_path / f"weights.{suffix}", 0
    body = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 2))
    save_file(body.state_dict(), file) if suffix == "safetensors" else torch.save(body.state_dict(), file)
    content = file.read_bytes()
    assert load_foreign(body, file) == []
    for _ in range(TIMES):
        file.write_bytes(bytes_damaged(content, draw))
        read += read_or_refused(lambda: load_foreign(body, file), file)
    assert read < TIMES


# ---- parameters


@pytest.mark.parametrize(
    "source", [ROOT / "params.yaml", *sorted((ROOT / "profiles").glob("*.yaml"))], ids=lambda f: f.stem
)
def test_damaged_parameters_are_read_or_refused(tmp_path, source):
    draw, text, read = random.Random(7), source.read_text(), 0
    file = tmp_path / source.name
    shutil.copy(source, file)
    parameters.load(file)

    def composed():
        values = parameters.load(file)
        values.pop("extends", None)
        conditions.check(parameters.complete(parameters.compose(parameters.layered(None), values)), file.name)

    for turn in range(TIMES):
        if turn % 2:
            file.write_bytes(bytes_damaged(text.encode(), draw))
        else:
            file.write_text(values_damaged(text, draw))
        read += read_or_refused(composed, file.name)
    assert 0 < read < TIMES
