import pytest
import torch
from torch.nn import functional as F

from aecompanion.defend.halftone import halftone
from aecompanion.defend.inverse import InverseHalftone, low_pass
from aecompanion.pipeline.rng import generator
from aecompanion.train.inverse_halftone import fit_inverse, load, save

OPTIONS = {"epochs": 10, "batch": 4, "lr": 1e-2}


@pytest.fixture(scope="module")
def pairs():
    """Dots of 40 images made of flat squares, whose edges the low-pass blurs, and these images."""
    grey = F.interpolate(torch.rand(40, 1, 4, 4, generator=generator(8, 1)), size=(24, 24))
    return halftone(grey), grey


@pytest.fixture(scope="module")
def trained(pairs):
    return fit_inverse(*pairs, **OPTIONS)


def error(network, pairs) -> float:
    with torch.no_grad():
        return F.mse_loss(network(pairs[0]), pairs[1]).item()


def same(first, second) -> bool:
    parameters = zip(first.parameters(), second.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in parameters)


def test_training_restores_the_images_better_than_the_low_pass(trained, pairs):
    assert error(trained[0], pairs) < 0.5 * error(low_pass, pairs)


def test_there_is_one_error_per_epoch_and_the_last_is_the_smallest(trained):
    assert len(trained[1]) == OPTIONS["epochs"]
    assert min(trained[1]) == trained[1][-1] < trained[1][0]


def test_the_errors_are_mean_squares_and_start_at_the_low_pass(pairs):
    network, errors = fit_inverse(*pairs, epochs=2, batch=8, lr=0.0)
    assert errors == pytest.approx([error(low_pass, pairs)] * 2, rel=1e-5)
    assert error(network, pairs) == pytest.approx(error(low_pass, pairs), rel=1e-5)


def test_the_network_comes_back_in_evaluation_mode_on_the_cpu(trained):
    assert isinstance(trained[0], InverseHalftone)
    assert not any(module.training for module in trained[0].modules())
    assert {parameter.device.type for parameter in trained[0].parameters()} == {"cpu"}


def test_two_runs_are_equal_bit_for_bit_whatever_torchs_generator(trained, pairs):
    torch.manual_seed(99)
    before = torch.get_rng_state()
    network, errors = fit_inverse(*pairs, **OPTIONS)
    assert same(network, trained[0])
    assert errors == trained[1]
    assert torch.equal(torch.get_rng_state(), before)


def test_another_seed_is_another_run(trained, pairs):
    network, errors = fit_inverse(*pairs, **OPTIONS, seed=1)
    assert not same(network, trained[0])
    assert errors != trained[1]


@pytest.mark.parametrize("seed", [0, 5])
def test_an_epoch_takes_full_batches_of_images_in_an_order_from_the_seed_and_the_epoch(pairs, monkeypatch, seed):
    seen, forward = [], InverseHalftone.forward

    def look(network, dots):
        seen.append(dots.flatten(1))
        return forward(network, dots)

    monkeypatch.setattr(InverseHalftone, "forward", look)
    fit_inverse(pairs[0][:20], pairs[1][:20], epochs=2, batch=8, seed=seed)
    assert [len(dots) for dots in seen] == [8, 8] * 2  # 20 images: two batches an epoch, four images left out
    for epoch in range(2):
        chosen = torch.randperm(20, generator=generator(seed, epoch))[:16]
        assert torch.equal(torch.cat(seen[2 * epoch : 2 * epoch + 2]), pairs[0][chosen].flatten(1))


def test_progress_wraps_the_epochs(pairs):
    wrapped = []

    def progress(epochs):
        wrapped.append(list(epochs))
        return iter(wrapped[0])

    fit_inverse(*pairs, epochs=3, batch=20, progress=progress)
    assert wrapped == [[0, 1, 2]]


def test_the_callers_pairs_are_left_alone(pairs):
    before = [values.clone() for values in pairs]
    fit_inverse(*pairs, epochs=1, batch=20)
    assert all(torch.equal(values, kept) for values, kept in zip(pairs, before, strict=True))


def test_pairs_of_different_shapes_are_an_error(pairs):
    dots, grey = pairs
    for other in (grey[:39], grey[..., :20], grey.expand(-1, 3, -1, -1)):
        with pytest.raises(ValueError, match=r"dots are \(40, 1, 24, 24\) and grey images .*, expected the same shape"):
            fit_inverse(dots, other)


def test_less_than_one_batch_is_an_error(pairs):
    with pytest.raises(ValueError, match="at least 41 images"):
        fit_inverse(*pairs, batch=41)
    assert len(fit_inverse(*pairs, epochs=1, batch=40)[1]) == 1


# ---- files


def test_a_saved_network_comes_back_bit_for_bit_in_evaluation_mode(tmp_path, trained, pairs):
    save(trained[0], tmp_path / "inverse.safetensors")
    first, second = (load(tmp_path / "inverse.safetensors") for _ in range(2))
    assert isinstance(first, InverseHalftone)
    assert not any(module.training for module in first.modules())
    assert same(first, trained[0])
    with torch.no_grad():
        found = first(pairs[0])
        assert torch.equal(found, second(pairs[0]))
        assert torch.allclose(found, trained[0](pairs[0]), rtol=0, atol=1e-6)  # the weights lie otherwise in memory
    assert error(first, pairs) < 0.5 * error(low_pass, pairs)


def test_the_file_holds_the_weights_under_exactly_the_given_name(tmp_path, trained):
    save(trained[0], tmp_path / ".part.inverse")
    assert [file.name for file in tmp_path.iterdir()] == [".part.inverse"]
    assert same(load(tmp_path / ".part.inverse"), trained[0])


def test_saving_leaves_the_network_as_it_was(tmp_path, trained):
    before = {name: weights.clone() for name, weights in trained[0].state_dict().items()}
    layouts = [weights.stride() for weights in trained[0].state_dict().values()]
    save(trained[0], tmp_path / "inverse.safetensors")
    after = trained[0].state_dict()
    assert all(torch.equal(after[name], weights) for name, weights in before.items())
    assert [weights.stride() for weights in after.values()] == layouts


def test_weights_of_another_network_are_an_error(tmp_path):
    save(InverseHalftone(width=4), tmp_path / "narrow.safetensors")
    with pytest.raises(RuntimeError, match="size mismatch"):
        load(tmp_path / "narrow.safetensors")
