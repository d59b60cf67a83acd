"""An upper bound on how much of a trace's GPUs anybody can use, even who knows all pods beforehand.

A linear program over classes of equal machines: how GPUs are cut (patterns of shares, made as they are needed, each the
answer of a knapsack), and how many pods of each shape a class takes. A class has its machines' cpu and memory in one.
What is left out can only help: pods may be split, machines of a class share, several GPUs need not be in one machine,
and pods may be turned away. So the value, with what the knapsacks still promise added, is valid at every step.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array

from e2e.bench.trace import WHOLE, Machine, Shape

_GAP = 1e-6
_ROUNDS = 200

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def bound(machines: Sequence[Machine], demand: Mapping[Shape, float]) -> float:
    """Percent of the GPUs that can be used, at most, by so many pods of each shape."""
    program = _Program(machines, demand)
    return program.solve() if program.pairs else 0.0


class _Program:
    """Rows, in this order: GPUs of a class, supply of each size in a class, cpu and memory of a class, pods of a shape.

    Columns: pods of a shape in a class, then patterns in a class.
    """

    def __init__(self, machines: Sequence[Machine], demand: Mapping[Shape, float]) -> None:
        counts = Counter((machine.cpu, machine.memory, machine.gpus, machine.model) for machine in machines)
        self._classes = [(*kind, count) for kind, count in counts.items() if kind[2]]
        self._shapes = [(shape, count) for shape, count in demand.items() if shape.gpus and count > 0]
        self._sizes = sorted({shape.milli for shape, _ in self._shapes})
        self._size = {size: at for at, size in enumerate(self._sizes)}
        self._patterns = [{size: WHOLE // size} for size in self._sizes]
        self.pairs = [
            (s, c)
            for s, (shape, _) in enumerate(self._shapes)
            for c, (cpu, memory, gpus, model, _) in enumerate(self._classes)
            if shape.cpu <= cpu and shape.memory <= memory and shape.gpus <= gpus
            if not shape.models or model in shape.models
        ]
        classes, sizes = len(self._classes), len(self._sizes)
        self._supply = classes
        self._cpu = self._supply + classes * sizes
        self._memory = self._cpu + classes
        self._pods = self._memory + classes
        rows = self._pods + len(self._shapes)
        self._limits = np.zeros(rows)
        for c, (cpu, memory, gpus, _, count) in enumerate(self._classes):
            self._limits[c] = gpus * count
            self._limits[self._cpu + c] = cpu * count
            self._limits[self._memory + c] = memory * count
        self._limits[self._pods :] = [count for _, count in self._shapes]

    def solve(self) -> float:
        """Until no pattern is worth more than the GPU that it would cut."""
        classes = range(len(self._classes))
        for _ in range(_ROUNDS):
            value, duals = self._optimum()
            prices = duals[self._supply : self._cpu].reshape(len(self._classes), -1)
            found = [_best_pattern(self._sizes, prices[c]) for c in classes]
            promised = sum(
                max(0.0, worth - duals[c]) * self._limits[c] for c, (worth, _) in zip(classes, found, strict=True)
            )
            if promised <= _GAP * value:
                break
            known = {tuple(sorted(pattern.items())) for pattern in self._patterns}
            new = {tuple(sorted(pattern.items())): pattern for _, pattern in found}
            self._patterns += [pattern for key, pattern in new.items() if key not in known]
        else:
            raise RuntimeError(f"no bound after {_ROUNDS} rounds; {promised} of {value} is open")
        capacity = WHOLE * sum(gpus * count for _, _, gpus, _, count in self._classes)
        return float(100 * (value + promised) / capacity)

    def _optimum(self) -> tuple[float, Floats]:
        """Thousandths in use, and what one more of each row would be worth."""
        entries: list[tuple[int, int, float]] = []
        gains = []
        sizes = len(self._sizes)
        for column, (s, c) in enumerate(self.pairs):
            shape = self._shapes[s][0]
            entries += [
                (self._supply + c * sizes + self._size[shape.milli], column, shape.gpus),
                (self._cpu + c, column, shape.cpu),
                (self._memory + c, column, shape.memory),
                (self._pods + s, column, 1.0),
            ]
            gains.append(shape.demand)
        for pattern in self._patterns:
            for c in range(len(self._classes)):
                column = len(gains)
                entries.append((c, column, 1.0))
                entries += [(self._supply + c * sizes + self._size[size], column, -n) for size, n in pattern.items()]
                gains.append(0)
        rows, columns, values = zip(*entries, strict=True)
        matrix = coo_array((values, (rows, columns)), shape=(len(self._limits), len(gains))).tocsr()
        answer = linprog(-np.array(gains, np.float64), A_ub=matrix, b_ub=self._limits, method="highs")
        if not answer.success:
            raise RuntimeError(f"the linear program was not solved: {answer.message}")
        return -answer.fun, -answer.ineqlin.marginals


def _best_pattern(sizes: Sequence[int], prices: Floats) -> tuple[float, dict[int, int]]:
    """The most valuable way to cut one GPU: an unbounded knapsack."""
    worth = np.zeros(WHOLE + 1)
    last = np.full(WHOLE + 1, -1)
    useful = [(size, float(price), at) for at, (size, price) in enumerate(zip(sizes, prices, strict=True)) if price > 0]
    for room in range(1, WHOLE + 1):
        worth[room], last[room] = worth[room - 1], -1
        for size, price, at in useful:
            if size <= room and worth[room - size] + price > worth[room] + 1e-12:
                worth[room], last[room] = worth[room - size] + price, at
    pattern: Counter[int] = Counter()
    room = WHOLE
    while room > 0:
        if last[room] < 0:
            room -= 1
        else:
            pattern[sizes[last[room]]] += 1
            room -= sizes[last[room]]
    return float(worth[WHOLE]), dict(pattern)
