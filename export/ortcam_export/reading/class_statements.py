"""The statements about a network's classes that bear on the choice of its score."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ortcam.artifact import METADATA_KEY, expectations_from_json
from ortcam_export.reading.expectations import Options
from ortcam_export.reading.known_exporters import hugging_face, ultralytics
from ortcam_export.reading.label_files import checked_names, read_labels, read_text
from ortcam_export.reading.model_file import Network

__all__ = ["Statements", "class_statements"]

#: Ultralytics' words for tasks.
_TASKS = {
    "classify": "classification",
    "detect": "detection",
    "obb": "detection",
    "pose": "detection",
    "segment": "detection",
    "semantic": "segmentation",
}


#: Words in the names of Hugging Face's architectures, the first that is there.
_ARCHITECTURES = {
    "ObjectDetection": "detection",
    "InstanceSegmentation": "detection",
    "UniversalSegmentation": "detection",
    "SemanticSegmentation": "segmentation",
    "ImageSegmentation": "segmentation",
    "Classification": "classification",
    "DepthEstimation": "depth estimation",
    "ImageSuperResolution": "super-resolution",
    "KeypointDetection": "keypoint detection",
    "PoseEstimation": "pose estimation",
    "ImageMatting": "matting",
}


@dataclass(frozen=True, kw_only=True)
class Statements:
    """What the user, or a network's metadata, state about its classes.

    Attributes:
        names: the class names, or None.
        source: who states them, for a sentence.
        is_option: True if the user states them.
        task: ``"classification"``, ``"segmentation"``, ``"detection"``, another word for a task
            that scores no classes, or "" if none is stated.
        task_source: who states the task.
    """

    names: tuple[str, ...] | None = None
    source: str = ""
    is_option: bool = False
    task: str = ""
    task_source: str = ""


def class_statements(network: Network, options: Options | None = None) -> Statements:
    """Return what is stated about a network's classes: by the user, in its metadata, beside it.

    Raises:
        InputError: a label file, or a file beside the network, is damaged.
        ModelError: the network's own metadata are damaged.
    """
    task, task_source = _task(network)
    statements = Statements(task=task, task_source=task_source)
    option = None if options is None else options.classes
    if option is not None:
        if isinstance(option, (str, os.PathLike)):
            names, source = read_labels(option), str(option)
        else:
            names, source = checked_names(option, "classes"), "classes"
        return dataclasses.replace(statements, names=names, source=source, is_option=True)
    for source, stated in _sources(network):
        if stated:
            return dataclasses.replace(statements, names=stated, source=source)
    return statements


def _sources(network: Network) -> list[tuple[str, tuple[str, ...] | None]]:
    """Class names in a network's metadata and beside it, the first source before the others."""
    metadata = network.model.metadata_props
    sources = []
    if METADATA_KEY in metadata:
        expected = expectations_from_json(metadata[METADATA_KEY], source=network.name)
        sources.append(("the network's metadata", expected.classes))
    exporters = ultralytics(metadata)
    if exporters is not None:
        sources.append(("Ultralytics' metadata", exporters.classes))
    if network.folder is not None:
        files = hugging_face(network.folder)
        if files is not None:
            sources.append(("Hugging Face's config.json", files.classes))
    return sources


def _task(network: Network) -> tuple[str, str]:
    """The task that an exporter states, and which; "" if none does."""
    metadata: Mapping[str, str] = network.model.metadata_props
    if metadata.get("task") in _TASKS and "names" in metadata:
        return _TASKS[metadata["task"]], "Ultralytics' metadata"
    for architecture in _architectures(network.folder):
        for word, task in _ARCHITECTURES.items():
            if word in architecture:
                return task, "Hugging Face's config.json"
    return "", ""


def _architectures(folder: Path | None) -> list[str]:
    """The architectures that Hugging Face's configuration beside a network names."""
    file = None if folder is None else folder / "config.json"
    if file is None or file.is_symlink() or not file.is_file():
        return []
    try:
        data = json.loads(read_text(file))
    except (ValueError, RecursionError):
        return []  # known_exporters says what is wrong with the file
    names = data.get("architectures") if isinstance(data, dict) else None
    return [str(name) for name in names] if isinstance(names, list) else []
