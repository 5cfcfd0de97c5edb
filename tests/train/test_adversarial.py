import math
import re

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from aecompanion.attack.lp_ball import norm as lp_norm
from aecompanion.data.dataset import Dataset
from aecompanion.evaluate.robustness import robust
from aecompanion.networks import checkpoint
from aecompanion.networks.zoo import create
from aecompanion.pipeline.rng import generator, seeded
from aecompanion.train import adversarial, fit as plain, score
from aecompanion.train.adversarial import Adversary, Threat, fit

P = {"linf": math.inf, "l2": 2, "l1": 1}
THREATS = [Threat("linf", 0.03, 5), Threat("l2", 0.4, 5), Threat("l1", 3.0, 5)]
LINF = {"norm": "linf", "eps": 0.05, "steps": 5}
L1 = {"norm": "l1", "eps": 0.05, "steps": 5}
OPTIONS = {"epochs": 2, "batch": 16, "lr": 0.1}

every_threat = pytest.mark.parametrize("threat", THREATS, ids=[threat.norm for threat in THREATS])


@pytest.fixture(scope="module")
def toy():
    """240 images 4×4 of two classes. The first pixel tells them apart by far, but is wrong in a tenth of the images;
    the others always do, by 10/255.
    """
    rng, labels = np.random.default_rng(0), np.arange(240) % 2
    sign = 2 * labels - 1
    images = np.full((240, 1, 4, 4), 128.0) + 5 * sign[:, None, None, None]
    images[:, 0, 0, 0] = 128 + 60 * sign * np.where(rng.random(240) < 0.1, -1, 1)
    return Dataset(
        images=images.astype(np.uint8),
        labels=torch.from_numpy(labels),
        split=np.array((["train"] * 8 + ["validation", "test"]) * 24, dtype=object),
        classes=["dark", "bright"],
        source="toy",
        channels=1,
        size=4,
    )


def flat(*, classes: int, channels: int, size: int) -> nn.Sequential:
    """One linear layer."""
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size * size, classes))


def fresh(seed: int = 0):
    return create(flat, classes=2, channels=1, size=4, seed=seed, cam_layers=["0"])


def same(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def interrupt(row: dict) -> None:
    raise KeyboardInterrupt


# threats


@pytest.mark.parametrize(
    ("norm", "eps", "steps"),
    [("l3", 0.1, 5), ("", 0.1, 5), ("l2", 0, 5), ("l2", -1, 5), ("l2", math.nan, 5), ("linf", 0.1, 0)],
)
def test_a_threat_of_an_unknown_norm_without_radius_or_steps_is_an_error(norm, eps, steps):
    expected = (
        f"threat {norm!r}, eps {eps}, steps {steps}: expected one of linf, l2, l1, a positive radius and at least one "
        "step"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"):
        Threat(norm, eps, steps)


def test_no_threat_is_an_error(toy):
    for attempt in (lambda: Adversary([]), lambda: fit(fresh(), toy, threats=[], **OPTIONS)):
        with pytest.raises(ValueError, match="^no threat given, expected at least one to train against$"):
            attempt()


# which threat is drawn


@pytest.mark.parametrize(
    ("accuracies", "expected"),
    [
        ([None], [1]),
        ([0.3], [1]),
        ([1.0], [1]),
        ([None, None], [1 / 2, 1 / 2]),
        ([0.9, None], [1 / 2, 1 / 2]),
        ([0.9, 0.1, None], [1 / 3, 1 / 3, 1 / 3]),
        ([0.5, 0.75], [2 / 3, 1 / 3]),
        ([0.0, 1.0], [1, 0]),
        ([1.0, 1.0], [1 / 2, 1 / 2]),
        ([0.4, 0.7, 0.9], [0.6, 0.3, 0.1]),
    ],
)
def test_the_weaker_the_network_the_likelier_the_threat(accuracies, expected):
    adversary = Adversary(THREATS[: len(accuracies)])
    adversary.robust = accuracies
    assert adversary.chances().tolist() == pytest.approx(expected, rel=1e-5)


def test_before_anything_was_seen_all_threats_are_equal():
    adversary = Adversary(THREATS)
    assert adversary.chances().tolist() == pytest.approx([1 / 3] * 3)
    assert (adversary.robust, adversary.drawn) == ([None] * 3, [0] * 3)


@pytest.fixture
def no_attack(monkeypatch):
    """An attack that returns the images, and what it was asked for."""
    asked = []

    def returned(network, images, labels, **options):
        asked.append(options | {"images": images, "labels": labels})
        return images

    monkeypatch.setattr(adversarial, "apgd", returned)
    return asked


class First(nn.Module):
    """Always the first class."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.tensor([1.0, 0.0, 0.0]).expand(len(images), 3)


def test_the_running_accuracy_is_that_of_the_attacked_batch_and_then_a_tenth_of_the_new_one(no_attack):
    adversary, images = Adversary(THREATS[:2]), torch.rand(4, 2, 8, 8, generator=generator(9, 1))
    for _ in range(20):  # of four images three are of the first class
        adversary(First(), images, torch.tensor([0, 0, 1, 0]))
    assert adversary.robust == pytest.approx([0.75, 0.75])
    adversary.robust = [0.5, 1.0]  # so that the first one is drawn
    adversary(First(), images, torch.tensor([0, 1, 1, 1]))
    assert adversary.robust == pytest.approx([0.9 * 0.5 + 0.1 * 0.25, 1.0])


def test_only_the_drawn_threat_is_updated_and_counted(no_attack):
    adversary, images = Adversary(THREATS), torch.rand(4, 2, 8, 8, generator=generator(9, 1))
    adversary.robust = [1.0, 0.5, 1.0]
    adversary(First(), images, torch.tensor([0, 0, 0, 0]))
    assert adversary.robust == pytest.approx([1.0, 0.55, 1.0])
    assert adversary.drawn == [0, 1, 0]
    assert (no_attack[0]["norm"], no_attack[0]["eps"], no_attack[0]["steps"]) == ("l2", 0.4, 5)


def test_the_threats_are_drawn_with_their_chances(no_attack, monkeypatch):
    adversary, images = Adversary(THREATS), torch.rand(1, 2, 8, 8, generator=generator(9, 1))
    monkeypatch.setattr(Adversary, "chances", lambda self: torch.tensor([0.6, 0.3, 0.1]))
    with seeded(9, 2):
        for _ in range(400):
            adversary(First(), images, torch.tensor([0]))
    assert sum(adversary.drawn) == len(no_attack) == 400
    for count, chance in zip(adversary.drawn, (0.6, 0.3, 0.1), strict=True):
        assert abs(count - 400 * chance) < 4.5 * math.sqrt(400 * chance * (1 - chance))
    assert [each["norm"] for each in no_attack].count("l1") == adversary.drawn[2]


def test_the_draw_is_from_torchs_own_generator(no_attack):
    def norms():
        adversary, images = Adversary(THREATS), torch.rand(1, 2, 8, 8, generator=generator(9, 1))
        start = len(no_attack)
        for _ in range(20):
            adversary(First(), images, torch.tensor([1]))
        return [each["norm"] for each in no_attack[start:]]

    found = []
    for seed in (1, 1, 2):
        with seeded(seed):
            found.append(norms())
    assert found[0] == found[1] != found[2]


def test_the_accuracy_of_a_single_threat_is_not_asked_for(no_attack):
    adversary, asked = Adversary(THREATS[:1]), []
    network = First()
    network.register_forward_hook(lambda *given: asked.append(1))
    adversary(network, torch.rand(2, 2, 8, 8, generator=generator(9, 1)), torch.tensor([0, 1]))
    assert (adversary.robust, adversary.drawn, asked) == ([None], [1], [])


# the attacked batch


@every_threat
def test_the_batch_stays_in_the_ball_and_the_box_and_every_loss_rises(network, images, labels, threat):
    found = Adversary([threat])(network, images, labels)
    assert (found.shape, found.dtype) == (images.shape, images.dtype)
    assert 0 <= found.min() < found.max() <= 1
    assert (lp_norm(found - images, P[threat.norm]) <= threat.eps * (1 + 1e-5)).all()
    before, after = (F.cross_entropy(network(each), labels, reduction="none") for each in (images, found))
    assert (after > before + 1e-3).all()
    assert not found.requires_grad


@every_threat
def test_the_attack_of_a_linear_network_uses_the_whole_ball(linear, images, labels, threat):
    grey, eps = 0.3 + 0.4 * images, threat.eps / 3  # far from the edge of the box
    found = Adversary([Threat(threat.norm, eps, threat.steps)])(linear, grey, labels)
    assert lp_norm(found - grey, P[threat.norm]).tolist() == pytest.approx([eps] * 5, rel=1e-3)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("training", [True, False])
def test_the_network_comes_back_as_it_was(convolutional, images, labels, condition, count, training):
    convolutional.train(training).conv2.requires_grad_(False)
    weights = {name: value.clone() for name, value in convolutional.state_dict().items()}
    before, copy = condition(convolutional), images.clone()
    Adversary(THREATS[:count])(convolutional, images, labels)
    assert condition(convolutional) == before
    assert all(torch.equal(value, weights[name]) for name, value in convolutional.state_dict().items())
    assert torch.equal(images, copy)


def test_the_network_is_attacked_in_evaluation_mode(convolutional, images, labels):
    with seeded(9, 3):
        expected = Adversary(THREATS[:2])(convolutional.eval(), images, labels)
    with seeded(9, 3):
        found = Adversary(THREATS[:2])(convolutional.train(), images, labels)
    assert torch.equal(found, expected)


def test_the_attack_starts_at_the_image_with_few_values_in_l1(no_attack, images, labels):
    Adversary([THREATS[2]])(First(), images, labels)
    asked = no_attack[0]
    assert torch.equal(asked["images"], images)
    assert torch.equal(asked["labels"], labels)
    assert (asked["norm"], asked["eps"], asked["steps"], asked["sparsity"], asked["batch"]) == ("l1", 3.0, 5, 0.05, 5)
    assert asked.get("seed") is None


# training


@pytest.fixture(scope="module")
def robust_run(toy):
    """Network and history of training against linf."""
    network = fresh()
    return network, fit(network, toy, threats=[LINF], **OPTIONS)


def measured(network, toy) -> tuple[float, float]:
    """Accuracy and robust accuracy in linf over all images."""
    every = np.arange(len(toy))
    right = robust(network, toy.batch(every), toy.labels, norm="linf", eps=0.05, steps=5)
    return score.accuracy(network, toy, every), right.float().mean().item()


def test_plain_training_takes_the_feature_that_is_easily_attacked(toy):
    network = fresh()
    plain.fit(network, toy, **OPTIONS)
    assert measured(network, toy) == (1, 0)


def test_adversarial_training_takes_the_robust_feature(toy, robust_run):
    share = 1 - (toy.batch(range(240))[:, 0, 0, 0] > 0.5).ne(toy.labels == 1).float().mean().item()
    assert share < 0.95
    assert measured(robust_run[0], toy) == pytest.approx((share, share))


def test_training_against_two_threats_gives_a_robust_network(toy):
    network = fresh()
    fit(network, toy, threats=[LINF, L1], **OPTIONS)
    assert min(measured(network, toy)) > 0.85


def test_the_training_accuracy_is_that_of_attacked_images(toy, robust_run):
    history = robust_run[1]
    assert list(history.columns) == ["epoch", "loss", "train_accuracy", "validation_accuracy"]
    assert history["train_accuracy"].iloc[-1] < 0.95


@pytest.mark.parametrize("threats", [[LINF], [LINF, L1]], ids=["one", "two"])
def test_two_runs_are_equal_bit_for_bit_and_another_seed_is_another_run(toy, threats):
    networks = []
    for seed in (0, 0, 1):
        torch.manual_seed(len(networks))
        networks.append(fresh())
        fit(networks[-1], toy, threats=threats, **OPTIONS, seed=seed)
    assert same(networks[0], networks[1])
    assert not same(networks[0], networks[2])


def test_every_batch_is_crafted_by_one_adversary_with_these_threats(toy, monkeypatch):
    seen = []

    class Watched(Adversary):
        def __call__(self, network, images, labels):
            seen.append((self, len(images)))
            return images

    monkeypatch.setattr(adversarial, "Adversary", Watched)
    network, other = fresh(), fresh()
    fit(network, toy, threats=[LINF, L1], **OPTIONS)
    assert len({id(adversary) for adversary, _ in seen}) == 1
    assert seen[0][0].threats == [Threat(**LINF), Threat(**L1)]
    assert [count for _, count in seen] == [16] * 24  # 192 images in two epochs
    plain.fit(other, toy, **OPTIONS, keep="last")
    assert same(network, other)


def test_the_last_epoch_is_kept(toy, monkeypatch):
    scripted, epochs, network = iter((0.9, 0.5, 0.7)), [], fresh()
    monkeypatch.setattr(score, "accuracy", lambda *given: next(scripted))

    def keep(row: dict) -> None:
        epochs.append({name: tensor.clone() for name, tensor in network.state_dict().items()})

    fit(network, toy, threats=[LINF], **(OPTIONS | {"epochs": 3}), progress=keep)
    equal = [all(torch.equal(network.state_dict()[name], weights[name]) for name in weights) for weights in epochs]
    assert equal == [False, False, True]


def test_several_representations_are_attacked_too(toy):
    network, other = fresh(), fresh()
    fit(network, [toy, toy], threats=[LINF], **(OPTIONS | {"epochs": 1}))
    plain.fit(other, [toy, toy], **(OPTIONS | {"epochs": 1}))
    assert measured(network, toy)[1] > 0.85 > measured(other, toy)[1]


@pytest.mark.parametrize("wrong", [{"norm": "l3"}, {"eps": 0}])
def test_a_wrong_threat_stops_the_run_before_it_begins(toy, wrong):
    network = fresh()
    with pytest.raises(ValueError, match="^threat 'l"):
        fit(network, toy, threats=[LINF, LINF | wrong], **OPTIONS)
    assert same(network, fresh())


# killed runs


def test_one_threat_continues_a_killed_run_bit_for_bit(toy, robust_run, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fit(fresh(), toy, threats=[LINF], **OPTIONS, resume=tmp_path / "state.pt", progress=interrupt)
    assert [file.name for file in tmp_path.iterdir()] == ["state.pt"]
    network, rows = fresh(seed=8), []  # its weights come from the file
    options = OPTIONS | {"resume": tmp_path / "state.pt", "progress": rows.append}
    history = fit(network, toy, threats=[LINF], **options)
    assert [row["epoch"] for row in rows] == [2]
    assert same(network, robust_run[0])
    pd.testing.assert_frame_equal(history, robust_run[1], check_exact=True)


def test_several_threats_begin_anew_and_leave_no_file(toy, tmp_path):
    networks, rows = [fresh(), fresh()], []
    with pytest.raises(KeyboardInterrupt):
        fit(fresh(), toy, threats=[LINF, L1], **OPTIONS, resume=tmp_path / "state.pt", progress=interrupt)
    assert list(tmp_path.iterdir()) == []
    fit(networks[0], toy, threats=[LINF, L1], **OPTIONS, resume=tmp_path / "state.pt", progress=rows.append)
    assert [row["epoch"] for row in rows] == [1, 2]
    assert list(tmp_path.iterdir()) == []
    fit(networks[1], toy, threats=[LINF, L1], **OPTIONS)
    assert same(*networks)


# the checkpoint to begin from


@pytest.fixture
def start(tmp_path):
    """A checkpoint of a network of another seed."""
    checkpoint.save(fresh(seed=7), tmp_path / "start.safetensors")
    return tmp_path / "start.safetensors"


@pytest.mark.parametrize("kind", [str, lambda path: path], ids=["text", "path"])
def test_a_run_begins_from_the_checkpoint(toy, robust_run, start, kind):
    network, other = fresh(), fresh(seed=7)
    history = fit(network, toy, threats=[LINF], start=kind(start), **OPTIONS)
    expected = fit(other, toy, threats=[LINF], **OPTIONS)
    assert same(network, other)
    pd.testing.assert_frame_equal(history, expected, check_exact=True)
    assert not same(network, robust_run[0])


def test_the_checkpoint_itself_stays(toy, start):
    before = load_file(start)
    fit(fresh(), toy, threats=[LINF], start=str(start), **OPTIONS)
    after = load_file(start)
    assert all(torch.equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize("other", [(flat, 6), ("compact/digits", 16)], ids=["other-shapes", "other-layers"])
def test_a_checkpoint_of_another_network_is_an_error_in_one_sentence(toy, tmp_path, other):
    source, size = other
    other = create(source, classes=2, channels=1, size=size, cam_layers=["0"])
    checkpoint.save(other, tmp_path / "other.safetensors")
    with pytest.raises(ValueError) as error:
        fit(fresh(), toy, threats=[LINF], start=str(tmp_path / "other.safetensors"), **OPTIONS)
    text = str(error.value)
    assert text.startswith(f"{tmp_path / 'other.safetensors'}: weights do not fit function (")
    assert text.endswith(")")
    assert "\n" not in text
    assert error.value.__suppress_context__


def test_a_checkpoint_that_is_not_there_is_an_error_that_names_it(toy, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent\.safetensors"):
        fit(fresh(), toy, threats=[LINF], start=str(tmp_path / "absent.safetensors"), **OPTIONS)
