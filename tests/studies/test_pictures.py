import numpy as np
import pytest
import torch

from aecompanion.studies import pictures


def test_arrays_keep_their_type_and_values_and_facts_their_digits(tmp_path):
    arrays = {
        "maps:Grad-CAM": torch.tensor([0.1, -0.0, torch.inf, torch.nan]),
        "maps:RP": torch.rand(2, 1, 3, 3, dtype=torch.float64),
        "on": torch.tensor([True, False]),
    }
    facts = {"box": [1, 2, 3, 4], "share": 0.1 + 0.2, "class": "“3”", "missing": None}
    pictures.save(tmp_path / "new" / "shown", arrays, facts)
    found, known = pictures.load(tmp_path / "new" / "shown")
    assert list(found) == list(arrays) and known == facts
    for name, values in arrays.items():
        assert found[name].dtype == values.dtype
        assert found[name].numpy().tobytes() == values.numpy().tobytes()


def test_nothing_is_pickled(tmp_path):
    pictures.save(tmp_path / "shown", {"a": torch.zeros(2)}, {})
    with np.load(tmp_path / "shown" / "arrays.npz", allow_pickle=False) as arrays:
        assert arrays["a"].dtype == np.float32


def test_a_folder_of_something_else_is_one_sentence(tmp_path):
    with pytest.raises(
        FileNotFoundError, match="arrays.npz: no such file, expected a folder that aecompanion.studies.pict"
    ):
        pictures.load(tmp_path)
