"""How much slow work one selector may leave in at once."""

from scheduler.core.config import EngineConfig
from scheduler.core.eligibility import Pending
from scheduler.core.engine import MAX_PARTS, Engine
from scheduler.core.messages import ScalarEvaluated


def test_the_rest_is_asked_for_when_answers_have_come():
    numbers = "[1,2,3,4,5,6,7,8,9,10]"
    expression = f"{numbers}.all(a, {numbers}.all(b, {numbers}.all(c, {numbers}.all(d, a + b + c + d > 0))))"
    engine = Engine(EngineConfig())
    missing = tuple(range(1000))
    asked = []

    while missing:
        out = engine._ask_scalar(Pending(expression, missing))
        assert 0 < len(out) <= MAX_PARTS
        for each in out:
            asked += each.tuples
            engine.handle(ScalarEvaluated(expression, each.generation, each.tuples, (True,) * len(each.tuples)), 0.0)
        missing = engine._catalogue.scalars.missing(expression, list(missing))

    assert asked == list(range(1000))
