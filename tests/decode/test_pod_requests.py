"""What a pod requests, by the formula of dra and core: containers, sidecars, init containers, pod level, overhead."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.cluster import decode
from scheduler.core.errors import DecodeError


def container(cpu=None, *, always=False, name="c", **more):
    found = {"name": name, "resources": {"requests": {} if cpu is None else {"cpu": f"{cpu}m"}}, **more}
    return {**found, "restartPolicy": "Always"} if always else found


def requests(containers, init=(), status=None, **spec):
    pod = {
        "metadata": {"name": "p", "namespace": "d", "uid": "u"},
        "spec": {"containers": list(containers), "initContainers": list(init), **spec},
        "status": status or {},
    }
    return decode.decode("Pod", pod).requests


def test_containers_add_up():
    assert requests([container(300), container(200)]) == {"cpu": 500}


def test_an_init_container_counts_where_it_is_larger():
    assert requests([container(300)], [container(900), container(100)]) == {"cpu": 900}
    assert requests([container(300)], [container(200)]) == {"cpu": 300}


def test_a_sidecar_counts_beside_everything_that_comes_after_it():
    before = requests([container(300)], [container(500), container(100, always=True)])
    after = requests([container(300)], [container(100, always=True), container(500)])

    assert before == {"cpu": 500}  # max(500, 300 + 100)
    assert after == {"cpu": 600}  # max(100 + 500, 300 + 100)


def test_requests_of_the_pod_replace_cpu_and_memory_and_nothing_else():
    main = {"name": "c", "resources": {"requests": {"cpu": "1", "ephemeral-storage": "5"}}}

    found = requests([main], resources={"requests": {"cpu": "4", "memory": "1Ki", "ephemeral-storage": "1"}})

    assert found == {"cpu": 4000, "memory": 1024, "ephemeral-storage": 5}


def test_overhead_comes_last():
    found = requests([container(100)], resources={"requests": {"cpu": "1"}}, overhead={"cpu": "250m"})

    assert found == {"cpu": 1250}


def test_fractions_are_rounded_up_once_for_the_whole_pod():
    half = {"name": "c", "resources": {"requests": {"memory": "500m", "cpu": "100u"}}}

    assert requests([half, half]) == {"memory": 1, "cpu": 1}


def test_a_limit_alone_is_a_request():
    main = {"name": "c", "resources": {"limits": {"cpu": "2", "memory": "1"}, "requests": {"cpu": "1"}}}

    assert requests([main]) == {"cpu": 1000, "memory": 1}


@pytest.mark.parametrize(("allocated", "actual", "expected"), [("2", "1", 2000), ("1", "3", 3000), ("1", "1", 1500)])
def test_a_resize_under_way_counts_with_the_larger_amount(allocated, actual, expected):
    status = {
        "containerStatuses": [
            {"name": "c", "allocatedResources": {"cpu": allocated}, "resources": {"requests": {"cpu": actual}}}
        ]
    }

    assert requests([container(1500)], status=status, nodeName="n") == {"cpu": expected}
    assert requests([container(1500)], status=status) == {"cpu": 1500}  # it does not run yet


def test_a_resize_that_the_node_refused_does_not_count():
    status = {
        "conditions": [{"type": "PodResizePending", "status": "True", "reason": "Infeasible"}],
        "containerStatuses": [{"name": "c", "allocatedResources": {"cpu": "1"}}],
    }

    assert requests([container(64_000)], status=status, nodeName="n") == {"cpu": 1000}


def test_what_each_container_holds_most_is_summed_before_the_largest_is_taken():
    """kube-scheduler compares pods, not containers: the most of each container would come to 7."""
    status = {
        "containerStatuses": [
            {"name": "a", "allocatedResources": {"cpu": "4"}, "resources": {"requests": {"cpu": "1"}}},
            {"name": "b", "allocatedResources": {"cpu": "1"}, "resources": {"requests": {"cpu": "3"}}},
        ]
    }
    containers = [container(1000, name="a"), container(1000, name="b")]

    assert requests(containers, status=status, nodeName="n") == {"cpu": 5000}


def test_what_the_status_says_of_the_pod_as_a_whole_comes_before_its_containers():
    status = {
        "allocatedResources": {"cpu": "3", "memory": "2"},
        "resources": {"requests": {"cpu": "2", "memory": "5"}},
        "containerStatuses": [{"name": "c", "allocatedResources": {"cpu": "9"}}],
    }

    assert requests([container(1000)], status=status, nodeName="n") == {"cpu": 3000, "memory": 5}


@pytest.mark.parametrize(("reason", "expected"), [("Infeasible", 3000), ("Deferred", 8000)])
def test_a_resize_of_the_pod_as_a_whole_counts_unless_its_node_cannot_do_it(reason, expected):
    status = {
        "conditions": [{"type": "PodResizePending", "status": "True", "reason": reason}],
        "allocatedResources": {"cpu": "3"},
        "resources": {"requests": {"cpu": "2"}},
    }
    whole = {"requests": {"cpu": "8"}}

    assert requests([container(1000)], status=status, nodeName="n", resources=whole) == {"cpu": expected}


def test_resources_that_kube_scheduler_does_not_count_are_left_out():
    odd = {"cpu": "1", "pods": "9", "storage": "1", "requests.x/y": "1", "hugepages-2Mi": "2Mi", "x.io/y": "2"}

    found = requests([{"name": "c", "resources": {"requests": odd}}])

    assert found == {"cpu": 1000, "hugepages-2Mi": 2 * 2**20, "x.io/y": 2}


@pytest.mark.parametrize("amount", ["-1", "much", "1e", ""])
@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (lambda bad: {"containers": [{"resources": {"requests": {"cpu": bad}}}]}, "containers[0].resources"),
        (lambda bad: {"initContainers": [{"resources": {"requests": {"cpu": bad}}}]}, "initContainers[0].resources"),
        (lambda bad: {"resources": {"requests": {"cpu": bad}}}, "spec.resources.requests"),
        (lambda bad: {"overhead": {"cpu": bad}}, "spec.overhead"),
    ],
)
def test_an_amount_that_nobody_can_have_is_named_with_its_field(spec, field, amount):
    with pytest.raises(DecodeError) as error:
        decoded(**spec(amount))

    assert field in str(error.value)
    assert "[cpu]" in str(error.value)


def test_zero_is_nothing():
    assert requests([container(0)]) == {}


@given(
    st.lists(st.integers(0, 50), min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(0, 50), st.booleans()), max_size=4),
    st.integers(0, 9),
)
def test_the_formula_is_the_peak_over_a_simulated_life(main, init, overhead):
    sidecars, peak = 0, 0
    for amount, always in init:
        peak = max(peak, sidecars + amount)
        sidecars += amount if always else 0
    peak = max(peak, sidecars + sum(main)) + overhead

    found = requests(
        [container(amount) for amount in main],
        [container(amount, always=always) for amount, always in init],
        overhead={"cpu": f"{overhead}m"},
    )

    assert found.get("cpu", 0) == peak


# ---------------------------------------------------------------- what devices take (KEP-5517)


def decoded(statuses=None, **spec):
    metadata = {"name": "p", "namespace": "d", "uid": "u"}
    status = {} if statuses is None else {"nodeAllocatableResourceClaimStatuses": statuses}
    return decode.decode("Pod", {"metadata": metadata, "spec": spec, "status": status})


@pytest.mark.parametrize(
    ("statuses", "published"),
    [
        (None, None),
        ([], None),
        ([{"resourceClaimName": "c"}], {}),
        ([{"mapping": [{"name": "cpu", "quantity": "1500m"}]}], {"cpu": 1500}),
        ([{"mapping": [{"name": "cpu", "quantity": "1"}]}] * 2, {"cpu": 2000}),
        ([{"overhead": [{"name": "memory", "perPod": "1Ki"}]}], {"memory": 1024}),
        ([{"overhead": [{"name": "memory", "perContainer": "1Ki"}]}], {}),
        ([{"containers": ["a", "b"], "overhead": [{"name": "memory", "perContainer": "1Ki"}]}], {"memory": 2048}),
        (
            [{"containers": ["a"], "overhead": [{"name": "cpu", "perPod": "1", "perContainer": "2"}]}],
            {"cpu": 3000},
        ),
    ],
)
def test_what_is_published_of_devices_is_summed(statuses, published):
    found = decoded(statuses)

    assert found.published == published
    assert found.charge == (published or {})


def test_a_request_of_the_pod_as_a_whole_holds_what_its_devices_take():
    whole = {"requests": {"cpu": "4", "memory": "1Gi"}}
    statuses = [{"mapping": [{"name": "cpu", "quantity": "1"}, {"name": "ephemeral-storage", "quantity": "5"}]}]

    found = decoded(statuses, containers=[container(1500)], resources=whole)

    assert found.margins == {"cpu": 2500, "memory": 2**30}
    assert found.published == {"ephemeral-storage": 5}
    assert found.charge == {"cpu": 4000, "memory": 2**30, "ephemeral-storage": 5}


def test_it_is_known_which_containers_use_a_claim():
    def using(name, *claims):
        return {"name": name, "resources": {"claims": [{"name": each, "request": "r"} for each in claims]}}

    found = decoded(initContainers=[using("i", "a")], containers=[using("m", "a", "b", "a"), using("n", "b")])

    assert found.users == {"a": ("i", "m"), "b": ("m", "n")}


def test_an_amount_that_cannot_be_read_is_named():
    with pytest.raises(DecodeError, match=r"nodeAllocatableResourceClaimStatuses\[0\].mapping\[cpu\].quantity"):
        decoded([{"mapping": [{"name": "cpu", "quantity": "much"}]}])


# ---------------------------------------------------------------- what its kubelet must be able to do


@pytest.mark.parametrize(
    ("spec", "features"),
    [
        ({}, ()),
        ({"hostNetwork": True}, ()),
        ({"hostUsers": False}, ()),
        ({"hostNetwork": True, "hostUsers": False}, ("UserNamespacesHostNetworkSupport",)),
        ({"initContainers": [{"restartPolicyRules": [{"action": "Restart"}]}]}, ()),
        (
            {"initContainers": [{"restartPolicyRules": [{"action": "RestartAllContainers"}]}]},
            ("RestartAllContainersOnContainerExits",),
        ),
        ({"containers": [{"volumeMounts": [{"bindMountOptions": []}]}]}, ()),
        ({"ephemeralContainers": [{"volumeMounts": [{"bindMountOptions": ["noexec"]}]}]}, ("VolumeBindMountOptions",)),
    ],
)
def test_what_a_pod_needs_of_its_kubelet_is_inferred(spec, features):
    assert decoded(**spec).features == features


# ---------------------------------------------------------------- what only scores look at


@pytest.mark.parametrize(
    ("spec", "unstated"),
    [
        ({"containers": [{}]}, {"cpu": 100, "memory": 200 * 2**20}),
        ({"containers": [{}, {}]}, {"cpu": 200, "memory": 400 * 2**20}),
        ({"containers": [container(0)]}, {"memory": 200 * 2**20}),
        ({"containers": [{"resources": {"limits": {"cpu": "1", "memory": "1"}}}]}, {}),
        ({"containers": [container(500)], "initContainers": [{}]}, {"memory": 200 * 2**20}),
        ({"containers": [container(50)], "initContainers": [{}]}, {"cpu": 50, "memory": 200 * 2**20}),
        ({"containers": [{}], "resources": {"requests": {"cpu": "1"}}}, {"memory": 200 * 2**20}),
        ({"containers": [container(5), {}], "resources": {"requests": {"memory": "1"}}}, {}),
    ],
)
def test_containers_that_say_nothing_are_taken_for_a_little(spec, unstated):
    assert decoded(**spec).unstated == unstated


def test_images_have_a_tag_and_stand_there_as_often_as_containers_run_them():
    found = decoded(
        initContainers=[{"image": "a"}],
        containers=[{"image": "r.io:5000/b"}, {"image": "c:1"}, {"image": "c:1"}, {"image": "d@sha256:0"}],
        volumes=[{"name": "v", "image": {"reference": "e"}}, {"name": "w", "emptyDir": {}}],
    )

    assert found.images == ("a:latest", "r.io:5000/b:latest", "c:1", "c:1", "d@sha256:0", "e:latest")


def test_preferred_terms_that_can_hold_are_kept_with_their_weights():
    term = {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}
    preferred = [{"weight": 5, "preference": term}, {"weight": 0, "preference": term}, {"weight": 7, "preference": {}}]

    found = decoded(affinity={"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}})

    assert [(weight, each.labels[0].key) for weight, each in found.preferred] == [(5, "disk")]


def test_preferred_terms_about_pods_weigh_for_and_against():
    def weighted(weight, key="zone", **more):
        selector = {"matchLabels": {"app": "web"}}
        return {"weight": weight, "podAffinityTerm": {"topologyKey": key, "labelSelector": selector, **more}}

    liked = {"preferredDuringSchedulingIgnoredDuringExecution": [weighted(5), weighted(7, key=""), weighted(0)]}
    disliked = {"preferredDuringSchedulingIgnoredDuringExecution": [weighted(9, namespaces=["x", "y"])]}

    found = decoded(affinity={"podAffinity": liked, "podAntiAffinity": disliked})

    assert [(each.weight, each.term.topology, each.term.pods.namespaces) for each in found.leans] == [
        (5, "zone", ("d",)),
        (-9, "zone", ("x", "y")),
    ]
    assert (found.attracts, found.repels, found.unsupported) == ((), (), ())
