"""`dovetail doublebook`."""

import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from scheduler.audit.sources import Problem
from scheduler.core.errors import printable
from scheduler.core.model import Uid
from scheduler.doublebook.clashes import Cluster, clashes
from scheduler.doublebook.plugins import beside
from scheduler.doublebook.report import FORMATS, Report
from scheduler.readiness.snapshot import Found, Snapshot, of_values, read

KINDS: Final = frozenset({"ResourceSlice", "ResourceClaim", "Node", "Pod"})


def doublebook(
    paths: Sequence[str],
    form: str,
    objects: Sequence[dict[str, Any]] | None = None,
    unread: Sequence[tuple[str, str]] = (),
) -> int:
    """Print what is held beyond what there is, in these files or among the objects of a cluster.

    unread : (kind, why) of what the cluster did not list. Exit codes: 0 nothing found, 1 something, 2 bad input, or
    something could not be read.
    """
    if form not in FORMATS:
        print(printable(f"--format {form}: is none of {', '.join(FORMATS)}"), file=sys.stderr)
        return 2
    if objects is None:
        snapshot = read(paths, KINDS)
        known = frozenset(each.kind for each in snapshot.found)
        if not known and not snapshot.problems:
            words = f"holds nothing of {', '.join(sorted(KINDS))}"
            snapshot.problems.append(Problem(" ".join(paths), 0, words))
    else:
        snapshot = of_values(objects, KINDS, "cluster")
        known = KINDS - {kind for kind, _ in unread}
    cluster = cluster_of(snapshot, known)
    problems = [*snapshot.problems, *(Problem(f"cluster, {kind}", 0, why) for kind, why in unread)]
    if not problems or objects is not None:
        found, notes = clashes(cluster)
        more, further = beside(cluster)
        counts = {
            "ResourceSlices": len(cluster.slices), "ResourceClaims": len(cluster.claims), "Nodes": len(cluster.nodes),
            "Pods": len(cluster.pods),
        }  # fmt: skip
        print(FORMATS[form](Report(sorted([*found, *more]), [*notes, *further], counts)))
        if found or more:
            return 2 if problems and _told(problems) else 1
    return 2 if _told(problems) else 0


def _told(problems: Sequence[Problem]) -> bool:
    for problem in problems:
        print(printable(str(problem)), file=sys.stderr)
    return bool(problems)


def cluster_of(snapshot: Snapshot, known: frozenset[str]) -> Cluster:
    """The model of a snapshot. Objects that are none are its problems, and their kinds are not known in whole."""
    found = {kind: snapshot.decoded(kind) for kind in sorted(KINDS)}
    there = Counter(each.kind for each in snapshot.found)
    return Cluster(
        slices=found["ResourceSlice"],
        claims=found["ResourceClaim"],
        nodes=found["Node"],
        pods=found["Pod"],
        backed={
            Uid(each.raw["metadata"]["uid"]): resources
            for each in snapshot.found
            if each.kind == "Pod" and (resources := _backed(each))
        },
        known=frozenset(kind for kind in known if len(found[kind]) == there[kind]),
    )


def _backed(pod: Found) -> frozenset[str]:
    """Extended resources of a pod that a claim serves, as its status says."""
    found: Any = pod.raw.get("status")
    for key in ("extendedResourceClaimStatus", "requestMappings"):
        found = found.get(key) if isinstance(found, dict) else None
    return frozenset(
        name
        for each in (found if isinstance(found, list) else ())
        if isinstance(each, dict) and isinstance(name := each.get("resourceName"), str)
    )
