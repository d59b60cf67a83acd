"""Which nodes have which images of containers, as far as pods asked for them."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from scheduler.core.model import Image, Node
from scoring.arrays import Counts


class Images:
    """Sizes of images by node, one column an image that some pod asked for. version : changes with the columns."""

    MAX_COLUMNS = 1_024

    def __init__(self, size: int) -> None:
        self._size = size
        self._sizes: dict[str, Counts] = {}
        self._holders: dict[str, int] = {}  # how many nodes have each
        self.version = 0

    def grow(self, size: int) -> None:
        """Make room for so many nodes."""
        extra = np.zeros(size - self._size, np.int64)
        self._sizes = {name: np.concatenate([column, extra]) for name, column in self._sizes.items()}
        self._size = size
        self.version += 1

    def put(self, row: int, before: Sequence[Image], after: Sequence[Image]) -> None:
        """A node has other images than before, or is new or gone."""
        if before == after or not self._sizes:
            return
        now = {image.name: image.size for image in after}
        for name in {image.name for image in (*before, *after)} & self._sizes.keys():
            column, size = self._sizes[name], now.get(name, 0)
            self._holders[name] += (size > 0) - int(column[row] > 0)
            column[row] = size
            self.version += 1

    def counted(self) -> None:
        """There are more nodes, or fewer: images are spread over another number."""
        self.version += 1

    def held(self, names: Iterable[str], nodes: Sequence[Node | None]) -> bool:
        """Whether any node has any of these images; from now on they are kept track of."""
        found = False
        for name in names:
            if name not in self._sizes:
                self._learn(name, nodes)
            found |= self._holders[name] > 0
        return found

    def spread(self, names: Sequence[str], nodes: int) -> NDArray[np.float64]:
        """Bytes of these images on each node, each by the share of so many nodes that have it, float64 (N,).

        An image that is named twice counts twice, as it does in kube-scheduler.
        """
        summed = np.zeros(self._size)
        for name in names:
            column = self._sizes.get(name)
            if column is not None:
                summed += np.floor(column * (self._holders[name] / nodes))
        return summed

    def _learn(self, name: str, nodes: Sequence[Node | None]) -> None:
        if len(self._sizes) >= self.MAX_COLUMNS:
            self._sizes.clear()
            self._holders.clear()
            self.version += 1
        column = self._sizes[name] = np.zeros(self._size, np.int64)
        for row, node in enumerate(nodes):
            for image in node.images if node is not None else ():
                if image.name == name:
                    column[row] = image.size
        self._holders[name] = int(np.count_nonzero(column))
