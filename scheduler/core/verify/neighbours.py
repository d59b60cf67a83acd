"""What a pod and the pods that run already may ask of each other: host ports, affinity, anti-affinity and spread.

Sources: the plugins NodePorts, InterPodAffinity and PodTopologySpread of kube-scheduler v1.37.2.
"""

from collections.abc import Callable, Mapping, Sequence

from scheduler.core.model import LabelSelector, Node, Pod, PodSelector, Spread
from scheduler.core.verify.rules import ANTI_AFFINITY, HOST_PORTS, POD_AFFINITY, SPREAD, World
from scheduler.core.verify.words import keeps_off, label_holds, node_selected

Report = Callable[[str, str, str], None]
Running = Sequence[tuple[Pod, str]]
"""Pods that run, with the names of their nodes."""


def check_neighbours(report: Report, where: str, world: World, pod: Pod, node: Node, running: Running) -> None:
    """Judge a pod on a node among those that run; where : pod and node in words."""
    standing = [(other, world.nodes[name]) for other, name in running if name in world.nodes]
    for other, its in standing:
        if its.name == node.name:
            _check_ports(report, where, pod, other)
        for term in other.repels:
            if selected_from_afar(term.pods, pod, world.namespaces) and _together(term.topology, node, its):
                report(ANTI_AFFINITY, where, f"pod {other.key} repels it in {term.topology}")
        for term in pod.repels:
            if selected(term.pods, other, world.namespaces) and _together(term.topology, node, its):
                report(ANTI_AFFINITY, where, f"it repels pod {other.key} in {term.topology}")
    _check_affinity(report, where, world, pod, node, standing)
    spreads = [spread for spread in pod.spreads if spread.hard]
    there: dict[str, list[Pod]] = {}
    for other, its in standing if spreads else ():
        there.setdefault(its.name, []).append(other)
    for spread in spreads:
        _check_spread(report, where, world, pod, node, there, spread)


def selected(pods: PodSelector, pod: Pod, namespaces: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether a term of a pod that is being placed selects another pod: of namespaces only those that exist count."""
    if pod.namespace in pods.namespaces:
        return _labels_hold(pods.selector, pod.labels)
    if pods.namespace_selector is None:
        return False
    if pods.namespace_selector.requirements and pod.namespace not in namespaces:
        return False
    known = namespaces.get(pod.namespace, {})
    return _labels_hold(pods.namespace_selector, known) and _labels_hold(pods.selector, pod.labels)


def selected_from_afar(pods: PodSelector, pod: Pod, namespaces: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether a term of a pod that runs selects one that is being placed: a namespace nobody knows has no labels."""
    if pod.namespace not in pods.namespaces and not _labels_hold(
        pods.namespace_selector, namespaces.get(pod.namespace, {})
    ):
        return False
    return _labels_hold(pods.selector, pod.labels)


def _labels_hold(selector: LabelSelector | None, labels: Mapping[str, str]) -> bool:
    return selector is not None and all(label_holds(labels, wanted) for wanted in selector.requirements)


def _together(topology: str, node: Node, other: Node) -> bool:
    return topology in node.labels and node.labels[topology] == other.labels.get(topology)


def _check_ports(report: Report, where: str, pod: Pod, other: Pod) -> None:
    everywhere = "0.0.0.0"
    for port in pod.ports:
        for taken in other.ports:
            if (port.port, port.protocol) != (taken.port, taken.protocol):
                continue
            if port.ip == taken.ip or everywhere in (port.ip, taken.ip):
                report(HOST_PORTS, where, f"pod {other.key} has host port {port.port}/{port.protocol}")


def _check_affinity(
    report: Report, where: str, world: World, pod: Pod, node: Node, standing: Sequence[tuple[Pod, Node]]
) -> None:
    if not pod.attracts:
        return
    for term in pod.attracts:
        if term.topology not in node.labels:
            report(POD_AFFINITY, where, f"the node has no label {term.topology}")
    friends = [
        its
        for other, its in standing
        if all(selected(term.pods, other, world.namespaces) for term in pod.attracts)
        and any(term.topology in its.labels for term in pod.attracts)
    ]
    if not friends and all(selected(term.pods, pod, world.namespaces) for term in pod.attracts):
        return  # the first of its kind
    for term in pod.attracts:
        if not any(_together(term.topology, node, its) for its in friends):
            report(POD_AFFINITY, where, f"no pod that it is to be with is in its {term.topology}")


def _check_spread(
    report: Report,
    where: str,
    world: World,
    pod: Pod,
    node: Node,
    there: Mapping[str, Sequence[Pod]],
    spread: Spread,
) -> None:
    """there : pods by the name of their node."""
    key = spread.topology
    if key not in node.labels:
        report(SPREAD, where, f"the node has no label {key}")
        return
    keys = [each.topology for each in pod.spreads if each.hard]
    counted: dict[str, int] = {}
    for each in world.nodes.values():
        if any(wanted not in each.labels for wanted in keys):
            continue
        if spread.node_affinity and not _chosen(pod, each):
            continue
        compare = world.gates.taint_comparison
        if spread.node_taints and any(keeps_off(taint, pod.tolerations, compare=compare) for taint in each.taints):
            continue
        counted.setdefault(each.labels[key], 0)
        for other in there.get(each.name, ()):
            same = other.namespace == pod.namespace and not other.deleting
            # A selector that selects everything counts nothing, as upstream has it.
            if same and spread.selector is not None and spread.selector.requirements:
                counted[each.labels[key]] += _labels_hold(spread.selector, other.labels)
    least = min(counted.values(), default=2**31 - 1) if len(counted) >= spread.min_domains else 0
    own = int(_labels_hold(spread.selector, pod.labels))
    skew = counted.get(node.labels[key], 0) + own - least
    if skew > spread.max_skew:
        report(SPREAD, where, f"its skew over {key} is {skew}, and {spread.max_skew} is allowed")


def _chosen(pod: Pod, node: Node) -> bool:
    if any(node.labels.get(key) != value for key, value in pod.node_selector.items()):
        return False
    return pod.affinity is None or node_selected(pod.affinity, node)
