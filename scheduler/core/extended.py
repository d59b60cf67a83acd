"""Extended resources that devices serve (KEP-5004): which class is behind one, and the claim that serves a pod.

A node that offers the resource serves it by a device plugin, as ever. Where a node does not and a DeviceClass names the
resource, the scheduler makes a claim for all such resources of the pod, allocates it like any other, and tells the pod
which of its requests belongs to which container. Names and sharing are those of kube-scheduler 1.37
(`dynamicresources/extendeddynamicresources.go`), which the kubelet and people rely on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from scheduler.core import names
from scheduler.core.model import Claim, ClaimSpec, DeviceClass, ExtendedRequest, Pod, Request, RequestMapping, Uid

MAX_BASE: Final = 58
"""Characters that the API server keeps of a generateName, before five of its own (apiserver's name generator)."""


@dataclass(frozen=True, slots=True)
class SpecialClaim:
    """The claim that serves a pod's extended resources. Its uid is provisional until the API server gave it one.

    mappings : what the pod's status will say of it.
    """

    claim: Claim
    mappings: tuple[RequestMapping, ...]


def backing_class(resource: str, classes: Mapping[str, DeviceClass]) -> DeviceClass | None:
    """The class whose devices serve a resource. Of several the newest does, of equally old ones the first by name."""
    if not names.is_extended(resource):
        return None
    if resource.startswith(names.IMPLICIT_EXTENDED):
        return classes.get(resource.removeprefix(names.IMPLICIT_EXTENDED))
    found = sorted(
        (each for each in classes.values() if each.extended_resource == resource), key=lambda each: each.name
    )
    return max(found, key=lambda each: each.created, default=None)


def base_name(pod: str) -> str:
    """The generateName of a pod's special claim, no longer than what the API server would keep of it."""
    return f"{pod}-extended-resources-"[:MAX_BASE].rstrip(".")


def is_special(claim: Claim) -> bool:
    """Whether a scheduler made this claim for the extended resources of the pod that owns it."""
    return claim.annotations.get(names.EXTENDED_CLAIM) == "true" and bool(claim.owner)


def special_claim(pod: Pod, served: Mapping[str, str]) -> SpecialClaim:
    """The claim for what a pod's containers ask of these resources, which map to the names of device classes.

    Its name is settled here and not by the API server, so that making it twice makes one; another version of the pod
    gives another name.
    """
    requests: list[Request] = []
    mappings: list[RequestMapping] = []
    for resource, device_class in sorted(served.items()):
        asked = [each for each in pod.extended if each.resource == resource]
        amounts, mapped = _requests(asked)
        requests += [Request(name, device_class, count=amount) for name, amount in amounts.items()]
        mappings += mapped
    claim = Claim(
        namespace=pod.namespace,
        name=base_name(pod.name) + names.suffix(pod.uid, pod.resource_version),
        uid=Uid(f"{pod.uid}/extended-resources"),
        resource_version="",
        spec=ClaimSpec(tuple(sorted(requests, key=lambda request: request.name))),
        owner=pod.uid,
        annotations={names.EXTENDED_CLAIM: "true"},
    )
    return SpecialClaim(claim, tuple(mappings))


def _requests(asked: Sequence[ExtendedRequest]) -> tuple[dict[str, int], list[RequestMapping]]:
    """Requests for one resource, name -> devices, and whose they are.

    Containers that run at the same time have requests of their own. An init container that ends uses those of the
    lasting containers behind it, and only what it needs beyond them is asked for once more; since such init containers
    run one after the other, the largest of these requests serves them all.
    """
    lasting = [each for each in asked if each.lasting]
    amounts = {_name(each): each.amount for each in lasting}
    mappings = [_mapping(each, _name(each)) for each in lasting]
    extra: dict[str, int] = {}
    passing: list[tuple[ExtendedRequest, str]] = []
    for each in asked:
        if each.lasting:
            continue
        missing = each.amount
        for later in lasting:
            if later.position > each.position and missing > 0:
                passing.append((each, _name(later)))
                missing -= later.amount
        if missing > 0:
            extra[_name(each)] = missing
            passing.append((each, _name(each)))
    if extra:
        largest = max(extra, key=lambda name: extra[name])  # of equal ones the first
        amounts[largest] = extra[largest]
        passing = [(each, largest if name in extra else name) for each, name in passing]
    return amounts, [*mappings, *(_mapping(each, name) for each, name in passing)]


def _name(asked: ExtendedRequest) -> str:
    return f"container-{asked.position}-request-{asked.number}"


def _mapping(asked: ExtendedRequest, request: str) -> RequestMapping:
    return RequestMapping(asked.container, asked.resource, request)
