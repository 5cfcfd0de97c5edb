"""Facts of data and networks from toy sets and toy cards, and the pages made of them."""

import dataclasses
import hashlib
import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from aecompanion.data.dataset import Dataset
from aecompanion.networks import checkpoint
from aecompanion.networks.zoo import create
from aecompanion.pipeline.paths import ROOT
from aecompanion.report import data_page, networks_page, records
from aecompanion.report.domains import domains


@pytest.fixture
def toy(tmp_path):
    """Five grey images of two classes."""
    Dataset(
        images=np.arange(5 * 64, dtype=np.uint8).reshape(5, 1, 8, 8),
        labels=torch.tensor([0, 1, 0, 1, 0]),
        split=np.array(["train", "train", "train", "test", "validation"], dtype=object),
        classes=["a", "b"],
        source="noise in two kinds",
        channels=1,
        size=8,
        counts={"images": 5, "refused": 2},
    ).save(tmp_path / "data")
    return tmp_path / "data"


def test_facts_of_a_prepared_set(toy):
    found = records.data_of(toy)
    assert found["splits"] == {"train": 3, "validation": 1, "test": 1}
    assert (found["images"], found["classes"], found["names"]) == (5, 2, ["a", "b"])
    assert found["sha256"]["images.npy"] == hashlib.sha256((toy / "images.npy").read_bytes()).hexdigest()


def test_a_part_that_these_data_do_not_have_is_left_out_and_a_stage_that_did_not_run_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(records.paths, "BUILD", tmp_path)
    monkeypatch.setattr(records.paths, "BY_HAND", tmp_path / "by_hand")
    monkeypatch.setattr(records.paths, "ROOT", tmp_path)
    with pytest.raises(FileNotFoundError, match="photos/data"):
        records.prepared("photos/data/held_out")
    (tmp_path / "photos" / "data" / "grey").mkdir(parents=True)
    assert records.prepared("photos/data/held_out") is None
    assert records.prepared("photos/data/grey") == tmp_path / "photos" / "data" / "grey"
    with pytest.raises(FileNotFoundError, match="faces/data"):
        records.prepared("faces/data")


def test_many_classes_are_counted_and_a_lazy_set_has_no_pixels_to_hash(toy):
    card = json.loads((toy / "dataset.json").read_text())
    (toy / "dataset.json").write_text(json.dumps(card | {"classes": list("abcdefghijklmn")}))
    (toy / "images.npy").unlink()
    found = records.data_of(toy)
    assert (found["classes"], found["names"], list(found["sha256"])) == (14, [], ["index.csv"])


@pytest.fixture
def weights(tmp_path):
    """Two seeds of one network, one of another in a folder of its own, a bottleneck, weights without a card."""
    folder = tmp_path / "networks"
    (folder / "voc").mkdir(parents=True)
    for seed, accuracy in ((2, 0.5), (10, 0.25)):
        network = create("compact/digits", classes=3, channels=1, size=28, seed=seed)
        scores = {"validation": accuracy, "test": accuracy + 0.00001}
        checkpoint.save(network, folder / f"small_net_{seed}.safetensors", accuracy=scores, epochs=4, source="noise")
    checkpoint.save(network, folder / "voc" / "vgg_1.safetensors", auroc={"validation": 0.9, "test": 0.8}, epochs=1)
    bare = {"weight": torch.zeros(2, 3), "norm.running_mean": torch.zeros(7)}
    save_file(bare, folder / "inverse.safetensors")
    save_file(bare, folder / "4.safetensors")
    card = {"channels": 32, "encoder": [16], "decoder": [64], "kernel": 1, "layer": "stage1", "agreement": 0.99}
    (folder / "4.json").write_text(json.dumps(card))
    return folder


def test_a_row_per_network_has_its_seeds_in_order_and_its_scores(weights):
    rows = {row["network"]: row for row in records.rows_of(weights)}
    assert set(rows) == {"small_net", "voc/vgg", "bottleneck", "inverse"}
    small = rows["small_net"]
    assert (small["seeds"], small["validation"], small["epochs"]) == ([2, 10], [0.5, 0.25], [4])
    assert (small["architecture"], small["source"], small["classes"]) == ("compact/digits", "noise", 3)
    assert (rows["voc/vgg"]["score"], rows["voc/vgg"]["test"]) == ("auroc", [0.8])
    assert rows["bottleneck"]["architecture"] == "after stage1, 1×1: 32 → 16 → 64 → 32 channels"
    assert (rows["bottleneck"]["score"], rows["bottleneck"]["validation"]) == ("agreement", [0.99])
    assert (rows["inverse"]["seeds"], rows["inverse"]["parameters"]) == ([], 6)  # a running mean is none


@pytest.mark.parametrize("name", ["compact/digits", "compact/residual", "aecompanion.networks.preact:preact"])
def test_parameters_are_those_of_the_network(name, tmp_path):
    network = create(name, classes=3, channels=3, size=48)
    checkpoint.save(network, tmp_path / "a.safetensors")
    assert records.parameters(tmp_path / "a.safetensors") == sum(each.numel() for each in network.parameters())


def test_who_writes_and_who_reads_follows_from_the_pipeline():
    assert records.stage_of("photos/data/grey") == "photos_data"
    assert "mod_vid" in records.readers("faces/networks")
    assert "claims_report" not in records.readers("faces/networks")
    assert records.stage_of("nobody/data") == ""


# ---- pages


def test_a_card_says_plainly_whether_images_are_composed_or_read(toy):
    (faces,) = (domain for domain in domains() if domain.name == "faces")
    facts = {"faces/data": records.data_of(toy) | {"stage": "faces_data"}}
    text = "\n".join(data_page.section(faces, facts, "../"))
    assert "**Read** in part or whole from a folder that this run's parameters name: noise in two kinds." in text
    assert "| `build/faces/data` |  | 5 | 3 | 1 | 1 | 8×8 grey | 2 (a, b) | one |" in text
    assert "Counted while it was made: refused 2." in text
    source = "LFW crops shipped with scikit-image: 40 photographed faces, generated variations"
    facts["faces/data"]["source"] = source
    assert "**Generated** here from the raw files below." in "\n".join(data_page.section(faces, facts, "../"))


def test_a_table_of_networks_has_a_row_per_network_with_its_regime(weights):
    (digits,) = (domain for domain in domains() if domain.name == "digits")
    toy = dataclasses.replace(digits, networks={"toy/networks": {"small_net": "clean images"}})
    facts = {"stage": "", "used": ["mod_vid"], "rows": records.rows_of(weights)}
    lines = networks_page.stage("toy/networks", facts, toy, "../")
    assert lines[2].endswith("Used in [mod_vid](../notebooks/5_evaluate/mod_vid.ipynb).")
    head, _, first, *others = lines[-1].splitlines()
    assert len(others) == 3
    assert "| small_net | compact/digits |" in first
    assert first.endswith(
        "| noise | clean images | 4 | 2, 10 | accuracy | 0.375 (0.250 to 0.500) | 0.375 (0.250 to 0.500) |"
    )


@pytest.mark.parametrize(("values", "text"), [([], ""), ([0.5], "0.500"), ([0.5, 0.7], "0.600 (0.500 to 0.700)")])
def test_a_score_is_a_mean_and_a_range(values, text):
    assert networks_page.spread(values) == text


def test_an_architecture_of_this_library_is_linked():
    assert networks_page.architecture("compact/vgg", "../") == "compact/vgg"
    link = networks_page.architecture("aecompanion.networks.preact:plain", "../")
    assert link.startswith("[preact:plain](../lib/aecompanion/networks/preact.py#L")


def test_every_published_network_has_words_for_its_training():
    published = json.loads((ROOT / "results" / data_page.RECORDS).read_text())["networks"]
    for domain in domains():
        for place in domain.networks:
            for row in published[place]["rows"]:
                assert domain.regime(place, row["network"]), (place, row["network"])
