"""DeepLab v3+ on a ResNet-18 of half width, in PyTorch.

Chen et al., "Encoder-Decoder with Atrous Separable Convolution for Semantic Image Segmentation",
ECCV 2018; He et al., "Deep Residual Learning for Image Recognition", CVPR 2016. It uses
plain convolutions instead of separable ones, and has no image-pooling branch. The last stage keeps
stride 16 and dilates by 2 instead. 4.1 million parameters.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional

from camvid.classes import CLASSES

ASPP_DILATIONS = (1, 6, 12, 18)


def conv_bn(
    inputs: int, outputs: int, kernel: int, stride: int = 1, dilation: int = 1
) -> nn.Module:
    """A convolution that keeps the size (but for its stride), with batch normalisation."""
    padding = dilation * (kernel // 2)
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, bias=False)
    return nn.Sequential(OrderedDict(conv=conv, bn=nn.BatchNorm2d(outputs)))


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut; the shortcut projects where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.branch2a = conv_bn(inputs, outputs, 3, stride, dilation)
        self.branch2b = conv_bn(outputs, outputs, 3, 1, dilation)
        projects = stride != 1 or inputs != outputs
        self.branch1 = conv_bn(inputs, outputs, 1, stride) if projects else None

    def forward(self, x: Tensor) -> Tensor:
        """``[N, inputs, H, W]`` to ``[N, outputs, H, W]``, strided."""
        shortcut = x if self.branch1 is None else self.branch1(x)
        return functional.relu(self.branch2b(functional.relu(self.branch2a(x))) + shortcut)


class DeepLabV3Plus(nn.Module):
    """``[N, 3, H, W]`` normalised pictures to ``[N, classes, H, W]`` logits, any H and W."""

    def __init__(
        self,
        width: int = 32,
        aspp: int = 128,
        decoder: int = 128,
        low: int = 48,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        w = width
        self.conv1 = conv_bn(3, w, 7, 2)
        self.res2a, self.res2b = Block(w, w), Block(w, w)
        self.res3a, self.res3b = Block(w, 2 * w, 2), Block(2 * w, 2 * w)
        self.res4a, self.res4b = Block(2 * w, 4 * w, 2), Block(4 * w, 4 * w)
        self.res5a, self.res5b = Block(4 * w, 8 * w, 1, 2), Block(8 * w, 8 * w, 1, 2)
        d1, d2, d3, d4 = ASPP_DILATIONS
        self.aspp1, self.aspp2 = conv_bn(8 * w, aspp, 1, 1, d1), conv_bn(8 * w, aspp, 3, 1, d2)
        self.aspp3, self.aspp4 = conv_bn(8 * w, aspp, 3, 1, d3), conv_bn(8 * w, aspp, 3, 1, d4)
        self.dropout = nn.Dropout2d(dropout)
        self.dec1, self.dec2 = conv_bn(4 * aspp, decoder, 1), conv_bn(w, low, 1)
        self.dec3, self.dec4 = conv_bn(decoder + low, decoder, 3), conv_bn(decoder, decoder, 3)
        self.scorer = nn.Conv2d(decoder, len(CLASSES), 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits at the picture's size."""
        return resize(self.scores(x), x)

    def scores(self, x: Tensor) -> Tensor:
        """The logits before they are upsampled: a quarter of the picture's size."""
        low = functional.max_pool2d(functional.relu(self.conv1(x)), 3, 2, 1)
        low = self.res2b(self.res2a(low))
        deep = self.res4b(self.res4a(self.res3b(self.res3a(low))))
        deep = self.res5b(self.res5a(deep))
        branches = (self.aspp1, self.aspp2, self.aspp3, self.aspp4)
        cat = self.dropout(torch.cat([functional.relu(branch(deep)) for branch in branches], 1))
        up = resize(functional.relu(self.dec1(cat)), low)
        merged = torch.cat([up, functional.relu(self.dec2(low))], 1)
        scores: Tensor = self.scorer(functional.relu(self.dec4(functional.relu(self.dec3(merged)))))
        return scores


def resize(x: Tensor, like: Tensor) -> Tensor:
    """``x`` interpolated bilinearly to the height and width of ``like``."""
    return functional.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)
