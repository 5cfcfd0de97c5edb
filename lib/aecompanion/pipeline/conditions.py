"""What binds parameters to each other: checked before the first stage runs, so that nothing is trained for tables and
claims that cannot be made of it.

`WITHIN` and `HOLDING` are conditions of two common kinds, `OTHERS` are functions of the parameters that they name. Each
is one sentence when violated.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

Values = dict[str, Any]  # section: its parameters, complete

WITHIN = {  # each value of the first parameter must be one of the others' values
    "faces_attack.source": (("faces_train.networks",), "whose signs attack all networks"),
    "gradcam_randomization.seeds": (("faces_train.seeds",), "whose networks it tests"),
    "halftone_activations.eps": (("photos_attack.eps",), "whose attacked images it reads"),
    "defence_adaptive.eps": (("photos_attack.eps",), "whose attacked images it compares with"),
    "mask_tuning.seed": (("scenes_train.tuning_seed",), "whose network no result uses"),
    "mask_steps.seed": (("scenes_train.seeds", "scenes_train.tuning_seed"), "whose network it explains"),
    "mask_maps.seeds": (("scenes_train.seeds",), "whose networks it explains"),
    "mask_maps.families": (("scenes_train.families",), "whose networks it explains"),
    "mask_maps.family_seeds": (("scenes_train.family_seeds",), "whose networks it explains"),
    "mask_maps.strength": (("mask_tuning.strength",), "at which the weights were chosen"),
    "mask_randomization.seeds": (("scenes_train.seeds",), "whose networks it tests"),
    "counterfactual_steps.seed": (("objects_train.seeds",), "whose network it explains"),
    "counterfactual_sets.seeds": (("objects_train.seeds",), "whose networks it explains"),
    "truth_counterfactuals.seeds": (("objects_train.seeds",), "whose networks it explains"),
    "truth_counterfactuals.seed": (("objects_data.seed",), "whose pictures it renders again"),
    "counterfactual_controls.seed": (("counterfactual_sets.seeds",), "whose radius it takes"),
    "truth_worlds.seeds": (("scenes_train.seeds",), "whose networks it asks"),
    "truth_worlds.digits_seed": (("scenes_data.seed",), "whose test digits no network was trained on"),
    "truth_methods.seeds": (("truth_worlds.seeds",), "whose effects it reads"),
    "truth_metrics.seeds": (("truth_worlds.seeds",), "whose worlds' networks it asks"),
    "truth_methods.objects": (("truth_worlds.objects",), "whose effects it reads"),
    "truth_methods.strength": (("mask_tuning.strength",), "at which the weights were chosen"),
    "my_method.scene_seed": (("scenes_data.seed",), "whose scenes it takes apart"),
    "my_method.training": (("scenes_train.seeds",), "whose network it explains"),
}
HOLDING = {  # the parameter must hold these values, beside any others
    "faces_attack.eps": ((0.01, 0.05, 0.075, 0.1), "strengths (tables and claims of paper 5 are at these)"),
    "imagenet_shift.eps": ((0.01, 0.05, 0.075, 0.1), "strengths (tables and claims of paper 5 are at these)"),
    "imagenet_effects.eps": ((2 / 255, 8 / 255), "strengths (claims of paper 1 on photographs are at these)"),
    "faces_gradcam.modes": (("own_pred", "clean_pred"), "modes (claims of paper 5 are about both)"),
    "photos_attack.eps": ((8 / 255,), "strengths (the tables are at 8/255)"),
    "defence_adaptive.eps": ((8 / 255,), "strengths (the tables are at 8/255)"),
    "counterfactual_sets.levels": ((0.9,), "confidences (the claims are at 0.9)"),
    "spurious_features.strengths": ((0.0, 0.8), "strengths (the claims compare these)"),
}


class Condition(NamedTuple):
    """`broken` takes the values of the parameters and returns what was expected, or None where all is well."""

    parameters: tuple[str, ...]  # "section.name"; the sentence begins with the first
    broken: Callable[..., str | None]


def within(name: str) -> Condition:
    others, why = WITHIN[name]

    def broken(value: Any, *allowed: Any) -> str | None:
        known = [each for values in allowed for each in listed(values)]
        if set(listed(value)) <= set(known):
            return None
        return f"expected values of {' and '.join(others)}, {why}: {', '.join(map(bare, known)) or 'none'}"

    return Condition((name, *others), broken)


def holding(name: str) -> Condition:
    needed, what = HOLDING[name]

    def broken(values: list) -> str | None:
        if set(needed) <= set(values):
            return None
        return f"expected {', '.join(map(bare, needed))} among the {what}"

    return Condition((name,), broken)


def different_numbers_of_steps(long: int, table: int, curves: int) -> str | None:
    """Rows of defence_adaptive are told apart by their number of steps."""
    if len({long, table, curves}) == 3:
        return None
    return f"expected three different numbers, beside table_steps {table} and steps {curves}"


def the_claims_confidence(confidence: float) -> str | None:
    return None if confidence == 0.9 else "expected 0.9, at which claims and displays of paper 2 compare"


def tuned_on_another_network(tuning: int, seeds: list[int]) -> str | None:
    return f"expected a seed that results are not reported on, unlike {seeds}" if tuning in seeds else None


def enough_test_images(sets: int, images: int, root: str | None, test: int) -> str | None:
    """Images of a folder are counted when it is read."""
    if root is not None or sets * images <= test:
        return None
    return f"expected at most {test // images} sets of {images} images, since objects_data.test is {test}"


def images_with_annotations(images: str | None, instances: str | None) -> str | None:
    if (images is None) == (instances is None):
        return None
    return f"expected a path exactly where scenes_data.coco_instances has one, which is {instances!r}"


def window_within_image(window: int, size: int) -> str | None:
    return None if window <= size else f"expected at most {size}, the side of the images (faces_data.size)"


def pictures_of_their_own(seed: int, *known: int) -> str | None:
    """Pictures of a data set's seed may be training images."""
    return f"expected another seed than those of the data sets, {', '.join(map(str, known))}" if seed in known else None


def trained_objects(seeds: list[int], known: list[int]) -> str | None:
    unknown = set(seeds) - set(known)
    return f"expected values of objects_train.seeds, whose networks it asks: {known}" if unknown else None


def large_enough(network: str, size: int) -> str | None:
    """compact networks for photographs take images from 48 px on."""
    if size >= 48 or not network.startswith("compact/") or network == "compact/digits":
        return None
    return f"expected another network, since photos_data.size is {size} and the compact ones take images from 48 px on"


OTHERS = (
    Condition(("photos_train.network", "photos_data.size"), large_enough),
    Condition(("truth_worlds.seeds", "objects_train.seeds"), trained_objects),
    Condition(
        ("defence_adaptive.long_steps", "defence_adaptive.table_steps", "defence_adaptive.steps"),
        different_numbers_of_steps,
    ),
    Condition(("counterfactual_sets.confidence",), the_claims_confidence),
    Condition(("scenes_train.tuning_seed", "scenes_train.seeds"), tuned_on_another_network),
    Condition(
        ("counterfactual_sets.sets", "counterfactual_sets.images", "objects_data.root", "objects_data.test"),
        enough_test_images,
    ),
    Condition(("scenes_data.coco_images", "scenes_data.coco_instances"), images_with_annotations),
    Condition(("mod_vid.window", "faces_data.size"), window_within_image),
    Condition(("truth_worlds.seed", "chest_data.seed", "scenes_data.seed", "objects_data.seed"), pictures_of_their_own),
)
CONDITIONS = (*map(holding, HOLDING), *map(within, WITHIN), *OTHERS)


def check(values: Values, where: str) -> None:
    """Every condition whose sections are all among the values. Raises ValueError with one sentence."""
    for parameters, broken in CONDITIONS:
        places = [parameter.split(".") for parameter in parameters]
        if not all(section in values for section, _ in places):
            continue
        given = [values[section][name] for section, name in places]
        expected = broken(*given)
        if expected:
            raise ValueError(f"{where}: {parameters[0]} is {shown(given[0])}: {expected}")


def shown(value: Any) -> str:
    """A value as people write it: strengths of attacks that are k/255 as such."""
    if isinstance(value, list):
        return f"[{', '.join(map(shown, value))}]"
    grey = round(value * 255) if isinstance(value, float) and len(repr(value)) > 6 else None  # 0.8 is 204/255, too
    return f"{grey}/255" if grey is not None and grey / 255 == value else repr(value)


def bare(value: Any) -> str:
    """The same, names without quotes."""
    return value if isinstance(value, str) else shown(value)


def listed(value: Any) -> list:
    return value if isinstance(value, list) else [value]
