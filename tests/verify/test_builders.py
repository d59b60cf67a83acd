from scheduler.core import names
from tests.build import claim, claim_uid, gpus, node, pod, request


def test_builders_agree_on_the_uids_that_tests_use_to_name_objects():
    made = claim("c", request("a", 2), request("b"), owner="p")
    user = pod("p", claims=[made])
    assert made.uid == claim_uid("c")
    assert made.owner == user.uid
    assert user.claims[0].claim_name == made.name


def test_a_default_node_is_owned_and_its_gpus_form_a_whole_pool():
    assert node("n1").labels[names.OWNED] == "true"
    part = gpus("n1", 3)
    assert (part.node_name, part.pool, part.slice_count) == ("n1", "n1", 1)
    assert [device.name for device in part.devices] == ["gpu-0", "gpu-1", "gpu-2"]
