"""`dovetail explain NAMESPACE/POD` on a live cluster: reads the pod and its claims, writes nothing."""

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from scheduler.cluster.client import ApiError, Client
from scheduler.core import names
from scheduler.core.errors import ConfigError
from scheduler.core.explain import render

_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def explain(pod: str, kubeconfig: Path | None) -> int:
    """Print why a pod is where it is, or what it waits for. Exit codes: 0, 1 no such pod or cluster, 2 bad argument."""
    namespace, slash, name = pod.partition("/")
    if not (namespace and slash and name) or "/" in name:
        print(f"pod {pod}: is not of the form NAMESPACE/POD", file=sys.stderr)
        return 2
    try:
        text = asyncio.run(_explain(namespace, name, kubeconfig))
    except ConfigError as error:
        print(_plain(str(error)), file=sys.stderr)
        return 2
    except ApiError as error:
        words = f"pod {pod}: not found" if error.status == 404 else str(error)
        print(_plain(words), file=sys.stderr)
        return 1
    print(_plain(text))
    return 0


async def _explain(namespace: str, name: str, kubeconfig: Path | None) -> str:
    client = await Client.connect(kubeconfig)
    try:
        pod = await _get(client, f"/api/v1/namespaces/{quote(namespace)}/pods/{quote(name)}")
        node = pod.get("spec", {}).get("nodeName")
        lines = [placed(pod) if node else pending(pod)]
        for entry, claim_name in claims_of(pod):
            if claim_name is None:
                lines.append(f"  claim {entry}: not created yet")
                continue
            path = f"/apis/resource.k8s.io/v1/namespaces/{quote(namespace)}/resourceclaims/{quote(claim_name)}"
            try:
                lines.append(f"  claim {entry}: {claim_state(await _get(client, path))}")
            except ApiError as error:
                if error.status != 404:
                    raise
                lines.append(f"  claim {entry}: {claim_name} does not exist")
        return "\n".join(lines)
    finally:
        await client.close()


def placed(pod: dict[str, Any]) -> str:
    """Why a bound pod is on its node, from the annotation that came with the binding."""
    metadata, spec = pod.get("metadata", {}), pod.get("spec", {})
    where = f"{metadata.get('namespace')}/{metadata.get('name')} is on node {spec.get('nodeName')}"
    written = (metadata.get("annotations") or {}).get(names.EXPLAIN)
    if written is None:
        return f"{where}; {spec.get('schedulerName')} left no explanation"
    try:
        return render(json.loads(written))
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{where}; its annotation {names.EXPLAIN} is not one that Dovetail wrote"


def pending(pod: dict[str, Any]) -> str:
    """What a pod waits for, from its condition PodScheduled."""
    metadata, spec, status = pod.get("metadata", {}), pod.get("spec", {}), pod.get("status", {})
    where = f"{metadata.get('namespace')}/{metadata.get('name')} is pending"
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("status") != "True":
            return f"{where}: {condition.get('message') or condition.get('reason')}"
    return f"{where}: its scheduler {spec.get('schedulerName')} has not said anything yet"


def claims_of(pod: dict[str, Any]) -> list[tuple[str, str | None]]:
    """Entries of a pod with the claim that each means, None where it is not made yet; without those that need none."""
    made = {each["name"]: each for each in pod.get("status", {}).get("resourceClaimStatuses") or ()}
    found: list[tuple[str, str | None]] = []
    for entry in pod.get("spec", {}).get("resourceClaims") or ():
        name = entry["name"]
        if entry.get("resourceClaimName"):
            found.append((name, entry["resourceClaimName"]))
        elif name not in made:
            found.append((name, None))
        elif made[name].get("resourceClaimName"):
            found.append((name, made[name]["resourceClaimName"]))
    extended = pod.get("status", {}).get("extendedResourceClaimStatus")
    if extended:
        found.append(("for extended resources", extended.get("resourceClaimName")))
    return found


def claim_state(claim: dict[str, Any]) -> str:
    """Devices and reservations of a claim in one line."""
    name, status = claim.get("metadata", {}).get("name"), claim.get("status") or {}
    results = ((status.get("allocation") or {}).get("devices") or {}).get("results") or ()
    if "allocation" not in status:
        return f"{name}, not allocated"
    devices = ", ".join(f"{each.get('driver')}/{each.get('pool')}/{each.get('device')}" for each in results)
    users = ", ".join(each.get("name", "") for each in status.get("reservedFor") or ())
    return f"{name}, allocated {devices or 'without devices'}, reserved for {users or 'nobody'}"


async def _get(client: Client, path: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await client.request("GET", path))
    return found


def _plain(text: str) -> str:
    """Without what could steer a terminal: parts of it were written by tenants."""
    return _CONTROL.sub("?", text)
