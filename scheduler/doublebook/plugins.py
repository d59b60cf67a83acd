"""Device plugins and drivers that hand out the same devices of a node, and nodes whose resources devices overdraw.

A pod's extended resource is served by the plugin of its node, unless its status says that a claim serves it (KEP-5004):
a class with extendedResourceName does not change what a node with a plugin does.
"""

from collections.abc import Iterator, Mapping, Sequence

from scheduler.audit.devices import device_of
from scheduler.core.allocatable import UnmeasuredError, charged, footprint, units
from scheduler.core.model import Claim, Node, Pod, Uid
from scheduler.doublebook.clashes import NODE, PLUGIN, Clash, Cluster, Held
from scheduler.readiness.facts import is_plugged
from scheduler.readiness.published import Placed, published
from scheduler.readiness.releases import table


def beside(cluster: Cluster) -> tuple[list[Clash], list[str]]:
    """(plugins beside drivers and overdrawn nodes, what could not be judged)."""
    needed = {"ResourceSlice", "Node", "Pod"}
    missing = sorted(needed - cluster.known)
    if missing:
        return [], [f"not known in whole: {', '.join(missing)}; device plugins and node resources are not judged"]
    held = Held(cluster)
    running = _running(cluster.pods)
    publishers = published(cluster.slices, cluster.nodes)
    listed = [item for each in publishers for item in each.devices]
    found = list(_plugins(cluster, held, running, listed))
    notes: list[str] = []
    found += _nodes(cluster, held, running, notes)
    return sorted(found), notes


def _running(pods: Sequence[Pod]) -> Mapping[str, list[Pod]]:
    found: dict[str, list[Pod]] = {}
    for pod in pods:
        if pod.node_name and not pod.done:
            found.setdefault(pod.node_name, []).append(pod)
    return found


def _plugins(
    cluster: Cluster, held: Held, running: Mapping[str, list[Pod]], listed: Sequence[Placed]
) -> Iterator[Clash]:
    for node in sorted(cluster.nodes, key=lambda each: each.name):
        here = [each for each in listed if each.node == node.name]
        for resource, offered in sorted(node.allocatable.items()):
            devices = [each for each in here if _same(resource, each.driver)]
            if not (offered > 0 and devices and is_plugged(resource)):
                continue
            users = [
                pod
                for pod in running.get(node.name, ())
                if pod.requests.get(resource, 0) > 0 and resource not in cluster.backed.get(pod.uid, ())
            ]
            if users:
                yield _plugin(node, resource, users, devices, held)


def _same(resource: str, driver: str) -> bool:
    entry = table().get(driver)
    return entry is not None and bool(entry.resources) and resource.startswith(entry.resources)


def _plugin(node: Node, resource: str, users: Sequence[Pod], devices: Sequence[Placed], held: Held) -> Clash:
    whole = [each for each in devices if each.whole]
    taken = {(each.driver, each.pool, each.device.name) for each in devices} & {*held.dedicated, *held.shares}
    taken_whole = taken & {(each.driver, each.pool, each.device.name) for each in whole}
    used = sum(pod.requests[resource] for pod in users)
    offered = node.allocatable[resource]
    sort = device_of(resource)
    # Where a unit is one GPU, more users than GPUs must meet; where a plugin offers replicas or parts, they may.
    single = sort is not None and sort.sort in {"gpu", "other"} and offered <= len(whole)
    certain = single and used + len(taken_whole) > len(whole)
    drivers = ", ".join(sorted({each.driver for each in devices}))
    text = (
        f"{resource}: the plugin gave {used} of {offered} to pods, and claims hold {len(taken)} of {len(devices)} "
        f"devices that {drivers} publishes for the same hardware"
    )
    claims = [
        claim for identity in taken for claim in (*held.dedicated.get(identity, ()), *held.sharing.get(identity, ()))
    ]
    holders = [*(f"pod {pod.key}" for pod in users), *(f"claim {claim.key}" for claim in claims)]
    return Clash(PLUGIN, f"node {node.name}", text, tuple(sorted(set(holders))), certain=certain)


# ---------------------------------------------------------------- what devices take of their node (KEP-5517)


def _nodes(cluster: Cluster, held: Held, running: Mapping[str, list[Pod]], notes: list[str]) -> Iterator[Clash]:
    claims = {(claim.namespace, claim.name): claim for claim in cluster.claims}
    for node in sorted(cluster.nodes, key=lambda each: each.name):
        pods = running.get(node.name, [])
        extra: dict[Uid, Mapping[str, int]] = {}
        for pod in pods:
            try:
                extra[pod.uid] = pod.published if pod.published is not None else _taken(pod, claims, held)
            except UnmeasuredError as error:
                notes.append(f"pod {pod.key}: what its devices take of node {node.name} is not known: {error}")
        for resource in sorted({name for taken in extra.values() for name in taken}):
            asked = sum(pod.requests.get(resource, 0) for pod in pods)
            taken = sum(each.get(resource, 0) for each in extra.values())
            there = node.allocatable.get(resource, 0)
            if taken and asked + taken > there:
                unit = "m" if resource == "cpu" else ""
                text = f"{resource}: pods request {asked}{unit}, their devices take {taken}{unit}, of {there}{unit}"
                users = [f"pod {pod.key}" for pod in pods if extra.get(pod.uid, {}).get(resource)]
                yield Clash(NODE, f"node {node.name}", text, tuple(sorted(users)))


def _taken(pod: Pod, claims: Mapping[tuple[str, str], Claim], held: Held) -> Mapping[str, int]:
    """What the devices of a pod take beyond its requests. Raises UnmeasuredError."""
    nanos: dict[str, int] = {}
    for entry in pod.claims:
        name = entry.claim_name if entry.template_name is None else pod.claim_names.get(entry.name)
        claim = claims.get((pod.namespace, name or ""))
        if claim is None or claim.allocation is None:
            continue
        pairs = [(held.device(result.identity), result.consumed) for result in claim.allocation.results]
        found = footprint([(device, consumed) for device, consumed in pairs if device is not None])
        for resource, amount in found.nanos(len(pod.users.get(entry.name, ()))).items():
            nanos[resource] = nanos.get(resource, 0) + amount
    return charged(pod, units(nanos))[0]
