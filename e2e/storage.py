"""Volumes for tests: objects, a provisioner's stand-in, and what must be true of pods with volumes.

Shares no code with the scheduler: what it checks, it reads from the API.
"""

import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from e2e.api import Access, Api, ApiRefusalError, History, Raw, version

HOST = "kubernetes.io/hostname"
SELECTED = "volume.kubernetes.io/selected-node"
BOUND = "pv.kubernetes.io/bind-completed"
STATIC = "kubernetes.io/no-provisioner"


def storage_class(name: str, provisioner: str = STATIC, binding: str = "WaitForFirstConsumer", **fields: Any) -> Raw:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": provisioner,
        "volumeBindingMode": binding,
        **fields,
    }


def volume(name: str, node: str, storage_class: str, size: str, claim: Raw | None = None) -> Raw:
    """A local volume of a node."""
    terms = [{"matchExpressions": [{"key": HOST, "operator": "In", "values": [node]}]}]
    spec: Raw = {
        "capacity": {"storage": size},
        "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": storage_class,
        "local": {"path": f"/mnt/{name}"},
        "nodeAffinity": {"required": {"nodeSelectorTerms": terms}},
    }
    if claim is not None:
        metadata = claim["metadata"]
        spec["claimRef"] = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            **{key: metadata[key] for key in ("namespace", "name", "uid")},
        }
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}


def volume_claim(namespace: str, name: str, storage_class: str, size: str = "1Gi") -> Raw:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": storage_class,
            "resources": {"requests": {"storage": size}},
        },
    }


def with_volumes(pod: Raw, *claims: str) -> Raw:
    """The pod with a volume of each claim."""
    pod["spec"]["volumes"] = [
        {"name": f"volume-{index}", "persistentVolumeClaim": {"claimName": name}} for index, name in enumerate(claims)
    ]
    return pod


class Provisioner:
    """Makes local volumes of a class where claims ask for them; where `refuses` says so, it gives the node back.

    `made` : names of the volumes that it made. `refused` : claims and nodes that it gave back.
    """

    def __init__(self, access: Access, storage_class: str, refuses: Callable[[str], bool] = lambda node: False) -> None:
        self.refuses = refuses
        self.made: list[str] = []
        self.refused: list[tuple[str, str]] = []
        self._access = access
        self._class = storage_class
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="provisioner")
        self._problem: Exception | None = None

    def __enter__(self) -> "Provisioner":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        if self._problem is not None and error is None:
            raise self._problem

    def _run(self) -> None:
        api = Api(self._access)
        try:
            while not self._stop.wait(0.1):
                for claim in api.list("PersistentVolumeClaim"):
                    spec, metadata = claim["spec"], claim["metadata"]
                    node = metadata.get("annotations", {}).get(SELECTED)
                    if node and spec.get("storageClassName") == self._class and not spec.get("volumeName"):
                        self._serve(api, claim, node)
        except Exception as error:  # told by the test's own thread
            self._problem = error
        finally:
            api.close()

    def _serve(self, api: Api, claim: Raw, node: str) -> None:
        metadata = claim["metadata"]
        if self.refuses(node):
            body = {"metadata": {"resourceVersion": metadata["resourceVersion"], "annotations": {SELECTED: None}}}
            try:
                api.patch("PersistentVolumeClaim", metadata["name"], body, metadata["namespace"])
            except ApiRefusalError as error:
                if error.status not in {404, 409}:
                    raise
                return
            self.refused.append((metadata["name"], node))
            return
        name = f"pvc-{metadata['uid']}"
        if api.find("PersistentVolume", name) is None:
            size = claim["spec"]["resources"]["requests"]["storage"]
            api.create(volume(name, node, self._class, size, claim))
            self.made.append(name)


def faults(pods: list[Raw], claims: list[Raw], volumes: list[Raw], nodes: list[Raw]) -> list[str]:
    """What must not be, of pods on nodes: a claim that is not bound both ways, or to a volume of another node."""
    found = []
    claim_named = {each["metadata"]["name"]: each for each in claims}
    volume_named = {each["metadata"]["name"]: each for each in volumes}
    labels: Mapping[str, Mapping[str, str]] = {
        each["metadata"]["name"]: each["metadata"].get("labels", {}) for each in nodes
    }
    used: dict[str, str] = {}
    for pod in pods:
        node = pod["spec"].get("nodeName")
        for each in pod["spec"].get("volumes", []) if node else []:
            claim = claim_named[each["persistentVolumeClaim"]["claimName"]]
            where = f"pod {pod['metadata']['name']} on {node}, claim {claim['metadata']['name']}"
            name = claim["spec"].get("volumeName")
            if not name or BOUND not in claim["metadata"].get("annotations", {}):
                found.append(f"{where}: is not bound")
                continue
            own = volume_named[name]
            if own["spec"].get("claimRef", {}).get("uid") != claim["metadata"]["uid"]:
                found.append(f"{where}: volume {name} is another's")
            if used.setdefault(name, claim["metadata"]["uid"]) != claim["metadata"]["uid"]:
                found.append(f"{where}: volume {name} is used twice")
            [term] = own["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
            [line] = term["matchExpressions"]
            if labels[node].get(line["key"]) not in line["values"]:
                found.append(f"{where}: volume {name} is on {line['values']}")
    return found


def bound_too_early(history: History) -> list[str]:
    """Pods that got a node before all of their claims were bound, by the order in which the API took the writes."""
    bound_at: dict[str, int] = {}
    for claim in history.of("PersistentVolumeClaim"):
        if BOUND in claim["metadata"].get("annotations", {}):
            bound_at.setdefault(claim["metadata"]["name"], version(claim))
    placed_at: dict[str, tuple[int, Raw]] = {}
    for pod in history.of("Pod"):
        if pod["spec"].get("nodeName"):
            placed_at.setdefault(pod["metadata"]["name"], (version(pod), pod))
    return [
        name
        for name, (at, pod) in placed_at.items()
        for each in pod["spec"].get("volumes", [])
        if bound_at.get(each["persistentVolumeClaim"]["claimName"], at + 1) > at
    ]
