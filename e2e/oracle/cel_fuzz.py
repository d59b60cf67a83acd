"""Random selectors, answered by the Go oracle and by us:
`python -m e2e.oracle.cel_fuzz --oracle PATH --cases 50000 --seed 1 [--jobs N]`.

Expressions are random trees over every declared function, the macros, literals and what a device has, most of them well
typed. Compared are compile-error-or-not, error-or-not, verdict, cost and the estimated maxCost. Maps have at most one
entry wherever they are walked: Kubernetes walks them in random order. The last line sums up; the exit status is 1 if
anything differs.
"""

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Final

from e2e.oracle.cel_answer import answer_cel
from e2e.oracle.cel_compare import Case, ask, difference
from scheduler.core.cel import checker  # declares all functions
from scheduler.core.cel.registry import FUNCTIONS, Overload
from scheduler.core.cel.types import (
    BOOL,
    BYTES,
    CIDR,
    DOUBLE,
    DURATION,
    DYN,
    FORMAT,
    INT,
    IP,
    NULL,
    QUANTITY,
    SEMVER,
    STRING,
    TIMESTAMP,
    UINT,
    URL,
    Bindings,
    Type,
    fits,
    list_of,
    map_of,
    optional_of,
    resolve,
)  # fmt: skip

DRIVER: Final = "d.com"
DEVICES: Final[list[dict[str, Any]]] = [
    {
        "name": "a",
        "attributes": {
            "s": {"string": "hello"}, "i": {"int": 5}, "b": {"bool": True}, "v": {"version": "1.2.3"},
            "ss": {"strings": ["b", "a"]}, "is": {"ints": [3, 1, 2]}, "vs": {"versions": ["1.0.0", "2.0.0-rc.1"]},
            "bs": {"bools": [True, False]}, "one.com/x": {"string": "10.0.0.1"},
        },
        "capacity": {"m": {"value": "10Gi"}, "one.com/c": {"value": "1500m"}},
    },
    {"name": "b", "allowMultipleAllocations": True, "attributes": {"s": {"int": 7}, "v": {"string": "1.2.3"}}},
    {"name": "c"},
]  # fmt: skip
_SCALARS: Final = (BOOL, INT, UINT, DOUBLE, STRING, BYTES, TIMESTAMP, DURATION, QUANTITY, SEMVER, IP, CIDR, URL, DYN)
_KEYS: Final = (STRING, INT, BOOL, UINT)
_TEXTS: Final = (
    "", "a", "b", "abc", "hello", "a,b,c", "1.2.3", "v1.2", "1.2.3-rc.1+b", "10Gi", "1500m", "-3", "1e3", "10.0.0.1",
    "::1", "fe80::1", "10.0.0.0/8", "::/0", "https://a.b:80/x?y=1&y=2", "/p%20q", "[a-z]+", "a*", "(", "true", "12",
    "1.5", "1h30m", "2020-01-01T00:00:00Z", "uuid", "%s", "%d-%s", "\u00e9\u4e2d", "x y ", "A-Z", "UTC", "-08:00",
    "America/New_York", "12345678-1234-1234-1234-123456789012",
)  # fmt: skip
_LITERALS: Final[dict[Type, tuple[str, ...]]] = {
    BOOL: ("true", "false"),
    INT: ("0", "1", "2", "-1", "7", "9223372036854775807", "-9223372036854775808", "0x1F"),
    UINT: ("0u", "1u", "5u", "18446744073709551615u"),
    DOUBLE: ("0.0", "1.0", "-1.5", "2.5e3", "1e20", "double('NaN')", "double('Infinity')", "0.1"),
    BYTES: ("b''", "b'abc'", "b'\\xff'", "b'\\303\\251'"),
    TIMESTAMP: ("timestamp('2020-02-29T12:34:56.789Z')", "timestamp(0)", "timestamp('2021-01-01T00:00:00+05:30')"),
    DURATION: ("duration('1h')", "duration('-1.5s')", "duration('0')", "duration('90m1ns')"),
    QUANTITY: ("quantity('10Gi')", "quantity('1500m')", "quantity('0')", "quantity('-1e3')"),
    SEMVER: ("semver('1.2.3')", "semver('v2', true)", "semver('1.2.3-rc.1')"),
    IP: ("ip('10.0.0.1')", "ip('::1')", "ip('224.0.0.1')", "ip('169.254.1.1')"),
    CIDR: ("cidr('10.0.0.0/8')", "cidr('10.1.2.3/16')", "cidr('fe80::/10')"),
    URL: ("url('https://a.b:80/x?y=1')", "url('/p')", "url('http://[::1]/')"),
    FORMAT: ("format.dns1123Label()", "format.uuid()", "format.date()", "format.uri()", "format.byte()"),
    NULL: ("null",),
}  # fmt: skip
_READS: Final = (
    'device.attributes["d.com"].s', 'device.attributes["d.com"]["i"]', 'device.attributes["d.com"].b',
    'device.attributes["d.com"].v', 'device.attributes["d.com"].ss', 'device.attributes["d.com"].is',
    'device.attributes["d.com"].vs', 'device.attributes["d.com"].bs', 'device.attributes["one.com"].x',
    "device.attributes[device.driver].s", 'device.attributes["none"].x', "device.attributes.none",
    'device.attributes["d.com"].?s.orValue("z")', 'device.attributes["d.com"][?"q"].orValue(dyn(1))',
)  # fmt: skip
_TESTS: Final = (
    "device.allowMultipleAllocations", 'has(device.attributes["d.com"].s)', '"s" in device.attributes["d.com"]',
    'has(device.capacity["d.com"].m)', '"d.com" in device.attributes', "has(device.attributes.foo)",
)  # fmt: skip
_INFIX: Final = {
    "_&&_": "&&", "_||_": "||", "_==_": "==", "_!=_": "!=", "_<_": "<", "_<=_": "<=", "_>_": ">", "_>=_": ">=",
    "_+_": "+", "_-_": "-", "_*_": "*", "_/_": "/", "_%_": "%", "@in": "in",
}  # fmt: skip
_HIDDEN: Final = frozenset({"@not_strictly_false", "@sortByAssociatedKeys", "cel.@mapInsert", "_?._"})


def _candidates() -> list[tuple[str, Overload]]:
    assert checker
    return [
        (name, overload)
        for name, function in FUNCTIONS.items()
        for overload in function.overloads
        if name not in _HIDDEN and not any("authorization" in each.name for each in overload.parameters)
    ]


class Generator:
    """Random expressions from one source of randomness."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._functions = _candidates()
        self._names = 0
        self.wrong = 0.03

    def expression(self) -> str:
        """One selector."""
        self._names = 0
        self.wrong = self._random.choice((0.0, 0.0, 0.02, 0.1))
        return self._of(self._random.choice((BOOL, BOOL, BOOL, BOOL, DYN)), self._random.randint(1, 4), {})

    def _name(self) -> str:
        self._names += 1
        return f"v{self._names}"

    def _scalar(self) -> Type:
        return self._random.choice(_SCALARS)

    def _of(self, kind: Type, depth: int, scope: dict[str, Type]) -> str:
        rng = self._random
        if rng.random() < self.wrong:
            kind = self._scalar()
        if kind.kind == "param":
            kind = self._scalar()
        known = [name for name, held in scope.items() if held == kind or (kind == DYN and rng.random() < 0.3)]
        if known and rng.random() < 0.35:
            return rng.choice(known)
        if depth <= 0 or rng.random() < 0.12:
            return self._leaf(kind, depth, scope)
        chosen = rng.random()
        if chosen < 0.07:
            return f"({self._of(BOOL, depth - 1, scope)} ? {self._of(kind, depth - 1, scope)} : " \
                   f"{self._of(kind, depth - 1, scope)})"  # fmt: skip
        if chosen < 0.11:
            return self._bind(kind, depth, scope)
        if chosen < 0.24:
            found = self._macro(kind, depth, scope)
            if found is not None:
                return found
        if chosen < 0.31:
            return self._selection(kind, depth, scope)
        return self._call(kind, depth, scope)

    def _leaf(self, kind: Type, depth: int, scope: dict[str, Type]) -> str:
        rng = self._random
        if kind == STRING:
            text = rng.choice(_TEXTS)
            return "device.driver" if rng.random() < 0.1 else json.dumps(text, ensure_ascii=rng.random() < 0.5)
        if kind == BOOL and rng.random() < 0.2:
            return rng.choice(_TESTS)
        if kind == QUANTITY and rng.random() < 0.3:
            return rng.choice(('device.capacity["d.com"].m', 'device.capacity["one.com"]["c"]'))
        if kind in _LITERALS:
            return rng.choice(_LITERALS[kind])
        if kind == DYN:
            return rng.choice(_READS) if rng.random() < 0.6 else f"dyn({self._of(self._scalar(), depth - 1, scope)})"
        if kind.kind == "list":
            count = rng.choice((0, 1, 2, 3)) if kind.inner[0] != DYN or depth > -2 else 0
            return f"[{', '.join([self._of(kind.inner[0], depth - 1, scope) for _ in range(count)])}]"
        if kind.kind == "map":
            if rng.random() < 0.2:
                return "{}"
            key = kind.inner[0] if kind.inner[0] in _KEYS else STRING
            mark, value = ("?", optional_of(kind.inner[1])) if rng.random() < 0.1 else ("", kind.inner[1])
            return f"{{{mark}{self._of(key, min(depth - 1, 1), scope)}: {self._of(value, depth - 1, scope)}}}"
        if kind.name == "optional_type":
            if rng.random() < 0.3:
                return "optional.none()"
            return f"optional.of({self._of(kind.inner[0], depth - 1, scope)})"
        if kind.kind == "type":
            return rng.choice(("int", "string", "bool", "list", "map", "double", "type(1)", "net.IP", "null_type"))
        return f"dyn({self._of(self._scalar(), depth - 1, scope)})"

    def _bind(self, kind: Type, depth: int, scope: dict[str, Type]) -> str:
        name, held = self._name(), self._scalar()
        if self._random.random() < 0.3:
            held = list_of(self._scalar())
        value = self._of(held, depth - 1, scope)
        if self._random.random() < 0.2:
            body = self._of(kind, depth - 1, {**scope, name + ".s": DYN})
            return f'cel.bind({name}, device.attributes["d.com"], {body})'
        return f"cel.bind({name}, {value}, {self._of(kind, depth - 1, {**scope, name: held})})"

    def _macro(self, kind: Type, depth: int, scope: dict[str, Type]) -> str | None:
        rng = self._random
        first, second = self._name(), self._name()
        element = self._scalar()
        mapped = rng.random() < 0.25
        whole = map_of(rng.choice(_KEYS), element) if mapped else list_of(element)
        if rng.random() < 0.1:
            whole = DYN
        items = self._of(whole, depth - 1, scope)
        one = {"map": whole.inner[0] if whole.inner else DYN, "list": element}.get(whole.kind, DYN)
        single = {**scope, first: one}
        index = {"map": one, "list": INT}.get(whole.kind, DYN)
        both = {**scope, first: index, second: element if whole.kind != "dyn" else DYN}
        if kind == BOOL:
            if rng.random() < 0.6:
                name = rng.choice(("all", "exists", "exists_one"))
                return f"{items}.{name}({first}, {self._of(BOOL, depth - 1, single)})"
            name = rng.choice(("all", "exists", "existsOne", "exists_one"))
            return f"{items}.{name}({first}, {second}, {self._of(BOOL, depth - 1, both)})"
        if kind.kind == "list":
            inner = kind.inner[0]
            chosen = rng.randrange(6)
            if chosen == 0 and whole.kind == "list":
                source = self._of(kind, depth - 1, scope)
                return f"{source}.filter({first}, {self._of(BOOL, depth - 1, {**scope, first: inner})})"
            if chosen == 1 and whole.kind == "list":
                source = self._of(kind, depth - 1, scope)
                key = self._of(rng.choice((INT, STRING)), depth - 1, {**scope, first: inner})
                return f"{source}.sortBy({first}, {key})"
            if chosen == 2:
                return (
                    f"{items}.map({first}, {self._of(BOOL, depth - 1, single)}, {self._of(inner, depth - 1, single)})"
                )
            if chosen == 3:
                return f"{items}.transformList({first}, {second}, {self._of(inner, depth - 1, both)})"
            if chosen == 4:
                test = self._of(BOOL, depth - 1, both)
                return f"{items}.transformList({first}, {second}, {test}, {self._of(inner, depth - 1, both)})"
            return f"{items}.map({first}, {self._of(inner, depth - 1, single)})"
        if kind.kind == "map" and kind.inner[0] in _KEYS:
            source = self._of(map_of(kind.inner[0], element), depth - 1, scope)
            both = {**scope, first: kind.inner[0], second: element}
            if rng.random() < 0.5:
                return f"{source}.transformMap({first}, {second}, {self._of(kind.inner[1], depth - 1, both)})"
            entry = self._of(kind, depth - 1, both)
            return f"{source}.transformMapEntry({first}, {second}, {entry})"
        if kind.name == "optional_type":
            source = self._of(optional_of(element), depth - 1, scope)
            inner_scope = {**scope, first: element}
            if rng.random() < 0.5:
                return f"{source}.optMap({first}, {self._of(kind.inner[0], depth - 1, inner_scope)})"
            return f"{source}.optFlatMap({first}, {self._of(kind, depth - 1, inner_scope)})"
        return None

    def _selection(self, kind: Type, depth: int, scope: dict[str, Type]) -> str:
        """Of a map literal or a list, plain, tested or optional."""
        rng = self._random
        name = rng.choice(("a", "b"))
        if kind == BOOL and rng.random() < 0.5:
            return f"has({{\"a\": {self._of(self._scalar(), depth - 1, scope)}}}{rng.choice(('.', '.?'))}{name})" \
                .replace(".?", ".")  # fmt: skip
        if kind.name == "optional_type":
            form = rng.choice((".?{n}", '[?"{n}"]')).format(n=name)
            return f'{{"a": {self._of(kind.inner[0], depth - 1, scope)}}}{form}'
        if rng.random() < 0.5:
            form = rng.choice((".{n}", '["{n}"]')).format(n=name)
            return f'{{"a": {self._of(kind, depth - 1, scope)}}}{form}'
        return f"[{self._of(kind, depth - 1, scope)}][{self._of(INT, min(depth - 1, 1), scope)}]"

    def _call(self, kind: Type, depth: int, scope: dict[str, Type]) -> str:
        rng = self._random
        for _ in range(60):
            name, overload = rng.choice(self._functions)
            bindings: Bindings | None = {}
            if kind != DYN:
                bindings = fits({}, kind, overload.result)
                exact = bindings is not None and resolve(bindings, overload.result) == kind
                if not exact or (overload.result.kind == "param" and rng.random() < 0.8):
                    continue
            return self._spelled(name, overload, self._arguments(overload, bindings or {}, depth, scope))
        return self._leaf(kind, depth, scope)

    def _arguments(self, overload: Overload, bindings: Bindings, depth: int, scope: dict[str, Type]) -> list[str]:
        arguments = []
        for each in overload.parameters:
            self._settle(each, bindings)
            wanted = resolve(bindings, each)
            if self._random.random() < 0.06:
                wanted = DYN
            elif wanted == DYN and self._random.random() < 0.5:
                wanted = self._random.choice((self._scalar(), list_of(self._scalar())))
            elif wanted == list_of(DYN) and overload.id == "string_format":
                wanted = list_of(self._random.choice((INT, STRING, DOUBLE, DYN)))
            arguments.append(self._of(wanted, depth - 1, scope))
        return arguments

    def _settle(self, kind: Type, bindings: Bindings) -> None:
        if kind.kind == "param" and kind not in bindings:
            bindings[kind] = self._random.choice(_KEYS) if self._random.random() < 0.5 else self._scalar()
        for each in kind.inner:
            self._settle(each, bindings)

    def _spelled(self, name: str, overload: Overload, arguments: list[str]) -> str:
        if name in _INFIX:
            return f"({arguments[0]} {_INFIX[name]} {arguments[1]})"
        if name in {"!_", "-_"}:
            return f"{name[0]}({arguments[0]})"
        if name == "_?_:_":
            return f"({arguments[0]} ? {arguments[1]} : {arguments[2]})"
        if name in {"_[_]", "_[?_]"}:
            return f"{_primary(arguments[0])}[{'?' if '?' in name else ''}{arguments[1]}]"
        if overload.member:
            return f"{_primary(arguments[0])}.{name}({', '.join(arguments[1:])})"
        return f"{name}({', '.join(arguments)})"


def _primary(text: str) -> str:
    return f"({text})" if text.startswith("-") else text


def case_of(number: int, expression: str) -> Case:
    """A question about one expression."""
    return {"id": number, "kind": "cel", "expression": expression, "driver": DRIVER, "devices": DEVICES}


def _batch(oracle: Path, seed: int, numbers: range) -> tuple[Counter[str], list[tuple[str, str]]]:
    cases = [case_of(number, Generator(seed * 10_000_019 + number).expression()) for number in numbers]
    counts: Counter[str] = Counter()
    found = []
    for case, theirs in zip(cases, ask(oracle, cases), strict=True):
        counts["cases"] += 1
        if theirs is None:
            counts["oracle crashes"] += 1
            continue
        counts[theirs["outcome"]] += 1
        for each in theirs.get("answers", ()):
            counts["errors" if "error" in each else str(each["match"])] += 1
        try:
            problem = difference(case, theirs, answer_cel(case))
        except Exception as error:
            problem = f"ours raises {error!r}"
        if problem:
            found.append((case["expression"], problem))
    return counts, found


def run(oracle: Path, count: int, seed: int, jobs: int, size: int = 500) -> Iterator[tuple[Counter[str], list[Any]]]:
    """Counts and differences, batch by batch."""
    parts = [range(start, min(start + size, count)) for start in range(0, count, size)]
    if jobs <= 1:
        for part in parts:
            yield _batch(oracle, seed, part)
        return
    with ProcessPoolExecutor(jobs) as pool:
        for future in [pool.submit(_batch, oracle, seed, part) for part in parts]:
            yield future.result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--oracle", type=Path, required=True)
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--show", type=int, default=20, help="differences to print")
    options = parser.parse_args()
    total: Counter[str] = Counter()
    differences = 0
    for counts, found in run(options.oracle, options.cases, options.seed, options.jobs):
        total += counts
        for expression, problem in found:
            differences += 1
            if differences <= options.show:
                print(json.dumps({"expression": expression, "difference": problem}, ensure_ascii=False), flush=True)
    print(json.dumps({"seed": options.seed, **total, "differences": differences}))
    sys.exit(1 if differences else 0)


if __name__ == "__main__":
    main()
