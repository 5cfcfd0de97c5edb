import pytest

from aecompanion.report import claims, displays, missing, reported
from aecompanion.report.papers import papers

ENTRY = {"claim": "P5.24", "value": 0.74, "unit": "", "where": "Fig. 4", "source": "the paper", "read_by": "me"}
ENTRY["exact"] = "printed"


def checked(**changes):
    entry = {name: value for name, value in (ENTRY | changes).items() if value is not None}
    return reported.checked(entry, "shift/reported.yaml", 5)


def test_an_entry_is_read():
    number = checked(tolerance=0.03)
    assert (number.value, number.tolerance, number.display) == (0.74, 0.03, "")
    assert str(number) == "0.74 (the paper, Fig. 4; printed)"
    cell = checked(claim=None, display="T5.2", cell="VGG16", unit="MOD")
    assert str(cell) == "VGG16: 0.74 MOD (the paper, Fig. 4; printed)"


@pytest.mark.parametrize("key", ["where", "source", "read_by", "exact", "value"])
@pytest.mark.parametrize("value", [None, ""])
def test_an_entry_without_a_page_or_a_source_is_refused(key, value):
    with pytest.raises(ValueError, match=rf"^shift/reported\.yaml: the number of P5\.24 has no `{key}`, expected one$"):
        checked(**{key: value})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"value": "0.74"}, r"the value of P5\.24 is '0\.74', expected a number$"),
        ({"value": True}, r"the value of P5\.24 is True, expected a number$"),
        ({"page": 3}, r"the number of P5\.24 has unknown keys \['page'\]$"),
        ({"claim": "P4.12"}, r"P4\.12 is no claim of paper 5, expected an id such as P5\.01$"),
        ({"claim": None, "display": "T4.2"}, r"T4\.2 is no display of paper 5$"),
        ({"claim": None, "display": "T5.20"}, r"display 'T5\.20' is in no "),
        ({"display": "T5.2"}, r"needs either a `claim` or a `display`$"),
        ({"claim": None}, r"needs either a `claim` or a `display`$"),
    ],
)
def test_a_wrong_entry_is_one_sentence(changes, message):
    with pytest.raises(ValueError, match=message):
        checked(**changes)


def test_every_number_is_of_a_known_claim_or_display():
    known = {claim.id for claim in claims.register()}
    for number in reported.numbers():
        assert number.claim in known or number.display in displays.register()


def test_no_claim_and_no_cell_has_two_numbers():
    targets = [(each.claim, each.display, str(sorted(each.keys.items()))) for each in reported.numbers()]
    assert len(set(targets)) == len(targets)


def test_a_claim_as_reported_has_its_number_with_a_tolerance():
    for claim in claims.register():
        number = reported.of_claim(claim.id)
        assert (claim.relation == claims.REPORTED) == bool(number and number.tolerance is not None), claim.id


def test_a_cell_is_found_by_its_keys():
    assert reported.value("T3.2", method="RP", data="voc") == 0.2068
    assert reported.value("T3.2", method="RP", data="faces") != reported.value("T3.2", method="RP", data="faces")  # NaN


def test_missing_lists_what_waits_and_where_to_look(capsys):
    missing.main()
    said = capsys.readouterr().out
    for paper in (each for each in papers() if each.links):
        assert paper.link in said
        assert f"lib/aecompanion/papers/{paper.handle}/reported.yaml" in said
    lines = said.splitlines()
    assert any(line.strip().startswith("T5.2 ") for line in lines)  # no number is known
    assert "papers/truth" not in said  # it is ours
    assert not any(line.strip().startswith("T3.2 ") for line in lines)  # the slides have them
