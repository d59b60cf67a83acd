"""From text to a checked tree: parsing, names, static types, and the bound on what an evaluation may cost.

celpy's grammar parses, with two constructs added that Kubernetes has: `.?name` and `[?key]`. The checker then does what
celpy leaves out and the API server does: it knows every name and function, and follows types as far as they are known.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from celpy.celparser import CELParser, Lark
from celpy.evaluation import celstr

from scheduler.core.cel.functions import INT_MAX, INT_MIN, OVERLOADS, call
from scheduler.core.cel.values import Failure, Literals, type_name
from scheduler.core.errors import SelectorError

MAX_LENGTH: Final = 10 * 1024  # CELSelectorExpressionMaxLength, in bytes
MAX_DEPTH: Final = 64
MAX_STEPS: Final = 10_000  # node evaluations per device, macros multiplied out
UNKNOWN_SIZE: Final = 64  # elements assumed for a list that is not written out: attribute strings are this short
MACROS: Final = frozenset({"all", "exists", "exists_one", "map", "filter"})
NOT_YET: Final = frozenset({
    "type", "uint", "bytes", "timestamp", "duration", "url", "isURL", "ip", "isIP", "cidr", "isCIDR", "format", "find",
    "findAll", "sum", "min", "max", "isSorted", "sets", "math", "existsOne", "transformList", "transformMap",
    "transformMapEntry", "block", "optMap", "optFlatMap", "getHost", "family", "containsIP", "distinct", "flatten",
    "sort", "sortBy", "slice", "reverse", "range", "first", "last", "validate", "isFormat", "containsCIDR",
})  # fmt: skip

Key = tuple[str, str]
"""What is read: a kind and a name.

("driver", ""), ("attribute" or "capacity", full name), ("attribute domain" or "capacity domain", domain), or
("everything", "") where that cannot be told.
"""

DRIVER: Final[Key] = ("driver", "")
EVERYTHING: Final[Key] = ("everything", "")
NOTHING: Final[frozenset[Key]] = frozenset()

# ---------------------------------------------------------------- the tree


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Node:
    """An expression: its static type (`dyn` where only a device tells), cost, and what it reads of a device.

    `vector` is false where it handles a whole map of the device, which has no column.
    """

    type: str
    steps: int = 1
    depth: int = 1
    reads: frozenset[Key] = NOTHING
    vector: bool = True


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Const(Node):
    """A literal."""

    value: object


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Variable(Node):
    """The loop variable of a macro."""

    slot: int


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Read(Node):
    """A column: its `value` (absence fails), whether it is `present`, or the two as an `optional` value."""

    key: Key
    mode: str


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Whole(Node):
    """`device`, or a whole map of it: `kind` attribute or capacity, one `domain` or (None) all."""

    kind: str
    domain: str | None = None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Call(Node):
    """A function or operator of `functions.OVERLOADS`, or `list` (build one) or `has.NAME`."""

    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Logic(Node):
    """`&&` or `||` of two or more."""

    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Choice(Node):
    """`test ? yes : no`."""

    test: Node
    yes: Node
    no: Node


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Macro(Node):
    """`items.name(variable, body)`."""

    name: str
    items: Node
    slot: int
    body: Node


# ---------------------------------------------------------------- parsing

_PASS_THROUGH: Final = frozenset({
    "expr", "conditionalor", "conditionaland", "relation", "addition", "multiplication", "unary", "member",
})  # fmt: skip
_OPERATORS: Final = {
    "relation_lt": "_<_", "relation_le": "_<=_", "relation_gt": "_>_", "relation_ge": "_>=_", "relation_eq": "_==_",
    "relation_ne": "_!=_", "relation_in": "_in_", "addition_add": "_+_", "addition_sub": "_-_",
    "multiplication_mul": "_*_", "multiplication_div": "_/_", "multiplication_mod": "_%_",
    "unary_not": "!_", "unary_neg": "-_",
}  # fmt: skip
_RESERVED: Final = frozenset({
    "as", "break", "const", "continue", "else", "for", "function", "if", "import", "in", "let", "loop", "package",
    "namespace", "return", "var", "void", "while", "true", "false", "null",
})  # fmt: skip
_ESCAPE: Final = re.compile(
    r"\\(?:[abfnrtv\"'\\]|[0-3][0-7]{2}|[xX][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})", re.ASCII
)


_PAIR: Final = re.compile(r"\\(.)", re.DOTALL)


def _unescape_plain(token: Any) -> Any:
    r"""Takes `\?` and a backslash before a backquote for the bare character, which celpy does not."""
    if token[0] in "rR":
        return token
    return token.update(value=_PAIR.sub(lambda pair: pair[1] if pair[1] in "?`" else pair[0], str(token)))


def _bool_literal(token: Any) -> Any:
    # celpy's own callback does this too, but loses the token's place.
    return token.update(type="BOOL_LIT") if token in {"true", "false"} else token


@lru_cache(maxsize=1)
def _parser() -> Any:
    CELParser()
    grammar = CELParser.CEL_PARSER.source_grammar
    grammar = grammar.replace("member         :", "member         : member_optional_index | member_optional_dot |", 1)
    grammar += '\nmember_optional_index: member "[?" expr "]"\nmember_optional_dot: member ".?" IDENT\n'
    return Lark(
        grammar, parser="lalr", start="expr", g_regex_flags=re.M, priority="invert", propagate_positions=True,
        maybe_placeholders=False,
        # IDENT stays last: lark tests the one callback that it chains, IDENT's, against the name of the last of them.
        lexer_callbacks={
            "STRING_LIT": _unescape_plain, "MLSTRING_LIT": _unescape_plain, "IDENT": _bool_literal,
        },
    )  # fmt: skip


def inner(tree: Any) -> Any:
    """The tree below grammar levels and parentheses that add nothing."""
    while True:
        if tree.data in _PASS_THROUGH and len(tree.children) == 1:
            tree = tree.children[0]
        elif tree.data == "primary" and tree.children[0].data == "paren_expr":
            tree = tree.children[0].children[0]
        else:
            return tree


def operands(tree: Any) -> list[Any]:
    """The parts of a chain of `&&` or of `||`, left to right."""
    parts = []
    chain = tree.data
    while tree.data == chain and len(tree.children) == 2:
        parts.append(tree.children[1])
        tree = inner(tree.children[0])
    parts.append(tree)
    return parts[::-1]


def literal_token(tree: Any) -> Any:
    """The token of a tree that is one literal, else None."""
    tree = inner(tree)
    if tree.data == "primary" and tree.children[0].data == "literal":
        return tree.children[0].children[0]
    return None


def select_of(tree: Any) -> tuple[Any, str] | None:
    """(operand, name) of the argument of `has`, else None."""
    tree = inner(tree)
    return (tree.children[0], str(tree.children[1])) if tree.data == "member_dot" else None


def is_empty_list(tree: Any) -> bool:
    """Whether a tree is `[]`."""
    tree = inner(tree)
    return bool(tree.data == "primary" and tree.children[0].data == "list_lit" and not tree.children[0].children)


def arguments_of(tree: Any, position: int) -> list[Any]:
    """The trees of a call's arguments; its exprlist is child `position`."""
    return list(tree.children[position].children) if len(tree.children) > position else []


def name_of(tree: Any) -> str | None:
    """The identifier that a tree is, else None."""
    tree = inner(tree)
    if tree.data == "primary" and tree.children[0].data == "ident":
        return str(tree.children[0].children[0])
    return None


def refusal(expression: str, problem: str, remedy: str, at: Any = None) -> SelectorError:
    """A SelectorError for an expression, with the place where it is known."""
    line, column = getattr(at, "line", None), getattr(at, "column", None)
    place = f"line {line}, column {column}: " if isinstance(line, int) and isinstance(column, int) else ""
    shown = expression if len(expression) <= 120 else expression[:120] + "…"
    return SelectorError(f"selector {shown!r}", place + problem, remedy)


def parse(expression: str) -> Any:
    """celpy's tree of an expression. Raises SelectorError."""
    if len(expression.encode(errors="surrogatepass")) > MAX_LENGTH:
        raise refusal(expression, f"is longer than {MAX_LENGTH} bytes", "shorten it or split it into several selectors")
    try:
        return _parser().parse(expression)
    except RecursionError:
        raise refusal(expression, "is nested too deeply", "flatten it") from None
    except Exception as error:
        if not type(error).__module__.startswith("lark"):
            raise
        token = getattr(error, "token", None)
        if getattr(token, "type", "") == "$END":
            raise refusal(expression, "is not CEL: it ends too early", "complete it") from None
        shown = str(getattr(error, "char", "") if token is None else token)[:20]
        raise refusal(expression, f"is not CEL near {shown!r}", "correct the syntax", token or error) from None


# ---------------------------------------------------------------- static types


def _base(kind: str) -> str:
    return kind.partition("(")[0]


def _element(kind: str) -> str:
    return kind.partition("(")[2][:-1] or "dyn"


def join(a: str, b: str) -> str | None:
    """The type that both are, None if there is none."""
    if a == b:
        return a
    if "dyn" in {a, b}:
        return "dyn"
    if "null" in {a, b}:
        return None if {a, b} & {"bool", "int", "double", "string"} else "dyn"
    if _base(a) != _base(b):
        return None
    element = join(_element(a), _element(b))
    return None if element is None else f"{_base(a)}({element})"


def _shown(kind: str) -> str:
    return "any" if kind == "dyn" else kind


class Checker:
    """Builds the checked tree of one expression."""

    def __init__(self, expression: str) -> None:
        self._expression = expression
        self.slots = 0
        self._depth = 0

    def check(self, tree: Any) -> Node:
        """The whole expression. Raises SelectorError."""
        node = self._node(tree, {})
        if node.type not in {"bool", "dyn"}:
            raise self._refuse(f"gives {_shown(node.type)}, not bool", "compare the value with something")
        if node.depth > 2 * MAX_DEPTH:
            raise self._refuse(f"is nested more than {2 * MAX_DEPTH} deep once cel.bind is resolved", "flatten it")
        if node.steps > MAX_STEPS:
            raise self._refuse(
                f"may take about {node.steps} steps on one device, over the limit of {MAX_STEPS}",
                "shorten the lists of nested macros",
            )
        return node

    def _refuse(self, problem: str, remedy: str, at: Any = None) -> SelectorError:
        return refusal(self._expression, problem, remedy, getattr(at, "meta", at))

    def _not_yet(self, what: str, at: Any) -> SelectorError:
        return self._refuse(f"{what} is not supported yet", "use comparisons or a supported function", at)

    def _overload(self, name: str, types: tuple[str, ...], at: Any) -> SelectorError:
        shown = ", ".join(_shown(kind) for kind in types)
        return self._refuse(
            f"{name.strip('_.')} does not take ({shown})", "convert or compare values of the right type", at
        )

    # ------------------------------------------------------------ dispatch

    def _node(self, tree: Any, scope: Mapping[str, Node]) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._refuse(f"is nested more than {MAX_DEPTH} deep", "flatten it", tree)
        tree = inner(tree)
        node: Node = getattr(self, "_" + str(tree.data))(tree, scope)
        self._depth -= 1
        return node

    def _expr(self, tree: Any, scope: Mapping[str, Node]) -> Node:
        test, yes, no = (self._node(child, scope) for child in tree.children)
        if test.type not in {"bool", "dyn"}:
            raise self._overload("?:", (test.type, yes.type, no.type), tree)
        joined = join(yes.type, no.type)
        if joined is None:
            raise self._refuse(f"? : chooses between {yes.type} and {no.type}", "give both the same type", tree)
        return Choice(type=joined, test=test, yes=yes, no=no, **_sum_up((test, yes, no)))

    def _logic(self, tree: Any, scope: Mapping[str, Node]) -> Node:
        arguments = tuple(self._node(part, scope) for part in operands(tree))
        name = "&&" if tree.data == "conditionaland" else "||"
        for argument in arguments:
            if argument.type not in {"bool", "dyn"}:
                raise self._overload(name, tuple(a.type for a in arguments), tree)
        return Logic(type="bool", name=name, arguments=arguments, **_sum_up(arguments))

    _conditionalor = _conditionaland = _logic

    def _binary(self, tree: Any, scope: Mapping[str, Node]) -> Node:
        operator, right = tree.children
        return self._operator(_OPERATORS[operator.data], tree, scope, operator.children[0], right)

    _relation = _addition = _multiplication = _binary

    def _unary(self, tree: Any, scope: Mapping[str, Node]) -> Node:
        operator, operand = tree.children
        return self._operator(_OPERATORS[operator.data], tree, scope, operand)

    def _operator(self, name: str, tree: Any, scope: Mapping[str, Node], *parts: Any) -> Node:
        arguments = tuple(self._node(part, scope) for part in parts)
        types = tuple(argument.type for argument in arguments)
        if name in {"_==_", "_!=_"} and join(*types) is None:
            raise self._overload(name, types, tree)
        if name == "_in_":
            return self._in(arguments[0], arguments[1], tree)
        return self._call(name, arguments, tree)

    def _in(self, item: Node, container: Node, tree: Any) -> Node:
        if _base(container.type) == "map":
            if item.type not in {"string", "dyn"}:
                raise self._overload("in", (item.type, container.type), tree)
            if isinstance(container, Whole) and isinstance(item, Const) and isinstance(item.value, str):
                if container.domain is None:
                    return _read((container.kind + " domain", item.value), "present", "bool")
                return _read((container.kind, f"{container.domain}/{item.value}"), "present", "bool")
        elif _base(container.type) == "list":
            if isinstance(container, Call) and container.name == "list" and not container.arguments:
                # Kubernetes answers this without looking at the item, even one that fails.
                return Const(type="bool", value=False)
            if join(item.type, _element(container.type)) is None:
                raise self._overload("in", (item.type, container.type), tree)
        elif container.type != "dyn":
            raise self._overload("in", (item.type, container.type), tree)
        return Call(type="bool", name="_in_", arguments=(item, container), **_sum_up((item, container)))

    def _call(self, name: str, arguments: tuple[Node, ...], tree: Any) -> Node:
        shown = name.strip("_.")
        if name not in OVERLOADS:
            if shown.partition(".")[0] in NOT_YET:
                raise self._not_yet(f"{shown}()", tree)
            raise self._refuse(f"refers to the unknown function {shown}()", "correct its name", tree)
        types = tuple(_base(argument.type) for argument in arguments)
        results = [
            result
            for parameters, (result, _) in OVERLOADS[name].items()
            if len(parameters) == len(types)
            and all(p == t or "dyn" in {p, t} for p, t in zip(parameters, types, strict=True))
        ]
        if not results:
            raise self._overload(name, tuple(argument.type for argument in arguments), tree)
        kind = results[0] if len(set(results)) == 1 else "dyn"
        kind = self._exact(name, kind, [argument.type for argument in arguments], tree)
        self._try_constants(name, arguments, tree)
        return Call(type=kind, name=name, arguments=arguments, **_sum_up(arguments))

    def _exact(self, name: str, kind: str, types: list[str], tree: Any) -> str:
        """The result's type where it follows from what is inside the arguments."""
        if name == ".join" and join(_element(types[0]), "string") is None:
            raise self._overload(name, tuple(types), tree)
        if name == "optional.of":
            return f"optional({types[0]})"
        if name == ".value":
            return _element(types[0])
        if name in {".orValue", ".or"}:
            joined = join(_element(types[0]) if name == ".orValue" else types[0], types[1])
            if joined is None:
                raise self._overload(name, tuple(types), tree)
            return joined
        if name == "_+_" and kind == "list":
            return join(types[0], types[1]) or "list(dyn)"
        if name == "dyn":
            return "dyn"
        return kind

    def _try_constants(self, name: str, arguments: tuple[Node, ...], tree: Any) -> None:
        """Conversions of literals and literal patterns are tried now: no device will mend them."""
        values = [argument.value for argument in arguments if isinstance(argument, Const)]
        try:
            if name in {"int", "double", "bool"} and len(values) == 1 and arguments:
                call(name, *values)
            if name in {"matches", ".matches"} and isinstance(arguments[1], Const):
                call("matches", "", arguments[1].value)
        except Failure as failure:
            raise self._refuse(str(failure), "correct the literal", tree) from None

    # ------------------------------------------------------------ members

    def _member_dot(self, tree: Any, scope: Mapping[str, Node]) -> Node:
        operand, name = self._node(tree.children[0], scope), str(tree.children[1])
        if operand.type == "device":
            return self._property(name, tree)
        if _base(operand.type) == "optional":
            return self._optional(operand, _text(name), tree)
        if _base(operand.type) not in {"map", "dyn"}:
            raise self._refuse(f"{_shown(operand.type)} has no field {name}", "select fields of maps only", tree)
        return self._index(operand, _text(name), tree)

    def _member_index(self, tree: Any, scope: Mapping[str, Node]) -> Node:
        operand, key = (self._node(child, scope) for child in tree.children)
        if _base(operand.type) == "optional":
            return self._optional(operand, key, tree)
        return self._index(operand, key, tree)

    def _member_optional_dot(self, tree: Any, scope: Mapping[str, Node]) -> Node:
        return self._optional(self._node(tree.children[0], scope), _text(str(tree.children[1])), tree)

    def _member_optional_index(self, tree: Any, scope: Mapping[str, Node]) -> Node:
        operand, key = (self._node(child, scope) for child in tree.children)
        return self._optional(operand, key, tree)

    def _property(self, name: str, tree: Any) -> Node:
        if name == "driver":
            return _read(DRIVER, "value", "string")
        if name == "allowMultipleAllocations":
            # Devices that allow it are refused before any selector sees them.
            return Const(type="bool", value=False)
        if name in {"attributes", "capacity"}:
            value = "dyn" if name == "attributes" else "quantity"
            kind = "attribute" if name == "attributes" else "capacity"
            return Whole(type=f"map(map({value}))", kind=kind, reads=frozenset({EVERYTHING}), vector=False)
        raise self._refuse(
            f"a device has no {name}", "there are driver, attributes, capacity, allowMultipleAllocations", tree
        )

    def _index(self, operand: Node, key: Node, tree: Any) -> Node:
        base = _base(operand.type)
        keys = {"map": {"string", "dyn"}, "list": {"int", "dyn"}, "dyn": {"string", "int", "double", "bool", "dyn"}}
        if key.type not in keys.get(base, ()):
            raise self._overload("[]", (operand.type, key.type), tree)
        kind = _element(operand.type)
        if isinstance(operand, Whole) and isinstance(key, Const) and isinstance(key.value, str):
            return _part(operand, key.value, "value")
        return Call(type=kind, name="_[_]", arguments=(operand, key), **_sum_up((operand, key)))

    def _optional(self, operand: Node, key: Node, tree: Any) -> Node:
        base = _base(operand.type)
        kind = _element(operand.type)
        if base == "optional":
            base, kind = _base(kind), _element(kind)
        keys = {"map": {"string", "dyn"}, "list": {"int", "dyn"}, "dyn": {"string", "int", "dyn"}}
        if key.type not in keys.get(base, ()):
            raise self._overload("[?]", (operand.type, key.type), tree)
        whole = operand
        if isinstance(operand, Call) and operand.name == "_[?_]":
            whole = _present_domain(operand) or operand
        if isinstance(whole, Whole) and whole.domain is not None and isinstance(key, Const):
            return _part(whole, str(key.value), "optional")
        return Call(type=f"optional({kind})", name="_[?_]", arguments=(operand, key), **_sum_up((operand, key)))

    def _member_dot_arg(self, tree: Any, scope: Mapping[str, Node]) -> Node:
        receiver, name = tree.children[0], str(tree.children[1])
        arguments = arguments_of(tree, 2)
        space = name_of(receiver)
        if space == "cel" and space not in scope:
            return self._bind(name, arguments, tree, scope)
        if space in {"optional", "sets", "math"} and space not in scope:
            return self._call(f"{space}.{name}", tuple(self._node(a, scope) for a in arguments), tree)
        if name in MACROS:
            return self._macro(name, receiver, arguments, tree, scope)
        nodes = tuple(self._node(part, scope) for part in (receiver, *arguments))
        return self._call("." + name, nodes, tree)

    def _bind(self, name: str, arguments: list[Any], tree: Any, scope: Mapping[str, Node]) -> Node:
        if name != "bind":
            raise self._not_yet(f"cel.{name}()", tree)
        if len(arguments) != 3:
            raise self._refuse("cel.bind takes a name, a value and an expression", "give all three", tree)
        # Evaluation has no effects, so the name may stand for the expression itself.
        bound = self._node(arguments[1], scope)
        return self._node(arguments[2], {**scope, self._variable(arguments[0]): bound})

    def _variable(self, tree: Any) -> str:
        name = name_of(tree)
        if name is None or name in _RESERVED:
            raise self._refuse("the variable of a macro is not a plain name", "write a name there", tree)
        return name

    def _macro(self, name: str, receiver: Any, arguments: list[Any], tree: Any, scope: Mapping[str, Node]) -> Node:
        if len(arguments) != 2:
            raise self._not_yet(f"{name}() with {len(arguments)} arguments", tree)
        items = self._node(receiver, scope)
        base = _base(items.type)
        if base not in {"list", "map", "dyn"}:
            raise self._refuse(f"{name}() cannot range over {_shown(items.type)}", "give it a list", tree)
        element = {"list": _element(items.type), "map": "string", "dyn": "dyn"}[base]
        slot, self.slots = self.slots, self.slots + 1
        variable = Variable(type=element, slot=slot)
        body = self._node(arguments[1], {**scope, self._variable(arguments[0]): variable})
        if name != "map" and body.type not in {"bool", "dyn"}:
            raise self._overload(name, (items.type, body.type), tree)
        kind = {"map": f"list({body.type})", "filter": f"list({element})"}.get(name, "bool")
        sums = _sum_up((items, body))
        sums["steps"] = 1 + items.steps + _size(items) * (1 + body.steps)
        return Macro(type=kind, name=name, items=items, slot=slot, body=body, **sums)

    # ------------------------------------------------------------ primaries

    def _primary(self, tree: Any, scope: Mapping[str, Node]) -> Node:
        child = tree.children[0]
        if child.data == "literal":
            return self._literal(child.children[0])
        if child.data == "ident":
            return self._ident(str(child.children[0]), tree, scope)
        if child.data == "ident_arg":
            return self._function(str(child.children[0]), arguments_of(child, 1), tree, scope)
        if child.data == "list_lit":
            return self._list(arguments_of(child, 0), tree, scope)
        raise self._not_yet("a map literal" if child.data == "map_lit" else "a name with a leading dot", tree)

    def _ident(self, name: str, tree: Any, scope: Mapping[str, Node]) -> Node:
        if name in scope:
            return scope[name]
        if name == "device":
            return Whole(type="device", kind="device", reads=frozenset({EVERYTHING}), vector=False)
        raise self._refuse(f"refers to the unknown name {name}", "the only variable is device", tree)

    def _function(self, name: str, arguments: list[Any], tree: Any, scope: Mapping[str, Node]) -> Node:
        if name != "has":
            return self._call(name, tuple(self._node(argument, scope) for argument in arguments), tree)
        found = select_of(arguments[0]) if len(arguments) == 1 else None
        if found is None:
            raise self._refuse(
                "has() takes a field selection such as has(a.b)", 'use "key" in map for other keys', tree
            )
        operand = self._node(found[0], scope)
        if operand.type == "device":
            return Const(type="bool", value=self._property(found[1], tree) is not None)
        if isinstance(operand, Whole):
            if operand.domain is None:  # every domain is there, if only as an empty map
                return Const(type="bool", value=True)
            return _part(operand, found[1], "present")
        if _base(operand.type) not in {"map", "dyn", "optional"}:
            raise self._refuse(f"has() of a field of {_shown(operand.type)}", "select fields of maps only", tree)
        return Call(type="bool", name="has." + found[1], arguments=(operand,), **_sum_up((operand,)))

    def _list(self, parts: list[Any], tree: Any, scope: Mapping[str, Node]) -> Node:
        items = tuple(self._node(part, scope) for part in parts)
        kind: str | None = items[0].type if items else "dyn"
        for item in items:
            # Kubernetes asks for one type throughout, and a value known only at run time is a type of its own.
            if join(kind or "dyn", item.type) is None or (kind == "dyn") != (item.type == "dyn"):
                raise self._refuse(
                    f"a list mixes {_shown(kind or 'dyn')} and {_shown(item.type)}", "use one type", tree
                )
            kind = join(kind or "dyn", item.type)
        if items and all(literal_token(part) is not None for part in parts):
            values = Literals(item.value for item in items if isinstance(item, Const))
            return Const(type=f"list({kind})", value=values, steps=1 + len(values))
        return Call(type=f"list({kind})", name="list", arguments=items, **_sum_up(items))

    def _literal(self, token: Any) -> Node:
        kind, text = token.type, str(token)
        if kind in {"STRING_LIT", "MLSTRING_LIT"}:
            if text[0] not in "rR" and "\\" in _ESCAPE.sub("", text):
                raise self._refuse("a string has an invalid escape", r'write \\ for a backslash, or r"…"', token)
            return _text(str(celstr(token)))
        if kind == "INT_LIT":
            value = int(text, 16 if "0x" in text else 10) if len(text) <= 20 else INT_MAX + 1
            if not INT_MIN <= value <= INT_MAX:
                raise self._refuse(f"{text} does not fit into 64 bits", "use a smaller number", token)
            return Const(type="int", value=value)
        values: dict[str, object] = {"BOOL_LIT": text == "true", "NULL_LIT": None}
        if kind == "FLOAT_LIT":
            values[kind] = float(text)
        if kind not in values:
            raise self._not_yet("an unsigned number" if kind == "UINT_LIT" else "a bytes literal", token)
        return Const(type=type_name(values[kind]), value=values[kind])


def _sum_up(parts: tuple[Node, ...]) -> Any:
    """Steps, depth, reads and vector of a node made of these."""
    return {
        "steps": 1 + sum(part.steps for part in parts),
        "depth": 1 + max((part.depth for part in parts), default=0),
        "reads": NOTHING.union(*(part.reads for part in parts)),
        "vector": all(part.vector for part in parts),
    }


def _text(value: str) -> Const:
    return Const(type="string", value=value)


def _read(key: Key, mode: str, kind: str) -> Read:
    return Read(type=kind, key=key, mode=mode, reads=frozenset({key}))


def _part(whole: Whole, name: str, mode: str) -> Node:
    """A domain of all attributes, or one attribute of a domain."""
    if whole.domain is None:
        kind = _element(whole.type)
        return Whole(
            type=kind, kind=whole.kind, domain=name, reads=frozenset({(whole.kind + " domain", name)}), vector=False
        )
    value = _element(whole.type)
    types = {"value": value, "present": "bool", "optional": f"optional({value})"}
    return _read((whole.kind, f"{whole.domain}/{name}"), mode, types[mode])


def _present_domain(node: Call) -> Node | None:
    """The domain that `device.attributes[?"domain"]` holds for certain."""
    whole, key = node.arguments
    if isinstance(whole, Whole) and whole.domain is None and isinstance(key, Const):
        return _part(whole, str(key.value), "value")
    return None


def _size(items: Node) -> int:
    if isinstance(items, Const) and isinstance(items.value, tuple):
        return len(items.value)
    if isinstance(items, Call) and items.name == "list":
        return len(items.arguments)
    if isinstance(items, Macro):
        return _size(items.items)
    if isinstance(items, Call) and items.name == "_+_":
        return sum(_size(part) for part in items.arguments)
    return UNKNOWN_SIZE
