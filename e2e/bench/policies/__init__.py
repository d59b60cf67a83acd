"""Reference policies, by name."""

from collections.abc import Callable, Sequence

from e2e.bench.policies.base import Policy, Reference
from e2e.bench.policies.fgd import Fgd
from e2e.bench.policies.plain import BestFit, FirstFit, Kube
from e2e.bench.trace import Trace

POLICIES: dict[str, Callable[[Trace], Policy]] = {
    "fgd": lambda trace: Fgd(job.shape for job in trace.jobs),
    "bestfit": lambda trace: BestFit(),
    "firstfit": lambda trace: FirstFit(),
    "kube": lambda trace: Kube(),
}


def reference(name: str, trace: Trace, order: Sequence[int], seed: int) -> Reference:
    """A reference policy on the empty machines of a trace."""
    return Reference(POLICIES[name](trace), trace.machines, order, seed)
