"""What a pod asks of the nodes and of the pods around it."""

from collections.abc import Mapping, Sequence
from typing import Final

from scheduler.cluster.kinds.selectors import label_selector_of, node_term_of
from scheduler.cluster.wire import neighbours as wire
from scheduler.cluster.wire.parts import NodeSelectorTerm as RawTerm
from scheduler.core.model import LabelSelector, Lean, NodeSelectorTerm, PodSelector, PodTerm, Requirement, Spread

SPREAD_ACTIONS: Final = ("DoNotSchedule", "ScheduleAnyway")
SPREAD_POLICIES: Final = ("Honor", "Ignore")


def terms_of(raw: wire.PodAffinity | None, namespace: str, path: str, unsupported: list[str]) -> tuple[PodTerm, ...]:
    """Required terms; none at all where one cannot be read, as kube-scheduler takes it of pods that run already."""
    before = len(unsupported)
    asked = (raw.required if raw is not None else None) or ()
    found = [_pod_term(term, namespace, f"{path}[{index}]", unsupported) for index, term in enumerate(asked)]
    return tuple(found) if len(unsupported) == before else ()


def _pod_term(term: wire.PodAffinityTerm, namespace: str, at: str, unsupported: list[str]) -> PodTerm:
    selector = label_selector_of(term.label_selector, f"{at}.labelSelector", unsupported)
    others = label_selector_of(term.namespace_selector, f"{at}.namespaceSelector", unsupported)
    own = () if term.namespaces or others is not None else (namespace,)
    namespaces = tuple(sorted(set(term.namespaces or own)))
    if not term.topology_key:
        unsupported.append(f"{at} without topologyKey")
    return PodTerm(term.topology_key, PodSelector(selector, namespaces, others))


def leans_of(affinity: wire.Affinity, namespace: str) -> tuple[Lean, ...]:
    """Preferred terms of both kinds; one that cannot be read prefers nothing, and keeps the pod from nothing."""
    found = []
    for kind, sign in ((affinity.pod_affinity, 1), (affinity.pod_anti_affinity, -1)):
        for each in (kind.preferred if kind is not None else None) or ():
            unknown: list[str] = []
            term = _pod_term(each.pod_affinity_term or wire.PodAffinityTerm(), namespace, "", unknown)
            if each.weight and not unknown:
                found.append(Lean(sign * each.weight, term))
    return tuple(found)


def spreads_of(
    constraints: Sequence[wire.Spread] | None, labels: Mapping[str, str], unsupported: list[str]
) -> tuple[Spread, ...]:
    """Topology spread constraints of a pod with these labels; what cannot be read is noted."""
    found = []
    for index, each in enumerate(constraints or ()):
        at = f"topologySpreadConstraints[{index}]"
        action = each.when_unsatisfiable or SPREAD_ACTIONS[0]
        policies = (each.node_affinity_policy or "Honor", each.node_taints_policy or "Ignore")
        for name, value, known in (
            ("whenUnsatisfiable", action, SPREAD_ACTIONS),
            ("nodeAffinityPolicy", policies[0], SPREAD_POLICIES),
            ("nodeTaintsPolicy", policies[1], SPREAD_POLICIES),
        ):
            if value not in known:
                unsupported.append(f"{at}.{name} {value}")
        if not each.topology_key:
            unsupported.append(f"{at} without topologyKey")
        selector = label_selector_of(each.label_selector, f"{at}.labelSelector", unsupported)
        if selector is not None:
            same = [Requirement(key, "In", (labels[key],)) for key in each.match_label_keys or () if key in labels]
            kept = [known for known in selector.requirements if known not in same]
            selector = LabelSelector((*same, *kept))
        found.append(
            Spread(
                each.topology_key,
                each.max_skew,
                selector,
                hard=action == SPREAD_ACTIONS[0],
                min_domains=1 if each.min_domains is None else each.min_domains,
                node_affinity=policies[0] == SPREAD_POLICIES[0],
                node_taints=policies[1] == SPREAD_POLICIES[0],
            )
        )
    return tuple(found)


def preferred_of(raw: wire.NodeAffinity) -> tuple[tuple[int, NodeSelectorTerm], ...]:
    """Terms that can hold at all; one with an operator that nobody knows cannot, and keeps the pod from nothing."""
    found = []
    for each in raw.preferred or ():
        unknown: list[str] = []
        term = node_term_of(each.preference or RawTerm(), "", unknown)
        if each.weight and (term.labels or term.fields):
            found.append((each.weight, term))
    return tuple(found)
