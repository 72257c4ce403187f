"""The methods by name: what each needs of an artifact, and how it is asked.

A method is called ``"hires-cam"``, or with its options ``"seg-xres-cam:block=4,pool=mean"``. Its
formula stands in :mod:`ortcam.methods.cam_formulas`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from math import inf
from typing import Any

import numpy as np

from ortcam.artifact import Artifact, Layer
from ortcam.errors import ArtifactError, InputError, LayerError, nearest
from ortcam.inference.answer import Answer
from ortcam.inference.query import Query
from ortcam.messages import Option
from ortcam.methods import cam_formulas as formulas
from ortcam.methods import input_gradients as attribution
from ortcam.methods import perturbation
from ortcam.questions.names import named_layers

__all__ = [
    "ABLATIONS",
    "GRADIENTS",
    "GRAD_CAM",
    "METHODS",
    "PIXELS",
    "Method",
    "method_named",
    "names_of_methods",
    "require",
    "served",
]

GRAD_CAM = "grad-cam"

GRADIENTS = "gradients"
ABLATIONS = "ablations"
PIXELS = "pixels"

_LACKING = {
    GRADIENTS: "takes the features' whole gradients",
    ABLATIONS: "leaves channels out",
    PIXELS: "takes the gradient at the picture's pixels",
}
"""What methods need of an artifact beyond what Grad-CAM does, and how that is said."""


@dataclass(frozen=True)
class MethodOption:
    """A method's option: its default, and what it may be, as a test and in words."""

    default: int | float | str
    allowed: Callable[[Any], bool]
    words: str


@dataclass(frozen=True, kw_only=True)
class Method:
    """A way to a map.

    Attributes:
        title: its name as its authors write it.
        answer: how a graph is asked. Of the answers it gives, one for each picture, ``weights``
            make maps of the features, and ``found`` are maps, before the ReLU.
        needs: what of an artifact: :data:`GRADIENTS`, those of the feature layers as they are,
            :data:`ABLATIONS`, what the score is without a channel, :data:`PIXELS`, the gradient of
            the picture itself, or nothing beyond Grad-CAM's.
        options: by name.
        name: as users write it, with its options.
    """

    title: str
    answer: Callable[..., list[Answer]]
    needs: str = ""
    options: Mapping[str, MethodOption] = field(default_factory=dict)
    name: str = ""

    def layers(self, asked: Iterable[str] | str | None, artifact: Artifact) -> tuple[Layer, ...]:
        """Layers by name, all where none is asked for by None; of the picture itself its input.

        Raises:
            LayerError: there is no such layer, or the method is about none.
        """
        if self.needs != PIXELS or artifact.pixels is None:
            return named_layers(asked, artifact.layers)
        if asked is not None and list([asked] if isinstance(asked, str) else asked) != [
            artifact.pixels.name
        ]:
            raise LayerError(
                f"{self.title} is about the picture itself and takes no layer; leave layers out"
            )
        return (artifact.pixels,)


def _weighing(formula: Callable[..., formulas.Array]) -> Callable[..., list[Answer]]:
    """Asks for whole gradients, of which a formula makes weights."""

    def answer(asking: Query, **options: Any) -> list[Answer]:
        given = asking.apply(partial(formula, **options))
        return [replace(one, weights=one.found, found={}) for one in given]

    return answer


def _placing(formula: Callable[..., formulas.Array]) -> Callable[..., list[Answer]]:
    """Asks for whole gradients, of which a formula makes maps."""
    return lambda asking, **options: asking.apply(partial(formula, **options))


def _eigen_cam(asking: Query) -> list[Answer]:
    """Asks for the features alone; every class gets the same map."""
    opened = asking.opened
    features = opened.features(asking.layers)
    return [
        Answer(
            opened.score[n],
            {name: a[n] for name, a in features.items()},
            found={
                name: np.repeat(formulas.eigen_cam(a[n])[None], len(asking.rows), axis=0)
                for name, a in features.items()
            },
        )
        for n in range(opened.pictures)
    ]


def _whole(default: int) -> MethodOption:
    return MethodOption(default, lambda n: n > 0, "a whole number, 1 or more")


def _one_of(default: str, *others: str) -> MethodOption:
    words = [default, *others]
    return MethodOption(default, words.__contains__, f"{', '.join(words[:-1])} or {words[-1]}")


_SHOWN = {
    "channels": _one_of("max", "sum"),
    "sign": _one_of("absolute", "positive", "negative"),
}
"""What makes a map of a pixel's channels."""

METHODS: dict[str, Method] = {
    GRAD_CAM: Method(title="Grad-CAM", answer=Query.ask),
    "hires-cam": Method(
        title="HiResCAM", answer=_placing(formulas.hires_cam), needs="gradients"
    ),
    "grad-cam++": Method(
        title="Grad-CAM++", answer=_weighing(formulas.grad_cam_plus_plus), needs="gradients"
    ),
    "xgrad-cam": Method(
        title="XGrad-CAM", answer=_weighing(formulas.xgrad_cam), needs="gradients"
    ),
    "layer-cam": Method(
        title="LayerCAM", answer=_placing(formulas.layer_cam), needs="gradients"
    ),
    "seg-xres-cam": Method(
        title="Seg-XRes-CAM",
        answer=_placing(formulas.seg_xres_cam),
        needs="gradients",
        options={
            "block": _whole(2),
            "pool": _one_of("max", "mean"),
        },
    ),
    "eigen-grad-cam": Method(
        title="EigenGradCAM", answer=_placing(formulas.eigen_grad_cam), needs="gradients"
    ),
    "eigen-cam": Method(title="EigenCAM", answer=_eigen_cam),
    "score-cam": Method(
        title="Score-CAM",
        answer=perturbation.score_cam,
        options={"weights": _one_of("increase", "softmax")},
    ),
    "ablation-cam": Method(
        title="Ablation-CAM", answer=perturbation.ablation_cam, needs=ABLATIONS
    ),
    "gradient": Method(
        title="Gradient", answer=attribution.gradient, needs=PIXELS, options=_SHOWN
    ),
    "smooth-grad": Method(
        title="SmoothGrad",
        answer=attribution.smooth_grad,
        needs=PIXELS,
        options={
            "samples": _whole(25),
            "noise": MethodOption(0.15, lambda s: 0 < s < inf, "a number above 0"),
            "seed": MethodOption(0, lambda n: n >= 0, "a whole number, 0 or more"),
            **_SHOWN,
        },
    ),
    "integrated-gradients": Method(
        title="Integrated Gradients",
        answer=attribution.integrated_gradients,
        needs=PIXELS,
        options={
            "steps": _whole(50),
            "baseline": _one_of(*attribution.BASELINES),
            **_SHOWN,
            "channels": _one_of("sum", "max"),
        },
    ),
}  # fmt: skip
"""The methods by their names without options."""


def method_named(text: str) -> Method:
    """The method of this name, with the options that it gives.

    Args:
        text: ``"hires-cam"``, or ``"seg-xres-cam:block=4,pool=mean"``.

    Raises:
        InputError: there is no such method or option, or a value is none of the option's.
    """
    name, _, given = text.partition(":")
    _check(name)
    method = METHODS[name]
    options = {key: option.default for key, option in method.options.items()}
    for entry in given.split(",") if given else ():
        key, _, value = entry.partition("=")
        if key not in options:
            there = f"; it has {' and '.join(options)}" if options else ", and takes none"
            raise InputError(f"the method {name!r} has no option {key!r}{there}")
        options[key] = _value(name, key, value, method.options[key])
    return replace(method, name=text, answer=partial(method.answer, **options))


def names_of_methods(asked: Iterable[str] | str) -> list[str]:
    """Methods by name; all for ``"all"``.

    Raises:
        InputError: there is no such method.
    """
    listed = [asked] if isinstance(asked, str) else list(asked)
    if listed == ["all"]:
        return list(METHODS)
    for name in listed:
        _check(name)
    return listed


def _check(name: str) -> None:
    if name not in METHODS:
        raise InputError(f"there is no method {name!r}{nearest(name, METHODS, most=4)}")


def require(method: Method, artifact: Artifact, source: str) -> None:
    """Checks that an artifact holds what a method needs.

    Raises:
        ArtifactError: it does not; the message says what to export.
    """
    if not _holds(artifact, method.needs):
        name = method.name.partition(":")[0]
        raise ArtifactError(
            f"{method.title} {_LACKING[method.needs]}, for which {source} was not exported; "
            "export the network again with ",
            Option("methods", name),
        )


def served(artifact: Artifact) -> list[str]:
    """The names of the methods that an artifact serves."""
    return [name for name, method in METHODS.items() if _holds(artifact, method.needs)]


def _holds(artifact: Artifact, needs: str) -> bool:
    if needs == GRADIENTS:
        return all(layer.grad is not None for layer in artifact.layers)
    if needs == ABLATIONS:
        return all(layer.keep is not None for layer in artifact.layers)
    if needs == PIXELS:
        return artifact.pixels is not None
    return True


def _value(name: str, key: str, text: str, option: MethodOption) -> int | float | str:
    """An option's value, of the type of its default."""
    try:
        value = type(option.default)(text)
    except ValueError:
        value = None
    if value is None or not option.allowed(value):
        raise InputError(f"{key} of the method {name!r} is {text!r}; it is {option.words}")
    return value
