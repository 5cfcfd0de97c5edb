import dataclasses

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


# several representations


@pytest.fixture(scope="module")
def negatives(squares):
    """The squares in another representation: their mean is above 1/2, that of the squares below."""
    return dataclasses.replace(squares, images=255 - squares.images)


def batches_of_an_epoch(views, **options) -> list[torch.Tensor]:
    network, seen = fresh(), []
    network.register_forward_pre_hook(lambda net, inputs: seen.append(inputs[0]) if net.training else None)
    fit(network, views, epochs=1, **options)
    return seen


def rows(images) -> set[bytes]:
    return {image.numpy().tobytes() for image in images}


def test_a_list_of_one_representation_is_the_data_set_itself_bit_for_bit(trained, squares):
    network = fresh()
    history = fit(network, [squares], **OPTIONS)
    assert same(network, trained[0])
    pd.testing.assert_frame_equal(history, trained[1], check_exact=True)


def test_each_batch_holds_equally_many_images_of_each_representation(squares, negatives):
    seen = batches_of_an_epoch([squares, negatives], batch=10)
    bright = [images.mean((1, 2, 3)) > 0.5 for images in seen]
    assert [(len(those), int(those.sum())) for those in bright] == [(10, 5)] * 9  # 48 of 5: 9 batches, 3 left out


def test_an_epoch_shows_each_image_once_in_each_representation_and_has_twice_the_updates(squares, negatives):
    alone, seen = batches_of_an_epoch(squares, batch=16), batches_of_an_epoch([squares, negatives], batch=16)
    assert (len(alone), len(seen)) == (3, 6)
    images = torch.cat(seen)
    bright = images.mean((1, 2, 3)) > 0.5
    train = squares.indices("train")
    for view, shown in ((squares, images[~bright]), (negatives, images[bright])):
        assert len(shown) == 48
        assert rows(shown) == rows(view.batch(train))


def test_the_two_representations_of_an_epoch_come_in_different_orders(squares, negatives):
    images = torch.cat(batches_of_an_epoch([squares, negatives], batch=8))
    bright = images.mean((1, 2, 3)) > 0.5
    assert (images[~bright] + images[bright] - 1).abs().max() > 0.1


def test_the_labels_belong_to_the_images_of_their_representation(squares, negatives, monkeypatch):
    given, cross_entropy = [], module.F.cross_entropy

    def keep(logits, labels):
        given.append(labels)
        return cross_entropy(logits, labels)

    monkeypatch.setattr(module.F, "cross_entropy", keep)
    for images, labels in zip(batches_of_an_epoch([squares, negatives], batch=12), given, strict=True):
        places = images[:, 0, 16:32].reshape(12, 16, 3, 16).mean((1, 3))  # of the thirds in the square's rows
        of_negatives = images.mean((1, 2, 3)) > 0.5
        assert torch.where(of_negatives, places.argmin(1), places.argmax(1)).tolist() == labels.tolist()


def test_the_validation_accuracy_is_the_mean_over_the_representations(squares, negatives, monkeypatch):
    asked = []

    def scripted(network, view, indices):
        asked.append(indices.tolist())
        return 0.25 if view is squares else 1.0

    monkeypatch.setattr(module, "accuracy", scripted)
    history = fit(fresh(), [squares, negatives], epochs=1, batch=16)
    assert history["validation_accuracy"].tolist() == [0.625]
    assert asked == [squares.indices("validation").tolist()] * 2


def test_the_best_epoch_is_that_of_the_mean(squares, negatives, monkeypatch):
    scripted = {id(squares): iter((0.9, 0.5, 0.4)), id(negatives): iter((0.1, 0.6, 0.5))}
    monkeypatch.setattr(module, "accuracy", lambda network, view, indices: next(scripted[id(view)]))
    network, epochs = fresh(), []

    def keep(row: dict) -> None:
        epochs.append({name: tensor.clone() for name, tensor in network.state_dict().items()})

    fit(network, [squares, negatives], epochs=3, batch=16, progress=keep)
    equal = [all(torch.equal(network.state_dict()[name], weights[name]) for name in weights) for weights in epochs]
    assert equal == [False, True, False]


def test_the_training_accuracy_counts_the_images_of_every_representation(squares, negatives):
    network = fresh()
    nn.init.zeros_(network.body.head[-1].weight)
    network.body.head[-1].bias.data = torch.tensor([100.0, 0.0, 0.0])  # always the first class, whatever one step does
    history = fit(network, [squares, negatives], epochs=1, batch=96, lr=1e-6)
    assert history["train_accuracy"].tolist() == [1 / 3]


def test_a_resumed_hybrid_run_equals_an_undisturbed_one_bit_for_bit(squares, negatives, tmp_path):
    options = {"epochs": 2, "batch": 16, "lr": 1e-3}
    whole, resumed, views = fresh(), fresh(), [squares, negatives]
    history = fit(whole, views, **options)
    with pytest.raises(KeyboardInterrupt):
        fit(fresh(), views, **options, resume=tmp_path / "state.pt", progress=interrupt)
    pd.testing.assert_frame_equal(
        fit(resumed, views, **options, resume=tmp_path / "state.pt"), history, check_exact=True
    )
    assert same(resumed, whole)


# bad inputs


@pytest.mark.parametrize("field", ["labels", "split"])
def test_representations_of_other_images_are_refused(squares, negatives, field):
    values = getattr(squares, field)
    other = dataclasses.replace(negatives, **{field: values.flip(0) if field == "labels" else values[::-1].copy()})
    with pytest.raises(ValueError, match="^the representations differ in labels or splits, expected the same images"):
        fit(fresh(), [squares, negatives, other], epochs=1, batch=12)


def test_a_representation_of_fewer_images_is_refused(squares, negatives):
    short = dataclasses.replace(
        negatives, images=negatives.images[:50], labels=negatives.labels[:50], split=negatives.split[:50]
    )
    with pytest.raises(ValueError, match="representations differ in labels or splits"):
        fit(fresh(), [squares, short], epochs=1, batch=12)


def test_a_batch_that_the_representations_do_not_divide_is_refused(squares, negatives):
    with pytest.raises(ValueError, match="batch is 16, expected a multiple of the 3 representations"):
        fit(fresh(), [squares, negatives, squares], epochs=1, batch=16)


def test_a_batch_larger_than_all_representations_together_is_refused(squares, negatives):
    with pytest.raises(ValueError, match="batch is 98, expected at most the 96 training images"):
        fit(fresh(), [squares, negatives], epochs=1, batch=98)


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
