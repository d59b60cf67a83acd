"""From text to a tree: celpy's grammar, corrected where Kubernetes' parser differs, and macros expanded.

What differs: `.?name`, `[?key]`, `?element` and trailing commas; escaped names; numbers take their sign from the
operator in front of them; `!` and `-` do not mix; keywords are not names; strings have exactly the escapes of the
language. Nesting is limited as Kubernetes limits it.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from celpy.celparser import CELParser, Lark

from scheduler.core.cel.tree import ACCUMULATOR, UNUSED, Call, Fold, Ident, ListOf, Literal, MapOf, Node, Select
from scheduler.core.cel.values import INT_MAX, INT_MIN, UINT_MAX, Uint
from scheduler.core.errors import SelectorError

MAX_DEPTH: Final = 250
"""Of nested expressions, comparisons and sums each, and of operators, selections and calls together."""

_ESCAPE: Final = r"""\\(?:[abfnrtv"'\\?`]|[0-3][0-7]{2}|[xX][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})"""
_LINE: Final = "|".join([
    rf"""\"(?:{_ESCAPE}|[^\\\"\n\r])*\"""", rf"""'(?:{_ESCAPE}|[^\\'\n\r])*'""",
    r"""[rR]\"[^\"\n\r]*\"""", r"""[rR]'[^'\n\r]*'""",
])  # fmt: skip
_LINES: Final = "|".join([
    rf"""\"\"\"(?:{_ESCAPE}|[^\\])*?\"\"\"""", rf"""'''(?:{_ESCAPE}|[^\\])*?'''""",
    r"""[rR]\"\"\"[\s\S]*?\"\"\"""", r"""[rR]'''[\s\S]*?'''""",
])  # fmt: skip
_RULES: Final = {
    "unary": "member | nots member | negs member\nnots: NOT+\nnegs: MINUS+",
    "unary_not": None,
    "unary_neg": None,
    "relation_in": "relation IN",
    "member": "member_dot | member_dot_arg | member_optional_dot | member_index | member_optional_index"
    " | member_object | primary",
    "member_dot": 'member "." field\nfield: IDENT | ESCAPED\nmember_optional_dot: member "." "?" field',
    "member_index": 'member "[" expr "]"\nmember_optional_index: member "[" "?" expr "]"',
    "list_lit": '"[" "]" | "[" "," "]" | "[" elements "]" | "[" elements "," "]"\n'
    'elements: element | elements "," element\nelement: expr | marked\nmarked: "?" expr',
    "map_lit": '"{" "}" | "{" "," "}" | "{" entries "}" | "{" entries "," "}"\n'
    'entries: entry | entries "," entry\nentry: element ":" expr',
    "mapinits": None,
    "INT_LIT": None, "UINT_LIT": None, "FLOAT_LIT": None, "DIGIT": None, "HEXDIGIT": None, "EXPONENT": None,
    "STRING_LIT": None, "MLSTRING_LIT": None, "BYTES_LIT": None, "BOOL_LIT": None, "NULL_LIT": None, "IDENT": None,
    "RESERVED.0": None, "COMMENT": r"/\/\/[^\n]*/",
}  # fmt: skip
"""What replaces a rule or terminal of celpy's grammar; None removes it."""

_TERMINALS: Final = rf"""
NOT: "!"
MINUS: "-"
IN.9: /in\b/
BOOL_LIT.9: /(?:true|false)\b/
NULL_LIT.9: /null\b/
BYTES_LIT.8: /[bB](?:{_LINES}|{_LINE})/
MLSTRING_LIT.7: /(?:{_LINES})/
STRING_LIT.6: /(?:{_LINE})/
UINT_LIT.5: /(?:0x[0-9a-fA-F]+|[0-9]+)[uU]/
FLOAT_LIT.4: /[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+|\.[0-9]+(?:[eE][+-]?[0-9]+)?/
INT_LIT.3: /0x[0-9a-fA-F]+|[0-9]+/
ESCAPED: /`[A-Za-z0-9_.\-\/ ]+`/
IDENT: /(?!(?:in|true|false|null)\b)[_a-zA-Z][_a-zA-Z0-9]*/
"""
_RULE: Final = re.compile(r"^([A-Za-z_.0-9]+)[ \t]*:[^\n]*(?:\n[ \t]+\|[^\n]*)*", re.MULTILINE)
_RESERVED: Final = frozenset({
    "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package",
    "namespace", "return", "var", "void", "while",
})  # fmt: skip
_PASS_THROUGH: Final = frozenset({
    "expr", "conditionalor", "conditionaland", "relation", "addition", "multiplication", "unary", "member", "primary",
})  # fmt: skip
_OPERATORS: Final = {
    "relation_lt": "_<_", "relation_le": "_<=_", "relation_gt": "_>_", "relation_ge": "_>=_", "relation_eq": "_==_",
    "relation_ne": "_!=_", "relation_in": "@in", "addition_add": "_+_", "addition_sub": "_-_",
    "multiplication_mul": "_*_", "multiplication_div": "_/_", "multiplication_mod": "_%_",
}  # fmt: skip
_SIMPLE_ESCAPES: Final = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", "'": "'", '"': '"',
    "`": "`", "?": "?",
}  # fmt: skip


def refusal(expression: str, problem: str, remedy: str, at: tuple[int, int] | None = None) -> SelectorError:
    """A SelectorError for an expression, with the place where it is known."""
    place = f"line {at[0]}, column {at[1]}: " if at is not None else ""
    return SelectorError(f"selector {excerpt(expression)}", place + problem, remedy)


def excerpt(expression: str) -> str:
    """An expression as messages show it: quoted, escaped, and not longer than a line or two."""
    return repr(expression if len(expression) <= 120 else expression[:120] + "…")


@lru_cache(maxsize=1)
def _parser() -> Any:
    CELParser()
    seen = set()

    def corrected(rule: re.Match[str]) -> str:
        name = rule[1]
        if name not in _RULES:
            return rule[0]
        seen.add(name)
        return f"{name}: {_RULES[name]}" if _RULES[name] is not None else ""

    grammar = _RULE.sub(corrected, CELParser.CEL_PARSER.source_grammar) + _TERMINALS
    if seen != set(_RULES):
        raise SelectorError("celpy's grammar", f"has no rule {sorted(set(_RULES) - seen)}", "use the pinned cel-python")
    return Lark(grammar, parser="lalr", start="expr", propagate_positions=True, maybe_placeholders=False)


def parse(expression: str) -> Node:
    """The tree of an expression. Raises SelectorError."""
    if len(expression) > 100_000:
        raise refusal(expression, "is longer than 100000 characters", "shorten it")
    try:
        parsed = _parser().parse(expression)
    except Exception as error:
        if not type(error).__module__.startswith("lark"):
            raise
        token = getattr(error, "token", None)
        if getattr(token, "type", "") == "$END":
            raise refusal(expression, "is not CEL: it ends too early", "complete it") from None
        shown = str(getattr(error, "char", "") if token is None else token)[:20]
        found = token if token is not None else error
        line, column = getattr(found, "line", None), getattr(found, "column", None)
        at = (line, column) if isinstance(line, int) and isinstance(column, int) else None
        problem = f"is not CEL near {shown!r}"
        if shown[:1] in {"'", '"'}:
            problem += ": a text that is not closed, or has an invalid escape"
        raise refusal(expression, problem, "correct the syntax", at) from None
    return _Builder(expression).build(parsed)


def _place(tree: Any) -> tuple[int, int] | None:
    meta = getattr(tree, "meta", tree)
    line, column = getattr(meta, "line", None), getattr(meta, "column", None)
    return (line, column) if isinstance(line, int) and isinstance(column, int) else None


class _Depth:
    """How deep a place is: in expressions, comparisons, sums, and in operators and selections together."""

    __slots__ = ("expressions", "relations", "sums", "visits")

    def __init__(self, expressions: int, relations: int, sums: int, visits: int) -> None:
        self.expressions, self.relations, self.sums, self.visits = expressions, relations, sums, visits

    def inner(self) -> "_Depth":
        return _Depth(self.expressions + 1, self.relations + 1, self.sums + 1, self.visits)

    def visit(self) -> "_Depth":
        return _Depth(self.expressions, self.relations, self.sums, self.visits + 1)

    def right(self, operator: str) -> "_Depth":
        compares = operator.startswith("relation")
        return _Depth(self.expressions, self.relations + compares, self.sums + (not compares), self.visits)

    def too_deep(self) -> bool:
        return max(self.expressions, self.relations, self.sums, self.visits) > MAX_DEPTH


class _Builder:
    """Builds the tree of one expression."""

    def __init__(self, expression: str) -> None:
        self._expression = expression
        self._last = 0

    def build(self, tree: Any) -> Node:
        return self._node(tree, _Depth(0, 0, 0, 0))

    def number(self) -> int:
        """An id for a new node."""
        self._last += 1
        return self._last

    def refuse(self, problem: str, remedy: str, at: tuple[int, int] | None) -> SelectorError:
        """A SelectorError about this expression."""
        return refusal(self._expression, problem, remedy, at)

    def _node(self, tree: Any, depth: _Depth, *, negative: bool = False) -> Node:
        while True:
            if tree.data == "expr":
                depth = depth.inner()
            if depth.too_deep():
                raise self.refuse(f"is nested more than {MAX_DEPTH} deep", "flatten it", _place(tree))
            if tree.data == "paren_expr":
                if negative:
                    break
                tree = tree.children[0]
            elif tree.data in _PASS_THROUGH and len(tree.children) == 1:
                tree = tree.children[0]
            else:
                break
        if negative:
            return self._negative(tree, depth)
        node: Node = getattr(self, "_" + str(tree.data))(tree, depth)
        return node

    # ------------------------------------------------------------ operators

    def _expr(self, tree: Any, depth: _Depth) -> Node:
        depth = self._visit(tree, depth)
        test, yes, no = tree.children
        number = self.number()
        arguments = (self._node(test, depth), self._node(yes, depth), self._node(no, depth))
        return Call(number, "_?_:_", arguments, at=_place(tree))

    def _visit(self, tree: Any, depth: _Depth) -> _Depth:
        depth = depth.visit()
        if depth.too_deep():
            raise self.refuse(f"is nested more than {MAX_DEPTH} deep", "flatten it", _place(tree))
        return depth

    def _logic(self, tree: Any, depth: _Depth) -> Node:
        parts, chain = [], tree.data
        place = _place(tree)
        while tree.data == chain and len(tree.children) == 2:
            parts.append(tree.children[1])
            tree = tree.children[0]
            while tree.data == chain and len(tree.children) == 1:
                tree = tree.children[0]
        terms = [self._node(part, depth) for part in [tree, *parts[::-1]]]
        name = "_&&_" if chain == "conditionaland" else "_||_"
        return self._balanced(name, terms, place)

    def _balanced(self, name: str, terms: list[Node], at: tuple[int, int] | None) -> Node:
        if len(terms) == 1:
            return terms[0]
        middle = (len(terms) + 1) // 2
        halves = (self._balanced(name, terms[:middle], at), self._balanced(name, terms[middle:], at))
        return Call(self.number(), name, halves, at=at)

    _conditionalor = _conditionaland = _logic

    def _binary(self, tree: Any, depth: _Depth) -> Node:
        depth = self._visit(tree, depth)
        operator, right = tree.children
        first = self._node(operator.children[0], depth)
        second = self._node(right, depth.right(str(operator.data)))
        return Call(self.number(), _OPERATORS[operator.data], (first, second), at=_place(tree))

    _relation = _addition = _multiplication = _binary

    def _unary(self, tree: Any, depth: _Depth) -> Node:
        operators, operand = tree.children
        count = len(operators.children)
        if operators.data == "negs" and count == 1:
            return self._node(operand, depth, negative=True)
        node = self._node(operand, depth)
        if count % 2 == 0:
            return node
        return Call(self.number(), "!_" if operators.data == "nots" else "-_", (node,), at=_place(tree))

    def _negative(self, tree: Any, depth: _Depth) -> Node:
        """A single `-` in front: part of the number that comes next, else an operator."""
        first = tree
        while first.data not in {"literal", "paren_expr"} and getattr(first, "children", None):
            child = first.children[0]
            if not hasattr(child, "data") or (first.data in {"list_lit", "map_lit", "ident_arg"}):
                break
            first = child
        if first.data == "literal" and first.children[0].type in {"INT_LIT", "FLOAT_LIT"}:
            token = first.children[0]
            first.children[0] = token.update(value="-" + str(token))
            return self._node(tree, depth)
        return Call(self.number(), "-_", (self._node(tree, depth),), at=_place(tree))

    # ------------------------------------------------------------ members

    def _field(self, tree: Any) -> str:
        token = tree.children[0]
        return str(token)[1:-1] if token.type == "ESCAPED" else str(token)

    def _member_dot(self, tree: Any, depth: _Depth) -> Node:
        operand = self._node(tree.children[0], self._visit(tree, depth))
        return Select(self.number(), operand, self._field(tree.children[1]), _place(tree))

    def _member_optional_dot(self, tree: Any, depth: _Depth) -> Node:
        operand = self._node(tree.children[0], self._visit(tree, depth))
        name = Literal(self.number(), self._field(tree.children[1]), _place(tree.children[1]))
        return Call(self.number(), "_?._", (operand, name), at=_place(tree))

    def _member_index(self, tree: Any, depth: _Depth) -> Node:
        depth = self._visit(tree, depth)
        operand, key = (self._node(child, depth) for child in tree.children)
        name = "_[_]" if tree.data == "member_index" else "_[?_]"
        return Call(self.number(), name, (operand, key), at=_place(tree))

    _member_optional_index = _member_index

    def _member_dot_arg(self, tree: Any, depth: _Depth) -> Node:
        depth = self._visit(tree, depth)
        target, name = self._node(tree.children[0], depth), str(tree.children[1])
        arguments = self._arguments(tree, 2, depth)
        macro = RECEIVER_MACROS.get((name, len(arguments)))
        if macro is not None:
            expanded = macro(self, name, target, arguments, _place(tree))
            if expanded is not None:
                return expanded
        return Call(self.number(), name, arguments, target, _place(tree))

    def _arguments(self, tree: Any, position: int, depth: _Depth) -> tuple[Node, ...]:
        if len(tree.children) <= position:
            return ()
        return tuple([self._node(child, depth) for child in tree.children[position].children])

    def _member_object(self, tree: Any, depth: _Depth) -> Node:
        raise self.refuse("creates an object, which is not supported", "compare plain values", _place(tree))

    # ------------------------------------------------------------ primaries

    def _name(self, token: Any) -> str:
        if str(token) in _RESERVED:
            raise self.refuse(f"uses the reserved word {token}", "use another name", _place(token))
        return str(token)

    def _ident(self, tree: Any, depth: _Depth) -> Node:
        return Ident(self.number(), self._name(tree.children[0]), _place(tree))

    def _dot_ident(self, tree: Any, depth: _Depth) -> Node:
        return Ident(self.number(), "." + self._name(tree.children[0]), _place(tree))

    def _ident_arg(self, tree: Any, depth: _Depth) -> Node:
        name = self._name(tree.children[0])
        arguments = self._arguments(tree, 1, depth)
        if name == "has" and len(arguments) == 1 and tree.data == "ident_arg":
            selection = arguments[0]
            if not isinstance(selection, Select):
                raise self.refuse(
                    "has() takes a field selection such as has(a.b)", 'use "key" in map for other keys', _place(tree)
                )
            return Select(self.number(), selection.operand, selection.field, _place(tree), tests=True)
        return Call(self.number(), name, arguments, at=_place(tree))

    _dot_ident_arg = _ident_arg

    def _list_lit(self, tree: Any, depth: _Depth) -> Node:
        found = _unrolled(tree)
        optional = frozenset(i for i, each in enumerate(found) if each.children[0].data == "marked")
        elements = tuple([self._element(each, depth) for each in found])
        return ListOf(self.number(), elements, optional, _place(tree))

    def _element(self, tree: Any, depth: _Depth) -> Node:
        child = tree.children[0]
        return self._node(child.children[0] if child.data == "marked" else child, depth)

    def _map_lit(self, tree: Any, depth: _Depth) -> Node:
        entries = tuple(
            [
                (
                    self._element(each.children[0], depth),
                    self._node(each.children[1], depth),
                    bool(each.children[0].children[0].data == "marked"),
                )
                for each in _unrolled(tree)
            ]
        )
        return MapOf(self.number(), entries, _place(tree))

    def _literal(self, tree: Any, depth: _Depth) -> Node:
        token = tree.children[0]
        kind, text = token.type, str(token)
        value: Any
        if kind in {"STRING_LIT", "MLSTRING_LIT"}:
            value = self._text(text, token)
        elif kind == "BYTES_LIT":
            value = self._bytes(text[1:], token)
        elif kind == "BOOL_LIT":
            value = text == "true"
        elif kind == "NULL_LIT":
            value = None
        elif kind == "FLOAT_LIT":
            value = float(text)
            if value in {float("inf"), float("-inf")}:
                raise self.refuse(f"{text} is not a double", "use a smaller number", _place(token))
        else:
            value = self._integer(kind, text, token)
        return Literal(self.number(), value, _place(token))

    def _integer(self, kind: str, text: str, token: Any) -> int:
        digits = text.rstrip("uU") if kind == "UINT_LIT" else text
        value = int(digits, 16 if "0x" in digits else 10) if len(digits) <= 60 else UINT_MAX + 1
        low, high = (0, UINT_MAX) if kind == "UINT_LIT" else (INT_MIN, INT_MAX)
        if not low <= value <= high:
            raise self.refuse(f"{text[:40]} does not fit into 64 bits", "use a smaller number", _place(token))
        return Uint(value) if kind == "UINT_LIT" else value

    def _text(self, text: str, token: Any) -> str:
        content, raw = _content(text)
        if raw or "\\" not in content:
            return content
        pieces = []
        for match in _PIECES.finditer(content):
            code, plain = _code_of(match)
            if code is None:
                pieces.append(plain)
                continue
            if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
                raise self.refuse("a string has an escape that is no character", "correct it", _place(token))
            pieces.append(chr(code))
        return "".join(pieces)

    def _bytes(self, text: str, token: Any) -> bytes:
        content, raw = _content(text)
        if raw or "\\" not in content:
            return content.encode(errors="surrogatepass")
        pieces = []
        for match in _PIECES.finditer(content):
            if match[0][:2] in {"\\u", "\\U"}:
                raise self.refuse("bytes cannot have unicode escapes", r"use \x", _place(token))
            code, plain = _code_of(match)
            pieces.append(plain.encode(errors="surrogatepass") if code is None else bytes([code & 0xFF]))
        return b"".join(pieces)


_PIECES: Final = re.compile(
    r"\\([0-3][0-7]{2})|\\[xX]([0-9a-fA-F]{2})|\\u([0-9a-fA-F]{4})|\\U([0-9a-fA-F]{8})|\\(.)|[^\\]+", re.DOTALL
)


def _content(text: str) -> tuple[str, bool]:
    """(what stands between the quotes, whether it is raw)."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    raw = text[0] in "rR"
    body = text[1:] if raw else text
    width = 3 if body[:3] in {'"""', "'''"} and len(body) >= 6 else 1
    return body[width:-width], raw


def _code_of(match: re.Match[str]) -> tuple[int | None, str]:
    octal, byte, short, long, simple = match.groups()
    if octal is not None:
        return int(octal, 8), ""
    for digits in (byte, short, long):
        if digits is not None:
            return int(digits, 16), ""
    return None, (_SIMPLE_ESCAPES[simple] if simple is not None else match[0])


def _unrolled(tree: Any) -> list[Any]:
    """The elements or entries of a literal: its grammar is left-recursive."""
    found: list[Any] = []
    if not tree.children:
        return found
    level = tree.children[0]
    while len(level.children) == 2:
        found.append(level.children[1])
        level = level.children[0]
    found.append(level.children[0])
    return found[::-1]


# ---------------------------------------------------------------- macros

Arguments = tuple[Node, ...]
Place = tuple[int, int] | None
Macro = Callable[[_Builder, str, Node, Arguments, Place], Node | None]


def _variable(builder: _Builder, node: Node) -> str:
    if not isinstance(node, Ident) or node.name.startswith("."):
        raise builder.refuse("the variable of a macro is not a plain name", "write a name there", node.at)
    if node.name == "__result__":
        raise builder.refuse("the variable of a macro is named __result__", "use another name", node.at)
    return node.name


def _variables(builder: _Builder, one: Node, two: Node) -> tuple[str, str]:
    names = _variable(builder, one), _variable(builder, two)
    if names[0] == names[1]:
        raise builder.refuse(f"both variables of a macro are named {names[0]}", "use two names", two.at)
    return names


def _result(builder: _Builder) -> Node:
    return Ident(builder.number(), ACCUMULATOR)


def _call(builder: _Builder, name: str, *arguments: Node) -> Node:
    return Call(builder.number(), name, arguments)


def _literal(builder: _Builder, value: Any) -> Node:
    return Literal(builder.number(), value)


def _list(builder: _Builder, *elements: Node) -> Node:
    return ListOf(builder.number(), elements, frozenset())


def _quantifier(builder: _Builder, name: str, target: Node, arguments: Arguments, at: Place) -> Node:
    """all, exists, exists_one and existsOne, with one variable or two."""
    second = None
    if len(arguments) == 2:
        variable = _variable(builder, arguments[0])
    else:
        variable, second = _variables(builder, arguments[0], arguments[1])
    body = arguments[-1]
    if name == "all":
        start, condition = _literal(builder, True), _call(builder, "@not_strictly_false", _result(builder))
        step, result = _call(builder, "_&&_", _result(builder), body), _result(builder)
    elif name == "exists":
        start = _literal(builder, False)
        condition = _call(builder, "@not_strictly_false", _call(builder, "!_", _result(builder)))
        step, result = _call(builder, "_||_", _result(builder), body), _result(builder)
    else:
        start, condition = _literal(builder, 0), _literal(builder, True)
        more = _call(builder, "_+_", _result(builder), _literal(builder, 1))
        step = _call(builder, "_?_:_", body, more, _result(builder))
        result = _call(builder, "_==_", _result(builder), _literal(builder, 1))
    return Fold(builder.number(), target, variable, second, ACCUMULATOR, start, condition, step, result, at)


def _collect(
    builder: _Builder, target: Node, names: tuple[str, str | None], chosen: Node | None, step: Node, start: Node,
    at: Place,
) -> Node:  # fmt: skip
    if chosen is not None:
        step = _call(builder, "_?_:_", chosen, step, _result(builder))
    condition, result = _literal(builder, True), _result(builder)
    return Fold(builder.number(), target, names[0], names[1], ACCUMULATOR, start, condition, step, result, at)


def _map(builder: _Builder, name: str, target: Node, arguments: Arguments, at: Place) -> Node:
    variable = _variable(builder, arguments[0])
    chosen = arguments[1] if len(arguments) == 3 else None
    step = _call(builder, "_+_", _result(builder), _list(builder, arguments[-1]))
    return _collect(builder, target, (variable, None), chosen, step, _list(builder), at)


def _filter(builder: _Builder, name: str, target: Node, arguments: Arguments, at: Place) -> Node:
    variable = _variable(builder, arguments[0])
    step = _call(builder, "_+_", _result(builder), _list(builder, arguments[0]))
    return _collect(builder, target, (variable, None), arguments[1], step, _list(builder), at)


def _transform_list(builder: _Builder, name: str, target: Node, arguments: Arguments, at: Place) -> Node:
    names = _variables(builder, arguments[0], arguments[1])
    chosen = arguments[2] if len(arguments) == 4 else None
    step = _call(builder, "_+_", _result(builder), _list(builder, arguments[-1]))
    return _collect(builder, target, names, chosen, step, _list(builder), at)


def _transform_map(builder: _Builder, name: str, target: Node, arguments: Arguments, at: Place) -> Node:
    names = _variables(builder, arguments[0], arguments[1])
    chosen = arguments[2] if len(arguments) == 4 else None
    inserted = (arguments[-1],) if name == "transformMapEntry" else (Ident(builder.number(), names[0]), arguments[-1])
    step = _call(builder, "cel.@mapInsert", _result(builder), *inserted)
    return _collect(builder, target, names, chosen, step, MapOf(builder.number(), ()), at)


def _bound(builder: _Builder, name: str, value: Node, body: Node, at: Place) -> Node:
    stop, again = _literal(builder, False), Ident(builder.number(), name)
    return Fold(builder.number(), _list(builder), UNUSED, None, name, value, stop, again, body, at)


def _bind(builder: _Builder, name: str, target: Node, arguments: Arguments, at: Place) -> Node | None:
    if not isinstance(target, Ident) or target.name != "cel":
        return None
    if not isinstance(arguments[0], Ident):
        raise builder.refuse("the variable of cel.bind is not a plain name", "write a name there", arguments[0].at)
    return _bound(builder, arguments[0].name, arguments[1], arguments[2], at)


def _optional_map(builder: _Builder, name: str, target: Node, arguments: Arguments, at: Place) -> Node:
    if not isinstance(arguments[0], Ident):
        raise builder.refuse(f"the variable of {name} is not a plain name", "write a name there", arguments[0].at)
    value = Call(builder.number(), "value", (), copy(builder, target))
    found = _bound(builder, arguments[0].name, value, arguments[1], at)
    if name == "optMap":
        found = _call(builder, "optional.of", found)
    test = Call(builder.number(), "hasValue", (), target)
    return Call(builder.number(), "_?_:_", (test, found, _call(builder, "optional.none")), at=at)


def _sort_by(builder: _Builder, name: str, target: Node, arguments: Arguments, at: Place) -> Node:
    if isinstance(target, Literal | MapOf):
        raise builder.refuse("sortBy() cannot sort this", "give it a list", target.at)
    held = "@__sortBy_input__"
    keys = _map(builder, "map", Ident(builder.number(), held), arguments, at)
    body = Call(builder.number(), "@sortByAssociatedKeys", (keys,), Ident(builder.number(), held))
    return _bound(builder, held, target, body, at)


RECEIVER_MACROS: Final[dict[tuple[str, int], Macro]] = {
    **{(name, count): _quantifier for name in ("all", "exists", "exists_one") for count in (2, 3)},
    ("existsOne", 3): _quantifier,
    ("map", 2): _map, ("map", 3): _map, ("filter", 2): _filter, ("transformList", 3): _transform_list,
    ("transformList", 4): _transform_list, ("transformMap", 3): _transform_map, ("transformMap", 4): _transform_map,
    ("transformMapEntry", 3): _transform_map, ("transformMapEntry", 4): _transform_map, ("bind", 3): _bind,
    ("optMap", 2): _optional_map, ("optFlatMap", 2): _optional_map, ("sortBy", 2): _sort_by,
}  # fmt: skip
"""(name, number of arguments) -> how a call on a receiver is expanded."""


def copy(builder: _Builder, node: Node) -> Node:
    """The same expression as nodes of its own."""
    number = builder.number()
    match node:
        case Literal():
            return Literal(number, node.value, node.at)
        case Ident():
            return Ident(number, node.name, node.at)
        case Select():
            return Select(number, copy(builder, node.operand), node.field, node.at, tests=node.tests)
        case Call():
            arguments = tuple([copy(builder, each) for each in node.arguments])
            target = None if node.target is None else copy(builder, node.target)
            return Call(number, node.function, arguments, target, node.at)
        case ListOf():
            return ListOf(number, tuple([copy(builder, each) for each in node.elements]), node.optional, node.at)
        case MapOf():
            entries = [(copy(builder, key), copy(builder, value), marked) for key, value, marked in node.entries]
            return MapOf(number, tuple(entries), node.at)
        case Fold():
            parts = [copy(builder, each) for each in node.parts()]
            names = (node.variable, node.second, node.accumulator)
            return Fold(number, parts[0], *names, parts[1], parts[2], parts[3], parts[4], node.at)
    raise TypeError(type(node).__name__)
