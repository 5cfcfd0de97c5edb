"""The interval's picture and the table that the script sorts."""

import math
import re

import pandas as pd
import pytest

from aecompanion.report.claims import register
from aecompanion.site import claims


@pytest.mark.parametrize(("relation", "number"), [("> 0.5", 0.5), ("<= -2", -2.0), ("as reported", None), ("", None)])
def test_the_bound_of_a_relation(relation, number):
    assert claims.bound(relation) == number


def test_a_bar_puts_estimate_interval_and_bound_on_one_scale():
    drawn = claims.bar(0.5, 0.25, 1.0, "> 0")
    (circle,) = re.findall(r'<circle cx="([\d.]+)"', drawn)
    bound, low, high = (float(re.search(rf'{name}="([\d.]+)"', part)[1]) for name, part in (
        ("x1", drawn[drawn.index("bound") :]),
        ("x1", drawn[drawn.index("interval\"") :]),
        ("x2", drawn[drawn.index("interval\"") :]),
    ))  # fmt: skip
    assert (bound, low, float(circle), high) == (6.0, 33.0, 60.0, 114.0)
    assert "0.5, 95 % interval 0.25 to 1, needed &gt; 0" in drawn


def test_a_point_and_a_missing_estimate():
    assert "<circle" in claims.bar(1.0, 1.0, 1.0, "")
    assert claims.bar(math.nan, math.nan, math.nan, "> 0") == ""


def test_the_table_shows_each_claim_with_its_function_and_its_display():
    (known,) = [each for each in register() if each.id == "P3.04"]
    row = {
        "id": known.id, "display": known.display, "strength": known.strength, "statement": "a < b", "reported": 0.5,
        "ours": 1.25, "ci_low": 1.0, "ci_high": 1.5, "verdict": "not reproduced", "reason": "needed < 1",
    }  # fmt: skip
    text = claims.table(pd.DataFrame([row]), {}, lambda target: f"../{target}")
    function = f"{known.estimator.__module__}.{known.estimator.__name__}"
    assert f'<a href="../reference/papers.html#{function}">' in text
    assert re.search(r'<a href="../source/lib/aecompanion/papers/masks/claims\w*\.py\.html#L\d+">', text)
    assert f'<a href="#{known.display}">' in text
    assert "a &lt; b" in text
    assert '<td data-sort="1.25">1.25 [1, 1.5]</td>' in text
    assert '<span class="verdict not-reproduced">not reproduced</span>' in text
    assert re.findall(r"<button type=\"button\">(\w+)</button>", text) == list(claims.COLUMNS)
