"""How much slow work one selector may leave in at once."""

from scheduler.core.messages import EvaluateScalar, Inspect
from tests.build import claim, gpus, node, pod
from tests.driving import Hands

NUMBERS = "[1,2,3,4,5,6,7,8,9,10]"
COSTLY = f"{NUMBERS}.all(a, {NUMBERS}.all(b, {NUMBERS}.all(c, {NUMBERS}.all(d, a + b + c + d > 0))))"


def test_the_rest_is_asked_for_when_answers_have_come():
    own = 'device.attributes["gpu.example.com"].index'
    hands = Hands(
        node("n1"), gpus("n1", 66), claim("c", selectors=[f"{own} == 65 && {COSTLY}"]), pod("p", claims=["c"])
    )

    first = [each for each in hands.decide() if isinstance(each, EvaluateScalar)]
    for each in first:
        hands.obey(each)
    hands.settle()

    assert 0 < len(first) <= 64
    assert all(len(each.tuples) == 1 for each in first)
    asked = [item for each in hands.of(EvaluateScalar) for item in each.tuples]
    assert len(asked) == len(set(asked)) == 66
    assert hands.devices_of("c") == ["gpu-65"]


def test_a_long_selector_is_compiled_outside_and_the_pod_placed_afterwards():
    own = 'device.attributes["gpu.example.com"].index'
    expression = " || ".join(f"{own} == {number}" for number in range(1, 40))
    hands = Hands(node("n1"), gpus("n1", 3), claim("c", selectors=[expression]), pod("p", claims=["c"]))

    [asked] = [each for each in hands.decide() if isinstance(each, Inspect)]
    hands.obey(asked)
    hands.settle()

    assert asked.expression == expression
    assert hands.devices_of("c") == ["gpu-1"]
