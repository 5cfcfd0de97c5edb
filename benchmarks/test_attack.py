"""One attack step on 64 grey 64×64 images, compact ResNet in evaluation mode with frozen parameters."""

import foolbox
import torch
from benchmarks.collect import interleave
from torch.nn import functional as F

from aecompanion.attack.gradient import fgsm
from aecompanion.networks.zoo import create

EPS = 8 / 255


def test_fgsm_costs_no_more_than_its_forward_and_backward_pass(benchmark):
    model = create("compact/resnet", classes=10, channels=1, size=64).eval().requires_grad_(False)
    gen = torch.Generator().manual_seed(0)
    images, labels = torch.rand(64, 1, 64, 64, generator=gen), torch.randint(10, (64,), generator=gen)
    attack = foolbox.attacks.LinfFastGradientAttack(random_start=False)
    peer_model = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu")

    def ours():
        return fgsm(model, images, labels, eps=EPS)

    def peer():
        return attack.run(peer_model, images, labels, epsilon=EPS)

    def limit():
        variable = images.clone().requires_grad_()
        return torch.autograd.grad(F.cross_entropy(model(variable), labels, reduction="sum"), variable)[0]

    torch.testing.assert_close(ours(), peer())
    interleave(
        benchmark,
        "FGSM step, batch 64",
        ours=ours,
        others={"peer:foolbox LinfFastGradientAttack": peer, "limit": limit},
        goal="ours <= 1.05 x limit",
        rounds=100,
    )
