"""A paper's claims as a table that a page can sort and filter (static/site.js): what the paper reports beside what is
measured, with the interval drawn.
"""

import math
from collections.abc import Callable
from html import escape

import pandas as pd

from aecompanion.report import claims as claims_, replications, source
from aecompanion.report.gallery import VERDICTS, interval_text, number
from aecompanion.report.verdicts import RELATIONS
from aecompanion.site import reference

WIDE, HIGH, EDGE = 120, 18, 6  # pixels of an interval's picture
MARK = {name: name.replace(" ", "-") for name in VERDICTS}  # classes of static/site.css
COLUMNS = ("id", "claim", "verdict", "interval", "measured", "reported", "strength", "display", "stable")


def table(claims: pd.DataFrame, others: replications.Replications, link: Callable[[str], str]) -> str:
    """The table in HTML.

    Args:
        link: address on the site → address as seen from the page of the table.
    """
    known = {claim.id: claim for claim in claims_.register()}
    same = replications.stable(claims, others) if others else pd.Series("", claims.index)
    choices = {
        "strength": claims["strength"],
        "verdict": claims["verdict"],
        "stable": same,
        "display": claims["display"],
    }
    filters = "".join(choice(name, values) for name, values in choices.items())
    heads = "".join(f'<th scope="col" aria-sort="none"><button type="button">{name}</button></th>' for name in COLUMNS)
    rows = [row(each, known.get(each.id), stable, link) for each, stable in zip(claims.itertuples(), same, strict=True)]
    return (
        '<div class="claims"><form class="filters" role="search" aria-label="Filter of the claims">'
        f'<label>words <input type="search" name="words"></label>{filters}'
        f'<output aria-live="polite">{len(claims)} of {len(claims)}</output></form>\n'
        f'<div class="wide" tabindex="0" role="region" aria-label="Claims"><table>'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>" + "\n".join(rows) + "</tbody></table></div></div>"
    )


def choice(name: str, values: pd.Series) -> str:
    """A list to choose a column's value from."""
    options = "".join(f"<option>{escape(value)}</option>" for value in dict.fromkeys(values) if value)
    return f'<label>{name} <select name="{name}"><option value="">all</option>{options}</select></label>'


def row(claim, known: claims_.Claim | None, stable: str, link: Callable[[str], str]) -> str:
    """One claim; data-sort is what a column is sorted by where that is not its text."""
    by = ""
    if known:
        function = f"{known.estimator.__module__}.{known.estimator.__name__}"
        _, file, line = source.where(function)
        by = (
            f' <small>measured by <a href="{link(reference.place(function))}">{known.estimator.__name__}</a>'
            f' (<a href="{link(f"source/{file}.html#L{line}")}">line {line}</a>)</small>'
        )
    relation = known.relation if known else ""
    missing = "" if pd.isna(claim.ours) else claim.ours
    cells = [
        f'<th scope="row" data-sort="{float(claim.id[1:].partition(".")[2]):g}">{claim.id}</th>',
        f"<td>{escape(claim.statement)}{by}</td>",
        f'<td><span class="verdict {MARK.get(claim.verdict, "")}">{claim.verdict}</span>'
        f"<small>{escape('' if pd.isna(claim.reason) else claim.reason)}</small></td>",
        f"<td>{bar(claim.ours, claim.ci_low, claim.ci_high, relation, claim.reported)}</td>",
        f'<td data-sort="{missing}">{interval_text(claim) if missing != "" else ""}</td>',
        f'<td data-sort="{"" if pd.isna(claim.reported) else claim.reported}">{number(claim.reported)}</td>',
        f"<td>{claim.strength}</td>",
        f'<td><a href="#{claim.display}">{claim.display}</a></td>',
        f"<td>{stable}</td>",
    ]
    return f'<tr id="{claim.id}">{"".join(cells)}</tr>'


def bound(relation: str) -> float | None:
    """The number of `"> 0"`, None for a relation without one."""
    sign, _, value = relation.partition(" ")
    return float(value) if sign in RELATIONS else None


def bar(ours: float, low: float, high: float, relation: str, reported: float = math.nan) -> str:
    """An interval as a small picture: a line with the estimate as a dot, the bound of the claim as a dashed line, the
    number that the paper reports as a diamond. The scale is the claim's own.
    """
    wanted = bound(relation)
    given = [value for value in (ours, low, high, wanted, reported) if value is not None and math.isfinite(value)]
    if not math.isfinite(ours) or not given:
        return ""
    first, last = min(given), max(given)
    span = (last - first) or 1.0

    def x(value: float) -> str:
        return f"{EDGE + (WIDE - 2 * EDGE) * (value - first) / span:.1f}"

    middle = HIGH / 2
    said = f"{number(ours)}, 95 % interval {number(low)} to {number(high)}"
    said += f", needed {relation}" if relation else ""
    parts = [
        f'<svg class="bar" role="img" aria-label="{escape(said)}" width="{WIDE}" height="{HIGH}" '
        f'viewBox="0 0 {WIDE} {HIGH}"><title>{escape(said)}</title>'
    ]
    if wanted is not None:
        parts.append(f'<line class="bound" x1="{x(wanted)}" x2="{x(wanted)}" y1="0" y2="{HIGH}"/>')
    if math.isfinite(low) and math.isfinite(high):
        parts.append(f'<line class="interval" x1="{x(low)}" x2="{x(high)}" y1="{middle:g}" y2="{middle:g}"/>')
    if math.isfinite(reported):
        at = float(x(reported))
        parts.append(f'<path class="reported" d="M{at - 4:.1f} {middle:g}l4 -4 4 4 -4 4z"/>')
    return "".join([*parts, f'<circle cx="{x(ours)}" cy="{middle:g}" r="3.5"/></svg>'])
