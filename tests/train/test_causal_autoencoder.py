import copy
import functools
import json
from collections import OrderedDict

import pytest
import torch
from sklearn.decomposition import PCA
from torch import nn
from torch.distributions import Bernoulli, Categorical, kl_divergence

from aecompanion.networks.borrow import borrowed
from aecompanion.networks.layers import layer_of
from aecompanion.networks.zoo import create
from aecompanion.pipeline.rng import generator, seeded
from aecompanion.train import causal_autoencoder, fidelity
from aecompanion.train.causal_autoencoder import (
    CausalAutoencoder,
    activations_of,
    chain,
    cut,
    divergence,
    load,
    logits_and_shape,
    save,
    start_at_components,
    total_variation,
)
from aecompanion.train.fidelity import GATE, Fidelity

# the networks here have no card
fidelity = functools.partial(fidelity.fidelity, multi_label=False)
fit_autoencoder = functools.partial(causal_autoencoder.fit_autoencoder, multi_label=False)
SMALL = {"encoder": (4, 3), "decoder": (4,), "batch": 16, "epochs": 2}


def bottleneck(encode, decode, bias=None):
    """One 1×1 convolution each way with the given matrices K×C and C×K, biases zero but for the last."""
    encode, decode = torch.as_tensor(encode), torch.as_tensor(decode)
    autoencoder = CausalAutoencoder(encode.shape[1], encoder=(len(encode),), decoder=(), kernel=1)
    autoencoder.encode[0].weight.data = encode[..., None, None].clone()
    autoencoder.decode[0].weight.data = decode[..., None, None].clone()
    autoencoder.encode[0].bias.data.zero_()
    autoencoder.decode[0].bias.data = torch.zeros(len(decode)) if bias is None else torch.tensor(bias)
    return autoencoder


def weights_of(module):
    return {name: values.clone() for name, values in module.state_dict().items()}


def same_weights(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.fixture
def two_channels():
    """Logit k is the mean of channel k of a two-channel image, minus a half; the layer to cut is the image itself."""
    layers = OrderedDict(
        features=nn.Identity(), pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), head=nn.Linear(2, 2)
    )
    model = nn.Sequential(layers)
    model.head.weight.data = torch.eye(2)
    model.head.bias.data = torch.full((2,), -0.5)
    model.card = {"multi_label": False}
    return model


@pytest.fixture
def many():
    return torch.rand(64, 2, 8, 8, generator=generator(1, 4))


@pytest.fixture
def plane():
    """Activations 7×5×4×3 in float64 that lie in a three-dimensional plane away from the origin."""
    basis, mean = torch.randn(3, 5, generator=generator(1, 5)).double(), torch.tensor([1.0, -2, 3, 0.5, 0]).double()
    coordinates = torch.randn(7, 4, 3, 3, generator=generator(1, 6)).double() * torch.tensor([3.0, 2, 1])
    return (coordinates @ basis + mean).movedim(-1, 1)


@pytest.fixture
def full_rank():
    """Activations 6×5×4×3 in float64 whose five variances differ clearly."""
    points = torch.randn(6, 4, 3, 5, generator=generator(1, 7)).double() * torch.tensor([5.0, 4, 3, 2, 1])
    mixing = torch.linalg.qr(torch.randn(5, 5, generator=generator(1, 8)).double()).Q
    return (points @ mixing + 2).movedim(-1, 1)


def points_of(activations):
    return activations.movedim(1, -1).flatten(0, -2).numpy()


def started(activations, *, encoder, decoder=(), kernel=3, noise=0.0, seed=1):
    with seeded(seed):
        autoencoder = CausalAutoencoder(activations.shape[1], encoder=encoder, decoder=decoder, kernel=kernel)
    autoencoder = autoencoder.to(activations.dtype)
    start_at_components(autoencoder, activations, noise=noise)
    return autoencoder.requires_grad_(False)


# ---- the module


def test_the_chain_has_the_widths_asked_for_and_keeps_the_size():
    layers = chain([5, 7, 2], 3)
    assert [(layer.in_channels, layer.out_channels, layer.kernel_size) for layer in layers] == [
        (5, 7, (3, 3)),
        (7, 2, (3, 3)),
    ]
    assert layers(torch.zeros(2, 5, 6, 4)).shape == (2, 2, 6, 4)


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize(("encoder", "decoder"), [((32, 16), (32,)), ((3,), ()), ((6, 5, 2), (3, 4))])
def test_the_autoencoder_goes_from_c_to_k_and_back_without_a_non_linearity(encoder, decoder, kernel):
    autoencoder = CausalAutoencoder(9, encoder=encoder, decoder=decoder, kernel=kernel)
    assert [layer.in_channels for layer in autoencoder.encode] == [9, *encoder[:-1]]
    assert [layer.out_channels for layer in autoencoder.decode] == [*decoder, 9]
    assert autoencoder.units == encoder[-1]
    assert all(isinstance(layer, nn.Conv2d) for layer in (*autoencoder.encode, *autoencoder.decode))
    activations = torch.rand(2, 9, 5, 4, generator=generator(1, 9))
    code = autoencoder.encode(activations)
    assert code.shape == (2, encoder[-1], 5, 4)
    assert torch.equal(autoencoder(activations), autoencoder.decode(code))
    assert autoencoder(activations).shape == activations.shape


@pytest.mark.parametrize("options", [{"kernel": 2}, {"encoder": ()}])
def test_an_even_kernel_or_an_empty_encoder_is_an_error(options):
    with pytest.raises(ValueError, match="expected an odd kernel and at least one width"):
        CausalAutoencoder(4, **options)


# ---- the losses


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_the_divergence_of_one_label_is_that_between_categorical_distributions(scale):
    logits, reference = scale * torch.randn(2, 6, 4, generator=generator(1, 10)).double()
    expected = kl_divergence(Categorical(logits=reference), Categorical(logits=logits))
    assert torch.allclose(divergence(logits, reference, multi_label=False), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("scale", [1.0, 8.0])
def test_the_divergence_of_several_labels_is_the_sum_over_bernoulli_distributions(scale):
    logits, reference = scale * torch.randn(2, 6, 4, generator=generator(1, 11)).double()
    expected = kl_divergence(Bernoulli(logits=reference), Bernoulli(logits=logits)).sum(1)
    assert torch.allclose(divergence(logits, reference, multi_label=True), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("multi_label", [False, True])
def test_the_divergence_is_zero_for_equal_logits_and_finite_for_extreme_ones(multi_label):
    logits = torch.tensor([[0.0, 1.0], [200.0, -200.0], [-3.0, -3.0]])
    assert divergence(logits, logits, multi_label=multi_label).tolist() == [0.0, 0.0, 0.0]
    apart = divergence(-logits, logits, multi_label=multi_label)
    assert apart.isfinite().all()
    assert apart[1] > 100


def test_the_divergence_weights_by_the_reference_not_by_the_logits():
    certain, even = torch.tensor([[0.0, -1000.0]]), torch.zeros(1, 2)
    assert divergence(even, certain, multi_label=False).item() == pytest.approx(torch.tensor(2.0).log().item())
    assert divergence(certain, even, multi_label=False).item() > 100


def test_the_total_variation_of_a_2_by_2_code_is_the_one_on_paper():
    code = torch.tensor([[0.0, 1.0], [3.0, 7.0]]).reshape(1, 1, 2, 2)  # down: 3 and 6; to the right: 1 and 4
    assert total_variation(code).item() == 4.5 + 2.5


def test_the_total_variation_is_a_mean_over_images_and_channels():
    code = torch.tensor([[0.0, 1.0], [3.0, 7.0]]).reshape(1, 1, 2, 2)
    assert total_variation(code.repeat(3, 5, 1, 1)).item() == 7.0
    assert total_variation(torch.cat([code, torch.full_like(code, 9)])).item() == 3.5
    assert total_variation(torch.full((2, 3, 4, 5), 0.7)).item() == 0.0


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 3), (3, 1)])
def test_the_total_variation_of_a_map_without_neighbours_is_finite(height, width):
    assert total_variation(torch.zeros(2, 3, height, width)).isfinite()


# ---- the start


@pytest.mark.parametrize(("encoder", "decoder"), [((3,), ()), ((4, 3), (4,)), ((32, 16), (32,)), ((5, 7), (3,))])
@pytest.mark.parametrize("kernel", [1, 3])
def test_as_many_components_as_the_rank_restore_the_activations_exactly(plane, encoder, decoder, kernel):
    autoencoder = started(plane, encoder=encoder, decoder=decoder, kernel=kernel)
    assert torch.allclose(autoencoder(plane), plane, rtol=0, atol=1e-10)


@pytest.mark.parametrize("units", [1, 2, 3, 4])
@pytest.mark.parametrize("hidden", [False, True])
def test_fewer_components_leave_the_residual_of_the_principal_component_analysis(full_rank, units, hidden):
    wide = {"encoder": (5, units), "decoder": (5,)} if hidden else {"encoder": (units,)}
    autoencoder = started(full_rank, **wide)
    points = points_of(full_rank)
    pca = PCA(units).fit(points)
    restored = points_of(autoencoder(full_rank))
    assert abs(restored - pca.inverse_transform(pca.transform(points))).max() < 1e-10
    residual = (full_rank - autoencoder(full_rank)).square().sum(1).mean().item()
    assert residual == pytest.approx(PCA(5).fit(points).explained_variance_[units:].sum() * (1 - 1 / len(points)))


def test_the_narrowest_width_limits_the_components(full_rank):
    narrow = started(full_rank, encoder=(2, 4), decoder=(4,))(full_rank)
    assert torch.allclose(narrow, started(full_rank, encoder=(2,))(full_rank), rtol=0, atol=1e-12)


def test_the_code_is_zero_on_average_and_its_variances_are_those_of_the_components(full_rank):
    code = started(full_rank, encoder=(5, 4), decoder=(5,)).encode(full_rank)
    assert code.mean((0, 2, 3)).abs().max() < 1e-12
    variances = PCA(4).fit(points_of(full_rank)).explained_variance_
    assert code.var((0, 2, 3)).tolist() == pytest.approx(variances.tolist())


def test_channels_beyond_the_rank_of_the_space_stay_at_zero(full_rank):
    code = started(full_rank, encoder=(8,)).encode(full_rank)
    assert torch.equal(code[:, 5:], torch.zeros_like(code[:, 5:]))


def test_the_largest_entry_of_every_component_is_positive(full_rank):
    found = started(full_rank, encoder=(5,)).encode[0].weight[:, :, 1, 1]
    assert (found.gather(1, found.abs().argmax(1, keepdim=True)) > 0).all()
    components = torch.as_tensor(PCA(5).fit(points_of(full_rank)).components_)
    assert torch.allclose((found * components).sum(1).abs(), torch.ones(5).double(), rtol=0, atol=1e-10)
    again = started(full_rank.flip(0), encoder=(5,)).encode[0].weight[:, :, 1, 1]  # sums in another order
    assert torch.allclose(again, found, rtol=0, atol=1e-10)


def test_the_noise_is_that_share_of_the_weights_that_were_there(full_rank):
    options = {"encoder": (4, 3), "decoder": (4,), "seed": 2}
    with seeded(options["seed"]):
        before = CausalAutoencoder(5, encoder=(4, 3), decoder=(4,)).double()
    exact, noisy = started(full_rank, **options), started(full_rank, **options, noise=0.25)
    for name, weights in noisy.state_dict().items():
        there = 0.25 * before.state_dict()[name] if name.endswith("weight") else 0.0
        assert torch.allclose(weights, exact.state_dict()[name] + there, rtol=0, atol=1e-12)


# ---- training


def test_the_history_has_one_row_per_epoch_and_every_error_falls(convolutional, many):
    _, history = fit_autoencoder(convolutional, many, layer="conv2", encoder=(4,), decoder=(), batch=16, epochs=6)
    assert list(history.columns) == ["epoch", "loss", "shallow", "deep", "interpretability"]
    assert history.epoch.tolist() == [1, 2, 3, 4, 5, 6]
    assert history.isna().sum().sum() == 0
    for error in ("loss", "shallow", "deep"):
        assert history[error].iloc[-1] < 0.9 * history[error].iloc[0]


def test_the_loss_is_the_weighted_sum_of_the_terms(convolutional, many):
    weights = {"shallow": 0.5, "deep": 7.0, "interpretability": 2.0}
    _, history = fit_autoencoder(convolutional, many, layer="norm", **SMALL, **weights)
    expected = sum(weight * history[name] for name, weight in weights.items())
    assert history.loss.tolist() == pytest.approx(expected.tolist(), rel=1e-5)


@pytest.mark.parametrize("multi_label", [False, True])
def test_without_a_step_the_history_is_that_of_the_start(convolutional, many, multi_label):
    convolutional.card = {"multi_label": multi_label}
    options = SMALL | {"lr": 0.0, "seed": 3}
    fitted, history = causal_autoencoder.fit_autoencoder(convolutional, many, layer="conv1", **options)
    activations = activations_of(convolutional, many, layer="conv1")
    with seeded(3):
        start = CausalAutoencoder(4, encoder=(4, 3), decoder=(4,))
    start_at_components(start, activations)
    assert same_weights(weights_of(fitted), weights_of(start))
    with torch.no_grad():
        with cut(convolutional, "conv1", start):
            through = convolutional(many)
        deep = divergence(through, convolutional(many), multi_label=multi_label).mean().item()
        shallow = (start(activations) - activations).abs().mean().item()
        variation = total_variation(start.encode(activations)).item()
    assert history.deep.tolist() == pytest.approx([deep] * 2, rel=1e-4)
    assert history.shallow.tolist() == pytest.approx([shallow] * 2, rel=1e-4)
    assert history.interpretability.tolist() == pytest.approx([variation] * 2, rel=1e-4)


def test_a_heavier_weight_makes_its_term_smaller(convolutional, many):
    _, light = fit_autoencoder(convolutional, many, layer="conv1", **SMALL | {"epochs": 6}, interpretability=0.0)
    _, heavy = fit_autoencoder(convolutional, many, layer="conv1", **SMALL | {"epochs": 6}, interpretability=5.0)
    assert heavy.interpretability.iloc[-1] < light.interpretability.iloc[-1]
    assert heavy.shallow.iloc[-1] > light.shallow.iloc[-1]


def test_the_fitted_autoencoder_is_in_evaluation_mode_frozen_and_faithful(convolutional, many):
    options = {"encoder": (4,), "decoder": (), "batch": 8, "epochs": 8}
    autoencoder, _ = fit_autoencoder(convolutional, many, layer="conv1", **options)
    assert not autoencoder.training
    assert not any(parameter.requires_grad for parameter in autoencoder.parameters())
    assert fidelity(convolutional, many, layer="conv1", autoencoder=autoencoder).passes


@pytest.mark.parametrize("training", [False, True])
def test_the_network_is_untouched(convolutional, many, condition, training):
    convolutional.train(training)
    convolutional.conv1.requires_grad_(False)
    before, weights = condition(convolutional), weights_of(convolutional)
    fit_autoencoder(convolutional, many, layer="norm", **SMALL)
    assert condition(convolutional) == before
    assert same_weights(weights_of(convolutional), weights)


def test_a_network_in_training_mode_is_studied_in_evaluation_mode(convolutional, many):
    expected = fit_autoencoder(convolutional.eval(), many, layer="conv2", **SMALL)
    found = fit_autoencoder(convolutional.train(), many, layer="conv2", **SMALL)
    assert same_weights(weights_of(found[0]), weights_of(expected[0]))
    assert found[1].equals(expected[1])


@pytest.mark.parametrize("where", ["conv1", "fc"])  # before and after the layer that is cut
@pytest.mark.parametrize("call", [1, 2, 3, 5])  # the reference, the components, the first and the third step
def test_the_network_is_untouched_when_it_raises(convolutional, many, condition, fail_on_call, where, call):
    fail_on_call(convolutional.train().get_submodule(where), call)
    before, weights = condition(convolutional), weights_of(convolutional)
    with pytest.raises(RuntimeError, match=f"call {call}"):
        fit_autoencoder(convolutional, many, layer="norm", **SMALL)
    assert condition(convolutional) == before
    assert same_weights(weights_of(convolutional), weights)


def test_the_network_is_untouched_when_the_user_interrupts_between_epochs(convolutional, many, condition):
    def interrupted(epochs):
        yield next(iter(epochs))
        raise KeyboardInterrupt

    before = condition(convolutional.train())
    with pytest.raises(KeyboardInterrupt):
        fit_autoencoder(convolutional, many, layer="norm", **SMALL, progress=interrupted)
    assert condition(convolutional) == before


def test_the_same_seed_gives_the_same_autoencoder_and_another_seed_another(convolutional, many):
    fits = [fit_autoencoder(convolutional, many, layer="conv1", **SMALL, seed=seed) for seed in (3, 3, 4)]
    weights = [weights_of(autoencoder) for autoencoder, _ in fits]
    assert same_weights(weights[0], weights[1])
    assert fits[0][1].equals(fits[1][1])
    assert not same_weights(weights[0], weights[2])


def test_every_epoch_and_every_seed_has_an_order_of_its_own_without_repeats(convolutional, many):
    passed = []
    convolutional.register_forward_pre_hook(lambda module, args: passed.append(args[0][:, 0, 0, 0]))
    for seed in (3, 4):
        fit_autoencoder(convolutional, many, layer="conv1", **SMALL, seed=seed)
    once, firsts = many[:, 0, 0, 0].sort().values, torch.cat(passed).reshape(2, 4, 64)  # 2 seeds; 2 preparing passes
    orders = firsts[:, 2:].flatten(0, 1)
    assert torch.equal(orders.sort(1).values, once.expand(4, -1))
    assert len(orders.unique(dim=0)) == 4


def test_training_neither_reads_nor_moves_the_global_generator(convolutional, many):
    torch.manual_seed(11)
    first, _ = fit_autoencoder(convolutional, many, layer="conv1", **SMALL)
    state = torch.get_rng_state()
    torch.manual_seed(12)
    second, _ = fit_autoencoder(convolutional, many, layer="conv1", **SMALL)
    assert same_weights(weights_of(first), weights_of(second))
    torch.manual_seed(11)
    assert torch.equal(torch.get_rng_state(), state)


def test_training_works_under_no_grad_and_leaves_the_images_alone(convolutional, many):
    original, expected = many.clone(), fit_autoencoder(convolutional, many, layer="conv1", **SMALL)[0]
    with torch.no_grad():
        found, _ = fit_autoencoder(convolutional, many, layer="conv1", **SMALL)
    assert same_weights(weights_of(found), weights_of(expected))
    assert torch.equal(many, original)


def test_a_layer_may_be_followed_by_one_that_works_in_place(convolutional, many):
    convolutional.norm.bias.data -= 1
    expected, history = fit_autoencoder(convolutional, many, layer="norm", **SMALL)
    convolutional.relu.inplace = True
    found, again = fit_autoencoder(convolutional, many, layer="norm", **SMALL)
    assert same_weights(weights_of(found), weights_of(expected))
    assert again.equals(history)


def test_progress_is_told_of_every_epoch(convolutional, many):
    seen = []

    def progress(epochs):
        for epoch in epochs:
            seen.append(epoch)
            yield epoch

    fit_autoencoder(convolutional, many, layer="conv1", **SMALL | {"epochs": 3}, progress=progress)
    assert seen == [0, 1, 2]


def test_images_beyond_the_last_full_batch_are_left_for_another_epoch(convolutional, many):
    passed = []
    convolutional.register_forward_pre_hook(lambda module, args: passed.append(len(args[0])))
    fit_autoencoder(convolutional, many[:39], layer="conv1", **SMALL)
    assert passed == [39, 39, 16, 16, 16, 16]


def test_an_unknown_layer_is_an_error_that_names_it(convolutional, many, condition):
    before = condition(convolutional)
    with pytest.raises(ValueError, match="layer 'conv9' does not exist in Sequential, its parts are: conv1, norm"):
        fit_autoencoder(convolutional, many, layer="conv9", **SMALL)
    assert condition(convolutional) == before


@pytest.mark.parametrize("layer", ["flatten", "fc"])
def test_a_layer_without_spatial_extent_is_an_error(convolutional, many, layer):
    with pytest.raises(ValueError, match=rf"layer '{layer}' returns \(\d+, \d+\), expected N×C×h×w"):
        fit_autoencoder(convolutional, many, layer=layer, **SMALL)


def test_a_layer_that_does_not_run_is_an_error(convolutional, many):
    with pytest.raises(ValueError, match="runs 0 times in 1 forward pass"):
        fit_autoencoder(convolutional, many, layer=nn.ReLU(), **SMALL)


def test_a_layer_that_returns_a_tuple_is_an_error():
    class Recurrent(nn.Module):
        card = {"multi_label": False}

        def __init__(self):
            super().__init__()
            self.cells = nn.GRU(4, 3, batch_first=True)

        def forward(self, images):
            return self.cells(images.flatten(1, 2))[0][:, -1]

    with pytest.raises(ValueError, match="cells"):
        fit_autoencoder(Recurrent(), torch.zeros(16, 1, 4, 4), layer="cells", **SMALL)


def test_a_float64_network_gets_a_float64_autoencoder(convolutional, many):
    autoencoder, _ = fit_autoencoder(convolutional.double(), many.double(), layer="conv1", **SMALL)
    assert autoencoder.encode[0].weight.dtype == torch.float64


def test_fewer_images_than_a_batch_are_an_error(convolutional, many):
    with pytest.raises(ValueError, match="15 images for a batch of 16"):
        fit_autoencoder(convolutional, many[:15], layer="conv1", **SMALL)


# ---- cutting a network open


def test_inside_the_block_the_layer_returns_the_replacement(convolutional, images):
    expected = convolutional.fc(torch.zeros(5, 45))
    with cut(convolutional, "relu", lambda activations: torch.zeros_like(activations)):
        zeroed = convolutional(images)
    with cut(convolutional, "flatten", lambda activations: torch.zeros_like(activations)):
        assert torch.equal(convolutional(images), expected)
    bias = convolutional.conv2.bias[:, None].expand(5, 9).flatten()
    assert torch.allclose(zeroed, convolutional.fc(bias).expand(5, -1), rtol=0, atol=1e-6)


def test_a_cut_is_closed_again_also_after_an_exception(convolutional, images, condition):
    expected, before = convolutional(images), condition(convolutional)
    with cut(convolutional, "relu", torch.zeros_like):
        assert not torch.equal(convolutional(images), expected)
    assert condition(convolutional) == before
    with pytest.raises(ZeroDivisionError), cut(convolutional, "relu", lambda activations: 1 / 0):
        convolutional(images)
    assert condition(convolutional) == before
    assert torch.equal(convolutional(images), expected)


def test_a_layer_is_found_by_name_or_is_the_module_itself(convolutional):
    assert layer_of(convolutional, "conv2") is convolutional.conv2
    assert layer_of(convolutional, convolutional.conv2) is convolutional.conv2
    nested = nn.Sequential(OrderedDict(first=convolutional))
    assert layer_of(nested, "first.conv2") is convolutional.conv2


def test_a_layer_of_a_network_is_also_found_inside_its_body():
    network = create("compact/digits", classes=10, channels=1, size=28)
    assert layer_of(network, "stage1") is network.body.stage1
    assert layer_of(network, "stage1.0") is network.body.stage1[0]
    assert layer_of(network, "body.stage1") is network.body.stage1
    with pytest.raises(ValueError, match="layer 'stage3' does not exist in Network, its parts are: stem, stage1, sta"):
        layer_of(network, "stage3")


def test_without_a_card_the_outputs_form_must_be_told(two_channels, many):
    del two_channels.card
    told = "has no card that says whether its outputs are sigmoids or a softmax"
    with pytest.raises(ValueError, match=told):
        causal_autoencoder.fit_autoencoder(two_channels, many, layer="features")
    options = {"layer": "features", "autoencoder": bottleneck(torch.eye(2), torch.eye(2))}
    with pytest.raises(ValueError, match=told):
        fidelity.func(two_channels, many, **options)


@pytest.mark.parametrize("batch", [1, 2, 128])
def test_activations_are_what_the_layer_returns_in_evaluation_mode(convolutional, images, condition, batch):
    convolutional, images = convolutional.double(), images.double()
    convolutional.norm.bias.data -= 1
    expected = convolutional.norm(convolutional.conv1(images)).detach()
    assert expected.min() < 0  # so that the next layer would overwrite it
    convolutional.relu.inplace = True
    before = condition(convolutional.train())
    found = activations_of(convolutional, images, layer="norm", batch=batch)
    assert torch.allclose(found, expected, rtol=0, atol=1e-12)
    assert not found.requires_grad
    assert condition(convolutional) == before


@pytest.mark.parametrize("batch", [2, 128])
def test_logits_and_shape_are_those_of_the_uncut_network(convolutional, images, condition, batch):
    convolutional, images = convolutional.double(), images.double()
    before = condition(convolutional)
    logits, shape = logits_and_shape(convolutional, images, layer="conv2", batch=batch)
    assert torch.allclose(logits, convolutional(images), rtol=0, atol=1e-12)
    assert shape == (min(batch, 5), 5, 3, 3)
    assert not logits.requires_grad
    assert condition(convolutional) == before


# ---- fidelity


def constant(*pairs):
    """Images N×2×4×4 whose two channels are constant."""
    return torch.tensor(pairs)[..., None, None].expand(-1, -1, 4, 4).clone()


def test_an_identity_bottleneck_is_faithful_without_error(two_channels, many):
    for multi_label in (False, True):
        options = {"layer": "features", "autoencoder": bottleneck(torch.eye(2), torch.eye(2))}
        assert fidelity(two_channels, many, **options, multi_label=multi_label) == Fidelity(1.0, 1.0, 0.0)


def test_a_bottleneck_that_swaps_the_channels_flips_every_decision(two_channels):
    images = constant([0.75, 0.25], [0.25, 0.5], [1.0, 0.0])
    found = fidelity(two_channels, images, layer="features", autoencoder=bottleneck(torch.eye(2), torch.eye(2).flip(0)))
    assert found == Fidelity(0.0, 0.0, pytest.approx((0.5 + 0.25 + 1) / (0.5 + 0.375 + 0.5)))


@pytest.mark.parametrize(("multi_label", "decisions", "images"), [(False, 0.75, 0.75), (True, 0.875, 0.75)])
def test_decisions_and_images_are_counted_on_a_known_case(two_channels, multi_label, decisions, images):
    """Channel 0 becomes 3/4 everywhere: one image changes its class (class 1 to class 0), one label of another is new.

    Thresholds of the labels are at 1/2; the class of the last image flips, and so does its label 0.
    """
    autoencoder = bottleneck(torch.eye(2), torch.diag(torch.tensor([0.0, 1.0])), bias=[0.75, 0.0])
    cases = constant([1.0, 0.25], [0.625, 0.5], [0.75, 1.0], [0.0, 0.625])
    found = fidelity(two_channels, cases, layer="features", autoencoder=autoencoder, multi_label=multi_label)
    assert (found.decisions, found.images) == (decisions, images)
    error, size = 0.25 + 0.125 + 0 + 0.75, 1.25 + 1.125 + 1.75 + 0.625
    assert found.error == pytest.approx(error / size)


def test_labels_of_one_image_count_once_per_image_and_each_per_decision(two_channels):
    nothing = bottleneck(torch.eye(2), torch.zeros(2, 2))  # no label passes the threshold any more
    cases = constant([1.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0])
    found = fidelity(two_channels, cases, layer="features", autoencoder=nothing, multi_label=True)
    assert found == Fidelity(0.5, 0.25, 1.0)


def test_fidelity_reads_several_labels_from_the_card(two_channels):
    two_channels.card = {"multi_label": True}
    nothing = bottleneck(torch.eye(2), torch.zeros(2, 2))
    options = {"layer": "features", "autoencoder": nothing}
    assert fidelity.func(two_channels, constant([1.0, 0.0]), **options).decisions == 0.5


@pytest.mark.parametrize("images", [0.0, 0.5, GATE - 1e-6, GATE, 1.0])
def test_the_gate_asks_for_the_share_of_images(images):
    assert GATE == 0.9
    assert Fidelity(decisions=1.0, images=images, error=9.0).passes == (images >= 0.9)


def test_a_share_of_exactly_the_gate_passes_also_as_measured(two_channels):
    images = constant(*[[0.75, 0.25]] * 9, [0.25, 0.5])
    zero_second = bottleneck(torch.eye(2), torch.diag(torch.tensor([1.0, 0.0])))
    found = fidelity(two_channels, images, layer="features", autoencoder=zero_second)
    assert found.images == pytest.approx(0.9)
    assert found.passes


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_the_decisions_do_not_depend_on_the_batch_size(convolutional, images, batch):
    convolutional, images = convolutional.double(), images.double()
    with seeded(1, 12):
        options = {"layer": "conv1", "autoencoder": CausalAutoencoder(4, encoder=(2,)).double(), "multi_label": True}
    expected, found = (
        fidelity(convolutional, images, **options),
        fidelity(convolutional, images, **options, batch=batch),
    )
    assert 0 < expected.decisions < 1
    assert (found.decisions, found.images) == (expected.decisions, expected.images)


@pytest.mark.parametrize("batch", [1, 2])
def test_the_error_does_not_depend_on_the_batch_size(two_channels, batch):
    images = constant([1.0, 0.5], [1.0, 1.0], [0.0, 0.5])
    zero_second = bottleneck(torch.eye(2), torch.diag(torch.tensor([1.0, 0.0])))
    options = {"layer": "features", "autoencoder": zero_second}
    assert fidelity(two_channels, images, **options).error == 0.5
    assert fidelity(two_channels, images, **options, batch=batch).error == 0.5


def test_fidelity_borrows_the_network(convolutional, images, condition, fail_on_call):
    autoencoder = CausalAutoencoder(4, encoder=(2,))
    expected = fidelity(convolutional, images, layer="norm", autoencoder=autoencoder)
    before = condition(convolutional.train())
    assert fidelity(convolutional, images, layer="norm", autoencoder=autoencoder) == expected
    assert condition(convolutional) == before
    fail_on_call(convolutional.fc, 2)
    before = condition(convolutional)
    with pytest.raises(RuntimeError, match="call 2"):
        fidelity(convolutional, images, layer="norm", autoencoder=autoencoder, batch=2)
    assert condition(convolutional) == before


@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:invalid value")
def test_fidelity_of_a_layer_that_does_not_run_is_an_error(two_channels):
    identity = bottleneck(torch.eye(2), torch.eye(2))
    with pytest.raises(ValueError, match="run"):
        fidelity(two_channels, constant([1.0, 0.0], [1.0, 0.0]), layer=nn.ReLU(), autoencoder=identity)


def test_fidelity_of_a_layer_that_runs_twice_is_an_error():
    class Twice(nn.Module):
        card = {"multi_label": False}

        def __init__(self):
            super().__init__()
            self.features = nn.Identity()

        def forward(self, images):
            return self.features(self.features(images)).mean((2, 3))

    identity = bottleneck(torch.eye(2), torch.eye(2))
    with pytest.raises(ValueError, match="features"):
        fidelity(Twice(), constant([1.0, 0.0]), layer="features", autoencoder=identity)


# ---- files


@pytest.mark.parametrize("options", [{}, {"encoder": (3,), "decoder": (), "kernel": 1}, {"encoder": (6, 5, 2)}])
def test_what_was_saved_is_loaded(tmp_path, options):
    autoencoder = CausalAutoencoder(7, **options)
    file = tmp_path / "bottleneck.safetensors"
    save(autoencoder, file, layer="stage2", fidelity=0.97)
    loaded = load(file)
    assert loaded.facts == autoencoder.facts
    assert same_weights(weights_of(loaded), weights_of(autoencoder))
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    card = json.loads(file.with_suffix(".json").read_text())
    assert card == autoencoder.facts | {"layer": "stage2", "fidelity": 0.97}


def test_a_fitted_autoencoder_has_the_same_fidelity_after_a_round_trip(convolutional, many, tmp_path):
    autoencoder, _ = fit_autoencoder(convolutional, many, layer="conv2", **SMALL)
    save(autoencoder, tmp_path / "fitted.safetensors")
    options = {"layer": "conv2"}
    expected = fidelity(convolutional, many, **options, autoencoder=autoencoder)
    assert fidelity(convolutional, many, **options, autoencoder=load(tmp_path / "fitted.safetensors")) == expected


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.safetensors")


def test_a_copy_of_the_network_gives_the_same_answer_through_the_cut(convolutional, images):
    twin, autoencoder = copy.deepcopy(convolutional), CausalAutoencoder(4, encoder=(2,))
    with borrowed(convolutional), cut(convolutional, "conv1", autoencoder), cut(twin, twin.conv1, autoencoder):
        assert torch.equal(convolutional(images), twin.eval()(images))
