"""Whatever is wrong with a source of links: a warning names it and what helps, and pods are placed without it."""

import json

import pytest

from scheduler.core import names
from scheduler.core.messages import Rejected, WarnOfTopology
from scheduler.core.model import Uid
from tests.build import claim, device_class, node, pod, request, slice_of
from tests.driving import Hands
from tests.topology.boxes import A100_PCIE, NVIDIA, gpus
from tests.topology.test_maps import about, told

MAP = "ConfigMap dovetail-system/dovetail-topology"
ENTRY = f"{MAP}, boxes[0]: "
NOTE = f"node n1, annotation {names.LINKS}: "


def annotated(says):
    return {names.LINKS: says if isinstance(says, str) else json.dumps(says)}


CASES = {
    "an asymmetric matrix": (told(about("n1", matrix=[[0, 1], [2, 0]])), {}, ENTRY, "write the same in both"),
    "a matrix of another size": (told(about("n1", matrix=[[0, 1], [1, 0]])), {}, ENTRY, "give one row a GPU"),
    "a matrix that is no square": (
        told(about("n1", matrix=[[0, 1], [1]])),
        {},
        ENTRY,
        "one row and one column a device",
    ),
    "an unknown device": (told(about("n1", pairs=[["gpu-0", "x", 1]])), {}, ENTRY, "by PCI bus id, uuid or name"),
    "a speed that is no number": (told(about("n1", default=float("nan"))), {}, ENTRY, "give GB/s from 0"),
    "a negative speed": (told(about("n1", default=-1)), {}, ENTRY, "give GB/s from 0"),
    "a huge speed": (told(about("n1", default=1e300)), {}, ENTRY, "give GB/s from 0"),
    "an unknown node": (told(about("nowhere", default=1)), {}, ENTRY, "correct the name"),
    "an unknown box": (told(about("n1", box="x")), {}, ENTRY, "known are dgx-a100"),
    "an unknown device in the annotation": (None, annotated({"pairs": [["gpu-0", "x", 1]]}), NOTE, "uuid or name"),
    "a speed in the annotation": (None, annotated('{"default": NaN}'), NOTE, "write {"),
    "an annotation that is no JSON": (None, annotated("{"), NOTE, "write {"),
}


def placed(links, annotations, devices):
    """What was warned of, the devices that the pod got, and the layout of its node."""
    hands = Hands(
        node("n1", annotations=annotations), slice_of([each for _, each in devices], node="n1", driver=NVIDIA),
        device_class(driver=NVIDIA), claim("c", request("r", count=2)), pod("p", claims=["c"]),
    )  # fmt: skip
    if links is not None:
        hands.see(links)
    hands.settle()
    warnings = [warning for each in hands.of(WarnOfTopology) for warning in each.warnings]
    assert hands.node_of("p") == "n1"
    return warnings, hands.devices_of("c"), hands.engine.state.bays.layouts[-1]


@pytest.mark.parametrize("name", CASES)
def test_a_source_that_cannot_be_used_is_named_and_placement_goes_on_without_it(name):
    links, annotations, source, remedy = CASES[name]
    devices = gpus(8, A100_PCIE)

    warnings, chosen, layout = placed(links, annotations, devices)
    _, without, plain = placed(None, {}, devices)

    (warning,) = warnings
    assert warning.startswith(source)
    assert remedy in warning
    assert (chosen, layout) == (without, plain)


def test_of_two_sources_that_disagree_both_are_named_and_the_first_decides():
    links = told(about("n1", pairs=[["gpu-3", "gpu-4", 300]], default=0))

    warnings, chosen, _ = placed(
        links, annotated({"pairs": [["gpu-6", "gpu-7", 300]], "default": 0}), gpus(8, A100_PCIE)
    )

    (warning,) = warnings
    assert "ConfigMap dovetail-topology boxes[0] says" in warning
    assert f"annotation {names.LINKS} says" in warning
    assert chosen == ["gpu-3", "gpu-4"]


def test_a_thousand_devices_in_a_node_are_placed_with_their_links_unknown():
    warnings, chosen, layout = placed(None, {}, gpus(1000, A100_PCIE))

    (warning,) = warnings
    assert warning.startswith(f"node n1, ResourceSlices of {NVIDIA}: 1000 devices")
    assert "check what the driver publishes" in warning
    assert len(chosen) == 2
    assert layout.source.startswith("unknown")


def test_a_map_that_cannot_be_read_at_all_is_a_warning_too():
    hands = Hands(node("n1"))

    hands.tell(Rejected("ConfigMap", "dovetail-system/dovetail-topology", Uid("u"), f"{MAP}: is odd"))
    hands.decide()

    assert hands.of(WarnOfTopology) == [WarnOfTopology((f"{MAP}: is odd",))]
