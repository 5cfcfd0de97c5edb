"""A page per paper (question, answer, displays, claims, pipeline) and the start page, in Markdown with HTML inside."""

from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from aecompanion.report import gallery, replications, reported, source
from aecompanion.report.headers import Chain
from aecompanion.report.pages import verdict_counts
from aecompanion.report.papers import Paper, number_of, papers
from aecompanion.site import claims as claims_, graph, reference
from aecompanion.site.links import relative

Link = Callable[[str], str]  # address on the site → address as seen from the page
START = """# A companion to five papers on adversarial examples and visual explanation

Five papers ask what an adversarial example is, what an explanation shows, and what one has to do with the other. Every
figure and table here is made by a notebook, every claim is tested on what the notebooks saved, and from each of them
links lead to the cell and the function behind it.
"""
CHOICE = """
## Where to begin

* [The first notebook](notebooks/00_start_here.ipynb): one photograph through all five papers
* [What came out](docs/findings.md), [how certain it is](docs/intervals.md), [what it cannot bear](docs/limits.md)
* [Your own images, networks and data](docs/your_own.md)
* [How it is built](docs/design.md), [how something is added](docs/adding.md)
* Another machine, other seeds: [which verdicts stay](replications)
"""


def raw(html: str) -> list[str]:
    """Lines of Markdown that hand HTML on as it is."""
    return ["```{raw} html", html, "```", ""]


def start(claims: pd.DataFrame, replicated: bool) -> str:
    """The start page: a card per paper."""
    lines = [START]
    for paper in papers():
        own = claims[claims["paper"] == paper.number]
        links = "".join(f" · [{name}]({address})" for name, address in paper.links.items())
        lines += [
            f"## {paper.number}. [{paper.name}](results/{paper.handle}.md)",
            "",
            f"{paper.authors}: *{paper.title}*, {paper.venue}{links}",
            "",
            f"**Question.** {paper.question}",
            "",
            f"**Answer.** {paper.answer}",
            "",
            *raw(counts(own, f"results/{paper.handle}.html")),
            f"[Displays and claims](results/{paper.handle}.md) · [what is known of the paper](docs/papers/"
            f"{paper.handle}.md) · [first notebook](notebooks/{paper.first}.ipynb)",
            "",
        ]
    text = CHOICE if replicated else "\n".join(line for line in CHOICE.splitlines() if "(replications)" not in line)
    return "\n".join([*lines, text.replace("(replications)", "(results/replications.md)")])


def counts(claims: pd.DataFrame, address: str) -> str:
    """How many claims have which verdict, checks apart, as a bar and in words."""
    tested = claims[claims["strength"] != "check"]
    parts = [
        f'<span class="{claims_.MARK[verdict]}" style="flex: {number}"></span>'
        for verdict in gallery.VERDICTS
        if (number := int((tested["verdict"] == verdict).sum()))
    ]
    said = escape(verdict_counts(tested))
    checks = len(claims) - len(tested)
    return (
        f'<div class="counts" role="img" aria-label="{said}">{"".join(parts)}</div>'
        f'<p><a href="{address}#claims">{len(tested)} claims</a>: {said}; {checks} checks besides</p>'
    )


def page(paper: Paper, results: Path, chain: Chain, before: dict[str, list[str]], kept: dict[str, str]) -> str:
    """The page of one paper.

    Args:
        before: stage → the stages that it reads.
        kept: the notebooks that are on the site, name → page.
    """
    here = f"results/{paper.handle}"

    def link(target: str) -> str:
        path, _, place = target.partition("#")
        return relative(path, here) + (f"#{place}" if place else "")

    everything = pd.read_csv(results / "claims.csv")
    own = everything[everything["paper"] == paper.number]
    others = {name: (run, rows) for name, (run, rows) in replications.replications(results).items() if len(rows)}
    cards = [card for card in gallery.cards_of(results) if number_of(card["id"]) == paper.number]
    lines = [f"# Paper {paper.number} · {paper.name}", "", gallery.about(paper, "../"), ""]
    lines += [f"**Question.** {paper.question}", "", f"**Answer.** {paper.answer}", ""]
    lines += raw(counts(own, "")) + [paper.notes, "", "## Claims", ""]
    lines += [
        "Select a heading to sort. In the small pictures the dot is the estimate, the line its 95 % interval, the "
        "dashed line what the claim needs, a diamond the number that the paper reports. *Stable* says whether "
        "the verdict is the same on every published machine.",
        "",
    ]
    lines += raw(claims_.table(own, others, link)) + ["## Displays", ""]
    for card in cards:
        lines += display(card, results, list(own[own["display"] == card["id"]]["id"]), kept, link)
    lines += ["## Pipeline", "", "Each box is a notebook; lines go from what writes to what reads.", ""]
    drawn = pipeline(paper, chain, before, kept, link)
    lines += raw(f'<div class="wide" tabindex="0" role="region" aria-label="Pipeline">{drawn}</div>')
    return "\n".join(lines)


def pipeline(paper: Paper, chain: Chain, before: dict[str, list[str]], kept: dict[str, str], link: Link) -> str:
    """The stages that make the paper's displays, and those that these rest on."""
    made = {entry["notebook"] for entry in paper.displays.values()}
    needed = made | {each for name in made for each in graph.ancestors(name, before)}
    chosen = {name: [each for each in before[name] if each in needed] for name in before if name in needed}
    places = {name: f"{kept[name]}.html" if name in kept else f"files/{notebook(chain, name)}" for name in chosen}
    return graph.svg(chosen, lambda name: link(places[name]), f"Pipeline of paper {paper.number}")


def notebook(chain: Chain, name: str) -> str:
    """A notebook's path in the checkout."""
    file = chain.notebooks[name]
    return file.relative_to(next(each for each in file.parents if each.name == "notebooks").parent).as_posix()


def display(card: dict[str, Any], results: Path, claims: list[str], kept: dict[str, str], link: Link) -> list[str]:
    """One display: picture or table, caption, its claims, and the way to cell, function and line."""
    lines = raw(f'<span id="{card["id"]}" class="place"></span>') + [f"### {card['id']} · {card['title']}", ""]
    if not card["file"]:
        return [*lines, f"Not made here: {card['missing']}.", ""]
    if card["file"].startswith("figures/"):
        lines += [f"![{card['id']}: {alternative(card)}]({card['file']})", ""]
    else:
        lines += raw(table(pd.read_csv(results / card["file"]), card))
    numbers = [str(number) for number in reported.of_display(card["id"])]
    said = f" *Reported:* {'; '.join(numbers)}." if numbers else ""
    lines += [f"*Here:* {card['caption']} *Original:* {card['original']}{said}", ""]
    tested = ", ".join(f'<a href="#{claim}">{claim}</a>' for claim in claims)
    made = source.made(card["id"])
    stem = Path(made.notebook).stem
    cell = f"{kept[stem]}.html#cell-{made.cell}" if stem in kept else f"files/{made.notebook}"
    way = [f'<a href="{link(cell)}">cell {made.cell} of {stem}</a>']
    if made.function:
        name = made.function.rpartition(".")[2]
        way.append(f'<a href="{link(reference.place("aecompanion." + made.function))}">{name}</a>')
        way.append(f'<a href="{link(f"source/{made.file}.html#L{made.line}")}">line {made.line}</a>')
    text = f"Made in {', by '.join(way[:2])}" + (f" ({way[2]})" if len(way) > 2 else "")
    return lines + raw(f'<p class="made">{f"Claims: {tested}. " if tested else ""}{text}.</p>')


def alternative(card: dict[str, Any]) -> str:
    """The title as an alternative text, without what Markdown would read in it."""
    return card["title"].translate(str.maketrans("", "", "[]`*"))


def table(frame: pd.DataFrame, card: dict[str, Any]) -> str:
    """A table in HTML, folded where it is long."""
    heads = "".join(f'<th scope="col">{escape(str(name))}</th>' for name in frame.columns)
    rows = "\n".join(
        "<tr>" + "".join(f"<td>{cell(value)}</td>" for value in row) + "</tr>" for row in frame.itertuples(index=False)
    )
    text = (
        f'<div class="wide" tabindex="0" role="region" aria-label="{card["id"]}"><table class="display">'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>{rows}</tbody></table></div>"
    )
    if len(frame) <= gallery.LONG:
        return text
    return f"<details><summary>{len(frame)} rows</summary>{text}</details>"


def cell(value) -> str:
    """One value as text: floats rounded, missing values empty."""
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:.3f}"
    return escape(str(value))
