import argparse
import os
import re
from collections import OrderedDict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from aecompanion.networks.foreign import load_foreign

STATE = {
    "fc.weight": torch.tensor([[1.0, 2.0], [3.0, 4.0]]),
    "fc.bias": torch.tensor([0.5, -0.5]),
    "norm.weight": torch.tensor([2.0, 1.0]),
    "norm.bias": torch.tensor([0.0, 1.0]),
    "norm.running_mean": torch.tensor([1.0, 0.0]),
    "norm.running_var": torch.tensor([4.0, 9.0]),
    "norm.num_batches_tracked": torch.tensor(7),
}
PREFIXES = ["", "module.", "model.", "attacker.model.", "module.model.", "module.attacker.model.", "net.", "body."]
PREFIXES += ["_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "model._orig_mod."]


@pytest.fixture
def body():
    return nn.Sequential(OrderedDict(fc=nn.Linear(2, 2), norm=nn.BatchNorm1d(2))).eval()


@pytest.fixture
def stored(tmp_path):
    """Saves an object and returns its file."""

    def save(content):
        torch.save(content, tmp_path / "robust.pt")
        return tmp_path / "robust.pt"

    return save


def prefixed(prefix, state=STATE):
    return {prefix + name: value for name, value in state.items()}


def without(*names):
    return {name: value for name, value in STATE.items() if name not in names}


def holds(body, state=STATE):
    return all(torch.equal(body.state_dict()[name], value) for name, value in state.items())


def refused(body, file, rest):
    """The file is refused with these words, and the body stays as it was."""
    before = {name: value.clone() for name, value in body.state_dict().items()}
    with pytest.raises(ValueError, match=f"^{re.escape(f'{file}: {rest}')}$"):
        load_foreign(body, file)
    assert holds(body, before)


# what fits


@pytest.mark.parametrize("prefix", PREFIXES)
def test_the_prefixes_of_wrappers_are_stripped(body, stored, prefix):
    assert load_foreign(body, stored(prefixed(prefix))) == []
    assert holds(body)


@torch.no_grad()
def test_the_loaded_body_gives_the_logits_on_paper(body, stored):
    """fc: (3.5, 6.5); norm: 2·(3.5 - 1)/2 and 6.5/3 + 1, apart from the 1e-5 below the root."""
    load_foreign(body, stored(prefixed("module.")))
    assert body(torch.ones(1, 2))[0].tolist() == pytest.approx([2.5, 6.5 / 3 + 1], rel=1e-4)


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize(
    "container",
    ["state_dict", "model", "model_state_dict", "net", "net_state_dict", "ema", "state_dict_ema", "model_ema"],
)
def test_the_weights_may_lie_one_level_down_beside_other_things(body, stored, container, prefix):
    assert load_foreign(body, stored({"epoch": 3, container: prefixed(prefix), "arch": "resnet50"})) == []
    assert holds(body)


def test_an_averaged_network_is_read_without_its_counter(body, stored):
    averaged = torch.optim.swa_utils.AveragedModel(body)
    averaged.module.load_state_dict(STATE)
    assert load_foreign(body, stored(averaged.state_dict())) == ["n_averaged"]
    assert holds(body)


@pytest.mark.parametrize("wrapper", ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"])
def test_wrappers_inside_names_are_taken_out_unless_the_network_has_them(stored, wrapper):
    inner = nn.Sequential(OrderedDict(fc=nn.Linear(2, 2)))
    state = {f"fc.{wrapper}.weight": STATE["fc.weight"], f"fc.{wrapper}.bias": STATE["fc.bias"]}
    load_foreign(inner, stored(state))
    assert torch.equal(inner.fc.weight, STATE["fc.weight"])
    wrapped = nn.Sequential(OrderedDict(fc=nn.ModuleDict({wrapper: nn.Linear(2, 2)})))
    load_foreign(wrapped, stored(state))
    assert holds(wrapped, state)


def test_weights_go_into_a_compiled_network_too(body, stored):
    load_foreign(torch.compile(body, backend="eager"), stored(prefixed("_orig_mod.")))
    assert holds(body)


@pytest.mark.parametrize("head", ["AuxLogits.conv0.conv.weight", "aux1.fc1.weight"])
def test_heads_that_only_training_runs_are_ignored_and_named(body, stored, head):
    assert load_foreign(body, stored(prefixed("module.", STATE | {head: torch.zeros(1)}))) == [head]
    assert holds(body)


def test_an_ordered_dictionary_is_a_state_dict(body, stored):
    load_foreign(body, stored(OrderedDict(STATE)))
    assert holds(body)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_safetensors_are_read(body, tmp_path, prefix):
    save_file(prefixed(prefix), tmp_path / "robust.safetensors")
    assert load_foreign(body, str(tmp_path / "robust.safetensors")) == []
    assert holds(body)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_normalisation_kept_as_weights_is_ignored_and_named(body, stored, prefix):
    extra = {name: torch.zeros(3) for name in ("normalize.mean", "normalizer.new_std", "mean", "std")}
    found = load_foreign(body, stored(prefixed(prefix, STATE | extra)))
    assert found == ["normalize.mean", "normalizer.new_std", "mean", "std"]
    assert holds(body)


def test_a_body_whose_own_names_start_like_a_prefix_keeps_them(stored):
    body = nn.Sequential(OrderedDict(model=nn.Linear(2, 2)))
    state = {"model.weight": STATE["fc.weight"], "model.bias": STATE["fc.bias"]}
    for prefix in ("", "module.", "model."):
        body.model.reset_parameters()
        load_foreign(body, stored(prefixed(prefix, state)))
        assert holds(body, state)


def test_the_number_of_batches_seen_may_be_missing(body, stored):
    load_foreign(body, stored(without("norm.num_batches_tracked")))
    assert holds(body, without("norm.num_batches_tracked"))
    assert body.norm.num_batches_tracked == 0


# what does not fit


def test_a_missing_entry_is_named(body, stored):
    refused(body, stored(without("fc.bias")), "does not fit Sequential (missing fc.bias)")


def test_three_missing_entries_are_named_and_more_announced(body, stored):
    three = without("fc.bias", "norm.weight", "norm.bias")
    refused(body, stored(three), "does not fit Sequential (missing fc.bias, norm.weight, norm.bias)")
    four = without("fc.weight", "fc.bias", "norm.weight", "norm.bias")
    refused(body, stored(four), "does not fit Sequential (missing fc.weight, fc.bias, norm.weight and more)")


@pytest.mark.parametrize("prefix", ["", "module."])
def test_an_unexpected_entry_is_named(body, stored, prefix):
    state = prefixed(prefix, STATE | {"head.weight": torch.zeros(1)})
    refused(body, stored(state), "does not fit Sequential (unexpected head.weight)")


def test_entries_under_another_name_are_missing_and_unexpected(body, stored):
    state = without("fc.bias") | {"fc.offset": torch.zeros(2)}
    refused(body, stored(state), "does not fit Sequential (missing fc.bias; unexpected fc.offset)")


def test_the_first_entry_of_another_shape_is_named_with_both(body, stored):
    state = STATE | {"fc.weight": torch.zeros(3, 2), "fc.bias": torch.zeros(3)}
    refused(
        body,
        stored(state),
        "has 3 classes, expected 2 (fc.weight of Sequential is (3, 2)): set classes to what the weights have",
    )
    refused(
        body,
        stored(STATE | {"norm.weight": torch.zeros(3)}),
        "does not fit Sequential (norm.weight is (3,), expected (2,))",
    )


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_another_precision_is_read_into_the_networks_own(body, stored, kind):
    load_foreign(body, stored({name: value.to(kind) for name, value in STATE.items()}))
    assert holds(body)
    assert {value.dtype for name, value in body.state_dict().items() if "num" not in name} == {torch.float32}


def test_quantised_weights_and_nan_are_refused(body, stored):
    refused(
        body,
        stored(STATE | {"fc.weight": torch.ones(2, 2, dtype=torch.int8)}),
        "fc.weight holds torch.int8 numbers, expected floating point (not quantised)",
    )
    refused(
        body,
        stored(STATE | {"fc.bias": torch.tensor([0.0, torch.nan])}),
        "fc.bias holds NaN or infinite numbers, expected finite ones",
    )


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_a_file_that_ends_early_is_refused(body, stored, tmp_path, suffix):
    file = tmp_path / f"cut.{suffix}"
    save_file(STATE, file) if suffix == "safetensors" else file.write_bytes(stored(STATE).read_bytes())
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ValueError, match=rf"^{re.escape(str(file))}: cannot be read as weights \(.{{1,120}}\)$"):
        load_foreign(body, file)


@pytest.mark.parametrize("content", [[1, 2], {}, {"epoch": 3}, {"state_dict": {"epoch": 3}}, {"other": dict(STATE)}, 5])
def test_what_is_no_state_dict_is_an_error(body, stored, content):
    expected = "state_dict, model, model_state_dict, net, net_state_dict, ema, state_dict_ema, model_ema"
    refused(body, stored(content), f"holds no state dict, expected names and tensors (or these under {expected})")


class Harmful:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def test_a_pickle_is_refused_and_does_not_run(body, stored, tmp_path):
    file = stored(STATE | {"extra": Harmful(tmp_path / "made")})
    with pytest.raises(ValueError, match=rf"^{re.escape(str(file))}: cannot be read as weights \(.{{1,120}}\)$"):
        load_foreign(body, file)
    assert not (tmp_path / "made").exists()


def test_a_whole_network_and_bytes_of_another_kind_are_refused(body, stored, tmp_path):
    file = stored(body)
    for _ in range(2):
        with pytest.raises(ValueError, match=rf"^{re.escape(str(file))}: cannot be read as weights \(.{{1,120}}\)$"):
            load_foreign(body, file)
        file.write_bytes(b"no weights")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
        ({"model": STATE, "args": argparse.Namespace(lr=0.1)}, "argparse.Namespace"),
        ({"model": STATE, "best": np.float64(0.9)}, "numpy._core.multiarray.scalar"),
    ],
)
def test_python_objects_are_named_with_what_to_save(body, stored, content, kind):
    reason = f"it pickles {kind}: save the network's state_dict() and nothing else"
    refused(body, stored(content), f"cannot be read as weights ({reason})")


@pytest.mark.parametrize("name", ["bytes.pt", "bytes.safetensors"])
def test_what_torch_says_of_other_bytes_is_one_printable_line(body, tmp_path, name):
    file = tmp_path / name
    file.write_bytes(b"no weights")
    with pytest.raises(ValueError, match=r"cannot be read as weights \(.{1,120}\)$") as caught:
        load_foreign(body, file)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["none.pt", "none.safetensors"])
def test_a_missing_file_is_named(body, tmp_path, name):
    expected = f"{tmp_path / name}: no such file, expected a state dict (.pt, .pth or .safetensors)"
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(expected)}$"):
        load_foreign(body, tmp_path / name)
