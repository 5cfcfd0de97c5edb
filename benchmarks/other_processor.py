"""Whether another processor computes the same bits: this one beside emulated ones, under the pipeline's variables.

    python benchmarks/other_processor.py                    # Haswell (Intel, AVX2) and EPYC-Rome (AMD, AVX2)
    python benchmarks/other_processor.py Skylake-Server     # another of `qemu-x86_64 -cpu help`
    python benchmarks/other_processor.py --free             # without the variables: what they are for

Each processor trains every compact network for three steps, looks with it and with a network at 224 pixels, and
computes what NumPy, SciPy and torch offer here; the hashes of all results are printed side by side, and the exit status
is 1 where one differs. QEMU's user mode (Debian: qemu-user) has no AVX-512 and takes minutes. An emulation shows that
no library asks for the vendor, the model or the size of the caches; it is no other machine.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd

from aecompanion.networks.compact import FAMILIES
from aecompanion.pipeline import arithmetic

PROCESSORS = ("Haswell", "EPYC-Rome")


def digest(*arrays) -> str:
    """The first ten characters of the SHA-256 of some tensors or arrays."""
    import numpy as np

    return hashlib.sha256(b"".join(np.ascontiguousarray(each).tobytes() for each in arrays)).hexdigest()[:10]


def probe() -> None:
    """Print a line per computation: its name and the hash of what came out."""
    import numpy as np
    import scipy.linalg
    import torch
    from torch.nn import functional as F

    from aecompanion.networks import zoo

    torch.set_num_threads(1)
    generator, rng = torch.Generator().manual_seed(0), np.random.default_rng(0)
    values, square = torch.rand(1000, 37, generator=generator) + 0.01, rng.standard_normal((200, 200))
    for name in ["exp", "log", "log1p", "tanh", "sigmoid", "sin", "cos", "rsqrt", "erf", "reciprocal"]:
        print(f"torch {name}", digest(getattr(torch, name)(values)), sep="\t", flush=True)
    parts = [values.sum(), values.sum(0), values.std(), values.softmax(1), values.logsumexp(1), values.norm(dim=1)]
    print("torch sums", digest(*parts), sep="\t")
    print("torch products", digest(values.T @ values, values.T.double() @ values.double()), sep="\t")
    print("torch Fourier", digest(torch.view_as_real(torch.fft.rfft2(values))), sep="\t")
    for name in ["exp", "log", "tanh", "sin", "cbrt"]:
        print(f"numpy {name}", digest(getattr(np, name)(np.abs(square))), sep="\t")
    print("numpy linear algebra", digest(square @ square, np.linalg.svd(square)[1]), sep="\t")
    print("scipy linear algebra", digest(scipy.linalg.solve(square, square[0])), sep="\t")

    photographs = torch.rand(2, 3, 224, 224, generator=generator).requires_grad_()
    logits = zoo.create("pip/efficientnet_lite0", classes=1000).eval()(photographs)
    logits[:, 3].sum().backward()
    print("efficientnet_lite0, gradient", digest(logits.detach(), photographs.grad), sep="\t", flush=True)
    images, labels = torch.rand(96, 1, 64, 64, generator=generator), torch.arange(32)
    for name in FAMILIES:
        network = zoo.create(f"compact/{name}", classes=40, channels=1, size=64, seed=0, multi_label=False)
        with torch.no_grad():
            seen = network.eval()(images)
        optimizer = torch.optim.AdamW(network.train().parameters(), lr=1e-3, fused=True)
        for batch in images.split(32):
            optimizer.zero_grad()
            F.cross_entropy(network(batch), labels).backward()
            optimizer.step()
        weights = [each.detach() for each in network.parameters()]
        print(f"compact {name}, 3 steps", digest(seen, *weights), sep="\t", flush=True)


def hashes(processor: str | None, environment: dict[str, str]) -> pd.Series:
    """What `probe` prints on an emulated processor, None: on this one."""
    python = [sys.executable, __file__, "--probe"]
    if processor:  # qemu starts the interpreter itself, told the path of its virtual environment
        python = ["qemu-x86_64", "-cpu", processor, "-0", sys.executable, str(Path(sys.executable).resolve())]
        python += [__file__, "--probe"]
    done = subprocess.run(python, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{processor or 'this processor'}: {done.stderr.strip().splitlines()[-1]}")
    return pd.Series(dict(line.split("\t") for line in done.stdout.splitlines()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("processors", nargs="*", default=PROCESSORS)
    parser.add_argument("--free", action="store_true", help="leave the code path to the processor")
    parser.add_argument("--probe", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.probe:
        probe()
        return
    if not shutil.which("qemu-x86_64"):
        sys.exit("qemu-x86_64 is missing: install QEMU's user mode (Debian: apt-get install qemu-user)")
    given = {name: value for name, value in os.environ.items() if name not in arithmetic.VARIABLES}
    environment = given | {"OMP_NUM_THREADS": "1"} | ({} if arguments.free else arithmetic.VARIABLES)
    table = pd.DataFrame({"this processor": hashes(None, environment)})
    for processor in arguments.processors:
        table[processor] = hashes(processor, environment)
    table["same"] = table.nunique(axis=1) == 1
    print(table.to_string())
    sys.exit(int(not table["same"].all()))


if __name__ == "__main__":
    main()
