import json

import pytest

from scheduler.core import names
from scheduler.service.explain import claim_state, claims_of, explain, pending, placed


def pod(annotations=None, conditions=(), node="n1"):
    return {
        "metadata": {"namespace": "ns", "name": "p", "annotations": annotations or {}},
        "spec": {"nodeName": node, "schedulerName": "dovetail"},
        "status": {"conditions": list(conditions)},
    }


def test_a_pod_without_our_annotation_is_told_as_such():
    assert "left no explanation" in placed(pod())


@pytest.mark.parametrize("text", ["", "{}", "[]", "5", json.dumps({"winner": {}})])
def test_an_annotation_that_somebody_else_wrote_is_no_crash(text):
    assert "not one that Dovetail wrote" in placed(pod({names.EXPLAIN: text}))


def test_a_pending_pod_is_explained_by_its_condition():
    conditions = [{"type": "PodScheduled", "status": "False", "message": "0 of 3 nodes: all are full"}]

    assert pending(pod(conditions=conditions, node=None)) == "ns/p is pending: 0 of 3 nodes: all are full"
    assert "has not said anything" in pending(pod(node=None))


def test_entries_name_their_claims():
    it = pod()
    it["spec"]["resourceClaims"] = [
        {"name": "direct", "resourceClaimName": "c"},
        {"name": "made", "resourceClaimTemplateName": "t"},
        {"name": "unmade", "resourceClaimTemplateName": "t"},
        {"name": "unneeded", "resourceClaimTemplateName": "t"},
    ]
    it["status"]["resourceClaimStatuses"] = [{"name": "made", "resourceClaimName": "p-made-x"}, {"name": "unneeded"}]

    assert claims_of(it) == [("direct", "c"), ("made", "p-made-x"), ("unmade", None)]


def test_the_claim_for_extended_resources_is_one_of_them():
    it = pod()
    it["status"]["extendedResourceClaimStatus"] = {"resourceClaimName": "p-extended-resources-x"}

    assert claims_of(it) == [("for extended resources", "p-extended-resources-x")]


def test_a_claim_shows_its_devices_and_who_uses_it():
    results = [{"request": "r", "driver": "gpu.example.com", "pool": "n1", "device": "gpu-0"}]
    allocated = {"allocation": {"devices": {"results": results}}, "reservedFor": [{"name": "p"}]}

    assert claim_state({"metadata": {"name": "c"}}) == "c, not allocated"
    assert (
        claim_state({"metadata": {"name": "c"}, "status": allocated})
        == "c, allocated gpu.example.com/n1/gpu-0, reserved for p"
    )


@pytest.mark.parametrize("text", ["p", "a/", "/b", "a/b/c", ""])
def test_a_pod_is_named_with_its_namespace(text, capsys):
    assert explain(text, None) == 2
    assert "NAMESPACE/POD" in capsys.readouterr().err


def test_a_kubeconfig_that_is_not_there_is_told(tmp_path, capsys):
    assert explain("ns/p", tmp_path / "nowhere") == 2
    assert "nowhere" in capsys.readouterr().err
