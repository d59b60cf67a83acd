"""YAML texts of people, read so that no text can do harm and none is understood in two ways.

What counts is YAML 1.2 without what only machines write: one document of mappings, lists and scalars. Words such as
`yes`, and numbers such as 010, 0x10, 1_000 or 1:30, of which YAML 1.1 makes something else, are texts here, so that
whoever expects a truth value or a number refuses them by name.
"""

import re
from typing import Any, Final

import yaml

MAX_CHARACTERS: Final = 2**19
MAX_DEPTH: Final = 20
_MAX_NUMBER: Final = 500  # characters
_WHOLE: Final = re.compile(r"[-+]?(0|[1-9][0-9]*)", re.ASCII)
_NUMBER: Final = re.compile(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?", re.ASCII)
_WORDS: Final[dict[str, Any]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **{sign + word: float(f"{sign}inf") for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF")},
}
_MARK: Final = "\ufeff"


def read_yaml(text: str, longest: int = MAX_CHARACTERS) -> Any:
    """What a text of one YAML document holds, None for an empty one. Keys are texts, as everywhere in Kubernetes.

    Raises ValueError, which says at which key and line, and why.
    """
    if len(text) > longest:
        raise ValueError(f"is longer than {longest} characters")
    if text.startswith(_MARK):
        raise ValueError("begins with a byte order mark: save it as UTF-8 without one")
    reader = _Reader()
    try:
        # Composing recurses in C, where a deep text ends the process; its events come one after another.
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            reader.take(event)
    except yaml.YAMLError as error:
        raise ValueError(f"is not YAML ({' '.join(str(error).split())[:300]})") from None
    except UnicodeEncodeError as error:
        raise ValueError(f"is not text ({error.reason})") from None
    return reader.root


def too_deep(text: str, most: int) -> int | None:
    """The line of one or many documents where they are nested more than so many levels deep, None if they are not.

    Nothing is built meanwhile, so it is safe to ask of any text; one that is no YAML is not judged.
    """
    depth = 0
    try:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > most:
                return int(event.start_mark.line) + 1
    except (yaml.YAMLError, UnicodeEncodeError):
        return None
    return None


class _Reader:
    """Makes values of events; no event can cost more than its own length."""

    def __init__(self) -> None:
        self.root: Any = None
        self._documents = 0
        self._open: list[dict[str, Any] | list[Any]] = []
        self._keys: list[str | None] = []  # of each open mapping, the key whose value comes next

    def take(self, event: Any) -> None:
        match event:
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    raise ValueError(f"holds more than one document ({_line(event)}): give one")
            case yaml.AliasEvent():
                raise ValueError(f"{self._place(event)}uses alias {event.anchor[:60]!r}: write it out")
            case yaml.ScalarEvent():
                self._tagged(event)
                self._put(event.value if event.style or event.tag else scalar(event.value), event)
            case yaml.MappingStartEvent():
                self._enter({}, event)
            case yaml.SequenceStartEvent():
                self._enter([], event)
            case yaml.CollectionEndEvent():
                self._open.pop()
                self._keys.pop()
                if self._keys:
                    self._keys[-1] = None

    def _enter(self, value: dict[str, Any] | list[Any], event: Any) -> None:
        self._tagged(event)
        if len(self._open) >= MAX_DEPTH:
            raise ValueError(f"is nested more than {MAX_DEPTH} levels deep ({_line(event)})")
        self._put(value, event)
        self._open.append(value)
        self._keys.append(None)

    def _tagged(self, event: Any) -> None:
        if event.tag is not None:
            raise ValueError(f"{self._place(event)}has tag {event.tag[:60]!r}: leave it out")

    def _put(self, value: Any, event: Any) -> None:
        if not self._open:
            self.root = value
            return
        inside = self._open[-1]
        if isinstance(inside, list):
            inside.append(value)
        elif self._keys[-1] is None:
            if not isinstance(event, yaml.ScalarEvent):
                raise ValueError(f"{self._place(event)}has a key that is no text")
            if event.value == "<<":
                raise ValueError(f"{self._place(event)}merges by '<<': write it out")
            self._keys[-1] = event.value
            if event.value in inside:
                raise ValueError(f"{self._place(event)}is given twice: keep one")
        else:
            inside[self._keys[-1]] = value
            if isinstance(event, yaml.ScalarEvent):  # the value of another one is complete when that ends
                self._keys[-1] = None

    def _place(self, event: Any) -> str:
        """Where an event stands, by keys and line."""
        last = len(self._open) - 1
        steps = [
            str(len(value) - (depth < last)) if isinstance(value, list) else key
            for depth, (value, key) in enumerate(zip(self._open, self._keys, strict=True))
        ]
        path = ".".join(step for step in steps if step is not None)[:200]
        return f"{path} ({_line(event)}): " if path else f"{_line(event)}: "


def _line(event: Any) -> str:
    return f"line {event.start_mark.line + 1}"


def scalar(text: str) -> Any:
    """A plain scalar by the core schema of YAML 1.2, without its octal and hexadecimal numbers."""
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > _MAX_NUMBER or not text[-1:].isascii() or not any("0" <= each <= "9" for each in text[:3]):
        return text
    if _WHOLE.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else text
