"""The workloads of a live cluster, and what limits or queues them: listed once, page by page, nothing written.

An object that one of the listed ones controls is left out: its owner says the same.
"""

import asyncio
import json
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from scheduler.cluster.client import ApiError, Client

Raw = dict[str, Any]

_PAGE: Final = 500
_DRA: Final = "resource.k8s.io"
_BUILT_IN: Final = (
    ("v1", "pods", "Pod"), ("v1", "resourcequotas", "ResourceQuota"), ("v1", "limitranges", "LimitRange"),
    ("apps/v1", "deployments", "Deployment"), ("apps/v1", "statefulsets", "StatefulSet"),
    ("apps/v1", "daemonsets", "DaemonSet"), ("apps/v1", "replicasets", "ReplicaSet"), ("batch/v1", "jobs", "Job"),
    ("batch/v1", "cronjobs", "CronJob"),
)  # fmt: skip
_DEVICES: Final = (
    ("resourceclaims", "ResourceClaim"), ("resourceclaimtemplates", "ResourceClaimTemplate"),
    ("deviceclasses", "DeviceClass"),
)  # fmt: skip
_CUSTOM: Final = (
    ("leaderworkerset.x-k8s.io", "leaderworkersets", "LeaderWorkerSet"), ("jobset.x-k8s.io", "jobsets", "JobSet"),
    ("kubeflow.org", "mpijobs", "MPIJob"), ("kubeflow.org", "pytorchjobs", "PyTorchJob"),
    ("trainer.kubeflow.org", "trainjobs", "TrainJob"), ("ray.io", "rayclusters", "RayCluster"),
    ("ray.io", "rayjobs", "RayJob"), ("ray.io", "rayservices", "RayService"),
    ("serving.kserve.io", "inferenceservices", "InferenceService"),
    ("serving.kserve.io", "llminferenceservices", "LLMInferenceService"),
    ("apps.nvidia.com", "nimservices", "NIMService"), ("nvidia.com", "clusterpolicies", "ClusterPolicy"),
    ("batch.volcano.sh", "jobs", "Job"), ("kueue.x-k8s.io", "clusterqueues", "ClusterQueue"),
    ("orchestration.aibrix.ai", "stormservices", "StormService"), ("kaito.sh", "workspaces", "Workspace"),
    ("karpenter.sh", "nodepools", "NodePool"),
)  # fmt: skip
"""Custom resources: asked for in the version that the server prefers, where it serves their group at all."""


def survey(kubeconfig: Path | None) -> tuple[list[tuple[str, Raw]], list[tuple[str, str]]]:
    """((where, object) of each, (where, why) of what could not be listed). Raises ConfigError."""
    return asyncio.run(_survey(kubeconfig))


async def _survey(kubeconfig: Path | None) -> tuple[list[tuple[str, Raw]], list[tuple[str, str]]]:
    client = await Client.connect(kubeconfig)
    try:
        found: list[Raw] = []
        unread: list[tuple[str, str]] = []
        try:
            kinds = await _kinds(client)
        except ApiError as error:
            return [], [("cluster", str(error))]
        for version, plural, kind in kinds:
            try:
                found += await listed(client, version, plural, kind)
            except ApiError as error:
                if error.status != 404:
                    unread.append((f"cluster, {plural}", str(error)))
        return [("cluster", each) for each in without_owned(found)], unread
    finally:
        await client.close()


async def _kinds(client: Client) -> list[tuple[str, str, str]]:
    groups = json.loads(await client.request("GET", "/apis"))
    preferred = {group["name"]: group["preferredVersion"]["groupVersion"] for group in groups["groups"]}
    found = list(_BUILT_IN)
    for group, plural, kind in ((_DRA, *each) for each in _DEVICES):
        if group in preferred:
            found.append((preferred[group], plural, kind))
    found += [(preferred[group], plural, kind) for group, plural, kind in _CUSTOM if group in preferred]
    return found


async def listed(client: Client, version: str, plural: str, kind: str) -> list[Raw]:
    """All objects of a kind, in all namespaces, without what the cluster says of them. Raises ApiError."""
    found = await whole(client, version, plural, kind)
    for item in found:
        item.pop("status", None)
    return found


async def whole(client: Client, version: str, plural: str, kind: str) -> list[Raw]:
    """All objects of a kind, in all namespaces. Raises ApiError."""
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    found: list[Raw] = []
    following = ""
    while True:
        path = f"{root}/{plural}?limit={_PAGE}" + (f"&continue={quote(following)}" if following else "")
        page = json.loads(await client.request("GET", path))
        for item in page.get("items") or ():
            item.get("metadata", {}).pop("managedFields", None)
            found.append({"apiVersion": version, "kind": kind, **item})
        following = page.get("metadata", {}).get("continue") or ""
        if not following:
            return found


def without_owned(objects: list[Raw]) -> list[Raw]:
    """Those that none of the others controls."""
    uids = {each.get("metadata", {}).get("uid") for each in objects} - {None}
    return [
        each
        for each in objects
        if not any(
            owner.get("controller") and owner.get("uid") in uids
            for owner in each.get("metadata", {}).get("ownerReferences") or ()
        )
    ]
