"""Words for boxes of GPUs, as the NVIDIA driver publishes them."""

from itertools import combinations

from tests.build import device

NVIDIA = "gpu.nvidia.com"
H100 = "NVIDIA H100 80GB HBM3"
A100_PCIE = "NVIDIA A100-PCIE-40GB"
STANDARD = "resource.kubernetes.io/"


def bus(i):
    return f"0000:{16 * (i + 1):02x}:00.0"


def gpu(i, product=H100, driver=NVIDIA, **attributes):
    own = {"type": "gpu", "uuid": f"GPU-{i}", "productName": product, STANDARD + "pciBusID": bus(i)}
    return driver, device(f"gpu-{i}", {**own, **attributes})


def gpus(count, product=H100, first=0, **attributes):
    return [gpu(i, product, **attributes) for i in range(first, first + count)]


def linked(layout):
    """Pairs with a link, as {(i, j): GB/s}."""
    return {
        (i, j): float(layout.bandwidth[i, j])
        for i, j in combinations(range(layout.size), 2)
        if layout.bandwidth[i, j] > 0
    }
