"""Changes of a tree, applied to the text it came from: comments, order and formatting of all the rest stay."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from scheduler.audit.tree import Fields, Items, Node, Scalar

_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9._/-]*")
_WORDS: Final = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})


class EditError(ValueError):
    """A change that cannot be made in this text without touching more than it should."""


def block(value: Any, indent: int) -> list[str]:
    """A value of mappings, lists, texts and whole numbers as lines of YAML."""
    pad = " " * indent
    if isinstance(value, dict):
        lines = []
        for key, inner in value.items():
            if isinstance(inner, dict | list) and inner:
                deeper = indent + 2 if isinstance(inner, dict) else indent
                lines += [f"{pad}{scalar(key)}:", *block(inner, deeper)]
            else:
                lines.append(f"{pad}{scalar(key)}: {scalar(inner)}")
        return lines
    lines = []
    for item in value:
        inner_lines = block(item, indent + 2) if isinstance(item, dict | list) and item else [scalar(item)]
        lines += [f"{pad}- {inner_lines[0].lstrip()}", *inner_lines[1:]]
    return lines


def scalar(value: Any) -> str:
    """A text or number as YAML, quoted where it could be read as something else."""
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)


class Edits:
    """Changes to one document of a text."""

    def __init__(self, text: str, root: Node) -> None:
        self.text = text
        self._root = root
        self._newline = "\r\n" if "\r\n" in text else "\n"
        self._parents: dict[int, tuple[Fields, str] | tuple[Items, int]] = {}
        self._removed: dict[int, set[str]] = {}
        self._dropped: dict[int, set[int]] = {}
        self._added: dict[int, dict[str, Any]] = {}
        self._wrapped: dict[int, tuple[str, set[str]]] = {}
        self._lifted: dict[int, set[str]] = {}
        self._substitutes: list[tuple[int, int, str]] = []
        self._splices: list[tuple[int, int, str]] = []
        for node in _all(root):
            if isinstance(node, Fields):
                for key, (_, value) in node.entries.items():
                    self._parents[id(value)] = (node, key)
            elif isinstance(node, Items):
                for index, item in enumerate(node.children):
                    self._parents[id(item)] = (node, index)

    @property
    def empty(self) -> bool:
        """Whether nothing changes."""
        return not self.changes()

    def changes(self) -> int:
        """How many changes there are so far."""
        tables = (self._removed, self._dropped, self._added, self._wrapped, self._lifted)
        return sum(len(table) for table in tables) + len(self._substitutes)

    def remove(self, node: Fields, key: str) -> None:
        """Take an entry out, and the mapping with it if that leaves nothing in it."""
        self._removed.setdefault(id(node), set()).add(key)
        self._prune(node)

    def drop(self, item: Node) -> None:
        """Take an item out of its list, and the list with it if that leaves nothing in it."""
        parent, index = self._parents[id(item)]
        if not isinstance(parent, Items) or not isinstance(index, int):
            raise EditError("is no item of a list")
        dropped = self._dropped.setdefault(id(parent), set())
        dropped.add(index)
        if len(dropped) == len(parent.children):
            self._prune(parent)

    def add(self, node: Fields, key: str, value: Any) -> None:
        """Add an entry. Say so before removing others, which may leave the mapping empty."""
        self._added.setdefault(id(node), {})[key] = value

    def wrap(self, node: Fields, keys: set[str], name: str) -> None:
        """Move entries into a mapping of their own under a new key."""
        self._wrapped[id(node)] = (name, keys)

    def lift(self, node: Fields, key: str) -> None:
        """Put the one entry of the mapping under this key in the place of it."""
        self._lifted.setdefault(id(node), set()).add(key)

    def substitute(self, start: int, end: int, text: str) -> None:
        """Put a text in the place of part of a scalar."""
        if self.text[start:end] != text:
            self._substitutes.append((start, end, text))

    def rewrite(self, value: Scalar, text: str) -> None:
        """Put another plain text in the place of a scalar of one line."""
        if value.block or "\n" in self.text[value.start : value.end]:
            raise EditError(f"line {value.line}: is a text of several lines")
        raw = self.text[value.start : value.end]
        quote = raw[:1] if raw[:1] in {'"', "'"} else ""
        self.substitute(value.start, value.end, f"{quote}{text}{quote}")

    def splices(self) -> list[tuple[int, int, str]]:
        """(start, end, new text) of each change, in order, none touching another. Raises EditError."""
        self._splices = []
        self._emit(self._root)
        covered = list(self._splices)
        for start, end, text in self._substitutes:
            if not any(first <= start and end <= last and last > first for first, last, _ in covered):
                self._splices.append((start, end, text))
        self._splices.sort(key=lambda splice: (splice[0], splice[1]))
        at = 0
        for start, end, _ in self._splices:
            if start < at:
                raise EditError("two changes touch the same text")
            at = end
        return self._splices

    # ------------------------------------------------------------ what changes

    def _prune(self, node: Fields | Items) -> None:
        if isinstance(node, Fields):
            left = set(node.entries) - self._removed.get(id(node), set())
            if left or id(node) in self._added:
                return
        parent = self._parents.get(id(node))
        if parent is None:
            return
        holder, key = parent
        if isinstance(holder, Fields) and isinstance(key, str):
            self.remove(holder, key)
        else:
            self.drop(node)

    def _changes(self, node: Node) -> bool:
        """Whether this node itself gains or loses children."""
        tables: tuple[dict[int, Any], ...] = (
            self._removed, self._dropped, self._added, self._wrapped, self._lifted,
        )  # fmt: skip
        return any(id(node) in table for table in tables)

    def _touches(self, node: Node) -> bool:
        return any(self._changes(each) for each in _all(node)) or any(
            node.start <= start and end <= node.end for start, end, _ in self._substitutes
        )

    # ------------------------------------------------------------ block style

    def _emit(self, node: Node) -> None:
        if isinstance(node, Scalar):
            return
        if node.flow:
            if self._touches(node):
                self._splices.append((node.start, node.end, self._flow(node)))
            return
        if isinstance(node, Items):
            for index, item in enumerate(node.children):
                if index in self._dropped.get(id(node), ()):
                    self._cut(item.start, item)
                else:
                    self._emit(item)
            return
        removed, lifted = self._removed.get(id(node), set()), self._lifted.get(id(node), set())
        for key, (name, value) in node.entries.items():
            if key in removed:
                self._cut_entry(node, name, value)
            elif key in lifted:
                self._lift_entry(name, value)
            else:
                self._emit(value)
        if id(node) in self._wrapped:
            self._indent(node, *self._wrapped[id(node)])
        if id(node) in self._added:
            lines = block(self._added[id(node)], node.column)
            at = self._after(max(max(name.end, value.end) for name, value in node.entries.values()))
            before = "" if at == 0 or self.text[at - 1] == "\n" else self._newline
            self._splices.append((at, at, before + "".join(line + self._newline for line in lines)))

    def _line(self, at: int) -> int:
        """Where the line begins that holds an offset."""
        return self.text.rfind("\n", 0, at) + 1

    def _after(self, at: int) -> int:
        """Where the next line begins, or this one if nothing of it comes before the offset."""
        if at and self.text[at - 1] == "\n":
            return at
        end = self.text.find("\n", at)
        return len(self.text) if end < 0 else end + 1

    def _cut_entry(self, node: Fields, name: Scalar, value: Node) -> None:
        if not self.text[self._line(name.start) : name.start].strip():
            self._cut(name.start, value, name)
            return
        following = [key.start for key, _ in node.entries.values() if key.start > name.start]
        if not following or "#" in self.text[value.end : min(following)]:
            raise EditError(f"line {name.line}: is the first entry of an item of a list")
        self._splices.append((name.start, min(following), ""))

    def _cut(self, start: int, value: Node, name: Scalar | None = None) -> None:
        """Take the lines of a node out, but for their comments."""
        first, last = self._line(start), self._after(max(value.end, name.end if name is not None else 0))
        ends = [each.end for each in _all(value)] + ([name.end] if name is not None else [])
        for each in _all(value):
            if isinstance(each, Fields):
                ends += [key.end for key, _ in each.entries.values()]
        kept = []
        at = first
        while at < last:
            end = self._after(at + 1) if self.text[at] != "\n" else at + 1
            said = max([at, *(each for each in ends if at <= each <= end)])
            rest = self.text[said:end].strip().lstrip(":").strip()
            if self.text[at:end].lstrip().startswith("#"):
                kept.append(self.text[at:end])
            elif rest.startswith("#"):
                kept.append(" " * (start - first) + rest + self._newline)
            at = end
        self._splices.append((first, last, "".join(kept)))

    def _lift_entry(self, name: Scalar, value: Node) -> None:
        if not isinstance(value, Fields) or len(value.entries) != 1:
            raise EditError(f"line {name.line}: does not hold exactly one entry")
        ((inner, what),) = value.entries.values()
        if not isinstance(what, Scalar) or "#" in self.text[name.end : inner.start]:
            raise EditError(f"line {name.line}: holds more than one plain entry")
        self._splices.append((name.start, inner.start, ""))
        if value.flow:
            self._splices.append((what.end, value.end, ""))

    def _indent(self, node: Fields, name: str, keys: set[str]) -> None:
        """Move block entries under a new key: a line for it, and two columns for each line of theirs."""
        moved = [(key, value) for text, (key, value) in node.entries.items() if text in keys]
        stay = [(key, value) for text, (key, value) in node.entries.items() if text not in keys]
        first, last = moved[0][0].start, self._after(max(moved[-1][0].end, moved[-1][1].end))
        between = [(key, value) for key, value in stay if first < key.start < last]
        pad = " " * node.column
        opening = f"{name}:{self._newline}{pad}  "
        for key, value in between:
            if not isinstance(value, Scalar) or value.block:
                raise EditError(f"line {key.line}: stands between entries that move")
            line, end = self._line(key.start), self._after(value.end)
            opening = self.text[key.start : end].rstrip() + self._newline + pad + opening
            self._splices.append((line, end, ""))
        self._splices.append((first, first, opening))
        lines = [found.end() for found in re.finditer("\n", self.text[:last]) if first < found.end() < last]
        skipped = {self._line(key.start) for key, _ in between}
        for at in lines:
            if at not in skipped and self.text[at : at + 1] not in {"\n", "\r", ""}:
                self._splices.append((at, at, "  "))

    # ------------------------------------------------------------ flow style

    def _raw(self, start: int, end: int) -> str:
        """Text with the substitutes in it."""
        parts, at = [], start
        for first, last, text in sorted(self._substitutes):
            if start <= first and last <= end:
                parts += [self.text[at:first], text]
                at = last
        return "".join([*parts, self.text[at:end]])

    def _flow(self, node: Node) -> str:
        if isinstance(node, Scalar):
            return self._raw(node.start, node.end)
        spans: list[tuple[int, int, str]] = []
        if isinstance(node, Items):
            dropped = self._dropped.get(id(node), set())
            spans = [
                (item.start, item.end, "" if index in dropped else self._flow(item))
                for index, item in enumerate(node.children)
            ]
            kept = [text for index, (_, _, text) in enumerate(spans) if index not in dropped]
            brackets = "[]"
        else:
            kept, brackets = self._flow_entries(node, spans), "{}"
        if not self._changes(node):
            parts, at = [], node.start
            for start, end, text in spans:
                parts += [self.text[at:start], text]
                at = end
            return "".join([*parts, self.text[at : node.end]])
        gaps = [
            self.text[node.start + 1 : spans[0][0]] if spans else "",
            self.text[spans[0][1] : spans[1][0]] if len(spans) > 1 else ", ",
            self.text[spans[-1][1] : node.end - 1] if spans else "",
        ]
        if any("#" in gap for gap in gaps):
            raise EditError(f"line {node.line}: has a comment inside brackets")
        return brackets[0] + gaps[0] + gaps[1].join(kept) + gaps[2].rstrip(",") + brackets[1]

    def _flow_entries(self, node: Fields, spans: list[tuple[int, int, str]]) -> list[str]:
        removed, lifted = self._removed.get(id(node), set()), self._lifted.get(id(node), set())
        name, moved_keys = self._wrapped.get(id(node), ("", set()))
        kept, moved = [], []
        for key, (label, value) in node.entries.items():
            text = self._raw(label.start, value.start) + self._flow(value)
            if key in lifted:
                if not isinstance(value, Fields) or len(value.entries) != 1:
                    raise EditError(f"line {label.line}: does not hold exactly one entry")
                ((inner, what),) = value.entries.values()
                text = self._raw(inner.start, what.end)
            spans.append((label.start, value.end, text))
            if key in moved_keys:
                moved.append(text)
            elif key not in removed:
                kept.append(text)
        if moved:
            kept.append(f'"{name}": {{{", ".join(moved)}}}')
        kept += [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in self._added.get(id(node), {}).items()]
        return kept


def _all(root: Node) -> Iterator[Node]:
    """A node and everything below it."""
    stack = [root]
    while stack:
        node = stack.pop()
        yield node
        if isinstance(node, Items):
            stack.extend(node.children)
        elif isinstance(node, Fields):
            stack.extend(value for _, value in node.entries.values())


def apply(text: str, splices: list[tuple[int, int, str]]) -> str:
    """The text with all splices made."""
    parts, at = [], 0
    for start, end, new in splices:
        parts += [text[at:start], new]
        at = end
    return "".join([*parts, text[at:]])
