import pytest
import torch

from aecompanion.explain.portions import per_pass


@pytest.mark.parametrize(("size", "expected"), [((28, 28), 83), ((64, 64), 16), ((224, 224), 4), ((32, 128), 16)])
def test_many_small_images_and_few_large_ones(size, expected):
    assert per_pass(torch.empty(2, 3, *size), torch.device("cpu")) == expected
    assert per_pass(torch.empty(2, 3, *size), torch.device("cuda")) == 64
