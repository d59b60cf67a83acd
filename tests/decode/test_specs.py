"""Specs that claims have in common are read once, and are what they would be if they were read each time."""

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.cluster import decode
from scheduler.core.errors import DecodeError

REQUEST = {"name": "gpu", "exactly": {"deviceClassName": "gpu", "capacity": {"requests": {"memory": "1Gi"}}}}
CLAIM = {"metadata": {"name": "c", "namespace": "ns", "uid": "u"}, "spec": {"devices": {"requests": [REQUEST]}}}


def claim(name="c", requests=(REQUEST,), **parts):
    metadata = {**CLAIM["metadata"], "name": name, "uid": f"uid-{name}"}
    return {"metadata": metadata, "spec": {"devices": {"requests": list(requests)}}, **parts}


def read(item):
    return decode.decode("ResourceClaim", json.dumps(item).encode())


def test_claims_of_one_template_have_one_spec():
    held = {"reservedFor": [{"resource": "pods", "name": "p", "uid": "p"}]}
    first, second = read(claim("a")), read(claim("b", status=held))

    assert first.spec is second.spec
    assert (first.name, second.name) == ("a", "b")
    assert second.reserved_by("p")
    assert read(claim("a", [{**REQUEST, "name": "other"}])).spec != first.spec


def test_a_long_spec_is_not_kept():
    text = "device.driver == 'd'" + " " * 5000
    long = {"name": "gpu", "exactly": {"deviceClassName": "gpu", "selectors": [{"cel": {"expression": text}}]}}

    first, second = read(claim("a", [long])), read(claim("b", [long]))

    assert first.spec == second.spec
    assert first.spec is not second.spec


LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=2)
PLACES = [
    ("spec",), ("spec", "devices"), ("spec", "devices", "requests"), ("spec", "devices", "requests", 0),
    ("spec", "devices", "requests", 0, "name"), ("spec", "devices", "requests", 0, "exactly"),
    ("spec", "devices", "requests", 0, "exactly", "count"), ("spec", "devices", "requests", 0, "exactly", "capacity"),
    ("spec", "devices", "constraints"), ("spec", "devices", "config"), ("metadata",), ("metadata", "uid"), ("status",),
]  # fmt: skip


@given(st.sampled_from(PLACES), LEAVES)
def test_what_is_said_of_a_claim_does_not_depend_on_how_it_is_read(place, value):
    item = copy.deepcopy(CLAIM)
    target = item
    for step in place[:-1]:
        target = target[step]
    target[place[-1]] = value

    def told(raw):
        try:
            return decode.decode("ResourceClaim", raw)
        except DecodeError as error:
            return str(error)

    assert told(json.dumps(item).encode()) == told(item)  # a mapping is read whole


@pytest.mark.parametrize("text", [b"", b"{", b"null", b'{"spec": ' + b"[" * 100_000])
def test_what_is_no_claim_is_refused_as_ever(text):
    with pytest.raises(DecodeError, match="ResourceClaim"):
        decode.decode("ResourceClaim", text)
