"""Which nodes have which images of containers."""

from collections.abc import Hashable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from scheduler.core.model import Image


class Images:
    """Sizes of images by node, found by the name of the image."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._sizes: dict[str, dict[int, int]] = {}  # bytes, by name and then by row, of those that any node has
        self._changed_at: dict[str, int] = {}  # of the same names
        self._counted_at = 0
        self._changes = 0

    def grow(self, size: int) -> None:
        """Make room for so many nodes."""
        self._size = size

    def put(self, row: int, before: Sequence[Image], after: Sequence[Image]) -> None:
        """A node has other images than before, or is new or gone."""
        if before == after:
            return
        was = {image.name: image.size for image in before if image.size > 0}
        now = {image.name: image.size for image in after if image.size > 0}
        for name in was.keys() | now.keys():
            size = now.get(name)
            if size == was.get(name):
                continue
            self._changes += 1
            self._changed_at[name] = self._changes
            held = self._sizes.setdefault(name, {})
            if size is not None:
                held[row] = size
                continue
            held.pop(row, None)
            if not held:
                del self._sizes[name], self._changed_at[name]

    def counted(self) -> None:
        """There are more nodes, or fewer: images are spread over another number."""
        self._changes += 1
        self._counted_at = self._changes

    def version(self, names: Iterable[str]) -> Hashable:
        """As long as this is equal, so is the spread of these images."""
        return self._counted_at, *[self._changed_at.get(name) for name in names]

    def held(self, names: Iterable[str]) -> bool:
        """Whether any node has any of these images."""
        return any(name in self._sizes for name in names)

    def spread(self, names: Sequence[str], nodes: int) -> NDArray[np.float64]:
        """Bytes of these images on each node, each by the share of so many nodes that have it, float64 (N,).

        An image that is named twice counts twice, as it does in kube-scheduler.
        """
        summed = np.zeros(self._size)
        for name in names:
            held = self._sizes.get(name, {})
            rows = np.fromiter(held.keys(), np.intp, len(held))
            sizes = np.fromiter(held.values(), np.int64, len(held))
            summed[rows] += np.floor(sizes * (len(held) / nodes))
        return summed
