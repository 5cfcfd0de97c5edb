import pytest
import torch

from aecompanion.networks import zoo


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty cache of torch.hub below TORCH_HOME, no way to fill it, and a copy of what the zoo knows."""

    def offline(*args, **options):
        raise OSError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setattr(torch.hub, "urlopen", offline)
    monkeypatch.setattr(zoo, "FULL_SIZE", dict(zoo.FULL_SIZE))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder
