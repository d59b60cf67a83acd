"""Objects that are wrong, one family after the other: their owner is told what to mend, and nobody else is harmed.

Rows are numbered as the catalogue of bad input in the design numbers its families, 29 to 86. Not here:

69  upper case and other letters in names: the API server refuses them; files on disk are for the audit to read.
80  adminAccess in a namespace without its label: the API server refuses the claim, the allocator never sees the label.

Where Kubernetes' own allocator takes what it is given, so do we, since both must find the same claims placeable: 39
(only the API server looks at estimates), 50 (a negative consumedCapacity is meant to make the device full, but is added
up), 65 with two places, 78 and 81 with too many tolerations. Of 72 the share ID is left to the API server, of 82 the
name of a template to the controller that looks it up.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import pytest

from scheduler.cluster import decode
from scheduler.core.errors import DecodeError, printable
from scheduler.core.gates import Gates
from scheduler.core.messages import Kind, Rejected, Seen
from scheduler.core.model import Uid
from tests.driving import Hands

Json = dict[str, Any]

GPU = "gpu.example.com"
GOOD = "good.example.com"
PATIENCE_S = 20.0  # a pod hears of a claim that is late after 10 s
CREATED = {"p": "2026-01-01T00:00:00Z", "well": "2026-01-01T00:00:01Z"}


def item(kind: str, name: str, namespace: str = "default", **fields: Any) -> Json:
    metadata: Json = {"name": name, "uid": f"uid-{name}", "resourceVersion": "1"}
    if kind in {"Pod", "ResourceClaim"}:
        metadata |= {"namespace": namespace, "creationTimestamp": CREATED.get(name, "2026-01-02T00:00:00Z")}
    return {"kind": kind, "metadata": metadata, **fields}


def node(name: str, **labels: str) -> Json:
    found = item("Node", name, status={"allocatable": {"cpu": "64", "memory": "64Gi", "pods": "110"}})
    found["metadata"]["labels"] = {"kubernetes.io/hostname": name, **labels}
    return found


def device(name: str = "gpu-0", **fields: Any) -> Json:
    return {"name": name, "attributes": {"model": {"string": "a100"}}, **fields}


def pool(name: str = "n1", generation: int = 1, count: int = 1) -> Json:
    return {"name": name, "generation": generation, "resourceSliceCount": count}


def devices(*found: Json, name: str = "gpus", driver: str = GPU, **spec: Any) -> Json:
    """A slice; where its devices are may be said by other fields than nodeName."""
    where = {} if {"nodeSelector", "allNodes", "perDeviceNodeSelection", "nodeName"} & set(spec) else {"nodeName": "n1"}
    given = {"pool": pool(), **where, **{key: value for key, value in spec.items() if value is not None}}
    return item("ResourceSlice", name, spec={"driver": driver, "devices": list(found), **given})


def cel(*expressions: str) -> list[Json]:
    return [{"cel": {"expression": each}} for each in expressions]


def device_class(name: str = "gpu", selectors: list[Json] | None = None) -> Json:
    usual = cel(f'device.driver == "{GPU}"')
    return item("DeviceClass", name, spec={"selectors": usual if selectors is None else selectors})


def asks(name: str = "r", *, selectors: list[Json] | None = None, **fields: Any) -> Json:
    exactly = {"deviceClassName": "gpu", **({"selectors": selectors} if selectors else {}), **fields}
    return {"name": name, "exactly": exactly}


def claim(*requests: Json, name: str = "c", constraints: list[Json] | None = None, **fields: Any) -> Json:
    wanted: Json = {"requests": list(requests) or [asks()]}
    if constraints is not None:
        wanted["constraints"] = constraints
    return item("ResourceClaim", name, spec={"devices": wanted}, **fields)


def allocated(name: str, *results: Json, **status: Any) -> Json:
    """A claim that holds devices; of a pod that is none of ours unless it is said whose."""
    given = [{"request": "r", "driver": GPU, "pool": "n1", **each} for each in results]
    who = [{"resource": "pods", "name": "other", "uid": "uid-other"}]
    status = {"allocation": {"devices": {"results": given}}, "reservedFor": who, **status}
    return claim(name=name, status=status)


def pod(name: str = "p", *claims: str, **fields: Any) -> Json:
    entries = [{"name": f"e{number}", "resourceClaimName": each} for number, each in enumerate(claims)]
    spec = {"schedulerName": "dovetail", "containers": [{"name": "main"}], "resourceClaims": entries}
    return item("Pod", name, spec={**spec, **fields.pop("spec", {})}, **fields)


def selecting(*expressions: str) -> Json:
    return claim(asks(selectors=cel(*expressions)))


USUAL = (
    node("n1"),
    node("n2"),
    device_class(),
    device_class("well", cel(f'device.driver == "{GOOD}"')),
    devices(device(), device("gpu-1"), name="gpus"),
    devices(device("good-0"), name="good", driver=GOOD, pool=pool("n2"), nodeName="n2"),
    claim(),
    claim(asks(deviceClassName="well"), name="well"),
    pod("p", "c"),
    pod("well", "well"),
)
"""What every row starts from: `p` can be placed on n1, `well` on n2, whatever happens to `p`."""


class Row(NamedTuple):
    """`given` are added to the usual objects, or take the place of those of their kinds and names; `told` are parts of
    the reason that pod p gets, and where there are none p is placed. `config` goes to the engine."""

    name: str
    given: tuple[Json, ...]
    told: tuple[str, ...]
    config: Mapping[str, Any]


def row(name: str, *given: Json, told: Iterable[str] = (), **config: Any) -> Row:
    return Row(name, given, tuple(told), config)


FRACTIONS = Gates(fractional_capacity_range=True)
MODEL = f'device.attributes["{GPU}"].model'
NO_LABEL = {"key": "a", "operator": "DoesNotExist"}
MANY = [f"c{each}" for each in range(200)]
ONES = f"[{','.join('1' * 2000)}]"
PER_CLAIM = "ResourceClaim default/c, request r"
CANNOT = "request r of claim c cannot be served: selectors[0]"
FAILED = f"request r of claim c failed on device {GPU}/n1/gpu-0 on node n1: selectors[0]"
ENDS = "since one such device ends the attempt on every node"
HERE = f"device {GPU}/n1/gpu-0"
THE_POOL = f"pool n1 of driver {GPU}"
AMOUNT = "is not a number with an optional suffix such as m, k, Mi or Gi"
NONE_MATCHES = "lack 1 free devices for request r of claim c (no device matches its selectors)"


def shared(policy: Json | None = None, amount: str = "80Gi") -> Json:
    """A slice with one device of which claims take shares."""
    memory: Json = {"value": amount, **({"requestPolicy": policy} if policy else {})}
    return devices(device(allowMultipleAllocations=True, capacity={"memory": memory}))


def sized(amount: str, name: str = "memory") -> Json:
    return claim(asks(capacity={"requests": {name: amount}}))


def ranged(**valid: str) -> Json:
    return {"default": "1Gi", "validRange": {"min": "1Gi", "step": "1Gi", **valid}}


def board(name: str, slices: int, memory: str = "1Gi") -> Json:
    """A slice with counters alone."""
    counters = [{"name": "board", "counters": {"memory": {"value": memory}}}]
    return devices(name=name, pool=pool(count=slices), sharedCounters=counters, devices=None)


def consuming(slices: int, counter: str = "memory", amount: str = "1Gi") -> Json:
    uses = [{"counterSet": "board", "counters": {counter: {"value": amount}}}]
    return devices(device(consumesCounters=uses), pool=pool(count=slices))


def from_template(*statuses: Json) -> Json:
    entries = [{"name": "e", "resourceClaimTemplateName": "t"}]
    return pod(spec={"resourceClaims": entries}, status={"resourceClaimStatuses": list(statuses)})


def selector(*terms: Json) -> Json:
    return {"nodeSelectorTerms": [{"matchExpressions": [each]} for each in terms]}


def users(count: int) -> list[Json]:
    return [{"resource": "pods", "name": f"user-{number}", "uid": f"uid-user-{number}"} for number in range(count)]


def wide(nodes: int) -> list[Json]:
    """One pool of 79 slices with 128 devices each, for one node or one slice a node."""
    return [
        devices(
            *(device(f"gpu-{number}-{each}") for each in range(128)),
            name=f"wide-{number}",
            pool=pool("wide", count=79),
            nodeName=f"n{number % nodes + 1}",
        )
        for number in range(79)
    ]


SELECTORS = [
    row("29 syntax error", selecting("true", "device.driver =="),
        told=["request r of claim c cannot be served: selectors[1] selector 'device.driver =='", "it ends too early"]),
    row("29 syntax error in a class", device_class("gpu", cel("true", "device.driver ==\n== 3")),
        told=["DeviceClass gpu, selectors[1]", "line 2, column 1: is not CEL near '=='; correct the syntax"]),
    row("30 unknown identifier", selecting("gadget.driver == 'x'"),
        told=[CANNOT, "line 1, column 1: refers to the unknown name gadget; the only variable is device"]),
    row("31 type error", selecting("device.driver > 3"),
        told=[CANNOT, "> does not take (string, int); convert or compare values of the right type"]),
    row("32 not bool", selecting("device.driver"), told=[CANNOT, "gives string, not bool; compare the value"]),
    row("33 missing attribute", selecting(f'device.attributes["{GPU}"].memory == 1'),
        told=[FAILED, f'[\"{GPU}\"].memory', "no such key: memory; guard it with has()", ENDS]),
    row("33 missing attribute in a class", device_class("gpu", cel(f'device.attributes["{GPU}"].memory == 1')),
        device_class("well", []), devices(device()),
        told=[f"failed on {HERE} on node n1: DeviceClass gpu, selectors[0]", "no such key: memory; guard it"]),
    row("34 missing domain", selecting('device.attributes["other.example.com"].memory == 1'),
        told=[FAILED, "other.example.com", "no such key: memory; guard it with has()", ENDS]),
    row("35 string as a number", selecting(f"{MODEL} > 3"),
        told=[FAILED, "no such overload; compare it with a value of the type that its driver publishes", ENDS]),
    row("35 version as a string", selecting(f'device.attributes["{GPU}"].level.startsWith("1")'),
        devices(device(attributes={"level": {"version": "1.0.0"}})), told=[FAILED, "no such overload; compare it"]),
    *(row(f"35 union with {name}", device_class("well", []), devices(device(attributes={"model": value})),
          told=[f"failed on {HERE}", "attributes[model] does not have exactly one value of a known type",
                "its driver must correct it"])
      for name, value in {"no value": {}, "two values": {"string": "x", "int": 1}}.items()),
    row("36 back reference", selecting(f"{MODEL}.matches('(a)\\\\1')"),
        told=[CANNOT, "invalid regular expression '(a)\\\\1'; correct"]),
    row("36 lookahead", selecting(f"{MODEL}.matches('a(?=1)')"),
        told=[CANNOT, "invalid regular expression 'a(?=1)'; correct"]),
    row("36 computed pattern", selecting(f"'x'.matches({MODEL} + '(')"),
        told=[FAILED, "invalid regular expression 'a100('; correct the selector", ENDS]),
    row("37 catastrophic pattern", selecting(f"!{MODEL}.matches('^(a+)+$')"),
        devices(device(attributes={"model": {"string": "a" * 63 + "!"}}))),
    row("38 longer than 10 KiB", selecting("true || " * 1400 + "true"),
        told=[CANNOT, "…': is longer than 10240 bytes; shorten it or split it into several selectors"]),
    row("39 estimate that is too high", selecting(f'true || "{"a" * 4000}".matches({MODEL} + "{"b" * 4000}")')),
    row("40 too costly at run time", selecting(f'[1, 2, 3].exists(x, "{"a" * 4000}".matches("{"b" * 4000}"))'),
        told=[FAILED, "…': operation cancelled: actual cost limit exceeded; make it cheaper than 1000000 units", ENDS]),
    row("41 1,000 parentheses", selecting("(" * 1000 + "true" + ")" * 1000),
        told=[CANNOT, "line 1, column 251: is nested more than 250 deep; flatten it"]),
    row("42 huge list", selecting(f"1 in {ONES}")),
    row("42 huge list without the value", selecting(f"2 in {ONES}"), told=[NONE_MATCHES]),
    row("42 huge map", selecting("{" + ",".join(f"{each}:1" for each in range(600)) + "}[3] == 1")),
    row("43 quantity", selecting('quantity("abc").isInteger()'),
        told=[FAILED, "'abc' is not a quantity; correct the selector", ENDS]),
    row("43 quantity of an attribute", selecting(f"quantity({MODEL}).isInteger()"),
        told=[FAILED, "'a100' is not a quantity; correct the selector", ENDS]),
    row("43 semver", selecting('semver("1.x").major() == 1'),
        told=[FAILED, "'1.x' is not a semantic version (major.minor.patch); correct the selector", ENDS]),
    row("44 overflow", selecting("9223372036854775807 + 1 > 0"),
        told=[FAILED, "integer overflow; correct the selector", ENDS]),
    row("44 number beyond 64 bits", selecting("9223372036854775808 > 0"),
        told=[CANNOT, "9223372036854775808 does not fit into 64 bits; use a smaller number"]),
    row("44 division by zero", selecting("1 / 0 == 1"), told=[FAILED, "division by zero; correct the selector", ENDS]),
    row("44 NaN equals nothing", selecting("0.0 / 0.0 == 0.0 / 0.0"), told=[NONE_MATCHES]),
    row("45 unknown function", selecting("device.healthy()"),
        told=[CANNOT, "refers to the unknown function healthy(); correct its name"]),
    row("46 empty", selecting(""), told=[CANNOT, "selector '': is not CEL: it ends too early; complete it"]),
    row("46 blank", selecting(" \n"), told=[CANNOT, r"selector ' \n': is not CEL: it ends too early; complete it"]),
    row("47 NUL", selecting("true\x00"), told=[CANNOT, r"column 5: is not CEL near '\x00'; correct the syntax"]),
    row("47 control", selecting("true\x1b[31m"), told=[CANNOT, r"column 5: is not CEL near '\x1b'; correct"]),
    row("47 direction", selecting("true\u202e"), told=[CANNOT, r"column 5: is not CEL near '\u202e'; correct"]),
    row("48 selector of a future kind", claim(asks(selectors=[{"wasm": {"module": "x"}}])),
        told=[PER_CLAIM, "requests[r].selectors[0] without cel, the only kind of selector that is known"]),
    row("48 in a class", device_class("gpu", [{"wasm": {"module": "x"}}]),
        told=[PER_CLAIM, "DeviceClass gpu: not supported yet: selectors[0] without cel, the only kind"]),
]  # fmt: skip

QUANTITIES = [
    *(row(f"49 {text[:12]!r} in a request", sized(text),
          told=["entry e0: ResourceClaim default/c: spec.devices.requests[0].exactly.capacity.requests[memory]",
                f"quantity {shown or repr(text)}: {AMOUNT}"])
      for text, shown in {
          "": "", " 1": "", "1 Gi": "", "1GiB": "", "0x10": "", "1e1000000": "", "--1": "", "+-1": "", "1.2.3": "",
          "９": "", "∞": "", "1\x1b[31m": "", "1" * 5000: f"'{'1' * 60}…'",
      }.items()),
    row("49 1E is an exa", sized("1E"), shared(amount="2E")),
    row("49 in a device", devices(device(capacity={"memory": {"value": "1GiB"}})),
        told=[f"ResourceSlice gpus: spec.devices[0].capacity[memory].value: quantity '1GiB': {AMOUNT}"]),
    row("49 in a counter", consuming(1, amount="1GiB"),
        told=["ResourceSlice gpus: spec.devices[0].consumesCounters[0].counters[memory].value: quantity '1GiB'"]),
    row("49 in a policy", shared({"default": "x"}),
        told=["ResourceSlice gpus: spec.devices[0].capacity[memory].requestPolicy.default: quantity 'x'", AMOUNT]),
    row("49 in a pod", pod("p", "c", spec={"containers": [{"name": "x", "resources": {"requests": {"cpu": "1GiB"}}}]}),
        told=[f"Pod default/p: spec.containers[0].resources.requests[cpu]: quantity '1GiB': {AMOUNT}"]),
    row("49 in a node", {**node("n1"), "status": {"allocatable": {"cpu": "lots"}}},
        told=["0 of 1 nodes fit", f"Node n1: status.allocatable[cpu]: quantity 'lots': {AMOUNT}"]),
    row("50 negative consumed capacity adds up as it is", sized("1Gi"), shared(), allocated("other", {
        "device": "gpu-0", "shareID": "7f8d2f3c-5d5e-4e0e-9b1b-0d1d0a8a1b2c", "consumedCapacity": {"memory": "-9Gi"}})),
    row("51 beyond 64 bits", sized("100E"), shared(ranged()), gates=FRACTIONS,
        told=[f"{HERE} on node n1: capacity memory: 100E cannot be counted in thousandths; ask for another amount"]),
    row("51 beyond 64 bits in whole units", sized("100E"), shared(ranged()), gates=Gates.of_version(36),
        told=[f"{HERE} on node n1: capacity memory: 100E is more than 2^63 - 1; ask for another amount"]),
    row("51 finer than a thousandth", sized("1500u"),
        shared({"default": "1", "validRange": {"min": "1m", "step": "1m"}}), gates=FRACTIONS,
        told=[f"{HERE} on node n1: capacity memory: 1500u cannot be counted in thousandths; ask for another amount"]),
    *(row(f"52 step {step}", sized("3Gi"), shared(ranged(step=step)),
          told=[f"{HERE} on node n1: capacity memory: the step {step} of its range is not positive",
                "its driver must correct that"])
      for step in ("0", "-1Gi")),
    *(row(f"52 {name}", sized("3Gi"), shared({**ranged(**valid), "default": default}),
          told=[f"{HERE}: its request policy of capacity memory does not allow {taken} ({allowed}); ask for another"])
      for name, default, valid, taken, allowed in (
          ("minimum above maximum", "1Gi", {"min": "4Gi", "max": "2Gi"}, "4Gi",
           "at least 4Gi, at most 2Gi, in steps of 1Gi"),
          ("default outside", "9Gi", {"max": "2Gi"}, "3Gi", "at least 1Gi, at most 2Gi, in steps of 1Gi"),
          ("step that does not divide", "1Gi", {"max": "2500Mi"}, "3Gi",
           "at least 1Gi, at most 2500Mi, in steps of 1Gi"),
      )),
    row("53 values without order", sized("3Gi"),
        shared({"default": "1Gi", "validValues": ["4Gi", "2Gi", "4Gi", "1Gi"]})),
    row("53 above all values", sized("3Gi"), shared({"default": "1Gi", "validValues": ["2Gi", "1Gi", "2Gi"]}),
        told=[f"{HERE}: its request policy of capacity memory does not allow 3Gi (it allows 2Gi, 1Gi, 2Gi); ask for"]),
    row("54 above capacity", sized("81Gi"), shared(),
        told=[f"{HERE}: it has 80Gi of capacity memory, and 81Gi would be taken; ask for another amount"]),
    row("54 capacity that is in use", sized("9Gi"), shared(), allocated("other", {
        "device": "gpu-0", "shareID": "7f8d2f3c-5d5e-4e0e-9b1b-0d1d0a8a1b2c", "consumedCapacity": {"memory": "79Gi"}}),
        told=["lack 1 free devices for request r of claim c (none that matches has enough left: device "
              "gpu.example.com/n1/gpu-0 would take 9Gi of capacity memory, 1Gi of 80Gi left)"]),
    row("55 capacity that is not there", sized("1", "cores"), shared(),
        told=[f"{HERE}: it has no capacity cores; ask for another"]),
]  # fmt: skip

POOLS = [
    row("56 device twice in a slice", devices(device(), device()),
        told=[f"{THE_POOL} is invalid: device gpu-0 is listed twice (both times in slice gpus)"]),
    row("56 device in two slices", devices(device(), pool=pool(count=2)),
        devices(device(), name="more", pool=pool(count=2)),
        told=[f"{THE_POOL} is invalid: device gpu-0 is listed twice (slices gpus and more)"]),
    row("57 numbers of slices disagree", devices(device(), pool=pool(count=3)), devices(device("gpu-1"), name="more"),
        told=[f"{THE_POOL} is incomplete: generation 1 has 2 of 1 or 3 slices"]),
    row("58 fewer slices", devices(device(), pool=pool(count=2)),
        told=[f"{THE_POOL} is incomplete: generation 1 has 1 of 2 slices"]),
    row("58 more slices", devices(device()), devices(device("gpu-1"), name="more"),
        told=[f"{THE_POOL} is incomplete: generation 1 has 2 of 1 slices"]),
    row("59 generation backwards", devices(device(), pool=pool(generation=5, count=2)),
        devices(device("gpu-1"), name="more", pool=pool(generation=4)),
        told=[f"{THE_POOL} is incomplete: generation 5 has 1 of 2 slices"]),
    *(row(f"60 {count} slices", devices(device(), pool=pool(count=count)),
          told=[f"{THE_POOL} is incomplete: generation 1 has 1 of {count} slices"])
      for count in (0, -1, 2**63 - 1)),
    row("61 counter set that is not there", consuming(1),
        told=[f"{THE_POOL} is invalid: device gpu-0 of gpus consumes counter set board, which the pool does not have"]),
    row("61 counter set twice", board("a", 3), board("b", 3), consuming(3),
        told=[f"{THE_POOL} is invalid: counter set board is defined twice (slices a and b)"]),
    row("62 counter that is not there", board("a", 2), consuming(2, "cores", "1"),
        told=[f"{THE_POOL} is invalid: device gpu-0 of gpus consumes counter cores, which counter set board does not"]),
    row("63 more than the set holds", board("a", 2), consuming(2, amount="2Gi"),
        told=[f"{HERE}: it consumes 2Gi of counter memory, and counter set board has 1Gi, so that it can never be "
              "allocated; its driver must correct it"]),
    row("64 one pool name of two drivers", devices(device(), name="other", driver="nic.example.com")),
    row("65 nowhere", devices(device(), nodeName=""),
        told=["ResourceSlice gpus is not supported: neither nodeName, nodeSelector nor allNodes"]),
    row("65 two places", devices(device(), nodeName="n1", allNodes=True)),
    row("65 device without a place", devices(device(), perDeviceNodeSelection=True),
        told=["ResourceSlice gpus: device gpu-0 has no nodeName, nodeSelector or allNodes that fits any node"]),
    row("66 selector with two terms",
        devices(device(), nodeSelector=selector(NO_LABEL, NO_LABEL)),
        told=[f"{HERE} on node n1 has a nodeSelector with several terms, which an allocation cannot hold; it waits"]),
    row("66 selector without terms", devices(device(), nodeSelector=selector()),
        told=["ResourceSlice gpus has a nodeSelector that selects no node"]),
    row("66 selector with an odd operator", devices(device(), nodeSelector=selector({"key": "x", "operator": "Is"})),
        told=["ResourceSlice gpus is not supported: nodeSelector", "Terms[0].matchExpressions[0].operator Is"]),
    row("67 node that is not there", devices(device(), nodeName="n9"),
        told=["ResourceSlice gpus is for node n9, which does not exist"]),
    row("68 10,112 devices in a pool of many nodes", devices(device(), driver="nic.example.com"),
        *(node(f"n{number}") for number in range(3, 80)), *wide(79)),
    row("68 10,112 devices on one node", devices(device(), driver="nic.example.com"), *wide(1),
        told=["node n1 sees 10113 devices, more than the 4096 that are considered"]),
    row("70 pool name with slashes", devices(device(), pool=pool("../../etc/n1"))),
    row("71 held device that is not published", allocated("other", {"device": "gpu-7"}), claim(asks(count=2))),
    row("72 unknown effect counts as none", devices(device(taints=[{"key": "k", "effect": "Explode"}]))),
    row("73 markup in an attribute", selecting(f"{MODEL} > 3"),
        devices(device(attributes={"model": {"string": "<script>\x1b[31m\r\n{{7*7}}%s%n=cmd|"}})),
        told=[FAILED, "no such overload"]),
    row("73 markup in a quantity of an attribute", selecting(f"quantity({MODEL}).isInteger()"),
        devices(device(attributes={"model": {"string": "<b>\x1b[31m\r\n{{7*7}}%s%n=cmd|"}})),
        told=[FAILED, r"'<b>\x1b[31m\r\n{{7*7}}%s%n=cmd|' is not a quantity"]),
    row("73 control characters in a taint", devices(device(taints=[{"key": "\x1b[31m\r\n", "effect": "NoSchedule"}])),
        told=[HERE, r"has a taint that the request does not tolerate: \x1b[31m\r\n:NoSchedule"]),
    row("73 control characters in a path", claim(asks(capacity={"requests": {"\x1b[31m": "x"}})),
        told=[r"exactly.capacity.requests[\x1b[31m]: quantity 'x'"]),
]  # fmt: skip

CLAIMS = [
    row("74 class that is not there", claim(asks(deviceClassName="missing")),
        told=[PER_CLAIM, "DeviceClass 'missing' does not exist; create it or name another"]),
    row("74 class without a name", claim(asks(deviceClassName="")),
        told=["ResourceClaim default/c: spec.devices.requests[0].exactly.deviceClassName: is missing"]),
    row("74 class with a strange name", claim(asks(deviceClassName="\x1b[31m<script>\r\n")),
        told=[PER_CLAIM, r"DeviceClass '\x1b[31m<script>\r\n' does not exist; create it or name another"]),
    *(row(f"75 count {count}", claim(asks(count=count)), told=[PER_CLAIM, f"count is {count}, it must be at least 1"])
      for count in (0, -1)),
    *(row(f"75 count {count}", claim(asks(count=count)),
          told=[PER_CLAIM, f"the claim asks for {count} devices, and a claim can hold at most 32; split it"])
      for count in (33, 2**63 - 1)),
    row("75 count that is no whole number", claim(asks(count=1.5)),
        told=["ResourceClaim default/c: spec.devices.requests[0].exactly.count: expected `int | null`, got `float`"]),
    row("75 sum beyond 64 bits", claim(asks("a", count=30), asks("b", count=2**63 - 1)),
        told=["ResourceClaim default/c, request b", f"asks for {2**63 + 29} devices, and a claim can hold at most 32"]),
    row("76 all of an incomplete pool", claim(asks(allocationMode="All")), devices(device(), pool=pool(count=2)),
        told=[f"request r of claim c asks for all devices and on node n1 {THE_POOL} is incomplete: generation 1 has "
              "1 of 2 slices; it waits for the driver"]),
    row("76 all of an empty pool", claim(asks(allocationMode="All")), devices(),
        told=["2 cannot give all devices to request r of claim c (no device matches its selectors)"]),
    row("76 unknown mode", claim(asks(allocationMode="Most")), told=[PER_CLAIM, "requests[r].allocationMode Most"]),
    row("77 attribute that no device has", claim(asks(count=2), constraints=[{"matchAttribute": f"{GPU}/numa"}]),
        told=[f"shares one value of {GPU}/numa ({HERE} has no {GPU}/numa)"]),
    row("77 attribute that one device lacks", claim(asks(count=2), constraints=[{"matchAttribute": f"{GPU}/numa"}]),
        devices(device(attributes={"numa": {"int": 1}}), device("gpu-1")),
        told=[f"shares one value of {GPU}/numa (device {GPU}/n1/gpu-1 has no {GPU}/numa)"]),
    row("78 constraint on an unknown request",
        claim(asks(count=2), constraints=[{"requests": ["nobody"], "matchAttribute": f"{GPU}/numa"}])),
    row("79 constraint of a future kind", claim(constraints=[{}]),
        told=["ResourceClaim default/c: not supported yet: constraints[0] of an unknown type"]),
    row("81 toleration with an unknown operator", claim(asks(tolerations=[{"key": "k", "operator": "Is"}])),
        told=[PER_CLAIM, "requests[r].tolerations[0].operator Is"]),
    row("81 17 tolerations", claim(asks(tolerations=[{"key": f"k{each}", "value": ""} for each in range(17)]))),
    row("82 claim that is not made", from_template(),
        told=["pod default/p, entry e: its ResourceClaim has not been made from template t yet"]),
    row("82 claim that is not needed", from_template({"name": "e", "resourceClaimName": None})),
    row("82 claim that is gone", from_template({"name": "e", "resourceClaimName": "gone"}),
        told=["pod default/p, entry e: ResourceClaim default/gone does not exist; create it"]),
    row("82 entry without names", pod(spec={"resourceClaims": [{"name": "e"}]}),
        told=["pod default/p: not supported yet: resourceClaims[e] with neither of the two names"]),
    row("83 one claim twice", pod("p", "c", "c")),
    row("83 200 claims", *(claim(name=each) for each in MANY), pod("p", *MANY),
        told=["1 cannot serve all requests together with the devices, counters and capacity that are left"]),
    row("84 claim of another pod", from_template({"name": "e", "resourceClaimName": "c"}),
        told=["ResourceClaim default/c was not made for pod default/p: another object controls it"]),
    row("86 256 users", allocated("c", {"device": "gpu-0"}, reservedFor=users(256)),
        told=["ResourceClaim default/c has 256 consumers already, the most that it can have"]),
    row("86 255 users", allocated("c", {"device": "gpu-0"}, reservedFor=users(255))),
    row("85 one device too few for 32 lists", devices(*(device(f"gpu-{each}") for each in range(31))),
        claim(*({"name": f"r{number}", "firstAvailable": [
            {"name": f"a{each}", "deviceClassName": "gpu"} for each in range(8)]} for number in range(32))),
        told=["1 cannot serve all requests together with the devices, counters and capacity that are left"]),
]  # fmt: skip

ROWS = [*SELECTORS, *QUANTITIES, *POOLS, *CLAIMS]


def objects(row: Row) -> list[Json]:
    """The usual objects with those of the row, each kind and name once, pods last."""
    found = {(each["kind"], each["metadata"]["name"]): each for each in (*USUAL, *row.given)}
    return sorted(found.values(), key=lambda each: bool(each["kind"] == "Pod"))


def event(given: Json) -> Seen | Rejected:
    """As the watch hands it on."""
    kind: Kind = given["kind"]
    raw = json.dumps(given).encode()
    try:
        return Seen(decode.decode(kind, raw))
    except DecodeError as error:
        found = decode.identity(raw)
        return Rejected(kind, found.key, Uid(found.uid), printable(str(error)))


def decided(row: Row) -> tuple[Hands, str]:
    """The engine some time after the row, and what pod p is told: by the service itself if it cannot be read."""
    hands = Hands(**row.config)
    events = [event(each) for each in objects(row)]
    for each in events:
        hands.tell(each)
    hands.settle().pass_time(PATIENCE_S)
    unread = [each.problem for each in events if isinstance(each, Rejected) and each.key == "default/p"]
    return hands, unread[0] if unread else hands.reason("p")


def placed(hands: Hands, name: str) -> bool:
    found = hands.engine.state.pods.current.get(Uid(f"uid-{name}"))
    return found is not None and bool(found.node_name)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_bad_input_is_told_to_its_owner_and_harms_nobody_else(row):
    hands, told = decided(row)

    assert placed(hands, "well")
    assert placed(hands, "p") is not bool(row.told), told
    for part in row.told:
        assert part in told
    assert bool(told) is bool(row.told)
    assert told.isprintable()
    assert len(told) < 600


def test_slices_for_nodes_that_do_not_exist_are_told_of_when_they_come_later():
    hands, told = decided(row("", devices(device(), nodeName="n8")))
    assert "ResourceSlice gpus is for node n8, which does not exist" in told

    for number in (9, 10):
        hands.tell(event(devices(device(), nodeName=f"n{number}")))
        hands.pass_time(hands.now + 60.0)

        assert f"ResourceSlice gpus is for node n{number}, which does not exist" in hands.reason("p")

    hands.tell(event(node("n10")))
    hands.pass_time(hands.now + 60.0)

    assert placed(hands, "p")


def test_the_node_that_comes_nearest_to_serving_a_request_is_told_of():
    later = shared()
    later["spec"]["nodeName"] = "n2"
    _, told = decided(row("", later, sized("81Gi")))

    assert f"2 lack 1 free devices for request r of claim c ({HERE}: it has 80Gi of capacity memory" in told
