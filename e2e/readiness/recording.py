"""One cluster of the list on a real API server, and what `dovetail readiness --live` reads of it."""

from pathlib import Path
from typing import Final

from e2e import controlplane
from e2e.api import MERGE, Api, ApiRefusalError, Raw, until
from e2e.cluster import LocalCluster, Profile, write_kubeconfig
from e2e.readiness.clusters import READER, SLICES_ONLY, Recorded
from scheduler.readiness.record import Document
from scheduler.service.reading import read_cluster

BUILT: Final = {"v1.35": controlplane.OLDER, "v1.37": controlplane.MODULE}
_PATHS: Final = {
    "Node": "/api/v1/nodes",
    "ResourceSlice": "/apis/resource.k8s.io/v1/resourceslices",
    "DeviceClass": "/apis/resource.k8s.io/v1/deviceclasses",
    "DaemonSet": "/apis/apps/v1/namespaces/default/daemonsets",
    "CustomResourceDefinition": "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
}
_ORDER: Final = ("CustomResourceDefinition", "Node", "DeviceClass", "ResourceSlice", "DaemonSet")
_RBAC: Final = "/apis/rbac.authorization.k8s.io/v1"
RULES: Final = {
    READER: [
        {"apiGroups": [""], "resources": ["nodes", "configmaps"], "verbs": ["get", "list"]},
        {"apiGroups": ["resource.k8s.io"], "resources": ["resourceslices", "deviceclasses"], "verbs": ["list"]},
        {"apiGroups": ["apps"], "resources": ["daemonsets"], "verbs": ["list"]},
        {"nonResourceURLs": ["/metrics"], "verbs": ["get"]},
    ],
    SLICES_ONLY: [
        {"apiGroups": ["resource.k8s.io"], "resources": ["resourceslices", "deviceclasses"], "verbs": ["list"]},
    ],
    "nothing": [],
}
"""What an account may do, by name; all may see versions and APIs, as Kubernetes allows every authenticated one."""


def recorded(cluster: Recorded, folder: Path, binaries: Path | None = None) -> Document:
    """Start the cluster, create all that is in it, and read it. Raises ControlPlaneError."""
    profile = Profile(cluster.name, cluster.gates, cluster.apis, controlled=False)
    found = binaries or controlplane.binaries(BUILT[cluster.version])
    server = LocalCluster(found, profile, folder, "local")
    try:
        create(server.api, cluster)
        return read_cluster(account(server, folder, cluster.account))
    finally:
        server.stop()


def create(api: Api, cluster: Recorded) -> None:
    """All objects of a cluster. Fields that the server does not know are refused; those behind gates it drops."""
    objects = sorted(cluster.objects(), key=lambda item: _ORDER.index(item["kind"]))
    for item in objects:
        api.call("POST", f"{_PATHS[item['kind']]}?fieldValidation=Strict", item)
    for item in objects:
        if item["kind"] == "CustomResourceDefinition":
            group = item["spec"]["group"]
            until(lambda group=group: group in _groups(api), f"API group {group} served")


def _groups(api: Api) -> list[str]:
    return [each["name"] for each in api.call("GET", "/apis")["groups"]]


def account(server: LocalCluster, folder: Path, name: str) -> Path:
    """A kubeconfig of a ServiceAccount that may do what RULES says of this name."""
    return account_of(server, folder, name, RULES[name])


def account_of(server: LocalCluster, folder: Path, name: str, rules: list[Raw]) -> Path:
    """A kubeconfig of a ServiceAccount of this name with these rights and no others."""
    api = server.api
    until(lambda: api.find("Namespace", "default"), "namespace default")
    metadata = {"name": name, "namespace": "default"}
    _make(
        api,
        "/api/v1/namespaces/default/serviceaccounts",
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
    )
    rbac = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": f"readiness-{name}"}}
    role = {**rbac, "kind": "ClusterRole", "rules": rules}
    _make(api, f"{_RBAC}/clusterroles", role)
    api.call("PATCH", f"{_RBAC}/clusterroles/readiness-{name}", {"rules": rules}, MERGE)
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": f"readiness-{name}"}
    subjects = [{"kind": "ServiceAccount", **metadata}]
    binding = {**rbac, "kind": "ClusterRoleBinding", "roleRef": reference, "subjects": subjects}
    _make(api, f"{_RBAC}/clusterrolebindings", binding)
    ask = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    token = api.call("POST", f"/api/v1/namespaces/default/serviceaccounts/{name}/token", ask)["status"]["token"]
    kubeconfig = folder / f"{name}.kubeconfig"
    write_kubeconfig(kubeconfig, api.access.server, token, folder / "certs" / "apiserver.crt", name)
    return kubeconfig


def _make(api: Api, path: str, item: Raw) -> None:
    """Create an object that may be there already."""
    try:
        api.call("POST", path, item)
    except ApiRefusalError as error:
        if error.status != 409:
            raise
