"""Manifests that are audited, migrated, put to an API server and simulated: written here, and the golden cases."""

import re
from pathlib import Path

CASES = Path(__file__).parent / "cases"
POD = """apiVersion: v1
kind: Pod
metadata: {name: p, namespace: team}
spec:
  containers:
  - name: main
    image: x
    resources:
      limits:
        nvidia.com/gpu: 1
"""
OUTDATED = """apiVersion: resource.k8s.io/v1alpha3
kind: ResourceClaimTemplate
metadata:
  name: gpu-16g   # named for what it wants
spec:
  spec:
    devices:
      requests:
      # one is enough
      - name: gpu
        deviceClassName: nvidia.com/gpu
        selectors:
        - cel:
            expression: device.attributes["memory"].isGreaterThan(quantity("16Gi"))
"""
CORRECTED = """apiVersion: resource.k8s.io/v1
kind: ResourceClaimTemplate
metadata:
  name: gpu-16g   # named for what it wants
spec:
  spec:
    devices:
      requests:
      # one is enough
      - name: gpu
        exactly:
          deviceClassName: gpu.nvidia.com
          selectors:
          - cel:
              expression: device.capacity["gpu.nvidia.com"].memory.isGreaterThan(quantity("16Gi"))
"""
PATHS = {
    "Pod": ("v1", ("spec",)),
    "Deployment": ("apps/v1", ("spec", "template", "spec")),
    "StatefulSet": ("apps/v1", ("spec", "template", "spec")),
    "Job": ("batch/v1", ("spec", "template", "spec")),
    "CronJob": ("batch/v1", ("spec", "jobTemplate", "spec", "template", "spec")),
    "DaemonSet": ("apps/v1", ("spec", "template", "spec")),
    "LeaderWorkerSet": ("leaderworkerset.x-k8s.io/v1", ("spec", "leaderWorkerTemplate", "workerTemplate", "spec")),
    "JobSet": (
        "jobset.x-k8s.io/v1alpha2",
        ("spec", "replicatedJobs", "- name: w", "template", "spec", "template", "spec"),
    ),
    "PyTorchJob": ("kubeflow.org/v1", ("spec", "pytorchReplicaSpecs", "Worker", "template", "spec")),
}
STYLES = {
    "behind": "containers:   # c1\n- name: s   # c2\n  image: x   # c3\n  resources:   # c4\n    limits:   # c5\n"
    "      nvidia.com/gpu: 2   # c6\n",
    "above": "# c1\ncontainers:\n# c2\n- name: s\n  # c3\n  image: x\n  # c4\n  resources:\n    # c5\n    limits:\n"
    "      # c6\n      nvidia.com/gpu: 2\n      # c7\n",
    "between": "containers:\n- name: s\n  image: x\n  resources:\n    limits:\n      cpu: 1   # c1\n      # c2\n"
    "      nvidia.com/gpu: 2   # c3\n      # c4\n      memory: 1Gi   # c5\n    # c6\n    requests:\n"
    "      nvidia.com/gpu: 2   # c7\n  # c8\n  env: []   # c9\n# c10\ntolerations: []\n",
    "selectors": "# c1\nnodeSelector:   # c2\n  # c3\n  nvidia.com/gpu.product: NVIDIA-L40S   # c4\n  # c5\n"
    "containers:\n- name: s\n  image: 'a#b'   # c6\n  args: ['# no comment']\n  resources:\n"
    "    limits: {nvidia.com/gpu: 1}   # c7\n",
    "last": "containers:\n- name: s\n  image: x\n  resources:\n    limits:\n      nvidia.com/gpu: 1   # c1\n"
    "- name: t   # c2\n  image: y\n  command:\n  - sh\n  - -c\n  - |   # c3\n    # part of the script\n    run\n# c4\n",
}  # fmt: skip
_SELECTED = "  selector: {matchLabels: {app: a}}\n"
_LABELS = "metadata: {labels: {app: a}}\n"
WORKLOADS = {
    "Pod": ("v1", "spec:\n", 2),
    "ReplicaSet": ("apps/v1", f"spec:\n{_SELECTED}  template:\n    {_LABELS}    spec:\n", 6),
    "Deployment": ("apps/v1", f"spec:\n{_SELECTED}  template:\n    {_LABELS}    spec:\n", 6),
    "StatefulSet": ("apps/v1", f"spec:\n  serviceName: a\n{_SELECTED}  template:\n    {_LABELS}    spec:\n", 6),
    "DaemonSet": ("apps/v1", f"spec:\n{_SELECTED}  template:\n    {_LABELS}    spec:\n", 6),
    "Job": ("batch/v1", "spec:\n  template:\n    spec:\n      restartPolicy: Never\n", 6),
    "CronJob": (
        "batch/v1",
        "spec:\n  schedule: '@daily'\n  jobTemplate:\n    spec:\n      template:\n        spec:\n"
        "          restartPolicy: Never\n",
        10,
    ),
}
PODS = {
    "one": "containers:\n- name: s   # c\n  image: x\n  resources:\n    limits:\n      nvidia.com/gpu: 1\n",
    "eight": "containers:\n- name: s\n  image: x\n  resources:\n    limits: {nvidia.com/gpu: 8, memory: 1Gi}\n",
    "two containers": (
        "containers:\n- {name: a, image: x, resources: {limits: {nvidia.com/gpu: 2}}}\n"
        "- name: b\n  image: x\n  resources:\n    requests: {nvidia.com/mig-1g.10gb: 1}\n"
        "    limits: {nvidia.com/mig-1g.10gb: 1}\n"
    ),
    "labels": (
        "nodeSelector: {nvidia.com/gpu.product: NVIDIA-H100-80GB-HBM3}\naffinity:\n  nodeAffinity:\n"
        "    requiredDuringSchedulingIgnoredDuringExecution:\n      nodeSelectorTerms:\n      - matchExpressions:\n"
        "        - {key: nvidia.com/gpu.memory, operator: Gt, values: ['40000']}\n"
        "        - {key: nvidia.com/gpu.family, operator: In, values: [hopper, ampere]}\n"
        "        - {key: nvidia.com/gpu.compute.major, operator: Gt, values: ['7']}\n"
        "containers:\n- {name: s, image: x, resources: {limits: {nvidia.com/gpu: 1}}}\n"
    ),
    "others": (
        "containers:\n- {name: a, image: x, resources: {limits: {amd.com/gpu: 1}}}\n"
        "- {name: b, image: x, resources: {limits: {gpu.intel.com/xe: 1}}}\n"
        "- {name: c, image: x, resources: {limits: {habana.ai/gaudi: 1, google.com/tpu: 4}}}\n"
    ),
}
_REQUEST = '- name: g\n  deviceClassName: {name}\n  count: 2\n  selectors:\n  - cel: {{expression: "{expression}"}}\n'
_OUTDATED = r"""device.attributes[\"memory\"].isGreaterThan(quantity(\"16Gi\"))"""
_MEMORY = "device.attributes['gpu.nvidia.com'].memory.compareTo(quantity('40Gi')) >= 0"
OLD = {
    "the outdated example": ("v1alpha3", "nvidia.com/gpu", _OUTDATED),
    "a beta": ("v1beta1", "gpu.nvidia.com", "device.attributes['gpu.nvidia.com'].productName == 'x'"),
    "memory of a domain": ("v1beta1", "gpu.nvidia.com", _MEMORY),
}


def workload(kind, style):
    version, path = PATHS[kind]
    head = f"# about it\napiVersion: {version}\nkind: {kind}\nmetadata:\n  name: {kind.lower()}\n"
    lines = [f"{'  ' * depth}{key}" + ("\n" if key.startswith("- ") else ":\n") for depth, key in enumerate(path)]
    body = "".join(
        "  " * len(path) + line if line.strip() else line for line in STYLES[style].splitlines(keepends=True)
    )
    return head + "".join(lines) + body


def cases():
    """(name, text, ids of the findings) of each golden case."""
    for file in sorted(CASES.glob("*.yaml")):
        for part in re.split(r"^#: ", file.read_text(), flags=re.MULTILINE)[1:]:
            head, text = part.split("\n", 1)
            title, ids = head.rsplit("|", 1)
            yield f"{file.stem}: {title.strip()}", text, sorted(ids.split())


def simple():
    """(name, text): every kind of workload with every sort of pod, and claims of older versions."""
    for kind, (version, head, indent) in WORKLOADS.items():
        for name, pod in PODS.items():
            body = "".join(" " * indent + line for line in pod.splitlines(keepends=True))
            yield f"{kind} {name}", f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: a}}\n{head}{body}"
    for name, (version, device_class, expression) in OLD.items():
        for kind, path in (("ResourceClaim", ("spec",)), ("ResourceClaimTemplate", ("spec", "spec"))):
            head = "".join("  " * depth + f"{key}:\n" for depth, key in enumerate((*path, "devices", "requests")))
            pad = " " * 2 * (len(path) + 1)
            request = _REQUEST.format(name=device_class, expression=expression)
            body = "".join(pad + line for line in request.splitlines(keepends=True))
            start = f"apiVersion: resource.k8s.io/{version}\nkind: {kind}\nmetadata: {{name: a}}\n"
            yield f"{kind}: {name}", start + head + body


def everything():
    """(name, text) of all that the tests migrate."""
    yield from simple()
    yield from ((f"{kind}, comments {style}", workload(kind, style)) for kind in PATHS for style in STYLES)
    yield from ((name, text) for name, text, _ in cases())
