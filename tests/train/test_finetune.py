import re

import numpy as np
import pytest
import torch
from torch import nn

from aecompanion.data.dataset import Dataset
from aecompanion.networks import checkpoint
from aecompanion.networks.zoo import create
from aecompanion.pipeline import jobs
from aecompanion.pipeline.rng import generator
from aecompanion.train import ensemble, finetune, fit as plain, shifts

OPTIONS = {"epochs": 2, "batch": 8, "lr": 0.01}


@pytest.fixture(scope="module")
def toy():
    """48 random images 6×6 of two classes."""
    images = torch.randint(0, 256, (48, 1, 6, 6), generator=generator(12)).to(torch.uint8).numpy()
    split = np.array((["train"] * 4 + ["validation", "test"]) * 8, dtype=object)
    options = {"classes": ["a", "b"], "source": "toy", "channels": 1, "size": 6}
    return Dataset(images=images, labels=torch.arange(48) % 2, split=split, **options)


def flat(*, classes: int, channels: int, size: int) -> nn.Sequential:
    """One linear layer."""
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size * size, classes))


def fresh(seed: int = 0):
    return create(flat, classes=2, channels=1, size=6, seed=seed, cam_layers=["0"])


def same(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.fixture
def file(tmp_path):
    """A state dict as published ones are: wrapped, with a prefix."""
    weights = {f"module.{name}": each for name, each in fresh(seed=7).body.state_dict().items()}
    torch.save({"state_dict": weights}, tmp_path / "start.th")
    return tmp_path / "start.th"


def test_training_begins_from_the_file(toy, file):
    network, other, random = fresh(), fresh(seed=7), fresh()
    history = finetune.fit(network, toy, start=str(file), **OPTIONS)
    expected = plain.fit(other, toy, **OPTIONS)
    plain.fit(random, toy, **OPTIONS)
    assert same(network, other) and not same(network, random)
    assert history.equals(expected)


def test_another_trainer_begins_from_the_file_too(toy, file):
    network, other = fresh(), fresh(seed=7)
    finetune.fit(network, toy, start=str(file), trainer="aecompanion.train.shifts:fit", most=2, **OPTIONS)
    shifts.fit(other, toy, most=2, **OPTIONS)
    assert same(network, other)


def test_a_rate_of_nearly_nothing_leaves_the_file(toy, file):
    network = fresh()
    finetune.fit(network, toy, start=str(file), **(OPTIONS | {"lr": 1e-12}))
    before = fresh(seed=7).state_dict()
    for name, each in network.state_dict().items():
        torch.testing.assert_close(each, before[name])


def test_a_file_that_is_not_there_or_does_not_fit_stops_before_training(toy, file, tmp_path):
    network, seen = fresh(), []
    with pytest.raises(FileNotFoundError, match=r"absent\.th: no such file"):
        finetune.fit(network, toy, start=str(tmp_path / "absent.th"), progress=seen.append, **OPTIONS)
    other = create(flat, classes=3, channels=1, size=6, cam_layers=["0"])
    with pytest.raises(ValueError, match=re.escape(f"{file}: has 2 classes, expected 3")):
        finetune.fit(other, toy, start=str(file), progress=seen.append, **OPTIONS)
    assert seen == [] and same(network, fresh())


def test_an_ensemble_trains_from_files(toy, file, tmp_path, monkeypatch):
    """In a process of its own, as notebooks do it: a network of the zoo from its own weights under another seed."""
    toy.save(tmp_path / "data")
    monkeypatch.setattr(jobs, "folder", lambda: tmp_path / "resume")
    name = "aecompanion.networks.cifar_resnet:resnet8"
    given = create(name, classes=2, channels=1, size=6, seed=5)
    torch.save(given.body.state_dict(), tmp_path / "resnet8.th")
    options = {"epochs": 1, "start": str(tmp_path / "resnet8.th"), "lr": 1e-12}
    runs = [ensemble.Run(name, "plain", 1, (tmp_path / "data",), options, "aecompanion.train.finetune:fit")]
    ensemble.train(runs, tmp_path / "networks", workers=1, batch=8)
    found = checkpoint.load(tmp_path / "networks" / "plain_1.safetensors")
    torch.testing.assert_close(found.body.linear.weight, given.body.linear.weight)
