"""params.yaml: reading it, checking it against a schema per section, and composing a profile over it.

A section has the name of its notebook and its stage; each of its keys is a parameter of that notebook. A section may
leave keys out (the notebook's own value then holds), so an empty section means "the tutorial size".
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from lib.paths import ROOT


def holding(value: float, where: str) -> AfterValidator:
    """A list that tables or claims at `value` need it in; `where` says what the list is and why."""

    def check(values: list) -> list:
        if value not in values:
            raise PydanticCustomError("holding", f"expected {value} among the {where}")
        return values

    return AfterValidator(check)


Positive = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Seeds = Annotated[list[Natural], Field(min_length=1)]
Names = Annotated[list[str], Field(min_length=1)]
Widths = Annotated[list[Positive], Field(min_length=1)]
Eps = Annotated[float, Field(ge=0, le=1)]
Level = Annotated[int, Field(ge=1, le=255)]  # eps in grey levels of 255
Levels = Annotated[list[Level], Field(min_length=1), holding(8, "levels (the tables are at 8/255)")]
Resamples = Annotated[int, Field(ge=100)]
Rate = Annotated[float, Field(gt=0, le=1)]
Dots = Literal["floyd_steinberg", "jarvis", "stucki", "atkinson", "bayer"]
Side = Annotated[int, Field(ge=2)]  # of a mask, pixels
Weight = Annotated[float, Field(ge=0)]  # of a regulariser
Spread = Annotated[float, Field(ge=0, le=0.5)]  # standard deviation of noise, pixel units
Strength = Annotated[float, Field(gt=0, le=0.5)]  # of a blurred reference, share of the image's side
Radius = Annotated[float, Field(gt=0)]  # of an lp-ball, pixel units
Confidence = Annotated[float, Field(gt=0, lt=1)]
Normalisation = Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=1, max_length=3)]  # per channel
Fill = Literal["mean", "ring", "black", "white", "blur", "inpaint"]
Fills = Annotated[list[Fill], Field(min_length=1)]
Device = Annotated[str, Field(pattern=r"^(cpu|mps|cuda(:\d+)?)$")]

# what stages have in common: those that train classifiers, those that optimise masks
LEARNING = {"seeds": Seeds, "epochs": Positive, "batch": Annotated[int, Field(ge=2)], "lr": Rate}
MASK = {"side": Side, "steps": Positive, "area": Weight, "variation": Weight}  # what the mask methods share
RUNNING = {"workers": Positive, "device": Device}
ALL_FIVE = {  # the five methods on somebody's own network and images
    "eps": Eps,
    "radius": Radius,
    "steps": Positive,
    "mask_steps": Positive,
    "share": Annotated[float, Field(gt=0, lt=1)],
    "fill": Fill,
    "seed": Natural,
    "device": Device,
}

SCHEMA: dict[str, dict[str, Any]] = {
    "00_start_here": {"photograph": str, "eps": Eps, "device": Device},
    "faces_data": {
        "root": str | None,
        "identities": Annotated[int, Field(ge=2)] | None,
        "limit": Annotated[int, Field(ge=3)] | None,
        "samples": Annotated[int, Field(ge=3)],
        "size": Annotated[int, Field(ge=48)],
        "channels": Literal[1, 3],
        "seed": Natural,
        "unreadable": Literal["error", "skip"],
    },
    "photos_data": {
        "root": str | None,
        "classes": Annotated[int, Field(ge=2)] | None,
        "limit": Annotated[int, Field(ge=3)] | None,
        "train": Annotated[int, Field(ge=2)],
        "validation": Positive,
        "test": Positive,
        "size": Annotated[int, Field(ge=48)],
        "channels": Literal[1, 3],
        "seed": Natural,
        "unreadable": Literal["error", "skip"],
        "quality": Annotated[int, Field(ge=1, le=95)],
        "bits": Annotated[int, Field(ge=1, le=8)],
        "tv_weight": Annotated[float, Field(gt=0)],
        "dots": Dots,
    },
    "halftone_gallery": {
        "photograph": str,
        "size": Annotated[int, Field(ge=32)],
        "images": Positive,
        "noise": Level,
        "seed": Natural,
    },
    "digits_data": {"samples": Annotated[int, Field(ge=3, le=500)] | None, "seed": Natural},
    "chest_data": {
        "root": str | None,
        "train": Positive,
        "validation": Positive,
        "test": Positive,
        "limit": Annotated[int, Field(ge=3)] | None,
        "size": Annotated[int, Field(ge=48)],
        "healthy": Annotated[float, Field(ge=0, lt=1)],
        "marker_with": str | None,
        "marker_chance": Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=2, max_length=2)],
        "seed": Natural,
        "unreadable": Literal["error", "skip"],
    },
    "scenes_data": {
        "voc_root": str | None,
        "coco_images": str | None,
        "coco_instances": str | None,
        "coco_classes": Annotated[int, Field(ge=2)] | None,
        "limit": Annotated[int, Field(ge=3)] | None,
        "train": Positive,
        "validation": Positive,
        "test": Positive,
        "size": Annotated[int, Field(ge=48)],
        "seed": Natural,
        "unreadable": Literal["error", "skip"],
    },
    "objects_data": {
        "root": str | None,
        "hierarchy": str | None,
        "limit": Annotated[int, Field(ge=3)] | None,
        "train": Positive,
        "validation": Positive,
        "test": Positive,
        "backgrounds": Natural,
        "size": Annotated[int, Field(ge=24)],
        "seed": Natural,
        "marked_class": Natural,
        "marked_share": Annotated[float, Field(ge=0, le=1)],
        "mark_strength": Annotated[float, Field(ge=0, le=1)],
        "unreadable": Literal["error", "skip"],
    },
    "faces_train": {
        "networks": Names,
        **LEARNING,
        **RUNNING,
    },
    "photos_train": {
        "network": str,
        "seeds": Seeds,
        "epochs": Annotated[int, Field(ge=2)],
        "batch": Annotated[int, Field(ge=2, multiple_of=2)],
        "lr": Rate,
        "inverse_epochs": Positive,
        **RUNNING,
    },
    "digits_train": {
        **LEARNING,
        "bottleneck_epochs": Positive,
        "bottleneck_images": Annotated[int, Field(ge=32)],
        **RUNNING,
    },
    "chest_train": {
        "network": str,
        **LEARNING,
        **RUNNING,
    },
    "chest_autoencoder": {
        "layer": str,
        "encoder": Widths,
        "decoder": Widths,
        "images": Annotated[int, Field(ge=32)],
        "epochs": Positive,
        "lr": Rate,
        "shallow": Annotated[float, Field(ge=0)],
        "deep": Annotated[float, Field(ge=0)],
        "interpretability": Annotated[float, Field(ge=0)],
        **RUNNING,
    },
    "scenes_train": {
        "seeds": Seeds,
        "tuning_seed": Natural,
        "families": list[Literal["vgg", "googlenet", "resnet"]],
        "family_seeds": Seeds,
        "epochs": Positive,
        "chest_epochs": Positive,
        "batch": Annotated[int, Field(ge=2)],
        "lr": Rate,
        **RUNNING,
    },
    "objects_train": {
        "network": str,
        "judge": str,
        "weights": str | None,
        "seeds": Seeds,
        "epochs": Positive,
        "robust_epochs": Positive,
        "norms_epochs": Positive,
        "mark_epochs": Positive,
        "batch": Annotated[int, Field(ge=2)],
        "lr": Rate,
        "l2": Radius,
        "linf": Radius,
        "l1": Radius,
        "attack_images": Positive,
        "attack_steps": Positive,
        **RUNNING,
    },
    "faces_attack": {
        "eps": Annotated[list[Eps], Field(min_length=1)],
        "source": str,
        "images": Positive | None,
        "device": Device,
    },
    "photos_attack": {
        "levels": Levels,
        "steps": Positive,
        "images": Positive | None,
        "seed": Natural,
        **RUNNING,
    },
    "faces_gradcam": {
        "modes": Annotated[list[Literal["own_pred", "clean_pred", "true_label"]], Field(min_length=1)],
        "batch": Positive,
        "layer_images": Positive,
        "device": Device,
    },
    "halftone_activations": {
        "images": Positive,
        "level": Level,
        "resamples": Resamples,
        "seed": Natural,
        "device": Device,
    },
    "latent_effects": {
        "images": Positive,
        "resamples": Resamples,
        "seed": Natural,
        **RUNNING,
    },
    "pixel_effects": {
        "cases": Positive,
        "map_cases": Positive,
        "per_side": Annotated[int, Field(ge=2)],
        "seed": Natural,
        "resamples": Resamples,
        **RUNNING,
    },
    "mask_tuning": {
        "seed": Natural,
        "pairs": Positive,
        "side": Side,
        "steps": Positive,
        "areas": Annotated[list[Weight], Field(min_length=1)],
        "variations": Annotated[list[Weight], Field(min_length=1)],
        "published_steps": Positive,
        "strength": Strength,
        **RUNNING,
    },
    "mask_steps": {
        "seed": Natural,
        "pairs": Annotated[int, Field(ge=2)],
        **MASK,
        "noise": Spread,
        "strength": Strength,
        "plane_points": Annotated[int, Field(ge=2)],
        "frames": Annotated[int, Field(ge=2)],
        "rise_masks": Positive,
        "device": Device,
    },
    "mask_maps": {
        "seeds": Seeds,
        "families": list[Literal["googlenet", "resnet"]],
        "family_seeds": Seeds,
        "pairs": Positive,
        "family_pairs": Positive,
        "other_pairs": Positive,
        "chest_errors": Natural,
        **MASK,
        "noise": Spread,
        "strength": Strength,
        "rise_masks": Positive,
        "chunk": Positive,
        "seed": Natural,
        **RUNNING,
    },
    "photo_masks": {
        "photographs": Names,
        "size": Annotated[int, Field(ge=96)],
        "steps": Positive,
        "side": Side,
        "area": Weight,
        "variation": Weight,
        "noise": Spread,
        "strength": Strength,
        "rivals": Positive,
        "rise_masks": Positive,
        "seed": Natural,
        **RUNNING,
    },
    "counterfactual_steps": {
        "seed": Natural,
        "confidence": Confidence,
        "steps": Positive,
        "images": Positive,
        **RUNNING,
    },
    "counterfactual_sets": {
        "seeds": Seeds,
        "sets": Annotated[int, Field(ge=2)],
        "images": Positive,
        "matching": Positive,
        "confidence": Confidence,
        "steps": Positive,
        "matching_steps": Positive,
        "compared": Positive,
        "restarts": Annotated[int, Field(ge=2)],
        "least": Positive,
        "levels": Annotated[list[Confidence], Field(min_length=2), holding(0.9, "confidences (the claims are at 0.9)")],
        **RUNNING,
    },
    "counterfactual_tables": {"resamples": Resamples, "seed": Natural},
    "spurious_features": {
        "images": Positive,
        "steps": Positive,
        "strengths": Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=2)],
        "resamples": Resamples,
        "seed": Natural,
        **RUNNING,
    },
    "counterfactual_controls": {
        "seed": Natural,
        "images": Annotated[int, Field(ge=2)],
        "steps": Positive,
        "resamples": Resamples,
        **RUNNING,
    },
    "mod_vid": {"window": Annotated[int, Field(ge=3)], "resamples": Resamples, "seed": Natural},
    "shift_gallery": {"seed": Natural},
    "defence_transfer": {"resamples": Resamples, "seed": Natural, **RUNNING},
    "defence_adaptive": {
        "images": Positive,
        "levels": Levels,
        "steps": Positive,
        "table_steps": Positive,
        "long_steps": Positive,
        "draws": Positive,
        "noise": Annotated[float, Field(ge=0, le=0.5)],
        "resamples": Resamples,
        "seed": Natural,
        **RUNNING,
    },
    "imagenet_defences": {
        "images": Annotated[int, Field(ge=1, le=21)],
        "levels": Annotated[list[Level], Field(min_length=1)],
        "steps": Positive,
        "resamples": Resamples,
        "seed": Natural,
        **RUNNING,
    },
    "adversarial_effects": {
        "images": Positive,
        "cw_images": Positive,
        "levels": Annotated[list[Level], Field(min_length=1)],
        "steps": Positive,
        "cw_steps": Positive,
        "cw_searches": Positive,
        "resamples": Resamples,
        "seed": Natural,
        **RUNNING,
    },
    "true_effects": {
        "concept_images": Annotated[int, Field(ge=20)],
        "resamples": Resamples,
        "seed": Natural,
        "device": Device,
    },
    "shortcut_regions": {
        "network": str,
        **LEARNING,
        "images": Positive,
        "map_images": Positive,
        "fills": Fills,
        "per_side": Annotated[int, Field(ge=2)],
        "resamples": Resamples,
        "seed": Natural,
        **RUNNING,
    },
    "mask_games": {
        "resamples": Resamples,
        "seed": Natural,
        "workers": Positive,
        "chunk": Positive,
        "device": Device,
    },
    "released_loss": {
        "images": Annotated[int, Field(ge=32)],
        "probes": Positive,
        "epochs": Positive,
        **RUNNING,
    },
    "mask_randomization": {
        "seeds": Seeds,
        "pairs": Annotated[int, Field(ge=2)],
        "rise_masks": Positive,
        "calibration": Positive,
        **MASK,
        "seed": Natural,
        **RUNNING,
    },
    "gradcam_randomization": {"seeds": Seeds, "images": Positive, "seed": Natural, "device": Device},
    "claims_report": {"resamples": Resamples, "seed": Natural},
    "my_network": {
        "source": str | None,
        "weights": str | None,
        "classes": str | None,
        "mean": Normalisation,
        "std": Normalisation,
        "channels": Literal[1, 3],
        "cam_layers": Names | None,
        "root": str | None,
        "photographs": Annotated[list[str], Field(min_length=1, max_length=4)],
        "native": Annotated[int, Field(ge=32)],
        "size": Annotated[int, Field(ge=32)],
        **ALL_FIVE,
    },
    "my_images": {
        "root": str | None,
        "boxes": str | None,
        "unreadable": Literal["error", "skip"],
        "limit": Positive,
        "size": Annotated[int, Field(ge=32)],
        **ALL_FIVE,
    },
}
TOP_LEVEL = {"threads": Positive, "device": Device, "precision": Literal["float32", "bfloat16"]}
PROFILE = {"extends": str, "download": bool}  # in a profile: another one to lay it over; fetch data that are missing


def load(file: Path = ROOT / "params.yaml") -> dict[str, Any]:
    """The whole file, checked. Raises ValueError with one sentence that names file, section and parameter."""
    try:
        values = yaml.safe_load(file.read_text()) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"{file.name}: not valid YAML ({' '.join(str(error).split())})") from error
    if not isinstance(values, dict):
        raise ValueError(f"{file.name}: holds a {type(values).__name__}, expected a mapping of sections")
    for name, content in values.items():
        if name in TOP_LEVEL | PROFILE:
            check_value(content, (TOP_LEVEL | PROFILE)[name], f"{file.name}: {name}")
        elif name not in SCHEMA:
            known = ", ".join([*TOP_LEVEL, *SCHEMA])
            raise ValueError(f"{file.name}: section {name!r} is unknown, expected one of: {known}")
        else:
            check_section(name, {} if content is None else content, file.name)
    return values


def check_section(section: str, values: dict[str, Any], where: str) -> None:
    """Compare one section with its schema. Raises ValueError naming the parameter, its value and what was expected."""
    if not isinstance(values, dict):
        raise ValueError(f"{where}: section {section} is {values!r}, expected a mapping of parameters")
    for name, value in values.items():
        if name not in SCHEMA[section]:
            raise ValueError(
                f"{where}: {section}.{name} is not a parameter, expected one of: {', '.join(SCHEMA[section])}"
            )
        check_value(value, SCHEMA[section][name], f"{where}: {section}.{name}")


def check_value(value: Any, annotation: Any, where: str) -> None:
    """Strict check of one value. Raises ValueError."""
    try:
        TypeAdapter(annotation, config=ConfigDict(strict=True)).validate_python(value)
    except ValidationError as error:
        # A union reports one problem per member; a range problem says more than "should be None".
        problems = sorted(error.errors(), key=lambda problem: problem["type"] in ("none_required",))
        message = problems[0]["msg"]
        raise ValueError(f"{where} is {value!r}: {message[0].lower()}{message[1:]}") from None


def profile(name: str, folder: Path = ROOT / "profiles", base: Path = ROOT / "params.yaml") -> dict[str, Any]:
    """The parameters of the profile `name`: params.yaml, or the profile that it `extends`, with its sections laid over.

    Raises FileNotFoundError for an unknown profile, ValueError for one that does not fit the schema.
    """
    file = folder / f"{name}.yaml"
    if not file.exists():
        known = ", ".join(sorted(each.stem for each in folder.glob("*.yaml")))
        raise FileNotFoundError(f"profiles/{name}.yaml is missing, expected one of: {known}")
    overlay = load(file)
    below = overlay.pop("extends", None)
    if below == name:
        raise ValueError(f"profiles/{name}.yaml: extends itself, expected another profile")
    return compose(load(base) if below is None else profile(below, folder, base), overlay)


def compose(base: dict[str, Any], overlay: dict[str, Any]) -> dict[str, Any]:
    """`base` with a profile laid over it: keys of a section replace the base's, a section set to null is emptied."""
    composed = {name: dict(content) if isinstance(content, dict) else content for name, content in base.items()}
    for name, content in overlay.items():
        if content is None:
            composed[name] = {}
        elif isinstance(content, dict):
            composed[name] = (composed.get(name) or {}) | content
        else:
            composed[name] = content
    return composed
