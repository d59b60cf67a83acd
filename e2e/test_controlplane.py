"""The clusters that the other tests run on are what they claim to be."""

from typing import Final

import pytest

from e2e.api import Access, Api, ApiRefusalError, collection, until
from e2e.cluster import Cluster
from e2e.conftest import World
from e2e.dovetail import NAMESPACE, token
from e2e.workload import claim_spec, pod, request, template
from scheduler.core import names

_FLOWS: Final = "/apis/flowcontrol.apiserver.k8s.io/v1"


def test_default_profile_is_the_pinned_version_with_its_defaults(cluster: Cluster) -> None:
    from e2e.controlplane import kubernetes_version

    assert cluster.api.call("GET", "/version")["gitVersion"] == kubernetes_version()
    served = {each["kind"] for each in cluster.api.call("GET", "/apis/resource.k8s.io/v1")["resources"]}
    assert {"DeviceClass", "DeviceTaintRule", "ResourceClaim", "ResourceClaimTemplate", "ResourceSlice"} <= served
    with pytest.raises(ApiRefusalError, match="404"):
        cluster.api.call("GET", "/apis/scheduling.k8s.io/v1beta1")


def test_alpha_profile_serves_pod_groups_and_list_attributes(alpha_cluster: Cluster) -> None:
    served = {each["kind"] for each in alpha_cluster.api.call("GET", "/apis/scheduling.k8s.io/v1beta1")["resources"]}
    assert "PodGroup" in served
    device = {"name": "d", "attributes": {"example.com/numa": {"ints": [0, 1]}}}
    made = alpha_cluster.api.create(
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceSlice",
            "metadata": {"name": "lists"},
            "spec": {
                "driver": "example.com",
                "allNodes": True,
                "pool": {"name": "lists", "generation": 1, "resourceSliceCount": 1},
                "devices": [device],
            },
        }
    )
    alpha_cluster.api.delete("ResourceSlice", "lists")
    assert made["spec"]["devices"][0]["attributes"] == device["attributes"]


def test_claims_are_made_from_templates(world: World) -> None:
    world.create(
        template(world.namespace, "one", claim_spec([request()])),
        pod(world.namespace, "p", templates=["one"], scheduler="nobody"),
    )
    made = until(lambda: world.api.list("ResourceClaim", world.namespace), "claim of the pod")
    assert made[0]["metadata"]["ownerReferences"][0]["name"] == "p"


def test_dovetails_account_may_do_its_work_and_no_more(cluster: Cluster) -> None:
    access = cluster.api.access
    own = Api(Access(access.server, token(cluster.api), access.tls))
    assert own.list("Node") is not None
    for kind in ("ConfigMap", "ServiceAccount"):
        with pytest.raises(ApiRefusalError) as refusal:
            own.list(kind)
        assert refusal.value.status == 403
    with pytest.raises(ApiRefusalError) as refusal:
        own.delete("Node", "any")
    assert refusal.value.status == 403
    own.close()


def test_renewals_of_the_lease_do_not_queue_with_other_requests(cluster: Cluster) -> None:
    """The API server says which level of its priority and fairness it counts a request to."""
    access = cluster.api.access
    headers = {"Authorization": f"Bearer {token(cluster.api)}"}
    levels = {
        each["metadata"]["uid"]: each["metadata"]["name"]
        for each in cluster.api.call("GET", f"{_FLOWS}/prioritylevelconfigurations")["items"]
    }
    connection = access.connect(30.0)

    def level(path: str) -> str:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        response.read()
        return levels[response.headers["X-Kubernetes-PF-PriorityLevel-UID"]]

    try:
        assert level(f"{collection('Lease', NAMESPACE)}/{names.LEASE}") == "leader-election"
        assert level(collection("Lease", "default")) == "workload-low"
        assert level(collection("Pod")) == "workload-low"
    finally:
        connection.close()
