"""Whatever is wrong in a file, the answer is an exit code and words, never a crash."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from e2e.bad.places import changed, paths
from scheduler.core.errors import InputError
from scheduler.simulator import fleet
from scheduler.simulator.objects import Found, Objects, parse
from scheduler.simulator.run import simulate

[CLASS] = [each for each in fleet.device_classes() if each["metadata"]["name"] == "gpu.example.com"]
CLUSTER = [fleet.node("plain-2", "n1"), *fleet.slices("plain-2", "n1"), CLASS]
WORKLOADS = [
    each.raw
    for each in parse(
        "workloads",
        """\
apiVersion: resource.k8s.io/v1
kind: ResourceClaimTemplate
metadata: {name: one}
spec:
  metadata: {labels: {a: b}, annotations: {c: d}}
  spec: {devices: {requests: [{name: gpu, exactly: {deviceClassName: gpu.example.com, count: 1}}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  template: &pod
    metadata: {labels: {app: web}, annotations: {x: y}}
    spec:
      schedulerName: dovetail
      priorityClassName: high
      resourceClaims: [{name: gpu, resourceClaimTemplateName: one}]
      containers: [{name: c, resources: {requests: {cpu: "1"}}}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec: {replicas: 1, ordinals: {start: 0}, template: {spec: {containers: []}}}
---
apiVersion: batch/v1
kind: Job
metadata: {name: run}
spec: {parallelism: 1, completions: 1, completionMode: Indexed, template: {spec: {schedulerName: dovetail}}}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: watch}
spec:
  template:
    spec:
      schedulerName: dovetail
      nodeSelector: {kubernetes.io/os: linux}
      tolerations: [{operator: Exists}]
      affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [
        {matchExpressions: [{key: kubernetes.io/os, operator: Exists}]}]}}}
---
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: high}
value: 10
globalDefault: true
---
apiVersion: v1
kind: Pod
metadata: {name: old, uid: p, ownerReferences: [{kind: Job, name: other, uid: o, controller: true}]}
spec: {schedulerName: dovetail, resourceClaims: [{name: gpu, resourceClaimName: held}]}
status: {phase: Pending, conditions: [{type: PodScheduled, status: "False"}], resourceClaimStatuses: [{name: x}]}
---
apiVersion: resource.k8s.io/v1
kind: ResourceClaim
metadata: {name: held, finalizers: [resource.kubernetes.io/delete-protection], annotations: {a: b}}
spec: {devices: {requests: [{name: gpu, exactly: {deviceClassName: gpu.example.com}}]}}
status:
  allocation:
    devices:
      results: [{request: gpu, driver: gpu.example.com, pool: n1, device: gpu-0}]
      config: [{source: FromClaim, requests: [gpu], opaque: {driver: d, parameters: {}}}]
    nodeSelector: {nodeSelectorTerms: [{matchFields: [{key: metadata.name, operator: In, values: [n1]}]}]}
  reservedFor: [{resource: pods, name: old, uid: p}]
""",
    ).found
]
OBJECTS = CLUSTER + WORKLOADS


PLACES = [(number, *path) for number, raw in enumerate(OBJECTS) for path in paths(raw)]
JUNK = st.sampled_from(
    [None, True, 0, -1, 2**70, 1.5, "", "x", "\x1b[2J", [], [7], ["x"], [None], {}, {"a": 1}, {"name": {}}]
)


def outcome_of(objects):
    """What parsing and simulating come to: the outcome, or the refusal."""
    import json

    try:
        found = parse("f.json", json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
        return simulate(found)
    except InputError as error:
        return error


def test_the_objects_are_fine_as_they_are():
    outcome = simulate(Objects([Found(raw, "here") for raw in OBJECTS]))

    assert outcome.pending == {}
    assert len(outcome.bound) == 4


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(PLACES), JUNK)
def test_one_wrong_value_anywhere_is_refused_or_lived_with(place, value):
    found = outcome_of(changed(OBJECTS, place, value))

    assert isinstance(found, InputError) or found.settled
    assert not isinstance(found, InputError) or len(str(found)) < 2000


@pytest.mark.parametrize("kind", sorted({raw["kind"] for raw in OBJECTS}))
def test_an_object_that_is_only_a_name_is_refused_or_lived_with(kind):
    objects = copy.deepcopy(OBJECTS)
    bare = next(raw for raw in objects if raw["kind"] == kind)
    for key in set(bare) - {"apiVersion", "kind", "metadata"}:
        del bare[key]

    found = outcome_of(objects)

    assert isinstance(found, InputError) or found.settled
