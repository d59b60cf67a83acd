"""What models.yaml says: models that are to share GPUs, each with what its replicas need.

models:
- name: embedder          # a DNS label; with its namespace unique
  namespace: search       # default "default"; what shares a claim is of one namespace
  replicas: 2             # default 1
  memory: 6Gi             # of a GPU, each replica
  compute: 15%            # of a GPU, whichever it is; or MIG slices, 2g being two sevenths
  isolation: none         # none (default), memory or full: see `isolation`
  products: ["*H100*"]    # optional, names of GPUs with * and ?, in any case; one must match
  spread: gpu             # none, gpu (default: no two replicas on one GPU) or node
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from scheduler.audit.tree import Fields, Items, Node, Scalar, TreeError, chunks, parse
from scheduler.core.errors import InputError, QuantityError
from scheduler.core.quantity import NANO, parse_quantity

COMPUTE: Final = 7000
"""Of one GPU, in the unit in which compute is counted: a tenth of a percent is 7, a seventh is 1000."""
MAX_FILE: Final = 8 * 2**20  # bytes
MAX_MODELS: Final = 5_000
MAX_REPLICAS: Final = 10_000  # in all
MAX_MEMORY: Final = 2**50  # bytes, a pebibyte
NONE, MEMORY, FULL = "none", "memory", "full"
ISOLATIONS: Final = (NONE, MEMORY, FULL)
GPU, NODE = "gpu", "node"
SPREADS: Final = (NONE, GPU, NODE)
_PERCENT: Final = re.compile(r"([0-9]{1,3})(?:\.([0-9]))?%", re.ASCII)
_SLICES: Final = re.compile(r"([1-7])g", re.ASCII)
_LABEL: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
_WHOLE: Final = re.compile(r"-?(0|[1-9][0-9]{0,17})", re.ASCII)
_TOLD: Final = 10  # mistakes
_UNQUOTED: Final = frozenset({"missing", "extra_forbidden"})


@dataclass(frozen=True, slots=True)
class Model:
    """One entry. memory in bytes, compute in COMPUTE-ths of a GPU, of one replica. line : where it begins."""

    namespace: str
    name: str
    replicas: int
    memory: int
    compute: int
    isolation: str
    products: tuple[str, ...]
    spread: str
    line: int = 0

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"


def _memory(text: str) -> str:
    try:
        nanos = parse_quantity(text).nanos
    except QuantityError as error:
        raise ValueError(f"{error.problem}: write it as 6Gi or 6144Mi") from None
    if nanos <= 0:
        raise ValueError("is not more than 0")
    if nanos % NANO or nanos > MAX_MEMORY * NANO:
        raise ValueError("is no whole number of bytes up to 1Pi")
    return text


def _compute(text: str) -> str:
    if _SLICES.fullmatch(text):
        return text
    if not _PERCENT.fullmatch(text):
        raise ValueError("is neither a percentage of a GPU such as 15% or 2.5%, nor MIG slices from 1g to 7g")
    if not 0 < _share(text) <= COMPUTE:
        raise ValueError("is not more than 0% and at most 100%")
    return text


def _share(text: str) -> int:
    slices = _SLICES.fullmatch(text)
    if slices:
        return int(slices[1]) * COMPUTE // 7
    found = _PERCENT.fullmatch(text)
    assert found is not None  # _compute looked
    return (int(found[1]) * 10 + int(found[2] or 0)) * 7


def _pattern(text: str) -> str:
    if any(not each.isprintable() for each in text):
        raise ValueError("holds characters that cannot be printed")
    return text


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: Annotated[str, Field(pattern=_LABEL, max_length=50)]
    namespace: Annotated[str, Field(pattern=_LABEL, max_length=63)] = "default"
    replicas: Annotated[int, Field(ge=1, le=MAX_REPLICAS)] = 1
    memory: Annotated[str, AfterValidator(_memory)]
    compute: Annotated[str, AfterValidator(_compute)]
    isolation: Literal["none", "memory", "full"] = "none"
    products: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_pattern)]],
        Field(min_length=1, max_length=32),
    ] = []
    spread: Literal["none", "gpu", "node"] = "gpu"


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    models: Annotated[list[_Entry], Field(min_length=1, max_length=MAX_MODELS)]


def read_models(path: Path) -> tuple[Model, ...]:
    """The models of a file. Raises InputError, which names file and line."""
    name = str(path)
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_FILE + 1)
    except OSError as error:
        raise InputError(name, f"cannot be read ({error.strerror})", "check path and permissions") from error
    if len(content) > MAX_FILE:
        raise InputError(name, f"is larger than {MAX_FILE // 2**20} MiB", "plan for fewer models at once")
    null = content.find(b"\0")
    if null >= 0:
        raise InputError(_at(name, content, null), "is not text (it has a null byte)")
    try:
        return parse_models(name, content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InputError(_at(name, content, error.start), "is not UTF-8 text") from error


def _at(name: str, content: bytes, offset: int) -> str:
    line = content.count(b"\n", 0, offset) + 1
    return f"{name}:{line}"


def parse_models(name: str, text: str) -> tuple[Model, ...]:
    """The models of a text; `name` stands for it in messages. Raises InputError."""
    places = list(chunks(text))
    if not places:
        raise InputError(name, "is empty", "begin with models:")
    if len(places) > 1:
        raise InputError(f"{name}:{places[1][2]}", "begins another document", "put all models into one")
    try:
        root = parse(text, *places[0]).root
    except TreeError as error:
        raise InputError(f"{name}:{error.line}" if error.line else name, str(error)) from None
    if not isinstance(root, Fields):
        raise InputError(f"{name}:{root.line if root else 1}", "is no mapping", "begin with models:")
    try:
        found = _File.model_validate(_value(root))
    except ValidationError as error:
        raise _refusal(name, root, error) from None
    return _models(name, root, found.models)


def _models(name: str, root: Fields, entries: list[_Entry]) -> tuple[Model, ...]:
    listed = root.get("models")
    assert isinstance(listed, Items)  # _File looked
    lines: dict[str, int] = {}
    models, total = [], 0
    for entry, node in zip(entries, listed.children, strict=True):
        model = Model(
            entry.namespace,
            entry.name,
            entry.replicas,
            parse_quantity(entry.memory).value(),
            _share(entry.compute),
            entry.isolation,
            tuple(entry.products),
            entry.spread,
            node.line,
        )
        if model.key in lines:
            said = f"model {model.key} stands at line {lines[model.key]} already"
            raise InputError(f"{name}:{node.line}", said, "rename one")
        lines[model.key] = node.line
        total += model.replicas
        if total > MAX_REPLICAS:
            raise InputError(
                f"{name}:{node.line}", f"here there are more than {MAX_REPLICAS} replicas", "plan for less"
            )
        models.append(model)
    return tuple(models)


# ---------------------------------------------------------------- trees as values, and mistakes with their lines


def _value(node: Node) -> Any:
    """What YAML 1.2 makes of it; words and numbers that only YAML 1.1 knows stay texts."""
    if isinstance(node, Fields):
        return {key: _value(value) for key, (_, value) in node.entries.items()}
    if isinstance(node, Items):
        return [_value(each) for each in node.children]
    if node.null:
        return None
    return int(node.text) if node.plain and _WHOLE.fullmatch(node.text) else node.text


def _refusal(name: str, root: Fields, error: ValidationError) -> InputError:
    entries = error.errors(include_url=False)
    problems = [_problem(name, root, entry) for entry in entries[:_TOLD]]
    (where, first), others = problems[0], problems[1:]
    words = "; ".join([first, *(f"{place}: {problem}" for place, problem in others)])
    more = f"; and {len(entries) - _TOLD} more mistakes" if len(entries) > _TOLD else ""
    return InputError(where, words + more)


def _problem(name: str, root: Fields, entry: Any) -> tuple[str, str]:
    node: Node = root
    line, path, shown = root.line, "", ""
    for step in entry["loc"]:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else str(step)
        if isinstance(node, Fields) and str(step) in node.entries:
            line, node = node.entries[str(step)][0].line, node.entries[str(step)][1]
            shown = node.text[:60] if isinstance(node, Scalar) else ""
        elif isinstance(node, Items) and isinstance(step, int) and step < len(node.children):
            node = node.children[step]
            line = node.line
            shown = node.text[:60] if isinstance(node, Scalar) else ""
    words = _worded(entry, path)
    quoted = f" {shown!r}" if shown and entry["type"] not in _UNQUOTED else ""
    return f"{name}:{line}", f"{path}:{quoted} {words}"


def _worded(entry: Any, path: str) -> str:
    """What is wrong, in this file's words."""
    kind, bounds = entry["type"], entry.get("ctx", {})
    if kind == "string_type" and path.endswith((".memory", ".compute")):
        return "has no unit: write it as 6Gi" if path.endswith(".memory") else "has no unit: write it as 15% or 1g"
    if kind == "literal_error":
        return f"is none of {', '.join(ISOLATIONS if path.endswith('.isolation') else SPREADS)}"
    words = {
        "missing": "is missing",
        "extra_forbidden": f"is not a key; known are {', '.join(_known(entry['loc']))}",
        "string_pattern_mismatch": "is no DNS label: lower case letters, digits and -",
        "string_type": "is not a text",
        "string_too_short": "is empty",
        "string_too_long": f"is longer than {bounds.get('max_length')} characters",
        "int_type": "is not a whole number",
        "greater_than_equal": f"is less than {bounds.get('ge')}",
        "less_than_equal": f"is more than {bounds.get('le')}",
        "list_type": "is not a list",
        "too_short": "is empty",
        "too_long": f"has more than {bounds.get('max_length')} items",
        "model_type": "is not a mapping",
    }.get(kind)
    return words or str(entry["msg"]).removeprefix("Value error, ")


def _known(place: tuple[str | int, ...]) -> list[str]:
    return list(_File.model_fields if len(place) == 1 else _Entry.model_fields)
