"""What is handed on as it stands, or read when it is used: raw JSON inside an object."""

import json
from typing import Final

import msgspec

from scheduler.cluster.kinds.fields import FieldError
from scheduler.cluster.wire.parts import Entry

_EMPTY: Final = ("", "null", "{}")
_parse_texts = msgspec.json.Decoder(list[str] | None).decode
_parse_text = msgspec.json.Decoder(str).decode


def entry_of(entry: Entry) -> str:
    """A config entry without what the model keeps beside it, with all texts as their writer spelled them."""
    parts = (f"{json.dumps(key)}:{_compact(raw)}" for key, raw in entry.items() if key not in {"requests", "source"})
    return "{" + ",".join(parts) + "}"


def given(raw: msgspec.Raw) -> str:
    """What an optional object says, empty if it is not there or says nothing."""
    text = _compact(raw) if bytes(raw) else ""
    return "" if text in _EMPTY else text


def names_of(raw: msgspec.Raw | None, path: str) -> tuple[str, ...]:
    """A list of names; one that is not there is empty. Raises FieldError."""
    try:
        return tuple(_parse_texts(raw) or ()) if raw is not None else ()
    except msgspec.ValidationError as error:
        raise FieldError(path, "is not a list of names") from error


def text_of(raw: msgspec.Raw | None, path: str) -> str:
    """A text; one that is not there is empty. Raises FieldError."""
    try:
        return _parse_text(raw) if raw is not None else ""
    except msgspec.ValidationError as error:
        raise FieldError(path, "is not a text") from error


def _compact(raw: msgspec.Raw) -> str:
    return msgspec.json.format(bytes(raw), indent=-1).decode()
