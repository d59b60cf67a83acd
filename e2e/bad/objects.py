"""Objects of the cluster with one wrong value somewhere: read, decided about with every plan checked, or refused."""

import copy
import json
from collections.abc import Iterator
from typing import Any, Final

from e2e.bad.case import ACCEPTED, EITHER, REFUSED, Answer, Case
from e2e.bad.junk import VALUES
from e2e.bad.places import LEFT_OUT, changed, paths
from scheduler.core.errors import InputError
from scheduler.simulator import fleet
from scheduler.simulator.objects import parse
from scheduler.simulator.run import simulate

SURFACE: Final = "objects"
WORKLOAD: Final = """\
apiVersion: resource.k8s.io/v1
kind: ResourceClaim
metadata: {name: one, uid: c1, annotations: {a: b}}
spec:
  devices:
    requests:
    - name: gpu
      exactly:
        deviceClassName: gpu.example.com
        allocationMode: ExactCount
        count: 1
        selectors: [{cel: {expression: 'device.driver == "gpu.example.com"'}}]
        tolerations: [{key: k, operator: Equal, value: v, effect: NoSchedule}]
    - name: any
      firstAvailable: [{name: a, deviceClassName: gpu.example.com, count: 1}]
    constraints: [{requests: [gpu], matchAttribute: gpu.example.com/model}]
    config: [{requests: [gpu], opaque: {driver: gpu.example.com, parameters: {x: 1}}}]
---
apiVersion: v1
kind: Pod
metadata: {name: p, uid: p1, labels: {a: b}, annotations: {dovetail.scheduler/profile: binpack}}
spec:
  schedulerName: dovetail
  priority: 5
  nodeSelector: {kubernetes.io/os: linux}
  tolerations: [{key: k, operator: Exists, effect: NoSchedule}]
  affinity:
    nodeAffinity:
      requiredDuringSchedulingIgnoredDuringExecution:
        nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/os, operator: In, values: [linux]}]}]
  resourceClaims: [{name: gpu, resourceClaimName: one}]
  containers: [{name: c, resources: {requests: {cpu: "1", memory: 1Gi}, claims: [{name: gpu}]}}]
---
apiVersion: resource.k8s.io/v1
kind: DeviceTaintRule
metadata: {name: rule}
spec:
  deviceSelector: {driver: gpu.example.com, pool: n1, device: gpu-9}
  taint: {key: k, value: v, effect: NoExecute}
"""


def cluster() -> list[dict[str, Any]]:
    """What is fine: a node with its slices, the classes, a claim and a pod."""
    [own] = [each for each in fleet.device_classes() if each["metadata"]["name"] == "gpu.example.com"]
    found = [fleet.node("plain-2", "n1"), *fleet.slices("plain-2", "n1"), own]
    found[0].setdefault("metadata", {}).setdefault("labels", {})["kubernetes.io/os"] = "linux"
    return [*found, *[each.raw for each in parse("workload", WORKLOAD).found]]


def put(objects: list[dict[str, Any]]) -> Answer:
    """Simulate them. A pod that is told why it waits is an answer too."""
    try:
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        outcome = simulate(parse("objects.json", text))
    except InputError as error:
        return Answer(REFUSED, str(error))
    if not outcome.settled:
        raise AssertionError("the simulation came to no end")
    said = "\n".join([*outcome.pending.values(), *(each for texts in outcome.warnings.values() for each in texts)])
    return Answer(REFUSED, said) if said else Answer(ACCEPTED)


def cases() -> Iterator[Case]:
    """Each value in each place, and each place left out."""
    good = cluster()
    yield Case(SURFACE, "nothing wrong", lambda: put(copy.deepcopy(good)), ACCEPTED)
    number = 0
    for index, raw in enumerate(good):
        for path in paths(raw):
            where = f"{raw['kind']} {'.'.join(map(str, path))}"
            yield Case(SURFACE, f"{where} left out", lambda i=index, p=path: put(changed(good, (i, *p), LEFT_OUT)))
            # Neighbours get different thirds of the values, so that every kind of field meets all of them.
            for value in VALUES[number % 3 :: 3]:
                name = f"{where} = {value!a}"[:100]
                yield Case(SURFACE, name, lambda i=index, p=path, v=value: put(changed(good, (i, *p), v)), EITHER)
            number += 1
