"""Clusters of classes that are mistaken for each other: a counterfactual turns an image into another of its cluster.

Boreiko et al. take inner nodes of WordNet with 3 to 10 ImageNet classes below them and prune them to disjoint sets
(docs/papers/counterfactual.md, section 2.5).
`wordnet_clusters` does that for any classes named by WordNet ids (the folder names of ImageNet), from the hierarchy
file `wordnet.is_a.txt` (a line "PARENT CHILD" per edge), which the user points to. `data.objects.CLUSTERS` has
those of the digits.

Where we depart: the greedy pruning keeps the larger cluster first and breaks ties by name, so that it does not depend
on the order of the file.
"""

from collections.abc import Sequence
from pathlib import Path

from aecompanion.data.files import text_of

Clusters = tuple[tuple[int, ...], ...]


def wordnet_clusters(
    hierarchy: Path, classes: Sequence[str], *, least: int = 3, most: int = 10
) -> dict[str, list[int]]:
    """{WordNet id of the inner node: indices of its classes}, disjoint, the largest first.

    Raises FileNotFoundError for a missing file, ValueError for one of another form or if no node qualifies.
    """
    hierarchy = Path(hierarchy)
    if not hierarchy.is_file():
        raise FileNotFoundError(f"{hierarchy}: no such file, expected WordNet's hierarchy (lines `PARENT CHILD`)")
    children: dict[str, list[str]] = {}
    for number, line in enumerate(text_of(hierarchy).splitlines(), 1):
        words = line.split()
        if not words:
            continue
        if len(words) != 2:
            raise ValueError(f"{hierarchy}: line {number} is {line!r}, expected two WordNet ids")
        children.setdefault(words[0], []).append(words[1])
    place = {name: index for index, name in enumerate(classes)}
    below: dict[str, frozenset[int]] = {}

    def collect(node: str, path: tuple[str, ...] = ()) -> frozenset[int]:
        if node in path:
            raise ValueError(f"{hierarchy}: {node} is above itself, expected a hierarchy")
        if node not in below:
            own = {place[node]} if node in place else set()
            parts = [collect(child, (*path, node)) for child in children.get(node, ())]
            below[node] = frozenset(own.union(*parts))
        return below[node]

    for node in children:
        collect(node)
    fitting = {node: found for node, found in below.items() if node in children and least <= len(found) <= most}
    chosen: dict[str, list[int]] = {}
    taken: set[int] = set()
    for node in sorted(fitting, key=lambda node: (-len(fitting[node]), node)):
        if not fitting[node] & taken:
            chosen[node] = sorted(fitting[node])
            taken |= fitting[node]
    if not chosen:
        raise ValueError(f"{hierarchy}: no node has {least} to {most} of the {len(classes)} classes below it")
    return chosen


def other_in_cluster(labels: Sequence[int], clusters: Clusters) -> list[int]:
    """A target for every label: its cluster's next class, each time another one. Raises ValueError for a label whose
    cluster has no other class.
    """
    home = {label: cluster for cluster in clusters for label in cluster}
    seen: dict[int, int] = {}
    targets = []
    for label in map(int, labels):
        others = [other for other in home.get(label, ()) if other != label]
        if not others:
            raise ValueError(f"class {label} is alone in its cluster, expected at least one other class to turn into")
        targets.append(others[seen.get(label, 0) % len(others)])
        seen[label] = seen.get(label, 0) + 1
    return targets
