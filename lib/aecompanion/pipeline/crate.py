"""What a bundle says of itself: an RO-Crate 1.1 (https://w3id.org/ro/crate/1.1) as ro-crate-metadata.json.

The root data set is the bundle; the pipeline is a ComputationalWorkflow (dvc.yaml); every output of a stage is a
Dataset with path, size and hash; every stage that ran here is a CreateAction with its end, machine and outputs.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

PROFILE = "https://w3id.org/ro/crate/1.1"
LANGUAGE = {"@id": "#dvc", "@type": "ComputerLanguage", "name": "DVC", "url": "https://dvc.org"}


def described(
    about: Mapping[str, str], outs: Iterable[Mapping[str, Any]], runs: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """The metadata as values that JSON can hold.

    Args:
        about: name, description, license, version, date (ISO 8601), commit.
        outs: path, stage, md5 and size of every output in the bundle.
        runs: stage → its record (`pipeline.record`).
    """
    listed = [
        {
            "@id": f"#{out['path']}",
            "@type": "Dataset",
            "name": out["path"],
            "description": f"output of the stage {out['stage']}, DVC hash {out['md5']}",
            "identifier": out["md5"],
            "contentSize": str(out["size"]),
        }
        for out in outs
    ]
    made: dict[str, list[dict[str, str]]] = {}
    for out in outs:
        made.setdefault(out["stage"], []).append({"@id": f"#{out['path']}"})
    actions = [
        {
            "@id": f"#run of {stage}",
            "@type": "CreateAction",
            "name": f"aecompanion run {stage}",
            "instrument": {"@id": "dvc.yaml"},
            "endTime": facts["finished"],
            "description": f"on {facts['machine']}, commit {facts['commit']}, {facts['seconds']} s",
            "result": made[stage],
        }
        for stage, facts in runs.items()
        if stage in made
    ]
    files = {"dvc.yaml": "the pipeline", "dvc.lock": "hashes of every input and output", "hashes.md5": "every file"}
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": about["name"],
        "description": about["description"],
        "datePublished": about["date"],
        "license": about["license"],
        "version": f"{about['version']}, commit {about['commit']}",
        "mainEntity": {"@id": "dvc.yaml"},
        "hasPart": [{"@id": name} for name in files],
        "mentions": [{"@id": each["@id"]} for each in (*listed, *actions)],
    }
    parts = [{"@id": name, "@type": "File", "name": what} for name, what in files.items()]
    parts[0] |= {
        "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow"],
        "programmingLanguage": {"@id": "#dvc"},
    }
    descriptor = {
        "@id": "ro-crate-metadata.json",
        "@type": "CreativeWork",
        "conformsTo": {"@id": PROFILE},
        "about": {"@id": "./"},
    }
    return {"@context": f"{PROFILE}/context", "@graph": [descriptor, root, *parts, LANGUAGE, *listed, *actions]}


def problems(crate: Mapping[str, Any]) -> list[str]:
    """What RO-Crate 1.1 requires and this metadata lack, one sentence each; [] where nothing is."""
    if crate.get("@context") != f"{PROFILE}/context" or not isinstance(crate.get("@graph"), list):
        return ["@context or @graph is missing"]
    graph = {each.get("@id"): each for each in crate["@graph"]}
    found = [] if len(graph) == len(crate["@graph"]) else ["two entities have the same @id"]
    found += [f"{name} has no @type" for name, each in graph.items() if not each.get("@type")]
    descriptor, root = graph.get("ro-crate-metadata.json", {}), graph.get("./", {})
    if descriptor.get("about") != {"@id": "./"} or descriptor.get("conformsTo") != {"@id": PROFILE}:
        found.append("the descriptor is not about ./ or names no profile")
    found += [f"./ has no {name}" for name in ("name", "description", "datePublished", "license") if not root.get(name)]
    links = json.dumps(crate["@graph"]).split('{"@id": "')[1:]
    ends = [link.split('"', 1) for link in links]
    known = {*graph, PROFILE}
    found += [
        f"{name} is linked and not described" for name, rest in ends if rest.startswith("}") and name not in known
    ]
    return found
