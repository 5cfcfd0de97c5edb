"""What the stages that make data and train do: one formula per stage, named after it.

Each takes the values of all sections and the data sets. `lib.plan.passes` has the formulas of single trainings, attacks
and explanations; a function here says how many of them its notebook makes.
"""

import dataclasses

from lib.plan.data import Images
from lib.plan.passes import Passes, Work, ascent, floats, masks, training

LITE = "timm/tf_efficientnet_lite0"  # the network whose weights a package ships


def made(*sets: Images, held: float = 0, factor: float = 1) -> Work:
    """A stage that reads or composes data sets."""
    count = sum(each.count for each in sets)
    return Work(images=count, made=count, held=held, disk=factor * sum(each.disk for each in sets))


def stage_00_start_here(values, sets):
    photograph = Images(0, 0, 1, 1000, 3, 224)
    return Work([Passes(LITE, photograph, 12, 4), masks(LITE, photograph, 1, rows=2, steps=25)], 1)


def faces_data(values, sets):
    return made(sets["faces"], held=floats(sets["faces"], sets["faces"].train + sets["faces"].test))


def photos_data(values, sets):
    data = sets["photos"]
    packed = dataclasses.replace(data, folder=False)  # the four other views are packed whatever their size
    known = made(data, *([sets["held_out"]] if "held_out" in sets else []), held=floats(data, data.train + data.test))
    return dataclasses.replace(known, disk=known.disk + 4 * packed.disk)


def digits_data(values, sets):
    return made(sets["digits"])


def chest_data(values, sets):
    return made(sets["chest"])


def scenes_data(values, sets):
    data = [sets["voc"], sets["coco"]]
    return made(*data, held=sum(each.regions * each.size**2 for each in data))


def objects_data(values, sets):
    data = sets["objects"]
    return made(data, held=0 if data.lazy else 2 * data.count * data.pixels, factor=2)  # with the mark and without


def faces_train(values, sets):
    own, data = values["faces_train"], sets["faces"]
    networks = [name for name in own["networks"] for _ in own["seeds"]]
    options = {"epochs": own["epochs"], "batch": own["batch"]}
    runs = [training(name, data, **options) for name in networks]
    return Work(runs, data.count, saved=[(name, data, 1) for name in networks])


def photos_train(values, sets):
    own, data = values["photos_train"], sets["photos"]
    name, epochs, seeds = own["network"], own["epochs"], len(own["seeds"])
    half = max(1, epochs // 2)
    # representations, epochs, share of images that are grey: grey, halftone, jpeg, tv, hybrid, hybrid_updates
    regimes = [(1, epochs, 1), *[(1, epochs, 0)] * 3, (2, epochs, 0.5), (2, half, 0.5)]
    runs = [run for run in regimes for _ in range(seeds)] + (regimes[:1] if seeds == 1 else [])
    passes = []
    for views, count, grey in runs:
        run = training(name, data, epochs=count, batch=own["batch"], views=views)
        passes.append(dataclasses.replace(run, reads=round(grey * run.reads)))  # the other views are packed
    passes.append(Passes(name, data, len(runs) * 5 * data.test))
    return Work(passes, 5 * data.count, held=2 * floats(data, data.train), saved=[(name, data, len(runs))])


def digits_train(values, sets):
    own, data = values["digits_train"], sets["digits"]
    seeds, images = len(own["seeds"]), min(own["bottleneck_images"], data.train)
    run = training("compact/digits", data, epochs=own["epochs"], batch=own["batch"])
    epochs = own["bottleneck_epochs"]
    inserted = Passes("compact/digits", data, seeds * ((epochs + 1) * images + 2 * data.test), seeds * epochs * images)
    return Work([run] * seeds + [inserted], data.count, saved=[("compact/digits", data, seeds)])


def chest_train(values, sets):
    own, data = values["chest_train"], sets["chest"]
    run = training(own["network"], data, epochs=own["epochs"], batch=own["batch"])
    tested = Passes(own["network"], data, len(own["seeds"]) * data.test)
    saved = [(own["network"], data, len(own["seeds"]))]
    return Work([run] * len(own["seeds"]) + [tested], data.count, saved=saved)


def chest_autoencoder(values, sets):
    own, data, networks = values["chest_autoencoder"], sets["chest"], len(values["chest_train"]["seeds"])
    images = min(own["images"], data.train)
    forward = (own["epochs"] + 1) * images + min(images, 256) + 2 * data.validation
    passes = Passes(values["chest_train"]["network"], data, networks * forward, networks * own["epochs"] * images)
    return Work([passes], images + data.validation, held=floats(data, images + data.validation))


def mask_networks(values: dict, section: str) -> list[tuple[str, str, int]]:
    """(domain, family, number of networks) that a section's seeds and families stand for."""
    own = values[section]
    found = [(domain, "vgg", len(own["seeds"])) for domain in ("voc", "coco", "chest")]
    return found + [("voc", family, len(own["family_seeds"])) for family in own["families"]]


def scenes_train(values, sets):
    own = values["scenes_train"]
    passes, saved = [], []
    for domain, family, count in [*mask_networks(values, "scenes_train"), ("voc", "vgg", 1)]:  # the last: for tuning
        name, data = own["networks"][family], sets[domain]
        epochs = own["chest_epochs"] if domain == "chest" else own["epochs"]
        passes += [training(name, data, epochs=epochs, batch=own["batch"]), Passes(name, data, data.test)] * count
        saved.append((name, data, count))
    return Work(passes, sum(sets[name].count for name in ("voc", "coco", "chest")), saved=saved)


def objects_train(values, sets):
    own, data = values["objects_train"], sets["objects"]
    name, judge, seeds, foreign = own["network"], own["judge"], len(own["seeds"]), own["weights"] is not None
    options = {"batch": own["batch"]}
    passes = [training(judge, data, epochs=own["epochs"], **options)]
    passes += [training(name, data, epochs=own["epochs"], **options)] * seeds
    if not foreign:
        l2, both = (3, 2), (6, 4)  # 2 steps; 3 or 5 with equal chance, then the attacked images once
        for epochs, attack in ((own["robust_epochs"], l2), (own["norms_epochs"], both), (2 * own["mark_epochs"], l2)):
            passes += [training(name, data, epochs=epochs, attack=attack, **options)] * seeds
    images = min(own["attack_images"], data.test)
    passes.append(Passes(name, data, (5 * seeds + 1) * data.validation + 3 * seeds * data.test))
    passes.append(ascent(name, data, images, own["attack_steps"], runs=3 * seeds * 3 * (1 + 2)))
    return Work(passes, data.count, saved=[(name, data, 5 * seeds), (judge, data, 1)])


STAGES = {
    "00_start_here": stage_00_start_here,
    "faces_data": faces_data,
    "photos_data": photos_data,
    "digits_data": digits_data,
    "chest_data": chest_data,
    "scenes_data": scenes_data,
    "objects_data": objects_data,
    "faces_train": faces_train,
    "photos_train": photos_train,
    "digits_train": digits_train,
    "chest_train": chest_train,
    "chest_autoencoder": chest_autoencoder,
    "scenes_train": scenes_train,
    "objects_train": objects_train,
}
