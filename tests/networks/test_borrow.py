import pytest
import torch
from torch import nn

from aecompanion.attack.gradient import gradient_signs
from aecompanion.networks.borrow import borrowed, device_of, plain


def test_the_model_is_in_evaluation_mode_and_frozen_inside(convolutional):
    convolutional.train()
    with borrowed(convolutional) as model:
        assert model is convolutional
        assert not any(module.training for module in model.modules())
        assert not any(parameter.requires_grad for parameter in model.parameters())


def test_gradients_with_respect_to_the_input_still_flow(convolutional, images):
    images.requires_grad_()
    with borrowed(convolutional):
        convolutional(images).sum().backward()
    assert images.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in convolutional.parameters())


@pytest.mark.parametrize("training", [True, False])
def test_a_submodule_whose_mode_differs_from_the_models_keeps_it(convolutional, training):
    convolutional.train(training)
    convolutional.norm.train(not training)
    modes = [module.training for module in convolutional.modules()]
    with borrowed(convolutional):
        pass
    assert [module.training for module in convolutional.modules()] == modes


def test_requires_grad_of_each_parameter_is_restored(convolutional):
    convolutional.conv1.weight.requires_grad_(False)
    with borrowed(convolutional):
        pass
    frozen = [name for name, parameter in convolutional.named_parameters() if not parameter.requires_grad]
    assert frozen == ["conv1.weight"]


@pytest.mark.parametrize(
    "register",
    [
        "register_forward_hook",
        "register_forward_pre_hook",
        "register_full_backward_hook",
        "register_full_backward_pre_hook",
    ],
)
@pytest.mark.parametrize("layer", ["", "conv1"])
def test_a_hook_added_inside_is_removed_and_an_older_one_kept(convolutional, condition, register, layer):
    add = getattr(convolutional.get_submodule(layer), register)
    add(lambda *_: None)
    before = condition(convolutional)
    with borrowed(convolutional):
        add(lambda *_: None)
    assert condition(convolutional) == before


def test_everything_is_restored_after_an_exception(convolutional, condition):
    convolutional.train()
    convolutional.norm.eval()
    convolutional.fc.bias.requires_grad_(False)
    before = condition(convolutional)
    with pytest.raises(KeyError), borrowed(convolutional):
        convolutional.conv1.register_forward_hook(lambda *_: None)
        raise KeyError
    assert condition(convolutional) == before


def test_borrowing_twice_restores_the_outermost_condition(convolutional, condition):
    convolutional.train()
    before = condition(convolutional)
    with borrowed(convolutional), borrowed(convolutional):
        pass
    assert condition(convolutional) == before


def test_device_of_takes_the_first_parameter_then_a_buffer_then_the_cpu():
    buffered = nn.Module()
    buffered.register_buffer("mean", torch.zeros(1, device="meta"))
    assert device_of(nn.Linear(1, 1, device="meta")).type == "meta"
    assert device_of(buffered).type == "meta"
    assert device_of(nn.ReLU()).type == "cpu"


def test_a_compiled_network_is_what_it_was_made_of_and_any_other_itself(convolutional):
    assert plain(torch.compile(convolutional, backend="eager")) is convolutional
    assert plain(convolutional) is convolutional


@pytest.mark.parametrize("grad", [False, True])
def test_attacks_on_a_compiled_network_are_those_on_the_network(convolutional, images, labels, grad):
    convolutional.requires_grad_(False)
    compiled = torch.compile(convolutional, backend="eager")
    with torch.set_grad_enabled(grad):
        compiled(images)
    expected = gradient_signs(convolutional, images, labels)
    assert torch.equal(gradient_signs(compiled, images, labels), expected)
