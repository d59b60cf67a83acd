"""Pods, claims and templates as users write them."""

from collections.abc import Mapping, Sequence
from typing import Any

from e2e.api import Raw

DRA = "resource.k8s.io/v1"


def request(
    name: str = "gpu", device_class: str = "gpu.nvidia.com", count: int = 1, cel: str = "", **fields: Any
) -> Raw:
    """A request for `count` devices, or for all of them where that is 0; `fields` are further ones of the API."""
    return {"name": name, "exactly": _asked(device_class, count, cel, fields)}


def first_available(*alternatives: Raw, name: str = "gpu") -> Raw:
    """A prioritized list of what `request` makes."""
    return {"name": name, "firstAvailable": [{"name": each["name"], **each["exactly"]} for each in alternatives]}


def _asked(device_class: str, count: int, cel: str, fields: Mapping[str, Any]) -> Raw:
    mode = {"allocationMode": "ExactCount", "count": count} if count else {"allocationMode": "All"}
    selectors = {"selectors": [{"cel": {"expression": cel}}]} if cel else {}
    return {"deviceClassName": device_class, **mode, **selectors, **fields}


def claim_spec(requests: Sequence[Raw], match: str = "", distinct: str = "", config: Sequence[Raw] = ()) -> Raw:
    """`match`, `distinct` : an attribute that all devices of the claim must have in common, or each for itself."""
    constraints = [{"requests": [], "matchAttribute": match}] if match else []
    constraints += [{"requests": [], "distinctAttribute": distinct}] if distinct else []
    devices: Raw = {"requests": list(requests)}
    if constraints:
        devices["constraints"] = constraints
    if config:
        devices["config"] = list(config)
    return {"devices": devices}


def template(namespace: str, name: str, spec: Raw) -> Raw:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": DRA, "kind": "ResourceClaimTemplate", "metadata": metadata, "spec": {"spec": spec}}


def claim(namespace: str, name: str, spec: Raw) -> Raw:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": DRA, "kind": "ResourceClaim", "metadata": metadata, "spec": spec}


def pod(
    namespace: str,
    name: str,
    *,
    templates: Sequence[str] = (),
    claims: Sequence[str] = (),
    scheduler: str = "dovetail",
    cpu: str = "100m",
    labels: Mapping[str, str] | None = None,
) -> Raw:
    """A pod with one container that uses a claim per template, and the named claims."""
    entries = [{"name": f"t{i}", "resourceClaimTemplateName": name} for i, name in enumerate(templates)]
    entries += [{"name": f"c{i}", "resourceClaimName": name} for i, name in enumerate(claims)]
    container: Raw = {
        "name": "main",
        "image": "registry.k8s.io/pause:3.10",
        "resources": {
            "requests": {"cpu": cpu, "memory": "64Mi"},
            "claims": [{"name": each["name"]} for each in entries],
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": dict(labels or {})},
        "spec": {
            "schedulerName": scheduler,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "resourceClaims": entries,
            "containers": [container],
        },
    }
