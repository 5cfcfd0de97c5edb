"""Weights of somebody else's training: a state dict by path, with the prefixes that wrappers leave on its names.

Networks are released as `torch.save`d dictionaries whose names carry "module." (DataParallel, AveragedModel),
"_orig_mod." (torch.compile), "model." or "attacker.model." (the robustness package), and whose weights may lie one
level down, under "state_dict", "model" or "state_dict_ema" (timm). `load_foreign` strips what is common to all names
and loads strictly: a checkpoint that does not fit names the first missing and unexpected entries instead of leaving
layers at random. Entries of auxiliary heads that the network was built without are left out.
"""

import re
import textwrap
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from aecompanion.networks.borrow import plain

CONTAINERS = ("state_dict", "model", "model_state_dict", "net", "net_state_dict", "ema", "state_dict_ema", "model_ema")
PREFIXES = ("module.", "model.", "attacker.", "net.", "body.")
WRAPPERS = {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}  # of torch, anywhere in a name
IGNORED = ("normalize", "normalizer", "mean", "std", "attacker")  # normalisation kept as weights, a wrapper's copies
IGNORED += ("n_averaged", "AuxLogits", "aux1", "aux2")  # a counter, heads that only training runs


def load_foreign(body: nn.Module, file: Path) -> list[str]:
    """Load the state dict in `file` (.pt, .pth, .safetensors) into `body`, strictly; returns the ignored entries.

    Raises FileNotFoundError for a missing file, ValueError naming the file where it holds no state dict or one that
    does not fit (up to three missing and three unexpected names, or the first shape that differs).
    """
    file = Path(file)
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such file, expected a state dict (.pt, .pth or .safetensors)")
    try:
        found = load_file(file) if file.suffix == ".safetensors" else torch.load(file, "cpu", weights_only=True)
    except Exception as error:  # pickle, zip, torch and safetensors errors alike
        raise ValueError(f"{file}: cannot be read as weights ({reason(error)})") from error
    found = unwrapped(found, file)
    body = plain(body)
    wanted = body.state_dict()
    named = best_prefix(without_wrappers(found, set(wanted)), set(wanted))
    ignored = [name for name in named if name not in wanted and name.split(".")[0] in IGNORED]
    kept = {name: value for name, value in named.items() if name not in ignored}
    missing = [name for name in wanted if name not in kept and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in kept if name not in wanted]
    if missing or unexpected:
        parts = [
            f"{kind} {', '.join(names[:3])}{' and more' if len(names) > 3 else ''}"
            for kind, names in (("missing", missing), ("unexpected", unexpected))
            if names
        ]
        raise ValueError(f"{file}: does not fit {type(body).__name__} ({'; '.join(parts)})")
    check_shapes(kept, wanted, type(body).__name__, file)
    check_numbers(kept, file)
    body.load_state_dict(kept, strict=False)
    return ignored


def check_shapes(kept: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor], kind: str, file: Path) -> None:
    """Raises ValueError for the first entry of another shape; where it is the last layer's number of outputs alone, the
    sentence is about classes.
    """
    wrong = [name for name, value in kept.items() if value.shape != wanted[name].shape]
    if not wrong:
        return
    name = wrong[0]
    has, needs = tuple(kept[name].shape), tuple(wanted[name].shape)
    last = [each for each in wanted if wanted[each].dim() >= 2][-1].rpartition(".")[0]
    if {each.rpartition(".")[0] for each in wrong} == {last} and has[1:] == needs[1:]:
        raise ValueError(
            f"{file}: has {has[0]} classes, expected {needs[0]} ({name} of {kind} is {has}): set classes to what the "
            "weights have"
        )
    raise ValueError(f"{file}: does not fit {kind} ({name} is {has}, expected {needs})")


def check_numbers(kept: dict[str, torch.Tensor], file: Path) -> None:
    """Half and double precision become the network's own on loading; quantised weights and NaN are refused."""
    for name, value in kept.items():
        if name.endswith("num_batches_tracked"):
            continue
        if not value.is_floating_point():
            raise ValueError(f"{file}: {name} holds {value.dtype} numbers, expected floating point (not quantised)")
        if not bool(value.float().isfinite().all()):
            raise ValueError(f"{file}: {name} holds NaN or infinite numbers, expected finite ones")


def reason(error: Exception) -> str:
    """Why a file could not be read, in one printable line of at most 120 characters."""
    pickled = re.search(r"GLOBAL ([\w.]+)", str(error))
    if pickled:
        return f"it pickles {pickled[1][-60:]}: save the network's state_dict() and nothing else"
    words = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).split()
    return textwrap.shorten("".join(each for each in " ".join(words) if each.isprintable()), 120, placeholder=" ...")


def without_wrappers(found: dict[str, torch.Tensor], wanted: set[str]) -> dict[str, torch.Tensor]:
    """The entries without the parts of their names that torch's wrappers leave, unless the network has them too."""
    return {
        name if name in wanted else ".".join(part for part in name.split(".") if part not in WRAPPERS): value
        for name, value in found.items()
    }


def unwrapped(found, file: Path) -> dict[str, torch.Tensor]:
    """The dictionary of tensors, also where it lies one level down."""
    for _ in range(2):
        if isinstance(found, dict) and found and all(isinstance(value, torch.Tensor) for value in found.values()):
            return found
        inner = [found[key] for key in CONTAINERS if isinstance(found, dict) and isinstance(found.get(key), dict)]
        if not inner:
            break
        found = inner[0]
    raise ValueError(
        f"{file}: holds no state dict, expected names and tensors (or these under {', '.join(CONTAINERS)})"
    )


def best_prefix(found: dict[str, torch.Tensor], wanted: set[str]) -> dict[str, torch.Tensor]:
    """The entries with leading prefixes taken off as long as that makes more names known."""
    while True:
        known = len(wanted & set(found))
        options = [strip(found, prefix) for prefix in PREFIXES]
        best = max(options, key=lambda option: len(wanted & set(option)))
        deeper = [option for option in options if option.keys() != found.keys()]
        if len(wanted & set(best)) > known:
            found = best
        elif known == 0 and deeper:
            found = deeper[0]
        else:
            return found


def strip(found: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """All entries, without the prefix where they carry it; one that would take another's name keeps its own."""
    return {
        inner if (inner := name.removeprefix(prefix)) == name or inner not in found else name: value
        for name, value in found.items()
    }
