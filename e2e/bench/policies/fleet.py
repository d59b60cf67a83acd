"""What is left on every machine, as columns; rows are in the order in which equal machines are preferred."""

from collections.abc import Sequence

import numpy as np

from e2e.bench.trace import WHOLE, Machine, Shape

Rows = np.ndarray[tuple[int], np.dtype[np.int64]]
Counts = np.ndarray[tuple[int], np.dtype[np.int64]]
Mask = np.ndarray[tuple[int], np.dtype[np.bool_]]
Grid = np.ndarray[tuple[int, int], np.dtype[np.int64]]


class Fleet:
    """cpu, memory : (N,) left. gpus : (N, G) thousandths left of each GPU; 0 where a machine has fewer GPUs.

    total_cpu, total_memory : (N,) as they were at first.
    """

    def __init__(self, machines: Sequence[Machine], order: Sequence[int]) -> None:
        self.machines = [machines[row] for row in order]
        self.cpu: Counts = np.array([each.cpu for each in self.machines], np.int64)
        self.memory: Counts = np.array([each.memory for each in self.machines], np.int64)
        self.total_cpu, self.total_memory = self.cpu.copy(), self.memory.copy()
        widest = max(1, *(each.gpus for each in self.machines))
        counts = np.array([each.gpus for each in self.machines])
        self.gpus: Grid = np.where(np.arange(widest) < counts[:, None], WHOLE, 0).astype(np.int64)
        self._models = np.array([each.model for each in self.machines])
        self._allowed: dict[tuple[str, ...], Mask] = {}

    def allows(self, models: tuple[str, ...]) -> Mask:
        """(N,): whether a machine's GPUs are of one of these models; of none means of any."""
        found = self._allowed.get(models)
        if found is None:
            found = np.isin(self._models, models) if models else np.ones(len(self.machines), np.bool_)
            self._allowed[models] = found
        return found

    def fits(self, shape: Shape, rows: Rows) -> Mask:
        """(len(rows),): whether there is enough of everything, whatever the model."""
        found: Mask = (self.cpu[rows] >= shape.cpu) & (self.memory[rows] >= shape.memory)
        if shape.gpus:
            found &= (self.gpus[rows] >= shape.milli).sum(axis=1) >= shape.gpus
        return found

    def take(self, row: int, shape: Shape, gpus: Sequence[int], sign: int = 1) -> None:
        """Take a shape from a machine, or with sign -1 give it back."""
        self.cpu[row] -= sign * shape.cpu
        self.memory[row] -= sign * shape.memory
        self.gpus[row, list(gpus)] -= sign * shape.milli
