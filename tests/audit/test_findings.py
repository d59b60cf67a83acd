"""Golden cases: every finding that is planted is found, and nothing else."""

import pytest

from scheduler.audit.catalogue import ENTRIES
from scheduler.audit.inspection import inspect
from scheduler.audit.sources import Source
from tests.audit.manifests import cases

RESOURCES = {
    "nvidia.com/gpu": "DP001", "nvidia.com/A100": "DP001", "nvidia.com/pgpu": "DP001", "nvidia.com/gpu.shared": "DP003",
    "nvidia.com/gpu-10gb": "DP003", "nvidia.com/mig-1g.5gb.shared": "DP003", "nvidia.com/mig-1g.5gb": "DP004",
    "nvidia.com/mig-7g.80gb": "DP004", "nvidia.com/gpumem": "DP006", "nvidia.com/gpumem-percentage": "DP006",
    "nvidia.com/gpucores": "DP006", "aliyun.com/gpu-mem": "DP006", "volcano.sh/vgpu-memory": "DP006",
    "amd.com/gpu": "DP007", "amd.com/cpx_nps4": "DP007", "gpu.intel.com/i915": "DP007", "gpu.intel.com/xe": "DP007",
    "gpu.intel.com/millicores": "DP007", "habana.ai/gaudi": "DP007", "qat.intel.com/cy": "DP007",
    "google.com/tpu": "DP007", "dsa.intel.com/wq-user-shared": "DP008", "sgx.intel.com/epc": "DP008",
    "aws.amazon.com/neuron": "DP008", "aws.amazon.com/neuroncore": "DP008", "huawei.com/Ascend910": "DP008",
    "rdma/ib": "DP009", "rdma/hca_shared_devices_a": "DP009", "nvidia.com/rdma_ib_nics": "DP009",
    "nvidia.com/mlnxnics": "DP009", "nvidia.com/roce_gdr": "DP009", "openshift.io/sriov_vf": "DP009",
    "vpc.amazonaws.com/efa": "DP009", "networking.gke.io.networks/rdma-0": "DP009", "mellanox.com/cx7": "DP009",
    "intel.com/intel_sriov_netdevice": "DP009",
    "cpu": "", "memory": "", "hugepages-1Gi": "", "ephemeral-storage": "", "pods": "", "example.com/dongle": "",
    "smarter-devices/snd": "", "deviceclass.resource.kubernetes.io/gpu.nvidia.com": "",
}  # fmt: skip
LABELS = {
    "nvidia.com/gpu.product": "SEL001", "nvidia.com/gpu.family": "SEL001", "nvidia.com/gpu.compute.major": "SEL001",
    "nvidia.com/cuda.driver.major": "SEL001", "amd.com/gpu.product-name": "SEL001", "amd.com/gpu.vram": "SEL001",
    "beta.amd.com/gpu.family": "SEL001", "gpu.intel.com/product": "SEL001", "nvidia.com/gpu.replicas": "DP003",
    "nvidia.com/gpu.sharing-strategy": "DP003", "nvidia.com/mps.capable": "DP003",
    "cloud.google.com/gke-gpu-partition-size": "DP003", "cloud.google.com/gke-accelerator": "SEL002",
    "cloud.google.com/gke-tpu-topology": "SEL002", "k8s.amazonaws.com/accelerator": "SEL002",
    "karpenter.k8s.aws/instance-gpu-name": "SEL002", "eks.amazonaws.com/instance-gpu-name": "SEL002",
    "kubernetes.azure.com/accelerator": "SEL002", "accelerator": "SEL002", "nvidia.com/gpu.count": "SEL006",
    "nvidia.com/gpu.machine": "SEL006", "nvidia.com/mig.strategy": "SEL006", "nvidia.com/mig.config": "SEL006",
    "nvidia.com/gpu.deploy.driver": "SEL006", "feature.node.kubernetes.io/pci-10de.present": "SEL006",
    "kubernetes.io/hostname": "", "topology.kubernetes.io/zone": "", "agentpool": "",
    "node.kubernetes.io/instance-type": "",
}  # fmt: skip


ALL = [pytest.param(text, ids, id=name) for name, text, ids in cases()]


def found(text):
    report = inspect([Source("case.yaml", text)])
    assert report.problems == []
    return report.findings


@pytest.mark.parametrize(("text", "ids"), ALL)
def test_a_case_gives_the_findings_it_states(text, ids):
    assert sorted(each.id for each in found(text)) == ids


@pytest.mark.parametrize(("resource", "expected"), RESOURCES.items(), ids=str)
def test_a_resource_is_known_for_what_it_is(resource, expected):
    text = f"""
apiVersion: v1
kind: Pod
metadata: {{name: p}}
spec:
  containers:
  - name: s
    image: x
    resources:
      limits:
        {resource}: 1
"""
    assert [(each.id, each.line) for each in found(text)] == ([(expected, 11)] if expected else [])


@pytest.mark.parametrize(("label", "expected"), LABELS.items(), ids=str)
@pytest.mark.parametrize("shape", ["nodeSelector", "affinity"])
def test_a_label_is_known_for_what_it_is(label, expected, shape):
    terms = f"[{{matchExpressions: [{{key: {label}, operator: In, values: ['2']}}]}}]"
    required = f"{{requiredDuringSchedulingIgnoredDuringExecution: {{nodeSelectorTerms: {terms}}}}}"
    asked = f"nodeSelector: {{{label}: '2'}}" if shape == "nodeSelector" else f"affinity: {{nodeAffinity: {required}}}"

    findings = found(
        f"apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec:\n  {asked}\n  containers: [{{name: s, image: x}}]\n"
    )

    assert [(each.id, each.line) for each in findings] == ([(expected, 5)] if expected else [])


def test_there_are_cases_enough_and_every_finding_has_one():
    clean = [case for case in ALL if case.values[1] == []]
    planted = {each for case in ALL for each in case.values[1]} | {each for each in RESOURCES.values() if each}

    assert len(ALL) >= 150
    assert len(clean) >= 50
    assert planted == set(ENTRIES)


def test_lines_and_objects_are_those_of_the_file():
    text = (
        "# comment\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d, namespace: n}\nspec:\n  template:\n"
        "    spec:\n      containers:\n      - name: s\n        resources:\n          limits:\n            # here\n"
        "            nvidia.com/gpu: 1\n"
    )

    (finding,) = found(text)

    assert (finding.file, finding.line, finding.object) == ("case.yaml", 14, "Deployment n/d")


def test_json_may_write_characters_in_two_halves():
    text = '{"kind": "Pod", "metadata": {"name": "\\ud83d\\ude00"},\n "spec": {"containers": [\n' + (
        '  {"name": "s", "image": "x", "resources": {"limits": {"nvidia.com/gpu": 1}}}]}}\n'
    )

    (finding,) = found(text)

    assert (finding.object, finding.line) == ("Pod \U0001f600", 3)


def test_a_patch_inside_a_kustomization_has_the_lines_of_the_file():
    patch = "    - op: add\n      path: /a/limits/nvidia.com~1gpu\n      value: 1\n"
    text = "kind: Kustomization\npatches:\n- patch: |-\n" + patch

    (finding,) = found(text)

    assert finding.line == 5


@pytest.mark.parametrize(
    ("argument", "said"),
    [("--tensor-parallel-size=4", ", tensor parallel size 4"), ("-tp 4", ", tensor parallel size 4"),
     ("--tp-size 4", ", tensor parallel size 4"), ("--tensor-parallel-size $TP_SIZE", ", tensor parallel size 2"),
     ("--tensor-parallel-size", ", tensor parallel size 2"), ("--pipeline 4", ", tensor parallel size 2")],
)  # fmt: skip
def test_tensor_parallelism_is_read_from_arguments_and_else_from_the_environment(argument, said):
    findings = found(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - name: s\n    image: x\n"
        f"    args: ['vllm {argument}']\n    env: [{{name: TP_SIZE, value: '2'}}]\n"
        "    resources: {limits: {nvidia.com/gpu: 4}}\n"
    )

    assert [each.message.partition("container s")[2] for each in findings if each.id == "DP002"] == [said]


def test_the_advice_on_a_memory_label_is_the_selector_that_means_it():
    text = next(case.values[0] for case in ALL if "forty thousand" in case.id)

    (finding,) = found(text)

    assert "device.capacity['gpu.nvidia.com'].memory.compareTo(quantity('40000Mi')) > 0" in finding.advice


def test_every_selector_that_is_advised_compiles():
    from scheduler.audit.labels import Requirement, cel_of
    from scheduler.core.cel import compile_selector

    values = (["8"], ["NVIDIA-A100-SXM4-40GB-MIG-1g.5gb"], ["Tesla-T4-SHARED", "NVIDIA-L4"], ["ada-lovelace"], ["x'"])
    keys = [*LABELS, "nvidia.com/gpu.memory"]
    asked = [
        Requirement(key, operator, each)
        for key in keys
        for operator in ("In", "NotIn", "Gt", "Lt", "Exists")
        for each in (*values, ["40000"], ["16Gi"], [])
    ]

    given = {text for each in asked if (text := cel_of(each))}

    assert len(given) > 12
    assert all(compile_selector(text).expression == text for text in given)
