"""Which cluster the end-to-end tests run on, with recorded stand-ins for `kind` and `docker` on PATH."""

import json
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field
from ruamel.yaml import YAML

from e2e import cluster, controlplane
from e2e.controlplane import BINARIES, ControlPlaneError

VARIABLES = ("DOVETAIL_E2E_PROVIDER", "DOVETAIL_E2E_KIND_IMAGE", "KUBECONFIG")

# What `kind get kubeconfig` of version 0.31 prints, with the certificates left out.
KUBECONFIG = """apiVersion: v1
clusters:
- cluster:
    server: https://127.0.0.1:40001
  name: kind-dovetail-e2e-default
contexts:
- context:
    cluster: kind-dovetail-e2e-default
    user: kind-dovetail-e2e-default
  name: kind-dovetail-e2e-default
current-context: kind-dovetail-e2e-default
kind: Config
users:
- name: kind-dovetail-e2e-default
  user:
    token: t
"""
NO_ENGINE = """echo 'Client:
 Version:    27.3.1
 Context:    default

Server:'
echo 'ERROR: Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?' >&2
"""


class Commands:
    """A PATH with nothing on it but what a test puts there; every call is recorded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record = folder / "calls"

    def add(self, name: str, script: str) -> None:
        path = self.folder / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >> {self.record}\n{script}\n')
        path.chmod(0o755)

    def calls(self) -> list[str]:
        return self.record.read_text().splitlines() if self.record.exists() else []

    def add_kind(self, existing: str = "", create: str = "exit 0") -> None:
        (self.folder / "kubeconfig").write_text(KUBECONFIG)
        self.add(
            "kind",
            f"""case "$1 $2" in
"get clusters") [ -z "{existing}" ] && echo "No kind clusters found." >&2 || echo "{existing}" ;;
"create cluster") {create} ;;
"get kubeconfig") while IFS= read -r line; do printf '%s\\n' "$line"; done < {self.folder}/kubeconfig ;;
"delete cluster") ;;
*) exit 64 ;;
esac""",
        )


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    for variable in (*VARIABLES, "KUBEBUILDER_ASSETS", "DOVETAIL_E2E_KEEP"):
        monkeypatch.delenv(variable, raising=False)
    return Commands(folder)


def test_kubeconfig_comes_first(commands: Commands) -> None:
    commands.add_kind()
    commands.add("docker", "exit 0")
    assert cluster.choose({"KUBECONFIG": "/x", "KUBEBUILDER_ASSETS": "/y"}) == "given"


def test_a_provider_that_is_named_comes_before_kubeconfig(commands: Commands) -> None:
    assert cluster.choose({"KUBECONFIG": "/x", "DOVETAIL_E2E_PROVIDER": "build"}) == "build"


def test_kind_with_an_engine_that_answers_comes_before_assets(commands: Commands) -> None:
    commands.add_kind()
    commands.add("docker", "exit 0")
    assert cluster.choose({"KUBEBUILDER_ASSETS": "/y"}) == "kind"


@pytest.mark.parametrize("status", [0, 1])
def test_docker_client_without_an_engine_is_no_engine(commands: Commands, status: int) -> None:
    commands.add_kind()
    commands.add("docker", f"{NO_ENGINE}exit {status}")
    assert cluster.choose({"KUBEBUILDER_ASSETS": "/y"}) == "assets"
    assert commands.calls() == ["docker info"]


def test_second_engine_is_asked_when_the_first_does_not_answer(commands: Commands) -> None:
    commands.add_kind()
    commands.add("docker", f"{NO_ENGINE}exit 1")
    commands.add("podman", "exit 0")
    assert cluster.choose({}) == "kind"


def test_engine_without_kind_is_of_no_use(commands: Commands) -> None:
    commands.add("docker", "exit 0")
    assert cluster.choose({}) == "build"


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"DOVETAIL_E2E_PROVIDER": "minikube"}, "minikube: is none of given, kind, assets, build"),
        ({"DOVETAIL_E2E_PROVIDER": "kind"}, "kind is not on PATH"),
        ({"DOVETAIL_E2E_PROVIDER": "given"}, "KUBECONFIG is not set"),
        ({"DOVETAIL_E2E_PROVIDER": "assets"}, "KUBEBUILDER_ASSETS is not set"),
    ],
)
def test_provider_that_cannot_be_had_is_refused(commands: Commands, environment: dict[str, str], words: str) -> None:
    with pytest.raises(ControlPlaneError, match=re.escape(words)):
        cluster.choose(environment)


def test_assets_folder_that_lacks_a_binary_is_refused_by_name(tmp_path: Path) -> None:
    for name in BINARIES[1:]:
        (tmp_path / name).touch(mode=0o755)
    with pytest.raises(ControlPlaneError, match=f"has no {BINARIES[0]};"):
        cluster.local_cluster(cluster.PROFILES["default"], tmp_path, {"KUBEBUILDER_ASSETS": str(tmp_path)})


def test_missing_go_is_named(commands: Commands) -> None:
    with pytest.raises(ControlPlaneError, match="no Go tool chain on PATH"):
        controlplane.binaries()


# ---------------------------------------------------------------- the kind provider


def open_kind(commands: Commands, folder: Path, profile: str = "default", **more: str) -> cluster.Cluster:
    commands.add("docker", "exit 0")
    return cluster.open_cluster(cluster.PROFILES[profile], folder, {"DOVETAIL_E2E_PROVIDER": "kind", **more})


def test_kind_cluster_is_made_of_the_pinned_version_and_deleted(commands: Commands, tmp_path: Path) -> None:
    # given
    commands.add_kind()
    # when
    opened = open_kind(commands, tmp_path)
    opened.stop()
    # then
    kind = [call for call in commands.calls() if call.startswith("kind ")]
    image = f"kindest/node:{controlplane.kubernetes_version()}"
    assert kind == [
        "kind get clusters",
        f"kind create cluster --name dovetail-e2e-default --image {image} --config {tmp_path}/kind.yaml "
        f"--kubeconfig {tmp_path}/kind.kubeconfig --wait 180s",
        "kind get kubeconfig --name dovetail-e2e-default",
        "kind delete cluster --name dovetail-e2e-default",
    ]
    assert opened.api.access.server == "https://127.0.0.1:40001"
    assert opened.api.access.token == "t"
    assert (tmp_path / "kind.kubeconfig").stat().st_mode & 0o077 == 0


def test_kind_image_is_a_parameter(commands: Commands, tmp_path: Path) -> None:
    commands.add_kind()
    open_kind(commands, tmp_path, DOVETAIL_E2E_KIND_IMAGE="kindest/node:v1.36.0").stop()
    assert any("--image kindest/node:v1.36.0 " in call for call in commands.calls())


def test_older_profile_is_a_kind_cluster_of_its_own_version(commands: Commands, tmp_path: Path) -> None:
    commands.add_kind()
    open_kind(commands, tmp_path, "v1.35").stop()
    image = f"kindest/node:{controlplane.kubernetes_version(controlplane.OLDER)}"
    assert any(f"--name dovetail-e2e-v1.35 --image {image} " in call for call in commands.calls())


def test_kind_cluster_that_was_there_before_is_used_and_left(commands: Commands, tmp_path: Path) -> None:
    commands.add_kind(existing="other dovetail-e2e-default")
    open_kind(commands, tmp_path).stop()
    assert not any(re.match("kind (create|delete)", call) for call in commands.calls())


def test_kind_cluster_that_fails_to_come_up_is_deleted_and_its_words_are_shown(
    commands: Commands, tmp_path: Path
) -> None:
    commands.add_kind(create="echo 'ERROR: failed to create cluster: could not find a log line' >&2; exit 1")
    with pytest.raises(ControlPlaneError, match="could not find a log line"):
        open_kind(commands, tmp_path)
    assert commands.calls()[-1] == "kind delete cluster --name dovetail-e2e-default"


def test_alpha_profile_reaches_the_kind_configuration(commands: Commands, tmp_path: Path) -> None:
    commands.add_kind()
    open_kind(commands, tmp_path, "alpha").stop()
    written = KindConfig.model_validate(YAML(typ="safe").load((tmp_path / "kind.yaml").read_text()))
    assert written.feature_gates["GenericWorkload"] is True
    assert written.runtime_config == {"api/all": "true"}


# ---------------------------------------------------------------- kind.yaml, decoded strictly


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class KindNode(Strict):
    role: Literal["control-plane", "worker"]
    image: str = ""
    labels: dict[str, str] = {}


class JsonPatch(Strict):
    group: str
    version: str
    kind: str
    patch: str


class KindConfig(Strict):
    """kind.x-k8s.io/v1alpha4 Cluster, the fields in use; any other is refused."""

    kind: Literal["Cluster"]
    api_version: Literal["kind.x-k8s.io/v1alpha4"] = Field(alias="apiVersion")
    nodes: Annotated[list[KindNode], Field(min_length=1)]
    feature_gates: dict[str, bool] = Field({}, alias="featureGates")
    runtime_config: dict[str, str] = Field({}, alias="runtimeConfig")
    patches: list[JsonPatch] = Field([], alias="kubeadmConfigPatchesJSON6902")


class Argument(Strict):
    """kubeadm.k8s.io/v1beta4 Arg."""

    name: str
    value: str


class Operation(Strict):
    op: Literal["add"]
    path: Literal["/apiServer/extraArgs/-", "/controllerManager/extraArgs/-"]
    value: Argument


def load(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def test_kind_yaml_is_a_kind_cluster_and_nothing_else() -> None:
    config = KindConfig.model_validate(load(cluster.KIND_CONFIG.read_text()))
    assert [node.role for node in config.nodes] == ["control-plane"]
    for patch in config.patches:
        assert (patch.group, patch.version, patch.kind) == ("kubeadm.k8s.io", "v1beta4", "ClusterConfiguration")
        for operation in load(patch.patch):
            Operation.model_validate(operation)


def test_kind_leaves_silent_nodes_alone_as_local_processes_do() -> None:
    config = KindConfig.model_validate(load(cluster.KIND_CONFIG.read_text()))
    arguments = {
        operation["value"]["name"]: operation["value"]["value"]
        for patch in config.patches
        for operation in load(patch.patch)
    }
    assert arguments["disable-admission-plugins"] == cluster.Site().admission_off
    off = [name for name in arguments["controllers"].split(",") if name.startswith("-")]
    assert off == cluster.Site().controllers_off.split(",")


# ---------------------------------------------------------------- the build cache


def test_what_is_built_is_named_by_module_sums_flags_and_compiler(tmp_path: Path) -> None:
    module = tmp_path / "module"
    module.mkdir()
    (module / "go.mod").write_text("module m\nrequire k8s.io/kubernetes v1.37.2\n")
    (module / "go.sum").write_text("a h1:x\n")
    first = controlplane.key(module, "go version go1.26.8 linux/amd64")
    assert controlplane.key(module, "go version go1.26.8 linux/amd64") == first
    assert controlplane.key(module, "go version go1.26.9 linux/amd64") != first
    (module / "go.sum").write_text("a h1:y\n")
    summed = controlplane.key(module, "go version go1.26.8 linux/amd64")
    assert summed != first
    (module / "go.mod").write_text("module m\nrequire k8s.io/kubernetes v1.37.3\n")
    assert controlplane.key(module, "go version go1.26.8 linux/amd64") not in {first, summed}


GO = """if [ "$1" = version ]; then echo go version go1.26.8 linux/amd64; exit 0; fi
while [ "$1" != -o ]; do shift; done
echo "binary of $3" > "$2"
"""


def test_binaries_are_built_once(commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands.add("go", GO)
    monkeypatch.setenv("DOVETAIL_CACHE", str(tmp_path / "cache"))
    folder = controlplane.binaries(say=lambda text: None)
    assert controlplane.binaries(say=lambda text: None) == folder
    assert sorted(each.name for each in folder.iterdir()) == sorted(BINARIES)
    assert sum(call.startswith("go build") for call in commands.calls()) == len(BINARIES)
    assert "-X k8s.io/component-base/version.gitVersion=v" in commands.calls()[1]


def test_each_profile_has_the_binaries_of_its_version(
    commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands.add("go", GO)
    monkeypatch.setenv("DOVETAIL_CACHE", str(tmp_path / "cache"))
    folders = {name: controlplane.binaries(each.module, lambda text: None) for name, each in cluster.PROFILES.items()}
    assert folders["default"] == folders["alpha"] != folders["v1.35"]
    stamped = [call for call in commands.calls() if "version.gitMinor=35 " in f"{call} "]
    assert len(stamped) == len(BINARIES)
    assert all("gitVersion=v1.35." in call for call in stamped)


def test_failed_build_is_not_cached(commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # given a compiler that fails on the third binary
    commands.add("go", GO + "case \"$3\" in *controller-manager) echo 'cannot find main module' >&2; exit 1;; esac")
    monkeypatch.setenv("DOVETAIL_CACHE", str(tmp_path / "cache"))
    # when
    with pytest.raises(ControlPlaneError, match="cannot find main module"):
        controlplane.binaries(say=lambda text: None)
    # then
    assert [each.name for each in (tmp_path / "cache" / "controlplane").iterdir()] == ["lock"]


# ---------------------------------------------------------------- kubeconfig


def test_kubeconfig_with_a_token_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "k"
    path.touch(mode=0o666)
    cluster.write_kubeconfig(path, "http://127.0.0.1:1", "secret")
    assert os.stat(path).st_mode & 0o077 == 0
    assert json.loads(path.read_text())["users"][0]["user"]["token"] == "secret"
