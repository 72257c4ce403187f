"""The parts of a network, in the same order in every process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import networks

from ortcam_export.graph.traversal import part
from ortcam_export.reading.model_file import load

WRITTEN = """
import hashlib
import networks
from ortcam_export import export
exported = export(networks.unet(), split=True, verify=False)
print(hashlib.sha256(exported.model + exported.gradient).hexdigest())
"""


def test_the_weights_of_a_part_are_in_the_networks_order() -> None:
    network = load(networks.unet(width=12))
    order = list(network.graph.initializers)
    for outputs in (["probabilities"], ["mid_relu"], ["mid_relu", "logits"]):
        names = list(part(network, ["input"], outputs).graph.initializers)
        assert names == [name for name in order if name in names]


def test_both_parts_are_the_same_bytes_in_every_process(root: Path) -> None:
    """onnx-ir collects a part's weights in a set, whose order follows the hashes of a process."""
    folders = os.pathsep.join(str(root / folder) for folder in ("", "export", "tests/support"))
    digests = {
        subprocess.run(
            [sys.executable, "-c", WRITTEN],
            env={**os.environ, "PYTHONPATH": folders, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    }
    assert len(digests) == 1
