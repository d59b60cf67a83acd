"""API JSON to the model: the only place that knows the wire shapes.

Unknown fields are tolerated, since the API grows. Unknown *meaning* is not: what this version cannot do is named in the
`unsupported` of the object that asks for it. What is not of the API's shape raises DecodeError, which names the object
and the field.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple, NoReturn, overload

import msgspec

from scheduler.cluster import storage, wire
from scheduler.cluster.documents import read_yaml
from scheduler.cluster.fields import FieldError, metadata_of, owner_of, quantity_of, required, size_of
from scheduler.core import names
from scheduler.core.errors import DecodeError, TopologyError
from scheduler.core.match import COMPARISONS
from scheduler.core.messages import Kind
from scheduler.core.model import (
    ALL,
    ANY_ADDRESS,
    EXACT_COUNT,
    Allocation,
    AllocationConfig,
    AttributeValue,
    Claim,
    ClaimConfig,
    ClaimSpec,
    ClaimTemplate,
    Constraint,
    Consumer,
    CounterSet,
    CounterUse,
    Device,
    DeviceClass,
    DeviceStatus,
    Disk,
    ExtendedRequest,
    HostPort,
    Image,
    LabelSelector,
    Lean,
    Namespace,
    Node,
    NodeSelector,
    NodeSelectorTerm,
    Pod,
    PodClaim,
    PodGroup,
    PodSelector,
    PodTerm,
    PodVolume,
    Request,
    RequestPolicy,
    Requirement,
    Result,
    Slice,
    Spread,
    Taint,
    TaintRule,
    Toleration,
    Uid,
    Version,
)
from scheduler.core.quantity import NANO, Quantity
from scheduler.core.storage import Stored
from scheduler.core.topology.maps import LinkMap, link_map

Raw = bytes | msgspec.Raw | Mapping[str, Any]
Watched = Namespace | Node | Slice | DeviceClass | TaintRule | Claim | PodGroup | Pod | LinkMap | Stored
Model = Watched | ClaimTemplate

NODE_OPERATORS: Final = frozenset({"In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"})
LABEL_OPERATORS: Final = frozenset({"In", "NotIn", "Exists", "DoesNotExist"})
SPREAD_ACTIONS: Final = ("DoNotSchedule", "ScheduleAnyway")
SPREAD_POLICIES: Final = ("Honor", "Ignore")
TOLERATION_OPERATORS: Final = frozenset({"", "Equal", "Exists"})
POD_TOLERATION_OPERATORS: Final = TOLERATION_OPERATORS | frozenset(COMPARISONS)
OS_LABEL: Final = "kubernetes.io/os"
MAX_ALLOCATABLE: Final = 2**53
"""More than any node has, of anything; what a node says beyond it is cut off, so that sums over columns stay exact."""
MAX_REQUEST: Final = 2**54
"""More than any node can have left; what a pod asks beyond it fits nowhere just the same."""
ASSUMED: Final[Mapping[str, int]] = {"cpu": NANO // 10, "memory": 200 * 2**20 * NANO}
"""What a container is taken for that says nothing, in nano-units (pkg/scheduler/util/pod_resources.go)."""
_DELETED: Final = "deletionTimestamp"
_CLAIM_PREFIX: Final = "resource.kubernetes.io/"
_NOTHING: Final[tuple[Any, ...]] = ()
_EMPTY: Final = ("", "null", "{}")
_LABEL_NAME: Final = re.compile(r"(?=.{1,63}$)[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_LABEL_DOMAIN: Final = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


class Identity(NamedTuple):
    """Which object this is, as far as it can be told; what is missing is empty."""

    namespace: str
    name: str
    uid: str
    resource_version: str

    @property
    def key(self) -> str:
        """`name`, or `namespace/name`."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@overload
def decode(kind: Kind, raw: Raw) -> Watched: ...
@overload
def decode(kind: Literal["ResourceClaimTemplate"], raw: Raw) -> ClaimTemplate: ...
@overload
def decode(kind: str, raw: Raw) -> Model: ...
def decode(kind: str, raw: Raw) -> Model:
    """The model object of this kind that the API's JSON, or the mapping it stands for, describes.

    Raises DecodeError. Any input is safe: what cannot be read is said, never guessed.
    """
    try:
        parse, build = _KINDS[kind]
    except KeyError:
        raise DecodeError(f"kind {kind}", "is not one that can be decoded", f"known are {', '.join(_KINDS)}") from None
    try:
        found = parse(raw if isinstance(raw, bytes | msgspec.Raw) else _dump(raw))
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
        _refuse(kind, raw, error)
    try:
        return build(found)
    except FieldError as error:
        raise DecodeError(_where(kind, raw), f"{error.path}: {error.problem}", error.remedy) from error


def essence(kind: str, raw: Raw) -> bytes:
    """An object's JSON with nothing in it that `decode` does not read. Raises as decode, if that would."""
    parse, _ = _KINDS[kind]
    found = parse(raw if isinstance(raw, bytes | msgspec.Raw) else _dump(raw))
    if found.metadata is not None:
        # kubectl keeps the whole of what was applied in an annotation, environment of containers and all.
        found.metadata.annotations = _ours(found.metadata.annotations, _CLAIM_PREFIX, *storage.ANNOTATIONS) or None
    return msgspec.json.encode(found)


def identity(raw: Raw) -> Identity:
    """Best effort, for broken objects too. Raises nothing."""
    try:
        found = _parse_object(raw if isinstance(raw, bytes | msgspec.Raw) else _dump(raw)).metadata or wire.Metadata()
        return Identity(found.namespace or "", found.name, found.uid or "", found.resource_version or "")
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):
        metadata = _mapping(_load(raw)).get("metadata")
        texts = [_mapping(metadata).get(key) for key in ("namespace", "name", "uid", "resourceVersion")]
        return Identity(*(text if isinstance(text, str) else "" for text in texts))


def waits_for(raw: Raw) -> str:
    """Which scheduler is to bind this pod; empty if none, or if that cannot be told. Best effort, raises nothing."""
    loaded = _mapping(_load(raw))
    spec = _mapping(loaded.get("spec"))
    name = spec.get("schedulerName")
    settled = spec.get("nodeName") or spec.get("schedulingGates") or _mapping(loaded.get("metadata")).get(_DELETED)
    return name if isinstance(name, str) and not settled else ""


# ---------------------------------------------------------------- what cannot be read


def _dump(raw: Mapping[str, Any]) -> bytes:
    return json.dumps(raw, allow_nan=False, separators=(",", ":")).encode(errors="surrogatepass")


def _load(raw: Raw) -> Any:
    """The object as Python reads it, which takes NaN; None if it is no JSON at all."""
    if isinstance(raw, Mapping):
        return raw
    try:
        return json.loads(bytes(raw))
    except (ValueError, RecursionError):
        return None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _where(kind: str, raw: Raw) -> str:
    return f"{kind} {identity(raw).key or '(without a name)'}"


def _refuse(kind: str, raw: Raw, error: Exception) -> NoReturn:
    where = _where(kind, raw)
    if isinstance(error, RecursionError):
        raise DecodeError(where, "is nested too deeply") from error
    loaded = _load(raw)
    alien = _alien(loaded)
    if alien is not None:
        path, value = alien
        if isinstance(value, float):
            raise DecodeError(where, f"{path}: {value} is not a number in JSON", "give a finite number") from error
        problem = f"{path}: a value of type {type(value).__name__} is not JSON"
        raise DecodeError(where, problem, "quote it") from error
    if isinstance(error, msgspec.ValidationError):
        words, _, path = str(error).partition(" - at `$")
        raise DecodeError(where, f"{_path(path, loaded)}: {words[0].lower()}{words[1:]}") from error
    raise DecodeError(where, f"is not JSON ({error})") from error


def _path(path: str, loaded: Any) -> str:
    """msgspec's path `.spec.devices[0].name` as people write it; it says [...] where the key of a mapping stands."""
    path = path.removesuffix("`").removeprefix(".")
    if not path:
        return "object"
    if path.startswith("key in "):
        return path.removeprefix("key in `$.").removesuffix("`")
    return path


def _alien(value: Any, path: str = "") -> tuple[str, Any] | None:
    """The first value that JSON does not have, with its path."""
    waiting: list[tuple[Any, str]] = [(value, path)]
    while waiting:
        item, at = waiting.pop()
        if isinstance(item, Mapping):
            if len(at) > 1000:
                return None
            for key, inner in reversed(list(item.items())):
                if not isinstance(key, str):
                    return at or "object", key
                waiting.append((inner, f"{at}.{key}" if at else key))
        elif isinstance(item, list | tuple):
            if len(at) > 1000:
                return None
            waiting += [(inner, f"{at}[{index}]") for index, inner in reversed(list(enumerate(item)))]
        elif isinstance(item, float):
            if not math.isfinite(item):
                return at, item
        elif item is not None and not isinstance(item, str | int | bool):
            return at, item
    return None


# ---------------------------------------------------------------- small parts


def _ours(annotations: Mapping[str, str] | None, *prefixes: str) -> dict[str, str]:
    if not annotations:
        return {}
    return {key: value for key, value in annotations.items() if key.startswith((names.PREFIX, *prefixes))}


def _taint(taint: wire.Taint) -> Taint:
    return Taint(taint.key, taint.value or "", taint.effect)


def _toleration(toleration: wire.Toleration) -> Toleration:
    return Toleration(
        toleration.key or "",
        toleration.operator or "",
        toleration.value or "",
        toleration.effect or "",
        toleration.toleration_seconds,
    )


def _tolerations(
    tolerations: Sequence[wire.Toleration] | None,
    path: str,
    unsupported: list[str],
    known: frozenset[str] = TOLERATION_OPERATORS,
) -> tuple[Toleration, ...]:
    found = tuple(_toleration(each) for each in tolerations or _NOTHING)
    for index, each in enumerate(found):
        if each.operator not in known:
            unsupported.append(f"{path}[{index}].operator {each.operator}")
    return found


def _requirements(
    expressions: Iterable[wire.Expression] | None, known: frozenset[str], path: str, unsupported: list[str]
) -> tuple[Requirement, ...]:
    found = tuple(Requirement(each.key, each.operator, tuple(each.values or ())) for each in expressions or _NOTHING)
    for index, each in enumerate(found):
        if each.operator not in known:
            unsupported.append(f"{path}[{index}].operator {each.operator or '(none)'}")
    return found


def _node_selector(selector: wire.NodeSelector | None, path: str, unsupported: list[str]) -> NodeSelector | None:
    if selector is None:
        return None
    terms = []
    for index, term in enumerate(selector.node_selector_terms or _NOTHING):
        at = f"{path}.nodeSelectorTerms[{index}]"
        labels = _requirements(term.match_expressions, NODE_OPERATORS, f"{at}.matchExpressions", unsupported)
        fields = _requirements(term.match_fields, NODE_OPERATORS, f"{at}.matchFields", unsupported)
        terms.append(NodeSelectorTerm(labels, fields))
    return NodeSelector(tuple(terms))


def _selectors(selectors: Sequence[wire.Selector] | None, path: str, unsupported: list[str]) -> tuple[str, ...]:
    found = []
    for index, selector in enumerate(selectors or _NOTHING):
        if selector.cel is None:
            unsupported.append(f"{path}[{index}] without cel, the only kind of selector that is known")
        else:
            found.append(selector.cel.expression)
    return tuple(found)


def _entry(entry: wire.Entry) -> str:
    """A config entry without what the model keeps beside it, with all texts as their writer spelled them."""
    parts = (f"{json.dumps(key)}:{_compact(raw)}" for key, raw in entry.items() if key not in {"requests", "source"})
    return "{" + ",".join(parts) + "}"


def _compact(raw: msgspec.Raw) -> str:
    return msgspec.json.format(bytes(raw), indent=-1).decode()


def _given(raw: msgspec.Raw) -> str:
    """What an optional object says, empty if it is not there or says nothing."""
    text = _compact(raw) if bytes(raw) else ""
    return "" if text in _EMPTY else text


def _list(raw: msgspec.Raw | None, path: str) -> tuple[str, ...]:
    try:
        return tuple(_parse_texts(raw) or ()) if raw is not None else ()
    except msgspec.ValidationError as error:
        raise FieldError(path, "is not a list of names") from error


def _text(raw: msgspec.Raw | None, path: str) -> str:
    try:
        return _parse_text(raw) if raw is not None else ""
    except msgspec.ValidationError as error:
        raise FieldError(path, "is not a text") from error


# ---------------------------------------------------------------- nodes and devices


def _namespace(raw: wire.Namespace) -> Namespace:
    metadata = metadata_of(raw.metadata)
    return Namespace(metadata.name, metadata.labels or {})


def _node(raw: wire.Node) -> Node:
    metadata = metadata_of(raw.metadata)
    spec = raw.spec or wire.NodeSpec()
    allocatable: dict[str, int] = {}
    for name, amount in ((raw.status.allocatable if raw.status else None) or {}).items():
        quantity = quantity_of(amount, f"status.allocatable[{name}]")
        whole = quantity.milli() if name == "cpu" else quantity.value()
        allocatable[name] = min(max(whole, 0), MAX_ALLOCATABLE)
    return Node(
        name=metadata.name,
        uid=Uid(metadata.uid or ""),
        labels=metadata.labels or {},
        annotations=_ours(metadata.annotations),
        taints=tuple(_taint(taint) for taint in spec.taints or _NOTHING),
        unschedulable=spec.unschedulable or False,
        allocatable=allocatable,
        features=frozenset((raw.status.declared_features if raw.status else None) or ()),
        images=tuple(
            _image(name, image.size_bytes or 0)
            for image in (raw.status.images if raw.status else None) or _NOTHING
            for name in image.names or _NOTHING
        ),
    )


@lru_cache(maxsize=16_384)
def _image(name: str, size: int) -> Image:
    """One object for all nodes that have it."""
    return Image(name, size)


def _slice(raw: wire.ResourceSlice) -> Slice:
    metadata = metadata_of(raw.metadata)
    spec = raw.spec or wire.SliceSpec()
    pool = spec.pool
    if pool is None:
        raise FieldError("spec.pool", "is missing")
    unsupported: list[str] = []
    selector = _node_selector(spec.node_selector, "nodeSelector", unsupported)
    if not (spec.node_name or selector or spec.all_nodes or spec.per_device_node_selection):
        unsupported.append("neither nodeName, nodeSelector nor allNodes: an unknown way to say where the devices are")
    return Slice(
        name=metadata.name,
        driver=required(spec.driver, "spec.driver"),
        pool=required(pool.name, "spec.pool.name"),
        generation=pool.generation,
        slice_count=pool.resource_slice_count,
        node_name=spec.node_name or None,
        node_selector=selector,
        all_nodes=spec.all_nodes or False,
        devices=tuple(_device(device, index) for index, device in enumerate(spec.devices or _NOTHING)),
        unsupported=tuple(unsupported),
        counter_sets=tuple(
            CounterSet(
                required(each.name, f"spec.sharedCounters[{index}].name"),
                _counters(each.counters, f"spec.sharedCounters[{index}].counters"),
            )
            for index, each in enumerate(spec.shared_counters or _NOTHING)
        ),
        per_device=spec.per_device_node_selection or False,
        skip_operations=tuple(spec.skip_node_operations or ()),
    )


def _counters(counters: Mapping[str, wire.Counter] | None, path: str) -> Mapping[str, Quantity]:
    return {name: quantity_of(each.value, f"{path}[{name}].value") for name, each in (counters or {}).items()}


def _device(raw: wire.Device, index: int) -> Device:
    at = f"spec.devices[{index}]"
    unsupported: list[str] = []
    malformed = ""
    attributes: dict[str, AttributeValue] = {}
    for name, attribute in (raw.attributes or {}).items():
        value = _attribute(attribute)
        if value is None:
            malformed = malformed or f"attributes[{name}] does not have exactly one value of a known type"
            attributes[name] = ()  # upstream's constraints know that it is there
        else:
            attributes[name] = value
    selector = _node_selector(raw.node_selector, f"{at}.nodeSelector", unsupported)
    if _given(raw.node_allocatable_resource_mappings):
        unsupported.append("nodeAllocatableResourceMappings, which Kubernetes 1.37 renamed nodeAllocatableResources")
    capacity = raw.capacity or {}
    policies = {
        name: _policy(each.request_policy, f"{at}.capacity[{name}].requestPolicy")
        for name, each in capacity.items()
        if each.request_policy is not None
    }
    return Device(
        name=required(raw.name, f"{at}.name"),
        attributes=attributes,
        capacity={name: quantity_of(each.value, f"{at}.capacity[{name}].value") for name, each in capacity.items()},
        taints=tuple(_taint(taint) for taint in raw.taints or _NOTHING),
        binds_to_node=raw.binds_to_node or False,
        unsupported=tuple(unsupported),
        malformed=malformed,
        consumes=tuple(
            CounterUse(
                each.counter_set,
                _counters(each.counters, f"{at}.consumesCounters[{number}].counters"),
                tuple(each.compatibility_groups or ()),
            )
            for number, each in enumerate(raw.consumes_counters or _NOTHING)
        ),
        shareable=raw.allow_multiple_allocations or False,
        policies=policies,
        binding_conditions=tuple(raw.binding_conditions or ()),
        binding_failures=tuple(raw.binding_failure_conditions or ()),
        node_name=raw.node_name or None,
        node_selector=selector,
        all_nodes=raw.all_nodes or False,
        allocatable=_node_allocatable(raw.node_allocatable_resources, f"{at}.nodeAllocatableResources"),
    )


def _node_allocatable(raw: msgspec.Raw, path: str) -> str:
    """As compact JSON, of which every amount can be read."""
    text = _given(raw)
    if not text:
        return ""
    try:
        entries = _parse_node_allocatable(text)
    except msgspec.ValidationError as error:
        raise FieldError(path, str(error)) from error
    for name, entry in entries.items():
        for part in (entry.mapping, entry.overhead):
            for field in part.__struct_fields__ if part is not None else ():
                value = getattr(part, field)
                if value is not None and field != "capacity_key":
                    quantity_of(value, f"{path}[{name}]")
    return text


def _policy(raw: wire.RequestPolicy, path: str) -> RequestPolicy:
    def amount(value: wire.Amount | None, name: str) -> Quantity | None:
        return None if value is None else quantity_of(value, f"{path}.{name}")

    valid = raw.valid_range or wire.ValidRange()
    return RequestPolicy(
        default=amount(raw.default, "default"),
        values=tuple(
            quantity_of(each, f"{path}.validValues[{index}]") for index, each in enumerate(raw.valid_values or _NOTHING)
        ),
        minimum=amount(valid.min, "validRange.min"),
        maximum=amount(valid.max, "validRange.max"),
        step=amount(valid.step, "validRange.step"),
        ranged=raw.valid_range is not None,
    )


def _attribute(raw: wire.Attribute) -> AttributeValue | None:
    """The one value that is set, a tuple if it is a list; None if that is none or several."""
    found: list[AttributeValue] = [each for each in (raw.string, raw.integer, raw.boolean) if each is not None]
    found += [tuple(each) for each in (raw.ints, raw.bools, raw.strings) if each is not None]
    if raw.version is not None:
        found.append(Version(raw.version))
    if raw.versions is not None:
        found.append(tuple(Version(each) for each in raw.versions))
    return found[0] if len(found) == 1 else None


def _class(raw: wire.DeviceClass) -> DeviceClass:
    metadata = metadata_of(raw.metadata)
    spec = raw.spec or wire.ClassSpec()
    unsupported: list[str] = []
    return DeviceClass(
        name=metadata.name,
        selectors=_selectors(spec.selectors, "selectors", unsupported),
        config=tuple(_entry(entry) for entry in spec.config or _NOTHING),
        extended_resource=spec.extended_resource_name or "",
        unsupported=tuple(unsupported),
        created=metadata.creation_timestamp or "",
    )


def _taint_rule(raw: wire.DeviceTaintRule) -> TaintRule:
    metadata = metadata_of(raw.metadata)
    if raw.spec is None or raw.spec.taint is None:
        raise FieldError("spec.taint", "is missing")
    selector = raw.spec.device_selector
    chosen = selector or wire.TaintSelector()
    for name, given in (("deviceClassName", chosen.device_class_name), ("selectors", chosen.selectors)):
        if given:
            raise FieldError(
                f"spec.deviceSelector.{name}",
                "is a field that Kubernetes removed in 1.35, and the rule is not applied",
                "select by driver, pool and device",
            )
    taint = _taint(raw.spec.taint)
    required(taint.key, "spec.taint.key")
    return TaintRule(metadata.name, selector is not None, chosen.driver, chosen.pool, chosen.device, taint)


def _link_map(raw: wire.ConfigMap) -> LinkMap:
    metadata = metadata_of(raw.metadata, uid=True, namespaced=True)
    path = f"data[{names.TOPOLOGY_KEY}]"
    try:
        content = read_yaml((raw.data or {}).get(names.TOPOLOGY_KEY, ""))
        return link_map(metadata.name, Uid(metadata.uid or ""), content)
    except TopologyError as error:
        raise FieldError(path, error.problem, error.remedy) from error
    except ValueError as error:
        raise FieldError(path, str(error), "see README for its format") from error


@dataclass(frozen=True, slots=True)
class ConfigText:
    """The SchedulerConfig that a ConfigMap holds, as text. key : namespace/name of the ConfigMap."""

    key: str
    uid: Uid
    text: str

    @property
    def where(self) -> str:
        """Whose text it is, for people."""
        return f"ConfigMap {self.key}: data[{names.CONFIG_KEY}]"


def config_text(raw: Raw) -> ConfigText:
    """What a ConfigMap says under `config.yaml`. Raises DecodeError."""
    try:
        found = _parse_config_map(raw if isinstance(raw, bytes | msgspec.Raw) else _dump(raw))
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
        _refuse("ConfigMap", raw, error)
    known = identity(raw)
    content = (found.data or {}).get(names.CONFIG_KEY)
    if content is None:
        elsewhere = names.CONFIG_KEY in (found.binary_data or {})
        said = "is under binaryData" if elsewhere else "is missing"
        raise DecodeError(f"ConfigMap {known.key}", f"data[{names.CONFIG_KEY}]: {said}", "put the text there")
    return ConfigText(known.key, Uid(known.uid), content)


# ---------------------------------------------------------------- claims


def _claim(raw: wire.ResourceClaim) -> Claim:
    metadata = metadata_of(raw.metadata, uid=True, namespaced=True)
    status = raw.status or wire.ClaimStatus()
    return Claim(
        namespace=metadata.namespace or "",
        name=metadata.name,
        uid=Uid(metadata.uid or ""),
        resource_version=metadata.resource_version or "",
        spec=_claim_spec(raw.spec, "spec"),
        allocation=_allocation(status.allocation) if status.allocation is not None else None,
        reserved_for=tuple(
            Consumer(each.resource, each.name, Uid(each.uid), each.api_group or "")
            for each in status.reserved_for or _NOTHING
        ),
        owner=owner_of(metadata),
        deleting=metadata.deletion_timestamp is not None,
        finalized=names.CLAIM_FINALIZER in (metadata.finalizers or ()),
        annotations=_ours(metadata.annotations, _CLAIM_PREFIX),
        devices=tuple(
            DeviceStatus(
                each.driver,
                each.pool,
                each.device,
                {condition.type: condition.status for condition in each.conditions or _NOTHING},
                each.share_id,
            )
            for each in status.devices or _NOTHING
        ),
    )


def _template(raw: wire.ResourceClaimTemplate) -> ClaimTemplate:
    metadata = metadata_of(raw.metadata, namespaced=True)
    if raw.spec is None:
        raise FieldError("spec.spec", "is missing")
    return ClaimTemplate(metadata.namespace or "", metadata.name, _claim_spec(raw.spec.spec, "spec.spec"))


def _claim_spec(raw: wire.ClaimSpec | None, path: str) -> ClaimSpec:
    devices = (raw.devices if raw else None) or wire.Devices()
    unsupported: list[str] = []
    constraints = []
    for index, constraint in enumerate(devices.constraints or _NOTHING):
        named = tuple(constraint.requests or ())
        if constraint.match_attribute is not None:
            constraints.append(Constraint(named, constraint.match_attribute))
        elif constraint.distinct_attribute is not None:
            constraints.append(Constraint(named, constraint.distinct_attribute, distinct=True))
        else:
            unsupported.append(f"constraints[{index}] of an unknown type")
    at = f"{path}.devices"
    return ClaimSpec(
        requests=tuple(
            _request(request, f"{at}.requests[{index}]") for index, request in enumerate(devices.requests or _NOTHING)
        ),
        constraints=tuple(constraints),
        config=tuple(
            ClaimConfig(_list(entry.get("requests"), f"{at}.config[{index}].requests"), _entry(entry))
            for index, entry in enumerate(devices.config or _NOTHING)
        ),
        unsupported=tuple(unsupported),
    )


def _request(raw: wire.Request, path: str) -> Request:
    name = required(raw.name, f"{path}.name")
    shown = f"requests[{name}]"
    if raw.first_available:
        alternatives = tuple(
            _exact(each, required(each.name, f"{path}.firstAvailable[{index}].name"), f"{path}.firstAvailable[{index}]")
            for index, each in enumerate(raw.first_available)
        )
        return Request(name, "", alternatives=alternatives)
    if raw.exactly is None:
        return Request(name, "", unsupported=(f"{shown} with neither exactly nor firstAvailable",))
    return _exact(raw.exactly, name, f"{path}.exactly")


def _exact(raw: wire.ExactRequest, name: str, path: str) -> Request:
    shown = f"requests[{name}]"
    unsupported: list[str] = []
    mode = raw.allocation_mode or EXACT_COUNT
    if mode not in {EXACT_COUNT, ALL}:
        unsupported.append(f"{shown}.allocationMode {mode}")
    capacity: Mapping[str, Quantity] | None = None
    if raw.capacity is not None:
        asked = raw.capacity.requests or {}
        capacity = {key: quantity_of(amount, f"{path}.capacity.requests[{key}]") for key, amount in asked.items()}
    return Request(
        name=name,
        device_class=required(raw.device_class_name, f"{path}.deviceClassName"),
        selectors=_selectors(raw.selectors, f"{shown}.selectors", unsupported),
        mode=mode,
        count=1 if raw.count is None else raw.count,
        tolerations=_tolerations(raw.tolerations, f"{shown}.tolerations", unsupported),
        unsupported=tuple(unsupported),
        admin_access=raw.admin_access,
        capacity=capacity,
        derived=tuple((each.name, each.expression) for each in raw.derived_attributes or _NOTHING),
    )


def _allocation(raw: wire.Allocation) -> Allocation:
    devices = raw.devices or wire.AllocationDevices()
    at = "status.allocation.devices"
    ignored: list[str] = []  # an operator that nobody knows is met by no node, here as in kube-scheduler
    return Allocation(
        results=tuple(
            Result(
                request=each.request,
                driver=required(each.driver, f"{at}.results[{index}].driver"),
                pool=required(each.pool, f"{at}.results[{index}].pool"),
                device=required(each.device, f"{at}.results[{index}].device"),
                admin_access=each.admin_access or False,
                share_id=each.share_id,
                tolerations=tuple(_toleration(toleration) for toleration in each.tolerations or _NOTHING),
                consumed=None
                if each.consumed_capacity is None
                else {
                    name: quantity_of(amount, f"{at}.results[{index}].consumedCapacity[{name}]")
                    for name, amount in each.consumed_capacity.items()
                },
                binding_conditions=tuple(each.binding_conditions or ()),
                binding_failures=tuple(each.binding_failure_conditions or ()),
                skip_operations=tuple(each.skip_node_operations or ()),
            )
            for index, each in enumerate(devices.results or _NOTHING)
        ),
        node_selector=_node_selector(raw.node_selector, "nodeSelector", ignored),
        config=tuple(
            AllocationConfig(
                _text(entry.get("source"), f"{at}.config[{index}].source"),
                _list(entry.get("requests"), f"{at}.config[{index}].requests"),
                _entry(entry),
            )
            for index, entry in enumerate(devices.config or _NOTHING)
        ),
        timestamp=raw.allocation_timestamp or "",
    )


# ---------------------------------------------------------------- pods


def _pod(raw: wire.Pod) -> Pod:
    metadata = metadata_of(raw.metadata, uid=True, namespaced=True)
    spec = raw.spec or wire.PodSpec()
    status = raw.status or wire.PodStatus()
    unsupported = _unsupported(spec)
    node_selector: Mapping[str, str] = spec.node_selector or {}
    if spec.os is not None and spec.os.name:
        # The kubelet turns away a pod whose os differs from its node's label.
        if node_selector.get(OS_LABEL, spec.os.name) != spec.os.name:
            unsupported.append(f"os.name {spec.os.name} beside nodeSelector[{OS_LABEL}] {node_selector[OS_LABEL]}")
        node_selector = {**node_selector, OS_LABEL: spec.os.name}
    affinity: NodeSelector | None = None
    attracts: tuple[PodTerm, ...] = ()
    repels: tuple[PodTerm, ...] = ()
    leans: tuple[Lean, ...] = ()
    if spec.affinity is not None:
        asked, namespace = spec.affinity, metadata.namespace or ""
        nodes = asked.node_affinity.required if asked.node_affinity is not None else None
        affinity = _node_selector(nodes, "affinity.nodeAffinity.required", unsupported)
        attracts = _pod_terms(asked.pod_affinity, namespace, "affinity.podAffinity.required", unsupported)
        repels = _pod_terms(asked.pod_anti_affinity, namespace, "affinity.podAntiAffinity.required", unsupported)
        leans = _leans(asked, namespace)
    spreads = _spreads(spec, metadata.labels or {}, unsupported)
    claims = _entries(spec.resource_claims, unsupported)
    tolerations = _tolerations(spec.tolerations, "tolerations", unsupported, POD_TOLERATION_OPERATORS)
    requests, margins = _requests(spec, status)
    named = status.extended_resource_claim_status
    return Pod(
        namespace=metadata.namespace or "",
        name=metadata.name,
        uid=Uid(metadata.uid or ""),
        resource_version=metadata.resource_version or "",
        scheduler_name=spec.scheduler_name or "default-scheduler",
        node_name=spec.node_name or "",
        labels=metadata.labels or {},
        annotations=_ours(metadata.annotations),
        priority=spec.priority or 0,
        created=metadata.creation_timestamp or "",
        phase=status.phase or "",
        deleting=metadata.deletion_timestamp is not None,
        gates=tuple(gate.name for gate in spec.scheduling_gates or _NOTHING),
        node_selector=node_selector,
        affinity=affinity,
        tolerations=tolerations,
        requests=requests,
        claims=claims,
        claim_names={each.name: each.resource_claim_name for each in status.resource_claim_statuses or _NOTHING},
        attracts=attracts,
        repels=repels,
        spreads=spreads,
        ports=_host_ports(spec),
        extended=_extended(spec, unsupported) if any(names.is_extended(name) for name in requests) else (),
        extended_claim=named.resource_claim_name if named is not None else "",
        unsupported=tuple(unsupported),
        group=(spec.scheduling_group.pod_group_name if spec.scheduling_group else None) or "",
        users=_users(spec),
        margins=margins,
        published=_published(status.node_allocatable_resource_claim_statuses, margins),
        volumes=_volumes(spec.volumes, metadata.name) if spec.volumes else (),
        features=_features(spec),
        nominated=status.nominated_node_name or "",
        preferred=_preferred(spec.affinity.node_affinity) if spec.affinity and spec.affinity.node_affinity else (),
        images=_images(spec),
        unstated=_unstated(spec),
        leans=leans,
    )


def _volumes(volumes: Sequence[wire.Volume], pod: str) -> tuple[PodVolume, ...]:
    found = []
    for index, volume in enumerate(volumes):
        if volume.persistent_volume_claim is not None:
            at = f"spec.volumes[{index}].persistentVolumeClaim.claimName"
            found.append(PodVolume(volume.name, required(volume.persistent_volume_claim.claim_name, at)))
        elif volume.ephemeral is not None:
            found.append(PodVolume(volume.name, f"{pod}-{volume.name}", ephemeral=True))
        elif volume.rbd is not None:
            source = volume.rbd
            image = (source.pool or "rbd", source.image)
            disk = Disk("rbd", image, bool(source.read_only), frozenset(source.monitors or ()))
            found.append(PodVolume(volume.name, disk=disk))
        elif volume.iscsi is not None:
            disk = Disk("iscsi", (volume.iscsi.iqn,), bool(volume.iscsi.read_only))
            found.append(PodVolume(volume.name, disk=disk))
        elif (named := storage.disk_of(volume)) is not None:
            found.append(PodVolume(volume.name, disk=named))
    return tuple(found)


def _users(spec: wire.PodSpec) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for container in (*(spec.init_containers or _NOTHING), *(spec.containers or _NOTHING)):
        for claim in (container.resources.claims if container.resources else None) or _NOTHING:
            users = found.setdefault(claim.name, [])
            if container.name not in users:
                users.append(container.name)
    return {name: tuple(users) for name, users in found.items()}


def _published(taken: Sequence[wire.Taken] | None, margins: Mapping[str, int]) -> Mapping[str, int] | None:
    """The sum of what is published, without what the requests of the pod as a whole cover."""
    if not taken:
        return None
    total: Nanos = {}
    for index, claim in enumerate(taken):
        at = f"status.nodeAllocatableResourceClaimStatuses[{index}]"
        for mapped in claim.mapping or _NOTHING:
            _add(total, {mapped.name: quantity_of(mapped.quantity or 0, f"{at}.mapping[{mapped.name}].quantity").nanos})
        for cost in claim.overhead or _NOTHING:
            pod = quantity_of(cost.per_pod or 0, f"{at}.overhead[{cost.name}].perPod").nanos
            container = quantity_of(cost.per_container or 0, f"{at}.overhead[{cost.name}].perContainer").nanos
            _add(total, {cost.name: pod + container * len(claim.containers or _NOTHING)})
    return {name: amount for name, amount in _units(total).items() if name not in margins}


def _entries(entries: Sequence[wire.PodClaim] | None, unsupported: list[str]) -> tuple[PodClaim, ...]:
    found = []
    for index, entry in enumerate(entries or _NOTHING):
        name = required(entry.name, f"spec.resourceClaims[{index}].name")
        if not entry.resource_claim_name and not entry.resource_claim_template_name:
            unsupported.append(f"resourceClaims[{name}] with neither of the two names")
        found.append(PodClaim(name, entry.resource_claim_name, entry.resource_claim_template_name))
    return tuple(found)


def _pod_group(raw: wire.PodGroup) -> PodGroup:
    metadata = metadata_of(raw.metadata, uid=True, namespaced=True)
    spec = raw.spec or wire.GroupSpec()
    status = raw.status or wire.GroupStatus()
    unsupported: list[str] = []
    policy = spec.scheduling_policy or wire.GroupPolicy()
    if policy.gang is not None:
        unsupported.append("schedulingPolicy.gang")
    elif policy.basic is None:
        unsupported.append("schedulingPolicy of an unknown kind")
    if spec.scheduling_constraints is not None and spec.scheduling_constraints.topology:
        unsupported.append("schedulingConstraints.topology")
    if spec.parent_composite_pod_group_name:
        unsupported.append("parentCompositePodGroupName")
    claims = _entries(spec.resource_claims, unsupported)
    return PodGroup(
        namespace=metadata.namespace or "",
        name=metadata.name,
        uid=Uid(metadata.uid or ""),
        claims=claims,
        claim_names={each.name: each.resource_claim_name for each in status.resource_claim_statuses or _NOTHING},
        unsupported=tuple(unsupported),
    )


def _unsupported(spec: wire.PodSpec) -> list[str]:
    """Features of a pod that decide where it may run and that this version does not weigh."""
    found: list[str] = []
    if spec.scheduling_group is not None and not spec.scheduling_group.pod_group_name:
        found.append("schedulingGroup without podGroupName")
    if spec.workload_ref is not None:
        found.append("workloadRef")
    return found


def _features(spec: wire.PodSpec) -> tuple[str, ...]:
    """What a pod needs of its node's kubelet (k8s.io/component-helpers/nodedeclaredfeatures, InferForScheduling)."""
    found = []
    containers = (*(spec.containers or _NOTHING), *(spec.init_containers or _NOTHING))
    if any(rule.action == "RestartAllContainers" for each in containers for rule in each.restart_policy_rules or ()):
        found.append("RestartAllContainersOnContainerExits")
    if spec.host_network and spec.host_users is False:
        found.append("UserNamespacesHostNetworkSupport")
    mounted = (*containers, *(spec.ephemeral_containers or _NOTHING))
    if any(mount.bind_mount_options for each in mounted for mount in each.volume_mounts or ()):
        found.append("VolumeBindMountOptions")
    return tuple(found)


# ---------------------------------------------------------------- what a pod asks of the pods around it


def _preferred(raw: wire.NodeAffinity) -> tuple[tuple[int, NodeSelectorTerm], ...]:
    """Terms that can hold at all; one with an operator that nobody knows cannot, and keeps the pod from nothing."""
    found = []
    for each in raw.preferred or _NOTHING:
        term, unknown = each.preference or wire.NodeSelectorTerm(), list[str]()
        labels = _requirements(term.match_expressions, NODE_OPERATORS, "", unknown)
        fields = _requirements(term.match_fields, NODE_OPERATORS, "", unknown)
        if each.weight and (labels or fields):
            found.append((each.weight, NodeSelectorTerm(labels, fields)))
    return tuple(found)


def _images(spec: wire.PodSpec) -> tuple[str, ...]:
    """What its containers and volumes run, each as often as it stands there (imagelocality of kube-scheduler)."""
    containers = (*(spec.init_containers or _NOTHING), *(spec.containers or _NOTHING))
    found = [each.image or "" for each in containers]
    found += [each.image.reference or "" for each in spec.volumes or _NOTHING if each.image is not None]
    return tuple([name if name.rfind(":") > name.rfind("/") else f"{name}:latest" for name in found])


def _pod_terms(raw: wire.PodAffinity | None, namespace: str, path: str, unsupported: list[str]) -> tuple[PodTerm, ...]:
    """Required terms; none at all where one cannot be read, as kube-scheduler takes it of pods that run already."""
    before = len(unsupported)
    found = []
    for index, term in enumerate((raw.required if raw is not None else None) or _NOTHING):
        found.append(_pod_term(term, namespace, f"{path}[{index}]", unsupported))
    return tuple(found) if len(unsupported) == before else ()


def _pod_term(term: wire.PodAffinityTerm, namespace: str, at: str, unsupported: list[str]) -> PodTerm:
    selector = _label_selector(term.label_selector, f"{at}.labelSelector", unsupported)
    others = _label_selector(term.namespace_selector, f"{at}.namespaceSelector", unsupported)
    own = () if term.namespaces or others is not None else (namespace,)
    namespaces = tuple(sorted(set(term.namespaces or own)))
    if not term.topology_key:
        unsupported.append(f"{at} without topologyKey")
    return PodTerm(term.topology_key, PodSelector(selector, namespaces, others))


def _leans(affinity: wire.Affinity, namespace: str) -> tuple[Lean, ...]:
    """Preferred terms of both kinds; one that cannot be read prefers nothing, and keeps the pod from nothing."""
    found = []
    for kind, sign in ((affinity.pod_affinity, 1), (affinity.pod_anti_affinity, -1)):
        for each in (kind.preferred if kind is not None else None) or _NOTHING:
            unknown: list[str] = []
            term = _pod_term(each.pod_affinity_term or wire.PodAffinityTerm(), namespace, "", unknown)
            if each.weight and not unknown:
                found.append(Lean(sign * each.weight, term))
    return tuple(found)


def _spreads(spec: wire.PodSpec, labels: Mapping[str, str], unsupported: list[str]) -> tuple[Spread, ...]:
    found = []
    for index, each in enumerate(spec.topology_spread_constraints or _NOTHING):
        at = f"topologySpreadConstraints[{index}]"
        action = each.when_unsatisfiable or SPREAD_ACTIONS[0]
        policies = (each.node_affinity_policy or "Honor", each.node_taints_policy or "Ignore")
        for name, value, known in (
            ("whenUnsatisfiable", action, SPREAD_ACTIONS),
            ("nodeAffinityPolicy", policies[0], SPREAD_POLICIES),
            ("nodeTaintsPolicy", policies[1], SPREAD_POLICIES),
        ):
            if value not in known:
                unsupported.append(f"{at}.{name} {value}")
        if not each.topology_key:
            unsupported.append(f"{at} without topologyKey")
        selector = _label_selector(each.label_selector, f"{at}.labelSelector", unsupported)
        if selector is not None:
            same = [Requirement(key, "In", (labels[key],)) for key in each.match_label_keys or () if key in labels]
            kept = [known for known in selector.requirements if known not in same]
            selector = LabelSelector((*same, *kept))
        found.append(
            Spread(
                each.topology_key,
                each.max_skew,
                selector,
                hard=action == SPREAD_ACTIONS[0],
                min_domains=1 if each.min_domains is None else each.min_domains,
                node_affinity=policies[0] == SPREAD_POLICIES[0],
                node_taints=policies[1] == SPREAD_POLICIES[0],
            )
        )
    return tuple(found)


def _host_ports(spec: wire.PodSpec) -> tuple[HostPort, ...]:
    """Of containers and sidecars. On the network of the host every port is one of the host's."""
    lasting = [each for each in spec.init_containers or _NOTHING if each.restart_policy == "Always"]
    found: dict[HostPort, None] = {}
    for container in (*(spec.containers or _NOTHING), *lasting):
        for port in container.ports or _NOTHING:
            number = port.host_port or (port.container_port if spec.host_network else 0) or 0
            if number > 0:
                found[HostPort(number, port.protocol or "TCP", port.host_ip or ANY_ADDRESS)] = None
    return tuple(found)


def _label_selector(raw: wire.LabelSelector | None, path: str, unsupported: list[str]) -> LabelSelector | None:
    """None selects nothing; what no label selector may say is noted."""
    if raw is None:
        return None
    found = [Requirement(key, "In", (value,)) for key, value in sorted((raw.match_labels or {}).items())]
    for key, value in (raw.match_labels or {}).items():
        _check_label(f"{path}.matchLabels", key, (value,), unsupported)
    expressions = _requirements(raw.match_expressions, LABEL_OPERATORS, f"{path}.matchExpressions", unsupported)
    for index, each in enumerate(expressions):
        at = f"{path}.matchExpressions[{index}]"
        _check_label(at, each.key, each.values, unsupported)
        if each.operator in {"In", "NotIn"} and not each.values:
            unsupported.append(f"{at}.operator {each.operator} without values")
        if each.operator in {"Exists", "DoesNotExist"} and each.values:
            unsupported.append(f"{at}.operator {each.operator} with values")
    return LabelSelector((*found, *expressions))


def _check_label(path: str, key: str, values: Sequence[str], unsupported: list[str]) -> None:
    domain, _, name = key.rpartition("/")
    if not _LABEL_NAME.fullmatch(name) or ("/" in key and not _LABEL_DOMAIN.fullmatch(domain)):
        unsupported.append(f"{path} with {key!r}, which is not the key of a label")
    for value in values:
        if value and not _LABEL_NAME.fullmatch(value):
            unsupported.append(f"{path} with {value!r}, which is not the value of a label")


# ---------------------------------------------------------------- what a pod requests

Nanos = dict[str, int]


def _requests(spec: wire.PodSpec, status: wire.PodStatus) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Requests as kube-scheduler counts them (`PodRequests` of k8s.io/component-helpers/resource), and of those that
    are made for the pod as a whole what its containers leave.

    Requests of the pod as a whole take the place of cpu, memory and huge pages; overhead is added. While a resize is
    under way the largest of what is asked, allocated and actual counts; what its node called infeasible is not asked
    (KEP-1287, KEP-5419). A pod that waits for a node has only what it asks.
    """
    asked = _together(spec, _asked)
    total = _resized(spec, status, asked) if spec.node_name else asked
    margins: Mapping[str, int] = {}
    whole = _amounts((spec.resources or wire.Resources()).requests, "spec.resources.requests")
    whole = {name: amount for name, amount in whole.items() if _of_the_pod(name)}
    if whole:
        if spec.node_name and status.resources is not None:
            if _infeasible(status):
                whole = {}
            _raise(whole, _amounts(status.resources.requests, "status.resources.requests"))
            _raise(whole, _amounts(status.allocated_resources, "status.allocatedResources"))
            whole = {name: amount for name, amount in whole.items() if _of_the_pod(name)}
        margins = _units({name: max(amount - total.get(name, 0), 0) for name, amount in whole.items()}, keep=True)
        total.update(whole)
    _add(total, _amounts(spec.overhead, "spec.overhead"))
    return _units({name: amount for name, amount in total.items() if names.is_counted(name)}), margins


def _unstated(spec: wire.PodSpec) -> Mapping[str, int]:
    """What kube-scheduler's scores take containers for that say nothing of cpu or memory, beyond what is requested."""
    whole = (spec.resources.requests if spec.resources else None) or {}
    pod_level = any(_of_the_pod(name) for name in whole)
    containers = (*(spec.containers or _NOTHING), *(spec.init_containers or _NOTHING))
    assumed = {name: amount for name, amount in ASSUMED.items() if name not in whole}
    if pod_level:
        assumed = {
            name: amount for name, amount in assumed.items() if not any(_says(each, name) for each in containers)
        }
    if not assumed or all(_says(each, name) for each in containers for name in assumed):
        return {}
    asked = _together(spec, _asked)
    more = _together(spec, lambda container, path: {**assumed, **_asked(container, path)})
    return _units({name: more.get(name, 0) - asked.get(name, 0) for name in assumed})


def _says(container: wire.Container, resource: str) -> bool:
    """Whether a container says what it requests of a resource."""
    resources = container.resources
    return resources is not None and (
        resource in (resources.requests or _NOTHING) or resource in (resources.limits or _NOTHING)
    )


Counted = Callable[[wire.Container, str], Nanos]


def _together(spec: wire.PodSpec, counted: Counted) -> Nanos:
    """What a pod's containers take together at most.

    Containers and sidecars run together; init containers run one after the other, each beside the sidecars that were
    started before it.
    """
    total: Nanos = {}
    for index, container in enumerate(spec.containers or _NOTHING):
        _add(total, counted(container, f"spec.containers[{index}]"))
    sidecars: Nanos = {}
    peak: Nanos = {}
    for index, container in enumerate(spec.init_containers or _NOTHING):
        own = dict(counted(container, f"spec.initContainers[{index}]"))
        if container.restart_policy == "Always":
            _add(total, own)
            _add(sidecars, own)
            own = sidecars
        else:
            _add(own, sidecars)
        _raise(peak, own)
    _raise(total, peak)
    return total


def _infeasible(status: wire.PodStatus) -> bool:
    """Whether the pod's node cannot resize it ever."""
    pending = next((each for each in status.conditions or _NOTHING if each.type == "PodResizePending"), None)
    return pending is not None and pending.reason == "Infeasible"


def _resized(spec: wire.PodSpec, status: wire.PodStatus, asked: Nanos) -> Nanos:
    """The largest of what the containers of a pod on a node ask, were allocated, and have."""
    whole = status.resources.requests if status.resources is not None else None
    infeasible = _infeasible(status)
    if status.allocated_resources is not None and whole is not None:
        held = _amounts(status.allocated_resources, "status.allocatedResources")
        _raise(held, _amounts(whole, "status.resources.requests"))
    else:
        statuses = {each.name: each for each in status.init_container_statuses or _NOTHING}
        statuses.update({each.name: each for each in status.container_statuses or _NOTHING})
        if not any(each.allocated_resources is not None or each.resources is not None for each in statuses.values()):
            return {} if infeasible else asked

        def allocated(container: wire.Container, path: str) -> Nanos:
            known = statuses.get(container.name)
            if known is not None and known.allocated_resources is not None:
                return _amounts(known.allocated_resources, f"status of container {container.name}.allocatedResources")
            return {} if infeasible else _asked(container, path)

        def actual(container: wire.Container, path: str) -> Nanos:
            known = statuses.get(container.name)
            if known is not None and known.resources is not None and known.resources.requests is not None:
                where = f"status of container {container.name}.resources.requests"
                return _amounts(known.resources.requests, where)
            return allocated(container, path)

        held = _together(spec, allocated)
        _raise(held, _together(spec, actual))
    if not infeasible:
        _raise(held, asked)
    return held


def _units(nanos: Nanos, *, keep: bool = False) -> Mapping[str, int]:
    """Amounts in the units of the model; those of nothing only to `keep`."""
    return {
        name: min(-(-amount // (10**6 if name == "cpu" else NANO)), MAX_REQUEST)
        for name, amount in nanos.items()
        if amount or keep
    }


def _extended(spec: wire.PodSpec, unsupported: list[str]) -> tuple[ExtendedRequest, ...]:
    """What each container asks of extended resources."""
    found = []
    containers = [
        (each, "initContainers", each.restart_policy == "Always") for each in spec.init_containers or _NOTHING
    ]
    containers += [(each, "containers", True) for each in spec.containers or _NOTHING]
    for position, (container, kind, lasting) in enumerate(containers):
        amounts = _asked(container, f"spec.{kind}")
        for number, name in enumerate(sorted(amounts)):
            if not names.is_extended(name) or not amounts[name]:
                continue
            if amounts[name] % NANO:
                unsupported.append(f"{kind}[{container.name}].resources.requests[{name}] that is no whole number")
            found.append(ExtendedRequest(container.name, position, lasting, name, number, amounts[name] // NANO))
    return tuple(found)


def _of_the_pod(name: str) -> bool:
    """Whether a request may be made for the pod as a whole."""
    return name in {"cpu", "memory"} or name.startswith("hugepages-")


def _asked(raw: wire.Container, path: str) -> Nanos:
    """What a container requests. As the API server defaults, a limit without a request is the request."""
    resources = raw.resources
    if resources is None:
        return {}
    found = _amounts(resources.limits, f"{path}.resources.limits") if resources.limits else {}
    found.update(_amounts(resources.requests, f"{path}.resources.requests"))
    return found


def _amounts(amounts: wire.Amounts | None, path: str) -> Nanos:
    found: Nanos = {}
    for name, amount in (amounts or {}).items():
        found[name] = size_of(amount, f"{path}[{name}]").nanos
    return found


def _add(total: Nanos, more: Nanos) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, 0) + amount


def _raise(total: Nanos, floor: Nanos) -> None:
    for name, amount in floor.items():
        if amount > total.get(name, 0):
            total[name] = amount


# ---------------------------------------------------------------- kinds

_parse_config_map = msgspec.json.Decoder(wire.ConfigMap).decode
_parse_object = msgspec.json.Decoder(wire.Object).decode
_parse_texts = msgspec.json.Decoder(list[str] | None).decode
_parse_text = msgspec.json.Decoder(str).decode
_parse_node_allocatable = msgspec.json.Decoder(dict[str, wire.NodeAllocatable]).decode
_KINDS: Final[Mapping[str, tuple[Callable[[Any], Any], Callable[[Any], Model]]]] = {
    "Namespace": (msgspec.json.Decoder(wire.Namespace).decode, _namespace),
    "Node": (msgspec.json.Decoder(wire.Node).decode, _node),
    "ResourceSlice": (msgspec.json.Decoder(wire.ResourceSlice).decode, _slice),
    "DeviceClass": (msgspec.json.Decoder(wire.DeviceClass).decode, _class),
    "DeviceTaintRule": (msgspec.json.Decoder(wire.DeviceTaintRule).decode, _taint_rule),
    "ResourceClaim": (msgspec.json.Decoder(wire.ResourceClaim).decode, _claim),
    "ResourceClaimTemplate": (msgspec.json.Decoder(wire.ResourceClaimTemplate).decode, _template),
    "PodGroup": (msgspec.json.Decoder(wire.PodGroup).decode, _pod_group),
    "ConfigMap": (msgspec.json.Decoder(wire.ConfigMap).decode, _link_map),
    "Pod": (msgspec.json.Decoder(wire.Pod).decode, _pod),
    **{kind: (msgspec.json.Decoder(shape).decode, build) for kind, (shape, build) in storage.KINDS.items()},
}
