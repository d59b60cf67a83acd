"""Parts of devices are counted; wherever that decides, it says what the exact search says."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.core.budget import Budget
from scheduler.core.candidates import Candidates
from scheduler.core.catalogue import Catalogue
from scheduler.core.config import EngineConfig
from scheduler.core.demand import resolve
from scheduler.core.messages import Gone
from scheduler.core.model import CounterSet, CounterUse
from scheduler.core.quantity import parse_quantity
from tests import build
from tests.build import DRIVER, claim, node, pod, request, slice_of
from tests.driving import Hands

ATTRIBUTES = f'device.attributes["{DRIVER}"]'
KINDS = ("gpu", "mig", "mig", "mig", "nic")


def quantities(amounts):
    return {name: parse_quantity(str(amount)) for name, amount in amounts.items()}


@st.composite
def boards(draw, names):
    """Parts and counter sets of one pool: mostly cards that are cut alike, sometimes anything."""
    count = draw(st.integers(1, 3))
    counters = draw(st.sampled_from([("memory",), ("s0", "s1", "s2"), ("s0", "s1", "memory")]))
    totals = draw(st.lists(st.integers(0, 4), min_size=len(counters), max_size=len(counters)))
    sets = [CounterSet(f"set-{at}", quantities(dict(zip(counters, totals, strict=True)))) for at in range(count)]
    cut = draw(
        st.lists(st.lists(st.integers(0, 3), min_size=len(counters), max_size=len(counters)), min_size=1, max_size=5)
    )
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=len(cut), max_size=len(cut)))
    parts = []
    for at in range(count):
        for kind, taken in zip(kinds, cut, strict=True):
            uses = [CounterUse(f"set-{at}", quantities(dict(zip(counters, taken, strict=True))))]
            if draw(st.integers(0, 7)) == 0 and count > 1:
                uses.append(CounterUse(f"set-{(at + 1) % count}", quantities({counters[0]: 1})))
            size = {"type": kind, "size": sum(taken)}
            parts.append(replace(build.device(f"part-{len(parts)}", size), consumes=tuple(uses)))
    plain = draw(st.integers(0, 2))
    parts += [build.device(f"plain-{at}", {"type": draw(st.sampled_from(KINDS)), "size": 1}) for at in range(plain)]
    if draw(st.booleans()):
        parts = draw(st.permutations(parts))
    return sets, parts


@st.composite
def fleets(draw):
    alike = draw(st.none() | boards(None))
    found = []
    for name in ("n1", "n2", "n3")[: draw(st.integers(1, 3))]:
        sets, parts = alike or draw(boards(None))
        found.append(node(name))
        found.append(replace(slice_of([], node=name, name=f"{name}-sets", slice_count=2), counter_sets=tuple(sets)))
        found.append(slice_of(parts, node=name, slice_count=2))
    return found


@st.composite
def requests(draw, name):
    sizes = draw(st.sampled_from(["true", f'{ATTRIBUTES}["size"] == 2', f'{ATTRIBUTES}["size"] > 2']))
    kinds = draw(st.sampled_from(["true", f'{ATTRIBUTES}.type == "mig"', f'{ATTRIBUTES}.type != "nic"']))
    return request(name, draw(st.sampled_from([1, 1, 1, 1, 2])), sizes, kinds, all=draw(st.integers(0, 9)) == 0)


asked = st.sampled_from([1, 1, 1, 2]).flatmap(
    lambda count: st.tuples(*(requests(f"r{index}") for index in range(count)))
)


def probe(hands, requests):
    """Verdicts on every node, counted and searched, for a pod with such a claim; and what counting went by."""
    state = hands.engine.state
    hands.see(claim("probe", *requests), pod("probe", claims=["probe"]))
    state.settle()
    [way] = resolve(state.pods.current[build.pod_uid("probe")], state).open
    verdicts = []
    for exact in (False, True):
        candidates = Candidates(way.demand, Catalogue(EngineConfig(search_steps=100_000)))
        if exact:
            candidates._plain, candidates._shares = False, None
        candidates.refresh(state, Budget(10**9))
        fits = {name: candidates._ranking.rank(row) >= 0 for name, row in state.nodes.rows.items()}
        verdicts.append((fits, candidates.fatal))
    hands.tell(Gone("Pod", "default/probe", build.pod_uid("probe")))
    hands.tell(Gone("ResourceClaim", "default/probe", build.claim_uid("probe")))
    return verdicts


@settings(max_examples=200, deadline=None)
@given(fleets(), st.lists(asked, min_size=1, max_size=7), st.sampled_from(["scored", "first-fit"]))
def test_counting_agrees_with_the_exact_search(fleet, crowd, choice):
    hands = Hands(*fleet, build.device_class(driver=DRIVER), device_choice=choice)
    for number, wanted in enumerate(crowd):
        counted, searched = probe(hands, wanted)
        assert counted == searched

        hands.see(claim(f"c{number}", *wanted), pod(f"p{number}", claims=[f"c{number}"], created=f"{number}"))
        hands.settle()  # every plan is checked
        if number % 3 == 2:
            hands.tell(Gone("Pod", f"default/p{number - 1}", build.pod_uid(f"p{number - 1}")))
            hands.tell(Gone("ResourceClaim", f"default/c{number - 1}", build.claim_uid(f"c{number - 1}")))
