import dataclasses
import inspect

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from support import Watched, estimators

from aecompanion.evaluate.intervals import Interval, interval
from aecompanion.papers.shift.tables import COUNTERPART, LEVELS
from aecompanion.report import claims, displays, papers, reported

REGISTER = claims.register()
VERDICTS = {"reproduced", "no difference", "undecided", "not reproduced", "not testable here"}
FAMILIES = dict.fromkeys(COUNTERPART, "deep") | {"inception": "wide", "xception": "wide"}
SETTINGS = [("white", "own_pred"), ("white", "clean_pred"), ("black", "own_pred")]
SETTINGS += [("noise", "own_pred"), ("noise", "clean_pred")]
TABLES = {  # what the estimators may take
    1: (
        *("latent", "effects", "estimates", "overlap", "marker", "concepts", "adversarial", "adaptive", "released"),
        *("shortcut", "viewed"),
        *(f"photograph_{kind}" for kind in ("regions", "channels", "attacks", "evasion")),
    ),
    2: (
        *(
            "counterfactuals",
            "optimisers",
            "trajectories",
            "schedules",
            "sparse",
            "restarts",
            "sweep",
            "least",
            "quality",
        ),
        *("spurious", "fooled", "controls", "photographs"),
    ),
    3: ("scores", "randomization", "photographs"),
    4: ("transfer", "representations", "adaptive"),
    5: ("predictions", "shift", "renderings", "controls", "photographs", "rendered", "sources"),
    6: ("methods", "counterfactuals", "metrics"),
}

PICTURED = ["X1.27", "X1.29", "X1.30", "X1.31", "X2.14", "X3.20", "X5.20", "X5.23"]  # on photographs: one "seed"


@pytest.fixture
def tables(paper1_tables, paper2_tables, paper3_claimed, paper4_tables, paper6_tables):
    """Every paper's tables by name, those of paper 5 being of two seeds and three images: every SSIM is 0.74, and
    every image stays right.
    """
    rows = [
        {"network": network, "family": family, "seed": seed, "arm": arm, "eps": eps, "image": image}
        for network, family in FAMILIES.items()
        for seed in (1, 2)
        for arm in ("white", "black", "noise")
        for eps in (0.0, *LEVELS)
        for image in range(3)
    ]
    predictions = pd.DataFrame(rows).assign(correct=True)
    predictions["psnr"] = predictions["psnr_float"] = -20 * np.log10(predictions["eps"].clip(lower=1e-3))
    arms = [predictions[predictions["arm"] == arm].assign(mode=mode) for arm, mode in SETTINGS]
    clean = predictions[(predictions["arm"] == "white") & (predictions["eps"] == 0)]
    arms += [clean.assign(arm="other", mode=mode) for mode in ("own_pred", "clean_pred")]
    shift = pd.concat(arms).assign(correct0=True, zero=False, ssim=0.74, nissim=0.13, rank=0.5, outside=0.2)
    kinds = pd.DataFrame({"rendering": ["scalar, input size", "overlay, 224 px"]})
    renderings = clean.merge(kinds, how="cross").assign(correct0=True, ssim=0.74, mode="own_pred")
    photographs = dict(zip(TABLES[4], paper4_tables, strict=True))
    levels = pd.DataFrame({"eps": [0.01, 0.05]})
    controls = clean.drop(columns="eps").merge(levels, how="cross").assign(correct0=True, bound=0.95)
    controls = controls.assign(white=0.2, mapped=0.15, noise=0.05, other=0.3)
    faces = {"predictions": predictions, "shift": shift, "renderings": renderings, "controls": controls}
    faces["photographs"] = shift[shift["seed"] == 1].assign(seed=0)
    faces["rendered"] = renderings[renderings["seed"] == 1].assign(seed=0)
    black = predictions[(predictions["arm"] == "black") & (predictions["eps"] > 0)]
    faces["sources"] = pd.concat([black.assign(source=name, source_seed=3 - black["seed"]) for name in FAMILIES])
    return {1: paper1_tables, 2: paper2_tables, 3: paper3_claimed, 4: photographs, 5: faces, 6: paper6_tables}


def test_the_hand_made_tables_are_those_that_the_estimators_may_take(tables):
    assert {paper: tuple(of_paper) for paper, of_paper in tables.items()} == TABLES


def constant(tables, *, value=0.74):
    """An estimator: the same number for three images of two seeds."""
    return np.full((2, 3), value), np.mean


CLAIM = claims.Claim("P5.99", "T5.2", "report", "> 0", "It is so", constant, {})
OWN = {claim.id: claim for claim in REGISTER}


def claim(relation="> 0", **changes):
    return dataclasses.replace(CLAIM, relation=relation, **changes)


@pytest.fixture
def number(monkeypatch):
    """Let the register of reported numbers hold one for P5.99."""

    def write(value, tolerance=None):
        entry = {"claim": "P5.99", "value": value, "where": "Fig. 9", "source": "paper", "read_by": "me"}
        entry |= {"exact": "printed", "unit": "", "tolerance": tolerance}
        known = reported.checked(entry, "shift/reported.yaml", 5)
        monkeypatch.setattr(reported, "numbers", lambda: (known,))

    return write


def evaluated(name, tables, *, estimate=None, arguments=None, relation="> 0", paper=5, **changes):
    """The row of a claim made up for a test, about an estimator of a paper."""
    estimator = estimators(paper)[estimate] if estimate else constant
    made = claim(relation, id=name, estimator=estimator, arguments=arguments or {}, **changes)
    return claims.evaluate(made, tables[paper], resamples=changes.pop("resamples", 100), seed=0)


# ---- the register


@pytest.mark.parametrize("claim", REGISTER, ids=lambda claim: claim.id)
def test_a_registered_claim_is_complete(claim):
    assert claim.statement.strip()
    assert "{" not in claim.statement
    assert claim.display in displays.register()
    assert (claim.relation == claims.REPORTED) <= (reported.of_claim(claim.id) is not None)


@pytest.mark.parametrize("claim", REGISTER, ids=lambda claim: claim.id)
def test_an_estimator_takes_its_papers_tables_and_the_arguments_of_its_claim(claim):
    assert claim.estimator.__module__.startswith(f"aecompanion.papers.{papers.paper(claim.paper).handle}.claims")
    first, *others = inspect.signature(claim.estimator).parameters.values()
    assert first.name == "tables"
    assert all(each.kind is inspect.Parameter.KEYWORD_ONLY for each in others)
    bound = inspect.signature(claim.estimator).bind({}, **claim.arguments)
    assert set(bound.arguments) == {"tables", *claim.arguments}  # nothing ends up in **options


def test_claims_are_ordered_by_paper_and_number():
    assert [claim.order for claim in REGISTER] == sorted(claim.order for claim in REGISTER)


def test_papers_with_claims_are_those_with_tables():
    assert {claim.paper for claim in REGISTER} == set(TABLES)


@pytest.fixture
def empty(monkeypatch):
    monkeypatch.setattr(claims, "_claims", {})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("P5.99", "T5.2", "maybe", "> 0"), r"^claim P5\.99 has strength 'maybe', expected one of"),
        (("P5.99", "T5.2", "must", "!= 0"), r"^claim P5\.99 has relation '!= 0', expected \['>', '>=', '<', '<='\] or"),
        (("P5.99", "T5.77", "must", "> 0"), r"^display 'T5\.77' is in no lib/aecompanion/papers/\*/paper\.yaml$"),
        (("P4.99", "T5.2", "must", "> 0"), r"^claim P4\.99 is of display T5\.2, expected an id such as P5\.01$"),
    ],
)
def test_a_claim_with_something_unknown_is_refused_where_it_stands(empty, given, message):
    with pytest.raises(ValueError, match=message):
        claims.claim(*given, "It is so")(constant)


def test_an_id_that_two_estimators_share_is_refused(empty):
    def other(tables):
        return constant(tables)

    claims.claim("P5.99", "T5.2", "must", "> 0", "It is so")(constant)
    with pytest.raises(ValueError, match=r"^claim P5\.99 stands above constant and above other$"):
        claims.claim("P5.99", "T5.2", "must", "> 0", "It is so")(other)


def test_a_family_counts_its_ids_up_and_fills_its_statement(empty):
    cases = [{"value": 1, "ATTACK": "FGSM"}, {"value": 2, "ATTACK": "PGD", "strength": "must", "note": "few"}]
    claims.claim("P5.09", "T5.2", "report", "> 0", "{ATTACK} moves it by {value}", over=cases)(constant)
    first, second = claims._claims.values()
    assert (first.id, first.statement, first.arguments) == ("P5.09", "FGSM moves it by 1", {"value": 1})
    assert (second.id, second.statement, second.arguments) == ("P5.10", "PGD moves it by 2", {"value": 2})
    assert [(each.strength, each.note) for each in (first, second)] == [("report", ""), ("must", "few")]


@pytest.mark.parametrize("claim", REGISTER, ids=lambda claim: claim.id)
def test_what_holds_by_construction_is_a_check_and_no_finding(claim):
    if claim.note.startswith("by construction") or claim.id in {"P1.61", "P3.16", "P5.01", "P5.05", "P5.13", "P5.22"}:
        assert claim.strength == "check"


# ---- verdicts


@pytest.mark.parametrize(
    ("relation", "value", "low", "high", "verdict"),
    [
        ("> 0", 1, 0.5, 2, "reproduced"),
        ("> 0", 1, 0, 2, "undecided"),
        ("> 0", 1, -0.5, 2, "undecided"),
        ("> 0", 0, 0, 0, "not reproduced"),
        ("> 0", -1, -2, 1, "undecided"),
        ("> 0", -1, -2, -0.5, "not reproduced"),
        (">= 0", 0, 0, 0, "reproduced"),
        (">= 0", 0, -1, 1, "undecided"),
        ("< 0", -1, -2, -0.5, "reproduced"),
        ("< 0", -1, -2, 0, "undecided"),
        ("< 0", 1, 0, 2, "not reproduced"),
        ("<= 0.02", 0.02, 0.01, 0.02, "reproduced"),
        ("<= 0.02", 0.01, 0.0, 0.03, "undecided"),
        ("<= 0.02", 0.03, 0.025, 0.04, "not reproduced"),
    ],
)
def test_the_verdict_on_a_relation_follows_from_the_interval(relation, value, low, high, verdict):
    assert claims.judge(Interval(value, low, high), claim(relation))[0] == verdict


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(-0.05, 0.1, "no difference"), (-0.1, -0.01, "no difference"), (-0.11, 0.1, "undecided"), (0.01, 9, "reproduced")],
)
def test_an_interval_within_the_margin_is_no_difference_unless_it_is_on_one_side(low, high, verdict):
    found = claims.judge(Interval((low + high) / 2, low, high), claim("> 0", margin=0.1))
    assert found[0] == verdict
    assert ("within 0.1 of it" in found[1]) == (verdict == "no difference")


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.3, 0.7, "reproduced"),
        (0.25, 0.75, "reproduced"),
        (0.1, 0.9, "undecided"),  # the estimate is within, a wide interval no proof
        (0.2, 0.4, "undecided"),
        (0.0, 0.3, "undecided"),
        (0.76, 0.9, "not reproduced"),
        (0.0, 0.2, "not reproduced"),
    ],
)
def test_a_tolerance_must_hold_the_whole_interval(number, low, high, verdict):
    number(0.5, tolerance=0.25)
    found, reason = claims.judge(Interval((low + high) / 2, low, high), claim(claims.REPORTED))
    assert found == verdict
    assert reason.startswith("needed within [0.25, 0.75]")
    assert ("holds both sides" in reason) == (verdict == "undecided")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("relation", ["> 0", claims.REPORTED])
def test_an_undefined_estimate_is_not_testable_and_the_claim_may_say_why(number, value, relation):
    number(0.5, tolerance=0.1)
    found = Interval(value, value, value)
    expected = "not testable here", "the estimate is undefined on these data"
    assert claims.judge(found, claim(relation)) == expected
    assert claims.judge(found, claim(relation, undefined="one outcome only")) == (expected[0], "one outcome only")


def test_a_number_that_waits_to_be_typed_in_leaves_its_claim_untested():
    verdict, reason = claims.judge(Interval(1, 0.5, 2), claim(claims.REPORTED))
    assert verdict == "not testable here"
    assert "aecompanion missing" in reason


def test_a_number_without_a_tolerance_accompanies_the_relation(number):
    number(0.5)
    assert claims.judge(Interval(1, 0.5, 2), claim("> 0")) == ("reproduced", "needed > 0")


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (Interval(1, 0.5, 2), "needed > 0; small sample"),
        (Interval(1, -0.5, 2), "needed > 0, the interval holds both sides; small sample"),
        (Interval(-1, -2, -0.5), "needed > 0; small sample"),
    ],
)
def test_the_reason_says_what_was_needed_and_adds_the_note(found, reason):
    assert claims.judge(found, claim(note="small sample"))[1] == reason


# ---- evaluating


def test_a_claim_about_a_constant_has_an_interval_of_width_zero_and_the_known_verdict(tables, number):
    number(0.75, tolerance=0.03)
    arguments = {"network": "vgg", "mode": "own_pred", "level": 0.1}
    row = evaluated("P5.99", tables, estimate="mean_ssim", arguments=arguments, relation=claims.REPORTED)
    assert row == {
        "id": "P5.99",
        "paper": 5,
        "display": "T5.2",
        "statement": "It is so",
        "strength": "report",
        "reported": 0.75,
        "ours": pytest.approx(0.74),
        "ci_low": row["ours"],
        "ci_high": row["ours"],
        "p": 0,
        "p_holm": np.nan,
        "n": 3,
        "seeds": 2,
        "verdict": "reproduced",
        "reason": "needed within [0.72, 0.78]",
        "command": "dvc repro mod_vid",
    }
    assert evaluated("P5.99", tables, stage="faces_train")["command"] == "dvc repro faces_train"


@pytest.mark.parametrize(("relation", "verdict"), [("> 0.7", "reproduced"), ("<= 0.7", "not reproduced")])
def test_the_relation_decides_over_the_same_number(tables, relation, verdict):
    assert evaluated("P5.99", tables, relation=relation)["verdict"] == verdict


def test_an_interval_that_spans_zero_is_undecided(tables):
    shift = tables[5]["shift"]
    rise = np.where(shift["seed"] == 1, 0.3, -0.1)
    moved = shift.assign(nissim=0.2 + np.where(shift["eps"] == 0.1, rise, 0.0))
    changed = {5: tables[5] | {"shift": moved}}
    row = evaluated("P5.99", changed, estimate="mod_rise", arguments={"mode": "own_pred"})
    half = 0.2 * stats.t.ppf([0.975, 0.995], 1)  # two seeds whose rises are .4 apart, the least of five equal networks
    assert (row["ours"], row["ci_low"], row["ci_high"]) == pytest.approx((0.1, 0.1 - half[0], 0.1 + half[1]))
    assert row["verdict"] == "undecided"
    assert 0.025 < row["p"] < 0.5


@pytest.mark.parametrize(("relation", "p"), [("> 0.7", 0), (">= 1", 0), ("> 1", 1), ("< 1", 1), ("< 2", 0)], ids=str)
def test_the_p_value_of_a_constant_says_whether_the_relation_holds(relation, p):
    assert claims.p_value(Interval(1, 1, 1), claim(relation)) == p


def test_a_reported_number_has_the_larger_p_value_of_two_tests(number):
    number(0.5, tolerance=0.25)
    found = interval(np.mean, np.random.default_rng(0).normal(0.6, 0.3, (3, 40)))
    assert claims.p_value(found, claim(claims.REPORTED)) == found.p(0.75, above=False) > found.p(0.25, above=True)


def test_holm_multiplies_the_least_p_value_by_their_number():
    assert claims.holm(np.array([0.02, np.nan, 0.01, 0.5])) == pytest.approx([0.04, np.nan, 0.03, 0.5], nan_ok=True)
    assert claims.holm(np.array([0.6, 0.5])).tolist() == [1, 1]


def test_a_resample_on_which_the_estimate_is_undefined_does_not_make_it_certain(tables):
    shift = tables[5]["shift"]
    first = shift["image"] == 0  # the only image that is fooled; a resample without it has no gap
    moved = shift.assign(correct=~first, nissim=np.where(first, np.where(shift["seed"] == 1, 0.5, 0.1), 0.2))
    changed, arguments = {5: tables[5] | {"shift": moved}}, {"mode": "own_pred", "level": 0.1}
    row = evaluated("P5.99", changed, estimate="failure_gap", arguments=arguments)
    assert row["ours"] == pytest.approx(0.1)  # 0.3 in one seed, -0.1 in the other
    assert row["verdict"] != "reproduced"


def test_an_estimate_that_is_undefined_on_these_data_is_not_testable(tables):
    arguments = {"mode": "own_pred", "level": 0.01}
    row = evaluated("P5.99", tables, estimate="failure_gap", arguments=arguments, undefined="one outcome only")
    assert (row["verdict"], row["reason"]) == ("not testable here", "one outcome only")
    assert np.isnan(row["ours"])


def test_a_table_that_an_estimator_reads_and_nobody_saved_is_an_error_that_names_it(tables):
    without = {name: table for name, table in tables[5].items() if name != "shift"}
    arguments = {"network": "vgg", "mode": "own_pred", "level": 0.1}
    with pytest.raises(KeyError, match="'shift'"):
        evaluated("P5.99", {5: without}, estimate="mean_ssim", arguments=arguments)


@pytest.mark.parametrize(
    ("estimate", "arguments"),
    [
        ("largest_drop", {}),
        ("least_margin", {"kind": "baseline"}),
        ("gain_over", {"defences": ["hybrid without halftoning"]}),
    ],
)
def test_a_claim_about_the_held_out_part_is_not_testable_without_one(tables, estimate, arguments):
    transfer = tables[4]["transfer"]
    asked = {"estimate": estimate, "arguments": arguments | {"split": "held_out"}, "paper": 4, "relation": "> -1"}
    asked["display"] = "T4.2"
    assert evaluated("P4.99", tables, **asked)["verdict"] == "reproduced"  # holds for any number
    known = {4: tables[4] | {"transfer": transfer[transfer["split"] == "known"]}}
    row = evaluated("P4.99", known, **asked)
    assert (row["verdict"], row["reason"]) == ("not testable here", "the estimate is undefined on these data")
    assert np.isnan([row["ours"], row["ci_low"], row["ci_high"]]).all()


FEW = ("P1.80", "P1.91")  # the hand-made tables have no three odd cases of a finding and no case of Infiltration


@pytest.mark.parametrize("claim", [claim for claim in REGISTER if claim.paper == 1], ids=lambda claim: claim.id)
def test_every_claim_of_paper_1_is_evaluated_and_gets_a_verdict(tables, claim):
    row = claims.evaluate(claim, tables[1], resamples=10, seed=0)
    assert list(row) == claims.COLUMNS
    if claim.id in FEW:
        assert row["verdict"] == "not testable here"
        return
    assert row["verdict"] in VERDICTS - {"not testable here"}  # the hand-made tables have all that is needed
    assert np.isfinite([row["ours"], row["ci_low"], row["ci_high"]]).all()
    assert row["seeds"] == (1 if claim.estimator.__module__.endswith("claims_photographs") else 2)
    assert row["reason"].startswith("needed ")


NEEDS = {  # what real data may lack, and the claims about it
    "counterfactual": [
        *("P1.07", "P1.08", "P1.14", "P1.24", "P1.28", "P1.29", "P1.30", "P1.31", "P1.32"),
        *(f"P1.{number}" for number in range(80, 94)),
    ],
    "marker": ["P1.33", "P1.34", "P1.64"],
    "radiographs": ["P1.65", "P1.66", "P1.67", "P1.68"],
}


def lacking(tables, what):
    """Paper 1's tables of data that have no counterfactual images, no marker, or are no radiographs."""
    if what == "marker":
        shortcut = tables["shortcut"]
        return tables | {"marker": tables["marker"][:0], "shortcut": shortcut[shortcut["region"] != "marker"]}
    if what == "radiographs":
        return tables | {name: tables[name].replace({"view": {"PA": "marker"}}) for name in ("shortcut", "viewed")}
    columns = {"effects": "fill", "estimates": "method", "overlap": "map"}
    return tables | {
        name: tables[name][~tables[name][column].str.contains("counterfactual|all off")]
        for name, column in columns.items()
    }


def test_the_claims_that_say_what_they_need_are_those_about_what_data_may_lack():
    own = [claim for claim in REGISTER if claim.paper == 1 and claim.undefined != CLAIM.undefined]
    said = {claim.id for claim in own if claim.estimator.__name__ != "shift_surplus"}
    assert said == {"P1.09", *NEEDS["counterfactual"], *NEEDS["marker"], *NEEDS["radiographs"]}


@pytest.mark.parametrize(
    ("what", "claim"),
    [(what, name) for what, names in NEEDS.items() for name in names] + [("counterfactual", "P1.09")],
)
def test_without_what_it_needs_a_claim_of_paper_1_is_not_testable_and_says_why(tables, what, claim):
    row = claims.evaluate(OWN[claim], lacking(tables[1], what), resamples=10, seed=0)
    assert (row["verdict"], row["reason"]) == ("not testable here", OWN[claim].undefined)
    assert np.isnan([row["ours"], row["ci_low"], row["ci_high"]]).all()


@pytest.mark.parametrize("what", list(NEEDS))
def test_the_other_claims_of_paper_1_do_not_change_without_it(tables, what):
    others = [each for each in REGISTER if each.paper == 1 and each.id not in ("P1.09", *NEEDS[what], *FEW)]
    names = {"effects", "estimates", "overlap", "marker", "shortcut", "viewed"}  # the tables that are changed
    for claim in others:
        watched = Watched(tables[1])
        whole = claims.evaluate(claim, watched, resamples=10, seed=0)
        if names & set(watched.read):
            assert whole == claims.evaluate(claim, lacking(tables[1], what), resamples=10, seed=0)


def test_the_number_of_processes_changes_no_bit_of_the_claims(tables, monkeypatch):
    some = [REGISTER[0], *REGISTER[-2:], *(each for each in REGISTER if each.id == "P1.111")]
    monkeypatch.setattr(claims, "register", lambda: some)
    one, two = (claims.evaluate_all(tables, resamples=10, seed=0, workers=workers) for workers in (1, 2))
    pd.testing.assert_frame_equal(one, two, check_exact=True)


@pytest.mark.filterwarnings("ignore:An input array is constant")  # the rise of MOD, which is the same for all networks
def test_all_claims_have_one_row_in_the_order_of_the_register_with_a_verdict(tables):
    seen = []
    table = claims.evaluate_all(tables, resamples=10, seed=0, progress=lambda all_of: seen.extend(all_of) or all_of)
    assert list(table.columns) == claims.COLUMNS
    assert table["id"].tolist() == [claim.id for claim in seen] == [claim.id for claim in REGISTER]
    assert set(table["verdict"]) <= VERDICTS
    assert table.groupby("paper")["n"].unique().map(sorted).to_dict() == {
        1: [1, 3, 4, 5, 6, 8, 10],
        2: [3, 4, 5, 8],
        3: [1, 4, 6],  # one: nothing, since a gate fails
        4: [1, 10],  # one: the share of a specification curve
        5: [3],
        6: [2, 3, 4, 6, 8, 12, 16, 24],  # items with variants, with masks, all; pictures; several worlds together
    }
    counts = table.set_index("id")["n"]
    assert counts[["P1.01", "P1.04", "P1.07", "P1.24", "P1.33", "P1.38", "P1.44", "P1.59"]].tolist() == [
        *(6, 4, 6, 3, 8, 10, 5, 1)  # digits, phantoms, cases, maps, marker, attacks, Carlini-Wagner; seeds only
    ]
    assert counts[
        ["P2.01", "P2.13", "P2.23", "P2.24", "P2.31", "P2.33", "P2.34", "P2.37", "P2.40", "P2.45"]
    ].tolist() == [
        *(4, 3, 3, 4, 4, 3, 8, 5, 3, 4)  # images of every table
    ]
    assert set(table["seeds"]) == {1, 2}  # one seed: other starts and resolutions, sanity checks of counterfactuals
    gated = set(table.loc[table["reason"].str.contains("masks of .* are empty", regex=True), "id"])
    assert gated == {"P3.07", "P3.08", "P3.09", "P3.20", "P3.65", "P3.73"}
    one = {"P1.91", "P2.45", "P2.46", "P2.47", "P3.19"} | gated
    pictured = set(table.loc[table["display"].isin(PICTURED), "id"])  # real networks: nothing is trained
    lacking = {"P4.46", "P4.47", "P4.48", "P4.49"}  # no hand-made row is of adversarial training
    assert set(table.loc[table["seeds"] == 1, "id"]) == one | pictured | lacking
    verdicts = table.set_index("id")["verdict"]
    assert verdicts["P1.09"] == "reproduced"  # elsewhere nothing changes
    assert verdicts["P1.01"] == "undecided"  # three of twelve decisions change, in six images of two seeds
    assert verdicts["P1.61"] == "reproduced"  # the network is frozen
    assert verdicts["P2.01"] == "undecided"  # mean confidences of .88, .9 and .93, two seeds
    assert verdicts["P2.18"] == "undecided"  # APGD is .05 nats ahead, in one seed more than in the other
    assert verdicts["P2.19"] == "undecided"
    assert verdicts["P2.32"] == "reproduced"  # no confidence falls
    assert verdicts["P2.36"] == "reproduced"  # the mark changes nothing for the control
    assert verdicts["P2.43"] == "reproduced"  # l1 norms of 20 and 32
    assert verdicts["P2.44"] == "reproduced"  # l2 norms of 2 and 1.6
    assert verdicts["P4.02"] == "undecided"  # the hybrid network is 10 points below the grey one
    assert verdicts["P4.06"] == "undecided"  # a drop of 20 points
    assert verdicts["P4.09"] == "undecided"  # no image survives I-FGSM or PGD and not FGSM
    assert verdicts["P5.01"] == "reproduced"  # PSNR falls
    assert verdicts["P5.06"] == "not reproduced"  # MOD is the same at every level
    assert verdicts["P5.14"] == "not testable here"  # no image is fooled
    assert verdicts["P5.24"] == "reproduced"  # a mean SSIM of 0.74
    assert verdicts["P5.25"] == "not reproduced"  # and not of 0.41
    ours = table.set_index("id")["ours"]
    assert ours[["P1.01", "P1.07", "P1.12", "P1.59"]].tolist() == pytest.approx([0.75, 0.1, 1.5, 0.82])
    assert ours[["P2.01", "P2.04", "P2.13", "P2.39", "P2.43"]].tolist() == pytest.approx([0.03, 0.17, 0.08, 0.4, 0.625])
    assert ours[["P4.02", "P4.06", "P4.07"]].tolist() == pytest.approx([-0.1, 0.2, 0.3])
