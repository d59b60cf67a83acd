"""API JSON to the model: what any object goes through. Shapes are in `wire`, and what they mean is in `kinds`.

Unknown fields are tolerated, since the API grows. Unknown *meaning* is not: what this version cannot do is named in the
`unsupported` of the object that asks for it. What is not of the API's shape raises DecodeError, which names the object
and the field.
"""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, NamedTuple, NoReturn, TypeVar, overload

import msgspec

from scheduler.cluster.kinds import ANNOTATIONS, KINDS, Model, Watched, claims, config_maps
from scheduler.cluster.kinds.config_maps import ConfigText
from scheduler.cluster.kinds.fields import FieldError, ours_of
from scheduler.cluster.wire.claims import SealedClaim
from scheduler.cluster.wire.config_maps import ConfigMap
from scheduler.cluster.wire.parts import Metadata, Object
from scheduler.core.errors import DecodeError
from scheduler.core.messages import Kind
from scheduler.core.model import ClaimTemplate

Raw = bytes | msgspec.Raw | Mapping[str, Any]
T = TypeVar("T")

_DELETED: Final = "deletionTimestamp"
_parse_config_map = msgspec.json.Decoder(ConfigMap).decode
_parse_sealed_claim = msgspec.json.Decoder(SealedClaim).decode
_parse_object = msgspec.json.Decoder(Object).decode
_KINDS: Final[Mapping[str, tuple[Callable[[Any], Any], Callable[[Any], Model]]]] = {
    kind: (msgspec.json.Decoder(shape).decode, build) for kind, (shape, build) in KINDS.items()
}


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
    if kind == "ResourceClaim" and not isinstance(raw, Mapping):
        try:
            return claims.sealed_claim(_parse_sealed_claim(raw))
        except (msgspec.MsgspecError, ValueError, TypeError, RecursionError, FieldError):
            pass  # read once more in a way that tells what is wrong, and where
    return _read(kind, raw, parse, build)


def config_text(raw: Raw) -> ConfigText:
    """What a ConfigMap says under `config.yaml`. Raises DecodeError."""
    return _read("ConfigMap", raw, _parse_config_map, config_maps.config_text_of)


def essence(kind: str, raw: Raw) -> bytes:
    """An object's JSON with nothing in it that `decode` does not read. Raises as decode, if that would."""
    parse, _ = _KINDS[kind]
    found = parse(raw if isinstance(raw, bytes | msgspec.Raw) else _dump(raw))
    if found.metadata is not None:
        # kubectl keeps the whole of what was applied in an annotation, environment of containers and all.
        found.metadata.annotations = ours_of(found.metadata, *ANNOTATIONS) or None
    return msgspec.json.encode(found)


def identity(raw: Raw) -> Identity:
    """Best effort, for broken objects too. Raises nothing."""
    try:
        found = _parse_object(raw if isinstance(raw, bytes | msgspec.Raw) else _dump(raw)).metadata or Metadata()
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


def _read(kind: str, raw: Raw, parse: Callable[[Any], Any], build: Callable[[Any], T]) -> T:
    try:
        found = parse(raw if isinstance(raw, bytes | msgspec.Raw) else _dump(raw))
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError) as error:
        _refuse(kind, raw, error)
    try:
        return build(found)
    except FieldError as error:
        raise DecodeError(_where(kind, raw), f"{error.path}: {error.problem}", error.remedy) from error


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
