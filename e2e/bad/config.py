"""The configuration file and its variables: every key with values that it cannot have, and texts that are no file."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from e2e.bad.case import ACCEPTED, EITHER, REFUSED, Answer, Case
from e2e.bad.junk import HOSTILE, NUMBERS
from scheduler.core.errors import ConfigError
from scheduler.service.settings import SchedulerConfig, load
from scoring.weights import DEFAULTS

SURFACE: Final = "config"
HEAD: Final = "apiVersion: config.dovetail.scheduler/v1alpha1\nkind: SchedulerConfig\n"
NO_TEXT: Final = ("5", "true", "null", "[a]", "{a: b}", "1.5", "~")
NO_FLAG: Final = ('"true"', "1", "0", "null", "[true]", "{a: true}", "maybe", '""', "2", "1.0")
NO_LIST: Final = ("5", "true", "null", '"a"', "{a: b}", "[5]", "[null]", "[[a]]", "[{a: b}]", "[true]")
NO_MAPPING: Final = ("5", "true", "null", '"a"', "[a]", "[]", "{5: 5}", "{? [a] : 1}", "{null: 1}", '{"": 1}')
NO_WHOLE: Final = (*NUMBERS, "1.5", "1e3", "99999999999999999999")
FILES: Final[dict[str, tuple[bytes, str]]] = {
    "only the head": (HEAD.encode(), ACCEPTED),
    "nothing": (b"", REFUSED),
    "a comment": (b"# nothing\n", REFUSED),
    "a list": (b"- a\n", REFUSED),
    "a text": (b"hello", REFUSED),
    "no head": (b"weights: {}\n", REFUSED),
    "another version": (b"apiVersion: config.dovetail.scheduler/v9\nkind: SchedulerConfig\n", REFUSED),
    "another kind": (b"apiVersion: config.dovetail.scheduler/v1alpha1\nkind: ConfigMap\n", REFUSED),
    "two documents": ((HEAD + "---\n" + HEAD).encode(), REFUSED),
    "a key twice": ((HEAD + "batch: 5\nbatch: 6\n").encode(), REFUSED),
    "a weight twice": ((HEAD + "weights: {packing: 5, packing: 6}\n").encode(), REFUSED),
    "an alias bomb": (
        HEAD.encode()
        + b"x0: &x0 [a]\n"
        + b"".join(b"x%d: &x%d [*x%d, *x%d]\n" % (i + 1, i + 1, i, i) for i in range(40)),
        REFUSED,
    ),
    "deep": ((HEAD + "weights: " + "[" * 50_000).encode(), REFUSED),
    "deep mappings": ((HEAD + "weights: " + "{a: " * 5_000).encode(), REFUSED),
    "2 MiB": ((HEAD + "#" * 2**21).encode(), REFUSED),
    "not UTF-8": (HEAD.encode() + b"schedulerName: \xff\xfe\n", REFUSED),
    "UTF-16": (HEAD.encode("utf-16"), REFUSED),
    "zero bytes": (HEAD.encode() + b"\x00" * 100, REFUSED),
    "tabs": ((HEAD + "weights:\n\tpacking: 1\n").encode(), REFUSED),
    "byte order mark": (b"\xef\xbb\xbf" + HEAD.encode(), EITHER),
    "CRLF": (HEAD.replace("\n", "\r\n").encode(), ACCEPTED),
    "python object": (HEAD.encode() + b"seed: !!python/object/apply:os.getpid []\n", REFUSED),
    "a template": ((HEAD + "weights: {{ .Values.weights }}\n").encode(), REFUSED),
}


def put(content: bytes) -> Answer:
    """Load a configuration file."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "config.yaml")
        file.write_bytes(content)
        try:
            load(file, {})
        except ConfigError as error:
            return Answer(REFUSED, str(error))
    return Answer(ACCEPTED)


def put_variable(name: str, value: str) -> Answer:
    """Load the defaults with a variable of the environment."""
    try:
        load(None, {name: value})
    except ConfigError as error:
        return Answer(REFUSED, str(error))
    return Answer(ACCEPTED)


def keys(
    section: type[BaseModel] = SchedulerConfig, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every key of the file with its type; sections are keys too."""
    for name, field in section.model_fields.items():
        here = (*path, field.alias or name)
        kind = _bare(field.annotation)
        yield here, kind
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from keys(kind, here)


def wrong(kind: Any) -> tuple[str, ...]:
    """YAML texts that a key of this type cannot have."""
    origin = get_origin(kind) or kind
    if origin is Literal:
        return (*NO_TEXT, "Labelled", "none", '""')
    if origin is bool:
        return NO_FLAG
    if origin is int:
        return tuple(text for text in NO_WHOLE if not text.lstrip("-+").replace("_", "").isdigit() or len(text) > 15)
    if origin is float:
        return NUMBERS
    if origin is str:
        return NO_TEXT
    if origin is list:
        return NO_LIST
    return NO_MAPPING


def cases() -> Iterator[Case]:
    """Files; every key with every value that its type cannot have; every section with a key that it does not know."""
    for name, (content, expected) in FILES.items():
        yield Case(SURFACE, name, lambda content=content: put(content), expected)
    for path, kind in keys():
        for text in wrong(kind):
            yield _one(path, text)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            for name in ("extra", "Weights", "weigths", "enabledd"):
                yield _one((*path, name), "1", names=(name,))
        if _bare(kind) is str:
            for text in HOSTILE:
                yield _one(path, _quoted(text), expected=EITHER, names=())
    for scorer in DEFAULTS:
        for text in NUMBERS:
            yield _one(("weights", scorer), text, names=())
    for text in HOSTILE:
        yield _one(("weights", _quoted(text)), "1")
        yield _one(("featureGates", _quoted(text)), "true")
        yield _one(("profiles", _quoted(text), "weights"), "{packing: 1}")
    for text in NUMBERS:
        if "\x00" not in text:
            yield Case(
                SURFACE,
                f"variable = {text[:40]!a}",
                lambda t=text: put_variable("DOVETAIL_WEIGHTS__PACKING", t),
                REFUSED,
            )
    good = (HEAD + "weights: {packing: 5.5, holes: 0}\nownership: {nodes: all, drivers: [gpu.example.com]}\n").encode()
    for at in range(len(HEAD), len(good), 2):
        for byte in b"\x00\t\n{[]}&*!%@`'\":,#|>\xff\xe2":
            content = good[:at] + bytes([byte]) + good[at:]
            yield Case(SURFACE, f"{byte:#04x} at {at}", lambda content=content: put(content))


def _one(path: tuple[str, ...], text: str, *, expected: str = REFUSED, names: tuple[str, ...] | None = None) -> Case:
    keyed = [key for key in path if key not in ("apiVersion", "kind")]
    head = HEAD if len(keyed) == len(path) else HEAD.replace(f"{path[0]}:", f"x{path[0]}:")
    lines = "".join("  " * depth + f"{key}:\n" for depth, key in enumerate(path[:-1]))
    value = "\n".join([text.split("\n", maxsplit=1)[0], *["  " * len(path) + each for each in text.split("\n")[1:]]])
    content = f"{head}{lines}{'  ' * (len(path) - 1)}{path[-1]}: {value}\n".encode(errors="surrogatepass")
    named = (path[-1],) if names is None and not path[-1].startswith('"') and not _unreadable(text) else names or ()
    return Case(SURFACE, f"{'.'.join(path)[:60]!a} = {text[:40]!a}", lambda: put(content), expected, named)


def _unreadable(text: str) -> bool:
    """Whether YAML itself ends at it, before any key is looked at."""
    return text[:1] in "!*%@`|=<{?[" or text == "1 2"


def _quoted(text: str) -> str:
    """As a YAML text, whatever is in it."""
    inner = "".join(each if each.isprintable() and each not in '"\\' else f"\\U{ord(each):08x}" for each in text)
    return f'"{inner}"'


def _bare(kind: Any) -> Any:
    """Without what narrows a type."""
    while hasattr(kind, "__metadata__"):
        kind = get_args(kind)[0]
    if get_origin(kind) is Union:
        return _bare(get_args(kind)[0])
    return kind
