"""Files given to commands: whatever is in them, the answer is an exit code and words."""

import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from e2e.bad.case import ACCEPTED, EITHER, REFUSED, Answer, Case
from e2e.bad.junk import HOSTILE
from scheduler.core.errors import InputError
from scheduler.simulator.objects import read

SURFACE: Final = "files"
POD: Final = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {schedulerName: dovetail, containers: []}\n"
_BOMB: Final = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)
)
TEXTS: Final[dict[str, tuple[bytes, str]]] = {
    "a good pod": (POD.encode(), ACCEPTED),
    "nothing": (b"", EITHER),
    "only comments": (b"# nothing\n", EITHER),
    "only separators": (b"---\n---\n---\n", EITHER),
    "a text": (b"hello", REFUSED),
    "a number": (b"42", REFUSED),
    "a list": (b"[1, 2]", REFUSED),
    "a list of lists": (b"[[[]]]", REFUSED),
    "alias bomb": (_BOMB.encode(), REFUSED),
    "alias of itself": (b"apiVersion: v1\nkind: Pod\nmetadata: &a {name: p, x: *a}\n", REFUSED),
    "100,000 levels": (b"a: " * 100_000, REFUSED),
    "200,000 brackets": (b"[" * 200_000, REFUSED),
    "200,000 braces": (b"{" * 200_000, REFUSED),
    "200,000 lists": (b"- " * 200_000, REFUSED),
    "JSON of 100,000 levels": (b'{"a":' * 100_000, REFUSED),
    "python object": (b"!!python/object/apply:os.system ['true']", REFUSED),
    "python name": (b"a: !!python/name:os.system", REFUSED),
    "unknown tag": (b"!secret a", REFUSED),
    "tabs": (b"apiVersion: v1\n\tkind: Pod\n", REFUSED),
    "duplicate keys": ((POD + "kind: Node\n").encode(), REFUSED),
    "duplicate keys in JSON": (b'{"apiVersion": "v1", "kind": "Pod", "kind": "Node"}', REFUSED),
    "merge key": (b"a: &a {name: p}\napiVersion: v1\nkind: Pod\nmetadata: {<<: *a}\n", EITHER),
    "number as key": (b"apiVersion: v1\nkind: Pod\nmetadata: {1: 2, name: p}\n", EITHER),
    "list as key": (b"? [a, b]\n: 1\n", REFUSED),
    "date as name": (b"apiVersion: v1\nkind: Pod\nmetadata: {name: 2024-01-01}\n", EITHER),
    "date that is none": (b"apiVersion: v1\nkind: Pod\nmetadata: {name: 2024-13-41}\n", EITHER),
    "yes as name": (b"apiVersion: v1\nkind: Pod\nmetadata: {name: yes}\n", EITHER),
    "NaN": (b"apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {priority: .nan}\n", REFUSED),
    "NaN in JSON": (
        b'{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"priority": NaN}}',
        REFUSED,
    ),
    "old version": (b"apiVersion: resource.k8s.io/v1beta1\nkind: ResourceClaim\nmetadata: {name: c}\n", REFUSED),
    "older version": (b"apiVersion: resource.k8s.io/v1alpha2\nkind: ResourceClaim\nmetadata: {name: c}\n", REFUSED),
    "no kind": (b"apiVersion: v1\nmetadata: {name: p}\n", REFUSED),
    "kind is a list": (b"apiVersion: v1\nkind: [Pod]\nmetadata: {name: p}\n", REFUSED),
    "no metadata": (b"apiVersion: v1\nkind: Pod\n", REFUSED),
    "metadata is a text": (b"apiVersion: v1\nkind: Pod\nmetadata: p\n", REFUSED),
    "the same pod twice": ((POD + "---\n" + POD).encode(), ACCEPTED),
    "template": (b"{{- if .Values.x }}\n" + POD.encode() + b"{{- end }}\n", REFUSED),
    "template in a value": (b"apiVersion: v1\nkind: Pod\nmetadata: {name: {{ .Values.name }}}\n", REFUSED),
    "10,000 documents": (b"---\n# nothing\n" * 10_000, EITHER),
    "not UTF-8": (b"\xff\xfe\xfd", REFUSED),
    "UTF-16": (POD.encode("utf-16"), EITHER),
    "half a character": (POD.encode() + b"\xe2\x82", REFUSED),
    "byte order mark": (b"\xef\xbb\xbf" + POD.encode(), ACCEPTED),
    "CRLF": (POD.replace("\n", "\r\n").encode(), ACCEPTED),
    "zero bytes": (b"\x00" * 1000, REFUSED),
    "an executable": (b"\x7fELF\x02\x01\x01" + bytes(range(256)) * 40, REFUSED),
    "ANSI": (b"\x1b[31mapiVersion: v1\x1b[0m", REFUSED),
    "a long line": (b"a: " + b"x" * 2**20, REFUSED),
    "a sexagesimal": (b"apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {priority: 1:30}\n", EITHER),
    "a huge number": (
        b"apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {priority: " + b"9" * 5000 + b"}\n",
        REFUSED,
    ),
    "unclosed quote": (b'apiVersion: "v1\n', REFUSED),
    "unclosed flow": (b"a: {b: [", REFUSED),
    "unknown alias": (b"a: *b", REFUSED),
    "directive": (b"%YAML 9.9\n---\na: 1\n", EITHER),
    "anchor twice": (b"a: &x 1\nb: &x 2\nc: *x\n", REFUSED),
    "unknown kind": (b"apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: t}\n", EITHER),
}


def put(content: bytes) -> Answer:
    """Read objects from a file."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "objects.yaml")
        file.write_bytes(content)
        return _read(file)


def _read(file: Path) -> Answer:
    try:
        read([file])
    except InputError as error:
        return Answer(REFUSED, str(error))
    return Answer(ACCEPTED)


def cases() -> Iterator[Case]:
    """Contents, files that are none, and a good text with a byte too many or too few."""
    for name, (content, expected) in TEXTS.items():
        yield Case(SURFACE, name, lambda content=content: put(content), expected)
    for text in HOSTILE:
        content = f"apiVersion: v1\nkind: Pod\nmetadata:\n  name: {text}\n".encode(errors="surrogatepass")
        yield Case(SURFACE, f"name {text[:20]!a}", lambda content=content: put(content))
    good = POD.encode()
    for at in range(0, len(good), 3):
        yield Case(SURFACE, f"ends at {at}", lambda at=at: put(good[:at]))
        for byte in b"\x00\t\n{[&*!%@`'\"\xff":
            content = good[:at] + bytes([byte]) + good[at:]
            yield Case(SURFACE, f"{byte:#04x} at {at}", lambda content=content: put(content))
    yield Case(SURFACE, "missing", lambda: _read(Path("/nonexistent/x.yaml")), REFUSED, ("/nonexistent/x.yaml",))
    yield Case(SURFACE, "a folder", lambda: _read(Path("/")), REFUSED)
    yield Case(SURFACE, "a link to itself", lambda: _odd(lambda path: path.symlink_to(path)), REFUSED)
    yield Case(SURFACE, "a pipe", lambda: _odd(os.mkfifo), REFUSED)
    yield Case(SURFACE, "a device without end", lambda: _read(Path("/dev/zero")), REFUSED)
    yield Case(SURFACE, "a name with a newline", lambda: _read(Path("/nonexistent/a\nb\x1b[31m.yaml")), REFUSED)
    yield Case(SURFACE, "empty standard input", _no_input)


def _odd(make: Callable[[Path], None]) -> Answer:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "objects.yaml")
        make(path)
        return _read(path)


def _no_input() -> Answer:
    before, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO())
    try:
        return _read(Path("-"))
    finally:
        sys.stdin = before
