"""One arithmetic on every processor: what a stage is started with, and what the library must not call."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from aecompanion.pipeline import arithmetic
from aecompanion.pipeline.paths import ROOT


@pytest.fixture
def processor(monkeypatch, tmp_path):
    def set_to(flags: str, machine: str = "x86_64") -> None:
        info = tmp_path / "cpuinfo"
        info.write_text(f"processor : 0\nmodel name : some\nflags : fpu {flags} hypervisor\n")
        monkeypatch.setattr(arithmetic, "Path", lambda _: info)
        monkeypatch.setattr(arithmetic.platform, "machine", lambda: machine)

    return set_to


@pytest.fixture
def nothing_set(monkeypatch):
    for name in arithmetic.VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_every_library_is_held_to_what_all_processors_with_avx2_have(processor, nothing_set):
    processor("fma avx2 avx512f")
    assert arithmetic.environment() == arithmetic.VARIABLES


@pytest.mark.parametrize(
    ("flags", "machine"), [("sse2", "x86_64"), ("avx2", "x86_64"), ("fma avx20", "x86_64"), ("fma avx2", "aarch64")]
)
def test_other_processors_are_left_alone(processor, nothing_set, flags, machine):
    processor(flags, machine)
    assert arithmetic.environment() == {}


def test_what_the_caller_has_set_stays(processor, nothing_set, monkeypatch):
    processor("fma avx2")
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "avx512")
    assert arithmetic.environment() == arithmetic.VARIABLES | {"ATEN_CPU_CAPABILITY": "avx512"}


def test_make_sets_the_same_variables():
    makefile = (ROOT / "Makefile").read_text()
    found = dict(re.findall(r"^export (\w+) \?= (.+)$", makefile, flags=re.MULTILINE))
    assert {name: found.get(name) for name in arithmetic.VARIABLES} == arithmetic.VARIABLES


@pytest.mark.skipif(not arithmetic.has_avx2(), reason="a processor without AVX2 computes with what it has")
def test_a_process_started_with_them_computes_on_avx2():
    code = (
        "import json, numpy, torch, threadpoolctl, scipy.linalg;"
        "from numpy._core._multiarray_umath import __cpu_features__ as features;"
        "blas = {each['architecture'] for each in threadpoolctl.threadpool_info() if each['user_api'] == 'blas' "
        "and each['internal_api'] == 'openblas'};"
        "print(json.dumps([torch.backends.cpu.get_cpu_capability(), features['X86_V4'], sorted(blas)]))"
    )
    environment = {"PATH": str(Path(sys.executable).parent), **arithmetic.VARIABLES}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == ["AVX2", False, ["Haswell"]]


def test_the_reciprocal_of_rsqrt_is_a_square_root():
    values = torch.tensor([0.0, 1.0, 4.0, 2.25])
    assert torch.equal(values.rsqrt().reciprocal(), torch.tensor([0.0, 1.0, 2.0, 1.5]))
    assert torch.equal(values / values.rsqrt(), torch.tensor([0.0, 1.0, 8.0, 3.375]))


def test_no_module_takes_the_square_root_that_depends_on_the_vendor():
    library = {file: file.read_text() for file in (ROOT / "lib").rglob("*.py")}
    roots = re.compile(r"(?<!math)(?<!np)\.sqrt\(|torch\.sqrt")
    unfused = re.compile(r"optim\.(?:N|R)?Adam\w*\((?!.*fused=True)")
    calls = {
        f"{file.name}: {line.strip()}"
        for file, text in library.items()
        for line in text.splitlines()
        if (roots.search(line) and "`" not in line) or unfused.search(line)
    }
    assert not calls
