"""Adds to a ResourceClaim in Kubernetes' protobuf and leaves all that is there as it is, to the byte.

The API server keeps opaque parameters as the bytes that it was given, and takes a claim's spec, and its allocation, as
changed when those bytes differ. A patch goes through JSON, which drops spaces and may sort keys: where a client wrote
either otherwise (Python's `json.dumps` writes spaces), the server refuses every patch of that claim, as it says because
an immutable field would change. In protobuf the bytes are carried unread. A message that stands in a protobuf twice is
merged, its lists joined, so that what is added needs only to be appended.

Field numbers are those of `generated.proto` in k8s.io/api/resource/v1, apimachinery/pkg/apis/meta/v1 and
apimachinery/pkg/runtime.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from scheduler.core import names
from scheduler.core.errors import InputError
from scheduler.core.messages import ClaimRef
from scheduler.core.model import Consumer

_MAGIC: Final = b"k8s\x00"  # before every object; a runtime.Unknown follows
_RAW: Final = 2  # Unknown.raw: the object
_METADATA, _STATUS = 1, 3  # of ResourceClaim
_UID, _RESOURCE_VERSION, _FINALIZERS = 5, 6, 14  # of ObjectMeta
_RESERVED_FOR: Final = 2  # of ResourceClaimStatus
_CONSUMER: Final = {"api_group": 1, "resource": 3, "name": 4, "uid": 5}  # of ResourceClaimConsumerReference
_BYTES: Final = 2  # wire type


def finalizer(claim: ClaimRef) -> bytes:
    """Our finalizer; uid and resourceVersion make the write conditional."""
    return _message(_METADATA, _identity(claim) + _text(_FINALIZERS, names.CLAIM_FINALIZER))


def reservation(claim: ClaimRef, consumers: Iterable[Consumer]) -> bytes:
    """Further consumers; uid and resourceVersion make the write conditional."""
    entries = [b"".join(_text(number, getattr(each, name)) for name, number in _CONSUMER.items()) for each in consumers]
    status = b"".join(_message(_RESERVED_FOR, entry) for entry in entries)
    return _message(_METADATA, _identity(claim)) + _message(_STATUS, status)


def added(whole: bytes, addition: bytes) -> bytes:
    """The object `whole`, as the API server sent it, with an addition. Raises InputError if it is no such object."""
    if not whole.startswith(_MAGIC):
        raise InputError("answer of the API server", "is no Kubernetes protobuf", "ask it for JSON")
    parts = [_MAGIC]
    for number, data in _fields(whole[len(_MAGIC) :]):
        parts.append(_message(number, data + addition if number == _RAW else data))
    return b"".join(parts)


def _identity(claim: ClaimRef) -> bytes:
    return _text(_UID, claim.uid) + _text(_RESOURCE_VERSION, claim.resource_version)


def _text(number: int, text: str) -> bytes:
    return _message(number, text.encode()) if text else b""


def _message(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Of an Unknown, all of whose fields are of length and bytes."""
    at = 0
    while at < len(data):
        tag, at = _read(data, at)
        length, at = _read(data, at)
        if tag & 7 != _BYTES or at + length > len(data):
            raise InputError("answer of the API server", "is a broken Kubernetes protobuf", "ask it for JSON")
        yield tag >> 3, data[at : at + length]
        at += length


def _read(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 63, 7):
        byte = data[at] if at < len(data) else 0x80
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise InputError("answer of the API server", "is a broken Kubernetes protobuf", "ask it for JSON")
