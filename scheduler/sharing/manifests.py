"""The claims of a plan as API objects of `resource.k8s.io/v1`, pinned to the GPUs of the plan by what tells them apart.

A replica alone, a part and a share each have a ResourceClaimTemplate, one a model and GPU; pods that share a GPU have
one ResourceClaim. A pin is a CEL selector of the fewest attributes that only this device has; where that is so on its
node only, pods must go to that node too. Stand-ins of the pods show what workloads have to say.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from scheduler.core.cel import evaluate_device
from scheduler.core.errors import InputError, SelectorError
from scheduler.core.model import AttributeValue, DeviceClass
from scheduler.core.names import SCHEDULER_NAME, suffix
from scheduler.sharing.plan import Placed, SharePlan, Tenant
from scheduler.sharing.problem import CLAIM, SHARE, WHOLE, asked
from scheduler.sharing.supply import Offer, Supply, attribute, capacity_name
from scheduler.sharing.wishes import Model

Raw = dict[str, Any]
API: Final = "resource.k8s.io/v1"
PAUSE: Final = "registry.k8s.io/pause:3.10"
LABEL: Final = "app.kubernetes.io/name"
_NVIDIA: Final = "gpu.nvidia.com"
_KEYS: Final = ("uuid", "parentUUID", "profile", "resource.kubernetes.io/pciBusID", "pciAddress", "serial", "index")


@dataclass(frozen=True, slots=True)
class Manifests:
    """What to apply, and stand-ins for the pods that would use it."""

    classes: tuple[Raw, ...]
    claims: tuple[Raw, ...]
    workloads: tuple[Raw, ...]


@dataclass(frozen=True, slots=True)
class _Pin:
    """expression : selects the device, on its node at least. local : only there."""

    expression: str
    local: bool


def manifests(plan: SharePlan, supply: Supply) -> Manifests:
    """What a plan needs. Raises InputError for a GPU that nothing tells from another."""
    writer = _Writer(supply)
    for placed in plan.placed:
        writer.write(placed)
    classes = tuple(writer.classes[name] for name in sorted(writer.classes))
    return Manifests(classes, tuple(writer.claims), tuple(writer.workloads))


class _Writer:
    def __init__(self, supply: Supply) -> None:
        self.classes: dict[str, Raw] = {}
        self.claims: list[Raw] = []
        self.workloads: list[Raw] = []
        self._known = supply.classes
        self._chosen: dict[Any, str] = {}
        self._by_driver: dict[str, list[Offer]] = {}
        for offer in supply.offers:
            self._by_driver.setdefault(offer.driver, []).append(offer)

    def write(self, placed: Placed) -> None:
        """Add what one GPU needs."""
        if placed.mode == CLAIM:
            self._shared(placed)
            return
        for tenant in placed.tenants:
            offer = tenant.part.offer if tenant.part is not None else placed.gpu.whole
            assert offer is not None  # a GPU is used by parts, or it has a whole
            capacity = None
            if placed.mode == SHARE:
                capacity = asked(offer, tenant.model.memory, tenant.model.compute)
            elif placed.mode == WHOLE and offer.device.shareable:
                name = capacity_name(offer.driver, offer.device, "memory")
                capacity = {name: offer.device.capacity[name]}
            pin = self._pin(offer)
            request = self._request(offer, pin, capacity)
            name = f"{tenant.model.name}-{suffix(*offer.identity, tenant.model.key)}"
            self.claims.append(
                {
                    "apiVersion": API,
                    "kind": "ResourceClaimTemplate",
                    "metadata": {"name": name, "namespace": tenant.model.namespace},
                    "spec": {"spec": {"devices": {"requests": [request]}}},
                }
            )
            entry = {"name": "gpu", "resourceClaimTemplateName": name}
            self.workloads.append(_workload(name, tenant, entry, placed, pin))

    def _shared(self, placed: Placed) -> None:
        offer = placed.gpu.whole
        assert offer is not None  # or there was nothing to claim
        pin = self._pin(offer)
        name = f"shared-gpu-{suffix(*offer.identity)}"
        self.claims.append(
            {
                "apiVersion": API,
                "kind": "ResourceClaim",
                "metadata": {"name": name, "namespace": placed.tenants[0].model.namespace},
                "spec": {"devices": {"requests": [self._request(offer, pin, None)]}},
            }
        )
        for tenant in placed.tenants:
            entry = {"name": "gpu", "resourceClaimName": name}
            own = f"{tenant.model.name}-{suffix(*offer.identity, tenant.model.key)}"
            self.workloads.append(_workload(own, tenant, entry, placed, pin))

    def _request(self, offer: Offer, pin: _Pin, capacity: Mapping[str, Any] | None) -> Raw:
        exactly: Raw = {
            "deviceClassName": self._class(offer),
            "count": 1,
            "selectors": [{"cel": {"expression": pin.expression}}],
        }
        if capacity is not None:
            exactly["capacity"] = {"requests": {name: amount.text for name, amount in capacity.items()}}
        return {"name": "gpu", "exactly": exactly}

    def _class(self, offer: Offer) -> str:
        """A class of the fleet that selects a device, the driver's own first; else one that is written."""
        kind = attribute(offer, "type")
        key = (offer.driver, kind, tuple(sorted(offer.device.attributes)), offer.device.shareable)
        if key not in self._chosen:
            fitting = [each.name for each in self._known if _selects(each, offer)]
            wanted = "mig.nvidia.com" if offer.driver == _NVIDIA and kind == "mig" else offer.driver
            fitting.sort(key=lambda name: (name != wanted, name))
            self._chosen[key] = fitting[0] if fitting else self._new(offer, wanted)
        return self._chosen[key]

    def _new(self, offer: Offer, wanted: str) -> str:
        taken = {each.name for each in self._known}
        name = wanted if wanted not in taken else f"dovetail.{wanted}"
        expression = f'device.driver == "{offer.driver}"'
        kind = attribute(offer, "type")
        if isinstance(kind, str):
            expression += f" && {_equals(offer.driver, 'type', kind)}"
        self.classes[name] = {
            "apiVersion": API,
            "kind": "DeviceClass",
            "metadata": {"name": name},
            "spec": {"selectors": [{"cel": {"expression": expression}}]},
        }
        return name

    def _pin(self, offer: Offer) -> _Pin:
        """The fewest attributes that tell a device from all others, on its node if not in the fleet."""
        for local in (False, True):
            others = [
                each
                for each in self._by_driver[offer.driver]
                if each.identity != offer.identity and (not local or each.node == offer.node)
            ]
            terms = [f'device.driver == "{offer.driver}"']
            for text, holds in _terms(offer):
                fewer = [each for each in others if holds(each)]
                if len(fewer) < len(others) or len(terms) == 1:
                    terms.append(text)
                    others = fewer
                if not others:
                    return _Pin(" && ".join(terms), local)
        where = f"device {offer.device.name} of pool {offer.pool}, driver {offer.driver}"
        raise InputError(where, "no attribute tells it from others", "have its driver publish uuid or pciBusID")


def _terms(offer: Offer) -> Iterable[tuple[str, Any]]:
    """Facts of a device, the most telling first: as CEL, and as a test of another device."""
    device = offer.device
    for key in _KEYS:
        value = _value(offer, key)
        if isinstance(value, str | int):
            yield _equals(offer.driver, key, value), lambda each, k=key, v=value: _value(each, k) == v
    slices = sorted(
        int(name.rpartition("memorySlice")[2])
        for name in device.capacity
        if name.rpartition("memorySlice")[2].isdecimal()
    )
    for number in dict.fromkeys([*slices[:1], *slices[-1:]]):
        name = f"memorySlice{number}"
        text = f'has(device.capacity["{offer.driver}"].{name})'
        yield text, lambda each, n=name: bool(capacity_name(each.driver, each.device, n))


def _value(offer: Offer, key: str) -> AttributeValue | None:
    if "/" in key:
        return offer.device.attributes.get(key)
    found = attribute(offer, key)
    return found if isinstance(found, str | int) else None


def _equals(driver: str, key: str, value: object) -> str:
    domain, _, name = key.rpartition("/")
    place = f'device.attributes["{domain or driver}"].{name}'
    return f"has({place}) && {place} == {json.dumps(value)}"


def _selects(found: DeviceClass, offer: Offer) -> bool:
    device = offer.device
    try:
        return not found.unsupported and all(
            evaluate_device(text, offer.driver, device.attributes, device.capacity, device.shareable).match
            for text in found.selectors
        )
    except SelectorError:
        return False


# ---------------------------------------------------------------- pods


def _workload(name: str, tenant: Tenant, entry: Raw, placed: Placed, pin: _Pin) -> Raw:
    """A Deployment that says of a model's pods only what the plan has to say."""
    model: Model = tenant.model
    spec: Raw = {
        "schedulerName": SCHEDULER_NAME,
        "resourceClaims": [entry],
        "containers": [{"name": "model", "image": PAUSE, "resources": {"claims": [{"name": "gpu"}]}}],
    }
    if pin.local:
        field = {"key": "metadata.name", "operator": "In", "values": [placed.gpu.node]}
        terms = {"nodeSelectorTerms": [{"matchFields": [field]}]}
        spec["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
    if placed.gpu.tolerate:
        spec["tolerations"] = [
            {"key": taint.key, "operator": "Equal", "value": taint.value, "effect": taint.effect}
            for taint in placed.gpu.tolerate
        ]
    labels = {LABEL: model.name, f"{LABEL}-place": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": model.namespace, "labels": labels},
        "spec": {
            "replicas": tenant.replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def kustomization(files: Sequence[str]) -> Raw:
    """What `kubectl apply -k` reads."""
    return {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": list(files)}
