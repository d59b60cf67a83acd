"""What is known of a product's direct links without being told: how many of it in a box -> GB/s per pair.

A row is here only where product and count decide the wiring. Boards that are joined by bridges (A40, A100 PCIe, H100
NVL) are here as *unknown*: which pairs are bridged differs from box to box, and one box's owner may be wrong about it.

GB/s are for one direction of one pair while that pair alone is active: links x rate on meshes, the full port behind a
switch. Rates a link: NVLink1 20, NVLink2 to 4 25, NVLink5 50 (vendor data sheets). Wiring: NVIDIA DGX user guides, the
topologies in go-gpuallocator's tests (DGX-1), NCCL and RCCL topology files (HGX, MI300X).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from scoring.arrays import Floats
from scoring.topology.nvlink import LINK_GBPS, mesh, pairs, uniform, unknown

Wiring = Callable[[int], Floats]


@dataclass(frozen=True, slots=True)
class Template:
    """Links between `count` devices of one product, numbered by PCI bus id.

    bandwidth : float32 (count, count), as in Layout; NaN throughout where the product does not tell.
    """

    bandwidth: Floats
    wiring: str

    def __post_init__(self) -> None:
        self.bandwidth.setflags(write=False)

    @property
    def uniform(self) -> bool:
        """Every pair is alike, so numbering does not matter."""
        pairs = self.bandwidth[~np.eye(len(self.bandwidth), dtype=np.bool_)]
        return not len(pairs) or bool(np.isnan(pairs).all() or (pairs == pairs[0]).all())


def _every_pair(rate: float) -> Wiring:
    return lambda count: uniform(count, rate)


def cube_mesh(count: int) -> Floats:
    """DGX-1 V100: two rings of four, joined crosswise. 8 pairs have two links, 8 have one, 12 have none."""
    return mesh(count, {2: pairs("03 04 12 15 23 47 56 67"), 1: pairs("01 02 13 26 37 45 46 57")}, LINK_GBPS["NVLink2"])


def quads(count: int) -> Floats:
    """DGX-1 P100, the same box one generation earlier: single links, two full quads and i to i+4."""
    return mesh(count, {1: pairs("01 02 03 12 13 23 45 46 47 56 57 67 04 15 26 37")}, LINK_GBPS["NVLink1"])


_none = _every_pair(0)


@dataclass(frozen=True, slots=True)
class _Product:
    """`boxes`: device counts -> wiring and its words; a count that is not here is unknown. `port`: GB/s to a switch."""

    pattern: re.Pattern[str]
    boxes: tuple[tuple[range, Wiring, str], ...]
    port: float | None = None


def _product(pattern: str, *boxes: tuple[range, Wiring, str], port: float | None = None) -> _Product:
    return _Product(re.compile(pattern), boxes, port)


_ANY: Final = range(1, 1025)
# Boards with SXM sockets hold 4 or 8. With 5 to 8 in sight the board is one of 8, behind switches; with 4 it may be the
# smaller board, so its slower figure stands; with fewer, a virtual machine may have got them without their links.
_OF_8: Final = range(5, 9)
_OF_4: Final = range(4, 5)


def _hgx(port: float, quad: float) -> tuple[tuple[range, Wiring, str], ...]:
    return (
        (_OF_8, _every_pair(port), "NVSwitch"),
        (_OF_4, _every_pair(quad), "NVLink between every pair"),
    )


_BRIDGES: Final = (_ANY, unknown, "bridges differ from box to box")
_NO_LINKS: Final = (_ANY, _none, "no direct links")

# Read top to bottom; the first pattern that matches the whole name counts. Names are folded: upper case, words apart.
_CATALOGUE: Final = (
    _product(r"(NVIDIA )?GB[23]00\b.*", (range(2, 5), _every_pair(900), "NVLink switches of the rack"), port=900),
    _product(r"(NVIDIA )?B[23]00( SXM\d.*)?", (_OF_8, _every_pair(900), "NVSwitch"), port=900),
    _product(r"(NVIDIA )?H[12]00 (PCIE|NVL)\b.*", _BRIDGES),
    _product(r"(NVIDIA )?H100( SXM\d)?( \d+GB)?( HBM\d\w?)?", *_hgx(450, 150), port=450),
    _product(r"(NVIDIA )?H200( SXM\d)?( \d+GB)?( HBM\d\w?)?", *_hgx(450, 150), port=450),
    _product(r"(NVIDIA )?A100 SXM\d\b.*", *_hgx(300, 100), port=300),
    _product(r"(NVIDIA )?A100( \d+GB)? PCIE\b.*", _BRIDGES),
    _product(r"(NVIDIA )?(A40|A30|(QUADRO )?RTX [568]000|RTX A[456]000|RTX A[45]500)\b(?! ADA).*", _BRIDGES),
    _product(r"(NVIDIA |TESLA )*V100 SXM3\b.*", (range(5, 17), _every_pair(150), "NVSwitch"), port=150),
    _product(r"(NVIDIA |TESLA )*V100 SXM2\b.*", (range(8, 9), cube_mesh, "hybrid cube mesh")),
    _product(r"(NVIDIA |TESLA )*P100 SXM2\b.*", (range(8, 9), quads, "hybrid cube mesh")),
    _product(r"(NVIDIA |TESLA )*[VP]100 PCIE\b.*", _NO_LINKS),
    _product(r"(NVIDIA |TESLA )*(L4|L40|L40S|L20|L2|T4|P4|P40|A2|A10|A10G|A16)", _NO_LINKS),
    _product(r"(NVIDIA )?GEFORCE RTX (40|50)\d\d\b.*", _NO_LINKS),
    _product(r"(NVIDIA )?RTX PRO \d+ BLACKWELL\b.*", _NO_LINKS),
    _product(r"(NVIDIA )?RTX \d+ ADA\b.*", _NO_LINKS),
    _product(r"(AMD )?INSTINCT MI3(00|25)X( OAM)?", (_OF_8, _every_pair(64), "xGMI between every pair")),
)


@lru_cache(maxsize=1024)
def lookup(product: str, count: int) -> Template | None:
    """Links between `count` devices of a product in one box; None where the product is not in the catalogue."""
    entry = _find(product)
    if entry is None or count < 1:
        return None
    for counts, wiring, words in entry.boxes:
        if count in counts:
            return Template(wiring(count), words)
    return Template(unknown(count), f"not told by {count} of them")


@lru_cache(maxsize=1024)
def port_rate(product: str) -> float | None:
    """GB/s from one device to its switches, None where the product is not switched or not known."""
    entry = _find(product)
    return entry.port if entry else None


def folded(product: str) -> str:
    """A product's name in capitals with single spaces: equal for all spellings of labels and drivers."""
    return " ".join(re.split(r"[\s_-]+", product.strip().upper()))


def _find(product: str) -> _Product | None:
    name = folded(product)
    return next((entry for entry in _CATALOGUE if entry.pattern.fullmatch(name)), None)
