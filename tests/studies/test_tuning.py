import json

import pandas as pd
import pytest

from aecompanion.studies.tuning import choose, read, write

TUNED = {"MP": {"area": 1.0, "variation": 0.0}, "EP": {"areas": [0.05]}, "RP": {"area": 5, "variation": 0.0625}}


def rows(**settings):
    """Of one method, by setting "sN": the deletion of every pair and the area of all."""
    return pd.DataFrame(
        [
            {"method": "MP", "setting": int(name[1:]), "pair": pair, "deletion": value, "area": area}
            for name, (values, area) in settings.items()
            for pair, value in enumerate(values)
        ]
    )


def test_a_clear_lead_decides_whatever_the_area():
    table = rows(s3=([0.1, 0.2, 0.3], 0.5), s7=([0.2, 0.3, 0.4], 0.01))  # worse by 0.1 on every pair: no error at all
    assert choose(table) == {"MP": 3}


def test_settings_within_one_standard_error_of_the_best_are_equal_and_the_smallest_area_is_taken():
    # setting 7 differs by 0.3, -0.1, -0.1, 0: mean 0.025, standard deviation 0.1893, standard error 0.0946
    best, near = ([0.1, 0.2, 0.3, 0.2], 0.5), ([0.4, 0.1, 0.2, 0.2], 0.1)
    assert choose(rows(s3=best, s7=near)) == {"MP": 7}
    assert choose(rows(s3=best, s7=(near[0], 0.6))) == {"MP": 3}
    far = ([0.4, 0.5, 0.2, 0.2], 0.1)  # 0.3, 0.3, -0.1, 0: mean 0.125, standard error 0.1031
    assert choose(rows(s3=best, s7=far)) == {"MP": 3}


def test_the_better_mean_of_two_methods_is_not_shared():
    other = rows(s5=([0.9, 0.9], 0.2), s6=([0.1, 0.1], 0.2)).assign(method="RP")
    both = pd.concat([rows(s1=([0.1, 0.1], 0.2), s2=([0.9, 0.9], 0.2)), other])
    assert choose(both) == {"MP": 1, "RP": 6}


def test_one_pair_has_no_error_and_a_pair_that_lacks_is_one():
    assert choose(rows(s3=([0.1], 0.5), s7=([0.2], 0.1))) == {"MP": 3}
    with pytest.raises(ValueError, match="MP: not every setting was tried on every pair"):
        choose(rows(s3=([0.1, 0.2], 0.5), s7=([0.2], 0.1)))


def test_what_is_written_is_read(tmp_path):
    file = tmp_path / "tuned.json"
    write(file, TUNED | {"EP": {"areas": (0.05,)}}, pairs=40)
    assert read(file) == TUNED
    assert json.loads(file.read_text())["pairs"] == 40


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no JSON", "no file of tuned settings"),
        ("[]", "no file of tuned settings"),
        ('{"pairs": 3}', "no file of tuned settings"),
        ('{"methods": 3}', "has settings of 3, expected those of MP, EP, RP"),
        (json.dumps({"methods": {"MP": TUNED["MP"]}}), r"has settings of \['MP'\], expected those of MP, EP, RP"),
        (
            json.dumps({"methods": TUNED | {"RP": {"area": 1.0}}}),
            "the settings of RP are .*expected area and variation",
        ),
        (
            json.dumps({"methods": TUNED | {"MP": {"area": -1.0, "variation": 0}}}),
            "area of MP is -1.0, expected a finite",
        ),
        (json.dumps({"methods": TUNED | {"MP": {"area": True, "variation": 0}}}), "area of MP is True"),
        (json.dumps({"methods": TUNED | {"MP": {"area": float("nan"), "variation": 0}}}), "area of MP is nan"),
        (json.dumps({"methods": TUNED | {"EP": {"areas": []}}}), r"areas of EP is \[\], expected shares inside"),
        (json.dumps({"methods": TUNED | {"EP": {"areas": [0.1, 1]}}}), r"areas of EP is \[0.1, 1\], expected shares"),
        (json.dumps({"methods": TUNED | {"EP": {"areas": 0.1}}}), "areas of EP is 0.1"),
    ],
)
def test_a_malformed_file_is_refused_with_its_name(tmp_path, text, message):
    file = tmp_path / "tuned.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        read(file)
    assert str(file) in str(error.value)


def test_what_could_not_be_read_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="expected those of MP, EP, RP"):
        write(tmp_path / "tuned.json", {"MP": TUNED["MP"]}, pairs=3)
    assert not (tmp_path / "tuned.json").exists()
