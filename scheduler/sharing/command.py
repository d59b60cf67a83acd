"""`dovetail plan share`: files in, a plan and the claims for it out."""

import sys
from collections.abc import Sequence
from pathlib import Path

from scheduler.cluster.decode import decode
from scheduler.core.errors import InputError, printable
from scheduler.core.gates import Gates
from scheduler.core.model import Claim, DeviceClass, Node, Slice, TaintRule
from scheduler.sharing.manifests import Manifests, kustomization, manifests
from scheduler.sharing.plan import SharePlan, plan
from scheduler.sharing.problem import problem
from scheduler.sharing.report import FORMATS, dump
from scheduler.sharing.solving import solve
from scheduler.sharing.supply import Fleet, Supply, supply
from scheduler.sharing.wishes import Model, read_models
from scheduler.simulator.objects import Objects, read
from scheduler.simulator.run import check

MAX_GPUS = 20_000


def share(models: Path, fleet: Sequence[Path], form: str, out: Path | None) -> int:
    """Print a plan, and write its claims into a new folder if one is named.

    Exit codes: 0 all replicas have a place, 1 some have none, 2 something cannot be read or written.
    """
    try:
        if form not in FORMATS:
            raise InputError(f"--format {form}", f"is none of {', '.join(FORMATS)}")
        if out is not None:
            _refuse_folder(out)
        wanted = read_models(models)
        stock = stock_of(read(fleet), ", ".join(map(str, fleet)))
        found = planned(wanted, stock)
        written = manifests(found, stock) if out is not None else None
        if out is not None and written is not None:
            write(written, out)
    except InputError as error:
        print(printable(str(error)), file=sys.stderr)
        return 2
    print(FORMATS[form](found, stock))
    return int(bool(found.missing))


def planned(wanted: Sequence[Model], stock: Supply) -> SharePlan:
    """The plan for these models on these GPUs."""
    return plan(solve(problem(wanted, stock.gpus, fractional=Gates().fractional_capacity_range)), wanted)


def stock_of(objects: Objects, name: str) -> Supply:
    """The GPUs that objects of a cluster tell of; `name` stands for them in messages. Raises InputError."""
    check(objects.found)
    fleet = Fleet()
    for each in objects.found:
        if each.kind not in {"Node", "ResourceSlice", "DeviceClass", "DeviceTaintRule", "ResourceClaim"}:
            continue
        match decode(each.kind, {**each.raw, "metadata": {"uid": "unset", **each.raw["metadata"]}}):
            case Node() as found:
                fleet.nodes.append(found)
            case Slice() as found:
                fleet.slices.append(found)
            case DeviceClass() as found:
                fleet.classes.append(found)
            case TaintRule() as found:
                fleet.rules.append(found)
            case Claim() as found:
                fleet.claims.append(found)
    if not fleet.nodes:
        raise InputError(name, "holds no Node", "give the Nodes and ResourceSlices of the fleet")
    if not fleet.slices:
        raise InputError(name, "holds no ResourceSlice", "add what kubectl get resourceslices -o yaml says")
    stock = supply(fleet, Gates())
    if not stock.gpus:
        said = "; ".join(stock.left_out) or "no device on these nodes has a capacity memory"
        raise InputError(name, f"has no GPU to plan with ({said})")
    if len(stock.gpus) > MAX_GPUS:
        raise InputError(name, f"has more than {MAX_GPUS} GPUs", "plan for a part of the fleet")
    return stock


def _refuse_folder(out: Path) -> None:
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise InputError(f"--out {out}", "is no folder", "name a new one")
    if out.is_dir() and any(out.iterdir()):
        raise InputError(f"--out {out}", "is not empty", "name a new folder")


def write(found: Manifests, out: Path) -> None:
    """Write the claims, what kustomize reads, and stand-ins of the pods beside them. Raises InputError."""
    texts = {"classes.yaml": dump(found.classes)} if found.classes else {}
    texts |= {"claims.yaml": dump(found.claims)} if found.claims else {}
    texts["kustomization.yaml"] = dump([kustomization(list(texts))])
    head = "# Stand-ins of the pods that the plan is for, to simulate it; your workloads need their resourceClaims,\n"
    head += "# affinity and tolerations. Not part of the kustomization.\n"
    texts["workloads.yaml"] = head + dump(found.workloads)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (out / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"--out {out}", f"cannot be written ({error.strerror})") from error
