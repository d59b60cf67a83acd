"""Puts worlds into a cluster: nodes, slices, classes; and takes them out again."""

from collections.abc import Iterable

from e2e.api import Api, Raw, collection, until

_TIMEOUT_S = 120.0


def publish(api: Api, items: Iterable[Raw]) -> None:
    """Create cluster-scoped objects, nodes before slices so that no slice ever names a node that is not there.

    A Node created with a status keeps it, as a kubelet's registration does.
    """
    rest = list(items)
    for kinds in ({"Node", "DeviceClass", "StorageClass"}, {"ResourceSlice", "DeviceTaintRule", "PersistentVolume"}):
        api.each(api.create, [item for item in rest if item["kind"] in kinds])
        rest = [item for item in rest if item["kind"] not in kinds]
    assert not rest, f"not published: {rest[0]['kind']}"


def withdraw(api: Api, items: Iterable[Raw]) -> None:
    """Delete what `publish` created."""
    api.each(lambda item: api.delete(item["kind"], item["metadata"]["name"]), reversed(list(items)))


def clear(api: Api, namespace: str) -> None:
    """Delete all pods, claims and templates of a namespace, and wait until they are gone.

    Pods go first: the claim controller takes allocations and finalizers from claims whose pods are gone.
    """
    for kind in ("Pod", "ResourceClaim", "ResourceClaimTemplate"):
        api.delete_all(kind, namespace)

    def left() -> int:
        found = 0
        for kind in ("Pod", "ResourceClaim"):
            answer = api.call("GET", f"{collection(kind, namespace)}?limit=1")
            found += len(answer["items"])
        return found

    until(lambda: left() == 0, f"pods and claims of {namespace} gone", _TIMEOUT_S)


def make_namespace(api: Api, name: str) -> None:
    """A namespace in which pods can be created: its default ServiceAccount is there."""
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    until(lambda: api.find("ServiceAccount", "default", name), f"ServiceAccount default of {name}")
