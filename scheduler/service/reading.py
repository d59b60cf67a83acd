"""What a live cluster says of itself, for `readiness` and `doublebook`: GETs only, and what is refused is told.

`readiness` asks for the version, the groups and kinds that are served, the fields of the DRA types (OpenAPI), the
feature gates of the API server (its metrics), and lists nodes, slices, classes, DaemonSets and the map of links.
`doublebook` lists slices, claims, classes, nodes and pods.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from scheduler.cluster.client import JSON, ApiError, Client
from scheduler.core import names
from scheduler.core.errors import ConfigError
from scheduler.readiness.record import FEATURES, TYPES, Document, stripped
from scheduler.service.survey import whole

Raw = dict[str, Any]
T = TypeVar("T")

DRA: Final = "resource.k8s.io"
_GROUPS: Final = (DRA, "scheduling.k8s.io")
_SCHEMAS: Final = re.compile(rf"io\.k8s\.api\.{DRA.partition('.')[0]}\.v1\.(\w+)")
_FEATURE: Final = re.compile(r'^kubernetes_feature_enabled\{name="(\w+)",stage="\w*"\} ([01])$', re.MULTILINE)
_BEST: Final = ("v1", "v1beta2", "v1beta1")
_TEXT: Final = "text/plain"


def read_cluster(kubeconfig: Path | None) -> Document:
    """What there is to know for `readiness`. Raises ConfigError."""
    return asyncio.run(_connected(kubeconfig, _read_all))


def read_claims(kubeconfig: Path | None) -> tuple[list[Raw], list[tuple[str, str]]]:
    """Objects for `doublebook`, and (what, why) of what could not be listed. Raises ConfigError."""
    return asyncio.run(_connected(kubeconfig, _read_claims))


async def _connected(kubeconfig: Path | None, read: Callable[[Client], Awaitable[T]]) -> T:
    client = await Client.connect(kubeconfig)
    try:
        try:
            await client.request("GET", "/version")
        except ApiError as error:
            if error.status == 0:  # no answer at all: nothing of it is there to be told
                raise ConfigError("cluster", str(error), "check the address in the kubeconfig") from error
        return await read(client)
    finally:
        await client.close()


async def _read_all(client: Client) -> Document:
    document = Document(date=datetime.now(UTC).date().isoformat())
    unread: list[tuple[str, str]] = []

    async def ask(what: str, path: str, accept: str = JSON) -> bytes | None:
        try:
            return await client.request("GET", path, accept=accept)
        except ApiError as error:
            unread.append((what, str(error)))
            return None

    answer = await ask("version", "/version")
    if answer is not None:
        said = json.loads(answer)
        document.version = str(said.get("gitVersion") or "")
        digits = re.match(r"\d+", str(said.get("emulationMinor") or said.get("minor") or ""))
        document.minor = int(digits[0]) if digits else None
    answer = await ask("APIs", "/apis")
    if answer is not None:
        groups = json.loads(answer).get("groups") or ()
        document.groups = sorted(each["name"] for each in groups)
        document.apis = {}
        for version in sorted(
            each["groupVersion"] for group in groups if group["name"] in _GROUPS for each in group["versions"]
        ):
            answer = await ask(version, f"/apis/{version}")
            if answer is not None:
                kinds = {each["kind"] for each in json.loads(answer).get("resources") or () if "/" not in each["name"]}
                document.apis[version] = sorted(kinds)
    answer = await ask("OpenAPI", f"/openapi/v3/apis/{DRA}/v1")
    if answer is not None:
        document.fields = _fields(json.loads(answer))
    answer = await ask("metrics", "/metrics", _TEXT)
    if answer is not None:
        found = _FEATURE.findall(answer.decode("utf-8", "replace"))
        document.features = {name: on == "1" for name, on in sorted(found) if FEATURES.fullmatch(name)} or None
    items: list[Raw] = []
    workloads = ("apps/v1", "daemonsets", "DaemonSet")
    for version, plural, kind in (("v1", "nodes", "Node"), *_of_dra(document.apis), workloads):
        try:
            items += await whole(client, version, plural, kind)
        except ApiError as error:
            if error.status != 404:
                unread.append((kind, str(error)))
    try:
        path = f"/api/v1/namespaces/{names.NAMESPACE}/configmaps/{names.TOPOLOGY_MAP}"
        items.append({"apiVersion": "v1", "kind": "ConfigMap", **json.loads(await client.request("GET", path))})
    except ApiError as error:
        if error.status != 404:
            unread.append((f"ConfigMap {names.TOPOLOGY_MAP}", str(error)))
    document.items = stripped(items)
    return document.model_copy(update={"unread": _named(unread)})


def _of_dra(apis: dict[str, list[str]] | None) -> Sequence[tuple[str, str, str]]:
    """Slices and classes in the newest version that is served; of v1 if that is not known."""
    served = [version for version in _BEST if apis is None or f"{DRA}/{version}" in apis]
    return [
        (f"{DRA}/{version}", plural, kind)
        for version in served[:1]
        for plural, kind in (("resourceslices", "ResourceSlice"), ("deviceclasses", "DeviceClass"))
    ]


def _fields(openapi: Raw) -> dict[str, list[str]]:
    """Fields by type of resource.k8s.io/v1."""
    schemas = (openapi.get("components") or {}).get("schemas") or {}
    return {
        match[1]: sorted(schema.get("properties") or ())
        for name, schema in sorted(schemas.items())
        if (match := _SCHEMAS.fullmatch(name)) and match[1] in TYPES
    }


def _named(unread: Sequence[tuple[str, str]]) -> list[Any]:
    return Document.model_validate({"unread": [{"what": what, "why": why} for what, why in unread]}).unread


async def _read_claims(client: Client) -> tuple[list[Raw], list[tuple[str, str]]]:
    items: list[Raw] = []
    unread: list[tuple[str, str]] = []
    for version, plural, kind in (
        (f"{DRA}/v1", "resourceslices", "ResourceSlice"), (f"{DRA}/v1", "resourceclaims", "ResourceClaim"),
        (f"{DRA}/v1", "deviceclasses", "DeviceClass"), ("v1", "nodes", "Node"), ("v1", "pods", "Pod"),
    ):  # fmt: skip
        try:
            items += await whole(client, version, plural, kind)
        except ApiError as error:
            unread.append((kind, str(error)))
    return items, unread
