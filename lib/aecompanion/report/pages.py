"""The generated parts of README.md and of pages in docs/, and the pages of results/ (`aecompanion report`)."""

import importlib
import sys
from pathlib import Path

import pandas as pd

from aecompanion.pipeline import paths
from aecompanion.report import carried, data_page, displays, gallery, networks_page, tables
from aecompanion.report.gallery import VERDICTS
from aecompanion.report.papers import ROOM, Paper, papers


def paper_table(claims: pd.DataFrame) -> str:
    """The README's table: paper, question, what came out, verdicts, where to begin."""
    rows = []
    for paper in papers():
        own = claims[claims["paper"] == paper.number]
        counts = verdict_counts(own[own["strength"] != "check"])
        title = gallery.anchor(f"Paper {paper.number} · {paper.name}")
        rows.append(
            {
                "paper": f"{paper.number}. {linked(paper)}",
                "question": paper.question,
                "what came out": paper.answer,
                "claims": f"[{counts}](results/README.md#{title})",
                "begin with": f"[{Path(paper.first).name}](notebooks/{paper.first}.ipynb)",
            }
        )
    return tables.markdown(pd.DataFrame(rows))


def linked(paper: Paper) -> str:
    """Authors and venue, with a link where there is a paper to read; else the subject, which is ours."""
    return f"[{paper.authors}, {paper.venue}]({paper.link})" if paper.links else f"{paper.about} (no paper, ours)"


def verdict_counts(claims: pd.DataFrame) -> str:
    """ "3 reproduced, 1 undecided" of the verdicts that occur."""
    found = claims["verdict"].value_counts()
    return ", ".join(f"{found[verdict]} {verdict}" for verdict in VERDICTS if verdict in found)


def counts(claims: pd.DataFrame, public: pd.DataFrame | None = None) -> str:
    """Verdicts per paper as a markdown table: all claims but checks, in brackets those that must hold; a column per
    run, at the end the checks of the embedded run that hold.
    """
    runs = {"embedded": claims} if public is None else {"embedded": claims, "public": public}
    checks = claims[claims["strength"] == "check"]
    runs = {name: run[~run["id"].isin(checks["id"])] for name, run in runs.items()}
    found = {"paper": [str(paper) for paper in sorted(claims["paper"].unique())]}
    for name, run in runs.items():
        for verdict in VERDICTS:
            here = run[run["verdict"] == verdict]
            cells = [here[here["paper"].astype(str) == paper] for paper in found["paper"]]
            found[f"{name}: {verdict}"] = [f"{len(cell)} ({(cell['strength'] == 'must').sum()})" for cell in cells]
    own = [checks[checks["paper"].astype(str) == paper] for paper in found["paper"]]
    found["checks that hold"] = [f"{(each['verdict'] == 'reproduced').sum()} of {len(each)}" for each in own]
    return tables.markdown(pd.DataFrame(found))


def in_short(results: Path) -> dict[str, str]:
    """The short tables of the findings by the name of their marks, from published tables (`IN_SHORT` of each paper)."""
    found = {}
    for paper in papers():
        module = importlib.import_module(f"aecompanion.papers.{paper.handle}.tables")
        for mark, (function, ids) in getattr(module, "IN_SHORT", {}).items():
            published = [pd.read_csv(results / "tables" / f"{displays.stem(id)}.csv") for id in ids]
            found[mark] = tables.markdown(function(*published))
    return found


def insert(text: str, table: str, mark: str, name: str = "README.md") -> str:
    """`text` with the part between the two marks replaced. Raises ValueError if a mark is missing."""
    start, end = text.find(f"<!-- {mark}:"), text.find(f"<!-- end of {mark} -->")
    if start < 0 or end < start:
        marks = f"`<!-- {mark}:` and `<!-- end of {mark} -->`"
        raise ValueError(f"{name}: the marks {marks} are missing or out of order")
    return f"{text[: text.index('-->', start) + 3]}\n\n{table}\n\n{text[end:]}"


def texts() -> dict[str, str]:
    """What the pages should say now, by their path in the tree. Raises ValueError for a mark that one of them lacks."""
    results = paths.ROOT / "results"
    claims, public = pd.read_csv(results / "claims.csv"), results / "public" / "claims.csv"
    verdicts = counts(claims, carried.real(pd.read_csv(public)) if public.exists() else None)
    parts = {
        "README.md": {"papers": paper_table(claims)},
        "docs/findings.md": {"claims": verdicts, **in_short(results)},
        "docs/intervals.md": {"coverage": tables.markdown(pd.read_csv(paths.ROOT / "docs" / "intervals.csv"))},
    }
    found = {}
    for name, marked in parts.items():
        found[name] = (paths.ROOT / name).read_text()
        for mark, table in marked.items():
            found[name] = insert(found[name], table, mark, name)
    found |= own_pages(results) | carried.pages(results)
    return found | {f"results/{name}": text for name, text in of_results(results).items()}


def own_pages(results: Path) -> dict[str, str]:
    """The pages of docs/ that a paper's folder makes of its published tables: `HANDLE/page.py`, where there is one."""
    own = [paper.handle for paper in papers() if (ROOM / paper.handle / "page.py").is_file()]
    modules = [importlib.import_module(f"aecompanion.papers.{handle}.page") for handle in own]
    published = {module: module.read(results) for module in modules}
    return {module.NAME: module.page(*read) for module, read in published.items() if read is not None}


def of_results(results: Path) -> dict[str, str]:
    """The pages in a folder of results by their name: README.md, and the cards of data and networks where the run
    that is published there noted what they show.
    """
    found = {"README.md": gallery.page(results)}
    if (results / data_page.RECORDS).is_file():
        found |= {module.NAME: module.page(results) for module in (data_page, networks_page)}
    return found


def write() -> None:
    """Bring the pages in step with results/ and with the code that they link."""
    for name, text in texts().items():
        replace(paths.ROOT / name, text)


def replace(file: Path, text: str) -> None:
    """Write a file at once."""
    part = file.with_name(f".part.{file.name}")
    part.write_text(text)
    part.replace(file)


def main() -> None:
    try:
        write()
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"aecompanion report: {error}")
