"""Counts of passes in exact numbers: gradients or none, threads, processes, a notebook's kernel; the record of them."""

import json
import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

import nbformat
import pytest
import torch
from nbclient import NotebookClient

from aecompanion.networks import zoo
from aecompanion.networks.borrow import borrowed
from aecompanion.networks.folding import folded
from aecompanion.pipeline import parallel, passes
from aecompanion.pipeline.paths import ROOT
from aecompanion.pipeline.rng import generator

NAME = "compact/digits"


def network(**options):
    return zoo.create(NAME, **({"classes": 10, "channels": 1, "size": 28} | options)).eval()


def some(number):
    return torch.rand(number, 1, 28, 28, generator=generator(7, number))


def row(kind, forward, backward, batch):
    shape = {"network": NAME, "classes": 10, "channels": 1, "size": 28}
    return shape | {"kind": kind, "forward": forward, "backward": backward, "batch": batch}


@pytest.fixture
def counter(monkeypatch):
    found = passes.Counter()
    monkeypatch.setattr(passes, "counter", found)
    return found


def test_without_gradients_images_are_looked_at(counter):
    model = network()
    with torch.no_grad():
        model(some(5)), model(some(3))
    assert counter.rows() == [row("look", 8, 0, 5)]


def test_a_training_step_goes_forward_and_backward_once(counter):
    model = network().train()
    model(some(6)).sum().backward()
    assert counter.rows() == [row("learn", 6, 6, 6)]


def test_an_attack_takes_gradients_of_the_image_and_looks_at_the_end(counter):
    model, images = network(), some(4).requires_grad_()
    with borrowed(model):
        for _ in range(3):
            torch.autograd.grad(model(images).sum(), images)
        with torch.no_grad():
            model(images)
    assert counter.rows() == [row("attack", 12, 12, 4), row("look", 4, 0, 4)]


def test_every_gradient_through_an_output_counts_and_one_that_is_never_taken_does_not(counter):
    model, images = network(), some(2).requires_grad_()
    with borrowed(model):
        logits = model(images)
        for k in range(3):
            torch.autograd.grad(logits[:, k].sum(), images, retain_graph=True)
        model(images)
    assert counter.rows() == [row("attack", 4, 6, 2)]


def test_networks_are_told_apart_by_card_and_images_and_a_folded_copy_is_the_same_one(counter):
    with torch.no_grad():
        network()(some(1)), folded(network())(some(1)), network(classes=3)(some(1)), network(channels=3)(some(1))
    assert [(each["classes"], each["channels"], each["forward"]) for each in counter.rows()] == [(3, 1, 1), (10, 1, 3)]


def test_two_threads_count_together(counter):
    def job(number):
        model = network(seed=number)
        with borrowed(model):
            images = some(number).requires_grad_()
            torch.autograd.grad(model(images).sum(), images)

    list(parallel.over(job, range(1, 9), workers=2))
    assert counter.rows() == [row("attack", 36, 36, 8)]


def test_counting_changes_no_bit(monkeypatch):
    found = []
    for counter in (None, passes.Counter()):
        monkeypatch.setattr(passes, "counter", counter)
        model = network(seed=3).train()
        loss = model(some(8)).square().sum()
        loss.backward()
        found.append([loss.detach(), *(parameter.grad for parameter in model.parameters())])
    assert all(torch.equal(first, second) for first, second in zip(*found, strict=True))


# ---- processes


def look(number):
    """In a worker."""
    with torch.no_grad():
        network()(some(number))


def test_workers_and_other_processes_add_up(tmp_path):
    before = dict(os.environ)
    with passes.recorded(tmp_path / "s.json"):
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            list(pool.map(look, [2, 3, 4]))
        code = "import torch\nfrom aecompanion.networks import zoo\n"
        code += f"zoo.create({NAME!r}, classes=10, channels=1, size=28)(torch.zeros(6, 1, 28, 28)).sum().backward()"
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    assert json.loads((tmp_path / "s.json").read_text()) == [row("learn", 6, 6, 6), row("look", 9, 0, 4)]
    assert [each.name for each in tmp_path.iterdir()] == ["s.json"]
    assert dict(os.environ) == before


def test_the_kernel_of_a_notebook_counts_after_every_cell(tmp_path):
    start = "import torch\nfrom aecompanion.networks import zoo\n"
    start += f"model = zoo.create({NAME!r}, classes=10, channels=1, size=28)"
    cells = [start, "with torch.no_grad():\n    model(torch.zeros(7, 1, 28, 28))", "import os\nos.getpid()"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    with passes.recorded(tmp_path / "s.json"):
        NotebookClient(notebook, resources={"metadata": {"path": str(ROOT)}}, shutdown_kernel="immediate").execute()
    assert json.loads((tmp_path / "s.json").read_text()) == [row("look", 7, 0, 7)]


def test_a_stage_without_networks_has_an_empty_list_and_one_that_failed_no_file(tmp_path):
    with passes.recorded(tmp_path / "s.json"):
        pass
    assert (tmp_path / "s.json").read_text() == "[]\n"
    with pytest.raises(KeyError), passes.recorded(tmp_path / "s.json"):
        raise KeyError
    assert not list(tmp_path.iterdir())


def test_a_process_that_was_killed_is_said(tmp_path):
    code = "import os, aecompanion.pipeline.passes\nos._exit(0)"
    sentence = "^s: a process ended without writing its passes"
    with pytest.raises(RuntimeError, match=sentence), passes.recorded(tmp_path / "s.json"):
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    assert not list(tmp_path.iterdir())


# ---- the record


def test_collected_counts_replace_those_of_a_formula_and_leave_the_others(tmp_path):
    file, folder = tmp_path / "passes.json", tmp_path / "passes"
    old = {"source": "formula", "parameters": {"n": 1}, "passes": [row("look", 1, 0, 1)]}
    passes.save({"b": old, "a": old}, file)
    folder.mkdir()
    (folder / "a.json").write_text(passes.written([row("learn", 5, 5, 5)]))
    assert passes.collect({"a": {"n": 2}, "b": {"n": 2}, "c": {}}, folder, file) == ["a"]
    new = {"source": "counted", "parameters": {"n": 2}, "passes": [row("learn", 5, 5, 5)]}
    assert passes.load(file) == {"a": new, "b": old}
    assert len(file.read_text().splitlines()) == 16


@pytest.mark.parametrize(
    "content", ["", "[]", '{"a": {"source": "counted"}}', '{"a": {"source": 1, "parameters": {}, "passes": [{}]}}']
)
def test_a_record_that_is_none_is_a_sentence(tmp_path, content):
    (tmp_path / "passes.json").write_text(content)
    with pytest.raises(ValueError, match=r"^passes\.json: expected source, parameters and passes per stage"):
        passes.load(tmp_path / "passes.json")


def test_a_missing_record_and_missing_counts_are_sentences(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"^passes\.json is missing, expected what"):
        passes.load(tmp_path / "passes.json")
    with pytest.raises(FileNotFoundError, match="holds no counts, expected STAGE.json"):
        passes.collect({"a": {}}, tmp_path, tmp_path / "passes.json")


def test_the_committed_record_is_readable_and_consistent():
    for entry in passes.load().values():
        assert entry["source"] in ("counted", "formula")
        for each in entry["passes"]:
            assert each["kind"] in ("learn", "attack", "look")
            assert 0 < each["batch"] <= max(each["forward"], 1)
            assert each["kind"] != "look" or each["backward"] == 0
