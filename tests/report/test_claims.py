import importlib
import inspect
import json

import numpy as np
import pandas as pd
import pytest
import yaml

from aecompanion.evaluate.bootstrap import Interval
from aecompanion.report import claims, displays
from aecompanion.report.causal import tables as causal_tables
from aecompanion.report.halftone import tables as halftone_tables
from aecompanion.report.shift import tables as shift_tables
from aecompanion.report.shift.tables import COUNTERPART, LEVELS

REGISTER = claims.register()
VERDICTS = {"reproduced", "same direction", "not reproduced", "not testable here"}
FAMILIES = dict.fromkeys(COUNTERPART, "deep") | {"inception": "wide", "xception": "wide"}
SETTINGS = [("white", "own_pred"), ("white", "clean_pred"), ("black", "own_pred")]
TABLES = {  # what the estimators may take
    1: (
        *("latent", "effects", "estimates", "overlap", "marker", "concepts", "adversarial", "released"),
        *("shortcut", "viewed"),
    ),
    2: (
        *("counterfactuals", "optimisers", "schedules", "restarts", "sweep", "least", "quality", "spurious", "fooled"),
        "controls",
    ),
    3: ("scores", "randomization"),
    4: ("transfer", "representations", "adaptive"),
    5: ("predictions", "shift"),
}


@pytest.fixture
def tables(paper1_tables, paper2_tables, paper3_tables, paper4_tables):
    """Every paper's tables by name, those of paper 5 being of two seeds and three images: every SSIM is 0.74, and
    every image stays right.
    """
    rows = [
        {"network": network, "family": family, "seed": seed, "arm": arm, "eps": eps, "image": image}
        for network, family in FAMILIES.items()
        for seed in (1, 2)
        for arm in ("white", "black")
        for eps in (0.0, *LEVELS)
        for image in range(3)
    ]
    predictions = pd.DataFrame(rows).assign(correct=True)
    predictions["psnr"] = predictions["psnr_float"] = -20 * np.log10(predictions["eps"].clip(lower=1e-3))
    arms = [predictions[predictions["arm"] == arm].assign(mode=mode) for arm, mode in SETTINGS]
    shift = pd.concat(arms).assign(correct0=True, zero=False, ssim=0.74, nissim=0.13)
    photographs = dict(zip(TABLES[4], paper4_tables, strict=True))
    faces = {"predictions": predictions, "shift": shift}
    return {1: paper1_tables, 2: paper2_tables, 3: paper3_tables, 4: photographs, 5: faces}


def test_the_hand_made_tables_are_those_that_the_estimators_may_take(tables):
    assert {paper: tuple(of_paper) for paper, of_paper in tables.items()} == TABLES


@pytest.fixture
def with_register(tmp_path, monkeypatch):
    """Make the register hold these claims only."""

    def write(*entries):
        (tmp_path / "claims.yaml").write_text(yaml.safe_dump(list(entries)))
        monkeypatch.setattr(claims, "REGISTER", tmp_path / "claims.yaml")

    return write


CLAIM = {"id": "P5.99", "paper": 5, "display": "T5.2", "statement": "It is so", "strength": "report", "command": "make"}
SSIM = CLAIM | {"estimate": "mean_ssim", "arguments": {"network": "vgg", "mode": "own_pred", "level": 0.1}}


# ---- the register


def test_no_two_claims_have_the_same_id():
    ids = [claim["id"] for claim in REGISTER]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("claim", REGISTER, ids=lambda claim: claim["id"])
def test_a_registered_claim_is_complete(claim):
    assert claim["id"].startswith(f"P{claim['paper']}.")
    assert claim["statement"].strip()
    assert claim["command"].strip()
    assert claim["display"] in displays.register()
    assert ("relation" in claim) != ("tolerance" in claim)
    assert "reported" in claim or "relation" in claim
    assert set(claim) <= {*CLAIM, "reported", "estimate", "arguments", "relation", "tolerance", "note", "undefined"}


@pytest.mark.parametrize("claim", REGISTER, ids=lambda claim: claim["id"])
def test_the_estimator_of_a_claim_is_one_of_its_papers_and_takes_its_tables_and_arguments(claim):
    module = importlib.import_module(f"aecompanion.report.paper{claim['paper']}")
    estimator = getattr(module, claim["estimate"])
    assert estimator.__module__ == module.__name__  # none that the module merely imports
    wanted = inspect.signature(estimator).parameters
    taken = [name for name in wanted if name in TABLES[claim["paper"]]]
    arguments = claim.get("arguments", {})
    assert taken
    assert all(wanted[name].default is inspect.Parameter.empty for name in taken)  # a table that is missing is an error
    assert not set(arguments) & set(TABLES[claim["paper"]])  # an argument cannot stand in for a table
    bound = inspect.signature(estimator).bind(**dict.fromkeys(taken, "table"), **arguments)
    assert set(bound.arguments) == {*taken, *arguments}  # nothing ends up in *args or **options


def test_papers_with_claims_are_those_with_tables():
    assert {claim["paper"] for claim in REGISTER} == set(TABLES)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"strength": "maybe"},
            r"^claims\.yaml: P5\.99 has strength 'maybe', expected \('must', 'expected', 'report'\)$",
        ),
        ({"relation": "!= 0"}, r"^claims\.yaml: P5\.99 has relation '!= 0', expected \['>', '>=', '<', '<='\]$"),
    ],
)
def test_an_unknown_strength_or_relation_is_an_error_that_names_the_claim(with_register, changed, message):
    with_register(CLAIM | {"relation": "> 0"}, CLAIM | changed)
    with pytest.raises(ValueError, match=message):
        claims.register()


# ---- verdicts


@pytest.mark.parametrize(
    ("relation", "value", "low", "high", "verdict"),
    [
        ("> 0", 1, 0.5, 2, "reproduced"),
        ("> 0", 1, 0, 2, "same direction"),
        ("> 0", 1, -0.5, 2, "same direction"),
        ("> 0", 0, 0, 0, "not reproduced"),
        ("> 0", -1, -2, 1, "not reproduced"),
        ("> 0", -1, -2, -0.5, "not reproduced"),
        (">= 0", 0, 0, 0, "reproduced"),
        (">= 0", 0, -1, 1, "same direction"),
        ("< 0", -1, -2, -0.5, "reproduced"),
        ("< 0", -1, -2, 0, "same direction"),
        ("< 0", 1, -2, 2, "not reproduced"),
        ("<= 0.02", 0.02, 0.01, 0.02, "reproduced"),
        ("<= 0.02", 0.01, 0.0, 0.03, "same direction"),
        ("<= 0.02", 0.03, 0.0, 0.04, "not reproduced"),
    ],
)
def test_the_verdict_on_a_relation_follows_from_the_interval(relation, value, low, high, verdict):
    assert claims.judge(Interval(value, low, high), CLAIM | {"relation": relation})[0] == verdict


@pytest.mark.parametrize(
    ("low", "high", "verdict", "left"),
    [
        (0.3, 0.7, "reproduced", ""),
        (0.25, 0.75, "reproduced", ""),
        (0.1, 0.9, "same direction", ", the interval leaves it"),  # the estimate is within, a wide interval no proof
        (0.2, 0.4, "same direction", ", the interval leaves it"),
        (0.0, 0.3, "not reproduced", ""),
        (0.74, 0.9, "not reproduced", ""),
        (0.8, 0.9, "not reproduced", ""),
    ],
)
def test_a_tolerance_must_hold_the_whole_interval(low, high, verdict, left):
    claim = CLAIM | {"reported": 0.5, "tolerance": 0.25}
    found, reason = claims.judge(Interval((low + high) / 2, low, high), claim)
    assert found == verdict
    assert reason == f"needed within [0.25, 0.75]{left}"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rule", [{"relation": "> 0"}, {"reported": 0.5, "tolerance": 0.1}])
def test_an_undefined_estimate_is_not_testable_and_the_claim_may_say_why(value, rule):
    found = Interval(value, value, value)
    expected = "not testable here", "the estimate is undefined on these data"
    assert claims.judge(found, CLAIM | rule) == expected
    assert claims.judge(found, CLAIM | rule | {"undefined": "one outcome only"}) == (expected[0], "one outcome only")


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (Interval(1, 0.5, 2), "needed > 0; small sample"),
        (Interval(1, -0.5, 2), "needed > 0, the interval does not exclude the opposite; small sample"),
        (Interval(-1, -2, 2), "needed > 0; small sample"),
    ],
)
def test_the_reason_says_what_was_needed_and_adds_the_note(found, reason):
    assert claims.judge(found, CLAIM | {"relation": "> 0", "note": "small sample"})[1] == reason


# ---- evaluating


def test_a_claim_about_a_constant_has_an_interval_of_width_zero_and_the_known_verdict(tables):
    row = claims.evaluate(SSIM | {"reported": 0.75, "tolerance": 0.03}, tables, resamples=20, seed=0)
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
        "n": 3,
        "seeds": 2,
        "verdict": "reproduced",
        "reason": "needed within [0.72, 0.78]",
        "command": "make",
    }


@pytest.mark.parametrize(
    ("rule", "verdict"),
    [
        ({"reported": 0.5, "tolerance": 0.03}, "not reproduced"),
        ({"relation": "> 0.7"}, "reproduced"),
        ({"relation": "<= 0.7"}, "not reproduced"),
    ],
)
def test_the_rule_of_a_claim_decides_over_the_same_number(tables, rule, verdict):
    assert claims.evaluate(SSIM | rule, tables, resamples=20, seed=0)["verdict"] == verdict


def test_an_interval_that_spans_zero_is_the_same_direction(tables):
    shift = tables[5]["shift"]
    rise = np.where(shift["seed"] == 1, 0.3, -0.1)
    moved = shift.assign(nissim=0.2 + np.where(shift["eps"] == 0.1, rise, 0.0))
    claim = CLAIM | {"estimate": "mod_rise", "arguments": {"mode": "own_pred"}, "relation": "> 0"}
    row = claims.evaluate(claim, tables | {5: tables[5] | {"shift": moved}}, resamples=100, seed=0)
    assert (row["ours"], row["ci_low"], row["ci_high"]) == pytest.approx((0.1, -0.1, 0.3))  # both seeds, one, the other
    assert row["verdict"] == "same direction"


def test_a_resample_on_which_the_estimate_is_undefined_does_not_make_it_certain(tables):
    shift = tables[5]["shift"]
    first = shift["image"] == 0  # the only image that is fooled; a resample without it has no gap
    moved = shift.assign(correct=~first, nissim=np.where(first, np.where(shift["seed"] == 1, 0.5, 0.1), 0.2))
    claim = CLAIM | {"estimate": "failure_gap", "arguments": {"mode": "own_pred", "level": 0.1}, "relation": "> 0"}
    row = claims.evaluate(claim, tables | {5: tables[5] | {"shift": moved}}, resamples=100, seed=0)
    assert row["ours"] == pytest.approx(0.1)  # 0.3 in one seed, -0.1 in the other
    assert row["verdict"] != "reproduced"


def test_an_estimate_that_is_undefined_on_these_data_is_not_testable(tables):
    claim = CLAIM | {"estimate": "failure_gap", "arguments": {"mode": "own_pred", "level": 0.01}, "relation": "> 0"}
    row = claims.evaluate(claim | {"undefined": "one outcome only"}, tables, resamples=20, seed=0)
    assert (row["verdict"], row["reason"]) == ("not testable here", "one outcome only")
    assert np.isnan(row["ours"])


def test_an_estimator_gets_the_tables_of_its_paper_that_it_names_and_the_claims_arguments(monkeypatch):
    seen = []

    def some(adaptive, transfer, *, kind="none"):
        seen.append({"adaptive": adaptive, "transfer": transfer, "kind": kind})
        return np.full((2, 3), 0.5), np.mean

    def one(shift):
        seen.append({"shift": shift})
        return np.full((2, 3), 0.5), np.mean

    monkeypatch.setattr(halftone_tables, "probe", some, raising=False)
    monkeypatch.setattr(shift_tables, "probe", one, raising=False)
    tables = {5: {"predictions": "a", "shift": "b"}, 4: {"transfer": "c", "representations": "d", "adaptive": "e"}}
    claim = CLAIM | {"estimate": "probe", "relation": "> 0"}
    claims.evaluate(claim | {"paper": 4, "arguments": {"kind": "tv"}}, tables, resamples=20, seed=0)
    claims.evaluate(claim | {"paper": 4}, tables, resamples=20, seed=0)
    claims.evaluate(claim, tables, resamples=20, seed=0)
    assert seen == [
        {"adaptive": "e", "transfer": "c", "kind": "tv"},
        {"adaptive": "e", "transfer": "c", "kind": "none"},
        {"shift": "b"},
    ]


def test_a_table_that_an_estimator_names_and_nobody_saved_is_an_error_that_names_it(tables):
    claim = SSIM | {"relation": "> 0"}
    without = {name: table for name, table in tables[5].items() if name != "shift"}
    with pytest.raises(TypeError, match="'shift'"):
        claims.evaluate(claim, {5: without}, resamples=20, seed=0)


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
    claim = CLAIM | {"paper": 4, "estimate": estimate, "arguments": arguments | {"split": "held_out"}}
    claim |= {"relation": "> -1"}  # holds for any number
    assert claims.evaluate(claim, tables, resamples=20, seed=0)["verdict"] == "reproduced"
    known = {4: tables[4] | {"transfer": transfer[transfer["split"] == "known"]}}
    row = claims.evaluate(claim, known, resamples=20, seed=0)
    assert (row["verdict"], row["reason"]) == ("not testable here", "the estimate is undefined on these data")
    assert np.isnan([row["ours"], row["ci_low"], row["ci_high"]]).all()


@pytest.mark.parametrize("claim", [claim for claim in REGISTER if claim["paper"] == 1], ids=lambda claim: claim["id"])
def test_every_claim_of_paper_1_is_evaluated_and_gets_a_verdict(tables, claim):
    row = claims.evaluate(claim, tables, resamples=10, seed=0)
    assert list(row) == claims.COLUMNS
    assert row["verdict"] in VERDICTS - {"not testable here"}  # the hand-made tables have all that is needed
    assert np.isfinite([row["ours"], row["ci_low"], row["ci_high"]]).all()
    assert row["seeds"] == 2
    assert row["reason"].startswith("needed ")


NEEDS = {  # what real data may lack, and the claims about it
    "counterfactual": ["P1.07", "P1.08", "P1.14", "P1.24", "P1.28", "P1.29", "P1.30", "P1.31", "P1.32"],
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
        name: tables[name][~tables[name][column].str.contains("counterfactual")] for name, column in columns.items()
    }


def test_the_claims_that_say_what_they_need_are_those_about_what_data_may_lack():
    own = [claim for claim in REGISTER if claim["paper"] == 1 and "undefined" in claim]
    said = {claim["id"] for claim in own if claim["estimate"] != "shift_surplus"}
    assert said == {"P1.09", *NEEDS["counterfactual"], *NEEDS["marker"], *NEEDS["radiographs"]}


@pytest.mark.parametrize(
    ("what", "claim"),
    [(what, name) for what, names in NEEDS.items() for name in names] + [("counterfactual", "P1.09")],
)
def test_without_what_it_needs_a_claim_of_paper_1_is_not_testable_and_says_why(tables, what, claim):
    entry = next(each for each in REGISTER if each["id"] == claim)
    row = claims.evaluate(entry, {1: lacking(tables[1], what)}, resamples=10, seed=0)
    assert (row["verdict"], row["reason"]) == ("not testable here", entry["undefined"])
    assert np.isnan([row["ours"], row["ci_low"], row["ci_high"]]).all()


@pytest.mark.parametrize("what", list(NEEDS))
def test_the_other_claims_of_paper_1_do_not_change_without_it(tables, what):
    others = [each for each in REGISTER if each["paper"] == 1 and each["id"] not in ("P1.09", *NEEDS[what])]
    names = {"effects", "estimates", "overlap", "marker", "shortcut", "viewed"}  # the tables that are changed
    for claim in others:
        if names & set(inspect.signature(getattr(causal_tables, claim["estimate"])).parameters):
            rows = [
                claims.evaluate(claim, {1: each}, resamples=10, seed=0)
                for each in (tables[1], lacking(tables[1], what))
            ]
            assert rows[0] == rows[1]


@pytest.mark.filterwarnings("ignore:An input array is constant")  # the rise of MOD, which is the same for all networks
def test_all_claims_have_one_row_in_the_order_of_the_register_with_a_verdict(tables):
    seen = []
    table = claims.evaluate_all(tables, resamples=10, seed=0, progress=lambda all_of: seen.extend(all_of) or all_of)
    assert list(table.columns) == claims.COLUMNS
    assert table["id"].tolist() == [claim["id"] for claim in seen] == [claim["id"] for claim in REGISTER]
    assert set(table["verdict"]) <= VERDICTS
    assert table.groupby("paper")["n"].unique().map(sorted).to_dict() == {
        1: [1, 3, 4, 5, 6, 8, 10],
        2: [3, 4, 5, 8],
        3: [4, 6],
        4: [10],
        5: [3],
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
    assert set(table.loc[table["seeds"] == 1, "id"]) == {"P2.45", "P2.46", "P2.47", "P3.19", "P3.20"}
    verdicts = table.set_index("id")["verdict"]
    assert verdicts["P1.09"] == "reproduced"  # elsewhere nothing changes
    assert verdicts["P1.01"] == "not reproduced"  # three of twelve decisions change
    assert verdicts["P1.61"] == "reproduced"  # the network is frozen
    assert verdicts["P2.01"] == "reproduced"  # mean confidences of .88, .9 and .93
    assert verdicts["P2.18"] == "reproduced"  # APGD is .05 nats ahead
    assert verdicts["P2.19"] == "not reproduced"
    assert verdicts["P2.32"] == "reproduced"  # no confidence falls
    assert verdicts["P2.36"] == "reproduced"  # the mark changes nothing for the control
    assert verdicts["P2.43"] == "reproduced"  # l1 norms of 20 and 32
    assert verdicts["P2.44"] == "reproduced"  # l2 norms of 2 and 1.6
    assert verdicts["P4.02"] == "not reproduced"  # the hybrid network is 10 points below the grey one
    assert verdicts["P4.06"] == "not reproduced"  # a drop of 20 points
    assert verdicts["P4.09"] == "reproduced"  # no image survives I-FGSM or PGD and not FGSM
    assert verdicts["P5.01"] == "reproduced"  # PSNR falls
    assert verdicts["P5.06"] == "not reproduced"  # MOD is the same at every level
    assert verdicts["P5.14"] == "not testable here"  # no image is fooled
    assert verdicts["P5.24"] == "reproduced"  # a mean SSIM of 0.74
    assert verdicts["P5.25"] == "not reproduced"  # and not of 0.41
    ours = table.set_index("id")["ours"]
    assert ours[["P1.01", "P1.07", "P1.12", "P1.59"]].tolist() == pytest.approx([0.75, 0.1, 1.5, 0.82])
    assert ours[["P2.01", "P2.04", "P2.13", "P2.39", "P2.43"]].tolist() == pytest.approx([0.03, 0.17, 0.1, 0.4, 0.625])
    assert ours[["P4.02", "P4.06", "P4.07"]].tolist() == pytest.approx([-0.1, 0.2, 0.3])


# ---- counts


def test_the_metrics_count_verdicts_per_strength_and_round_estimates_to_four_digits():
    rows = [
        ("P5.01", "must", "reproduced", 2.34567),
        ("P5.02", "must", "reproduced", -0.000123456),
        ("P5.03", "must", "same direction", 0.0),
        ("P5.04", "report", "not reproduced", 1.0),
    ]
    table = pd.DataFrame(rows, columns=["id", "strength", "verdict", "ours"])
    counted = claims.metrics(table)
    assert counted == {
        "verdicts": {"must": {"reproduced": 2, "same direction": 1}, "report": {"not reproduced": 1}},
        "ours": {"P5.01": 2.346, "P5.02": -0.0001235, "P5.03": 0.0, "P5.04": 1.0},
    }
    assert json.loads(json.dumps(counted)) == counted


def test_the_metrics_of_an_undefined_estimate_are_valid_json():
    table = pd.DataFrame(
        [("P5.14", "expected", "not testable here", np.nan)], columns=["id", "strength", "verdict", "ours"]
    )
    json.dumps(claims.metrics(table), allow_nan=False)
