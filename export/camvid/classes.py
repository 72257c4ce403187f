"""Constants shared by training, export and evaluation: classes, colours, input scaling."""

from typing import Final

CLASSES: Final = (
    "Sky",
    "Building",
    "Pole",
    "Road",
    "Pavement",
    "Tree",
    "SignSymbol",
    "Fence",
    "Car",
    "Pedestrian",
    "Bicyclist",
)
"""The 11 classes of the SegNet tutorial's CamVid; a label is an index into this tuple."""

IGNORE: Final = len(CLASSES)
"""The label of unlabelled pixels, which no loss and no score counts."""

COLORS: Final = (
    (128, 128, 128),
    (128, 0, 0),
    (192, 192, 192),
    (128, 64, 128),
    (60, 40, 222),
    (128, 128, 0),
    (192, 128, 128),
    (64, 64, 128),
    (64, 0, 128),
    (64, 64, 0),
    (0, 128, 192),
)
"""One RGB colour per class, those of the SegNet tutorial."""

SIZE: Final = (480, 360)
"""Width and height at which the network is trained and measured."""

MEAN: Final = (0.485, 0.456, 0.406)
STD: Final = (0.229, 0.224, 0.225)
"""The network reads ``(RGB / 255 - MEAN) / STD``, the customary constants of ImageNet."""
