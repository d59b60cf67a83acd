"""The manifests parse, refer to one another by names that exist, and grant what the driver does."""

import json
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from scheduler.core import names
from scheduler.service.settings import load
from scoring.weights import DEFAULTS

ROOT = Path(__file__).resolve().parents[2] / "manifests"
BASE = ROOT / "base"
PLAIN = {
    "rules.yaml",  # for a Prometheus without operator; another test holds it to prometheusrule.yaml
    "before.yaml",  # what examples/corrected corrects
    "adapter-rules.yaml",  # for the prometheus-adapter that runs already
}
FOLDERS = sorted(path.parent for path in ROOT.rglob("kustomization.yaml"))
OWN = [folder for folder in FOLDERS if "examples" not in folder.parts]


def kustomization(folder):
    return YAML(typ="safe", pure=True).load((folder / "kustomization.yaml").read_text())


def documents(folder=BASE):
    """The objects in the files of one folder, by kind and name; what it takes from other folders is not among them."""
    files = [name for name in kustomization(folder).get("resources", []) if not name.startswith("..")]
    found = [
        document for name in files for document in YAML(typ="safe", pure=True).load_all((folder / name).read_text())
    ]
    return {(document["kind"], document["metadata"]["name"]): document for document in found}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(ROOT)))
def test_every_file_of_a_folder_is_used(folder):
    stated = kustomization(folder)
    patches = [patch["path"] for patch in stated.get("patches", []) if "path" in patch]
    used = [*stated.get("resources", []), *patches]

    folders = {name for name in used if (folder / name).is_dir()}
    assert sorted({*used} - folders) == sorted(
        path.name for path in folder.glob("*.yaml") if path.name not in {"kustomization.yaml", *PLAIN}
    )
    for other in [*stated.get("components", []), *folders]:
        assert (folder / other / "kustomization.yaml").is_file()


def test_everything_namespaced_stands_in_the_one_namespace():
    for (kind, _), document in documents().items():
        if kind not in {"Namespace", "ClusterRole", "ClusterRoleBinding", "FlowSchema"}:
            assert document["metadata"]["namespace"] == names.NAMESPACE
    assert ("Namespace", names.NAMESPACE) in documents()


@pytest.mark.parametrize("folder", OWN, ids=lambda folder: str(folder.relative_to(ROOT)))
def test_every_role_but_that_of_scrapers_is_bound_to_the_account(folder):
    found = {key: item for key, item in documents(folder).items() if not key[1].endswith("-reader")}
    kinds = {"ClusterRole", "Role"}
    bound = {
        (binding["roleRef"]["kind"], binding["roleRef"]["name"]): binding["subjects"]
        for (kind, _), binding in found.items()
        if kind.removesuffix("Binding") in kinds and kind.endswith("Binding")
    }

    account = {"kind": "ServiceAccount", "name": "dovetail", "namespace": names.NAMESPACE}
    assert account["name"] == documents()["ServiceAccount", "dovetail"]["metadata"]["name"]
    assert bound == {key: [account] for key in found if key[0] in kinds}


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


def roles():
    """All that is shipped anywhere but in examples, base and components."""
    return [item for folder in OWN for (kind, _), item in documents(folder).items() if kind.endswith("Role")]


def test_roles_grant_no_wildcard_no_secret_and_only_the_one_lease_to_change():
    found = documents()
    rules = [rule for role in roles() for rule in role["rules"]]

    granted = {(resource, verb) for rule in rules for resource in rule.get("resources", ()) for verb in rule["verbs"]}
    assert not any("*" in pair or pair[0] == "secrets" for pair in granted)
    assert not {verb for resource, verb in granted if verb in {"deletecollection", "impersonate", "escalate"}}
    assert {resource for resource, verb in granted if verb == "delete"} == {"resourceclaims"}
    assert [rule["nonResourceURLs"] for rule in rules if "resources" not in rule] == [["/metrics"], ["/debug/*"]]
    (changing,) = [rule for rule in found["Role", "dovetail"]["rules"] if "update" in rule["verbs"]]
    assert changing["resourceNames"] == [names.LEASE]


def test_renewals_of_the_lease_and_nothing_else_have_a_flow_of_their_own():
    found = documents()
    (rule,) = found["FlowSchema", "dovetail-leader-election"]["spec"]["rules"]
    leases = [each for each in found["Role", "dovetail"]["rules"] if each["resources"] == ["leases"]]

    (account,) = (each["serviceAccount"] for each in rule["subjects"])
    assert ("ServiceAccount", account["name"]) in found
    assert account["namespace"] == names.NAMESPACE
    (resources,) = rule["resourceRules"]
    assert (resources["resources"], resources["namespaces"]) == (["leases"], [names.NAMESPACE])
    assert sorted(resources["verbs"]) == sorted(verb for each in leases for verb in each["verbs"])


def test_the_ownership_example_taints_with_our_own_key():
    (rule,) = documents(ROOT / "components" / "taint-rule").values()

    assert rule["kind"] == "DeviceTaintRule"
    assert rule["spec"]["taint"]["key"] == names.OWNED
    assert rule["spec"]["taint"]["effect"] == "NoSchedule"
    assert rule["spec"]["deviceSelector"]["driver"]


def test_what_the_policies_call_owned_is_what_that_overlay_configures(tmp_path):
    (config,) = YAML(typ="safe", pure=True).load_all((ROOT / "overlays" / "owns-dra" / "config.yaml").read_text())
    path = tmp_path / names.CONFIG_KEY
    path.write_text(config["data"][names.CONFIG_KEY])
    owned = documents(ROOT / "components" / "admission" / "classes")["ConfigMap", "dovetail-owned"]["data"]

    ownership = load(path, {}).engine().ownership

    assert set(json.loads(owned["drivers"])) == ownership.drivers
    assert set(json.loads(owned["deviceClasses"])) == ownership.device_classes
    assert ownership.all_nodes


@pytest.mark.parametrize("overlay", ["kind", "owns-dra"])
def test_every_configuration_of_an_overlay_loads(overlay, tmp_path):
    (config,) = YAML(typ="safe", pure=True).load_all((ROOT / "overlays" / overlay / "config.yaml").read_text())
    path = tmp_path / names.CONFIG_KEY
    path.write_text(config["data"][names.CONFIG_KEY])

    assert load(path, {}).scheduler_name == names.SCHEDULER_NAME


def test_policies_name_our_account_scheduler_and_label():
    texts = {path.name: path.read_text() for path in (ROOT / "components" / "admission").rglob("*.yaml")}

    whole = "".join(texts.values())
    assert set(re.findall(r'system:serviceaccount:[^"]+', whole)) == {
        f"system:serviceaccount:{names.NAMESPACE}:dovetail"
    }
    assert set(re.findall(r'schedulerName [!=]= "([^"]+)"', whole)) == {names.SCHEDULER_NAME}
    assert names.CLAIM_FINALIZER in texts["claims.yaml"]
    assert names.EXTENDED_CLAIM in texts["claims.yaml"]


def added(component):
    """The pod and the container of a component's patch, and what its variables make of the configuration."""
    patch = YAML(typ="safe", pure=True).load((ROOT / "components" / component / "deployment.yaml").read_text())
    pod = patch["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    return pod, container, load(None, {each["name"]: each.get("value", "10.1.2.3") for each in container["env"]})


@pytest.mark.parametrize(("component", "section"), [("extender", "http"), ("extender-grpc", "grpc")])
def test_an_extender_is_configured_where_its_component_mounts_the_key(component, section):
    pod, container, config = added(component)
    extender = getattr(config.extender, section)
    found = documents(ROOT / "components" / component)
    (mount,) = container["volumeMounts"]
    (port,) = container["ports"]

    assert extender.enabled
    assert extender.host == "10.1.2.3"
    assert port["containerPort"] == extender.port
    (service,) = (item for (kind, _), item in found.items() if kind == "Service")
    (policy,) = (item for (kind, _), item in found.items() if kind == "NetworkPolicy")
    assert [each["targetPort"] for each in service["spec"]["ports"]] == [port["name"]]
    assert [each["ports"] for each in policy["spec"]["ingress"]] == [[{"port": port["name"]}]]
    folder = mount["mountPath"]
    tls = extender.tls
    assert (tls.cert_file, tls.key_file, tls.client_ca_file) == (
        f"{folder}/tls.crt", f"{folder}/tls.key", f"{folder}/ca.crt",
    )  # fmt: skip
    assert [volume["name"] for volume in pod["volumes"]] == [mount["name"]]


def test_the_record_fits_the_volume_that_its_component_mounts():
    pod, container, config = added("record")
    (volume,) = pod["volumes"]
    (mount,) = container["volumeMounts"]
    limit = volume["emptyDir"]["sizeLimit"]

    assert limit.endswith("Mi")
    assert Path(config.record.path).parent == Path(mount["mountPath"])
    # two files, each with a beginning that holds all objects: the growth of both may take half at most
    assert 4 * config.record.megabytes <= int(limit.removesuffix("Mi"))
    assert config.record.path in (ROOT / "components" / "record" / "kustomization.yaml").read_text()
