"""Those that need PyTorch, as things to be timed: same weights, same array in, raw maps out.

The libraries get the network as one has it that was trained: with its batch normalisation, and
parameters that require gradients. Their own rescaling and resizing of the maps is left
out, to their advantage.
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

from benchmarks.measure import Contestant, interleave, median
from benchmarks.torch_networks import layer

Maps = dict[str, NDArray[np.float32]]
Run = Callable[[], Maps]

TRIALS = 3
"""Rounds in which the fastest way of those written by hand is found, before anything counts."""


def set_up(device: str, threads: int) -> None:
    """PyTorch as onnxruntime is set up.

    That is with as many threads; on CUDA in float32 without TF32, and with the fastest of cuDNN's
    algorithms, which onnxruntime searches for by default.
    """
    torch.set_num_threads(threads)
    if device == "cuda":
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.benchmark = True


def grad_cam(
    model: nn.Module, x: NDArray[np.float32], layers: tuple[str, ...], classes: tuple[int, ...]
) -> Run:
    """pytorch-grad-cam: a forward and a backward pass a class, for all layers at once.

    Its ``aggregate_multi_layers`` would average the layers, and the step before it scale the maps.
    """
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import SemanticSegmentationTarget

    class Raw(GradCAM):
        def compute_cam_per_layer(self, input_tensor, targets, eigen_smooth):
            taken = self.activations_and_grads
            features, gradients = taken.activations, taken.gradients
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

    own = copy.deepcopy(model)  # the hooks stay on it
    cam = Raw(own, [layer(own, name) for name in layers])
    picture = torch.from_numpy(x)
    everywhere = np.ones(x.shape[2:], np.float32)

    def run() -> Maps:
        maps = [cam(picture, [SemanticSegmentationTarget(c, everywhere)]) for c in classes]
        return {name: np.concatenate([m[i] for m in maps]) for i, name in enumerate(layers)}

    return run


def captum(
    model: nn.Module, x: NDArray[np.float32], layers: tuple[str, ...], classes: tuple[int, ...]
) -> Run:
    """Captum's LayerGradCam: a forward and a backward pass a class and layer."""
    from captum.attr import LayerGradCam

    own = copy.deepcopy(model)
    device = next(own.parameters()).device
    cams = {name: LayerGradCam(_Summed(own), layer(own, name)) for name in layers}

    def run() -> Maps:
        picture = torch.from_numpy(x).to(device)
        found = {
            name: [cam.attribute(picture, target=c, relu_attributions=True) for c in classes]
            for name, cam in cams.items()
        }
        return {name: torch.cat(maps)[:, 0].detach().cpu().numpy() for name, maps in found.items()}

    return run


class _Summed(nn.Module):
    """The classes' scores, summed over the picture."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x).sum((2, 3))


def by_hand(
    model: nn.Module, x: NDArray[np.float32], layers: tuple[str, ...], classes: tuple[int, ...]
) -> Run:
    """What one writes who knows PyTorch well; the fastest of four ways to write it.

    Batch normalisation is folded away, parameters are frozen, and the graph begins at the earliest
    layer, so that one forward pass keeps nothing that the gradient does not need;
    ``autograd.grad`` then goes to the layers only, class by class or for all at once
    (``is_grads_batched``); in memory, channels are first or last.
    """
    ways = {
        f"{order}, {'at once' if batched else 'one by one'}": written(
            model, x, layers, classes, order, batched
        )
        for order in (torch.contiguous_format, torch.channels_last)
        for batched in (False, True)
    }
    tried = interleave(
        {way: Contestant(lambda _, r=r: r(), lambda _: None) for way, r in ways.items()},
        TRIALS,
        warm_up=1,
    )
    return ways[min(tried, key=lambda way: median(tried[way].times).median)]


def written(
    model: nn.Module,
    x: NDArray[np.float32],
    layers: tuple[str, ...],
    classes: tuple[int, ...],
    order: torch.memory_format,
    batched: bool,
) -> Run:
    """One of the ways of :func:`by_hand`."""
    own = folded(model).requires_grad_(False).to(memory_format=order)
    device = next(own.parameters()).device
    chosen, eye = list(classes), torch.eye(len(classes), device=device)

    def run() -> Maps:
        features: dict[str, Tensor] = {}

        def hook(name: str) -> Callable[[nn.Module, object, Tensor], Tensor]:
            def keep(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
                if not output.requires_grad:
                    output = output.detach().requires_grad_()
                features[name] = output
                return output

            return keep

        picture = torch.from_numpy(x).to(device).contiguous(memory_format=order)
        with ExitStack() as stack:
            for name in layers:
                stack.enter_context(layer(own, name).register_forward_hook(hook(name)))
            y = own(picture)[0, chosen].sum((1, 2))
        kept = [features[name] for name in layers]
        if batched:
            whole = torch.autograd.grad(y, kept, eye, is_grads_batched=True)
        else:
            one = [torch.autograd.grad(v, kept, retain_graph=True) for v in y]
            whole = [torch.stack(parts) for parts in zip(*one, strict=True)]
        maps = {}
        for name, feature, gradient in zip(layers, kept, whole, strict=True):
            alphas = gradient[:, 0].mean((2, 3))
            sums = torch.tensordot(alphas, feature[0].detach(), 1)
            maps[name] = sums.relu().cpu().numpy()
        return maps

    return run


def folded(model: nn.Module) -> nn.Module:
    """A copy whose normalisations are part of the convolutions before them, as in deployment."""
    own = copy.deepcopy(model)
    for parent in own.modules():
        for (name, conv), (after, norm) in pairwise(list(parent.named_children())):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(parent, name, fuse_conv_bn_eval(conv, norm))
                setattr(parent, after, nn.Identity())
    return own


def inference(model: nn.Module, x: NDArray[np.float32]) -> Run:
    """Inference alone, batch normalisation folded away."""
    own = folded(model)
    device = next(own.parameters()).device

    def run() -> Maps:
        with torch.inference_mode():
            return {"score": own(torch.from_numpy(x).to(device)).cpu().numpy()}

    return run
