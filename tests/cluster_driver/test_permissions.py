"""The roles in manifests/ are the table in service/permissions.py, and a process tells what of it is missing."""

import asyncio
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from scheduler.cluster.discovery import SOURCES, Served
from scheduler.core import names
from scheduler.core.gates import Gates
from scheduler.service.permissions import BASE, POD_GROUPS, REVIEWS, WRITES, SelfCheck, describe, missing, needed

ROOT = Path(__file__).resolve().parents[2]
WHO = "system:serviceaccount:dovetail-system:dovetail"


def cluster(minor):
    homes = {source.kind: source.homes[0] if source.homes else "" for source in SOURCES}
    return Served(minor, homes)


def granted(manifest, *roles):
    """What the roles of one file grant: (verb, resource, group, namespace, name)."""
    found = [item for item in YAML(typ="safe", pure=True).load_all(manifest.read_text()) if item["kind"] in KINDS]
    assert {item["metadata"]["name"] for item in found} >= set(roles)
    return {
        (verb, resource, group, item["metadata"].get("namespace", ""), name)
        for item in found
        if item["metadata"]["name"] in roles
        for rule in item["rules"]
        for verb in rule["verbs"]
        for resource in rule["resources"]
        for group in rule["apiGroups"]
        for name in rule.get("resourceNames", [""])
    }


KINDS = {"Role", "ClusterRole"}


def wanted(minor, **gates):
    served = cluster(minor)
    on = Gates.of_cluster(minor, gates)
    found = needed(served, on, config_map=(names.NAMESPACE, names.CONFIG_MAP))
    return {(each.verb, each.resource, each.group, each.namespace, each.name) for each in found}


def test_the_roles_for_1_35_grant_what_it_needs_and_nothing_else():
    assert granted(ROOT / BASE, "dovetail") == wanted(35)


def test_the_roles_for_1_37_grant_what_it_needs_and_nothing_else():
    assert granted(ROOT / BASE, "dovetail", "dovetail-1.36") == wanted(37)


def test_1_36_needs_of_that_what_its_gates_turn_on():
    idle = {(verb, "devicetaintrules", "resource.k8s.io", "", "") for verb in ("list", "watch")}

    assert granted(ROOT / BASE, "dovetail", "dovetail-1.36") - wanted(36) == idle
    assert wanted(36) < wanted(37)


def test_the_component_for_pod_groups_grants_what_their_gate_adds():
    added = wanted(37, DRAWorkloadResourceClaims=True) - wanted(37)

    assert granted(ROOT / POD_GROUPS / "rbac.yaml", "dovetail-pod-groups") == added


def test_what_a_gate_needs_names_the_manifest_and_the_gate():
    found = [each for each in needed(cluster(37), Gates(workload_claims=True)) if each.resource == "podgroups"]

    assert {each.remedy for each in found} == {
        f"apply {POD_GROUPS} or set featureGates.DRAWorkloadResourceClaims: false"
    }


@pytest.mark.parametrize("permission", needed(cluster(37), Gates(workload_claims=True)), ids=str)
def test_every_manifest_that_is_named_exists(permission):
    assert (ROOT / permission.manifest).exists()


def test_leases_are_needed_for_election_only():
    without = needed(cluster(37), Gates(), election=False)

    assert {each.resource for each in needed(cluster(37), Gates())} - {each.resource for each in without} == {"leases"}


def test_a_configmap_is_followed_by_its_name_alone_and_scheduling_goes_on_without():
    added = set(needed(cluster(37), Gates(), config_map=("conf", "c"))) - set(needed(cluster(37), Gates()))

    assert {(each.verb, each.resource, each.namespace, each.name) for each in added} == {
        ("list", "configmaps", "conf", "c"),
        ("watch", "configmaps", "conf", "c"),
    }
    assert all(each.optional for each in added)


def test_a_cluster_that_tells_no_version_is_taken_for_the_newest():
    assert needed(cluster(None), Gates()) == needed(cluster(37), Gates())


def test_what_is_not_served_is_not_needed():
    homes = {kind: home for kind, home in cluster(37).homes.items() if kind != "DeviceTaintRule"}

    assert "devicetaintrules" not in {each.resource for each in needed(Served(37, homes), Gates())}


async def test_each_permission_is_asked_for_as_the_request_will_be_judged(api, client):
    await missing(client, needed(cluster(37), Gates()))

    asked = [each["body"]["spec"]["resourceAttributes"] for each in api.sent("POST", REVIEWS)]
    assert {
        "verb": "patch", "group": "resource.k8s.io", "resource": "resourceclaims", "subresource": "binding",
        "namespace": "", "name": "",
    } in asked  # fmt: skip
    assert {
        "verb": "watch", "group": "", "resource": "configmaps", "subresource": "",
        "namespace": names.NAMESPACE, "name": names.TOPOLOGY_MAP,
    } in asked  # fmt: skip


@pytest.mark.parametrize("lacking", WRITES, ids=str)
async def test_exactly_what_is_missing_is_found(api, client, lacking):
    api.denied = {(lacking.verb, lacking.resource)}

    assert await missing(client, needed(cluster(37), Gates())) == [lacking]


def test_the_sentence_says_who_lacks_what_and_what_would_help():
    [lacking] = [each for each in WRITES if (each.verb, each.resource) == ("patch", "resourceclaims/status")]

    assert describe(WHO, [lacking]) == (
        f"{WHO} lacks verb patch on resourceclaims/status.resource.k8s.io in all namespaces (allocations and "
        "reservations): apply manifests/base/rbac.yaml"
    )


def test_a_long_list_is_cut_and_each_remedy_named_once():
    text = describe(WHO, WRITES)

    assert "and 15 more" in text
    assert text.count("apply manifests/base/rbac.yaml") == 2  # alone, and with the gate as the other way out


async def test_it_asks_again_until_what_is_missing_is_granted(api, client):
    api.denied = {("patch", "pods/status"), ("create", "events")}
    check = SelfCheck(client, again_s=0.01)
    passing = asyncio.ensure_future(check.passed(needed(cluster(37), Gates())))
    await api.until(lambda: check.problem)
    told = check.problem

    api.denied.remove(("patch", "pods/status"))
    async with asyncio.timeout(30):
        await passing

    assert told.startswith(f"{WHO} lacks verb patch on pods/status in all namespaces")
    assert "events" not in told
    assert check.problem == ""
    assert [str(each) for each in check.without] == ["verb create on events in all namespaces"]
    assert check.reservation == " without events of pods"
    assert not check.allows("create", "events")


async def test_an_outage_is_waited_out(api, client, steps):
    api.script("POST", REVIEWS, *[steps.refuse(503)] * 3)
    check = SelfCheck(client, again_s=0.01)

    async with asyncio.timeout(30):
        await check.passed(needed(cluster(37), Gates()))

    assert check.problem == ""


async def test_a_server_that_reviews_nothing_is_taken_as_it_is(api, client, steps, caplog):
    api.script("POST", REVIEWS, *[steps.refuse(403, "Forbidden")] * 99)
    check = SelfCheck(client, again_s=0.01)

    await check.passed(needed(cluster(37), Gates()))

    assert check.without == ()
    assert "permissions are not checked" in caplog.text
