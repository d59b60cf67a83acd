"""Device plugins beside drivers, and devices that take their node's own resources."""

from scheduler.doublebook.command import KINDS as READ
from scheduler.doublebook.command import cluster_of
from scheduler.doublebook.plugins import beside
from scheduler.readiness.snapshot import of_values
from tests.doublebook.build import claim, device, node, pod, result, slice_of

GPU = {"nvidia.com/gpu": "2"}
GPUS = slice_of(device("gpu-0"), device("gpu-1"))


def judged(*objects, known=READ):
    snapshot = of_values(list(objects), READ, "cluster")
    found = beside(cluster_of(snapshot, frozenset(known)))
    assert snapshot.problems == []
    return found


def ids(*objects):
    found, notes = judged(*objects)
    assert notes == []
    return [(each.id, each.where, each.certain) for each in found]


def test_a_plugin_and_a_driver_on_one_node():
    found, _ = judged(
        node(**GPU), GPUS, pod("old", **{"nvidia.com/gpu": "1"}), claim("a", result("gpu-0")), pod("new", claims=["a"])
    )

    [clash] = found
    assert (clash.id, clash.where, clash.certain) == ("DB008", "node n1", False)
    assert clash.message == (
        "nvidia.com/gpu: the plugin gave 1 of 2 to pods, and claims hold 1 of 2 devices that gpu.nvidia.com publishes "
        "for the same hardware"
    )
    assert clash.holders == ("claim default/a", "pod default/old")


def test_more_users_than_gpus_must_meet():
    objects = [node(**GPU), GPUS, pod("old", **GPU), claim("a", result("gpu-0"))]

    assert ids(*objects) == [("DB008", "node n1", True)]


def test_replicas_of_a_plugin_are_not_counted_as_gpus():
    objects = [node(**{"nvidia.com/gpu": "8"}), GPUS, pod("old", **GPU), claim("a", result("gpu-0"))]

    assert ids(*objects) == [("DB008", "node n1", False)]


def test_a_plugin_that_nobody_uses_is_no_clash():
    assert ids(node(**GPU), GPUS, claim("a", result("gpu-0"))) == []


def test_pods_that_ended_or_are_elsewhere_use_nothing():
    used = {"nvidia.com/gpu": "1"}

    assert ids(node(**GPU), node("n2"), GPUS, pod("p", phase="Succeeded", **used), pod("q", on="n2", **used)) == []


def test_what_a_claim_serves_no_plugin_does():
    backed = pod("p", backed=["nvidia.com/gpu"], **{"nvidia.com/gpu": "1"})

    assert ids(node(**GPU), GPUS, backed) == []
    assert ids(node(**GPU), GPUS, pod("p", backed=["nvidia.com/other"], **{"nvidia.com/gpu": "1"})) == [
        ("DB008", "node n1", False)
    ]


def test_a_plugin_that_is_gone_offers_nothing():
    assert ids(node(**{"nvidia.com/gpu": "0"}), GPUS, pod("p", **{"nvidia.com/gpu": "1"})) == []


def test_a_plugin_of_another_vendor_or_on_another_node_is_no_clash():
    amd = {"amd.com/gpu": "1"}

    assert ids(node(**amd), GPUS, pod("p", **amd)) == []
    assert ids(node("n2", **GPU), node(), GPUS, pod("p", on="n2", **{"nvidia.com/gpu": "1"})) == []


def test_parts_of_a_plugin_may_meet_devices_of_a_driver():
    mig = {"nvidia.com/mig-1g.10gb": "1"}

    assert ids(node(**mig), GPUS, pod("p", **mig)) == [("DB008", "node n1", False)]


CPUS = device(
    "cpus", shared=True, memory="8", nodeAllocatableResources={"cpu": {"mapping": {"deviceMultiplier": "32"}}}
)


def test_devices_that_stand_for_cpu_of_their_node_count_beside_requests():
    held = claim("a", result("cpus", driver="dra.cpu"))
    cpus = slice_of(CPUS, driver="dra.cpu")

    assert ids(node(cpu="64"), cpus, held, pod("p", claims=["a"], cpu="1"), pod("q", cpu="31")) == []
    [clash] = judged(node(cpu="64"), cpus, held, pod("p", claims=["a"], cpu="1"), pod("q", cpu="32"))[0]
    assert (clash.id, clash.where) == ("DB009", "node n1")
    assert clash.message == "cpu: pods request 33000m, their devices take 32000m, of 64000m"
    assert clash.holders == ("pod default/p",)


def test_a_node_that_is_too_full_without_devices_is_not_our_business():
    assert ids(node(cpu="1"), GPUS, pod("p", cpu="2"), claim("a", result("gpu-0"))) == []


def test_without_nodes_or_pods_plugins_are_not_judged():
    found, notes = judged(GPUS, known={"ResourceSlice", "ResourceClaim"})

    assert found == []
    assert notes == ["not known in whole: Node, Pod; device plugins and node resources are not judged"]
