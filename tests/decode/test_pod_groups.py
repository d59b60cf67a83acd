"""PodGroups as scheduling.k8s.io has them, and the reservation that names one."""

import json

import pytest

from scheduler.cluster import decode, encode
from scheduler.core.errors import DecodeError
from scheduler.core.messages import ClaimRef
from scheduler.core.model import Consumer, PodClaim, PodGroup, Uid


def group(**spec):
    return {
        "apiVersion": "scheduling.k8s.io/v1beta1",
        "kind": "PodGroup",
        "metadata": {"name": "g", "namespace": "ns", "uid": "u"},
        "spec": {"schedulingPolicy": {"basic": {}}, **spec},
        "status": {"resourceClaimStatuses": [{"name": "a", "resourceClaimName": "g-a-x"}, {"name": "b"}]},
    }


def test_a_group_arrives_whole():
    claims = [{"name": "a", "resourceClaimTemplateName": "t"}, {"name": "c", "resourceClaimName": "d"}]

    found = decode.decode("PodGroup", group(resourceClaims=claims, disruptionMode={"all": {}}, priority=3))

    assert found == PodGroup(
        "ns", "g", Uid("u"), (PodClaim("a", None, "t"), PodClaim("c", "d", None)), {"a": "g-a-x", "b": None}
    )
    assert found.key == "ns/g"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"schedulingPolicy": {"gang": {"minCount": 2}}}, "schedulingPolicy.gang"),
        ({"schedulingPolicy": {}}, "schedulingPolicy of an unknown kind"),
        ({"schedulingPolicy": None}, "schedulingPolicy of an unknown kind"),
        ({"schedulingConstraints": {"topology": [{"key": "rack"}]}}, "schedulingConstraints.topology"),
        ({"parentCompositePodGroupName": "parent"}, "parentCompositePodGroupName"),
        ({"resourceClaims": [{"name": "a"}]}, "resourceClaims[a] with neither of the two names"),
    ],
)
def test_what_a_group_asks_and_we_cannot_do_is_named(spec, words):
    assert decode.decode("PodGroup", group(**spec)).unsupported == (words,)


@pytest.mark.parametrize("spec", [{"schedulingConstraints": {}}, {"schedulingConstraints": {"topology": []}}])
def test_what_says_nothing_is_nothing(spec):
    assert decode.decode("PodGroup", group(**spec)).unsupported == ()


@pytest.mark.parametrize("field", ["name", "namespace", "uid"])
def test_a_group_that_cannot_be_told_from_others_is_refused(field):
    broken = group()
    del broken["metadata"][field]

    with pytest.raises(DecodeError, match=f"metadata.{field}: is missing"):
        decode.decode("PodGroup", broken)


def test_a_pod_names_its_group():
    metadata = {"name": "p", "namespace": "ns", "uid": "u"}

    found = decode.decode("Pod", {"metadata": metadata, "spec": {"schedulingGroup": {"podGroupName": "g"}}})

    assert (found.group, found.unsupported) == ("g", ())


def test_a_reservation_for_a_group_says_what_kind_of_object_it_is():
    claim = ClaimRef("ns", "c", Uid("claim-uid"), "7", finalized=True)
    consumer = Consumer("podgroups", "g", Uid("u"), "scheduling.k8s.io")

    body = json.loads(encode.reservation_patch(claim, [consumer]))

    assert body["status"]["reservedFor"] == [
        {"apiGroup": "scheduling.k8s.io", "resource": "podgroups", "name": "g", "uid": "u"}
    ]
