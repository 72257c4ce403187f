"""The methods by name: what each needs of an artifact, and how it answers a query.

A method is named ``"hires-cam"``, or with options ``"seg-xres-cam:block=4,pool=mean"``. Its formula
is in :mod:`ortcam.methods.cam_formulas`.
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
from ortcam.methods import cam_formulas, input_gradients, perturbation
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

_NEEDS = {
    GRADIENTS: "needs the features' whole gradients",
    ABLATIONS: "needs the score without a channel",
    PIXELS: "needs the gradient at the picture's pixels",
}
"""The requirements of methods beyond Grad-CAM's tensors, in the words of error messages."""


@dataclass(frozen=True)
class MethodOption:
    """A method's option: its default, a test of its values, and the test in words."""

    default: int | float | str
    allowed: Callable[[Any], bool]
    words: str


@dataclass(frozen=True, kw_only=True)
class Method:
    """A method that makes maps.

    Attributes:
        title: its name as its authors write it.
        answer: from a query to an answer for each picture: ``weights``, with which the features
            are summed, or ``results``, maps before their ReLU.
        needs: what an artifact must hold: :data:`GRADIENTS`, whole gradients of the feature
            layers, :data:`ABLATIONS`, the score without a channel, :data:`PIXELS`, the gradient of
            the picture itself, or "" if Grad-CAM's tensors do.
        options: by name.
        name: as users write it, with its options.
    """

    title: str
    answer: Callable[..., list[Answer]]
    needs: str = ""
    options: Mapping[str, MethodOption] = field(default_factory=dict)
    name: str = ""

    def layers(self, names: Iterable[str] | str | None, artifact: Artifact) -> tuple[Layer, ...]:
        """Return layers by name, all for None; the input for a method about the picture itself.

        Raises:
            LayerError: there is no such layer, or the method takes none.
        """
        if self.needs != PIXELS or artifact.pixels is None:
            return named_layers(names, artifact.layers)
        if names is not None and list([names] if isinstance(names, str) else names) != [
            artifact.pixels.name
        ]:
            raise LayerError(
                f"{self.title} is about the picture itself and takes no layer; leave ",
                Option("layers"),
                " out",
            )
        return (artifact.pixels,)


def _weighing(formula: Callable[..., cam_formulas.Array]) -> Callable[..., list[Answer]]:
    """A method whose formula makes weights from whole gradients."""

    def answer(query: Query, **options: Any) -> list[Answer]:
        answers = query.apply(partial(formula, **options))
        return [replace(one, weights=one.results, results={}) for one in answers]

    return answer


def _placing(formula: Callable[..., cam_formulas.Array]) -> Callable[..., list[Answer]]:
    """A method whose formula makes maps from whole gradients."""
    return lambda query, **options: query.apply(partial(formula, **options))


def _eigen_cam(query: Query, sign: str) -> list[Answer]:
    """EigenCAM uses the features only; every class gets the same map."""
    features = query.batch.features(query.layers)
    return [
        Answer(
            {name: a[n] for name, a in features.items()},
            results={
                name: np.repeat(cam_formulas.eigen_cam(a[n], sign)[None], len(query.rows), axis=0)
                for name, a in features.items()
            },
        )
        for n in range(query.batch.pictures)
    ]


def _whole(default: int) -> MethodOption:
    return MethodOption(default, lambda n: n > 0, "a whole number of at least 1")


def _one_of(default: str, *others: str) -> MethodOption:
    words = [default, *others]
    return MethodOption(default, words.__contains__, f"{', '.join(words[:-1])} or {words[-1]}")


_REDUCTION = {
    "channels": _one_of("max", "sum"),
    "sign": _one_of("absolute", "positive", "negative"),
}
"""The options that reduce a pixel's channels to a map."""

_COMPONENT = {"sign": _one_of("dark", "svd")}
"""The option that gives a principal component its sign."""

METHODS: dict[str, Method] = {
    GRAD_CAM: Method(title="Grad-CAM", answer=Query.ask),
    "hires-cam": Method(
        title="HiResCAM", answer=_placing(cam_formulas.hires_cam), needs="gradients"
    ),
    "grad-cam++": Method(
        title="Grad-CAM++", answer=_weighing(cam_formulas.grad_cam_plus_plus), needs="gradients"
    ),
    "xgrad-cam": Method(
        title="XGrad-CAM", answer=_weighing(cam_formulas.xgrad_cam), needs="gradients"
    ),
    "layer-cam": Method(
        title="LayerCAM", answer=_placing(cam_formulas.layer_cam), needs="gradients"
    ),
    "seg-xres-cam": Method(
        title="Seg-XRes-CAM",
        answer=_placing(cam_formulas.seg_xres_cam),
        needs="gradients",
        options={
            "block": _whole(2),
            "pool": _one_of("max", "mean"),
            "blocks": _one_of("cut", "stretched"),
        },
    ),
    "eigen-grad-cam": Method(
        title="EigenGradCAM",
        answer=_placing(cam_formulas.eigen_grad_cam),
        needs="gradients",
        options=_COMPONENT,
    ),
    "eigen-cam": Method(title="EigenCAM", answer=_eigen_cam, options=_COMPONENT),
    "score-cam": Method(
        title="Score-CAM",
        answer=perturbation.score_cam,
        options={
            "weights": _one_of("increase", "softmax"),
            "corners": _one_of("half-pixel", "aligned"),
        },
    ),
    "ablation-cam": Method(
        title="Ablation-CAM",
        answer=perturbation.ablation_cam,
        needs=ABLATIONS,
        options={"divisor": _one_of("magnitude", "score")},
    ),
    "gradient": Method(
        title="Gradient", answer=input_gradients.gradient, needs=PIXELS, options=_REDUCTION
    ),
    "smooth-grad": Method(
        title="SmoothGrad",
        answer=input_gradients.smooth_grad,
        needs=PIXELS,
        options={
            "samples": _whole(25),
            "noise": MethodOption(0.15, lambda s: 0 < s < inf, "a number above 0"),
            "seed": MethodOption(0, lambda n: n >= 0, "a whole number of at least 0"),
            "average": _one_of("gradients", "parts"),
            **_REDUCTION,
        },
    ),
    "integrated-gradients": Method(
        title="Integrated Gradients",
        answer=input_gradients.integrated_gradients,
        needs=PIXELS,
        options={
            "steps": _whole(50),
            "baseline": _one_of(*input_gradients.BASELINES),
            **_REDUCTION,
            "channels": _one_of("sum", "max"),
        },
    ),
}  # fmt: skip
"""The methods by their names without options."""


def method_named(text: str, presets: Mapping[str, str] | None = None) -> Method:
    """Return the method of a name, with the options in it.

    Args:
        text: ``"hires-cam"``, or ``"seg-xres-cam:block=4,pool=mean"``.
        presets: options of some methods, such as ``{"score-cam": "weights=softmax"}``; those in
            ``text`` override them.

    Raises:
        InputError: there is no such method or option, or the option does not take the value.

    Example:
        >>> method_named("hires-cam").title
        'HiResCAM'
        >>> method_named("score-cam", {"score-cam": "corners=aligned"}).name
        'score-cam:corners=aligned'
    """
    name, _, settings = text.partition(":")
    _check(name)
    method = METHODS[name]
    preset = (presets or {}).get(name)
    if preset:
        settings = f"{preset},{settings}" if settings else preset
        text = f"{name}:{settings}"
    options = {key: option.default for key, option in method.options.items()}
    for entry in settings.split(",") if settings else ():
        key, _, value = entry.partition("=")
        if key not in options:
            others = f"; it has {' and '.join(options)}" if options else ", and takes none"
            raise InputError(f"the method {name!r} has no option {key!r}{others}")
        options[key] = _value(name, key, value, method.options[key])
    return replace(method, name=text, answer=partial(method.answer, **options))


def names_of_methods(methods: Iterable[str] | str) -> list[str]:
    """Return the names of methods, those of all for ``"all"``.

    Raises:
        InputError: there is no such method.
    """
    listed = [methods] if isinstance(methods, str) else list(methods)
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
        ArtifactError: it does not.
    """
    if not _holds(artifact, method.needs):
        name = method.name.partition(":")[0]
        raise ArtifactError(
            f"{method.title} {_NEEDS[method.needs]}, which {source} lacks; "
            "export the network again with ",
            Option("methods", name),
        )


def served(artifact: Artifact) -> list[str]:
    """Return the names of the methods that work with an artifact."""
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
    """Return an option's value, of the type of its default."""
    try:
        value = type(option.default)(text)
    except ValueError:
        value = None
    if value is None or not option.allowed(value):
        raise InputError(f"{key} of the method {name!r} must be {option.words}, got {text!r}")
    return value
