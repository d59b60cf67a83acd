"""Bounds and baselines that are kept, since computing them takes as long as the benchmark: `bounds.json` beside this.

{digest of a trace: {"trace": name, "fill": {seed: percent}, "churn": {load: percent}},
 "S6": {jobs: {seed: share}},
 "baselines": {what was run, on what: {seed: figures}}}
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from e2e.bench import mig, protocol
from e2e.bench.lp import bound
from e2e.bench.trace import Shape, Trace

FILE = Path(__file__).with_name("bounds.json")


class Bounds:
    """compute : whether what is not kept, and what is, is computed now and kept; else it is None where not kept."""

    def __init__(self, *, compute: bool, file: Path = FILE) -> None:
        self._compute = compute
        self._file = file
        self._kept: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}

    def fill(self, trace: Trace, seed: int) -> float | None:
        """Percent of the GPUs that can be in use, at most, after as much as there is was asked for."""
        kept = self._of(trace, "fill")
        if self._compute:
            kept[str(seed)] = round(bound(trace.machines, _arrived(trace, seed)), 3)
            self._keep()
        return kept.get(str(seed))

    def churn(self, trace: Trace, load: float) -> float | None:
        """Percent of the GPUs that can be in use on average, at most: what runs at any time is a state that fits."""
        kept = self._of(trace, "churn")
        if self._compute:
            shapes = Counter(job.shape for job in trace.jobs)
            scale = load * trace.capacity / sum(shape.demand * count for shape, count in shapes.items())
            kept[str(load)] = round(bound(trace.machines, {s: scale * count for s, count in shapes.items()}), 3)
            self._keep()
        return kept.get(str(load))

    def parts(self, seed: int, count: int) -> float | None:
        """Share of S6's jobs that are accepted when everything may be packed anew for each."""
        kept = self._kept.setdefault("S6", {}).setdefault(str(count), {})
        if self._compute:
            kept[str(seed)] = round(mig.repacked(seed, count), 4)
            self._keep()
        return kept.get(str(seed))

    def baseline(
        self, what: str, seed: int, run: Callable[[], Mapping[str, float | None]]
    ) -> Mapping[str, float | None]:
        """Figures of a baseline: as kept, and where none are, as they are now."""
        kept = self._kept.setdefault("baselines", {}).setdefault(what, {})
        if self._compute:
            kept[str(seed)] = {name: value for name, value in run().items() if name != "pods_per_second"}
            self._keep()
        return kept.get(str(seed)) or run()

    def _of(self, trace: Trace, what: str) -> dict[str, float]:
        found: dict[str, float] = self._kept.setdefault(trace.digest, {"trace": trace.name}).setdefault(what, {})
        return found

    def _keep(self) -> None:
        self._file.write_text(json.dumps(self._kept, indent=1, sort_keys=True) + "\n")


def _arrived(trace: Trace, seed: int) -> Counter[Shape]:
    """All that was asked for when it came to 100 %, with the pod that went beyond."""
    found: Counter[Shape] = Counter()
    asked = 0
    for shape in protocol.fill(trace, seed).shapes:
        if asked >= trace.capacity:
            break
        asked += shape.demand
        found[shape] += 1
    return found
