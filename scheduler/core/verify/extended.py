"""Extended resources that devices serve (KEP-5004): where, and by a claim that gives each container its own."""

from collections.abc import Callable, Mapping

from scheduler.core.model import DeviceClass, Node, Pod
from scheduler.core.plan import Placement
from scheduler.core.verify.rules import EXTENDED, World

Report = Callable[[str, str, str], None]


def delegated(world: World, pod: Pod, node: Node) -> dict[str, DeviceClass]:
    """What the pod asks of extended resources and devices serve: no plugin offers it there, and a class does."""
    found: dict[str, DeviceClass] = {}
    if not world.gates.extended_resources:
        return found
    for asked in pod.extended:
        if node.allocatable.get(asked.resource, 0) > 0:
            continue
        best: DeviceClass | None = None
        for item in world.classes.values():
            named = item.extended_resource == asked.resource
            implied = asked.resource == f"deviceclass.resource.kubernetes.io/{item.name}"
            if not named and not implied:
                continue
            # A class that is newer has the resource, and among equally new ones the one that comes first by name.
            newer = best is not None and item.created > best.created
            ahead = best is not None and item.created == best.created and item.name < best.name
            if best is None or newer or ahead:
                best = item
        if best is not None:
            found[asked.resource] = best
    return found


def check_special(
    report: Report, where: str, pod: Pod, delegated: Mapping[str, DeviceClass], placement: Placement
) -> None:
    """A claim is made exactly if devices serve something, and gives each container enough that is its own."""
    special = placement.special
    if special is None:
        for resource in delegated:
            report(EXTENDED, where, f"no claim is made for {resource}, and no device plugin offers it")
        if pod.extended_claim and pod.extended:
            # Its kubelet will look for that claim, and what the status says cannot be taken back.
            report(EXTENDED, where, f"the pod still names claim {pod.extended_claim}")
        return
    if not delegated:
        report(EXTENDED, where, "a claim is made, and nothing needs it")
    claim = special.claim
    if claim.owner != pod.uid or claim.namespace != pod.namespace:
        report(EXTENDED, where, f"claim {claim.key} is not the pod's own")
    if claim.annotations.get("resource.kubernetes.io/extended-resource-claim") != "true":
        report(EXTENDED, where, f"claim {claim.key} does not say that it is for extended resources")
    counts: dict[str, int] = {}
    classes: dict[str, str] = {}
    for request in claim.spec.requests:
        if request.name in counts:
            report(EXTENDED, where, f"claim {claim.key} has request {request.name} twice")
        counts[request.name] = request.count
        classes[request.name] = request.device_class
    uses: dict[tuple[str, str], list[str]] = {}  # (container, resource) -> requests
    for mapping in special.mappings:
        if mapping.request not in counts:
            report(EXTENDED, where, f"container {mapping.container} uses {mapping.request}, which is no request")
            continue
        uses.setdefault((mapping.container, mapping.resource), []).append(mapping.request)
    asked = {(each.container, each.resource): each for each in pod.extended if each.resource in delegated}
    for (container, resource), requests in uses.items():
        if (container, resource) not in asked:
            report(EXTENDED, where, f"container {container} does not ask for {resource} here")
        if len(set(requests)) != len(requests):
            report(EXTENDED, where, f"container {container} uses a request of {resource} twice")
    for (container, resource), want in asked.items():
        requests = uses.get((container, resource), [])
        if sum(counts[name] for name in requests) < want.amount:
            report(EXTENDED, where, f"container {container} gets fewer than {want.amount} of {resource}")
        for name in requests:
            if classes[name] != delegated[resource].name:
                report(EXTENDED, where, f"request {name} for {resource} is for class {classes[name]}")
    for name in counts:
        if not any(name in requests for requests in uses.values()):
            report(EXTENDED, where, f"request {name} serves no container")
        # Whoever uses it, no two of them run at the same time: an init container is done before the next begins.
        users = [asked[key] for key, requests in uses.items() if name in requests and key in asked]
        for index, one in enumerate(users):
            for other in users[index + 1 :]:
                first, second = (one, other) if one.position <= other.position else (other, one)
                if first.lasting or first.container == second.container:
                    text = f"containers {first.container} and {second.container} use request {name} at the same time"
                    report(EXTENDED, where, text)
