"""Grad-CAM of 64 grey 64×64 images, last stage of the compact ResNet, evaluation mode and frozen parameters.

The limit keeps no graph below the layer: a plain forward pass, then the gradient of the head alone.
"""

import torch
from benchmarks.collect import interleave
from captum.attr import LayerGradCam

from aecompanion.explain.gradcam import gradcam
from aecompanion.networks.zoo import create


def test_gradcam_costs_no_more_than_captum_alone(benchmark):
    model = create("compact/resnet", classes=10, channels=1, size=64).eval().requires_grad_(False)
    gen = torch.Generator().manual_seed(0)
    images, target = torch.rand(64, 1, 64, 64, generator=gen), torch.randint(10, (64,), generator=gen)
    explain = LayerGradCam(model, model.cam_layer())

    def ours():
        return gradcam(model, images, target, layer=model.cam_layer())

    def peer():
        return explain.attribute(images, target=target, relu_attributions=True)

    def limit():
        features = model.body.stem((images - model.mean) / model.std)
        for stage in model.body.stages:
            features = getattr(model.body, stage)(features)
        features.requires_grad_()
        scores = model.body.head(features).gather(1, target[:, None]).sum()
        weights = torch.autograd.grad(scores, features)[0].mean((2, 3), keepdim=True)
        return (weights * features.detach()).sum(1, keepdim=True).relu()

    torch.testing.assert_close(ours(), peer().detach())
    torch.testing.assert_close(ours(), limit())
    interleave(
        benchmark,
        "Grad-CAM, batch 64",
        ours=ours,
        others={"peer:captum LayerGradCam": peer, "limit": limit},
        goal="ours <= 1.05 x peer",
        rounds=100,
    )
