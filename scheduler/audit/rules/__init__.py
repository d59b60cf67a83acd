"""What finds things: a rule looks at one object and yields what it has to say.

RULES lists them; a rule that needs to know other objects asks `Context` for the claims and templates of this audit.
"""

from collections.abc import Callable, Iterator
from typing import Final

from scheduler.audit.rules import claims, fixed, infrastructure, mixing, operations, placement, plugins, versions
from scheduler.audit.rules.base import Context, Hit
from scheduler.audit.subjects import Subject

Rule = Callable[[Subject, Context], Iterator[Hit]]

RULES: Final[tuple[Rule, ...]] = (
    *plugins.RULES,
    *placement.RULES,
    *versions.RULES,
    *claims.RULES,
    *mixing.RULES,
    *fixed.RULES,
    *operations.RULES,
    *infrastructure.RULES,
)
