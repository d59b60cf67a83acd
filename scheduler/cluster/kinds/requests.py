"""What a pod requests of a node, of plain and of extended resources."""

from collections.abc import Callable, Mapping
from typing import Final

from scheduler.cluster.kinds.amounts import Nanos, add, lift, nanos_of, units_of
from scheduler.cluster.wire import pods as wire
from scheduler.cluster.wire.containers import Container, Resources
from scheduler.core import names
from scheduler.core.model import ExtendedRequest
from scheduler.core.quantity import NANO

ASSUMED: Final[Mapping[str, int]] = {"cpu": NANO // 10, "memory": 200 * 2**20 * NANO}
"""What a container is taken for that says nothing, in nano-units (pkg/scheduler/util/pod_resources.go)."""
Counted = Callable[[Container, str], Nanos]
"""What one container at a path is counted for."""


def asked_of(spec: wire.PodSpec) -> Nanos:
    """What a pod's containers request together at most."""
    return _together(spec, _asked)


def requests_of(
    spec: wire.PodSpec, status: wire.PodStatus, asked: Nanos
) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Requests as kube-scheduler counts them (`PodRequests` of k8s.io/component-helpers/resource), and of those that
    are made for the pod as a whole what its containers leave.

    Requests of the pod as a whole take the place of cpu, memory and huge pages; overhead is added. While a resize is
    under way the largest of what is asked, allocated and actual counts; what its node called infeasible is not asked
    (KEP-1287, KEP-5419). A pod that waits for a node has only what it asks. asked : of its containers.
    """
    total = dict(_resized(spec, status, asked) if spec.node_name else asked)
    margins: Mapping[str, int] = {}
    whole = nanos_of((spec.resources or Resources()).requests, "spec.resources.requests")
    whole = {name: amount for name, amount in whole.items() if _of_the_pod(name)}
    if whole:
        if spec.node_name and status.resources is not None:
            if _infeasible(status):
                whole = {}
            lift(whole, nanos_of(status.resources.requests, "status.resources.requests"))
            lift(whole, nanos_of(status.allocated_resources, "status.allocatedResources"))
            whole = {name: amount for name, amount in whole.items() if _of_the_pod(name)}
        margins = units_of({name: max(amount - total.get(name, 0), 0) for name, amount in whole.items()}, keep=True)
        total.update(whole)
    add(total, nanos_of(spec.overhead, "spec.overhead"))
    return units_of({name: amount for name, amount in total.items() if names.is_counted(name)}), margins


def unstated_of(spec: wire.PodSpec, asked: Nanos) -> Mapping[str, int]:
    """What kube-scheduler's scores take containers for that say nothing of cpu or memory, beyond what they ask."""
    whole = (spec.resources.requests if spec.resources else None) or {}
    pod_level = any(_of_the_pod(name) for name in whole)
    containers = (*(spec.containers or ()), *(spec.init_containers or ()))
    assumed = {name: amount for name, amount in ASSUMED.items() if name not in whole}
    if pod_level:
        assumed = {
            name: amount for name, amount in assumed.items() if not any(_says(each, name) for each in containers)
        }
    if not assumed or all(_says(each, name) for each in containers for name in assumed):
        return {}
    more = _together(spec, lambda container, path: {**assumed, **_asked(container, path)})
    return units_of({name: more.get(name, 0) - asked.get(name, 0) for name in assumed})


def _says(container: Container, resource: str) -> bool:
    """Whether a container says what it requests of a resource."""
    resources = container.resources
    return resources is not None and (resource in (resources.requests or ()) or resource in (resources.limits or ()))


def _together(spec: wire.PodSpec, counted: Counted) -> Nanos:
    """What a pod's containers take together at most.

    Containers and sidecars run together; init containers run one after the other, each beside the sidecars that were
    started before it.
    """
    total: Nanos = {}
    for index, container in enumerate(spec.containers or ()):
        add(total, counted(container, f"spec.containers[{index}]"))
    sidecars: Nanos = {}
    peak: Nanos = {}
    for index, container in enumerate(spec.init_containers or ()):
        own = dict(counted(container, f"spec.initContainers[{index}]"))
        if container.restart_policy == "Always":
            add(total, own)
            add(sidecars, own)
            own = sidecars
        else:
            add(own, sidecars)
        lift(peak, own)
    lift(total, peak)
    return total


def _infeasible(status: wire.PodStatus) -> bool:
    """Whether the pod's node cannot resize it ever."""
    pending = next((each for each in status.conditions or () if each.type == "PodResizePending"), None)
    return pending is not None and pending.reason == "Infeasible"


def _resized(spec: wire.PodSpec, status: wire.PodStatus, asked: Nanos) -> Nanos:
    """The largest of what the containers of a pod on a node ask, were allocated, and have."""
    whole = status.resources.requests if status.resources is not None else None
    infeasible = _infeasible(status)
    if status.allocated_resources is not None and whole is not None:
        held = nanos_of(status.allocated_resources, "status.allocatedResources")
        lift(held, nanos_of(whole, "status.resources.requests"))
    else:
        statuses = {each.name: each for each in status.init_container_statuses or ()}
        statuses.update({each.name: each for each in status.container_statuses or ()})
        if not any(each.allocated_resources is not None or each.resources is not None for each in statuses.values()):
            return {} if infeasible else asked

        def allocated(container: Container, path: str) -> Nanos:
            known = statuses.get(container.name)
            if known is not None and known.allocated_resources is not None:
                return nanos_of(known.allocated_resources, f"status of container {container.name}.allocatedResources")
            return {} if infeasible else _asked(container, path)

        def actual(container: Container, path: str) -> Nanos:
            known = statuses.get(container.name)
            if known is not None and known.resources is not None and known.resources.requests is not None:
                where = f"status of container {container.name}.resources.requests"
                return nanos_of(known.resources.requests, where)
            return allocated(container, path)

        held = _together(spec, allocated)
        lift(held, _together(spec, actual))
    if not infeasible:
        lift(held, asked)
    return held


def extended_of(spec: wire.PodSpec, unsupported: list[str]) -> tuple[ExtendedRequest, ...]:
    """What each container asks of extended resources."""
    found = []
    containers = [(each, "initContainers", each.restart_policy == "Always") for each in spec.init_containers or ()]
    containers += [(each, "containers", True) for each in spec.containers or ()]
    for position, (container, kind, lasting) in enumerate(containers):
        amounts = _asked(container, f"spec.{kind}")
        for number, name in enumerate(sorted(amounts)):
            if not names.is_extended(name) or not amounts[name]:
                continue
            if amounts[name] % NANO:
                unsupported.append(f"{kind}[{container.name}].resources.requests[{name}] that is no whole number")
            found.append(ExtendedRequest(container.name, position, lasting, name, number, amounts[name] // NANO))
    return tuple(found)


def _of_the_pod(name: str) -> bool:
    """Whether a request may be made for the pod as a whole."""
    return name in {"cpu", "memory"} or name.startswith("hugepages-")


def _asked(raw: Container, path: str) -> Nanos:
    """What a container requests. As the API server defaults, a limit without a request is the request."""
    resources = raw.resources
    if resources is None:
        return {}
    found = nanos_of(resources.limits, f"{path}.resources.limits") if resources.limits else {}
    found.update(nanos_of(resources.requests, f"{path}.resources.requests"))
    return found
