"""The slow, certain way: celpy's interpreter, one device at a time.

celpy follows the tree, binds names and holds values; what Kubernetes defines differently, or celpy leaves to Python's
own rules (comparison across types, errors inside macros, `has`, optional values), is replaced here. Its functions are
`functions.OVERLOADS`.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, cast

from celpy.celtypes import BoolType, DoubleType, IntType, ListType, StringType
from celpy.evaluation import Activation, CELEvalError, Evaluator

from scheduler.core.cel import functions
from scheduler.core.cel.semver import parse_semver
from scheduler.core.cel.syntax import (
    MACROS,
    Checker,
    arguments_of,
    inner,
    is_empty_list,
    literal_token,
    name_of,
    operands,
    parse,
    refusal,
    select_of,
)  # fmt: skip
from scheduler.core.cel.values import Domains, Failure, Literals, Optional
from scheduler.core.model import AttributeValue, Version
from scheduler.core.quantity import Quantity

Values = Mapping[str, AttributeValue | Quantity]


class _LiteralList(ListType):  # type: ignore[misc]
    """A list written out in literals."""


def _plain(value: Any) -> Any:
    """A celpy value as `functions` means it."""
    match value:
        case BoolType():
            return bool(value)
        case IntType():
            return int(value)
        case DoubleType():
            return float(value)
        case StringType():
            return str(value)
        case _LiteralList():
            return Literals(_plain(element) for element in value)
        case ListType():
            return tuple(_plain(element) for element in value)
        case Optional():
            return Optional(value.present, _plain(value.value))
    return value


def _celpy(value: Any) -> Any:
    """A plain value as celpy means it; maps and quantities stay as they are. Raises Failure for a bad version."""
    match value:
        case bool():
            return BoolType(value)
        case int():
            return IntType(value)
        case float():
            return DoubleType(value)
        case str():
            return StringType(value)
        case tuple():
            return ListType([_celpy(element) for element in value])
        case Optional():
            return Optional(value.present, _celpy(value.value))
        case Version():
            return parse_semver(value.text)
    return value


def _apply(name: str, *arguments: Any) -> Any:
    for argument in arguments:
        if isinstance(argument, CELEvalError):
            return argument
    try:
        return _celpy(functions.call(name, *[_plain(argument) for argument in arguments]))
    except Failure as failure:
        return CELEvalError(str(failure))


def _function(name: str) -> Callable[..., Any]:
    def function(*arguments: Any) -> Any:
        return _apply(name, *arguments)

    return function


def _and(left: Any, right: Any) -> Any:
    if (isinstance(left, BoolType) and not left) or (isinstance(right, BoolType) and not right):
        return BoolType(False)
    return _both(left, right, BoolType(True))


def _or(left: Any, right: Any) -> Any:
    if (isinstance(left, BoolType) and left) or (isinstance(right, BoolType) and right):
        return BoolType(True)
    return _both(left, right, BoolType(False))


def _both(left: Any, right: Any, neutral: Any) -> Any:
    for value in (left, right):
        if isinstance(value, CELEvalError):
            return value
        if not isinstance(value, BoolType):
            return CELEvalError("no such overload: && or || of something that is not bool")
    return neutral


_FUNCTIONS = {
    **{name.removeprefix("."): _function(name) for name in functions.OVERLOADS},
    "_&&_": _and,
    "_||_": _or,
}


class _Reference(Evaluator):  # type: ignore[misc]
    """celpy's interpreter with Kubernetes' meaning."""

    def sub_evaluator(self, ast: Any) -> "_Reference":
        return _Reference(ast, activation=self.activation)

    def _visit_tree(self, tree: Any) -> Any:
        return super()._visit_tree(inner(tree))

    def expr(self, tree: Any) -> Any:
        test = self.visit(tree.children[0])
        if isinstance(test, CELEvalError):
            return test
        if not isinstance(test, BoolType):
            return CELEvalError("no such overload: condition that is not bool")
        return self.visit(tree.children[1 if test else 2])

    def conditionaland(self, tree: Any) -> Any:
        return self._chain(tree, _and, BoolType(True))

    def conditionalor(self, tree: Any) -> Any:
        return self._chain(tree, _or, BoolType(False))

    def _chain(self, tree: Any, combine: Callable[[Any, Any], Any], result: Any) -> Any:
        for part in operands(tree):
            result = combine(result, self.visit(part))
        return result

    def relation(self, tree: Any) -> Any:
        # celpy unpacks a list of results here and would take a list value apart.
        operator, right = tree.children
        name = {
            "relation_lt": "_<_", "relation_le": "_<=_", "relation_gt": "_>_", "relation_ge": "_>=_",
            "relation_eq": "_==_", "relation_ne": "_!=_", "relation_in": "_in_",
        }[operator.data]  # fmt: skip
        if name == "_in_" and is_empty_list(right):
            return BoolType(False)
        return _apply(name, self.visit(operator.children[0]), self.visit(right))

    def exprlist(self, tree: Any) -> Any:
        values = super().exprlist(tree)
        if isinstance(values, ListType) and all(literal_token(child) is not None for child in tree.children):
            return _LiteralList(values)
        return values

    def macro_has_eval(self, exprlist: Any) -> Any:
        operand, name = cast("tuple[Any, str]", select_of(exprlist.children[0]))
        value = self.visit(operand)
        return value if isinstance(value, CELEvalError) else BoolType(functions.has(_plain(value), name))

    def member_dot(self, tree: Any) -> Any:
        value = self.visit(tree.children[0])
        name = "_[?_]" if isinstance(value, Optional) else "_[_]"
        return _apply(name, value, StringType(tree.children[1]))

    def member_index(self, tree: Any) -> Any:
        value, key = self.visit(tree.children[0]), self.visit(tree.children[1])
        return _apply("_[?_]" if isinstance(value, Optional) else "_[_]", value, key)

    def member_optional_dot(self, tree: Any) -> Any:
        return _apply("_[?_]", self.visit(tree.children[0]), StringType(tree.children[1]))

    def member_optional_index(self, tree: Any) -> Any:
        return _apply("_[?_]", self.visit(tree.children[0]), self.visit(tree.children[1]))

    def member_dot_arg(self, tree: Any) -> Any:
        receiver, name = tree.children[0], str(tree.children[1])
        space = name_of(receiver)
        if space == "optional" and not self._bound(space):
            return _apply(f"optional.{name}", *[self.visit(argument) for argument in arguments_of(tree, 2)])
        if space == "cel" and not self._bound(space):
            variable, value, body = arguments_of(tree, 2)
            return self._inside(body, name_of(variable), self.visit(value))
        if name in MACROS:
            return self._macro(name, self.visit(receiver), *arguments_of(tree, 2))
        return super().member_dot_arg(tree)

    def _bound(self, name: str) -> bool:
        try:
            self.ident_value(name)
        except KeyError:
            return False
        return True

    def _inside(self, body: Any, variable: str | None, value: Any) -> Any:
        try:
            return self.sub_evaluator(body).evaluate({variable: value})
        except CELEvalError as error:
            return error

    def _macro(self, name: str, items: Any, variable: Any, body: Any) -> Any:
        if isinstance(items, CELEvalError):
            return items
        if isinstance(items, dict):
            items = ListType([StringType(key) for key in items])
        if not isinstance(items, ListType):
            return CELEvalError("no such overload: a macro over something that is not a list")
        results = [self._inside(body, name_of(variable), item) for item in items]
        if name in {"all", "exists"}:
            verdict, combine = BoolType(name == "all"), _and if name == "all" else _or
            for result in results:
                verdict = combine(verdict, result)
            return verdict
        for result in results:
            if isinstance(result, CELEvalError):
                return result
            if name != "map" and not isinstance(result, BoolType):
                return CELEvalError(f"no such overload: {name} by something that is not bool")
        if name == "map":
            return ListType(results)
        chosen = ListType([item for item, result in zip(items, results, strict=True) if result])
        return chosen if name == "filter" else BoolType(len(chosen) == 1)


def _domains(driver: str, values: Values) -> Domains:
    """By domain; a full name counts before the short one, where a device publishes both."""
    domains = Domains()
    for name, value in sorted(values.items(), key=lambda each: "/" in each[0]):
        domain, _, identifier = name.rpartition("/")
        cast("dict[str, object]", domains.setdefault(domain or driver, {}))[identifier] = value
    return domains


@lru_cache(maxsize=512)
def _checked(expression: str) -> Any:
    tree = parse(expression)
    Checker(expression).check(tree)
    return tree


def evaluate_scalar(
    expression: str,
    driver: str,
    attributes: Mapping[str, AttributeValue],
    capacity: Mapping[str, Quantity],
) -> bool:
    """Whether a device matches. Names without a domain belong to the driver's.

    Raises SelectorError: the expression does not compile, or fails on this device.
    """
    tree = _checked(expression)
    try:
        device = {
            "driver": driver,
            "attributes": _domains(driver, attributes),
            "capacity": _domains(driver, capacity),
            "allowMultipleAllocations": False,
        }
        verdict: Any = _Reference(tree, Activation(functions=_FUNCTIONS)).evaluate({"device": device})
    except RecursionError:
        raise refusal(expression, "is nested too deeply to evaluate", "flatten it") from None
    except (CELEvalError, Failure) as failure:
        raise refusal(expression, str(failure.args[0]), "guard it, for example with has() or .?name") from None
    if not isinstance(verdict, BoolType):
        raise refusal(expression, "gives a value that is not bool", "compare the value with something")
    return bool(verdict)
