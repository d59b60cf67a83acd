"""Every finding that there is: the one place to add one. An id, once given, keeps its meaning."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Severity = Literal["info", "warning", "error"]
Benefit = Literal["attributes", "sharing", "topology", "gang", "none"]
SEVERITIES: Final[tuple[Severity, ...]] = ("info", "warning", "error")


@dataclass(frozen=True, slots=True)
class Entry:
    """One kind of finding. sentence : what is so, `{what}` filled in. advice : what to do."""

    id: str
    severity: Severity
    benefit: Benefit
    sentence: str
    advice: str


_ENTRIES: Final = (
    Entry("DP001", "warning", "attributes", "asks a device plugin for whole GPUs: {what}",
          "Claim them with a ResourceClaimTemplate for class gpu.nvidia.com (`exactly: {deviceClassName, count}`), or"
          " keep the resource name and give the DeviceClass `extendedResourceName`."),
    Entry("DP002", "warning", "topology", "asks for several GPUs that a device plugin may scatter: {what}",
          "Use one request with this count in one claim, so that a topology-aware scheduler keeps them in one NVLink"
          " island; add matchAttribute where the driver publishes the domain."),
    Entry("DP003", "warning", "sharing", "shares a GPU by time slicing or MPS replicas: {what}",
          "Share one ResourceClaim among the pods, or ask for a share of a device with consumable capacity. Neither"
          " equals replicas one to one, and time slicing isolates no memory: choose by hand."),
    Entry("DP004", "warning", "sharing", "asks a device plugin for MIG devices: {what}",
          "Claim class mig.nvidia.com and select the profile attribute; with dynamic MIG the driver cuts it."),
    Entry("DP005", "warning", "topology", "asks for GPUs and network devices with nothing that aligns them: {what}",
          "Put both into one claim with matchAttribute resource.kubernetes.io/pcieRoot or numaNode; that needs a DRA"
          " driver for the network devices, such as dranet. Keep Multus networks until it runs."),
    Entry("DP006", "warning", "sharing", "asks for a fraction of a GPU in the words of one scheduler: {what}",
          "Nothing converts it: express the memory as consumable capacity or a MIG profile, by hand."),
    Entry("DP007", "warning", "attributes", "asks a device plugin for accelerators of {what}",
          "Claim them from that vendor's DRA driver by its DeviceClass."),
    Entry("DP008", "info", "none", "asks for a device that no known DRA driver serves: {what}",
          "Keep the device plugin, and ask the vendor for a DRA driver."),
    Entry("DP009", "info", "attributes", "asks a device plugin for network devices: {what}",
          "A DRA network driver, such as dranet or the one for SR-IOV, lets claims choose them by attributes."),
    Entry("DP010", "error", "sharing", "asks for an amount of a device that Kubernetes refuses: {what}",
          "Devices are counted in whole numbers, and a limit must equal its request; a share of a device needs MIG or"
          " consumable capacity."),
    Entry("SEL001", "warning", "attributes", "chooses the GPU by a node label: {what}",
          "Select the device itself with CEL; check also that GPU Feature Discovery, which writes it, still runs."),
    Entry("SEL002", "info", "attributes", "chooses the accelerator by a label of the cloud: {what}",
          "Keep it, since autoscalers look at it; add a CEL selector where the node may hold several models."),
    Entry("SEL003", "info", "attributes", "hides the GPU model behind a machine type or pool: {what}",
          "Say which GPU is meant: a CEL selector on productName or memory also fits other pools that have it."),
    Entry("SEL004", "warning", "attributes", "chooses the GPU by its memory through a node label: {what}",
          "The best use of attributes there is: select by the device's memory capacity instead."),
    Entry("SEL005", "error", "attributes", "asks by a label for GPUs in a way that cannot be meant: {what}",
          "The memory label is a whole number of MiB and Gt and Lt compare integers; the product label holds the"
          " product's full name. Say what is meant in CEL."),
    Entry("SEL006", "info", "topology", "depends on a GPU label that stays one of the node: {what}",
          "Keep it as a node selector, or drop it where a claim already says it (count, mode, presence)."),
    Entry("TOL001", "info", "none", "tolerates the taint of device nodes: {what}",
          "Keep it: the taint still applies, and no admission plugin adds the toleration for claims."),
    Entry("API001", "error", "none", "uses resource.k8s.io/v1alpha2, gone since Kubernetes 1.31: {what}",
          "Write it for resource.k8s.io/v1: ResourceClass becomes DeviceClass, parameters become CEL or config."),
    Entry("API002", "error", "none", "uses resource.k8s.io/v1alpha3, which no longer serves this kind: {what}",
          "Write it for resource.k8s.io/v1 and move the fields of each request under `exactly`."),
    Entry("API003", "error", "none", "uses resource.k8s.io/v1beta1, off by default and removed in 1.38: {what}",
          "Write it for resource.k8s.io/v1 and move the fields of each request under `exactly`."),
    Entry("API004", "warning", "none", "uses resource.k8s.io/v1beta2, removed in 1.39: {what}",
          "Change apiVersion to resource.k8s.io/v1: the shape is the same."),
    Entry("API005", "error", "none", "uses a version or kind of DRA that Kubernetes does not have: {what}",
          "Write it for resource.k8s.io/v1."),
    Entry("API010", "error", "none", "states a request's fields outside `exactly`: {what}",
          "Move them under `exactly`: strict decoding refuses them, and without it they are dropped."),
    Entry("API011", "error", "none", "names a DeviceClass that cannot exist: {what}",
          "A class name is a DNS subdomain without a slash; NVIDIA's is gpu.nvidia.com."),
    Entry("API012", "error", "attributes", "reads a capacity as if it were an attribute: {what}",
          "Memory is a capacity, under the driver's domain: device.capacity['gpu.nvidia.com'].memory"
          ".compareTo(quantity('16Gi')) >= 0"),
    Entry("API013", "warning", "attributes", "reads an attribute that not every device has, unguarded: {what}",
          "Guard it with has() or `.?…orValue()`: one device without it stops the whole pod."),
    Entry("API014", "error", "none", "spells a field in the wrong case: {what}",
          "Field names are case-sensitive, and what is misspelled is refused or dropped."),
    Entry("API015", "warning", "none", "lists a claim that no container uses: {what}",
          "Name it under resources.claims of the container that needs the devices. Without that it is allocated, and"
          " only what belongs to the pod itself, such as a network interface, reaches it."),
    Entry("API016", "error", "none", "names a claim under `source:`, gone since Kubernetes 1.31: {what}",
          "Put resourceClaimName or resourceClaimTemplateName into the entry itself."),
    Entry("API017", "error", "attributes", "has a CEL selector that does not compile: {what}",
          "Correct the expression: the API server refuses it."),
    Entry("API018", "error", "none", "is not of the shape of resource.k8s.io/v1: {what}",
          "Remove or correct it: strict decoding and validation refuse it."),
    Entry("API019", "error", "none", "uses a claim that the pod does not list: {what}",
          "Add an entry of this name to spec.resourceClaims with a template or a claim."),
    Entry("MIX001", "error", "none", "takes GPUs of a device plugin and of a claim in one pod: {what}",
          "Take all from claims: plugin and driver count the same devices twice when both serve one node."),
    Entry("MIX002", "warning", "topology", "spreads devices over several claims, which nothing ties together: {what}",
          "Put the requests into one claim: only within a claim do constraints keep devices together."),
    Entry("HARD001", "warning", "topology", "names devices by address, index or NUMA node: {what}",
          "Replace it by a constraint (matchAttribute), which holds on every node."),
    Entry("HARD002", "warning", "none", "reaches devices past the scheduler: {what}",
          "Claim the device instead: nothing accounts for what is taken this way."),
    Entry("ADM001", "info", "none", "asks for administrator access to devices: {what}",
          'Its namespace needs the label resource.kubernetes.io/admin-access: "true", and the value must be "true".'),
    Entry("OPS001", "warning", "none", "limits a device-plugin resource: {what}",
          "Add a quota for the class: <class>.deviceclass.resource.k8s.io/devices; this one counts no claims."),
    Entry("OPS002", "info", "none", "scales nodes by a device-plugin resource: {what}",
          "Check that this autoscaler understands claims in its version before moving the workloads."),
    Entry("OPS003", "info", "none", "monitors GPUs by device-plugin pods: {what}",
          "For pods with claims the exporter needs its DRA mode and rights to read ResourceSlices."),
    Entry("OPS004", "warning", "none", "gives devices to an init container: {what}",
          "Requests of init and main containers overlap, claims last for the whole pod: name one claim in both."),
    Entry("OPS005", "error", "none", "names a template that these files have in another namespace only: {what}",
          "A template is namespaced and immutable: create it beside the pods."),
    Entry("OPS006", "warning", "none", "queues by a device-plugin resource: {what}",
          "Map the device class in Kueue's deviceClassMappings and cover that resource."),
    Entry("INFRA001", "info", "none", "runs a device plugin or its helpers: {what}",
          "Do not rewrite it: list it for removal once the DRA driver serves its nodes."),
    Entry("INFRA002", "warning", "sharing", "configures how a device plugin shares or splits GPUs: {what}",
          "The settings do not carry over: sharing moves into claims and DeviceClass config."),
    Entry("UNPARSED", "warning", "none", "is a template, or needs one rendered, and was not read: {what}",
          "Render it first (helm template, kustomize build) and audit what comes out."),
)  # fmt: skip
ENTRIES: Final[Mapping[str, Entry]] = {entry.id: entry for entry in _ENTRIES}
