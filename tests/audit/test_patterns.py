"""Every pattern that an audit has to know, the finding that it gives, and the golden case that shows it."""

import re
from pathlib import Path

import pytest

from scheduler.audit.catalogue import ENTRIES

CASES = {
    title.strip(): set(ids.split())
    for file in sorted((Path(__file__).parent / "cases").glob("*.yaml"))
    for head in re.findall(r"^#: (.*)$", file.read_text(), re.MULTILINE)
    for title, ids in [head.rsplit("|", 1)]
}
PATTERNS = {
    # workloads, and what else holds pods
    "Pod": ("DP001", "a pod with one GPU"),
    "Job": ("DP001", "a job"),
    "CronJob": ("DP001", "a cron job"),
    "ReplicaSet": ("DP001", "a replica set"),
    "DaemonSet": ("DP001", "a daemon set that uses GPUs"),
    "ReplicationController": ("DP001", "an old ReplicationController"),
    "PodTemplate": ("DP001", "a pod template of its own kind"),
    "List": ("DP004", "a list of pods"),
    "typed List": ("DP001", "a typed list"),
    "JSON": ("DP002", "JSON"),
    "several documents": ("DP007", "two documents"),
    "LeaderWorkerSet": ("DP002", "LeaderWorkerSet, leader and workers"),
    "LeaderWorkerSet, workers only": ("DP005", "a LeaderWorkerSet whose workers alone have devices and network"),
    "MPIJob": ("DP001", "MPIJob"),
    "PyTorchJob": ("DP001", "PyTorchJob"),
    "TFJob": ("DP001", "a TFJob with a chief and workers"),
    "TrainJob": ("DP002", "a TrainJob of Kubeflow, in shorthand"),
    "Notebook": ("DP001", "a Notebook of Kubeflow"),
    "RayCluster": ("DP001", "RayCluster"),
    "RayJob": ("DP002", "a RayJob with GPUs told twice"),
    "RayService": ("DP001", "RayService"),
    "JobSet": ("DP001", "JobSet"),
    "InferenceService in shorthand": ("DP001", "InferenceService with a predictor in shorthand"),
    "InferenceService with containers": ("DP001", "InferenceService with containers"),
    "ServingRuntime": ("SEL002", "a KServe ServingRuntime"),
    "LLMInferenceService": ("DP002", "LLMInferenceService with prefill and worker"),
    "NIMService": ("DP001", "NIMService"),
    "StormService": ("DP009", "StormService"),
    "Workspace": ("SEL003", "a Workspace of KAITO"),
    "Volcano Job": ("DP003", "a Volcano job with a queue and tasks"),
    "Argo Workflow": ("DP001", "an Argo Workflow, a template with one container"),
    "SparkApplication": ("DP001", "a SparkApplication, which has words of its own"),
    "Knative Service": ("DP001", "a Knative Service"),
    "strategic patch": ("DP001", "a strategic patch"),
    "patches inside a kustomization": ("DP007", "patches inside a kustomization"),
    "JSON6902 of a resource": ("DP001", "a JSON patch in YAML"),
    "JSON6902 of a container": ("DP001", "a JSON6902 patch that puts a whole container in place"),
    "JSON6902 of a selector": ("SEL001", "a JSON6902 patch that puts a whole node selector"),
    "JSON6902 of tolerations": ("TOL001", "a JSON6902 patch that adds one toleration"),
    "Helm values": ("DP001", "values of a chart"),
    "requestGPUType": ("DP004", "values that name the type of GPU and its number apart"),
    "extra_resource_limits": ("DP009", "values with extra limits"),
    "values in a text": ("DP001", "values in the text of an application of Argo CD"),
    "HelmRelease": ("DP001", "a release of Flux"),
    "manifests in a ConfigMap": ("DP001", "manifests in a ConfigMap, for a controller to apply"),
    "a template that is not rendered": ("UNPARSED", "a template of Helm"),
    "a template of Jinja": ("UNPARSED", "a template of Jinja"),
    "a script that writes manifests": ("UNPARSED", "a script that writes a manifest with a GPU"),
    # resources
    "whole GPU": ("DP001", "limit and request of the same GPU are one finding"),
    "tensor parallelism": ("DP002", "tensor parallelism over two GPUs"),
    "tensor parallelism of SGLang": ("DP002", "tensor parallelism of SGLang"),
    "TP_SIZE": ("DP002", "tensor parallelism in the environment"),
    "gpu.shared": ("DP003", "a time-sliced GPU"),
    "gpu-<N>gb": ("DP003", "a request of MPS by the name of memory"),
    "-SHARED product": ("DP003", "the product label of a shared GPU"),
    "GKE sharing labels": ("DP003", "GKE time sharing"),
    "mig-<profile>": ("DP004", "a MIG device"),
    "mig-<profile>.me": ("DP004", "a MIG profile with media engines"),
    "single-strategy MIG": ("SEL001", "MIG by single strategy: a GPU whose label says what it is"),
    "GPU and rdma/*": ("DP005", "a GPU with RDMA"),
    "GPU and EFA": ("DP005", "eight GPUs with EFA on AWS"),
    "GPU and SR-IOV": ("DP005", "SR-IOV of OpenShift with its Multus network"),
    "GPU and a network of GKE": ("DP005", "networks of GKE with their annotation"),
    "HAMi": ("DP006", "memory and cores of HAMi"),
    "HAMi annotation": ("DP006", "the GPU type annotation of HAMi"),
    "KAI gpu-fraction": ("DP006", "the fraction of KAI"),
    "KAI gpu-memory": ("DP006", "the memory annotation of KAI in a template"),
    "AMD": ("DP007", "four AMD GPUs"),
    "AMD partition": ("DP007", "partitions of an MI300X"),
    "Intel GPU": ("DP007", "two resources of one Intel GPU"),
    "Gaudi": ("DP007", "eight Gaudi cards"),
    "TPU": ("DP007", "a slice of TPUs"),
    "Neuron": ("DP008", "Trainium"),
    "network device alone": ("DP009", "RDMA alone"),
    "fraction of a device": ("DP010", "half a GPU"),
    "limit other than request": ("DP010", "a limit other than its request"),
    # labels and taints
    "GFD label": ("SEL001", "a product by nodeSelector"),
    "GFD label in affinity": ("SEL001", "products by required affinity"),
    "preferred affinity": ("SEL001", "a product by preferred affinity"),
    "compute capability": ("SEL001", "compute capability by two labels of affinity"),
    "AMD label": ("SEL001", "partitions of an MI300X"),
    "flavor of Kueue": ("SEL001", "a Kueue flavor by product, and its queue"),
    "cloud label": ("SEL002", "a KServe ServingRuntime"),
    "Karpenter label": ("SEL002", "Karpenter's labels of GPUs"),
    "instance type": ("SEL003", "the instance type of a pod with GPUs"),
    "gpu.memory Gt": ("SEL004", "memory above forty thousand MiB"),
    "gpu.memory Lt": ("SEL004", "memory below a bound, preferred"),
    "gpu.memory Gt 16Gi": ("SEL005", "memory with a unit never matches"),
    "product that no GPU has": ("SEL005", "a product with blanks, which no label can have"),
    "label of the node": ("SEL006", "the clique of a multi-node NVLink domain"),
    "toleration": ("TOL001", "a toleration"),
    # DRA
    "v1alpha2": ("API001", "v1alpha2"),
    "v1alpha3": ("API002", "v1alpha3"),
    "v1beta1": ("API003", "v1beta1"),
    "v1beta2": ("API004", "v1beta2"),
    "prototype": ("API005", "parameters of the first NVIDIA driver"),
    "flat request": ("API010", "flat fields under v1"),
    "bad class name": ("API011", "a class name with a slash"),
    "capacity as attribute": ("API012", "memory as an attribute of the domain"),
    "unguarded attribute": ("API013", "a NUMA node that older drivers do not publish"),
    "wrong case": ("API014", "resourceclaims in small letters"),
    "claim without consumer": ("API015", "a claim that no container uses"),
    "source:": ("API016", "a source"),
    "CEL that does not compile": ("API017", "an expression with a syntax error"),
    "unknown field": ("API018", "a field that v1 does not know"),
    "claim that is not listed": ("API019", "a container uses what the pod does not list"),
    "an object inside another": ("API003", "a composition whose resources are whole objects"),
    # the rest
    "plugin and claim": ("MIX001", "plugin and claim in one pod"),
    "several template claims": ("MIX002", "four claims where one should be"),
    "PCI address": ("HARD001", "a PCI address"),
    "UUID": ("HARD001", "a UUID"),
    "NUMA node": ("HARD001", "a NUMA node"),
    "CUDA_VISIBLE_DEVICES": ("HARD001", "CUDA indices"),
    "NVIDIA_VISIBLE_DEVICES": ("HARD002", "all GPUs past the plugin"),
    "hostPath /dev/nvidia*": ("HARD002", "the one GPU of the host by its node"),
    "hostPath /dev/kfd": ("HARD002", "AMD devices of the host in a privileged pod"),
    "adminAccess": ("ADM001", "administrator access"),
    "ResourceQuota": ("OPS001", "a quota"),
    "LimitRange": ("OPS001", "a limit range"),
    "NodePool": ("OPS002", "a node pool of Karpenter"),
    "exporter": ("OPS003", "an exporter"),
    "init container": ("OPS004", "an init container with a GPU of its own"),
    "sidecar": ("OPS004", "a sidecar with a GPU of its own"),
    "template in another namespace": ("OPS005", "a template in another namespace"),
    "queue of Kueue": ("OPS006", "a cluster queue"),
    "device plugin": ("INFRA001", "the NVIDIA device plugin"),
    "ClusterPolicy": ("INFRA002", "a cluster policy with MIG"),
    "time-slicing ConfigMap": ("INFRA002", "time slicing in a ConfigMap"),
    "migStrategy": ("INFRA002", "the MIG strategy of the operator's values"),
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_has_a_case_that_shows_its_finding(pattern):
    found, title = PATTERNS[pattern]

    assert found in CASES[title]


def test_every_finding_stands_in_the_table():
    assert {found for found, _ in PATTERNS.values()} == set(ENTRIES)
