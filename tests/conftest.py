import itertools
from collections import OrderedDict

import pytest
import torch
from torch import nn

from aecompanion.pipeline.rng import generator, seeded

CLASSES = 3

pytest_plugins = ["benched", "masked", "photographed", "randomised", "rowed"]  # fixtures of several modules, by the study


@pytest.fixture
def linear():
    with seeded(1, 1):
        model = nn.Sequential(nn.Flatten(), nn.Linear(2 * 8 * 8, CLASSES))
    model.card = {"multi_label": False}
    return model


@pytest.fixture
def convolutional():
    """Seven named layers; the batch normalisation has learned something, so evaluation differs from training mode."""
    with seeded(1, 2):
        layers = OrderedDict(
            conv1=nn.Conv2d(2, 4, 3, padding=1),
            norm=nn.BatchNorm2d(4),
            relu=nn.ReLU(),
            conv2=nn.Conv2d(4, 5, 3, stride=2),
            flatten=nn.Flatten(),
            dropout=nn.Dropout(0.5),
            fc=nn.Linear(5 * 3 * 3, CLASSES),
        )
        for values in (layers["norm"].weight, layers["norm"].bias, layers["norm"].running_var):
            values.data.uniform_(0.5, 1.5)
        model = nn.Sequential(layers).eval()
    model.card = {"multi_label": False}
    return model


@pytest.fixture(params=["linear", "convolutional"])
def network(request):
    return request.getfixturevalue(request.param).eval()


@pytest.fixture
def images():
    return torch.rand(5, 2, 8, 8, generator=generator(1, 3))


@pytest.fixture
def labels():
    return torch.tensor([0, 1, 2, 0, 1])


@pytest.fixture
def fail_on_call():
    """Make a network raise RuntimeError on its n-th forward pass."""

    def install(model, n):
        calls = itertools.count(1)

        def hook(module, args):
            if next(calls) == n:
                raise RuntimeError(f"call {n}")

        model.register_forward_pre_hook(hook)
        return model

    return install


@pytest.fixture
def condition():
    """What borrowing a network must not change: modes, requires_grad, absence of .grad, every kind of hook."""

    def of(model):
        modules = {
            name: (module.training, {key: list(value) for key, value in vars(module).items() if key.endswith("_hooks")})
            for name, module in model.named_modules()
        }
        parameters = {name: (p.requires_grad, p.grad is None) for name, p in model.named_parameters()}
        return modules, parameters

    return of
