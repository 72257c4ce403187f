"""The tools that need PyTorch, as subjects: same weights, same input array, raw maps.

The libraries get the network as it is after training: with batch normalisation, and parameters
that require gradients. Their rescaling and resizing of the maps is left out, to their advantage.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import ExitStack
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from benchmarks.measure import Subject, interleave, median
from benchmarks.torch_networks import layer

Maps = dict[str, NDArray[np.float32]]
Run = Callable[[], Maps]

TRIALS = 3
"""The rounds in which the fastest handwritten variant is chosen, before the measurement."""


def set_up(device: str, threads: int) -> None:
    """Configure PyTorch like onnxruntime.

    It uses as many threads; on CUDA float32 without TF32, and cuDNN's fastest algorithms, which
    onnxruntime searches for by default.
    """
    torch.set_num_threads(threads)
    if device == "cuda":
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.benchmark = True


def grad_cam(
    model: nn.Module, x: NDArray[np.float32], layers: tuple[str, ...], classes: tuple[int, ...]
) -> Run:
    """pytorch-grad-cam: a forward and a backward pass per class, for all layers at once.

    It would scale the maps, and ``aggregate_multi_layers`` would average the layers.
    """
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import SemanticSegmentationTarget

    class Raw(GradCAM):
        def compute_cam_per_layer(self, input_tensor, targets, eigen_smooth):
            hooks = self.activations_and_grads
            features, gradients = hooks.activations, hooks.gradients
            return [
                np.maximum(
                    self.get_cam_image(
                        input_tensor, target, targets, a.numpy(), g.numpy(), eigen_smooth
                    ),
                    0,
                )
                for target, a, g in zip(self.target_layers, features, gradients, strict=True)
            ]

        def aggregate_multi_layers(self, cam_per_target_layer):
            return cam_per_target_layer

    hooked = copy.deepcopy(model)
    cam = Raw(hooked, [layer(hooked, name) for name in layers])
    picture = torch.from_numpy(x)
    everywhere = np.ones(x.shape[2:], np.float32)

    def run() -> Maps:
        maps = [cam(picture, [SemanticSegmentationTarget(c, everywhere)]) for c in classes]
        return {name: np.concatenate([m[i] for m in maps]) for i, name in enumerate(layers)}

    return run


def captum(
    model: nn.Module, x: NDArray[np.float32], layers: tuple[str, ...], classes: tuple[int, ...]
) -> Run:
    """Captum's LayerGradCam: a forward and a backward pass per class and layer."""
    from captum.attr import LayerGradCam

    hooked = copy.deepcopy(model)
    device = next(hooked.parameters()).device
    cams = {name: LayerGradCam(_Sum(hooked), layer(hooked, name)) for name in layers}

    def run() -> Maps:
        picture = torch.from_numpy(x).to(device)
        maps_by_layer = {
            name: [cam.attribute(picture, target=c, relu_attributions=True) for c in classes]
            for name, cam in cams.items()
        }
        return {
            name: torch.cat(maps)[:, 0].detach().cpu().numpy()
            for name, maps in maps_by_layer.items()
        }

    return run


class _Sum(nn.Module):
    """The scores of the classes, summed over the picture."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x).sum((2, 3))


def by_hand(
    model: nn.Module, x: NDArray[np.float32], layers: tuple[str, ...], classes: tuple[int, ...]
) -> Run:
    """Handwritten PyTorch, as an expert would write it: the fastest of four variants.

    Batch normalisation is folded, parameters are frozen, and the autograd graph begins at the
    earliest layer, so that the forward pass keeps only what the gradient needs. ``autograd.grad``
    stops at the layers, and runs per class or for all classes at once (``is_grads_batched``);
    channels are first or last in memory.
    """
    variants = {
        f"{order}, {'batched' if batched else 'per class'}": handwritten(
            model, x, layers, classes, order, batched
        )
        for order in (torch.contiguous_format, torch.channels_last)
        for batched in (False, True)
    }
    trials = interleave(
        {name: Subject(lambda _, run=run: run(), lambda _: None) for name, run in variants.items()},
        TRIALS,
        warm_up=1,
    )
    return variants[min(trials, key=lambda name: median(trials[name].times).median)]


def handwritten(
    model: nn.Module,
    x: NDArray[np.float32],
    layers: tuple[str, ...],
    classes: tuple[int, ...],
    order: torch.memory_format,
    batched: bool,
) -> Run:
    """One of the variants of :func:`by_hand`."""
    frozen = folded(model).requires_grad_(False).to(memory_format=order)
    device = next(frozen.parameters()).device
    indices, eye = list(classes), torch.eye(len(classes), device=device)

    def run() -> Maps:
        features: dict[str, Tensor] = {}

        def hook(name: str) -> Callable[[nn.Module, object, Tensor], Tensor]:
            def record(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
                if not output.requires_grad:
                    output = output.detach().requires_grad_()
                features[name] = output
                return output

            return record

        picture = torch.from_numpy(x).to(device).contiguous(memory_format=order)
        with ExitStack() as stack:
            for name in layers:
                stack.enter_context(layer(frozen, name).register_forward_hook(hook(name)))
            y = frozen(picture)[0, indices].sum((1, 2))
        inputs = [features[name] for name in layers]
        if batched:
            gradients = torch.autograd.grad(y, inputs, eye, is_grads_batched=True)
        else:
            by_class = [torch.autograd.grad(v, inputs, retain_graph=True) for v in y]
            gradients = [torch.stack(parts) for parts in zip(*by_class, strict=True)]
        maps = {}
        for name, feature, gradient in zip(layers, inputs, gradients, strict=True):
            alphas = gradient[:, 0].mean((2, 3))
            sums = torch.tensordot(alphas, feature[0].detach(), 1)
            maps[name] = sums.relu().cpu().numpy()
        return maps

    return run


def folded(model: nn.Module) -> nn.Module:
    """A copy with batch normalisation folded into the preceding convolutions, as in deployment."""
    result = copy.deepcopy(model)
    for parent in result.modules():
        for (name, conv), (after, norm) in pairwise(list(parent.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(parent, name, fuse_conv_bn_eval(conv, norm))
                setattr(parent, after, nn.Identity())
    return result


def inference(model: nn.Module, x: NDArray[np.float32]) -> Run:
    """Inference alone, with batch normalisation folded."""
    deployed = folded(model)
    device = next(deployed.parameters()).device

    def run() -> Maps:
        with torch.inference_mode():
            return {"score": deployed(torch.from_numpy(x).to(device)).cpu().numpy()}

    return run
