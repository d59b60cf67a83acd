"""What is asked of the server, what it means, and what is watched then."""

import logging
from dataclasses import replace

import pytest

from scheduler.cluster.client import ApiError
from scheduler.cluster.discovery import Served, discover
from scheduler.core.errors import ConfigError
from scheduler.core.gates import Gates

DRA = ("DeviceClass", "ResourceSlice", "ResourceClaim")
STORED = ("StorageClass", "CSINode", "CSIDriver", "CSIStorageCapacity", "VolumeAttachment")
NEEDED = {
    **dict.fromkeys(("Namespace", "Node", "Pod", "PersistentVolumeClaim", "PersistentVolume"), ""),
    **dict.fromkeys(DRA, "resource.k8s.io/v1"),
    **dict.fromkeys(STORED, "storage.k8s.io/v1"),
}
RULES_ON = replace(Gates(), device_taint_rules=True)
RULES_OFF = replace(Gates(), device_taint_rules=False)


def serve(api, version=None, **kinds):
    """`kinds`: by version of resource.k8s.io; v1 has what is needed at least."""
    for name, more in {"v1": (), **kinds}.items():
        found = (*DRA, *more) if name == "v1" else more
        api.put(f"/apis/resource.k8s.io/{name}", {"resources": [{"kind": kind} for kind in found]})
    if version is not None:
        api.put("/version", version)


@pytest.mark.parametrize(
    ("kinds", "home"),
    [
        ({"v1": ["DeviceTaintRule"]}, "resource.k8s.io/v1"),
        ({"v1beta2": ["DeviceTaintRule"]}, "resource.k8s.io/v1beta2"),
        ({"v1alpha3": ["DeviceTaintRule"]}, "resource.k8s.io/v1alpha3"),
        ({"v1beta2": ["DeviceTaintRule"], "v1alpha3": ["DeviceTaintRule"]}, "resource.k8s.io/v1beta2"),
        ({name: ["DeviceTaintRule"] for name in ("v1", "v1beta2", "v1alpha3")}, "resource.k8s.io/v1"),
        ({"v1beta2": ["ResourceClaim"]}, None),
        ({}, None),
    ],
)
async def test_the_best_version_that_is_served_is_the_home_of_a_kind(api, client, kinds, home):
    serve(api, {"minor": "37"}, **kinds)

    served = await discover(client)

    assert served.homes.get("DeviceTaintRule") == home
    assert {kind: served.homes[kind] for kind in NEEDED} == NEEDED


@pytest.mark.parametrize(
    ("version", "minor"),
    [
        ({"major": "1", "minor": "37"}, 37),
        ({"major": "1", "minor": "35+"}, 35),
        ({"major": "1", "minor": "37", "emulationMajor": "1", "emulationMinor": "36"}, 36),
        ({"major": "1", "minor": "37", "emulationMinor": ""}, 37),
        ({"major": "1", "minor": "next"}, None),
        ({"major": "1"}, None),
        ([], None),
        (None, None),
    ],
)
async def test_the_version_is_the_emulated_one_where_there_is_one(api, client, steps, version, minor, caplog):
    serve(api)
    if version is not None:
        api.script("GET", "/version", steps.answer(version))

    served = await discover(client)

    assert served.minor == minor
    assert ("does not tell its version" in caplog.text) == (minor is None)


async def test_a_server_that_does_not_answer_is_no_server_of_an_unknown_version(api, client, steps):
    serve(api)
    api.script("GET", "/version", steps.refuse(503))

    with pytest.raises(ApiError):
        await discover(client)


@pytest.mark.parametrize(
    ("gates", "home", "path"),
    [
        (RULES_ON, "resource.k8s.io/v1", "/apis/resource.k8s.io/v1/devicetaintrules"),
        (RULES_ON, "resource.k8s.io/v1beta2", "/apis/resource.k8s.io/v1beta2/devicetaintrules"),
        (RULES_ON, "resource.k8s.io/v1alpha3", "/apis/resource.k8s.io/v1alpha3/devicetaintrules"),
        (RULES_ON, None, None),
        (RULES_OFF, "resource.k8s.io/v1", None),
        (RULES_OFF, None, None),
    ],
)
def test_rules_are_watched_where_they_are_served_and_read(gates, home, path, caplog):
    homes = NEEDED if home is None else {**NEEDED, "DeviceTaintRule": home}

    with caplog.at_level(logging.INFO):
        watched = {each.kind: each for each in Served(37, homes).watched(gates)}

    assert watched["DeviceTaintRule"].path == path if path else "DeviceTaintRule" not in watched
    assert watched["Pod"].path == "/api/v1/pods"
    assert watched["Pod"].selector
    told = [record.getMessage() for record in caplog.records]
    if gates is RULES_ON and home is None:
        (line,) = told
        assert "DeviceTaintRule" in line
        assert "resource.k8s.io/v1, resource.k8s.io/v1beta2, resource.k8s.io/v1alpha3" in line
    else:
        assert told == []


@pytest.mark.parametrize("kind", [*DRA, *STORED])
def test_without_a_kind_that_is_needed_there_is_no_scheduling(kind):
    homes = {each: home for each, home in NEEDED.items() if each != kind}

    with pytest.raises(ConfigError, match=f"does not serve {kind} .* 1.34 or newer"):
        Served(33, homes).watched(Gates())


@pytest.mark.parametrize(
    ("minor", "given", "rules"),
    [
        (37, {}, True),
        (37, {"DRADeviceTaintRules": False}, False),
        (36, {}, False),
        (36, {"DRADeviceTaintRules": True}, True),
        (36, {"DRADeviceTaints": False}, False),
        (35, {"DRADeviceTaints": True}, False),
        (35, {"DRADeviceTaints": True, "DRADeviceTaintRules": True}, True),
        (34, {}, False),
        (34, {"DRADeviceTaints": True}, True),  # one gate was for both
        (None, {}, True),
    ],
)
def test_whether_rules_are_read_follows_from_version_and_config(minor, given, rules):
    assert Gates.of_cluster(minor, given).device_taint_rules is rules


@pytest.mark.parametrize(
    ("versions", "home"),
    [(["v1beta1", "v1alpha3"], "v1beta1"), (["v1alpha3"], "v1alpha3"), (["v1alpha2"], None), ([], None)],
)
async def test_pod_groups_are_watched_where_they_are_served_and_the_gate_is_on(api, client, versions, home):
    serve(api, {"minor": "37"}, v1=["DeviceTaintRule"])
    for version in versions:
        api.put(f"/apis/scheduling.k8s.io/{version}", {"resources": [{"kind": "PodGroup"}]})

    served = await discover(client)
    off = {each.kind for each in served.watched(Gates())}
    on = {each.kind: each.path for each in served.watched(replace(Gates(), workload_claims=True))}

    assert "PodGroup" not in off
    assert on.get("PodGroup") == (f"/apis/scheduling.k8s.io/{home}/podgroups" if home else None)


async def test_what_is_known_to_be_served_is_not_asked_for_again(api, client):
    serve(api, {"minor": "37"}, v1=["DeviceTaintRule"])

    await discover(client)

    asked = [request["path"] for request in api.requests]
    assert asked == [
        "/apis/resource.k8s.io/v1",
        "/apis/scheduling.k8s.io/v1beta1",
        "/apis/scheduling.k8s.io/v1alpha3",
        "/apis/storage.k8s.io/v1",
        "/version",
    ]
