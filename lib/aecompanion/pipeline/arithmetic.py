"""The same bits on every x86-64 processor: which code PyTorch and NumPy compute with.

Left alone, each library picks the widest instructions that the processor has, and sums of other widths round
otherwise: after two epochs a weight of an AVX-512 machine and one of an AVX2 machine differ in the second digit, and
some verdicts follow. `VARIABLES` hold every library to what all processors with AVX2 have (Intel since 2013, AMD since
2015), where the width, and so the order of every sum, is the same:

    ATen (element-wise, reductions)     ATEN_CPU_CAPABILITY      AVX2 kernels
    oneDNN (convolutions)               ONEDNN_MAX_CPU_ISA       AVX2 kernels
    MKL (products, exp, log, Fourier)   MKL_CBWR                 the one branch that does not ask for the vendor
    OpenBLAS (NumPy, SciPy)             OPENBLAS_CORETYPE        kernels of Haswell
    NumPy's own loops                   NPY_DISABLE_CPU_FEATURES no AVX-512

One function is left that no variable reaches: MKL's vector square root (`Tensor.sqrt`, and Adam unless it is fused)
starts from an approximation that the vendors' hardware makes differently. So the library takes norms or writes
`x.rsqrt().reciprocal()`, and its optimisers are fused.

Tried with QEMU's emulated Intel Haswell beside an AMD EPYC with AVX-512: `benchmarks/other_processor.py`.
"""

import os
import platform
from pathlib import Path

VARIABLES = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "COMPATIBLE",
    "OPENBLAS_CORETYPE": "Haswell",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
}


def environment() -> dict[str, str]:
    """`VARIABLES` for a process that is started, {} on a processor without AVX2; what the caller has set stays."""
    if not has_avx2():
        return {}
    return {name: os.environ.get(name, value) for name, value in VARIABLES.items()}


def has_avx2() -> bool:
    """Whether this is an x86-64 processor with AVX2, as far as the system says (Linux)."""
    info = Path("/proc/cpuinfo")
    if platform.machine() not in ("x86_64", "AMD64") or not info.is_file():
        return False
    flags = next((line for line in info.read_text().splitlines() if line.startswith("flags")), "")
    return {"avx2", "fma"} <= set(flags.split())
