"""A small synchronous way to the API server, for tests: raw dictionaries in, raw dictionaries out."""

import asyncio
import base64
import http.client
import json
import re
import socket
import ssl
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import aiohttp
from ruamel.yaml import YAML

Raw = dict[str, Any]
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
_IDLE_S = 60.0  # the server closes connections that were idle for 90
_CLOSING_S = 5.0  # how long TLS may take to say goodbye

_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_ADMISSION = "/apis/admissionregistration.k8s.io/v1"
_DRA = "/apis/resource.k8s.io/v1"
# kind -> (prefix, plural, namespaced)
KINDS: dict[str, tuple[str, str, bool]] = {
    "Namespace": ("/api/v1", "namespaces", False),
    "Node": ("/api/v1", "nodes", False),
    "Pod": ("/api/v1", "pods", True),
    "Event": ("/api/v1", "events", True),
    "ConfigMap": ("/api/v1", "configmaps", True),
    "ServiceAccount": ("/api/v1", "serviceaccounts", True),
    "Service": ("/api/v1", "services", True),
    "Deployment": ("/apis/apps/v1", "deployments", True),
    "ReplicaSet": ("/apis/apps/v1", "replicasets", True),
    "StatefulSet": ("/apis/apps/v1", "statefulsets", True),
    "DaemonSet": ("/apis/apps/v1", "daemonsets", True),
    "Job": ("/apis/batch/v1", "jobs", True),
    "ResourceQuota": ("/api/v1", "resourcequotas", True),
    "NetworkPolicy": ("/apis/networking.k8s.io/v1", "networkpolicies", True),
    "PodDisruptionBudget": ("/apis/policy/v1", "poddisruptionbudgets", True),
    "FlowSchema": ("/apis/flowcontrol.apiserver.k8s.io/v1", "flowschemas", False),
    "Lease": ("/apis/coordination.k8s.io/v1", "leases", True),
    "ClusterRole": (_RBAC, "clusterroles", False),
    "ClusterRoleBinding": (_RBAC, "clusterrolebindings", False),
    "Role": (_RBAC, "roles", True),
    "RoleBinding": (_RBAC, "rolebindings", True),
    "DeviceClass": (_DRA, "deviceclasses", False),
    "DeviceTaintRule": (_DRA, "devicetaintrules", False),
    "ResourceSlice": (_DRA, "resourceslices", False),
    "ResourceClaim": (_DRA, "resourceclaims", True),
    "ResourceClaimTemplate": (_DRA, "resourceclaimtemplates", True),
    "ValidatingAdmissionPolicy": (_ADMISSION, "validatingadmissionpolicies", False),
    "ValidatingAdmissionPolicyBinding": (_ADMISSION, "validatingadmissionpolicybindings", False),
    "CustomResourceDefinition": ("/apis/apiextensions.k8s.io/v1", "customresourcedefinitions", False),
    "ServiceMonitor": ("/apis/monitoring.coreos.com/v1", "servicemonitors", True),
    "PrometheusRule": ("/apis/monitoring.coreos.com/v1", "prometheusrules", True),
    "PodMonitor": ("/apis/monitoring.coreos.com/v1", "podmonitors", True),
    "ScaledObject": ("/apis/keda.sh/v1alpha1", "scaledobjects", True),
    "HorizontalPodAutoscaler": ("/apis/autoscaling/v2", "horizontalpodautoscalers", True),
    "APIService": ("/apis/apiregistration.k8s.io/v1", "apiservices", False),
    "PersistentVolume": ("/api/v1", "persistentvolumes", False),
    "PersistentVolumeClaim": ("/api/v1", "persistentvolumeclaims", True),
    "StorageClass": ("/apis/storage.k8s.io/v1", "storageclasses", False),
    "PodGroup": ("/apis/scheduling.k8s.io/v1beta1", "podgroups", True),
}


class ApiRefusalError(Exception):
    """The API server said no; `status` is the HTTP status."""

    def __init__(self, status: int, what: str, message: str) -> None:
        super().__init__(f"{what}: {status} {message}")
        self.status = status


def current(kubeconfig: Path) -> tuple[Raw, Raw]:
    """Cluster and user of a kubeconfig's current context."""
    document = YAML(typ="safe", pure=True).load(kubeconfig.read_text())
    named = {kind: {entry["name"]: entry for entry in document[kind]} for kind in ("clusters", "users", "contexts")}
    context = named["contexts"][document["current-context"]]["context"]
    return named["clusters"][context["cluster"]]["cluster"], named["users"][context["user"]].get("user") or {}


@dataclass(frozen=True)
class Access:
    """How to reach an API server, read from a kubeconfig (token or client certificate)."""

    server: str
    token: str = ""
    tls: ssl.SSLContext | None = field(default=None, compare=False)

    @classmethod
    def of(cls, kubeconfig: Path) -> "Access":
        cluster, user = current(kubeconfig)
        if not cluster["server"].startswith("https"):
            return cls(cluster["server"], user.get("token", ""))
        tls = ssl.create_default_context()
        if cluster.get("insecure-skip-tls-verify"):
            tls.check_hostname = False
            tls.verify_mode = ssl.CERT_NONE
        elif "certificate-authority-data" in cluster:
            tls.load_verify_locations(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        elif "certificate-authority" in cluster:
            tls.load_verify_locations(cafile=kubeconfig.parent / cluster["certificate-authority"])
        if "client-certificate-data" in user:
            pair = kubeconfig.parent / f".{kubeconfig.name}.pem"
            pair.touch(mode=0o600)
            pair.write_bytes(
                base64.b64decode(user["client-certificate-data"]) + b"\n" + base64.b64decode(user["client-key-data"])
            )
            tls.load_cert_chain(pair)
        elif "client-certificate" in user:
            tls.load_cert_chain(kubeconfig.parent / user["client-certificate"], kubeconfig.parent / user["client-key"])
        return cls(cluster["server"], user.get("token", ""), tls)

    def connect(self, timeout: float) -> http.client.HTTPConnection:
        """A fresh connection without Nagle's delay."""
        parts = urlsplit(self.server)
        host, port = parts.hostname or "", parts.port
        connection: http.client.HTTPConnection
        if parts.scheme == "https":
            connection = http.client.HTTPSConnection(host, port or 443, timeout=timeout, context=self.tls)
        else:
            connection = http.client.HTTPConnection(host, port or 80, timeout=timeout)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def headers(self, content_type: str = "application/json") -> dict[str, str]:
        base = {"Content-Type": content_type, "Accept": "application/json", "User-Agent": "dovetail-e2e"}
        return {**base, "Authorization": f"Bearer {self.token}"} if self.token else base

    @asynccontextmanager
    async def session(self, connections: int = 100, **options: Any) -> AsyncIterator[aiohttp.ClientSession]:
        """At most so many connections, all closed at its end: aiohttp does not wait for those that it gave up before.

        A TLS connection is closed some turns of the loop later, and the loop of whoever is done has none left.
        """
        sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()

        def made(address: aiohttp.AddrInfoType) -> socket.socket:
            family, kind, protocol = address[:3]
            sockets.add(opened := socket.socket(family, kind, protocol))
            return opened

        connector = aiohttp.TCPConnector(limit=connections, ssl=self.tls or True, socket_factory=made)
        try:
            async with aiohttp.ClientSession(
                self.server, headers=self.headers(), connector=connector, **options
            ) as session:
                yield session
        finally:
            end = time.monotonic() + _CLOSING_S
            while any(each.fileno() >= 0 for each in sockets) and time.monotonic() < end:
                await asyncio.sleep(0.01)


class Api:
    """Requests on kept connections, one per thread. Every refusal is an ApiRefusalError."""

    def __init__(self, access: Access, timeout: float = 60.0) -> None:
        self.access = access
        self._timeout = timeout
        self._local = threading.local()
        self._open: list[http.client.HTTPConnection] = []

    @classmethod
    def of(cls, kubeconfig: Path) -> "Api":
        return cls(Access.of(kubeconfig))

    def close(self) -> None:
        for connection in self._open:
            connection.close()

    def raw(self, method: str, path: str, body: bytes | None = None, content_type: str = "application/json") -> bytes:
        headers = self.access.headers(content_type)
        for attempt in (0, 1):
            connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
            if connection is not None and time.monotonic() - self._local.used > _IDLE_S:
                connection.close()
                connection = None
            fresh = connection is None
            try:
                if connection is None:
                    connection = self._local.connection = self.access.connect(self._timeout)
                    self._open.append(connection)
                connection.request(method, path, body, headers)
                response = connection.getresponse()
                data = response.read()
                self._local.used = time.monotonic()
            except (http.client.HTTPException, OSError):
                if connection is not None:
                    connection.close()
                self._local.connection = None
                # A kept connection may have been closed by the server; only a request that changes nothing, or one
                # that was never begun, is sent again.
                if attempt or fresh or method not in {"GET", "PUT"}:
                    raise
                continue
            if response.status >= 400:
                try:
                    message = str(json.loads(data).get("message", ""))
                except ValueError:
                    message = data[:300].decode(errors="replace")
                raise ApiRefusalError(response.status, f"{method} {path}", message)
            return data
        raise AssertionError("unreachable")

    def call(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Raw:
        """Sends JSON as kubectl does: compact and sorted, since the server keeps opaque parameters to the byte."""
        text = None if body is None else json.dumps(body, separators=(",", ":"), sort_keys=True)
        data = self.raw(method, path, None if text is None else text.encode(), content_type)
        answer: Raw = json.loads(data)
        return answer

    # ------------------------------------------------------------ objects

    def get(self, kind: str, name: str, namespace: str = "") -> Raw:
        return self.call("GET", f"{collection(kind, namespace)}/{name}")

    def find(self, kind: str, name: str, namespace: str = "") -> Raw | None:
        """The object, or None when there is none of this name."""
        try:
            return self.get(kind, name, namespace)
        except ApiRefusalError as error:
            if error.status == 404:
                return None
            raise

    def list(self, kind: str, namespace: str = "", **query: str) -> list[Raw]:
        path = collection(kind, namespace)
        items: list[Raw] = self.call("GET", f"{path}?{urlencode(query)}" if query else path)["items"]
        return items

    def create(self, item: Raw) -> Raw:
        """With strict validation: an unknown field is refused."""
        return self.call("POST", f"{collection_of(item)}?fieldValidation=Strict", item)

    def apply(self, item: Raw, dry_run: bool = False) -> Raw:
        """Server-side apply, with strict validation."""
        query = "fieldManager=e2e&force=true&fieldValidation=Strict" + ("&dryRun=All" if dry_run else "")
        return self.call("PATCH", f"{collection_of(item)}/{item['metadata']['name']}?{query}", item, APPLY)

    def patch(self, kind: str, name: str, body: Raw, namespace: str = "", part: str = "") -> Raw:
        """JSON merge patch; `part` names a subresource."""
        path = f"{collection(kind, namespace)}/{name}" + (f"/{part}" if part else "")
        return self.call("PATCH", path, body, MERGE)

    def delete(self, kind: str, name: str, namespace: str = "") -> None:
        """At once, as nothing here has a kubelet; no complaint when the object is gone already."""
        try:
            self.call("DELETE", f"{collection(kind, namespace)}/{name}", {"gracePeriodSeconds": 0})
        except ApiRefusalError as error:
            if error.status != 404:
                raise

    def delete_all(self, kind: str, namespace: str = "", **query: str) -> None:
        path = collection(kind, namespace)
        self.call("DELETE", f"{path}?{urlencode(query)}" if query else path, {"gracePeriodSeconds": 0})

    def each(self, act: Callable[[Raw], object], items: Iterable[Raw], threads: int = 8) -> None:
        """Do the same to many, several at a time; raises the first refusal."""
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(act, items):
                pass


def collection(kind: str, namespace: str = "") -> str:
    """The path of a kind's objects; without a namespace, those of all namespaces."""
    prefix, plural, namespaced = KINDS[kind]
    return f"{prefix}/namespaces/{namespace}/{plural}" if namespaced and namespace else f"{prefix}/{plural}"


def collection_of(item: Raw) -> str:
    return collection(item["kind"], item["metadata"].get("namespace", "default"))


def until(holds: Callable[[], Any], what: str, seconds: float = 60.0, every: float = 0.1) -> Any:
    """Ask again until the answer is true; returns it. Raises AssertionError with `what` when time is up."""
    end = time.monotonic() + seconds
    while True:
        found = holds()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds:g} s: {what}; last answer: {found!r}")
        time.sleep(every)


def documents(text: str) -> Iterator[Raw]:
    """The objects of a YAML stream."""
    for document in YAML(typ="safe", pure=True).load_all(text):
        if document:
            yield document


def version(item: Mapping[str, Any]) -> int:
    """The resourceVersion as a number: one etcd counts for all kinds."""
    text = item["metadata"]["resourceVersion"]
    assert re.fullmatch(r"[1-9][0-9]*", text), text
    return int(text)


class History:
    """Everything a watch saw of some kinds, from now on, in order.

    A context manager; `seen` grows from threads of its own while it is open. An entry is (kind, type, object).
    """

    def __init__(self, access: Access, *kinds: str, namespace: str = "") -> None:
        self.seen: list[tuple[str, str, Raw]] = []
        self.failures: list[str] = []
        self._access = access
        self._api = Api(access)
        self._namespace = namespace
        self._kinds = kinds
        self._connections: dict[str, http.client.HTTPConnection] = {}
        self._threads: list[threading.Thread] = []
        self._closing = False
        self._changed = threading.Condition()

    def __enter__(self) -> "History":
        for kind in self._kinds:
            path = collection(kind, self._namespace)
            listed = self._api.call("GET", f"{path}?limit=1")
            start = listed["metadata"]["resourceVersion"]
            thread = threading.Thread(target=self._follow, args=(kind, path, start), daemon=True)
            self._threads.append(thread)
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._closing = True
        for connection in list(self._connections.values()):
            if connection.sock is not None:
                with suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        self._api.close()

    def _follow(self, kind: str, path: str, start: str) -> None:
        while not self._closing:
            connection = self._access.connect(600.0)
            self._connections[kind] = connection
            try:
                query = f"watch=true&resourceVersion={start}&allowWatchBookmarks=true&timeoutSeconds=590"
                connection.request("GET", f"{path}?{query}", headers=self._access.headers())
                response = connection.getresponse()
                if response.status != 200:
                    self.failures.append(f"{kind}: {response.status} {response.read(500)!r}")
                    return
                for line in response:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        self.failures.append(f"{kind}: {event['object']}")
                        return
                    start = event["object"]["metadata"]["resourceVersion"]
                    if event["type"] != "BOOKMARK":
                        with self._changed:
                            self.seen.append((kind, event["type"], event["object"]))
                            self._changed.notify_all()
            except (OSError, ValueError, http.client.HTTPException, AttributeError):
                pass  # closed, by us or by the server: go on from the last version
            finally:
                connection.close()

    def of(self, kind: str) -> list[Raw]:
        """The states of this kind's objects, deletions left out, as they were seen."""
        return [item for each, event, item in list(self.seen) if each == kind and event != "DELETED"]

    def caught_up(self, resource_version: int, seconds: float = 30.0) -> None:
        """Wait until something at least this new was seen."""
        until(
            lambda: any(version(item) >= resource_version for _, _, item in list(self.seen)), "watch caught up", seconds
        )
