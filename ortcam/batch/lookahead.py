"""Pictures that enter the network together, where a command takes them one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from ortcam.errors import PictureError, RegionError
from ortcam.pictures.read import is_array

if TYPE_CHECKING:
    from ortcam import Cam
    from ortcam.inference.query import Progress


AT_ONCE = {"CUDAExecutionProvider": 8}
"""How many pictures enter together unless told otherwise, by provider. Elsewhere it is one, which
keeps a CPU as busy as several (docs/speed.md)."""


Result = TypeVar("Result", covariant=True)


class One(Protocol[Result]):
    """What is found of one picture."""

    def __call__(self, picture: Path, progress: Progress | None = None) -> Result:
        """Tells of its progress where a method takes many passes."""


class Together(Generic[Result]):
    """The results of pictures, each when it is asked for, found for several at once.

    No more of them are kept than enter together. Where one of these cannot be read or looked at,
    each is taken by itself, so that the others are as they would be without it.
    """

    def __init__(
        self,
        pictures: Sequence[Path],
        batch: int,
        one: One[Result],
        many: Callable[[Sequence[Path]], Sequence[Result]],
    ) -> None:
        """Nothing is found yet.

        Args:
            pictures: all of them, in the order in which they will be asked for.
            batch: how many enter together.
            one: finds the result of one.
            many: finds those of several.
        """
        self._one, self._many = one, many
        self._beside: dict[Path, Sequence[Path]] = {}
        self._found: dict[Path, Result] = {}
        listed = [path for path in dict.fromkeys(pictures) if not is_array(path)]
        for start in range(0, len(listed), batch):
            beside = listed[start : start + batch]
            self._beside |= dict.fromkeys(beside if len(beside) > 1 else (), beside)

    def __call__(self, picture: Path, progress: Progress | None = None) -> Result:
        """The result of a picture.

        Raises:
            PictureError, RegionError: the picture cannot be read, or nothing is selected in it.
        """
        if picture not in self._found and (beside := self._beside.get(picture)):
            try:
                self._found = dict(zip(beside, self._many(beside), strict=True))
            except (PictureError, RegionError):
                for path in beside:
                    del self._beside[path]
        if picture in self._found:
            return self._found.pop(picture)
        return self._one(picture, progress)


def at_once(cam: Cam, batch: int | None) -> int:
    """How many pictures enter an artifact together, as asked for or as its provider does well."""
    return batch or AT_ONCE.get(cam.provider, 1)
