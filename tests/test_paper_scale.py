"""Every stage of profiles/paper.yaml on a handful of generated images: the papers' networks at full size with random
weights, one or a few steps of everything, in a side tree of its own.

It shows that the code path exists, nothing more: such networks know nothing.

On 2026-11-26 every stage ran through, the last ones one by one after repairs. With networks that know nothing, some
displays say that there is nothing to show.
"""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision
import yaml
from PIL import Image

from aecompanion.pipeline import conditions, parameters, profile
from aecompanion.pipeline.paths import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.environ.get("PAPER_SCALE") != "1",
        reason="takes an hour or more on 2 cores: set PAPER_SCALE=1 (`make paper-scale`)",
    ),
]
STAGES = [name for name in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"] if name != "strip"]

MASKS = {"side": 16, "steps": 1}
GRID = ["2/255", "8/255"]
FULL_SIZE = "aecompanion.networks.full_size"  # random weights, where the profile starts from published ones
RESAMPLES = {"resamples": 100}
REDUCTION = {  # laid over paper.yaml; sizes that the networks accept (aecompanion.networks.full_size: 64 px)
    "threads": 2,
    "device": "cpu",
    "precision": "float32",
    "faces_data": {"identities": 3, "size": 96},
    "faces_train": {"epochs": 1, "batch": 8},
    "faces_gradcam": {"layer_images": 2},
    "gradcam_randomization": {"images": 2},
    "mod_vid": RESAMPLES,
    "photos_data": {"classes": 6, "size": 64},
    "photos_train": {"epochs": 2, "batch": 8, "inverse_epochs": 1},
    "photos_attack": {"eps": GRID, "steps": 2, "images": 6},
    "halftone_activations": {"images": 4, **RESAMPLES},
    "defence_transfer": RESAMPLES,
    "defence_adaptive": {"images": 4, "eps": GRID, "steps": 1, "table_steps": 2, "long_steps": 3, **RESAMPLES},
    "imagenet_defences": {"images": 2, "steps": 1, "known": 1, "known_steps": 1, "queries": 1, **RESAMPLES},
    "digits_data": {"samples": 40},
    "digits_train": {"epochs": 1, "bottleneck_epochs": 1, "bottleneck_images": 64},
    "chest_data": {"size": 64},
    "chest_train": {"network": f"{FULL_SIZE}:densenet121", "epochs": 1, "batch": 8},
    "chest_autoencoder": {"images": 40},
    "latent_effects": {"images": 4, **RESAMPLES},
    "pixel_effects": {"cases": 2, "map_cases": 1, "per_side": 3, **RESAMPLES},
    "imagenet_effects": {
        "images": 2, "evading_steps": 1, "explained": 1, "steps": 1, "searches": 1, **RESAMPLES,
    },
    "adversarial_effects": {"images": 4, "cw_images": 2, "eps": GRID, "steps": 1, "cw_steps": 2, **RESAMPLES},
    "true_effects": {"concept_images": 20, **RESAMPLES},
    "released_loss": {"images": 32, "probes": 8},
    "scenes_data": {"size": 200},
    "scenes_train": {
        "networks": {
            "vgg": f"{FULL_SIZE}:vgg16_bn", "googlenet": f"{FULL_SIZE}:googlenet", "resnet": f"{FULL_SIZE}:resnet50",
        },
        "epochs": 2, "chest_epochs": 1, "batch": 6, "lr": 1e-3,
    },
    "mask_tuning": {**MASKS, "pairs": 1, "published_steps": 1},
    "mask_steps": {**MASKS, "steps": 3, "pairs": 2, "plane_points": 2, "frames": 2, "rise_masks": 2},
    "mask_maps": {
        **MASKS, "families": ["resnet"], "pairs": 2, "family_pairs": 1, "other_pairs": 1, "rise_masks": 2,
        "chest_errors": 7, "published_steps": 1,
    },
    "photo_masks": {"photographs": ["chelsea"], "steps": 1, "rise_masks": 2},
    "mask_games": {**RESAMPLES, "substrate_pairs": 1, "rise_most": 40},
    "mask_randomization": {**MASKS, "pairs": 2, "rise_masks": 2, "calibration": 2},
    "objects_data": {"size": 96, "marked_class": 1, "marked_share": 1.0},
    "objects_train": {
        "judge": "torchvision/inception_v3", "epochs": 1, "batch": 8,
        "attack_images": 2, "attack_steps": 1, "l1_steps": 1,
    },
    "counterfactual_steps": {"steps": 2, "images": 2},
    "counterfactual_sets": {
        "sets": 2, "images": 2, "matching": 2, "steps": 2, "matching_steps": 1, "compared": 2, "restarts": 2,
        "least": 1, "levels": [0.8, 0.9],
    },
    "counterfactual_tables": RESAMPLES,
    "spurious_features": {"images": 2, "steps": 1, "strengths": [0.0, 0.8], **RESAMPLES},
    "truth_counterfactuals": RESAMPLES,
    "counterfactual_controls": {"images": 2, "steps": 1, **RESAMPLES},
    "claims_report": RESAMPLES,
}  # fmt: skip


# ---- folders in the layouts of the real sets


def picture(file, number, *, side=220, colour=None):
    """Smooth coloured noise; or a bright square of one colour on it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 200, (8, 8, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).resize((side, side))
    if colour is not None:
        image.paste(colour, (20, 20, side // 2, side // 2))
    image.save(file)


def identities(root):
    for person in range(3):
        for number in range(10):
            picture(root / f"n{person:06d}" / f"{number:04d}_01.jpg", 100 * person + number)


def imagenet(root, *, train, val):
    for label in range(6):
        for part, count in (("train", train), ("val", val)):
            for number in range(count):
                name = f"n{label + 1:08d}"
                picture(root / part / name / f"{name}_{number}.JPEG", 1000 * label + number + 500 * (part == "val"))
    lines = [f"n0000000{7 + label // 3} n{label + 1:08d}" for label in range(6)]
    (root / "wordnet.is_a.txt").write_text("\n".join([*lines, "n00000009 n00000007", "n00000009 n00000008"]) + "\n")


def radiographs(root):
    """Sixty names of the real tables, most of them with a box."""
    boxes = pd.read_csv(ROOT / "data" / "chest" / "boxes.csv.gz")
    names = sorted(set(boxes["Image Index"]))
    for number, name in enumerate(names[:: max(1, len(names) // 60)][:60]):
        picture(root / "images" / name, number)
        Image.open(root / "images" / name).convert("L").resize((1024, 1024)).save(root / "images" / name)


def voc(root):
    """All images show a dog and a car, so that a few steps teach a network to name them; every third a bird, too."""
    folder = root / "VOCdevkit" / "VOC2007"
    for part, first, count in (("train", 0, 12), ("val", 100, 8)):
        names = [f"{first + number:06d}" for number in range(count)]
        (folder / "ImageSets" / "Main").mkdir(parents=True, exist_ok=True)
        (folder / "ImageSets" / "Main" / f"{part}.txt").write_text("".join(f"{name}\n" for name in names))
        for number, name in enumerate(names):
            picture(folder / "JPEGImages" / f"{name}.jpg", first + number, colour=(250, 250, 20))
            boxes = "".join(
                f"<object><name>{label}</name><difficult>0</difficult><bndbox><xmin>{x}</xmin><ymin>21</ymin>"
                f"<xmax>{x + 80}</xmax><ymax>110</ymax></bndbox></object>"
                for label, x in (("dog", 21), ("car", 120), *([("bird", 60)] if number % 3 == 0 else []))
            )
            size = "<size><width>220</width><height>220</height><depth>3</depth></size>"
            (folder / "Annotations").mkdir(exist_ok=True)
            (folder / "Annotations" / f"{name}.xml").write_text(
                f"<annotation><filename>{name}.jpg</filename>{size}{boxes}</annotation>"
            )


def coco(root):
    """Thirty images, all with a person and a car, every fourth with a bicycle, too."""
    images, annotations = [], []
    for number in range(1, 31):
        name = f"COCO_train2014_{number:012d}.jpg"
        picture(root / "train2014" / name, number, colour=(250, 20, 20))
        images.append({"id": number, "file_name": name, "height": 220, "width": 220})
        for category, x in ((1, 20), (3, 120), *([(2, 60)] if number % 4 == 1 else [])):
            box = {"bbox": [x, 20, 80, 80], "category_id": category, "iscrowd": 0, "area": 6400}
            annotations.append(box | {"id": len(annotations) + 1, "image_id": number})
    categories = [{"id": 1, "name": "person"}, {"id": 2, "name": "bicycle"}, {"id": 3, "name": "car"}]
    (root / "annotations").mkdir()
    content = {"images": images, "annotations": annotations, "categories": categories}
    (root / "annotations" / "instances_train2014.json").write_text(json.dumps(content))


def robust_weights(file):
    """A state dict of torchvision's ResNet-50 for the six classes."""
    file.parent.mkdir(parents=True)
    torch.save(torchvision.models.resnet50(weights=None, num_classes=6).state_dict(), file)


# ---- the side tree


@pytest.fixture(scope="module")
def side(tmp_path_factory):
    """The paper's profile, reduced, with folders of generated images; stages are run in it one after another."""
    tree = tmp_path_factory.mktemp("paper") / "side"
    params = parameters.compose(parameters.composed("paper"), REDUCTION)
    conditions.check(parameters.complete(params), "REDUCTION")
    profile.lay_out(tree, params)
    parameters.load(tree / "params.yaml")
    public = tree / "public"
    public.unlink(missing_ok=True)
    identities(public / "vggface2")
    imagenet(public / "imagenet", train=10, val=4)
    imagenet(public / "imagenet200", train=12, val=4)
    radiographs(public / "chestxray14")
    voc(public / "VOC")
    coco(public / "coco")
    robust_weights(public / "weights" / "l2_improved_3_ep.pt")
    (tree / "data").symlink_to((ROOT / "data").resolve())
    reader = tree / "lib" / "aecompanion" / "data" / "pixels.py"
    text = reader.read_text()
    assert "PACK_LIMIT = 256 * 2**20" in text
    reader.write_text(text.replace("PACK_LIMIT = 256 * 2**20", "PACK_LIMIT = 0"))  # read lazily, as large sets are
    run(tree, "aecompanion.pipeline.notebooks")
    return tree


def run(tree, module, *arguments):
    """Run a module in the side tree."""
    command = [sys.executable, "-m", module, *arguments]
    environment = os.environ | {"PYTHONPATH": str(tree / "lib")}
    return subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_of_the_paper_runs(side, stage):
    found = run(side, "aecompanion.pipeline.run", stage)
    sentence = found.stderr.strip().splitlines()[-1:] or [""]
    assert found.returncode == 0, sentence[0]
