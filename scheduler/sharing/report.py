"""A plan for people (table) and for programs (JSON, YAML)."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import yaml

from scheduler.core.errors import printable
from scheduler.sharing.limits import LIMITS
from scheduler.sharing.plan import Placed, SharePlan, Tenant, size
from scheduler.sharing.problem import MODES
from scheduler.sharing.supply import Supply
from scheduler.sharing.wishes import COMPUTE

OBJECTIVE: Final = (
    "fewest replicas without a place",
    "fewest GPUs put to use",
    "most headroom where it is least (local optimum)",
    "least waste of parts (local optimum)",
)


def as_dict(plan: SharePlan, supply: Supply) -> dict[str, Any]:
    """All of it, in plain values: memory in bytes, compute in percent of a GPU."""
    return {
        "objective": list(OBJECTIVE),
        "summary": {
            "gpusUsed": plan.used,
            "gpusJoined": plan.joined,
            "gpusInFleet": len(supply.gpus),
            "gpusAtLeast": plan.least,
            "gap": None if plan.gap is None else round(plan.gap, 4),
            "replicasPlaced": sum(tenant.replicas for each in plan.placed for tenant in each.tenants),
            "replicasMissing": plan.absent,
            "replicasMissingAtLeast": plan.least_missing,
            "method": plan.method,
        },
        "gpus": [_placed(each) for each in plan.placed],
        "missing": [
            {"model": each.model.key, "replicas": each.replicas, "reason": each.reason, "remedy": each.remedy}
            for each in plan.missing
        ],
        "limits": {mode: _limits(mode) for mode in _modes(plan)},
        "leftOut": [{"reason": reason, "count": count} for reason, count in supply.left_out.items()],
    }


def _placed(placed: Placed) -> dict[str, Any]:
    return {
        "node": placed.gpu.node,
        "gpu": placed.gpu.name,
        "product": placed.gpu.product,
        "mode": placed.mode,
        "joined": placed.gpu.used,
        "models": [_tenant(each) for each in placed.tenants],
        "memory": placed.memory,
        "memoryLeft": placed.spare_memory,
        "computeLeft": _percent(placed.spare_compute),
        "headroom": round(placed.headroom, 4),
    }


def _tenant(tenant: Tenant) -> dict[str, Any]:
    part = {} if tenant.part is None else {"part": tenant.part.offer.device.name, "profile": tenant.part.profile}
    return {
        "model": tenant.model.key,
        "replicas": tenant.replicas,
        "memory": tenant.memory,
        "compute": _percent(tenant.compute),
        **part,
    }


def _percent(compute: int) -> float:
    return round(compute * 100 / COMPUTE, 1)


def _modes(plan: SharePlan) -> list[str]:
    used = {each.mode for each in plan.placed}
    return [mode for mode in MODES if mode in used]


def _limits(mode: str) -> dict[str, str]:
    found = LIMITS[mode]
    return {
        "title": found.title,
        "memory": found.memory,
        "faults": found.faults,
        "neighbours": found.neighbours,
        "limits": found.bounds,
    }


def as_json(plan: SharePlan, supply: Supply) -> str:
    """One JSON object."""
    return json.dumps(as_dict(plan, supply), indent=2)


def as_yaml(plan: SharePlan, supply: Supply) -> str:
    """One YAML document."""
    return dump([as_dict(plan, supply)]).rstrip("\n")


def as_table(plan: SharePlan, supply: Supply) -> str:
    """What is on each GPU, in lines; then what is missing, the bound, and what each way isolates."""
    lines = []
    if plan.placed:
        rows = [_row(each) for each in plan.placed]
        lines += [*columns([("GPU", "PRODUCT", "MODE", "LEFT", "MODELS"), *rows]), ""]
    counts = Counter(each.gpu.product for each in plan.placed if not each.gpu.used)
    products = ", ".join(f"{count} {product}" for product, count in sorted(counts.items()))
    lines.append(f"GPUs put to use: {plan.used} of {len(supply.gpus)}" + (f" ({products})" if products else ""))
    if plan.joined:
        lines.append(f"GPUs that existing claims use and models join: {plan.joined}")
    lines.append(f"counted in this order: {'; '.join(OBJECTIVE)}")
    lines.append(_bound(plan))
    if plan.placed:
        shared = [each for each in plan.placed if each.mode != "whole"]
        least = f"; least on a GPU that is shared: {min(e.headroom for e in shared):.0%}" if shared else ""
        spare = sum(each.spare_memory for each in plan.placed)
        lines.append(f"memory left on them: {size(spare)}{least}")
    for each in plan.missing:
        many = f"{each.replicas} of {each.model.replicas}"
        lines.append(f"no place: {each.model.key}, {many}: {each.reason}; {each.remedy}")
    for mode in _modes(plan):
        found = LIMITS[mode]
        lines += ["", f"{mode}: {found.title}", f"  memory      {found.memory}", f"  faults      {found.faults}"]
        lines += [f"  neighbours  {found.neighbours}", f"  limits      {found.bounds}"]
    if supply.left_out:
        lines += ["", "left out:", *(f"  {count} x {reason}" for reason, count in supply.left_out.items())]
    return "\n".join(printable(line) for line in lines)


def _bound(plan: SharePlan) -> str:
    if plan.least is None:
        sure = f"at least {plan.least_missing} in any plan" if plan.least_missing else "perhaps fewer"
        return f"replicas without a place: {plan.absent} ({sure}); how few GPUs could do is not known then"
    absent = f" with {plan.absent} replicas without a place, which no plan can better" if plan.absent else ""
    if plan.used <= plan.least:
        return f"proven: no plan uses fewer{absent} ({plan.method})"
    return f"at least {plan.least} are needed{absent}: the gap is at most {plan.gap:.1%} ({plan.method})"


def _row(placed: Placed) -> tuple[str, ...]:
    left = "-" if placed.mode == "whole" else f"{size(placed.spare_memory)}, {_percent(placed.spare_compute):g}%"
    names = []
    for tenant in placed.tenants:
        times = f" x{tenant.replicas}" if tenant.replicas > 1 else ""
        part = f" ({tenant.part.profile})" if tenant.part is not None else ""
        names.append(f"{tenant.model.key}{times}{part}")
    return (placed.gpu.key, placed.gpu.product, placed.mode, left, ", ".join(names))


def columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows as lines, in columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in rows
    ]


class _Dumper(yaml.CSafeDumper):  # type: ignore[misc]
    def ignore_aliases(self, data: Any) -> bool:
        return True


def dump(documents: Iterable[Mapping[str, Any]]) -> str:
    """YAML of these documents, as every reader of Kubernetes objects takes it."""
    text: str = yaml.dump_all(
        list(documents), Dumper=_Dumper, sort_keys=False, default_flow_style=False, width=4096, allow_unicode=False
    )
    return text


FORMATS: Final[Mapping[str, Callable[[SharePlan, Supply], str]]] = {
    "table": as_table,
    "json": as_json,
    "yaml": as_yaml,
}
