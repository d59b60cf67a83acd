"""Snapshots of clusters given to `readiness` and `doublebook`: an exit code and words, whatever stands in them."""

import contextlib
import io
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from e2e.bad.case import ACCEPTED, EITHER, REFUSED, Answer, Case
from e2e.bad.files import TEXTS
from e2e.bad.junk import VALUES
from e2e.bad.places import LEFT_OUT, changed, paths
from scheduler.doublebook.command import doublebook
from scheduler.readiness.command import readiness
from scheduler.readiness.record import API_VERSION
from scheduler.readiness.snapshot import RECORD

SURFACE: Final = "snapshots"
COMMANDS: Final[dict[str, Callable[[str], int]]] = {
    "readiness": lambda path: readiness([path], "table"),
    "doublebook": lambda path: doublebook([path], "table"),
}
_DRIVER: Final = "gpu.nvidia.com"
GOOD: Final[list[dict[str, Any]]] = [
    {
        "apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": "n1-gpu"},
        "spec": {
            "driver": _DRIVER, "nodeName": "n1", "pool": {"name": "n1", "generation": 1, "resourceSliceCount": 2},
            "devices": [
                {
                    "name": "gpu-0", "allowMultipleAllocations": True, "taints": [{"key": "k", "effect": "NoSchedule"}],
                    "attributes": {"type": {"string": "gpu"}, "resource.kubernetes.io/numaNode": {"ints": [0, 1]}},
                    "capacity": {"memory": {"value": "80Gi", "requestPolicy": {"default": "1Gi"}}},
                    "consumesCounters": [{"counterSet": "s", "counters": {"memory": {"value": "80Gi"}}}],
                    "nodeAllocatableResources": {"cpu": {"mapping": {"deviceMultiplier": "4"}}},
                },
            ],
        },
    },
    {
        "apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": {"name": "n1-counters"},
        "spec": {
            "driver": _DRIVER, "nodeName": "n1", "pool": {"name": "n1", "generation": 1, "resourceSliceCount": 2},
            "sharedCounters": [{"name": "s", "counters": {"memory": {"value": "80Gi"}}}],
        },
    },
    {
        "apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": "gpu"},
        "spec": {
            "selectors": [{"cel": {"expression": f'device.driver == "{_DRIVER}"'}}], "extendedResourceName": "a.com/b",
        },
    },
    {
        "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim",
        "metadata": {"name": "c", "namespace": "default", "uid": "u-c"},
        "spec": {"devices": {"requests": [{"name": "r", "exactly": {"deviceClassName": "gpu"}}]}},
        "status": {
            "reservedFor": [{"resource": "pods", "name": "p", "uid": "u-p"}],
            "allocation": {"devices": {"results": [{
                "request": "r", "driver": _DRIVER, "pool": "n1", "device": "gpu-0",
                "shareID": "11111111-1111-1111-1111-111111111111", "consumedCapacity": {"memory": "1Gi"},
            }]}},
        },
    },
    {
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "labels": {"nvidia.com/gpu.clique": "a.1"}},
        "status": {
            "allocatable": {"cpu": "8", "nvidia.com/gpu": "1"}, "nodeInfo": {"kubeletVersion": "v1.37.2"},
            "declaredFeatures": ["A"],
        },
    },
    {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "default", "uid": "u-p"},
        "spec": {
            "nodeName": "n1", "resourceClaims": [{"name": "c", "resourceClaimName": "c"}],
            "containers": [{
                "name": "m",
                "resources": {"requests": {"cpu": "1", "nvidia.com/gpu": "1"}, "claims": [{"name": "c"}]},
            }],
        },
        "status": {
            "phase": "Running",
            "extendedResourceClaimStatus": {
                "resourceClaimName": "c",
                "requestMappings": [{"containerName": "m", "resourceName": "a.com/b", "requestName": "r"}],
            },
        },
    },
    {
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "d", "namespace": "n"},
        "spec": {"template": {"spec": {"containers": [{
            "name": "m", "image": "r.io/dra-driver-nvidia-gpu:v0.5.0", "args": ["--feature-gates=B=true"],
            "env": [{"name": "FEATURE_GATES", "value": "ConsumableShares=true"}],
        }]}}},
    },
]  # fmt: skip
_RECORD: Final = {
    "apiVersion": API_VERSION, "kind": RECORD, "date": "2026-11-27", "version": "v1.37.2", "minor": 37,
    "apis": {"resource.k8s.io/v1": ["DeviceClass"]}, "groups": ["apps"], "features": {"DRADeviceTaints": True},
    "fields": {"Device": ["name"]}, "unread": [{"what": "Node", "why": "HTTP 403"}], "items": [],
}  # fmt: skip


def put(command: str, content: bytes) -> Answer:
    """Give a file to a command."""
    said, told = io.StringIO(), io.StringIO()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "snapshot.yaml")
        file.write_bytes(content)
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(told):
            code = COMMANDS[command](str(file))
    if code == 2:
        return Answer(REFUSED, told.getvalue())
    # Of what is shown others wrote parts, and it may steer no terminal.
    odd = [each for each in said.getvalue() if not (each.isprintable() or each == "\n")]
    return Answer(REFUSED, odd[0]) if odd else Answer(ACCEPTED)


def cases() -> Iterator[Case]:
    """Contents of files, and good objects with something else in one place."""
    for command in COMMANDS:
        for name, (content, _) in TEXTS.items():
            yield Case(SURFACE, f"{command}: {name}", _case(command, content))
        yield Case(SURFACE, f"{command}: good", _case(command, _dumped(GOOD)), ACCEPTED)
    yield Case(
        SURFACE, "readiness: a good record", _case("readiness", _dumped([{**_RECORD, "items": GOOD[:3]}])), ACCEPTED
    )
    for place in paths(_RECORD):
        for value in VALUES:
            yield Case(
                SURFACE, f"record {place} {value!a:.40}",
                _case("readiness", _dumped([changed(_RECORD, place, value)])), EITHER,
            )  # fmt: skip
    for index, item in enumerate(GOOD):
        for place in paths(item):
            for value in (LEFT_OUT, *VALUES):
                listed = [*GOOD[:index], changed(item, place, value), *GOOD[index + 1 :]]
                for command in COMMANDS:
                    name = (
                        f"{command}: {item['kind']} {place} {'left out' if value is LEFT_OUT else repr(value)[:40]!a}"
                    )
                    yield Case(SURFACE, name, _case(command, _dumped(listed)), EITHER)


def _case(command: str, content: bytes) -> Callable[[], Answer]:
    return lambda: put(command, content)


def _dumped(items: list[dict[str, Any]]) -> bytes:
    return "\n".join(json.dumps(item) for item in items).encode("utf-8", "surrogatepass")
