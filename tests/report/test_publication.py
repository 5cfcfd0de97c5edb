import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from aecompanion.pipeline import paths
from aecompanion.report import claims, headlines, publication
from aecompanion.report.papers import papers


def run(folder):
    """What a run leaves behind."""
    for name in ("figures", "tables", "cards", "metrics"):
        (folder / name).mkdir(parents=True)
        (folder / name / "new").write_text("new")
    for name in ("claims.csv", "distances.csv", "records.json", "README.md"):
        (folder / name).write_text("new")


def test_a_copy_replaces_what_a_run_makes_and_keeps_the_rest(tmp_path):
    run(tmp_path / "run")
    results = tmp_path / "results"
    for name in ("figures/old", "replications/a", "benchmarks.csv", "claims.csv"):
        (results / name).parent.mkdir(parents=True, exist_ok=True)
        (results / name).write_text("old")
    publication.copy(tmp_path / "run", results)
    found = {str(file.relative_to(results)): file.read_text() for file in results.rglob("*") if file.is_file()}
    new = {f"{name}/new": "new" for name in ("figures", "tables", "cards", "metrics")}
    new |= dict.fromkeys(("claims.csv", "distances.csv", "records.json"), "new")
    assert found == new | {"replications/a": "old", "benchmarks.csv": "old"}


def test_a_heavy_picture_is_published_smaller_and_looks_alike(tmp_path):
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 200, 300)[:, None, None] + np.zeros((300, 400, 3))
    Image.fromarray((ramp + rng.integers(0, 56, ramp.shape)).astype(np.uint8)).save(tmp_path / "heavy.png")
    before = np.asarray(Image.open(tmp_path / "heavy.png"), float)
    publication.fit(tmp_path / "heavy.png", 50_000, narrowest=100)
    after = Image.open(tmp_path / "heavy.png")
    assert (tmp_path / "heavy.png").stat().st_size <= 50_000
    assert after.width / after.height == pytest.approx(4 / 3, abs=0.02)
    assert after.width < 400
    wide = np.asarray(after.convert("RGB").resize((400, 300)), float)
    assert np.abs(wide.mean((1, 2)) - before.mean((1, 2))).max() < 6  # the ramp is where it was


def test_below_the_least_width_a_picture_loses_colours_and_not_pixels(tmp_path):
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 200, 300)[:, None, None] + np.zeros((300, 400, 3))
    picture = Image.fromarray((ramp + rng.integers(0, 56, ramp.shape)).astype(np.uint8))
    rows, found = np.asarray(picture).mean((1, 2)), {}
    for largest in (150_000, 10):
        picture.save(tmp_path / "heavy.png")
        publication.fit(tmp_path / "heavy.png", largest, narrowest=350)
        after = Image.open(tmp_path / "heavy.png")
        assert (after.width, after.mode) == (350, "P")
        found[largest] = len(after.getcolors())
        assert largest == 10 or (tmp_path / "heavy.png").stat().st_size <= largest
        small = np.asarray(after.convert("RGB").resize((400, 300)), float).mean((1, 2))
        assert np.abs(small - rows).max() < 10  # the ramp is where it was
    assert 256 >= found[150_000] > found[10] == publication.COLOURS[-1]
    picture.save(tmp_path / "heavy.png")
    publication.fit(tmp_path / "heavy.png", 150_000, narrowest=900)  # narrower from the start: its own width
    assert Image.open(tmp_path / "heavy.png").size == (400, 300)


def test_a_light_picture_and_one_of_few_colours_stay_as_they_are(tmp_path):
    dots = np.random.default_rng(0).integers(0, 2, (200, 200)).astype(np.uint8) * 255
    Image.fromarray(dots).convert("P").save(tmp_path / "dots.png")
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(tmp_path / "light.png")
    for name, largest in (("dots.png", 10), ("light.png", 1000)):
        before = (tmp_path / name).read_bytes()
        publication.fit(tmp_path / name, largest)
        assert (tmp_path / name).read_bytes() == before


def test_a_run_that_did_not_end_is_not_published(tmp_path):
    run(tmp_path / "run")
    (tmp_path / "run" / "README.md").unlink()
    with pytest.raises(FileNotFoundError, match="README.md is missing: run `make repro` first"):
        publication.copy(tmp_path / "run", tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_an_unknown_profile_is_not_published(monkeypatch):
    with pytest.raises(ValueError, match="no profile 'none', expected one of: "):
        publication.publish("none")


# ---- headline numbers

ROWS = [  # id, paper, strength, ours, ci_low, ci_high, verdict
    ("P3.01", 3, "must", 0.123456, 0.1, 0.2, "reproduced"),
    ("P3.02", 3, "expected", 0.1, -0.1, 0.3, "undecided"),
    ("P3.03", 3, "check", 1, 1, 1, "reproduced"),
    ("P3.04", 3, "expected", -0.3, -0.4, -0.1, "reproduced"),
    ("P3.05", 3, "report", float("nan"), float("nan"), float("nan"), "not testable here"),
]
TESTED = pd.DataFrame(ROWS, columns=["id", "paper", "strength", "ours", "ci_low", "ci_high", "verdict"])


def test_headlines_count_verdicts_without_checks_and_name_estimates():
    (masks,) = (paper for paper in papers() if paper.number == 3)
    assert headlines.headlines(TESTED, masks, {"lead": "P3.01", "none": "P3.05", "gone": "P3.99"}) == {
        "reproduced": 2,
        "no difference": 0,
        "undecided": 1,
        "not reproduced": 0,
        "must reproduced": 1,
        "expected reproduced": 1,
        "lead": 0.1235,
        "none": None,
    }


def test_every_paper_with_a_claim_has_a_file_of_at_most_ten_numbers(tmp_path):
    published = pd.read_csv(paths.ROOT / "results" / "claims.csv")
    headlines.write(tmp_path / "metrics", published)
    assert {file.stem for file in (tmp_path / "metrics").iterdir()} == {paper.handle for paper in papers()}
    for file in (tmp_path / "metrics").iterdir():
        assert 6 < len(json.loads(file.read_text())) <= headlines.MOST
    headlines.write(tmp_path / "less", TESTED)
    assert [file.name for file in (tmp_path / "less").iterdir()] == ["masks.json"]


def test_headlines_name_claims_of_their_paper():
    named = headlines.yaml.safe_load(headlines.NAMED.read_text())
    numbers = {paper.handle: paper.number for paper in papers()}
    known = {claim.id for claim in claims.register()}
    for handle, entries in named.items():
        for claim in entries.values():
            assert claim in known
            assert claim.startswith(f"P{numbers[handle]}.")


def test_a_distance_above_one_is_an_interval_beyond_the_bound():
    relations = {"P3.01": "> 0", "P3.02": "> 0", "P3.04": "< 0", "P3.05": "> 0"}
    found = headlines.distances(TESTED, relations).set_index("claim")["distance"]
    assert found.to_dict() == pytest.approx({"P3.01": 5, "P3.02": 0.5, "P3.04": 1.5})


def test_distances_agree_with_the_published_verdicts():
    published = pd.read_csv(paths.ROOT / "results" / "claims.csv")
    found = headlines.distances(published)
    assert len(found) > 50
    assert (found.loc[found["verdict"] == "reproduced", "distance"] >= 1 - 1e-3).all()
    assert (found.loc[found["verdict"] == "not reproduced", "distance"] <= -1 + 1e-3).all()
    assert (found.loc[found["verdict"] == "undecided", "distance"].abs() <= 1 + 1e-3).all()
