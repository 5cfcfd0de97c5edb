"""CITATION.cff has the fields of the Citation File Format 1.2.0 and no others."""

import datetime
import re

import pytest
import yaml

from aecompanion.pipeline.paths import ROOT
from aecompanion.report.papers import papers


def words(text):
    return set(text.split())


CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())
TOP = words(
    """abstract authors cff-version commit contact date-released doi identifiers keywords license license-url message
    preferred-citation references repository repository-artifact repository-code title type url version"""
)
REFERENCE = words(
    """abbreviation abstract authors collection-doi collection-title collection-type commit conference contact copyright
    data-type database database-provider date-accessed date-downloaded date-published date-released department doi
    edition editors editors-series end entry filename format identifiers institution isbn issn issue issue-date
    issue-title journal keywords languages license license-url loc-end loc-start location medium month nihmsid notes
    number number-volumes pages patent-states pmcid publisher recipients repository repository-artifact repository-code
    scope section senders start status term thesis-type title translators type url version volume volume-title year
    year-original"""
)
TYPES = {"software", "article", "conference-paper"}  # of the many there are, those that are used here
PERSON = {
    "family-names",
    "given-names",
    "name-particle",
    "name-suffix",
    "affiliation",
    "alias",
    "orcid",
    "email",
    "website",
}
ENTITY = {"name", "alias", "website", "email", "orcid"}


def works():
    return [CITATION["preferred-citation"], *CITATION["references"]]


def test_the_file_has_what_it_must_and_nothing_unknown():
    assert {"authors", "cff-version", "message", "title"} <= set(CITATION) <= TOP
    assert CITATION["cff-version"] == "1.2.0"
    assert CITATION["type"] in ("software", "dataset")
    assert isinstance(CITATION["date-released"], datetime.date)
    assert CITATION["abstract"]


def test_keywords_are_different_words():
    assert len(CITATION["keywords"]) == len(set(CITATION["keywords"])) >= 5
    assert all(isinstance(word, str) and word for word in CITATION["keywords"])


@pytest.mark.parametrize("work", works(), ids=lambda work: work["title"][:30])
def test_a_work_has_what_it_must_and_nothing_unknown(work):
    assert {"authors", "title", "type"} <= set(work) <= REFERENCE
    assert work["type"] in TYPES
    assert isinstance(work["year"], int)
    if "doi" in work:
        assert re.fullmatch(r"10\.\d{4,9}(\.\d+)?/[A-Za-z0-9:/_;\-.()\[\]\\]+", work["doi"])
    if "conference" in work:
        assert "name" in work["conference"]


@pytest.mark.parametrize("work", [CITATION, *works()], ids=lambda work: work["title"][:30])
def test_authors_are_people_or_have_one_name(work):
    assert work["authors"]
    for author in work["authors"]:
        assert set(author) <= (ENTITY if "name" in author else PERSON)
        assert "name" in author or {"family-names", "given-names"} <= set(author)


def test_what_is_preferred_is_this_version_of_this_project():
    preferred = CITATION["preferred-citation"]
    for key in ("title", "version", "type", "license", "date-released", "authors"):
        assert preferred[key] == CITATION[key]
    assert preferred["year"] == CITATION["date-released"].year


def test_every_paper_is_among_the_references():
    titles = {re.sub(r"\W", "", work["title"]).lower() for work in CITATION["references"]}
    assert {re.sub(r"\W", "", paper.title).lower() for paper in papers() if paper.links} == titles
