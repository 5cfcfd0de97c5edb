"""Every "P3 2.4" names a section that docs/papers has, every such file is cited, and links within docs resolve."""

import re

import pytest
from links import broken, headings

from aecompanion.pipeline.paths import ROOT

PAPERS = {1: "causal", 2: "counterfactual", 3: "masks", 4: "halftone", 5: "shift"}
CITATION = re.compile(r"(?<!\w)(?<!b\")P([1-5]) (\d{1,2}(?:\.\d{1,2})?[A-Z]?)(?!\w)")  # b"P5 32 32: a picture's header
SECTION = re.compile(r"^(\d+(?:\.\d+)*[A-Z]?) ")
NAMED = re.compile(r"docs/papers/(\w+)\.md, sections? (\d+(?:\.\d+)*[A-Z]?)")
DOCS = sorted((ROOT / "docs").glob("**/*.md"))


def texts():
    """Tracked text that may cite a specification; this file's own pattern is no citation."""
    files = [ROOT / "params.yaml", ROOT / "dvc.yaml", *ROOT.glob("*.md"), *DOCS, *(ROOT / "profiles").glob("*.yaml")]
    for folder, suffixes in {"lib": (".py", ".yaml"), "tests": (".py",), "notebooks": (".ipynb",)}.items():
        files += [file for file in (ROOT / folder).glob("**/[!.]*") if file.suffix in suffixes]
    return {file: file.read_text() for file in sorted(files) if file.name != "test_citations.py"}


@pytest.fixture(scope="module")
def written():
    return texts()


def sections(paper):
    found = (SECTION.match(heading) for heading in headings(ROOT / "docs" / "papers" / f"{paper}.md"))
    return [match[1] for match in found if match]


def test_the_profile_of_the_papers_cites_all_five(written):
    cited = {int(paper) for paper, _ in CITATION.findall(written[ROOT / "profiles" / "paper.yaml"])}
    assert cited == set(PAPERS)


def test_every_cited_section_exists(written):
    known = {number: sections(name) for number, name in PAPERS.items()}
    missing = [
        f"{file.relative_to(ROOT)}: {match[0]}"
        for file, text in written.items()
        for match in CITATION.finditer(text)
        if match[2] not in known[int(match[1])]
    ]
    assert missing == []


def test_every_section_that_is_named_with_its_file_exists(written):
    named = [(file, match) for file, text in written.items() for match in NAMED.finditer(text)]
    assert len(named) > 5
    assert [f"{file.relative_to(ROOT)}: {m[0]}" for file, m in named if m[2] not in sections(m[1])] == []


@pytest.mark.parametrize("paper", PAPERS.values())
def test_sections_are_numbered_once_and_in_order(paper):
    numbers = sections(paper)
    assert numbers == sorted(set(numbers))
    assert {"0", "1", "2", "3", "4", "5", "6"} <= set(numbers)


@pytest.mark.parametrize("file", DOCS, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_specification_is_cited_or_linked(written, file):
    if file.parent.name != "papers":
        pytest.skip("no specification")
    path = re.compile(rf"papers/{file.name}\b")
    assert [other for other, text in written.items() if other != file and path.search(text)]


def test_there_is_a_specification_per_paper():
    assert {file.stem for file in DOCS if file.parent.name == "papers"} >= set(PAPERS.values())


@pytest.mark.parametrize("file", DOCS, ids=lambda file: str(file.relative_to(ROOT)))
def test_links_of_the_documentation_resolve(file):
    assert broken(file) == []


def test_links_to_the_specifications_resolve(written):
    books = [file for file, text in written.items() if file.suffix == ".ipynb" and "docs/papers" in text]
    assert books
    assert [f"{file.name}: {link}" for file in books for link in broken(file) if "docs/papers" in link] == []
