"""Prepared data have the recorded bytes, on every machine and on other code paths of this one."""

import hashlib
import os
import platform
import subprocess
import sys

import numpy as np
import prepared
import pytest
import yaml

from aecompanion.data import faces, photos
from aecompanion.pipeline import paths

RECORD = yaml.safe_load(prepared.RECORD.read_text())
# the plainest instructions that torch, oneDNN, MKL, numpy and OpenBLAS have on x86-64
PLAIN = {
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "MKL_CBWR": "COMPATIBLE",
    "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL",
    "OPENBLAS_CORETYPE": "Prescott",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX,-AVX2,-FMA,-FMA4,-AVX512F",
}


def test_every_stage_that_prepares_data_is_recorded():
    notebooks = {file.stem for file in prepared.NOTEBOOKS.glob("*.ipynb")}
    notebooks.discard("imagenet_data")  # asks networks, whose last digits depend on the processor
    assert notebooks - set(RECORD) == {"halftone_gallery"}  # draws, prepares nothing
    assert list(RECORD) == list(prepared.STAGES)


@pytest.mark.parametrize("stage", prepared.STAGES)
def test_a_prepared_set_has_the_recorded_content(stage, tmp_path):
    prepared.prepare(stage, tmp_path)
    assert prepared.hashes(tmp_path) == RECORD[stage]


def few() -> str:
    """The hash of a few faces and crops, each with every variation."""
    small = faces.embedded_faces(paths.raw("faces/lfw_subset.npy"), identities=20, samples=20, seed=3)
    some = dict(list(photos.files().items())[:15])
    crops = photos.crops(some, counts={"train": 20}, seed=3)
    return hashlib.sha256(small.images.tobytes() + crops.images.tobytes()).hexdigest()


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the names are those of x86-64")
def test_faces_and_photographs_do_not_depend_on_instructions_and_threads():
    code = f"import sys; sys.path.insert(0, {str(paths.ROOT / 'tests' / 'data')!r}); import test_prepared as t; "
    code += "import torch; print(torch.backends.cpu.get_cpu_capability(), t.few())"
    path = os.pathsep.join(str(paths.ROOT / folder) for folder in ("lib", "tests"))
    environment = os.environ | PLAIN | {"PYTHONPATH": path, "OMP_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["DEFAULT", few()]


def test_a_hash_is_of_content_not_of_compression(tmp_path):
    arrays = {"b": np.arange(6).reshape(2, 3), "a": np.ones(4, bool)}
    with (tmp_path / "one.npz").open("wb") as one, (tmp_path / "two.npz").open("wb") as two:
        np.savez(one, **arrays)
        np.savez_compressed(two, **dict(reversed(arrays.items())))
    assert (tmp_path / "one.npz").read_bytes() != (tmp_path / "two.npz").read_bytes()
    assert prepared.digest(tmp_path / "one.npz") == prepared.digest(tmp_path / "two.npz")


@pytest.mark.parametrize(
    "other", [np.arange(6).reshape(3, 2), np.arange(6.0).reshape(2, 3), np.arange(1, 7).reshape(2, 3)]
)
def test_shape_type_and_values_change_a_hash(other, tmp_path):
    np.save(tmp_path / "one.npy", np.arange(6).reshape(2, 3))
    np.save(tmp_path / "two.npy", other)
    assert prepared.digest(tmp_path / "one.npy") != prepared.digest(tmp_path / "two.npy")


def test_pictures_are_left_out_and_text_is_taken_as_it_is(tmp_path):
    (tmp_path / "displays").mkdir()
    (tmp_path / "displays" / "F1.png").write_bytes(b"picture")
    (tmp_path / "index.csv").write_bytes(b"label\n")
    assert prepared.hashes(tmp_path) == {"index.csv": hashlib.sha256(b"label\n").hexdigest()}
