from dataclasses import replace

import pytest

from scheduler.cluster.client import ApiError
from scheduler.core import names
from scheduler.core.explain import render, to_dict, to_json
from scheduler.core.plan import Decision, Option
from scheduler.service.explain import _explain
from scoring.scorers import SCORERS
from scoring.weights import DEFAULTS

POD = "/api/v1/namespaces/ns/pods/p"
CLAIM = "/apis/resource.k8s.io/v1/namespaces/ns/resourceclaims/c"


@pytest.fixture
def kubeconfig(api, tmp_path):
    path = tmp_path / "kubeconfig"
    path.write_text(
        f"apiVersion: v1\nkind: Config\nclusters: [{{name: c, cluster: {{server: '{api.url}'}}}}]\nusers: []\n"
        "contexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x\n"
    )
    return path


def decided():
    scores = {scorer.name: 0.5 for scorer in SCORERS}
    winner = Option("n1", (("gpu.example.com", "n1", "gpu-0"),), 0.5, scores, "catalogue")
    return Decision("ns/p", winner, None, 3, 7, dict(DEFAULTS))


def put_pod(api, annotations=None, node="n1", conditions=()):
    entries = [{"name": "g", "resourceClaimName": "c"}]
    api.put(
        POD,
        {
            "metadata": {"namespace": "ns", "name": "p", "annotations": annotations or {}},
            "spec": {"schedulerName": "dovetail", "resourceClaims": entries} | ({"nodeName": node} if node else {}),
            "status": {"conditions": list(conditions)},
        },
    )


async def test_a_placed_pod_is_explained_by_what_was_written_with_its_binding(api, kubeconfig):
    put_pod(api, {names.EXPLAIN: to_json(decided())})
    result = {"request": "g", "driver": "gpu.example.com", "pool": "n1", "device": "gpu-0"}
    status = {"allocation": {"devices": {"results": [result]}}, "reservedFor": [{"name": "p"}]}
    api.put(CLAIM, {"metadata": {"name": "c"}, "status": status})

    text = await _explain("ns", "p", kubeconfig)

    assert text.startswith(render(to_dict(decided())))
    assert "claim g: c, allocated gpu.example.com/n1/gpu-0, reserved for p" in text


def test_the_profile_is_told_and_what_is_not_followed():
    plain = render(to_dict(decided()))
    ignored = render(to_dict(replace(decided(), profile="spread", ignored="annotation x: is not JSON")))
    older = render({key: value for key, value in to_dict(decided()).items() if key != "profile"})

    assert "weights of profile default" in plain
    assert "not followed" not in plain
    assert "weights of profile spread\n  not followed: annotation x: is not JSON" in ignored
    assert "weights of profile unknown" in older


async def test_a_pending_pod_shows_its_condition_and_what_its_claims_lack(api, kubeconfig):
    put_pod(api, node="", conditions=[{"type": "PodScheduled", "status": "False", "message": "0 of 7 nodes fit"}])

    text = await _explain("ns", "p", kubeconfig)

    assert text == "ns/p is pending: 0 of 7 nodes fit\n  claim g: c does not exist"


async def test_a_pod_that_is_not_there_is_an_error(kubeconfig):
    with pytest.raises(ApiError) as caught:
        await _explain("ns", "p", kubeconfig)

    assert caught.value.status == 404
