"""The manifests parse, refer to one another by names that exist, and grant what the driver does."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from scheduler.core import names
from scheduler.service.settings import load
from scoring.weights import DEFAULTS

ROOT = Path(__file__).resolve().parents[2] / "manifests"


def documents(folder=ROOT):
    yaml = YAML(typ="safe", pure=True)
    listed = yaml.load((folder / "kustomization.yaml").read_text())["resources"]
    found = [document for name in listed for document in yaml.load_all((folder / name).read_text())]
    return {(document["kind"], document["metadata"]["name"]): document for document in found}


def test_every_file_of_the_folder_is_listed():
    for folder in (ROOT, ROOT / "ownership"):
        listed = YAML(typ="safe", pure=True).load((folder / "kustomization.yaml").read_text())["resources"]

        assert sorted(listed) == sorted(
            path.name for path in folder.glob("*.yaml") if path.name != "kustomization.yaml"
        )


def test_everything_namespaced_stands_in_the_one_namespace():
    for (kind, _), document in documents().items():
        if kind not in {"Namespace", "ClusterRole", "ClusterRoleBinding"}:
            assert document["metadata"]["namespace"] == names.NAMESPACE
    assert ("Namespace", names.NAMESPACE) in documents()


@pytest.mark.parametrize("kind", ["RoleBinding", "ClusterRoleBinding"])
def test_bindings_name_a_role_and_an_account_that_exist(kind):
    found = documents()
    binding = found[kind, "dovetail"]

    assert (binding["roleRef"]["kind"], binding["roleRef"]["name"]) in found
    for subject in binding["subjects"]:
        assert found[subject["kind"], subject["name"]]["metadata"]["namespace"] == subject["namespace"]


def test_the_deployment_uses_what_the_other_files_define():
    found = documents()
    pod = found["Deployment", "dovetail"]["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    (container,) = pod["containers"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}

    assert ("ServiceAccount", pod["serviceAccountName"]) in found
    assert volumes["config"]["configMap"]["name"] == names.CONFIG_MAP
    assert names.CONFIG_KEY in found["ConfigMap", names.CONFIG_MAP]["data"]
    assert container["args"] == ["run", "--config", f"{mounts['config']}/{names.CONFIG_KEY}"]
    assert set(mounts) == set(volumes)


def test_the_pod_needs_no_rights_on_its_node():
    pod = documents()["Deployment", "dovetail"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]

    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_the_configuration_in_the_config_map_loads_and_states_the_defaults(tmp_path):
    path = tmp_path / names.CONFIG_KEY
    path.write_text(documents()["ConfigMap", names.CONFIG_MAP]["data"][names.CONFIG_KEY])

    config = load(path, {})

    assert config.weights == dict(DEFAULTS)
    assert config.engine().ownership == load(None, {}).engine().ownership


def test_probes_ask_where_health_is_served():
    (container,) = documents()["Deployment", "dovetail"]["spec"]["template"]["spec"]["containers"]
    (port,) = container["ports"]

    assert port["containerPort"] == load(None, {}).http.port
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": port["name"]}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": port["name"]}


def test_roles_grant_no_wildcard_no_secret_and_only_the_one_lease_to_change():
    found = documents()
    rules = found["ClusterRole", "dovetail"]["rules"] + found["Role", "dovetail"]["rules"]

    granted = {(resource, verb) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]}
    assert not any("*" in pair or pair[0] == "secrets" for pair in granted)
    assert not {verb for resource, verb in granted if verb in {"deletecollection", "impersonate", "escalate"}}
    assert {resource for resource, verb in granted if verb == "delete"} == {"resourceclaims"}
    (changing,) = [rule for rule in found["Role", "dovetail"]["rules"] if "update" in rule["verbs"]]
    assert changing["resourceNames"] == [names.LEASE]


def test_claims_for_extended_resources_can_be_made_and_deleted():
    rules = documents()["ClusterRole", "dovetail"]["rules"]

    verbs = {verb for rule in rules if "resourceclaims" in rule["resources"] for verb in rule["verbs"]}
    assert {"create", "delete", "patch"} <= verbs


@pytest.mark.parametrize("resource", ["resourceclaims", "resourceclaims/status", "resourceclaims/binding"])
def test_claims_can_be_written_whole_where_the_server_takes_no_patch(resource):
    rules = documents()["ClusterRole", "dovetail"]["rules"]

    verbs = {verb for rule in rules if resource in rule["resources"] for verb in rule["verbs"]}
    assert {"patch", "update"} <= verbs


def test_the_ownership_example_taints_with_our_own_key():
    (rule,) = documents(ROOT / "ownership").values()

    assert rule["kind"] == "DeviceTaintRule"
    assert rule["spec"]["taint"]["key"] == names.OWNED
    assert rule["spec"]["taint"]["effect"] == "NoSchedule"
    assert rule["spec"]["deviceSelector"]["driver"]
