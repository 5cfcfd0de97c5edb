"""What the stages that attack, explain, evaluate and check do: one formula per stage, named after it.

Each takes the values of all sections and the data sets, like those of `lib.plan.stages_train`. A stage that is in
neither module (tables, figures, statistics) sends nothing through a network.
"""

from lib.plan.cost import network_facts
from lib.plan.data import FINDINGS, Images
from lib.plan.passes import RADIUS_RUNS, Passes, Work, ascent, explained, floats, masks, scored, training, up_to
from lib.plan.stages_train import LITE, mask_networks

REGIONS, FILLS = 5, 7  # of lib.studies.regions
OTHER_ROWS, OTHERS = 9, 6  # rows per step of lib.explain.methods.OTHERS together, and their number
METHODS = ("BP", "Grad-CAM", "RISE", "MP", "EP", "RP")


def faces_attack(values, sets):
    own, data, train = values["faces_attack"], sets["faces"], values["faces_train"]
    images, times = up_to(own["images"], data.test), len(train["seeds"])
    forward = times * images * (1 + 1 + 2 * len(own["eps"]))
    passes = [Passes(name, data, forward, times * images) for name in train["networks"]]
    return Work(passes, images, held=3 * floats(data, images), disk=len(passes) * times * images * data.pixels)


def photos_attack(values, sets):
    own, name = values["photos_attack"], values["photos_train"]["network"]
    seeds, passes, images, disk = len(values["photos_train"]["seeds"]), [], 0, 0.0
    for split_name, levels in (("photos", len(own["levels"])), ("held_out", 1)):
        if split_name in sets:
            data = sets[split_name]
            count = up_to(own["images"], data.test)
            attacks = seeds * levels * count
            passes.append(Passes(name, data, attacks * (1 + 2 * own["steps"] + 3), attacks * (1 + 2 * own["steps"])))
            images, disk = images + count, disk + 3 * attacks * data.pixels
    return Work(passes, images, held=4 * disk, disk=disk)


def faces_gradcam(values, sets):
    own, data, train = values["faces_gradcam"], sets["faces"], values["faces_train"]
    images, seeds = up_to(values["faces_attack"]["images"], data.test), len(train["seeds"])
    levels = sum(eps >= 0.01 for eps in values["faces_attack"]["eps"])
    maps = seeds * images * ((levels + 1) * len(own["modes"]) + levels)
    maps += min(own["layer_images"], images) * (levels + 1) * 4
    passes = [Passes(name, data, maps, maps, batch=own["batch"]) for name in train["networks"]]
    return Work(passes, images, held=3 * floats(data, images), disk=len(passes) * maps * 4 * 7 * 7)


def halftone_activations(values, sets):
    own, data, train = values["halftone_activations"], sets["photos"], values["photos_train"]
    images = min(own["images"], up_to(values["photos_attack"]["images"], data.test))
    return Work([Passes(train["network"], data, len(train["seeds"]) * 4 * 4 * images)], images)


def channels_of(values: dict) -> int:
    """Code channels of the chest's bottleneck."""
    return values["chest_autoencoder"]["encoder"][-1]


def latent_effects(values, sets):
    own, chest = values["latent_effects"], values["chest_train"]
    passes, seen = [], 0
    for name, data, seeds, units in (
        ("compact/digits", sets["digits"], values["digits_train"]["seeds"], 16),
        (chest["network"], sets["chest"], chest["seeds"], channels_of(values)),
    ):
        images = min(own["images"], data.validation) + min(own["images"], data.test)
        passes.append(Passes(name, data, len(seeds) * images * (units + 2), batch=16 * (units + 2)))
        seen += images
    return Work(passes, seen)


def pixel_effects(values, sets):
    own, data, chest = values["pixel_effects"], sets["chest"], values["chest_train"]
    real = values["chest_data"]["root"] is not None
    cases = min(FINDINGS * own["cases"], max(data.regions, 1))
    few, fills = min(FINDINGS * own["map_cases"], cases), FILLS - real  # no counterfactual of a real radiograph
    units = channels_of(values)
    forward = cases * (1 + REGIONS * fills + 4 + 3 + 6) + 100 * (units + 2)
    forward += few * ((2 - real) * (own["per_side"] ** 2 + 1) + 2)
    seeds = len(chest["seeds"])
    passes = Passes(chest["network"], data, seeds * forward, seeds * (2 * cases + few), batch=200)
    return Work([passes], cases, held=floats(data, 4 * cases))


def mask_tuning(values, sets):
    own, data, name = values["mask_tuning"], sets["voc"], values["scenes_train"]["networks"]["vgg"]
    settings, steps = 2 * len(own["areas"]) * len(own["variations"]), own["pairs"] * own["steps"]
    rows = 3 * settings * steps + 3 * own["pairs"] * own["published_steps"]
    passes = [Passes(name, data, rows + data.validation, rows, batch=64)]
    return Work([*passes, scored(name, data, own["pairs"] * (2 * settings + 2))], own["pairs"] + data.validation)


def mask_steps(values, sets):
    own, data, name = values["mask_steps"], sets["voc"], values["scenes_train"]["networks"]["vgg"]
    made_masks = masks(name, data, own["pairs"], rows=7 + 5, steps=own["steps"])
    others = 2 * (own["rise_masks"] + 2) + own["plane_points"] ** 2 + own["pairs"] * (10 * own["steps"] + 40)
    return Work([made_masks, Passes(name, data, others + data.test, 4)], own["pairs"] + data.test)


def mask_pairs(values: dict, family: str) -> int:
    """Pairs per network of a family in the mask study."""
    return values["mask_maps"]["pairs" if family == "vgg" else "family_pairs"]


def mask_methods(domain: str, family: str) -> tuple[str, ...]:
    """The methods that every pair of a network is explained with."""
    names = METHODS + (("MP (start 1)",) if family == "vgg" else ())
    return names + (("T", "L_M") if (domain, family) == ("voc", "vgg") else ())


def mask_maps(values, sets):
    own = values["mask_maps"]
    options, passes, images, maps = {"steps": own["steps"], "rise_masks": own["rise_masks"]}, [], 0, 0.0
    for domain, family, count in mask_networks(values, "mask_maps"):
        name, data, pairs = values["scenes_train"]["networks"][family], sets[domain], mask_pairs(values, family)
        methods = mask_methods(domain, family)
        passes += explained(name, data, pairs, methods, **options) * count
        passes.append(Passes(name, data, count * data.test))
        images += pairs
        maps += count * pairs * len(methods) * 4 * data.size**2
    data, few = sets["voc"], min(own["other_pairs"], own["pairs"])
    passes.append(masks(values["scenes_train"]["networks"]["vgg"], data, few, rows=OTHER_ROWS, steps=own["steps"]))
    maps += few * OTHERS * 4 * data.size**2
    return Work(passes, images, held=2 * maps, disk=maps)


def photo_masks(values, sets):
    own = values["photo_masks"]
    count, data = len(own["photographs"]), Images(0, 0, 4, 1000, 3, own["size"])
    return Work(
        explained(LITE, data, count, ("Grad-CAM", "RISE", "MP", "RP"), **pick(own, "steps", "rise_masks")), count
    )


def all_five(own: dict, count: int) -> Work:
    """FGSM, counterfactual, RP mask, Grad-CAM shift and causal effect of somebody's own network and images."""
    name, data = own.get("source") or LITE, Images(0, 0, count, 1000, 3, own["size"])
    looked = Passes(name, data, 12 * count, 3 * count)
    found = ascent(name, data, count, own["steps"])
    return Work([looked, found, masks(name, data, count, rows=2, steps=own["mask_steps"])], count)


def my_network(values, sets):
    own = values["my_network"]
    return all_five(own, len(own["photographs"]))


def my_images(values, sets):
    own = values["my_images"]
    return all_five(own, own["limit"])


def pick(section: dict, *names: str) -> dict:
    """Some parameters of a section."""
    return {name: section[name] for name in names}


def counterfactual_steps(values, sets):
    own, data, name = values["counterfactual_steps"], sets["objects"], values["objects_train"]["network"]
    grid = 30 if values["objects_data"]["root"] is None else 3 * 6 * 3
    return Work(
        [
            ascent(name, data, 3 * 16, min(own["steps"], 30), RADIUS_RUNS),
            ascent(name, data, 3 * own["images"] + 5 * 16 + grid, own["steps"]),
        ],
        own["images"] + 32 + 3,
    )


def counterfactual_sets(values, sets):
    own, data = values["counterfactual_sets"], sets["objects"]
    name, judge = values["objects_train"]["network"], values["objects_train"]["judge"]
    jobs, seeds, images = 9 * len(own["seeds"]), len(own["seeds"]), own["sets"] * own["images"]
    backgrounds = values["objects_data"]["backgrounds"] if values["objects_data"]["root"] is None else 0
    compared = own["compared"] * ((5 + 6) * 2 + 2 * 4 + 2 * 5) + own["restarts"] * own["compared"]
    passes = [
        ascent(name, data, own["matching"], own["matching_steps"], jobs * RADIUS_RUNS),
        ascent(name, data, images + backgrounds, own["steps"], jobs),
        ascent(name, data, seeds * compared, own["steps"]),
        ascent(name, data, 3 * seeds * own["least"] * len(own["levels"]) * 7, own["matching_steps"]),
        Passes(judge, data, jobs * (3 * images + backgrounds) + data.validation),
    ]
    return Work(passes, images, held=6 * floats(data, images) + floats(data, data.validation))


def defence_transfer(values, sets):
    own, name = values["photos_attack"], values["photos_train"]["network"]
    seeds, passes, images, held = len(values["photos_train"]["seeds"]), [], 0, 0.0
    for split_name, levels in (("photos", len(own["levels"])), ("held_out", 1)):
        if split_name in sets:
            data = sets[split_name]
            count = up_to(own["images"], data.test)
            passes.append(Passes(name, data, seeds * count * (4 * 3 + 17 * (1 + 3 * levels))))
            images, held = images + count, held + floats(data, count) * (1 + 3 * levels)
    return Work(passes, images, held=held)


def defence_adaptive(values, sets):
    own, data, train = values["defence_adaptive"], sets["photos"], values["photos_train"]
    images, levels, seeds = min(own["images"], data.test), len(own["levels"]), len(train["seeds"])
    steps = 7 * levels * own["steps"] + (3 + 2 + 1 + own["draws"]) * own["table_steps"] + own["long_steps"]
    judged = 7 * levels + 8 + 8 * (1 + levels)
    passes = Passes(train["network"], data, seeds * images * (steps + judged), seeds * images * steps)
    return Work([passes], images, held=floats(data, images * (1 + 3 * levels)))


def imagenet_defences(values, sets):
    own = values["imagenet_defences"]
    data, levels = Images(0, 0, own["images"], 1000, 3, 224), len(own["levels"])
    steps = own["images"] * levels * (own["steps"] + 1)
    return Work([Passes(LITE, data, steps + own["images"] * (1 + 2 * levels) * 8, steps, batch=7)], own["images"])


def adversarial_effects(values, sets):
    own, data, chest = values["adversarial_effects"], sets["chest"], values["chest_train"]
    images, levels, seeds = min(own["images"], data.test), len(own["levels"]), len(chest["seeds"])
    crafted = levels * images * (1 + 2 * own["steps"]) + own["cw_images"] * own["cw_steps"] * own["cw_searches"]
    judged = images * (2 + 4 * levels) + 2 * own["cw_images"] + min(150, data.validation)
    forward = crafted + 6 * judged + 150 * (channels_of(values) + 2)
    return Work([Passes(chest["network"], data, seeds * forward, seeds * (crafted + 2 * judged), batch=64)], images)


def shortcut_regions(values, sets):
    own, data = values["shortcut_regions"], sets["chest"]
    regions = 14 - (values["chest_data"]["root"] is not None)  # ten parts, three unions, phantoms' marker
    images, cells = min(own["images"], data.test), own["per_side"] ** 2 + 1
    forward = images * len(own["fills"]) * (1 + 2 * regions) + min(own["map_images"], images) * cells + data.test
    seeds = len(own["seeds"])
    trained = [training(own["network"], data, epochs=own["epochs"], batch=own["batch"])] * seeds
    passes = Passes(own["network"], data, seeds * forward, batch=200)
    return Work([*trained, passes], data.count, saved=[(own["network"], data, seeds)])


def true_effects(values, sets):
    own, data, chest = values["true_effects"], sets["chest"], values["chest_train"]
    composed = values["chest_data"]["root"] is None
    forward = (2 * data.test if composed else 0) + min(own["concept_images"], data.test)
    return Work(
        [Passes(chest["network"], data, len(chest["seeds"]) * forward)], data.test, held=2 * floats(data, data.test)
    )


def spurious_features(values, sets):
    own, data, name = values["spurious_features"], sets["objects"], values["objects_train"]["network"]
    seeds, others = len(values["counterfactual_sets"]["seeds"]), data.test * (data.classes - 1) // data.classes
    found = ascent(name, data, own["images"], own["steps"], 2 * seeds)
    fooled = Passes(name, data, 3 * seeds * len(own["strengths"]) * others, reads=others if data.lazy else 0)
    return Work([found, fooled], others, held=2 * floats(data, min(256, others)))


def mask_games(values, sets):
    own, passes, images = values["mask_maps"], [], 0
    for domain, family, count in mask_networks(values, "mask_maps"):
        pairs, methods = mask_pairs(values, family), 1 + len(mask_methods(domain, family))
        passes.append(scored(values["scenes_train"]["networks"][family], sets[domain], count * pairs * methods))
        images += pairs
    few = min(own["other_pairs"], own["pairs"])
    passes.append(scored(values["scenes_train"]["networks"]["vgg"], sets["voc"], few * OTHERS))
    return Work(passes, images, held=mask_maps(values, sets).disk)


def released_loss(values, sets):
    own, chest, passes, held = values["released_loss"], values["chest_train"], [], 0.0
    epochs, probes = own["epochs"], own["probes"]
    repeats = epochs * (epochs + 1) // 2  # the intended loss is trained anew up to every epoch
    for name, data, seeds in (
        ("compact/digits", sets["digits"], values["digits_train"]["seeds"]),
        (chest["network"], sets["chest"], chest["seeds"]),
    ):
        images = min(own["images"], data.train)
        forward = images * (2 * (epochs + 1) + repeats + epochs) + probes * (2 * 4 * (epochs + 1) + 3 * epochs)
        passes.append(Passes(name, data, len(seeds) * forward, len(seeds) * images * (2 * epochs + repeats), batch=32))
        held = max(held, floats(data, images + probes))
    return Work(passes, min(own["images"], sets["chest"].train), held=held)


def mask_randomization(values, sets):
    own, data, name = values["mask_randomization"], sets["voc"], values["scenes_train"]["networks"]["vgg"]
    options, layers = pick(own, "steps", "rise_masks"), layers_of(name, data)
    networks, seeds = 1 + 3 * layers, len(own["seeds"])
    passes = explained(name, data, seeds * own["pairs"] * networks, METHODS, **options)
    passes += explained(name, data, 1 + layers, (*METHODS, "RP"), **options)  # the cascade of the figure
    passes.append(Passes(name, data, seeds * (data.test + layers * own["calibration"])))
    return Work(passes, own["pairs"])


def counterfactual_controls(values, sets):
    own, data, train = values["counterfactual_controls"], sets["objects"], values["objects_train"]
    judged = Passes(train["judge"], data, 5 * 2 * own["images"])
    return Work([ascent(train["network"], data, own["images"], own["steps"], 4), judged], own["images"])


def gradcam_randomization(values, sets):
    own, data, train = values["gradcam_randomization"], sets["faces"], values["faces_train"]
    seeds = len(set(own["seeds"]) & set(train["seeds"]))
    passes = []
    for name in train["networks"]:
        maps = seeds * own["images"] * (1 + 2 * layers_of(name, data))
        passes.append(Passes(name, data, maps + seeds * own["images"], maps))
    return Work(passes, own["images"], held=floats(data, own["images"]))


def layers_of(name: str, data: Images) -> int:
    """L: convolutions and linear layers."""
    return network_facts(name, data.classes, data.channels, data.size).layers


STAGES = {
    "faces_attack": faces_attack,
    "photos_attack": photos_attack,
    "faces_gradcam": faces_gradcam,
    "halftone_activations": halftone_activations,
    "latent_effects": latent_effects,
    "pixel_effects": pixel_effects,
    "mask_tuning": mask_tuning,
    "mask_steps": mask_steps,
    "mask_maps": mask_maps,
    "photo_masks": photo_masks,
    "my_network": my_network,
    "my_images": my_images,
    "counterfactual_steps": counterfactual_steps,
    "counterfactual_sets": counterfactual_sets,
    "defence_transfer": defence_transfer,
    "defence_adaptive": defence_adaptive,
    "imagenet_defences": imagenet_defences,
    "adversarial_effects": adversarial_effects,
    "true_effects": true_effects,
    "shortcut_regions": shortcut_regions,
    "spurious_features": spurious_features,
    "mask_games": mask_games,
    "released_loss": released_loss,
    "mask_randomization": mask_randomization,
    "counterfactual_controls": counterfactual_controls,
    "gradcam_randomization": gradcam_randomization,
}
