"""A callable from elsewhere, tried on one pair and on two before anything is computed with it.

    explain  (model, images, target, options) -> maps N×1×H×W      attack  (model, images, labels, eps=...) -> images
    defend   (images) -> images                                    detect  (model, images) -> N scores

`checked` refuses, in one sentence, what would make numbers wrong, and takes the rest with a note:

    refused     another shape, values that are not finite, a device that cannot be read; an exception; a network that
                comes back in another mode, with other weights or with hooks; more seconds for a pair than `limit`
    with note   images changed in place (each call gets a copy); values on another device (brought back), as NumPy
                (converted), attached to a graph (detached), outside [0, 1] (clipped); images that have to ask for
                gradients (they do); a function of one image, or one whose answer depends on the images beside it
                (called image by image); noise from torch's own generator (fixed per image)

The trial runs on a copy of the network, whose passes are counted. From then on `Checked` answers as one of ours would:
a tensor of the right shape, detached, on the images' device, every image by itself, the network and the images as
they were.
"""

import contextlib
import copy
import dataclasses
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from aecompanion.networks.borrow import borrowed, device_of
from aecompanion.pipeline.rng import seeded
from aecompanion.studies.own_state import Counted, TooSlow, changed_state, deadline, state_of
from aecompanion.studies.own_values import convert, of_images

KINDS = ("explain", "attack", "defend", "detect")
ALIKE = 1e-3  # of the largest value: how far two answers for the same image may differ
NO_GRADIENT = "does not require grad"  # torch's words, where the images would have to
Call = Callable[..., Any]  # (model, images, labels, options) to anything
Pairs = tuple[torch.Tensor, torch.Tensor, Any]  # images, labels, options


@dataclasses.dataclass(eq=False)
class Checked:
    """A callable that passed. notes: what was taken with a note. seconds, forward, backward: for one pair, measured.

    single: it is called image by image; graded: images ask for gradients; drawn: torch's generator is fixed per image.
    """

    name: str
    kind: str
    call: Call
    notes: list[str] = dataclasses.field(default_factory=list)
    seconds: float = 0.0
    forward: int = 0
    backward: int = 0
    single: bool = False
    graded: bool = False
    drawn: bool = False

    def __call__(
        self,
        model: nn.Module | None,
        images: torch.Tensor,
        labels: torch.Tensor | None = None,
        options: Any = None,
        *,
        seed: int = 0,
        keys: Sequence[int] | None = None,
    ) -> torch.Tensor:
        """Maps N×1×H×W, images like `images`, or N scores. seed, keys: of the noise, a key per image.

        Raises ValueError with the callable's name where it fails or breaks its promises after all.
        """
        if not self.single:
            return self.answer(model, (images, labels, options))
        keys, parts = range(len(images)) if keys is None else keys, []
        for i, key in enumerate(keys):
            part = images[i : i + 1], None if labels is None else labels[i : i + 1], of_images(options, i, i + 1)
            with seeded(seed, int(key)) if self.drawn else contextlib.nullcontext():
                parts.append(self.answer(model, part))
        return torch.cat(parts)

    def answer(self, model: nn.Module | None, pairs: Pairs) -> torch.Tensor:
        """The values for these pairs; the network comes back as it was."""
        with borrowed(model) if model is not None else contextlib.nullcontext():
            return self.noted(self.ask(model, pairs)[0], pairs[0])[0]

    def ask(self, model: nn.Module | None, pairs: Pairs) -> tuple[Any, torch.Tensor]:
        """What the callable itself gives, and the copy of the images that it was given. Raises ValueError."""
        images, labels, options = pairs
        device = images.device if model is None else device_of(model)
        given = images.detach().to(device, copy=True).requires_grad_(self.graded)
        labels = None if labels is None else labels.to(device)
        try:
            with torch.enable_grad():
                return self.call(model, given, labels, options), given
        except Exception as error:
            if not self.graded and NO_GRADIENT in str(error):
                self.graded = True
                return self.ask(model, pairs)
            raise self.refusal(f"raises {told(error)}, expected an answer") from error

    def noted(self, found: Any, images: torch.Tensor) -> tuple[torch.Tensor, list[str]]:
        """What the callable gave, as this project has it, and the notes of `convert`. Raises ValueError."""
        try:
            return convert(self.kind, found, images)
        except ValueError as error:
            raise self.refusal(str(error)) from None

    def refusal(self, words: str) -> ValueError:
        """One sentence."""
        return ValueError(f"{self.kind}={self.name}: {words}")


def told(error: Exception) -> str:
    """An exception in a few words: its kind, its message, and the last line outside installed packages."""
    frames = traceback.extract_tb(error.__traceback__)
    last = [frame for frame in frames if "site-packages" not in frame.filename][-1]  # the first frame is this module's
    message = " ".join(str(error).split())[:160]
    return f"{type(error).__name__} ({message or 'without a message'}) in {Path(last.filename).name}:{last.lineno}"


def checked(
    name: str,
    kind: str,
    call: Call,
    model: nn.Module | None,
    images: torch.Tensor,
    labels: torch.Tensor,
    options: Any = None,
    *,
    limit: float = 10.0,
) -> Checked:
    """`call` as a `Checked`, tried on the first two of at least two pairs (image, class).

    Args:
        name: how sentences call it. kind: one of KINDS. call: (model, images, labels, options) to anything; `model` is
            None for what asks no network. limit: seconds that one pair may take; in the main thread the trial ends
            after as many.

    Raises ValueError in one sentence, see above. The caller's network is never touched.
    """
    if kind not in KINDS or len(images) < 2:
        raise ValueError(f"kind {kind!r} with {len(images)} images: expected one of {', '.join(KINDS)}, and two images")
    found, network = Checked(name, kind, call), copy.deepcopy(model)
    one, two = ((images[:n], labels[:n], of_images(options, 0, n)) for n in (1, 2))
    with borrowed(network) if network is not None else contextlib.nullcontext():
        first = trial(found, network, one, limit)
        if not alike(first, found.answer(network, one)):
            note_chance(found, network, one)
        elif why := apart(found, network, two, first):
            found.single = True
            found.notes.append(f"{why}: it is called image by image")
    return found


def trial(found: Checked, network: nn.Module | None, pair: Pairs, limit: float) -> torch.Tensor:
    """The answer for one pair; notes, time and passes are kept. Raises ValueError."""
    before, images = state_of(network), pair[0]
    with Counted(network) as counted:
        began = time.perf_counter()
        try:
            with deadline(limit):
                answer, given = found.ask(network, pair)
        except TooSlow:
            raise slow(found, limit) from None
        found.seconds = time.perf_counter() - began
    if found.seconds > limit:
        raise slow(found, limit)
    if problem := changed_state(network, before):
        raise found.refusal(f"{problem}, expected the network as it was")
    found.forward, found.backward = counted.forward, counted.backward
    if found.graded:
        found.notes.append("needs images that ask for gradients, which it is given")
    if not torch.equal(given.detach().to(images.device), images):
        found.notes.append("changes the images that it is given: each call gets a copy")
    values, notes = found.noted(answer, images)
    found.notes += notes
    return values


def slow(found: Checked, limit: float) -> ValueError:
    return found.refusal(f"takes more than {limit:g} s for one pair, expected less: a faster one, or a larger `limit`")


def note_chance(found: Checked, network: nn.Module | None, pair: Pairs) -> None:
    """Whether two answers that differed are the same where torch's own generator is fixed."""
    found.single, answers = True, []
    for _ in range(2):
        with seeded(0, 0):
            answers.append(found.answer(network, pair))
    found.drawn = alike(*answers)
    if found.drawn:
        found.notes.append("draws noise from torch's own generator, which is fixed for every image")
    else:
        found.notes.append("answers differently each time: its numbers do not repeat")


def apart(found: Checked, network: nn.Module | None, pairs: Pairs, first: torch.Tensor) -> str | None:
    """Why two images cannot be asked about at once, None if they can."""
    try:
        values = found.answer(network, pairs)
    except ValueError:
        return "fails on two images at once"
    return None if alike(values[:1], first) else "answers otherwise when another image is beside the first"


def alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    """The same up to ALIKE of the largest value."""
    return bool((one - other).abs().max() <= ALIKE * max(float(one.abs().max()), 1e-12))
