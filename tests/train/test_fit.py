import dataclasses
import threading
import time

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from aecompanion.data.dataset import Dataset, split_by_sample
from aecompanion.networks.zoo import create
from aecompanion.train import fit as module, reading, score as scoring
from aecompanion.train.fit import classification_loss, fit
from aecompanion.train.score import accuracy, auroc, metric, predict, right, score

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
    monkeypatch.setattr(scoring, "accuracy", lambda *given: next(scripted))

    def keep(row: dict) -> None:
        epochs.append({name: tensor.clone() for name, tensor in network.state_dict().items()})

    fit(network, squares, epochs=3, batch=16, progress=keep)
    equal = [all(torch.equal(network.state_dict()[name], weights[name]) for name in weights) for weights in epochs]
    assert equal == [epoch == best for epoch in range(3)]


def test_the_best_accuracy_of_the_history_is_that_of_the_network(trained, squares):
    network, history = trained
    assert accuracy(network, squares, squares.indices("validation")) == history["validation_accuracy"].max()


# the last epoch


@pytest.mark.parametrize(("keep", "best"), [("best", 1), ("last", 2)])
def test_the_last_epoch_is_kept_on_request_however_it_scores(squares, monkeypatch, keep, best):
    scripted, epochs, network = iter((0.2, 0.9, 0.5)), [], fresh()
    monkeypatch.setattr(scoring, "accuracy", lambda *given: next(scripted))

    def remember(row: dict) -> None:
        epochs.append({name: tensor.clone() for name, tensor in network.state_dict().items()})

    history = fit(network, squares, epochs=3, batch=16, keep=keep, progress=remember)
    assert history["validation_accuracy"].tolist() == [0.2, 0.9, 0.5]
    equal = [all(torch.equal(network.state_dict()[name], weights[name]) for name in weights) for weights in epochs]
    assert equal == [epoch == best for epoch in range(3)]


def test_a_resumed_run_that_keeps_the_last_epoch_equals_an_undisturbed_one(squares, monkeypatch, tmp_path):
    options, networks = {"epochs": 2, "batch": 16, "lr": 1e-3, "keep": "last"}, []
    for resume in (None, tmp_path / "state.pt"):
        scripted = iter((0.9, 0.5))
        monkeypatch.setattr(scoring, "accuracy", lambda *given, scripted=scripted: next(scripted))
        networks.append(fresh())
        if resume is not None:
            with pytest.raises(KeyboardInterrupt):
                fit(fresh(), squares, **options, resume=resume, progress=interrupt)
        fit(networks[-1], squares, **options, resume=resume)
    assert same(*networks)


@pytest.mark.parametrize("keep", ["first", "", None])
def test_an_unknown_epoch_to_keep_is_an_error(squares, keep):
    network = fresh()
    with pytest.raises(ValueError, match=f"^keep is {keep!r}, expected 'best' or 'last'$"):
        fit(network, squares, **OPTIONS, keep=keep)
    assert same(network, fresh())


# crafted images


def test_a_craft_that_changes_nothing_gives_the_plain_run_bit_for_bit(trained, squares):
    network = fresh()
    history = fit(network, squares, **OPTIONS, craft=lambda net, images, labels: images)
    assert same(network, trained[0])
    pd.testing.assert_frame_equal(history, trained[1], check_exact=True)


def test_the_network_is_trained_on_what_the_craft_makes_of_its_batch_and_labels(squares):
    given, made, seen, network = [], [], [], fresh()

    def craft(net, images, labels):
        assert net is network
        assert net.training
        given.append((images.clone(), labels.clone()))
        made.append(1 - images)
        return made[-1]

    network.register_forward_pre_hook(lambda net, inputs: seen.append(inputs[0].clone()) if net.training else None)
    fit(network, squares, epochs=2, batch=10, craft=craft)
    assert [len(images) for images, _ in given] == [10] * 8  # only the four batches of each epoch
    assert all(torch.equal(shown, crafted) for shown, crafted in zip(seen, made, strict=True))
    for images, labels in given:
        places = images[:, 0, 16:32].reshape(10, 16, 3, 16).mean((1, 3))
        assert places.argmax(1).tolist() == labels.tolist()


@pytest.mark.parametrize(("shift", "accuracy"), [(0, 1.0), (16, 0.0)])
def test_the_loss_and_the_training_accuracy_are_those_of_the_crafted_images(trained, squares, shift, accuracy):
    """A trained network whose images are moved by a third says the next class."""
    network = fresh()
    network.load_state_dict(trained[0].state_dict())
    options = {"epochs": 1, "batch": 48, "lr": 1e-6}
    history = fit(network, squares, **options, craft=lambda net, images, labels: images.roll(shift, 3))
    assert history["train_accuracy"].tolist() == [accuracy]
    assert (history["loss"].item() < 0.5) == (shift == 0)
    assert history["validation_accuracy"].tolist() == [1.0]  # of the images as they are


def test_a_craft_gets_the_images_of_every_representation(squares, negatives):
    seen = []
    fit(
        fresh(),
        [squares, negatives],
        epochs=1,
        batch=10,
        craft=lambda net, images, labels: seen.append(images) or images,
    )
    bright = [images.mean((1, 2, 3)) > 0.5 for images in seen]
    assert [(len(those), int(those.sum())) for those in bright] == [(10, 5)] * 9


def noisy(net, images, labels):
    """Noise from torch's own generator."""
    return (images + 0.3 * torch.randn(images.shape)).clamp(0, 1)


def test_a_craft_draws_from_torchs_generator_which_is_seeded_per_epoch(squares, tmp_path):
    options, networks = {"epochs": 3, "batch": 16, "lr": 1e-3, "craft": noisy}, [fresh(), fresh(), fresh(seed=8)]
    torch.manual_seed(1)
    whole = fit(networks[0], squares, **options)
    torch.manual_seed(2)
    again = fit(networks[1], squares, **options)
    with pytest.raises(KeyboardInterrupt):
        fit(fresh(), squares, **options, resume=tmp_path / "state.pt", progress=interrupt)
    resumed = fit(networks[2], squares, **options, resume=tmp_path / "state.pt")
    assert same(networks[0], networks[1])
    assert same(networks[0], networks[2])
    for history in (again, resumed):
        pd.testing.assert_frame_equal(history, whole, check_exact=True)


def test_the_noise_of_a_craft_depends_on_the_seed_and_the_epoch(squares):
    drawn = []

    def craft(net, images, labels):
        drawn.append(torch.rand(1).item())
        return images

    for seed in (0, 0, 1):
        fit(fresh(), squares, epochs=2, batch=48, seed=seed, craft=craft)
    assert drawn[:2] == drawn[2:4]
    assert len(set(drawn)) == 4


# reading ahead and precision


@pytest.fixture(scope="module")
def lazy(squares, tmp_path_factory):
    """The squares as files."""
    folder = tmp_path_factory.mktemp("squares")
    files = [str(folder / f"{number:02d}.png") for number in range(len(squares))]
    for file, image in zip(files, squares.images, strict=True):
        Image.fromarray(image[0]).save(file)
    return dataclasses.replace(squares, images=None, files=files)


def test_images_read_from_files_give_the_bits_of_packed_ones(trained, lazy):
    network = fresh()
    pd.testing.assert_frame_equal(fit(network, lazy, **OPTIONS), trained[1], check_exact=True)
    assert same(network, trained[0])


def test_only_images_in_files_are_read_ahead(squares, lazy):
    assert [module.readers(views) for views in ([squares], [lazy], [squares, lazy])] == [
        0,
        reading.READERS,
        reading.READERS,
    ]


@pytest.mark.parametrize("threads", [0, 1, 3, 20])
def test_results_read_ahead_come_in_order_and_not_too_early(threads):
    started, found = [], []

    def work(job):
        started.append(job)
        time.sleep(0.002 * (job % 3))
        return job * job

    for number, result in enumerate(module.ahead(work, range(12), threads=threads)):
        found.append(result)
        assert len(started) <= number + 1 + threads
    assert found == [job * job for job in range(12)]


@pytest.mark.parametrize("threads", [0, 2])
def test_a_file_that_cannot_be_read_stops_the_loop_and_the_threads(threads):
    def work(job):
        if job == 3:
            raise ValueError("third")
        return job

    found, before = [], threading.active_count()
    with pytest.raises(ValueError, match="third"):
        for result in module.ahead(work, range(9), threads=threads):
            found.append(result)
    assert found == [0, 1, 2]
    assert threading.active_count() == before


def test_bfloat16_on_a_cpu_is_float32_bit_for_bit(trained, squares):
    network = fresh()
    fit(network, squares, **OPTIONS, precision="bfloat16")
    assert same(network, trained[0])


@pytest.mark.parametrize(
    ("device", "precision", "expected"),
    [("cuda:0", "bfloat16", True), ("cuda", "float32", False), ("cpu", "bfloat16", False), ("mps", "bfloat16", False)],
)
def test_autocast_is_for_bfloat16_on_a_cuda_device(monkeypatch, device, precision, expected):
    monkeypatch.setattr(torch, "autocast", lambda kind, dtype: (kind, dtype))
    assert (module.arithmetic(device, precision) == ("cuda", torch.bfloat16)) is expected


def test_an_unknown_precision_is_an_error(squares):
    with pytest.raises(ValueError, match="^precision is 'float16', expected 'float32' or 'bfloat16'$"):
        fit(fresh(), squares, **OPTIONS, precision="float16")


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

    monkeypatch.setattr(scoring, "accuracy", scripted)
    history = fit(fresh(), [squares, negatives], epochs=1, batch=16)
    assert history["validation_accuracy"].tolist() == [0.625]
    assert asked == [squares.indices("validation").tolist()] * 2


def test_the_best_epoch_is_that_of_the_mean(squares, negatives, monkeypatch):
    scripted = {id(squares): iter((0.9, 0.5, 0.4)), id(negatives): iter((0.1, 0.6, 0.5))}
    monkeypatch.setattr(scoring, "accuracy", lambda network, view, indices: next(scripted[id(view)]))
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


# several labels


@pytest.fixture(scope="module")
def several():
    """160 small noisy images; each of three places is bright or not, by chance: one label for each place."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (160, 3))
    images = rng.integers(0, 60, (160, 1, 18, 18), dtype=np.uint8)
    for image, row in zip(images, labels, strict=True):
        for place in np.flatnonzero(row):
            image[:, 6:12, 6 * place : 6 * place + 6] += 50
    return Dataset(
        images=images,
        labels=torch.from_numpy(labels),
        split=np.array(["train"] * 96 + ["validation"] * 32 + ["test"] * 32, dtype=object),
        classes=["left", "middle", "right"],
        source="squares",
        channels=1,
        size=18,
    )


def small(seed: int = 0):
    return create("compact/digits", classes=3, channels=1, size=18, seed=seed)


@pytest.fixture(scope="module")
def trained_on_several(several):
    """The undisturbed run: network and history."""
    network = small()
    return network, fit(network, several, **OPTIONS)


def test_independent_labels_are_learnt(trained_on_several, several):
    network, history = trained_on_several
    test = several.indices("test")
    assert history["loss"].iloc[-1] < 0.45 < history["loss"].iloc[0]
    assert history["train_accuracy"].iloc[-1] > 0.9
    assert auroc(network, several, test) > 0.95  # the first such epoch is kept, its logits may all lie on one side of 0


def test_the_history_of_several_labels_has_the_auroc(trained_on_several):
    history = trained_on_several[1]
    assert list(history.columns) == ["epoch", "loss", "train_accuracy", "validation_auroc"]
    assert history["epoch"].tolist() == [1, 2, 3, 4, 5]


def test_the_best_auroc_of_the_history_is_that_of_the_network(trained_on_several, several):
    network, history = trained_on_several
    assert auroc(network, several, several.indices("validation")) == history["validation_auroc"].max()


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_resumed_run_with_several_labels_equals_an_undisturbed_one(trained_on_several, several, tmp_path, epochs):
    def stop(row: dict) -> None:
        if row["epoch"] == epochs:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(small(), several, **OPTIONS, resume=tmp_path / "state.pt", progress=stop)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert state["best"]["score"] == max(row["validation_auroc"] for row in state["rows"])
    network = small(seed=8)  # its weights come from the file
    history = fit(network, several, **OPTIONS, resume=tmp_path / "state.pt")
    assert same(network, trained_on_several[0])
    pd.testing.assert_frame_equal(history, trained_on_several[1], check_exact=True)


def test_two_runs_with_several_labels_are_equal_bit_for_bit(trained_on_several, several):
    torch.manual_seed(99)
    network = small()
    history = fit(network, several, **OPTIONS)
    assert same(network, trained_on_several[0])
    pd.testing.assert_frame_equal(history, trained_on_several[1], check_exact=True)


@pytest.mark.parametrize(("measured", "best"), [((0.2, 0.9, 0.5), 1), ((0.5, 0.5, 0.4), 0)])
def test_the_network_holds_the_first_epoch_of_the_best_auroc(several, monkeypatch, measured, best):
    scripted, epochs, network = iter(measured), [], small()
    monkeypatch.setattr(scoring, "auroc", lambda *given: next(scripted))

    def keep(row: dict) -> None:
        epochs.append({name: tensor.clone() for name, tensor in network.state_dict().items()})

    history = fit(network, several, epochs=3, batch=32, progress=keep)
    assert history["validation_auroc"].tolist() == list(measured)
    equal = [all(torch.equal(network.state_dict()[name], weights[name]) for name in weights) for weights in epochs]
    assert equal == [epoch == best for epoch in range(3)]


def test_the_validation_auroc_is_the_mean_over_the_representations(several, monkeypatch):
    negatives = dataclasses.replace(several, images=255 - several.images)
    monkeypatch.setattr(scoring, "auroc", lambda network, view, indices: 0.25 if view is several else 1.0)
    history = fit(small(), [several, negatives], epochs=1, batch=16)
    assert history["validation_auroc"].tolist() == [0.625]


def test_the_training_accuracy_of_several_labels_is_the_share_of_right_decisions(several):
    network = small()
    nn.init.zeros_(network.body.head[-1].weight)
    network.body.head[-1].bias.data = torch.tensor([100.0, -100.0, -100.0])  # the first label only
    history = fit(network, several, epochs=1, batch=96, lr=1e-6)
    labels = several.labels[:96]
    expected = ((labels[:, 0] == 1).sum() + (labels[:, 1:] == 0).sum()).item() / (96 * 3)
    assert history["train_accuracy"].tolist() == [expected]


def test_the_first_loss_is_the_binary_cross_entropy_of_the_epoch(several):
    network = small()
    expected = F.binary_cross_entropy_with_logits(network(several.batch(range(96))), several.labels[:96].float())
    history = fit(network, several, epochs=1, batch=96, lr=1e-6)
    assert history["loss"].tolist() == pytest.approx([expected.item()], rel=1e-5)


def test_a_validation_split_of_one_kind_stops_the_run(several):
    flat = dataclasses.replace(several, labels=several.labels.clone())
    flat.labels[96:128] = torch.tensor([1, 0, 0])
    with pytest.raises(ValueError, match="^no class has both positive and negative images among 32"):
        fit(small(), flat, epochs=1, batch=32)


# scores and losses of hand-made logits


class Scripted(nn.Module):
    """The logits of image i are row i, whatever the order and the batch."""

    def __init__(self, rows: list[list[float]]) -> None:
        super().__init__()
        self.rows = torch.tensor(rows)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.rows[(images[:, 0, 0, 0] * 255).round().long()]


def numbered(labels: list) -> Dataset:
    """One-pixel images; the pixel of image i is i."""
    return Dataset(
        images=np.arange(len(labels), dtype=np.uint8)[:, None, None, None],
        labels=torch.tensor(labels),
        split=np.array(["test"] * len(labels), dtype=object),
        classes=["a", "b", "c"],
        source="numbers",
        channels=1,
        size=1,
    )


EVERY = np.arange(4)
LOGITS = [[0.1, 3.0, -2.0], [0.4, -1.0, -1.0], [0.35, 2.0, 0.5], [0.8, -0.5, 0.0]]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([[0, 0, 0], [0, 0, 0], [1, 0, 0], [1, 0, 0]], 3 / 4),  # class a alone: 3 of its 4 pairs are in order
        ([[0, 0, 0], [0, 0, 0], [1, 0, 1], [1, 0, 1]], 7 / 8),  # c: 4 of 4
        ([[0, 1, 1], [0, 1, 1], [1, 1, 0], [1, 1, 0]], 3 / 8),  # c: 0 of 4; all of b are positive
        ([[0, 1, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]], 1.0),
        ([[1, 0, 0], [1, 1, 0], [1, 0, 0], [1, 0, 0]], 0.0),
    ],
)
def test_auroc_is_the_mean_over_the_classes_with_both_kinds(labels, expected):
    assert auroc(Scripted(LOGITS), numbered(labels), EVERY) == expected


def test_auroc_counts_a_tie_as_half():
    assert auroc(Scripted([[1.0], [1.0], [0.0], [2.0]]), numbered([[1], [0], [0], [1]]), EVERY) == 3.5 / 4


def test_auroc_is_about_the_images_asked_for():
    labels = [[0, 0, 0], [0, 0, 0], [1, 0, 0], [1, 0, 0]]
    assert auroc(Scripted(LOGITS), numbered(labels), np.array([1, 2])) == 0
    assert auroc(Scripted(LOGITS), numbered(labels), np.array([3, 0])) == 1


@pytest.mark.parametrize("label", [0, 1])
def test_auroc_without_a_class_of_both_kinds_is_an_error(label):
    expected = "^no class has both positive and negative images among 4, expected at least one$"
    with pytest.raises(ValueError, match=expected):
        auroc(Scripted(LOGITS), numbered([[label] * 3] * 4), EVERY)


def test_accuracy_of_several_labels_is_the_share_of_right_decisions():
    labels = [[1, 1, 0], [1, 0, 0], [0, 0, 1], [0, 1, 1]]  # right: 3, 3, 1 and 0 of 3; a logit of 0 says no
    assert accuracy(Scripted(LOGITS), numbered(labels), EVERY) == pytest.approx(7 / 12)
    assert accuracy(Scripted(LOGITS), numbered(labels), np.array([0, 1])) == 1


def test_accuracy_of_one_label_is_that_of_the_largest_logit():
    assert accuracy(Scripted(LOGITS), numbered([1, 0, 1, 1]), EVERY) == 0.75


def test_right_is_a_decision_per_image_or_per_label():
    logits = torch.tensor([[2.0, 1.0], [-1.0, 0.0]])
    assert right(logits, torch.tensor([0, 0])).tolist() == [True, False]
    assert right(logits, torch.tensor([[1, 0], [0, 0]])).tolist() == [[True, False], [True, True]]


def test_the_score_is_what_the_labels_allow():
    one, more = numbered([1, 0, 1, 1]), numbered([[0, 0, 0], [0, 0, 0], [1, 0, 0], [1, 0, 0]])
    assert (metric(one), metric(more)) == ("accuracy", "auroc")
    assert (score(Scripted(LOGITS), one, EVERY), score(Scripted(LOGITS), more, EVERY)) == (0.75, 0.75)
    other = numbered([[0, 0, 0], [0, 0, 0], [1, 0, 1], [1, 0, 1]])
    assert score(Scripted(LOGITS), other, EVERY) == 7 / 8 != accuracy(Scripted(LOGITS), other, EVERY)


def test_the_loss_of_one_label_is_torchs_cross_entropy():
    logits, labels = torch.tensor(LOGITS), torch.tensor([1, 0, 2, 0])
    assert torch.equal(classification_loss(logits, labels), nn.CrossEntropyLoss()(logits, labels))


@pytest.mark.parametrize("kind", [torch.int64, torch.bool, torch.float32])
def test_the_loss_of_several_labels_is_torchs_binary_cross_entropy(kind):
    logits, labels = torch.tensor(LOGITS), torch.tensor([[1, 1, 0], [1, 0, 0], [0, 0, 1], [0, 1, 1]])
    expected = nn.BCEWithLogitsLoss()(logits, labels.float())
    assert torch.equal(classification_loss(logits, labels.to(kind)), expected)


def test_the_loss_of_several_labels_is_the_mean_of_the_formula():
    logits = torch.tensor([[0.0, float(np.log(3))]])  # probabilities 1/2 and 3/4
    for labels, expected in (([[1, 1]], -np.log([1 / 2, 3 / 4])), ([[0, 0]], -np.log([1 / 2, 1 / 4]))):
        assert classification_loss(logits, torch.tensor(labels)).item() == pytest.approx(expected.mean(), rel=1e-6)
