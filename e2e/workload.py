"""Pods, claims and templates as users write them."""

from collections.abc import Mapping, Sequence

from e2e.api import Raw

DRA = "resource.k8s.io/v1"


def request(name: str = "gpu", device_class: str = "gpu.nvidia.com", count: int = 1, cel: str = "") -> Raw:
    """An ExactCount request."""
    exactly: Raw = {"deviceClassName": device_class, "allocationMode": "ExactCount", "count": count}
    if cel:
        exactly["selectors"] = [{"cel": {"expression": cel}}]
    return {"name": name, "exactly": exactly}


def claim_spec(requests: Sequence[Raw], match: str = "") -> Raw:
    """`match` : an attribute that all devices of the claim must have in common."""
    devices: Raw = {"requests": list(requests)}
    if match:
        devices["constraints"] = [{"requests": [], "matchAttribute": match}]
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
