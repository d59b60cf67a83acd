"""Node labels that say something of devices, and the CEL selector that says the same of a device."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

Sort = Literal["attribute", "memory", "sharing", "node", "cloud", "pool"]

_SORTS: Final[tuple[tuple[str, Sort], ...]] = (
    (r"nvidia\.com/gpu\.memory", "memory"),
    (r"nvidia\.com/(gpu\.(replicas|sharing-strategy)|mps\.capable|vgpu\..+)", "sharing"),
    (r"nvidia\.com/(gpu\.(product|family|compute\.(major|minor))|cuda\.(driver|runtime).*)", "attribute"),
    (r"nvidia\.com/(gpu\..+|mig\..+|mig-.+\.(product|memory|count|replicas)|gfd\..+|cuda\..+)", "node"),
    (r"feature\.node\.kubernetes\.io/pci-(10de|1002|8086|15b3).*", "node"),
    (r"(beta\.)?amd\.com/gpu\.(device-id|product-name|family|vram|cu-count|simd-count).*", "attribute"),
    (r"amd\.com/.+", "node"),
    (r"gpu\.intel\.com/.+", "attribute"),
    (r"cloud\.google\.com/gke-(gpu-sharing-strategy|max-shared-clients-per-gpu|gpu-partition-size)", "sharing"),
    (r"cloud\.google\.com/gke-(accelerator(-count)?|tpu-accelerator|tpu-topology)", "cloud"),
    (r"k8s\.amazonaws\.com/accelerator|(karpenter\.k8s\.aws|eks\.amazonaws\.com)/instance-gpu-.+", "cloud"),
    (r"kubernetes\.azure\.com/accelerator|accelerator", "cloud"),
    (r"(beta\.kubernetes\.io|node\.kubernetes\.io)/instance-type|cloud\.google\.com/(gke-nodepool|machine-family)",
     "pool"),
    (r"eks\.amazonaws\.com/(nodegroup|instance-family)", "pool"),
    (r"karpenter\.k8s\.aws/instance-(family|size|category)", "pool"),
    (r"(kubernetes\.azure\.com/)?agentpool|karpenter\.sh/nodepool", "pool"),
)  # fmt: skip
_DOMAIN: Final = "gpu.nvidia.com"
_MIN_MIB: Final = 1024  # more than that has any GPU
_MAX_MIB: Final = 2**20  # a tebibyte of memory in one GPU: none has that
_MODEL: Final = re.compile(r"(nvidia[ -])?([ahv]100|[ah]800|h200|g?b[23]00|gh200|[tp]4|p100|l4|l40s?)", re.IGNORECASE)
"""A GPU's model alone. `NVIDIA-H200`, `NVIDIA-B200` and `NVIDIA-L4` are the names of products, other models are not."""
_PRODUCTS: Final = re.compile(r"NVIDIA-(H200|B200|B300|GB200|GB300|L4|L40S?)")
_LABEL_VALUE: Final = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_OPERATORS: Final = {"Gt": "> 0", "Lt": "< 0"}


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a nodeSelector or a matchExpression asks of a node."""

    key: str
    operator: str
    values: Sequence[str]
    preferred: bool = False


def sort_of(label: str) -> Sort | None:
    """What a label tells of devices; None where it is nothing known. `pool` hides the model behind a name."""
    return next((sort for pattern, sort in _SORTS if re.fullmatch(pattern, label)), None)


def unshared(requirement: Requirement) -> bool:
    """Whether a label of shared GPUs asks for those that are not shared."""
    return requirement.operator == "In" and set(requirement.values) <= {"none", "0", "1", "false"}


def impossible_memory(requirement: Requirement) -> str:
    """Why what is asked of `nvidia.com/gpu.memory`, a whole number of MiB, cannot be meant; empty if it can."""
    for value in requirement.values:
        if not re.fullmatch(r"[0-9]+", value, re.ASCII):
            return f"{value!r} is not a whole number: the label counts MiB without a unit"
        if int(value[:20]) > _MAX_MIB:
            return f"{value!r} is more MiB than any GPU has"
        if requirement.operator in {"In", "Gt", "Lt"} and 0 < int(value) <= _MIN_MIB:
            return f"{value!r} would be {value} MiB: the label counts MiB, not GiB"
    return ""


def impossible_product(requirement: Requirement) -> str:
    """Why no node has one of the products that are asked for; empty if all can be."""
    for value in requirement.values if requirement.key == "nvidia.com/gpu.product" else ():
        if not _LABEL_VALUE.fullmatch(value):
            return f"{value!r} is no value that a label can have: blanks of the product's name are hyphens there"
        if _is_model(value):
            return f"{value!r} is a model, and the label names a product such as NVIDIA-A100-SXM4-80GB"
    return ""


def _is_model(value: str) -> bool:
    return _MODEL.fullmatch(value) is not None and not _PRODUCTS.fullmatch(value)


def cel_of(requirement: Requirement, domain: str = _DOMAIN) -> str:
    """A selector that asks of a device what the label asks of its node; empty where CEL cannot say it.

    Product labels have hyphens for blanks, may lack `NVIDIA-`, and may end with `-SHARED` or `-MIG-…`. The memory label
    is what the driver reports, in MiB; what is asked with Gt or Lt is asked of the capacity.
    """
    texts = [text for value in requirement.values if (text := _one(requirement, value, domain))]
    if not texts or len(texts) < len(requirement.values):
        return ""
    joined = texts[0] if len(texts) == 1 else " || ".join(f"({text})" for text in texts)
    return f"!({joined})" if requirement.operator == "NotIn" else joined


def _one(requirement: Requirement, value: str, domain: str) -> str:
    name, operator = requirement.key.removeprefix("nvidia.com/"), requirement.operator
    attributes = f"device.attributes['{domain}']"
    if operator in _OPERATORS:
        if name == "gpu.memory" and (mib := _mib(value)):
            return f"device.capacity['{domain}'].memory.compareTo(quantity('{mib}Mi')) {_OPERATORS[operator]}"
        if name == "gpu.compute.major" and re.fullmatch(r"[0-9]{1,3}", value, re.ASCII):
            edge, sign = (int(value) + 1, ">= 0") if operator == "Gt" else (int(value), "< 0")
            return f"{attributes}.cudaComputeCapability.compareTo(semver('{edge}.0.0')) {sign}"
        return ""
    if operator not in {"In", "NotIn"}:
        return ""
    if name == "gpu.product":
        return _product(value, attributes)
    if name == "gpu.family" and re.fullmatch(r"[a-z-]{1,40}", value):
        return f"{attributes}.architecture.lowerAscii() == '{value.replace('-', ' ')}'"
    if name == "gpu.compute.major" and re.fullmatch(r"[0-9]{1,3}", value, re.ASCII):
        return f"{attributes}.cudaComputeCapability.major() == {int(value)}"
    if name == "gpu.memory" and (mib := _mib(value)):
        # The label is rounded by the driver: 40960 of a label can be 40Gi of capacity less what is reserved.
        return f"device.capacity['{domain}'].memory.compareTo(quantity('{mib}Mi')) >= 0"
    return ""


def _mib(value: str) -> str:
    """The MiB that somebody meant: a number, or a quantity such as 16Gi, in MiB; empty for anything else.

    A number that is too small for MiB may be one of GiB, and nobody but its author knows.
    """
    found = re.fullmatch(r"([0-9]{1,7})(Mi|Gi)?", value, re.ASCII)
    if found is None or int(found[1]) <= (0 if found[2] else _MIN_MIB):
        return ""
    return str(int(found[1]) * (1024 if found[2] == "Gi" else 1))


def _product(value: str, attributes: str) -> str:
    bare = re.sub(r"-(SHARED|MIG-[0-9A-Za-z.]+)+$", "", value)
    bare = re.sub(r"^nvidia[ -]", "", bare.lower()).replace(" ", "-")
    if not re.fullmatch(r"[a-z0-9.-]{1,60}", bare):
        return ""
    if _is_model(value):  # what is meant is any product of it
        return f"{attributes}.productName.lowerAscii().matches('(^|[ -]){bare}([ -]|$)')"
    pattern = bare.replace(".", "[.]").replace("-", "[ -]")
    return f"{attributes}.productName.lowerAscii().matches('^(nvidia )?{pattern}$')"
