"""The stages that a paper rests on, as a picture in SVG: columns from data to results, a box per notebook, lines from
what writes to what reads.

A stage stands one column behind the last stage that it reads; a line that a longer way replaces is not drawn.
"""

from collections.abc import Callable, Mapping
from html import escape

BOX, HIGH, ACROSS, DOWN = 168, 26, 226, 38  # pixels: a box and its distance to the next


def ancestors(name: str, before: Mapping[str, list[str]]) -> set[str]:
    """All stages that a stage rests on."""
    found: set[str] = set()
    left = list(before[name])
    while left:
        each = left.pop()
        if each not in found:
            found.add(each)
            left += before[each]
    return found


def reduced(before: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Only the direct steps: a → c goes where a → b → c stands."""
    above = {name: ancestors(name, before) for name in before}
    return {
        name: [each for each in reads if not any(each in above[other] for other in reads)]
        for name, reads in before.items()
    }


def columns(before: Mapping[str, list[str]]) -> list[list[str]]:
    """Stages by the length of the longest way to them, each column in the order of what it reads."""
    depth: dict[str, int] = {}

    def measure(name: str) -> int:
        if name not in depth:
            depth[name] = 1 + max((measure(each) for each in before[name]), default=-1)
        return depth[name]

    found: list[list[str]] = [[] for _ in range(1 + max(map(measure, before), default=-1))]
    for name in before:
        found[depth[name]].append(name)
    row: dict[str, float] = {}
    for column in found:
        column.sort(key=lambda name: sum(row[each] for each in before[name]) / max(1, len(before[name])))
        row |= {name: place for place, name in enumerate(column)}
    return found


def svg(before: Mapping[str, list[str]], link: Callable[[str], str], title: str) -> str:
    """The picture.

    Args:
        before: stage → the stages that it reads, all of them keys.
        link: stage → address of its notebook.
    """
    steps = reduced(before)
    stages = columns(steps)
    at = {name: (4 + x * ACROSS, 4 + y * DOWN) for x, names in enumerate(stages) for y, name in enumerate(names)}
    wide, high = (len(stages) - 1) * ACROSS + BOX + 8, max(map(len, stages), default=0) * DOWN
    lines = [
        f'<svg class="graph" role="img" aria-label="{escape(title)}" width="{wide}" height="{high}" '
        f'viewBox="0 0 {wide} {high}" xmlns="http://www.w3.org/2000/svg"><title>{escape(title)}</title>'
    ]
    for name, reads in steps.items():
        x, y = at[name]
        for each in reads:
            a, b = at[each][0] + BOX, at[each][1] + HIGH / 2
            bend = (x - a) / 2
            end = y + HIGH / 2
            lines.append(f'<path d="M{a} {b:g}C{a + bend:g} {b:g} {x - bend:g} {end:g} {x} {end:g}"/>')
    for name, (x, y) in at.items():
        lines.append(
            f'<a href="{escape(link(name))}"><rect x="{x}" y="{y}" width="{BOX}" height="{HIGH}" rx="4"/>'
            f'<text x="{x + BOX / 2:g}" y="{y + 17}">{escape(name)}</text></a>'
        )
    return "".join([*lines, "</svg>"])
