"""YAML and JSON as a tree that knows where everything stands.

Built from the parser's events, so that no text is too deep for the C stack, and bounded: a document has at most
MAX_VALUES values, aliases counted as often as they are used, at most MAX_DEPTH levels deep. Keys are texts, as
everywhere in Kubernetes; merge keys `<<` are followed, since kubectl follows them too.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

MAX_VALUES: Final = 200_000
MAX_DEPTH: Final = 100
MAX_FILE_VALUES: Final = 1_000_000
_MERGE: Final = "<<"
_START: Final = re.compile(r"^---(?=[ \t\r\n]|\Z)", re.MULTILINE)
_EMPTY: Final = re.compile(r"(?:[ \t]*(?:#[^\n]*|%[^\n]*|\.\.\.[ \t\r]*|[ \t\r]*)(?:\n|\Z))*")
_TAGS: Final = frozenset(f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq"))
_MARK: Final = "\ufeff"
_PAIR: Final = re.compile(r"\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})", re.IGNORECASE)


class TreeError(ValueError):
    """A text that cannot be read; `line` counts from 1, 0 where no line is to blame."""

    def __init__(self, line: int, problem: str) -> None:
        self.line = line
        super().__init__(problem)


@dataclass(slots=True, eq=False)
class Scalar:
    """One value. plain: not quoted. start, end: offsets in the text; column counts from 0. block: `|` or `>`."""

    text: str
    plain: bool = False
    line: int = 0
    column: int = 0
    start: int = 0
    end: int = 0
    block: str = ""

    @property
    def null(self) -> bool:
        """Whether it is no value at all."""
        return self.plain and self.text in {"", "~", "null", "Null", "NULL"}


@dataclass(slots=True, eq=False)
class Items:
    """A list. flow: written in brackets."""

    children: list["Node"] = field(default_factory=list)
    flow: bool = False
    line: int = 0
    column: int = 0
    start: int = 0
    end: int = 0
    weight: int = 1


@dataclass(slots=True, eq=False)
class Fields:
    """A mapping: of each key, the key and its value. merged: keys that came by `<<` and stand elsewhere."""

    entries: dict[str, tuple[Scalar, "Node"]] = field(default_factory=dict)
    flow: bool = False
    line: int = 0
    column: int = 0
    start: int = 0
    end: int = 0
    weight: int = 1
    merged: frozenset[str] = frozenset()

    def get(self, key: str) -> "Node | None":
        """The value of a key; None where it has none or null."""
        entry = self.entries.get(key)
        if entry is None or (isinstance(entry[1], Scalar) and entry[1].null):
            return None
        return entry[1]

    def key(self, key: str) -> "Node":
        """The key itself, for its place; the mapping where it has no such key."""
        entry = self.entries.get(key)
        return self if entry is None else entry[0]

    def text(self, key: str) -> str:
        """The text of a key's value, empty where that is not a scalar."""
        value = self.get(key)
        return value.text if isinstance(value, Scalar) else ""

    def fields(self, *keys: str) -> "Fields":
        """The mapping at the end of a path of keys; an empty one where there is none."""
        found: Node | None = self
        for key in keys:
            found = found.get(key) if isinstance(found, Fields) else None
        return found if isinstance(found, Fields) else Fields()

    def list_of(self, key: str) -> list["Fields"]:
        """Those items of a key's list that are mappings."""
        value = self.get(key)
        return [item for item in value.children if isinstance(item, Fields)] if isinstance(value, Items) else []

    def texts(self, key: str) -> list[Scalar]:
        """Those items of a key's list that are scalars."""
        value = self.get(key)
        return [item for item in value.children if isinstance(item, Scalar)] if isinstance(value, Items) else []


Node = Scalar | Items | Fields


@dataclass(slots=True, eq=False)
class Document:
    """One document of a text: `text[start:end]`, whose first line has number `line`. aliased: parts stand twice.

    shifted : halves of characters were joined, so that lines are right and offsets are not.
    """

    root: Node | None
    start: int
    end: int
    line: int
    values: int = 0
    aliased: bool = False
    shifted: bool = False


def chunks(text: str) -> Iterator[tuple[int, int, int]]:
    """(start, end, line) of each document of a text that holds anything but comments."""
    starts = [0, *(found.start() for found in _START.finditer(text))]
    line, counted = 1, 0
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        line += text.count("\n", counted, start)
        counted = start
        after = start + 3 if text.startswith("---", start) else start
        if not _is_empty(text, after, end):
            yield start, end, line


def _is_empty(text: str, start: int, end: int) -> bool:
    if start >= end:
        return True
    found = _EMPTY.match(text, start, end)
    return found is not None and found.end() >= end


def parse(text: str, start: int = 0, end: int | None = None, line: int = 1) -> Document:
    """One document of a text. Raises TreeError."""
    part = text if start == 0 and end is None else text[start:end]
    reader = _Reader(start, line)
    whole = len(part)
    reader.shifted = _PAIR.search(part) is not None
    if part.startswith(_MARK):
        reader.base += 1
        part = part[1:]
    if reader.shifted:  # JSON writes what is above U+FFFF in two halves, which YAML does not know
        part = _PAIR.sub(_joined, part)
    try:
        for event in yaml.parse(part, Loader=yaml.CSafeLoader):
            reader.take(event)
    except yaml.YAMLError as error:
        at = line + _blamed(error, part.rstrip().count("\n"))
        words = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
        raise TreeError(at, f"is not YAML ({' '.join(str(words).split())[:200]})") from None
    except UnicodeEncodeError as error:
        raise TreeError(line + part.count("\n", 0, error.start), f"is not text ({error.reason})") from None
    return Document(reader.root, start, start + whole, line, reader.values, reader.aliased, reader.shifted)


def _joined(pair: re.Match[str]) -> str:
    """The escape of one character for the two of its halves."""
    high, low = int(pair[1], 16), int(pair[2], 16)
    return f"\\U{0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00):08x}"


def _blamed(error: Any, last: int) -> int:
    """The line of a document, from 0, where an error stands: where something begins that its end did not close."""
    marks = [getattr(error, name, None) for name in ("problem_mark", "context_mark")]
    lines = [mark.line for mark in marks if mark is not None]
    return next((each for each in lines if each <= last), last if lines else 0)


def at_line(root: Node, line: int) -> None:
    """Say of everything in a tree that it stands in this line."""
    stack = [root]
    while stack:
        node = stack.pop()
        node.line = line
        if isinstance(node, Items):
            stack += node.children
        elif isinstance(node, Fields):
            stack += (each for entry in node.entries.values() for each in entry)


def of_value(value: Any) -> Node:
    """The tree of a value that came from no text: line 0 everywhere. Raises TreeError on one nested too deep."""
    made: list[Node] = []
    work: list[tuple[Any, int, Items | Fields | None, str]] = [(value, 0, None, "")]
    while work:
        each, depth, parent, key = work.pop()
        if depth > MAX_DEPTH:
            raise TreeError(0, f"is nested more than {MAX_DEPTH} levels deep")
        node: Node
        if isinstance(each, dict):
            node = Fields()
            work.extend((inner, depth + 1, node, str(name)) for name, inner in reversed(each.items()))
        elif isinstance(each, list):
            node = Items()
            work.extend((inner, depth + 1, node, "") for inner in reversed(each))
        else:
            node = _plain_scalar(each)
        if isinstance(parent, Fields):
            parent.entries[key] = (Scalar(key), node)
        elif isinstance(parent, Items):
            parent.children.append(node)
        else:
            made.append(node)
    return made[0]


def _plain_scalar(value: Any) -> Scalar:
    if isinstance(value, bool) or value is None:
        return Scalar({True: "true", False: "false", None: ""}[value], plain=True)
    return Scalar(str(value), plain=not isinstance(value, str))


class _Reader:
    """Makes the tree of a document's events; no event costs more than its own length."""

    def __init__(self, base: int, line: int) -> None:
        self.base = base
        self.root: Node | None = None
        self.values = 0
        self.aliased = False
        self.shifted = False
        self._line = line
        self._documents = 0
        self._open: list[Items | Fields] = []
        self._keys: list[Scalar | None] = []  # of each open mapping, the key whose value comes next
        self._anchors: dict[str, Node] = {}

    def take(self, event: Any) -> None:
        kind = type(event)
        if kind is yaml.ScalarEvent:
            self._scalar(event)
        elif kind is yaml.MappingStartEvent:
            self._enter(Fields(flow=bool(event.flow_style)), event)
        elif kind is yaml.SequenceStartEvent:
            self._enter(Items(flow=bool(event.flow_style)), event)
        elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
            self._leave(event)
        elif kind is yaml.AliasEvent:
            self._alias(event)
        elif kind is yaml.DocumentStartEvent:
            self._documents += 1
            if self._documents > 1:
                raise TreeError(self._at(event), "begins another document without a line `---`")

    def _at(self, event: Any) -> int:
        return int(self._line + event.start_mark.line)

    def _tagged(self, event: Any) -> None:
        if event.tag is not None and event.tag not in _TAGS and event.tag != "!":
            raise TreeError(self._at(event), f"has tag {event.tag[:60]!r}: leave it out")

    def _scalar(self, event: Any) -> None:
        self._tagged(event)
        mark = event.start_mark
        style = event.style
        node = Scalar(
            event.value,
            not style and event.tag is None,
            self._line + mark.line,
            mark.column,
            self.base + mark.index,
            self.base + event.end_mark.index,
            style if style in {"|", ">"} else "",
        )
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        self._put(node, 1)

    def _enter(self, node: Items | Fields, event: Any) -> None:
        self._tagged(event)
        if len(self._open) >= MAX_DEPTH:
            raise TreeError(self._at(event), f"is nested more than {MAX_DEPTH} levels deep")
        mark = event.start_mark
        node.line, node.column = self._line + mark.line, mark.column
        node.start = node.end = self.base + mark.index
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        self._put(node, 1)
        self._open.append(node)
        self._keys.append(None)

    def _leave(self, event: Any) -> None:
        node = self._open.pop()
        self._keys.pop()
        if node.flow:
            node.end = self.base + event.end_mark.index
        elif isinstance(node, Items):
            node.end = max([node.start, *(child.end for child in node.children if child.end >= node.start)])
        else:
            node.end = max(
                [node.start, *(value.end for key, value in node.entries.values() if value.start >= key.start)]
            )
        if isinstance(node, Fields) and _MERGE in node.entries:
            self._merge(node)
        if self._open:
            self._weigh(node.weight - 1, node.line)
            if self._keys[-1] is not None:
                self._keys[-1] = None

    def _merge(self, node: Fields) -> None:
        key, value = node.entries.pop(_MERGE)
        sources = value.children if isinstance(value, Items) else [value]
        merged = set()
        for source in sources:
            if not isinstance(source, Fields):
                raise TreeError(key.line, "merges by '<<' what is no mapping: name a mapping")
            for name, entry in source.entries.items():
                if name not in node.entries:
                    node.entries[name] = entry
                    merged.add(name)
        node.merged = frozenset(merged)

    def _alias(self, event: Any) -> None:
        self.aliased = True
        target = self._anchors.get(event.anchor)
        if target is None:
            raise TreeError(self._at(event), f"uses alias {event.anchor[:60]!r}, which nothing before it defines")
        if any(target is each for each in self._open):
            raise TreeError(self._at(event), f"uses alias {event.anchor[:60]!r} inside itself: it would never end")
        self._put(target, 1 if isinstance(target, Scalar) else target.weight, self._at(event))
        if not isinstance(target, Scalar) and self._keys:
            self._keys[-1] = None

    def _weigh(self, weight: int, line: int) -> None:
        inside = self._open[-1]
        inside.weight += weight
        if inside.weight > MAX_VALUES:
            raise TreeError(line, f"holds more than {MAX_VALUES} values, aliases counted as often as used: split it")

    def _put(self, node: Node, weight: int, line: int = 0) -> None:
        self.values += 1
        if not self._open:
            self.root = node
            return
        self._weigh(weight, line or node.line)
        inside = self._open[-1]
        if isinstance(inside, Items):
            inside.children.append(node)
            return
        key = self._keys[-1]
        if key is not None:
            inside.entries[key.text] = (key, node)
            if isinstance(node, Scalar):  # the value of another one is complete when that ends
                self._keys[-1] = None
        elif not isinstance(node, Scalar):
            raise TreeError(line or node.line, "has a key that is no text")
        elif node.text in inside.entries:
            raise TreeError(line or node.line, f"gives key {node.text[:60]!r} twice: keep one")
        else:
            self._keys[-1] = node
