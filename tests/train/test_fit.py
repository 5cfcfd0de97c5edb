import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from lib.data.dataset import Dataset, split_by_sample
from lib.train import fit as module
from lib.train.fit import accuracy, fit, predict
from lib.train.zoo import create

OPTIONS = {"epochs": 5, "batch": 8, "lr": 1e-3}


@pytest.fixture(scope="module")
def squares():
    """60 noisy images of three classes; a bright square says which by its place."""
    rng, labels = np.random.default_rng(0), np.repeat([0, 1, 2], 20)
    images = rng.integers(0, 60, (60, 1, 48, 48), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[:, 16:32, 16 * label : 16 * label + 16] += 180
    return Dataset(
        images=images,
        labels=torch.from_numpy(labels),
        split=split_by_sample(labels, 0),
        classes=["left", "middle", "right"],
        source="squares",
        channels=1,
        size=48,
    )


def fresh(seed: int = 0):
    return create("compact/vgg", classes=3, channels=1, size=48, seed=seed)


def same(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.fixture(scope="module")
def trained(squares):
    """The undisturbed run: network and history."""
    network = fresh()
    return network, fit(network, squares, **OPTIONS)


def interrupt(row: dict) -> None:
    raise KeyboardInterrupt


# what a run gives


def test_three_classes_of_squares_are_learnt(trained, squares):
    network, history = trained
    assert history["train_accuracy"].iloc[-1] > 0.9
    measured = accuracy(network, squares, squares.indices("test"))
    assert measured > 0.9


def test_the_history_has_one_row_per_epoch(trained):
    assert list(trained[1].columns) == ["epoch", "loss", "train_accuracy", "validation_accuracy"]
    assert trained[1]["epoch"].tolist() == [1, 2, 3, 4, 5]


def test_progress_gets_the_rows_of_the_history(trained, squares):
    rows = []
    history = fit(fresh(), squares, **OPTIONS, progress=rows.append)
    pd.testing.assert_frame_equal(pd.DataFrame(rows), history)


def test_the_network_comes_back_in_evaluation_mode_and_trainable(trained):
    assert not any(m.training for m in trained[0].modules())
    assert all(parameter.requires_grad for parameter in trained[0].parameters())


def test_an_epoch_takes_full_batches_and_no_image_twice(squares):
    network, seen = fresh(), []
    network.register_forward_pre_hook(lambda net, inputs: seen.append(inputs[0]) if net.training else None)
    fit(network, squares, epochs=2, batch=10)
    assert [len(images) for images in seen] == [10] * 8  # 48 images: 4 batches an epoch, 8 images left out
    first, second = torch.cat(seen[:4]), torch.cat(seen[4:])
    assert len(first.flatten(1).unique(dim=0)) == 40
    assert not torch.equal(first, second)


# reproducibility


def test_two_runs_are_equal_bit_for_bit(trained, squares):
    network = fresh()
    history = fit(network, squares, **OPTIONS)
    assert same(network, trained[0])
    pd.testing.assert_frame_equal(history, trained[1], check_exact=True)


def test_the_run_does_not_depend_on_torchs_generator_and_leaves_it(trained, squares):
    torch.manual_seed(99)
    before, network = torch.get_rng_state(), fresh()
    fit(network, squares, **OPTIONS)
    assert same(network, trained[0])
    assert torch.equal(torch.get_rng_state(), before)


def test_another_seed_is_another_run(trained, squares):
    network = fresh()
    fit(network, squares, **OPTIONS, seed=1)
    assert not same(network, trained[0])


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_resumed_run_equals_an_undisturbed_one_bit_for_bit(trained, squares, tmp_path, epochs):
    def stop(row: dict) -> None:
        if row["epoch"] == epochs:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(fresh(), squares, **OPTIONS, resume=tmp_path / "state.pt", progress=stop)
    network = fresh(seed=8)  # its weights come from the file
    history = fit(network, squares, **OPTIONS, resume=tmp_path / "state.pt")
    assert same(network, trained[0])
    pd.testing.assert_frame_equal(history, trained[1], check_exact=True)


def test_a_resumed_run_continues_with_the_next_epoch(squares, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fit(fresh(), squares, **OPTIONS, resume=tmp_path / "state.pt", progress=interrupt)
    rows = []
    fit(fresh(), squares, **OPTIONS, resume=tmp_path / "state.pt", progress=rows.append)
    assert [row["epoch"] for row in rows] == [2, 3, 4, 5]


def test_a_finished_run_is_not_trained_again(trained, squares, tmp_path):
    fit(fresh(), squares, **OPTIONS, resume=tmp_path / "state.pt")
    network = fresh(seed=8)
    history = fit(network, squares, **OPTIONS, resume=tmp_path / "state.pt", progress=interrupt)
    assert same(network, trained[0])
    pd.testing.assert_frame_equal(history, trained[1], check_exact=True)


def test_an_interrupted_write_leaves_the_state_of_the_epoch_before(trained, squares, tmp_path, monkeypatch):
    def save_half(state, part):
        if len(state["rows"]) == 2:
            part.write_bytes(b"half")
            raise OSError("disk full")
        write(state, part)

    write = torch.save
    monkeypatch.setattr(torch, "save", save_half)
    with pytest.raises(OSError, match="disk full"):
        fit(fresh(), squares, **OPTIONS, resume=tmp_path / "state.pt")
    assert len(torch.load(tmp_path / "state.pt", weights_only=True)["rows"]) == 1
    monkeypatch.undo()
    network = fresh()
    fit(network, squares, **OPTIONS, resume=tmp_path / "state.pt")
    assert same(network, trained[0])
    assert [file.name for file in tmp_path.iterdir()] == ["state.pt"]


# the best epoch


@pytest.mark.parametrize(("measured", "best"), [((0.2, 0.9, 0.5), 1), ((0.5, 0.5, 0.4), 0), ((0.1, 0.2, 0.3), 2)])
def test_the_network_holds_the_first_best_epoch_on_validation(squares, monkeypatch, measured, best):
    scripted, epochs, network = iter(measured), [], fresh()
    monkeypatch.setattr(module, "accuracy", lambda *given: next(scripted))

    def keep(row: dict) -> None:
        epochs.append({name: tensor.clone() for name, tensor in network.state_dict().items()})

    fit(network, squares, epochs=3, batch=16, progress=keep)
    equal = [all(torch.equal(network.state_dict()[name], weights[name]) for name in weights) for weights in epochs]
    assert equal == [epoch == best for epoch in range(3)]


def test_the_best_accuracy_of_the_history_is_that_of_the_network(trained, squares):
    network, history = trained
    assert accuracy(network, squares, squares.indices("validation")) == history["validation_accuracy"].max()


# bad inputs


def test_a_batch_larger_than_the_train_split_is_refused(squares):
    with pytest.raises(ValueError, match="batch is 49, expected at most the 48 training images"):
        fit(fresh(), squares, epochs=1, batch=49)


def test_a_loss_that_is_not_finite_stops_the_run(squares):
    network = fresh()
    nn.init.constant_(network.body.head[-1].bias, float("nan"))
    with pytest.raises(RuntimeError, match="training loss of compact/vgg is nan: lower `lr`"):
        fit(network, squares, epochs=1, batch=16)


# predict and accuracy


def test_predict_gives_the_logits_in_order_whatever_the_batch(trained, squares):
    network, indices = trained[0], np.array([5, 59, 0, 30, 7])
    expected = network(squares.batch(indices))
    for batch in (1, 2, 5, 128):
        logits = predict(network, squares, indices, batch=batch)
        torch.testing.assert_close(logits, expected.detach(), rtol=1e-4, atol=1e-5)
        assert not logits.requires_grad


def test_predict_restores_every_mode_and_parameter(squares):
    network = fresh().train()
    network.body.stage2.eval()
    network.body.stage3.requires_grad_(False)
    before = [m.training for m in network.modules()], [p.requires_grad for p in network.parameters()]
    predict(network, squares, np.arange(4))
    assert ([m.training for m in network.modules()], [p.requires_grad for p in network.parameters()]) == before


def test_predict_leaves_the_running_statistics_alone(squares):
    network = fresh().train()
    predict(network, squares, np.arange(4))
    assert same(network, fresh())


def test_accuracy_is_the_share_of_right_labels(squares):
    class First(nn.Module):
        def forward(self, images):
            return torch.tensor([1.0, 0.0, 0.0]).expand(len(images), 3)

    assert accuracy(First(), squares, np.array([0, 1, 20, 40])) == 0.5
