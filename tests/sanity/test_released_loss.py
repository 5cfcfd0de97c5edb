import copy

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from aecompanion.pipeline.rng import generator, seeded
from aecompanion.sanity.released_loss import VARIANTS, summed_variation, train_intended, train_released
from aecompanion.train.causal_autoencoder import CausalAutoencoder, activations_of, fit_autoencoder
from aecompanion.train.fidelity import fidelity

every_variant = pytest.mark.parametrize("variant", VARIANTS)
FRONT = ["conv1", "norm", "conv2"]  # f of the convolutional network, cut after conv2


@pytest.fixture
def convolutional(convolutional):
    """With a card: nothing else says what its outputs are."""
    convolutional.card = {"multi_label": False}
    return convolutional


@pytest.fixture
def many():
    return torch.rand(18, 2, 8, 8, generator=generator(6, 1))


@pytest.fixture
def probes():
    return torch.rand(12, 2, 8, 8, generator=generator(6, 2))


@pytest.fixture
def options(probes):
    def score(model):
        with torch.no_grad():
            return model(probes).softmax(1)[:, 0].mean().item()

    return {"layer": "conv2", "widths": (4, 3), "epochs": 2, "batch": 8, "lr": 1e-2, "seed": 3, "score": score}


def changed(first, second):
    """Layers whose values differ between two states, in the order of the network."""
    return list(dict.fromkeys(key.split(".")[0] for key in first if not torch.equal(first[key], second[key])))


def states(options):
    """The states of the copy at every score, and options that record them."""
    found = []

    def score(model):
        found.append(copy.deepcopy(model.state_dict()))
        return 0.5

    return found, options | {"score": score}


def start(model, images, options):
    """The bottleneck before training, the layer's activations and the untouched logits."""
    with seeded(options["seed"]), torch.no_grad():
        autoencoder = CausalAutoencoder(5, encoder=options["widths"], decoder=options["widths"][:1])
        return autoencoder, activations_of(model, images, layer="conv2"), model(images)


# ---- the variation


def column(*values):
    return torch.tensor(values)[None, None, :, None]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (column(0.0, 1.0, 3.0), column(0.0, -1.0, -1.0), 2 / 3),  # steps 1, 2 and 1, 0
        (column(0.0, 1.0, 3.0), column(5.0, 4.0, 6.0), 0.0),  # neither level nor sign of the steps counts
        (column(0.0, 1.0), column(0.0, 0.0), 0.5),
        (column(2.0, 2.0, 2.0, 2.0), column(0.0, 4.0, 0.0, 4.0), 3.0),
        (column(1.0), column(7.0), 0.0),
    ],
)
def test_the_variation_of_a_column_is_the_one_on_paper(before, after, expected):
    assert summed_variation(before, after).item() == pytest.approx(expected)
    assert summed_variation(after, before).item() == pytest.approx(expected)


def test_the_variation_is_a_sum_over_images_channels_and_columns():
    before, after = column(0.0, 1.0, 3.0), column(0.0, -1.0, -1.0)
    for shape in ((5, 1, 1, 1), (1, 5, 1, 1), (1, 1, 1, 5)):
        assert summed_variation(before.repeat(shape), after.repeat(shape)).item() == pytest.approx(5 * 2 / 3)


def test_only_steps_down_the_image_vary():
    rows = torch.rand(2, 3, 1, 6, generator=generator(6, 3)).expand(-1, -1, 4, -1)
    assert summed_variation(rows, torch.zeros(2, 3, 4, 6)).item() == 0


def test_the_variation_equals_a_loop():
    before, after = torch.rand(2, 3, 4, 5, 6, generator=generator(6, 4)).double()
    total = sum(
        abs(abs(u[y + 1, x] - u[y, x]) - abs(v[y + 1, x] - v[y, x]))
        for n in range(3)
        for u, v in zip(before[n].numpy(), after[n].numpy(), strict=True)
        for y in range(4)
        for x in range(6)
    )
    assert summed_variation(before, after).item() == pytest.approx(total / 5, abs=1e-12)


# ---- rows


@every_variant
def test_there_is_a_row_before_training_and_one_after_every_epoch(convolutional, many, probes, options, variant):
    rows = train_released(convolutional, many, probes, variant=variant, **options)
    assert list(rows.columns) == ["epoch", "loss", "plain", "agreement", "code"]
    assert rows["epoch"].tolist() == [0, 1, 2]
    assert rows["loss"].isna().tolist() == [True, False, False]
    assert rows["agreement"].between(0, 1).all()
    assert (rows["code"] > 0).all()


@pytest.mark.parametrize("multi_label", [False, True])
@every_variant
def test_the_first_row_describes_the_untouched_network(convolutional, many, probes, options, variant, multi_label):
    convolutional.card = {"multi_label": multi_label}
    with torch.no_grad():
        convolutional.fc.bias -= convolutional(probes).mean(0)  # so that every label is decided either way
    row = train_released(convolutional, many, probes, variant=variant, **options | {"epochs": 0}).iloc[0]
    autoencoder, activations, _ = start(convolutional, probes, options)
    assert row["plain"] == options["score"](convolutional)
    assert row["agreement"] == fidelity(convolutional, probes, layer="conv2", autoencoder=autoencoder).images
    assert row["code"] == pytest.approx(autoencoder.encode(activations).abs().mean().item(), rel=1e-6)


@pytest.mark.parametrize("multi_label", [False, True])
@every_variant
def test_the_first_loss_is_the_one_of_the_formula(convolutional, many, probes, options, variant, multi_label):
    convolutional.card = {"multi_label": multi_label}
    options |= {"epochs": 1, "batch": len(many)}
    found = train_released(convolutional, many, probes, variant=variant, **options)["loss"][1]
    autoencoder, activations, logits = start(convolutional, many, options)
    with torch.no_grad():
        wide = autoencoder.encode[0](activations)
        back = autoencoder.decode[0](autoencoder.encode[1](wide))
        restored = autoencoder.decode[1](back)
        through = convolutional[4:](restored)
    variation, error = summed_variation(wide, back), (activations - restored).abs().mean()
    expected = 8 * variation + 2 * error
    if variant == "summed TV" and multi_label:
        p, q = torch.distributions.Bernoulli(logits=logits), torch.distributions.Bernoulli(logits=through)
        expected = expected + 3 * torch.distributions.kl_divergence(p, q).sum(1).mean()
    elif variant == "summed TV":
        p, q = torch.distributions.Categorical(logits=logits), torch.distributions.Categorical(logits=through)
        expected = expected + 3 * torch.distributions.kl_divergence(p, q).mean()
    assert found == pytest.approx(expected.item(), rel=1e-5)


def test_images_that_fill_no_whole_batch_are_left_out_of_the_epoch(convolutional, many, probes, options):
    seen = []

    def note(module, args):
        if torch.is_grad_enabled():
            seen.append(len(args[0]))

    convolutional.register_forward_pre_hook(note)
    train_released(convolutional, many, probes, variant="summed TV", **options)
    assert seen == [8, 8] * 2


@every_variant
def test_every_epoch_takes_all_images_in_an_order_of_its_own(convolutional, many, probes, options, variant):
    seen = []

    def note(module, args):
        if torch.is_grad_enabled():
            seen.extend(args[0][:, 0, 0, 0].tolist())

    convolutional.register_forward_pre_hook(note)
    train_released(convolutional, many, probes, variant=variant, **options | {"batch": 6})
    first, second = seen[:18], seen[18:]
    assert sorted(first) == sorted(second) == sorted(many[:, 0, 0, 0].tolist())
    assert first != second


@every_variant
def test_the_rows_equal_those_of_a_loop_written_out(convolutional, many, probes, options, variant):
    """The released loss without its KL term, the other with it; the order of the images as seen by a hook."""
    with torch.no_grad():
        convolutional.fc.weight *= 30  # so that KL matters
    order = []

    def note(module, args):
        if torch.is_grad_enabled():
            order.append(args[0])

    handle = convolutional.register_forward_pre_hook(note)
    rows = train_released(convolutional, many, probes, variant=variant, **options)
    handle.remove()
    autoencoder, _, _ = start(convolutional, many, options)
    untouched, front, back = convolutional, copy.deepcopy(convolutional[:4]), copy.deepcopy(convolutional[4:])
    released, losses = variant == "released", []
    learning = [*autoencoder.parameters(), *(front.parameters() if released else ())]
    optimizer = torch.optim.Adam(learning, lr=options["lr"])
    for images in order:
        a = front(images) if released else front(images).detach()
        wide = autoencoder.encode[0](a)
        after = autoencoder.decode[0](autoencoder.encode[1](wide))
        restored = autoencoder.decode[1](after)
        loss = (
            8 * ((wide[:, :, 1:] - wide[:, :, :-1]).abs() - (after[:, :, 1:] - after[:, :, :-1]).abs()).abs().sum() / 3
        )
        if released:
            loss = loss + 2 * (a - restored.detach()).abs().mean()
        else:
            p, q = untouched(images).log_softmax(1).detach(), back(restored).log_softmax(1)
            kl = nn.functional.kl_div(q, p, log_target=True, reduction="batchmean")
            loss = loss + 2 * (restored - a).abs().mean() + 3 * kl
        gradients = torch.autograd.grad(loss, learning, allow_unused=True)
        for parameter, gradient in zip(learning, gradients, strict=True):
            parameter.grad = gradient
        optimizer.step()
        losses.append(loss.item())
    assert rows["loss"][1:].tolist() == pytest.approx([np.mean(losses[:2]), np.mean(losses[2:])], rel=1e-5)
    assert rows["plain"][2] == pytest.approx(options["score"](nn.Sequential(front, back)), abs=1e-5)
    with torch.no_grad():
        code = autoencoder.encode(front(probes)).abs().mean().item()
    assert rows["code"][2] == pytest.approx(code, rel=1e-4)


# ---- what learns


def test_released_the_front_also_follows_the_reconstruction(many, probes, options):
    """Of maps that are one pixel high the variation is zero, so that only the reconstruction is left."""
    with seeded(6, 6):
        model = nn.Sequential(nn.Conv2d(2, 5, (8, 3)), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 6, 3))
    model.card = {"multi_label": False}
    rows = train_released(model, many, probes, variant="released", **options | {"layer": "0"})
    assert rows["plain"].nunique() == 3


def test_released_the_plain_network_changes_and_only_in_front_of_the_bottleneck(convolutional, many, probes, options):
    rows = train_released(convolutional, many, probes, variant="released", **options)
    assert rows["plain"].nunique() == 3
    assert abs(rows["plain"][2] - rows["plain"][0]) > 1e-3
    found, recording = states(options)
    train_released(convolutional, many, probes, variant="released", **recording)
    for before, after in zip(found, found[1:], strict=False):
        assert changed(before, after) == FRONT
    statistics = [key for key in found[0] if "running" in key or "batches" in key]
    assert statistics
    assert all(torch.equal(found[0][key], found[2][key]) for key in statistics)


def test_with_the_gradient_on_the_right_side_the_plain_network_stays(convolutional, many, probes, options):
    rows = train_released(convolutional, many, probes, variant="summed TV", **options)
    assert rows["plain"].nunique() == 1
    assert rows["code"].nunique() == 3  # but the bottleneck learns
    found, recording = states(options)
    train_released(convolutional, many, probes, variant="summed TV", **recording)
    assert changed(found[0], found[2]) == []


@every_variant
def test_the_loss_falls(convolutional, many, probes, options, variant):
    rows = train_released(convolutional, many, probes, variant=variant, **options | {"epochs": 6})
    assert rows["loss"][6] < rows["loss"][1]


@every_variant
def test_both_networks_are_in_evaluation_mode(convolutional, many, probes, options, variant):
    modes = []

    def score(model):
        modes.append({module.training for module in model.modules()})
        return 0.0

    expected = train_released(convolutional.eval(), many, probes, variant=variant, **options)
    found = train_released(convolutional.train(), many, probes, variant=variant, **options | {"score": score})
    assert modes == [{False}] * 3
    pd.testing.assert_frame_equal(found.drop(columns="plain"), expected.drop(columns="plain"))


# ---- the caller's things


@every_variant
def test_the_callers_network_is_not_touched(convolutional, many, probes, options, variant, condition):
    before, state, kept = condition(convolutional.train()), copy.deepcopy(convolutional.state_dict()), many.clone()
    train_released(convolutional, many, probes, variant=variant, **options)
    assert condition(convolutional) == before
    assert changed(state, convolutional.state_dict()) == []
    assert torch.equal(many, kept)


@every_variant
def test_a_frozen_network_is_trained_like_any_other_and_stays_frozen(convolutional, many, probes, options, variant):
    expected = train_released(convolutional, many, probes, variant=variant, **options)
    convolutional.requires_grad_(False)
    pd.testing.assert_frame_equal(train_released(convolutional, many, probes, variant=variant, **options), expected)
    assert not any(values.requires_grad for values in convolutional.parameters())


@every_variant
def test_the_same_seed_gives_the_same_rows_and_another_seed_others(convolutional, many, probes, options, variant):
    first, again, other = (
        train_released(convolutional, many, probes, variant=variant, **options | {"seed": seed}) for seed in (3, 3, 4)
    )
    pd.testing.assert_frame_equal(first, again)
    assert not np.allclose(first["loss"][1:], other["loss"][1:])


@every_variant
def test_the_global_random_state_is_left_alone(convolutional, many, probes, options, variant):
    before = torch.get_rng_state()
    train_released(convolutional, many, probes, variant=variant, **options)
    assert torch.equal(torch.get_rng_state(), before)


# ---- bad input


@pytest.mark.parametrize("variant", ["intended", "Released", ""])
def test_an_unknown_variant_is_an_error_that_lists_the_known_ones(convolutional, many, probes, options, variant):
    with pytest.raises(ValueError, match=f"^variant '{variant}' is unknown, expected one of released, summed TV$"):
        train_released(convolutional, many, probes, variant=variant, **options)


@pytest.mark.parametrize(("layer", "message"), [("conv9", "'conv9' does not exist"), ("fc", "expected N×C×h×w")])
def test_a_layer_that_cannot_be_cut_is_an_error(convolutional, many, probes, options, layer, message):
    with pytest.raises(ValueError, match=message):
        train_released(convolutional, many, probes, variant="released", **options | {"layer": layer})


def test_fewer_images_than_a_batch_are_an_error(many, probes, options):
    with seeded(6, 5):
        layers = nn.Conv2d(2, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3)
        model = nn.Sequential(*layers)
    with pytest.raises(ValueError, match="batch"):
        train_released(model, many[:7], probes, variant="released", **options | {"layer": "0"})


# ---- the intended loss beside it


def test_the_intended_loss_has_a_row_without_a_bottleneck_and_one_per_number_of_epochs(convolutional, many, probes):
    calls = []

    def score(model):
        calls.append(copy.deepcopy(model.state_dict()))
        return len(calls)

    options, many = {"layer": "conv2", "lr": 1e-2, "seed": 3}, many.repeat(2, 1, 1, 1)
    found = train_intended(convolutional, many, probes, epochs=2, score=score, **options)
    assert found["epoch"].tolist() == [0, 1, 2]
    assert found["plain"].tolist() == [1, 2, 3]
    assert np.isnan(found["agreement"][0])
    for count in (1, 2):
        bottleneck, _ = fit_autoencoder(convolutional, many, epochs=count, **options)
        expected = fidelity(convolutional, probes, layer="conv2", autoencoder=bottleneck).images
        assert found["agreement"][count] == expected
    assert not changed(calls[0], calls[-1])
