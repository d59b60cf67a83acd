import numpy as np
import pytest

from scoring.topology.catalogue import lookup, port_rate

# DGX-1 V100, as `nvidia-smi topo -m` shows it: links per pair.
DGX1 = [
    [0, 1, 1, 2, 2, 0, 0, 0],
    [1, 0, 2, 1, 0, 2, 0, 0],
    [1, 2, 0, 2, 0, 0, 1, 0],
    [2, 1, 2, 0, 0, 0, 0, 1],
    [2, 0, 0, 0, 0, 1, 1, 2],
    [0, 2, 0, 0, 1, 0, 2, 1],
    [0, 0, 1, 0, 1, 2, 0, 2],
    [0, 0, 0, 1, 2, 1, 2, 0],
]


def pairs(matrix):
    return matrix[np.triu_indices(len(matrix), 1)]


@pytest.mark.parametrize(
    ("product", "count", "speed"),
    [
        ("NVIDIA H100 80GB HBM3", 8, 450),
        ("NVIDIA H100 80GB HBM3", 7, 450),
        ("NVIDIA H100 80GB HBM3", 4, 150),
        ("NVIDIA H200", 8, 450),
        ("NVIDIA B200", 8, 900),
        ("NVIDIA GB200", 4, 900),
        ("NVIDIA A100-SXM4-40GB", 8, 300),
        ("NVIDIA A100-SXM4-80GB", 8, 300),
        ("Tesla V100-SXM3-32GB", 16, 150),
        ("AMD_Instinct_MI300X_OAM", 8, 64),
        ("NVIDIA L40S", 8, 0),
        ("NVIDIA L4", 8, 0),
        ("Tesla T4", 4, 0),
        ("NVIDIA GeForce RTX 4090", 8, 0),
        ("NVIDIA RTX 6000 Ada Generation", 4, 0),
        ("Tesla V100-PCIE-16GB", 4, 0),
    ],
)
def test_where_product_and_count_decide_every_pair_is_known(product, count, speed):
    template = lookup(product, count)

    assert template.bandwidth.shape == (count, count)
    assert (pairs(template.bandwidth) == speed).all()
    assert (np.diag(template.bandwidth) == 0).all()
    assert template.uniform


@pytest.mark.parametrize(
    ("product", "count"),
    [
        ("NVIDIA A40", 8),
        ("NVIDIA RTX A6000", 8),
        ("NVIDIA A100-PCIE-40GB", 8),
        ("NVIDIA A100 80GB PCIe", 4),
        ("NVIDIA H100 PCIe", 8),
        ("NVIDIA H100 NVL", 4),
        ("NVIDIA H200 NVL", 8),
        ("Quadro RTX 8000", 4),
        ("NVIDIA H100 80GB HBM3", 2),
        ("Tesla V100-SXM2-32GB", 4),
        ("Tesla V100-SXM2-32GB", 7),
    ],
)
def test_where_they_do_not_decide_every_pair_is_unknown(product, count):
    assert np.isnan(pairs(lookup(product, count).bandwidth)).all()


@pytest.mark.parametrize(
    "product", ["", "NVIDIA A1000", "NVIDIA H1000", "NVIDIA L40SX", "GRID A100X-40C", "LATEST-GPU-MODEL"]
)
def test_a_product_that_is_not_listed_has_no_template(product):
    assert lookup(product, 8) is None
    assert port_rate(product) is None


def test_the_cube_mesh_of_the_dgx1_is_the_one_its_driver_prints():
    template = lookup("Tesla V100-SXM2-16GB", 8)

    assert (template.bandwidth == 25 * np.array(DGX1)).all()
    assert not template.uniform


def test_the_mesh_of_the_p100_box_has_two_full_quads_and_four_cross_links():
    matrix = lookup("Tesla P100-SXM2-16GB", 8).bandwidth

    assert (matrix == matrix.T).all()
    assert (pairs(matrix[:4, :4]) == 20).all()
    assert (pairs(matrix[4:, 4:]) == 20).all()
    assert (matrix[:4, 4:] == 20 * np.eye(4)).all()


def test_only_switched_products_have_a_port():
    assert port_rate("NVIDIA H100 80GB HBM3") == 450
    assert port_rate("Tesla V100-SXM2-16GB") is None
    assert port_rate("NVIDIA L40S") is None
