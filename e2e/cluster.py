"""One cluster to test on: given, made by kind, or a control plane of local processes.

Tried in this order, unless DOVETAIL_E2E_PROVIDER (given, kind, assets, build) names one:

given   the cluster of KUBECONFIG, when that is set. These tests create nodes and pods there: name a cluster to spare,
        or unset it.
kind    when `kind` and a container engine that answers are on PATH. DOVETAIL_E2E_KIND_IMAGE names the node image.
assets  the binaries in KUBEBUILDER_ASSETS: etcd, kube-apiserver, kube-controller-manager, kube-scheduler.
build   the same, built from the Go module of the profile (e2e/controlplane) by the Go tool chain on PATH, and cached.
"""

import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ruamel.yaml import YAML

from e2e import controlplane
from e2e.api import Api
from e2e.controlplane import BINARIES, ControlPlaneError
from e2e.process import Child

PROVIDERS = ("given", "kind", "assets", "build")
KIND_CONFIG = Path(__file__).with_name("kind.yaml")
KIND_NAME = "dovetail-e2e"
_ENGINES = ("docker", "podman", "nerdctl")

# What has nothing to do here: no pod network, and no authority behind the API server's own certificate.
_IDLE = "-node-ipam-controller,-kube-apiserver-serving-clustertrustbundle-publisher-controller"


def _nothing(ports: Sequence[int], api: int) -> None:
    pass


@dataclass(frozen=True)
class Site:
    """Where the processes of a control plane run, and for which nodes.

    By default nodes are API objects without a kubelet: nothing renews their leases, so whatever would evict from silent
    nodes is off. The same settings stand in kind.yaml.

    prefix   : comes before each command line.
    open     : told of all ports, and that of the API server, before anything listens.
    """

    prefix: tuple[str, ...] = ()
    open: Callable[[Sequence[int], int], None] = _nothing
    admission_off: str = "TaintNodesByCondition"
    controllers_off: str = "-node-lifecycle-controller,-taint-eviction-controller"


@dataclass(frozen=True)
class Profile:
    """A version of Kubernetes, a choice of feature gates and served APIs.

    module : the Go module that pins the version; a cluster that is given or of KUBEBUILDER_ASSETS has its own.
    components : those of manifests/components that are applied beside the base.
    audited : an account's name; a local API server notes in audit.jsonl what it asks for.
    controlled : whether kube-controller-manager runs, where the control plane is local.
    """

    name: str
    gates: Mapping[str, bool] = field(default_factory=dict)
    apis: Mapping[str, str] = field(default_factory=dict)
    module: Path = controlplane.MODULE
    components: tuple[str, ...] = ("admission/account",)
    audited: str = ""
    controlled: bool = True


# AllAlpha and AllBeta are not used: some of their members need what a cluster without kubelets lacks.
_ALPHA_GATES = (
    "GenericWorkload", "DRAWorkloadResourceClaims", "TopologyAwareWorkloadScheduling", "CompositePodGroup",
    "PodGroupPreemptionPolicy", "DRAListTypeAttributes", "DRANodeAllocatableResources", "DRADeviceCompatibilityGroups",
    "DRADerivedAttributes", "DRAOptionalNodeOperations", "DRAResourcePoolStatus", "DRAPartitionableDevicesType",
)  # fmt: skip
PROFILES = {
    "default": Profile("default"),
    "alpha": Profile(
        "alpha", dict.fromkeys(_ALPHA_GATES, True), {"api/all": "true"}, components=("admission/account", "pod-groups")
    ),
    "v1.35": Profile("v1.35", module=controlplane.OLDER, components=("admission/account", "kubernetes-1.35")),
}


class Cluster(Protocol):
    """What tests need of a cluster."""

    profile: Profile
    kubeconfig: Path
    folder: Path
    api: Api

    def describe(self) -> str:
        """Where it came from, for the test report."""
        ...

    def start_kube_scheduler(self) -> None:
        """Have a kube-scheduler running; it may be running already."""
        ...

    def stop_kube_scheduler(self) -> None:
        """End it, where that is possible."""
        ...

    def stop(self) -> None:
        """Give back everything that was started."""
        ...


class GivenCluster:
    """A cluster that exists: nothing is started or stopped."""

    def __init__(self, kubeconfig: Path, profile: Profile, folder: Path, origin: str = "given") -> None:
        if not kubeconfig.is_file():
            raise ControlPlaneError(f"kubeconfig {kubeconfig}: is no file")
        self.profile = profile
        self.kubeconfig = kubeconfig
        self.folder = folder
        self.api = Api.of(kubeconfig)
        self._origin = origin

    def describe(self) -> str:
        return f"{self._origin}: {self.api.access.server}"

    def start_kube_scheduler(self) -> None:
        if self.api.find("Lease", "kube-scheduler", "kube-system") is None:
            raise ControlPlaneError(f"{self.describe()}: no kube-scheduler has its lease in kube-system")

    def stop_kube_scheduler(self) -> None:
        pass

    def stop(self) -> None:
        self.api.close()


class KindCluster(GivenCluster):
    """A cluster made by `kind`, deleted at the end unless it was there before."""

    def __init__(self, profile: Profile, folder: Path, image: str) -> None:
        self._name = f"{KIND_NAME}-{profile.name}"
        self._made = False
        kubeconfig = folder / "kind.kubeconfig"
        config = folder / "kind.yaml"
        with config.open("w") as stream:
            YAML(typ="safe", pure=True).dump(kind_config(profile), stream)
        if self._name not in self._kind("get", "clusters").split():
            self._made = True
            try:
                self._kind(
                    "create", "cluster", "--name", self._name, "--image", image, "--config", str(config),
                    "--kubeconfig", str(kubeconfig), "--wait", "180s",
                )  # fmt: skip
            except ControlPlaneError:
                self._delete()
                raise
        kubeconfig.write_text(self._kind("get", "kubeconfig", "--name", self._name))
        kubeconfig.chmod(0o600)
        super().__init__(kubeconfig, profile, folder, f"kind with {image}")

    def stop(self) -> None:
        super().stop()
        if self._made and not os.environ.get("DOVETAIL_E2E_KEEP"):
            self._delete()

    def _delete(self) -> None:
        self._kind("delete", "cluster", "--name", self._name)

    def _kind(self, *arguments: str) -> str:
        ran = _run_quietly(["kind", *arguments])
        if ran.returncode != 0:
            raise ControlPlaneError(f"kind {' '.join(arguments)} failed:\n{ran.stderr.strip()[-4000:]}")
        return ran.stdout


def kind_config(profile: Profile) -> dict[str, Any]:
    """kind.yaml with the gates and APIs of the profile."""
    config: dict[str, Any] = YAML(typ="safe", pure=True).load(KIND_CONFIG.read_text())
    if profile.gates:
        config["featureGates"] = dict(profile.gates)
    if profile.apis:
        config["runtimeConfig"] = dict(profile.apis)
    return config


class LocalCluster:
    """etcd, kube-apiserver and kube-controller-manager as processes on loopback; kube-scheduler on demand.

    Authorisation is RBAC and ServiceAccount admission is on, as in a real cluster.
    """

    def __init__(self, binaries: Path, profile: Profile, folder: Path, origin: str, site: Site | None = None) -> None:
        self.profile = profile
        self.folder = folder
        self.site = site or Site()
        self.kubeconfig = folder / "admin.kubeconfig"
        self._binaries = binaries
        self._origin = origin
        self._children: dict[str, Child] = {}
        for attempt in (1, 2, 3):
            try:
                self._start()
                return
            except ControlPlaneError as error:
                self._stop_all()
                # Between finding a free port and using it another process may have taken it.
                if "address already in use" not in str(error) or attempt == 3:
                    raise

    def describe(self) -> str:
        return f"{self._origin}: {self._binaries}"

    def _start(self) -> None:
        folder = self.folder
        shutil.rmtree(folder / "etcd", ignore_errors=True)
        key = folder / "service-account.key"
        if not key.exists():
            _openssl("genrsa", "-out", str(key), "2048")
            _openssl("rsa", "-in", str(key), "-pubout", "-out", str(folder / "service-account.pub"))
        (folder / "tokens.csv").touch(mode=0o600)
        (folder / "tokens.csv").write_text("admin-token,admin,admin,system:masters\n")
        ports = etcd, peer, secure, self._manager_port, self._scheduler_port = free_ports(5)
        self.site.open(ports, secure)
        self._run(
            "etcd", "--name", "e2e", "--data-dir", str(folder / "etcd"), "--unsafe-no-fsync", "--log-level", "warn",
            "--listen-client-urls", f"http://127.0.0.1:{etcd}", "--advertise-client-urls", f"http://127.0.0.1:{etcd}",
            "--listen-peer-urls", f"http://127.0.0.1:{peer}",
            "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
            "--initial-cluster", f"e2e=http://127.0.0.1:{peer}",
        )  # fmt: skip
        self._run(
            "kube-apiserver", "--etcd-servers", f"http://127.0.0.1:{etcd}",
            "--bind-address", "127.0.0.1", "--secure-port", str(secure),
            # Loopback cannot be an endpoint of the Service "kubernetes", which nothing here uses.
            "--advertise-address", "10.254.254.1", "--endpoint-reconciler-type", "none",
            "--cert-dir", str(folder / "certs"),
            "--service-account-issuer", "https://kubernetes.default.svc",
            "--service-account-key-file", str(folder / "service-account.pub"),
            "--service-account-signing-key-file", str(key),
            "--service-cluster-ip-range", "10.96.0.0/16",
            "--token-auth-file", str(folder / "tokens.csv"), "--authorization-mode", "RBAC",
            "--kubelet-preferred-address-types", "InternalIP",
            *(["--disable-admission-plugins", self.site.admission_off] if self.site.admission_off else []),
            *(self._audit() if self.profile.audited else []),
            *self._gates(),
            *(["--runtime-config", _pairs(self.profile.apis)] if self.profile.apis else []),
        )  # fmt: skip
        certificate = folder / "certs" / "apiserver.crt"
        self._await("kube-apiserver", f"https://127.0.0.1:{secure}/readyz", certificate, 90.0)
        write_kubeconfig(self.kubeconfig, f"https://127.0.0.1:{secure}", "admin-token", certificate)
        self.api = Api.of(self.kubeconfig)
        if self.profile.controlled:
            self._start_controllers(key, certificate)

    def _start_controllers(self, key: Path, certificate: Path) -> None:
        self._run(
            "kube-controller-manager", "--kubeconfig", str(self.kubeconfig),
            "--bind-address", "127.0.0.1", "--secure-port", str(self._manager_port),
            "--service-account-private-key-file", str(key), "--root-ca-file", str(certificate),
            "--use-service-account-credentials=false", "--leader-elect=false",
            "--controllers", ",".join(filter(None, ("*", self.site.controllers_off, _IDLE))),
            "--kube-api-qps", "5000", "--kube-api-burst", "5000",
            "--horizontal-pod-autoscaler-sync-period", "1s",  # else it looks every 15 s
            *self._gates(),
        )  # fmt: skip
        self._await("kube-controller-manager", f"https://127.0.0.1:{self._manager_port}/healthz", None, 60.0)

    @property
    def audit_log(self) -> Path:
        """JSON lines, one for each request of the audited account that was answered."""
        return self.folder / "audit.jsonl"

    def _audit(self) -> list[str]:
        policy = self.folder / "audit-policy.json"
        rules = [{"level": "Metadata", "users": [self.profile.audited]}, {"level": "None"}]
        document = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"]}
        policy.write_text(json.dumps({**document, "rules": rules}))
        return ["--audit-policy-file", str(policy), "--audit-log-path", str(self.audit_log)]

    def start_kube_scheduler(self) -> None:
        """With default plugins, profiles and node sampling; only the client is not throttled."""
        self.kube_scheduler()

    def kube_scheduler(self) -> Child:
        """The running kube-scheduler, started if there is none."""
        running = self._children.get("kube-scheduler")
        if running is not None and running.code is None:
            return running
        return self._start_scheduler("kube-scheduler", self._scheduler_port, {})

    @contextmanager
    def other_kube_scheduler(self, name: str, config: Mapping[str, Any]) -> Iterator[Child]:
        """A further one, for pods of this schedulerName, with a KubeSchedulerConfiguration of its own; then it ends."""
        [port] = free_ports(1)
        profiles = [{"schedulerName": name}]
        started = self._start_scheduler(f"kube-scheduler-{name}", port, {**config, "profiles": profiles})
        try:
            yield started
        finally:
            del self._children[started.name]
            started.stop()

    def _start_scheduler(self, name: str, port: int, config: Mapping[str, Any]) -> Child:
        file = self.folder / f"{name}.json"
        stated = {
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            **config,
            "clientConnection": {"kubeconfig": str(self.kubeconfig), "qps": 5000, "burst": 5000},
            "leaderElection": {"leaderElect": False},
        }
        file.write_text(json.dumps(stated))
        child = self._run(
            name, "--config", str(file), "--bind-address", "127.0.0.1", "--secure-port", str(port), *self._gates(),
            binary="kube-scheduler",
        )  # fmt: skip
        # readyz, not healthz: it tells that all caches are filled.
        self._await(name, f"https://127.0.0.1:{port}/readyz", None, 60.0)
        return child

    def stop_kube_scheduler(self) -> None:
        child = self._children.pop("kube-scheduler", None)
        if child is not None:
            child.stop()

    def stop(self) -> None:
        if hasattr(self, "api"):
            self.api.close()
        self._stop_all()

    def restart(self, name: str) -> None:
        """End a component and start it again as it was; returns once it answers."""
        child = self._children[name]
        child.stop(15.0)
        self._children[name] = Child(name, child.command, child.log)
        if name == "kube-apiserver":
            self._await(name, f"{self.api.access.server}/readyz", self.folder / "certs" / "apiserver.crt", 90.0)

    def logs(self, lines: int = 40) -> str:
        """The ends of all logs."""
        return "\n".join(f"--- {child.name}: {child.log}\n{child.tail(lines)}" for child in self._children.values())

    def _stop_all(self) -> None:
        for child in reversed(self._children.values()):
            child.stop(15.0 if child.name == "kube-apiserver" else 5.0)
        self._children.clear()

    def _gates(self) -> list[str]:
        gates = {gate: str(on).lower() for gate, on in self.profile.gates.items()}
        return ["--feature-gates", _pairs(gates)] if gates else []

    def _run(self, name: str, *arguments: str, binary: str = "") -> Child:
        log = self.folder / f"{name}.log"
        child = Child(name, [*self.site.prefix, str(self._binaries / (binary or name)), *arguments], log)
        self._children[name] = child
        return child

    def _await(self, name: str, url: str, certificate: Path | None, seconds: float) -> None:
        """Until `url` answers 200. Raises ControlPlaneError, with the ends of all logs, when it does not."""
        end = time.monotonic() + seconds
        problem = ""
        while time.monotonic() < end:
            child = self._children[name]
            if child.code is not None:
                raise ControlPlaneError(f"{name} ended with {child.code}\n{self.logs()}")
            try:
                tls = ssl.create_default_context(cafile=None if certificate is None else str(certificate))
                if certificate is None:
                    # Health of a component that made its own certificate; nothing secret is sent or believed.
                    tls.check_hostname = False
                    tls.verify_mode = ssl.CERT_NONE
                with urllib.request.urlopen(url, context=tls, timeout=5):
                    return
            except (OSError, urllib.error.URLError) as error:
                problem = str(error)
            time.sleep(0.1)
        raise ControlPlaneError(f"{name} is not ready after {seconds:g} s ({problem})\n{self.logs()}")


def _pairs(values: Mapping[str, str]) -> str:
    return ",".join(f"{name}={value}" for name, value in values.items())


def _openssl(*arguments: str) -> None:
    try:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        raise ControlPlaneError("openssl is not on PATH; it makes the key that signs ServiceAccount tokens") from None
    except subprocess.CalledProcessError as error:
        raise ControlPlaneError(f"openssl {' '.join(arguments)} failed: {error.stderr}") from None


def free_ports(count: int) -> list[int]:
    """Ports that are free now, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def write_kubeconfig(path: Path, server: str, token: str, certificate: Path | None = None, user: str = "e2e") -> None:
    """A kubeconfig with a token, readable by its owner only."""
    cluster: dict[str, Any] = {"server": server}
    if certificate is not None:
        cluster["certificate-authority"] = str(certificate)
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "e2e", "cluster": cluster}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": user}}],
        "current-context": "e2e",
    }
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps(document, indent=1))


def _run_quietly(command: Sequence[str], seconds: float | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=seconds
    )


def engine_answers() -> str:
    """The first container engine on PATH whose daemon answers, empty when there is none."""
    for engine in _ENGINES:
        if shutil.which(engine) is None:
            continue
        try:
            ran = _run_quietly([engine, "info"], 20)
        except (OSError, subprocess.TimeoutExpired):
            continue
        # `docker info` prints the client's part and, in some versions, ends with 0 although no engine answered.
        if ran.returncode == 0 and "Cannot connect" not in ran.stderr and "ERROR" not in ran.stdout + ran.stderr:
            return engine
    return ""


def choose(environment: Mapping[str, str]) -> str:
    """The provider to take; see the head of this module. Raises ControlPlaneError."""
    wanted = environment.get("DOVETAIL_E2E_PROVIDER", "")
    if wanted and wanted not in PROVIDERS:
        raise ControlPlaneError(f"DOVETAIL_E2E_PROVIDER={wanted}: is none of {', '.join(PROVIDERS)}")
    if wanted == "kind":
        if shutil.which("kind") is None:
            raise ControlPlaneError("DOVETAIL_E2E_PROVIDER=kind: kind is not on PATH")
        if not engine_answers():
            raise ControlPlaneError(f"DOVETAIL_E2E_PROVIDER=kind: none of {', '.join(_ENGINES)} on PATH answers `info`")
    if wanted == "given" and not environment.get("KUBECONFIG"):
        raise ControlPlaneError("DOVETAIL_E2E_PROVIDER=given: KUBECONFIG is not set")
    if wanted == "assets" and not environment.get("KUBEBUILDER_ASSETS"):
        raise ControlPlaneError("DOVETAIL_E2E_PROVIDER=assets: KUBEBUILDER_ASSETS is not set")
    if wanted:
        return wanted
    if environment.get("KUBECONFIG"):
        return "given"
    if shutil.which("kind") is not None and engine_answers():
        return "kind"
    return "assets" if environment.get("KUBEBUILDER_ASSETS") else "build"


def open_cluster(profile: Profile, folder: Path, environment: Mapping[str, str] | None = None) -> Cluster:
    """A cluster that answers. The caller stops it. Raises ControlPlaneError."""
    environment = os.environ if environment is None else environment
    provider = choose(environment)
    if provider == "given":
        return GivenCluster(Path(environment["KUBECONFIG"]), profile, folder)
    if provider == "kind":
        pinned = f"kindest/node:{controlplane.kubernetes_version(profile.module)}"
        return KindCluster(profile, folder, environment.get("DOVETAIL_E2E_KIND_IMAGE") or pinned)
    return local_cluster(profile, folder, environment if provider == "assets" else {})


def local_cluster(
    profile: Profile, folder: Path, environment: Mapping[str, str] | None = None, site: Site | None = None
) -> LocalCluster:
    """A control plane of local processes: of KUBEBUILDER_ASSETS when that is set, else built."""
    environment = os.environ if environment is None else environment
    assets = environment.get("KUBEBUILDER_ASSETS")
    if not assets:
        return LocalCluster(controlplane.binaries(profile.module), profile, folder, "built", site)
    missing = [name for name in BINARIES if not os.access(Path(assets) / name, os.X_OK)]
    if missing:
        raise ControlPlaneError(
            f"KUBEBUILDER_ASSETS={assets}: has no {', '.join(missing)}; unset it to build a control plane instead"
        )
    return LocalCluster(Path(assets), profile, folder, "KUBEBUILDER_ASSETS", site)


@contextmanager
def scratch(prefix: str = "dovetail-e2e-") -> Iterator[Path]:
    """A folder for logs and state, kept when DOVETAIL_E2E_KEEP is set or something failed."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        yield folder
    except BaseException:
        print(f"logs are kept in {folder}", file=sys.stderr)
        raise
    if os.environ.get("DOVETAIL_E2E_KEEP"):
        print(f"kept {folder}", file=sys.stderr)
    else:
        shutil.rmtree(folder, ignore_errors=True)
