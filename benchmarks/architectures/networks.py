"""Networks of five libraries with random weights, each exported by its library's own exporter.

They are small configurations of the published architectures. Each says what its outputs mean, so
that what ortcam takes them for can be judged.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.architectures.judge import Architecture, Truth
from benchmarks.zoo.networks import torchvision

__all__ = ["ARCHITECTURES"]

Writer = Callable[[Path], None]


def _timm(name: str, side: int | None = None, **options: Any) -> Writer:
    """By ``timm.utils.onnx_export``, with its defaults."""

    def write(path: Path) -> None:
        torchvision()
        model = import_module("timm").create_model(name, pretrained=False, **options)
        size = None if side is None else (3, side, side)
        import_module("timm.utils.onnx").onnx_export(model, str(path), input_size=size)

    return write


def _transformers(
    name: str, config: str, shapes: Mapping[str, tuple[int, ...]], /, **options: Any
) -> Writer:
    """By torch's exporter, as the documentation of transformers shows."""

    def write(path: Path) -> None:
        torchvision()
        library = import_module("transformers")
        settings = _configured(library, {"config": config, **options})
        model = getattr(library, name)(settings).eval()
        inputs = {
            key: torch.randint(1, 90, shape) if key.endswith("ids") else torch.randn(shape)
            for key, shape in shapes.items()
        }
        _torch_export(model, inputs, path)

    return write


def _configured(library: Any, value: Any) -> Any:
    """Return a configuration of transformers for each mapping that names its class."""
    if not isinstance(value, dict):
        return value
    inner = {key: _configured(library, part) for key, part in value.items()}
    return getattr(library, inner.pop("config"))(**inner) if "config" in inner else inner


def _torch_export(model: nn.Module, inputs: Mapping[str, torch.Tensor], path: Path) -> None:
    class Outputs(nn.Module):
        """The network, whose outputs are the tensors of its dictionary."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model
            self.names: list[str] = []

        def forward(self, *values: torch.Tensor) -> tuple[torch.Tensor, ...]:
            result = self.model(**dict(zip(inputs, values, strict=True)))
            tensors = {k: v for k, v in result.items() if isinstance(v, torch.Tensor)}
            self.names = list(tensors)
            return tuple(tensors.values())

    outputs = Outputs().eval()
    with torch.no_grad():
        outputs(*inputs.values())
    names = list(outputs.names)
    torch.onnx.export(
        outputs,
        tuple(inputs.values()),
        str(path),
        input_names=list(inputs),
        output_names=names,
        dynamo=True,
        external_data=False,
    )


def _monai(name: str, shape: tuple[int, ...], **options: Any) -> Writer:
    """By ``monai.networks.utils.convert_to_onnx``, with its defaults."""

    def write(path: Path) -> None:
        model = getattr(import_module("monai.networks.nets"), name)(**options).eval()
        convert = import_module("monai.networks.utils").convert_to_onnx
        onnx = convert(model, inputs=[torch.randn(shape)])
        path.write_bytes(onnx.SerializeToString())

    return write


def _keras(name: str, **options: Any) -> Writer:
    """By ``model.export(path, format="onnx")``."""

    def write(path: Path) -> None:
        os.environ.setdefault("KERAS_BACKEND", "torch")
        model = getattr(import_module("keras").applications, name)(weights=None, **options)
        _keras_export(model, path)

    return write


def _settle(model: nn.Module) -> None:
    """Measure the averages of batch normalisations on noise, and let every class score vary.

    Without them the activations of such a deep network vanish, and the class scores start at a bias
    of -11, whose sigmoid is 0.
    """
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias") and parameter.min() < -3:
                parameter.zero_()
        for norm in norms:
            norm.train()
            norm.momentum = None  # the plain average
            norm.reset_running_stats()
        model(torch.randn(4, 3, 128, 128))
    model.eval()


def _keras_export(model: Any, path: Path) -> None:
    """Call the network once, which its exporter needs, and export it."""
    model(torch.zeros(1, *model.input_shape[1:]))
    model.export(str(path), format="onnx")


def _ultralytics(name: str, loader: str = "YOLO", **options: Any) -> Writer:
    """By ``YOLO(...).export(format="onnx")``."""

    def write(path: Path) -> None:
        os.environ.setdefault("YOLO_AUTOINSTALL", "false")
        torchvision()
        model = getattr(import_module("ultralytics"), loader)(name)
        _settle(model.model)
        with contextlib.chdir(path.parent):
            shutil.move(model.export(format="onnx", imgsz=128, **options), path)

    return write


def _torchvision(name: str, shapes: tuple[tuple[int, ...], ...]) -> Writer:
    """By torch's exporter."""

    def write(path: Path) -> None:
        model = torchvision().get_model(name, weights=None).eval()
        inputs = tuple(torch.randn(shape) for shape in shapes)
        torch.onnx.export(model, inputs, str(path), dynamo=True, external_data=False)

    return write


def _keras_unet(path: Path) -> None:
    """The U-Net with separable convolutions of Keras' example on segmentation, two levels of it."""
    layers = import_module("keras").layers

    def block(x: Any, filters: int) -> Any:
        for _ in range(2):
            x = layers.SeparableConv2D(filters, 3, padding="same")(layers.Activation("relu")(x))
            x = layers.BatchNormalization()(x)
        return x

    inputs = layers.Input((96, 96, 3))
    x = layers.Conv2D(16, 3, strides=2, padding="same")(inputs)
    x = levels = layers.Activation("relu")(layers.BatchNormalization()(x))
    for filters in (32, 64):
        x = layers.MaxPooling2D(3, strides=2, padding="same")(block(x, filters))
        levels = layers.Conv2D(filters, 1, strides=2, padding="same")(levels)
        x = levels = layers.add([x, levels])
    for filters in (64, 32, 16):
        x = layers.UpSampling2D(2)(block(x, filters))
        levels = layers.Conv2D(filters, 1, padding="same")(layers.UpSampling2D(2)(levels))
        x = levels = layers.add([x, levels])
    outputs = layers.Conv2D(4, 3, activation="softmax", padding="same")(x)
    _keras_export(import_module("keras").Model(inputs, outputs), path)


_CONVNEXT = {
    "config": "ConvNextConfig",
    "depths": [1, 1, 2, 1],
    "hidden_sizes": [16, 32, 48, 64],
    "out_features": ["stage1", "stage2", "stage3", "stage4"],
}
_DINO = {
    "config": "Dinov2Config",
    "hidden_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "image_size": 98,
    "patch_size": 14,
    "out_features": ["stage1", "stage2", "stage3", "stage4"],
    "reshape_hidden_states": False,
}
_RESNET = {
    "config": "ResNetConfig",
    "embedding_size": 16,
    "hidden_sizes": [16, 32, 48, 64],
    "depths": [1, 1, 1, 1],
    "layer_type": "basic",
    "out_features": ["stage4"],
}
_SWIN = {
    "config": "SwinConfig",
    "image_size": 128,
    "embed_dim": 16,
    "depths": [1, 1, 1, 1],
    "num_heads": [1, 2, 4, 8],
    "window_size": 4,
    "out_features": ["stage1", "stage2", "stage3", "stage4"],
}
_VITPOSE = {
    "config": "VitPoseBackboneConfig",
    "image_size": [64, 48],
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "out_features": ["stage2"],
}
_DETR: dict[str, Any] = {
    "backbone_config": _RESNET,
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "num_queries": 12,
    "num_labels": 5,
}
_VIT: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}

_PIXELS = "pixel_values"

#: The kinds of a score whose classes exclude each other, before or after its softmax.
_EXCLUSIVE = ("softmax", "logits", "linear")

#: The kinds of a score whose classes do not.
_SEPARATE = ("sigmoid", "logits", "linear")

_FLAT = ("batch", "class")
_MAP = ("batch", "class", "space", "space")
_VOLUME = (*_MAP, "space")
_QUERIES = ("batch", "list", "class")
_ANCHORS = ("batch", "class", "list")

ARCHITECTURES: tuple[Architecture, ...] = (
    Architecture(
        "timm convnextv2_atto",
        "logits of 1000 classes",
        (Truth(_EXCLUSIVE, 1000, _FLAT, (224, 224)),),
        _timm("convnextv2_atto"),
    ),
    Architecture(
        "timm edgenext_xx_small",
        "logits of 1000 classes",
        (Truth(_EXCLUSIVE, 1000, _FLAT, (256, 256)),),
        _timm("edgenext_xx_small"),
    ),
    Architecture(
        "timm maxvit_rmlp_pico_rw_256",
        "logits of 1000 classes",
        (Truth(_EXCLUSIVE, 1000, _FLAT, (256, 256)),),
        _timm("maxvit_rmlp_pico_rw_256"),
    ),
    Architecture(
        "timm vit_small_patch14_dinov2",
        "an embedding",
        (Truth(("linear",), 384, _FLAT, (98, 98)),),
        _timm("vit_small_patch14_dinov2", 98, img_size=98),
    ),
    Architecture(
        "transformers UperNet",
        "logits of 7 classes at each pixel",
        (Truth(_EXCLUSIVE, 7, _MAP, (64, 64)),),
        _transformers(
            "UperNetForSemanticSegmentation",
            "UperNetConfig",
            {_PIXELS: (1, 3, 64, 64)},
            backbone_config=_CONVNEXT,
            num_labels=7,
            hidden_size=32,
            auxiliary_channels=16,
            auxiliary_in_channels=48,
        ),
    ),
    Architecture(
        "transformers MobileViT",
        "logits of 6 classes at each place",
        (Truth(_EXCLUSIVE, 6, _MAP, (128, 128)),),
        _transformers(
            "MobileViTForSemanticSegmentation",
            "MobileViTConfig",
            {_PIXELS: (1, 3, 128, 128)},
            hidden_sizes=[32, 40, 48],
            neck_hidden_sizes=[8, 16, 24, 32, 40, 48, 64],
            aspp_out_channels=32,
            num_labels=6,
        ),
    ),
    Architecture(
        "transformers Depth Anything",
        "a depth at each pixel",
        (Truth(("linear",), 1, _MAP, (98, 98)),),
        _transformers(
            "DepthAnythingForDepthEstimation",
            "DepthAnythingConfig",
            {_PIXELS: (1, 3, 98, 98)},
            backbone_config=_DINO,
            reassemble_hidden_size=48,
            neck_hidden_sizes=[16, 24, 32, 32],
            fusion_hidden_size=16,
            head_hidden_size=8,
        ),
    ),
    Architecture(
        "transformers Swin2SR",
        "a picture of twice the size",
        (Truth(("linear",), 3, _MAP, (32, 32)),),
        _transformers(
            "Swin2SRForImageSuperResolution",
            "Swin2SRConfig",
            {_PIXELS: (1, 3, 32, 32)},
            image_size=32,
            embed_dim=24,
            depths=[2, 2],
            num_heads=[2, 2],
            window_size=8,
            upscale=2,
        ),
    ),
    Architecture(
        "transformers VitPose",
        "heat maps of 17 keypoints",
        (Truth(("linear",), 17, _MAP, (64, 48)),),
        _transformers(
            "VitPoseForPoseEstimation",
            "VitPoseConfig",
            {_PIXELS: (1, 3, 64, 48)},
            backbone_config=_VITPOSE,
            num_labels=17,
        ),
    ),
    Architecture(
        "transformers SuperPoint",
        "the keypoints that are left after non-maximum suppression, their scores and descriptors",
        (Truth(("linear",), 256, _QUERIES, (64, 64)),),
        _transformers(
            "SuperPointForKeypointDetection", "SuperPointConfig", {_PIXELS: (1, 3, 64, 64)}
        ),
    ),
    Architecture(
        "transformers Conditional DETR",
        "logits of 5 classes for 12 queries, and their boxes",
        (Truth(_SEPARATE, 5, _QUERIES, (128, 128)),),
        _transformers(
            "ConditionalDetrForObjectDetection",
            "ConditionalDetrConfig",
            {_PIXELS: (1, 3, 128, 128)},
            **_DETR,
        ),
    ),
    Architecture(
        "transformers YOLOS",
        "logits of 6 classes for 10 tokens, and their boxes",
        (Truth(_EXCLUSIVE, 6, _QUERIES, (64, 96)),),
        _transformers(
            "YolosForObjectDetection",
            "YolosConfig",
            {_PIXELS: (1, 3, 64, 96)},
            image_size=[64, 96],
            num_detection_tokens=10,
            num_labels=5,
            **_VIT,
        ),
    ),
    Architecture(
        "transformers MaskFormer",
        "logits of 6 classes for 12 queries, and their masks",
        (Truth(_EXCLUSIVE, 6, _QUERIES, (128, 128)),),
        _transformers(
            "MaskFormerForInstanceSegmentation",
            "MaskFormerConfig",
            {_PIXELS: (1, 3, 128, 128)},
            backbone_config=_SWIN,
            decoder_config={"config": "DetrConfig", **_DETR},
            fpn_feature_size=32,
            mask_feature_size=32,
            num_labels=5,
        ),
    ),
    Architecture(
        "transformers SigLIP",
        "logits of a picture for 4 texts, each on its own; the embeddings",
        (Truth(_SEPARATE, 4, _FLAT, (64, 64)), Truth(("linear",), 32, _FLAT, (64, 64))),
        _transformers(
            "SiglipModel",
            "SiglipConfig",
            {"input_ids": (4, 16), _PIXELS: (1, 3, 64, 64)},
            text_config={"vocab_size": 100, "max_position_embeddings": 16, **_VIT},
            vision_config={"image_size": 64, "patch_size": 16, **_VIT},
        ),
    ),
    Architecture(
        "transformers CLIP's vision",
        "an embedding; the tokens",
        (Truth(("linear",), 24, _FLAT, (64, 64)),),
        _transformers(
            "CLIPVisionModelWithProjection",
            "CLIPVisionConfig",
            {_PIXELS: (1, 3, 64, 64)},
            image_size=64,
            patch_size=16,
            projection_dim=24,
            **_VIT,
        ),
    ),
    Architecture(
        "transformers VideoMAE",
        "logits of 9 classes of a clip [N, T, 3, H, W]",
        (Truth(_EXCLUSIVE, 9, _FLAT, (8, 64, 64)),),
        _transformers(
            "VideoMAEForVideoClassification",
            "VideoMAEConfig",
            {_PIXELS: (1, 8, 3, 64, 64)},
            image_size=64,
            num_frames=8,
            num_labels=9,
            **_VIT,
        ),
    ),
    Architecture(
        "MONAI SwinUNETR",
        "logits of 3 classes in a volume",
        (Truth(_EXCLUSIVE, 3, _VOLUME, (64, 64, 64)),),
        _monai("SwinUNETR", (1, 1, 64, 64, 64), in_channels=1, out_channels=3, feature_size=12),
    ),
    Architecture(
        "MONAI DenseNet121 3-D",
        "logits of 4 classes of a volume",
        (Truth(_EXCLUSIVE, 4, _FLAT, (32, 32, 32)),),
        _monai("DenseNet121", (1, 1, 32, 32, 32), spatial_dims=3, in_channels=1, out_channels=4),
    ),
    Architecture(
        "MONAI AttentionUnet",
        "logits of 3 classes at each pixel",
        (Truth(_EXCLUSIVE, 3, _MAP, (64, 64)),),
        _monai(
            "AttentionUnet",
            (1, 1, 64, 64),
            spatial_dims=2,
            in_channels=1,
            out_channels=3,
            channels=(8, 16, 32),
            strides=(2, 2),
        ),
    ),
    Architecture(
        "MONAI Regressor",
        "one number",
        (Truth(("linear",), 1, _FLAT, (32, 32)),),
        _monai(
            "Regressor",
            (1, 1, 32, 32),
            in_shape=(1, 32, 32),
            out_shape=(1,),
            channels=(8, 16, 32),
            strides=(2, 2, 2),
        ),
    ),
    Architecture(
        "Keras EfficientNetV2B0",
        "a softmax of 10 classes of a picture [N, H, W, 3]",
        (Truth(("softmax",), 10, _FLAT, (96, 96)),),
        _keras("EfficientNetV2B0", input_shape=(96, 96, 3), classes=10),
    ),
    Architecture(
        "Keras example U-Net",
        "a softmax [N, H, W, 4] of 4 classes of a picture [N, H, W, 3]",
        (Truth(("softmax",), 4, ("batch", "space", "space", "class"), (96, 96)),),
        _keras_unet,
    ),
    Architecture(
        "Ultralytics yolo11n-seg",
        "4 box coordinates, 80 classes and 32 coefficients of 336 anchors; 32 mask prototypes",
        (Truth(_SEPARATE, 80, _ANCHORS, (128, 128)),),
        _ultralytics("yolo11n-seg.yaml"),
    ),
    Architecture(
        "Ultralytics yolo11n-obb",
        "4 box coordinates, 80 classes and an angle of 336 anchors",
        (Truth(_SEPARATE, 80, _ANCHORS, (128, 128)),),
        _ultralytics("yolo11n-obb.yaml"),
    ),
    Architecture(
        "Ultralytics yolov8n-pose",
        "4 box coordinates, 1 class and 17 keypoints of 336 anchors",
        (Truth(_SEPARATE, 1, _ANCHORS, (128, 128)),),
        _ultralytics("yolov8n-pose.yaml"),
    ),
    Architecture(
        "Ultralytics yolov9t",
        "4 box coordinates and 80 classes of 336 anchors",
        (Truth(_SEPARATE, 80, _ANCHORS, (128, 128)),),
        _ultralytics("yolov9t.yaml"),
    ),
    Architecture(
        "Ultralytics yolo11n-cls",
        "a softmax of 1000 classes",
        (Truth(("softmax",), 1000, _FLAT, (128, 128)),),
        _ultralytics("yolo11n-cls.yaml"),
    ),
    Architecture(
        "Ultralytics rtdetr-l",
        "box, score and class of the 300 best queries",
        (Truth(_SEPARATE, 80, _QUERIES, (128, 128)),),
        _ultralytics("rtdetr-l.yaml", "RTDETR"),
    ),
    Architecture(
        "torchvision raft_small",
        "the flow between two pictures, twelve times",
        (Truth(("linear",), 2, _MAP, (128, 128)),),
        _torchvision("raft_small", ((1, 3, 128, 128), (1, 3, 128, 128))),
    ),
)
"""The networks, those that classify pictures first."""
