import pytest
import torch
from torch.nn import functional as F

from aecompanion.networks import checkpoint
from aecompanion.networks.preact import PreActivation, plain, preact
from aecompanion.networks.zoo import create
from aecompanion.pipeline.rng import generator

FACTORIES = {"preact": preact, "plain": plain}
every_network = pytest.mark.parametrize("name", FACTORIES)
every_form = pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 28), (1, 32), (3, 32), (1, 48), (3, 48)])


def network(name, *, classes=7, channels=3, size=32, seed=0):
    return create(
        f"aecompanion.networks.preact:{name}", classes=classes, channels=channels, size=size, seed=seed
    ).eval()


@pytest.fixture
def images():
    return torch.rand(4, 3, 32, 32, generator=generator(8, 1))


def outputs(net, images) -> dict[str, torch.Tensor]:
    """What every Grad-CAM layer gives, early to late."""
    kept = {}
    hooks = [
        net.cam_layer(name).register_forward_hook(lambda module, args, output, name=name: kept.update({name: output}))
        for name in net.cam_layers
    ]
    net(images)
    for hook in hooks:
        hook.remove()
    return kept


# forms


@every_network
@every_form
@pytest.mark.parametrize("classes", [2, 10])
@torch.no_grad()
def test_there_is_a_finite_logit_for_every_class(name, channels, size, classes):
    images = torch.rand(3, channels, size, size, generator=generator(8, 2))
    logits = network(name, classes=classes, channels=channels, size=size)(images)
    assert logits.shape == (3, classes)
    assert logits.isfinite().all()
    assert len(logits.unique(dim=0)) == 3


@every_network
@torch.no_grad()
def test_a_grey_image_is_repeated_for_a_colour_network_by_the_zoo(name):
    grey = torch.rand(2, 1, 32, 32, generator=generator(8, 3))
    net = network(name)
    assert torch.equal(net(grey), net(grey.expand(-1, 3, -1, -1)))


@every_network
@torch.no_grad()
def test_the_stages_are_the_grad_cam_layers_and_the_last_one_the_default(name, images):
    net = network(name)
    assert net.cam_layers == ("stage1", "stage2", "stage3")
    assert [net.cam_layer(stage) for stage in net.cam_layers] == [net.body.stage1, net.body.stage2, net.body.stage3]
    assert net.cam_layer() is net.body.stage3
    assert torch.equal(net.body.head(outputs(net, images)["stage3"]), net(images))


@pytest.mark.parametrize(
    ("name", "size", "sides"),
    [
        ("preact", 32, [16, 8, 4]),
        ("preact", 28, [14, 7, 4]),
        ("preact", 48, [24, 12, 6]),
        ("plain", 32, [8, 8, 4]),
        ("plain", 28, [7, 7, 3]),
        ("plain", 48, [12, 12, 6]),
    ],
)
@torch.no_grad()
def test_the_maps_shrink_from_stage_to_stage(name, size, sides):
    kept = outputs(network(name, size=size), torch.rand(2, 3, size, size, generator=generator(8, 4)))
    assert [tuple(each.shape[2:]) for each in kept.values()] == [(side, side) for side in sides]


@torch.no_grad()
def test_the_blocks_have_the_widths_of_the_docstring_and_the_other_network_has_others(images):
    widths = {name: [each.shape[1] for each in outputs(network(name), images).values()] for name in FACTORIES}
    assert widths["preact"] == [16, 32, 64]
    assert not set(widths["plain"]) & set(widths["preact"])


@torch.no_grad()
def test_the_pre_activation_network_takes_any_size():
    net = network("preact", size=32)
    for size in (16, 17, 31, 64):
        assert net(torch.rand(2, 3, size, size, generator=generator(8, size))).shape == (2, 7)


@every_network
def test_the_family_is_none_of_the_papers(name):
    card = network(name).card
    assert (card["name"], card["family"]) == (f"aecompanion.networks.preact:{name}", "other")


# the block


@pytest.mark.parametrize(("inputs", "outputs", "stride"), [(4, 4, 1), (4, 6, 1), (4, 4, 2), (4, 6, 2)])
@torch.no_grad()
def test_a_block_is_the_formula_of_the_docstring(inputs, outputs, stride):
    block = PreActivation(inputs, outputs, stride)
    for index in (0, 3):  # normalisations that have learned something
        for position, values in enumerate([block.body[index].weight, block.body[index].running_var]):
            values.uniform_(0.5, 1.5, generator=generator(8, index, position))
    block.eval()
    x = torch.randn(2, inputs, 6, 6, generator=generator(8, 5))
    first, second = block.body[2], block.body[5]
    inner = F.conv2d(F.relu(block.body[0](x)), first.weight, stride=stride, padding=1)
    body = F.conv2d(F.relu(block.body[3](inner)), second.weight, padding=1)
    same = inputs == outputs and stride == 1
    shortcut = x if same else F.conv2d(x, block.shortcut.weight, stride=stride)
    assert body.shape == (2, outputs, 6 // stride, 6 // stride)
    torch.testing.assert_close(block(x), shortcut + body)


@torch.no_grad()
def test_a_block_whose_last_convolution_is_zero_is_its_shortcut():
    block = PreActivation(4, 4).eval()
    block.body[5].weight.zero_()
    x = torch.randn(2, 4, 6, 6, generator=generator(8, 6))
    assert torch.equal(block(x), x)  # also below zero: nothing is rectified after the sum


@every_network
def test_only_the_pre_activation_network_has_shortcuts(name):
    blocks = [module for module in network(name).modules() if isinstance(module, PreActivation)]
    assert len(blocks) == {"preact": 3, "plain": 0}[name]


# behaviour


@every_network
@torch.no_grad()
def test_an_image_does_not_see_the_others_of_its_batch(name, images):
    net = network(name)
    net.train()(images)  # so that the running statistics are not the initial ones
    net.eval()
    alone = torch.cat([net(image[None]) for image in images])
    torch.testing.assert_close(alone, net(images), rtol=1e-4, atol=1e-5)


@every_network
@torch.no_grad()
def test_the_initial_weights_depend_on_the_seed_only(name, images):
    state = torch.get_rng_state()
    first, second, other = (network(name, seed=seed)(images) for seed in (3, 3, 4))
    assert torch.equal(first, second)
    assert not torch.allclose(first, other)
    assert torch.equal(torch.get_rng_state(), state)


@every_network
def test_every_parameter_takes_part_in_training(name, images):
    net = network(name).train()
    net(images).square().sum().backward()
    assert [key for key, parameter in net.named_parameters() if not parameter.grad.any()] == []


@every_network
def test_the_image_has_a_gradient_everywhere(name, images):
    variable = images.requires_grad_()
    network(name)(variable).square().sum().backward()
    assert variable.grad.isfinite().all()
    assert (variable.grad != 0).float().mean() > 0.9


@every_network
def test_a_few_steps_fit_a_tiny_batch_of_two_classes(name):
    labels = torch.tensor([0, 1] * 8)
    images = 0.4 * torch.rand(16, 3, 32, 32, generator=generator(8, 7))
    images[labels == 1, :, 8:20, 8:20] += 0.5
    net, losses = network(name, classes=2).train(), []
    optimiser = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(8):
        loss = F.cross_entropy(net(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


@every_network
@torch.no_grad()
def test_a_checkpoint_gives_the_same_logits_and_card(name, tmp_path, images):
    net = network(name, seed=5).to(memory_format=torch.channels_last)
    net.train()(images)
    net.eval()
    checkpoint.save(net, tmp_path / "a.safetensors", accuracy={"test": 0.5})
    loaded = checkpoint.load(tmp_path / "a.safetensors")
    assert torch.equal(loaded(images), net(images))
    assert loaded.card == net.card


def test_a_checkpoint_of_the_other_network_is_refused(tmp_path):
    checkpoint.save(network("plain"), tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=r"^a\.safetensors: weights do not fit aecompanion\.networks\.preact:plain \("):
        checkpoint.load(tmp_path / "a.safetensors", source="aecompanion.networks.preact:preact")
