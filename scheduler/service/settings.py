"""The SchedulerConfig file and its environment: read, or refused with the place of every mistake."""

import hashlib
import ipaddress
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from scheduler.cluster.documents import read_yaml
from scheduler.core import names
from scheduler.core.config import EngineConfig, Overrides, Ownership, RemoteScorer
from scheduler.core.errors import ConfigError, printable
from scheduler.core.gates import Gates
from scheduler.core.opinions import MAX_NAME
from scheduler.core.topology import Spellings
from scoring.profiles import DEFAULT, profiles
from scoring.weights import DEFAULTS, Weights, nearest

LARGEST: Final = 2**17  # characters
_MOST_TOLD: Final = 10
_NAME: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
_ATTRIBUTE: Final = _NAME.removesuffix("$") + "/[a-zA-Z_][a-zA-Z0-9_]*$"  # QualifiedName with its domain
_SHOWN: Final = 60


def _known(weights: dict[str, float]) -> dict[str, float]:
    Weights(weights)
    return weights


Weight = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
_SCORER_NAMES: Final = {"propertyNames": {"enum": list(DEFAULTS)}}
NamedWeights = Annotated[dict[str, Weight], AfterValidator(_known), Field(json_schema_extra=_SCORER_NAMES)]
Seconds = Annotated[float, Field(ge=1, le=3600, allow_inf_nan=False)]
Name = Annotated[str, Field(pattern=_NAME, max_length=253)]
Host = Annotated[str, Field(pattern=r"^[0-9A-Za-z.:%_-]+$", max_length=253)]
ClientName = Annotated[str, Field(min_length=1, max_length=253)]
AttributeName = Annotated[str, Field(pattern=_ATTRIBUTE, max_length=63 + 1 + 32)]
ProfileName = Annotated[str, Field(pattern=_NAME, max_length=MAX_NAME)]
ProfileChoice = Annotated[str, Field(pattern=rf"^\*$|{_NAME}", max_length=MAX_NAME)]


class _Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, alias_generator=to_camel, hide_input_in_errors=True
    )


class OwnershipSettings(_Section):
    """What Dovetail may allocate; see `core.config.Ownership`."""

    nodes: Literal["labelled", "all"] = "labelled"
    drivers: list[Name] = []
    device_classes: list[Name] = []


class LeaderElectionSettings(_Section):
    """Which of several processes decides. Off only where there surely is one process."""

    enabled: bool = True
    lease_seconds: Seconds = 15
    renew_seconds: Seconds = 10
    retry_seconds: Annotated[float, Field(ge=0.1, le=3600, allow_inf_nan=False)] = 2

    @model_validator(mode="after")
    def _ordered(self) -> "LeaderElectionSettings":
        if self.renew_seconds >= self.lease_seconds:
            raise ValueError("renewSeconds must be less than leaseSeconds")
        if self.retry_seconds * 1.2 >= self.renew_seconds:
            raise ValueError("retrySeconds must be less than renewSeconds / 1.2")
        return self


class MetricsSettings(_Section):
    """Who may read metrics and debug pages beyond loopback: tokens meant for one of these, or for the API server."""

    audiences: list[Annotated[str, Field(min_length=1, max_length=253)]] = []


class TracingSettings(_Section):
    """Where spans go, as OTLP over HTTP; without an endpoint there are none. See `service.tracing`."""

    endpoint: Annotated[str, Field(pattern=r"^(https?://[!-~]+)?$", max_length=1024)] = ""
    sampling_ratio_per_million: Annotated[int, Field(ge=0, le=1_000_000)] = 10_000

    @model_validator(mode="after")
    def _without_secrets(self) -> "TracingSettings":
        # Of the whole section, so that the value is not shown.
        if "@" in urlsplit(self.endpoint).netloc:
            raise ValueError(
                "endpoint holds a user or password, and the configuration is shown to many: leave it out, and let a "
                "collector beside the process hold the secret"
            )
        return self


class TlsConfig(_Section):
    """Files of a listener that speaks TLS; none named: it does not. Whoever replaces a file need not restart anything.

    `clientCAFile` : who connects must show a certificate that one of these authorities signed.
    `clientNames` : and it must carry one of these names, as common name or DNS name. None: any that they signed.
    """

    cert_file: str = ""
    key_file: str = ""
    client_ca_file: Annotated[str, Field(alias="clientCAFile")] = ""
    client_names: list[ClientName] = []

    @model_validator(mode="after")
    def _whole(self) -> "TlsConfig":
        for key, given, needs, other in (
            ("keyFile", self.key_file, "certFile", self.cert_file),
            ("certFile", self.cert_file, "keyFile", self.key_file),
            ("clientCAFile", self.client_ca_file, "certFile", self.cert_file),
            ("clientNames", self.client_names, "clientCAFile", self.client_ca_file),
        ):
            if given and not other:
                raise ValueError(f"{key} is set and {needs} is not: set both")
        return self

    @property
    def on(self) -> bool:
        """Whether the listener speaks TLS."""
        return bool(self.cert_file)


class HttpSettings(_Section):
    """Where health, metrics and debug pages are served; port 0 serves nothing. See `service.http`."""

    host: Host = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 10371
    tls: TlsConfig = TlsConfig()

    @model_validator(mode="after")
    def _for_everybody(self) -> "HttpSettings":
        if self.tls.client_ca_file:
            raise ValueError("tls.clientCAFile is set, and the kubelet, which asks for health, has no certificate")
        return self


class ListenerSettings(_Section):
    """A listener that tells scores: off unless enabled, and beyond loopback only for those with a certificate."""

    enabled: bool = False
    host: Host = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)]
    tls: TlsConfig = TlsConfig()

    @model_validator(mode="after")
    def _guarded(self) -> "ListenerSettings":
        if self.enabled and (problem := self.exposed):
            raise ValueError(problem)
        return self

    @property
    def exposed(self) -> str:
        """Why nobody may be listened to like this; empty if that is fine."""
        if self.tls.client_ca_file or is_loopback(self.host):
            return ""
        return (
            f"tls.clientCAFile is not set, and host {_show(self.host)} is not a loopback address: "
            f"anybody could ask; set tls.clientCAFile, or host: 127.0.0.1"
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine (or pod) can reach a listener on this host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class HttpExtenderSettings(ListenerSettings):
    """Where a kube-scheduler may ask for our scores; see `service.extender`.

    `maxBodyMegabytes` : of a request. With nodeCacheCapable 1 does for 5,000 nodes; without, a node may take 10 KiB and
    more, and each megabyte holds up decisions for about a millisecond.
    """

    port: Annotated[int, Field(ge=1, le=65535)] = 10372
    max_body_megabytes: Annotated[int, Field(ge=1, le=256)] = 16


class GrpcExtenderSettings(ListenerSettings):
    """Where any scheduler may ask for our scores; see `service.scores`. reflection : tells what there is to call."""

    port: Annotated[int, Field(ge=1, le=65535)] = 10373
    reflection: bool = False


class ExtenderSettings(_Section):
    """Who else may use our scores, and how."""

    http: HttpExtenderSettings = HttpExtenderSettings()
    grpc: GrpcExtenderSettings = GrpcExtenderSettings()


class RemoteTls(_Section):
    """TLS to somebody else's server. caFile : who vouches for it; none: no TLS. certFile, keyFile : what we show.

    serverName : the name that its certificate must carry, where that is not the host of the address.
    """

    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    server_name: str = ""

    @model_validator(mode="after")
    def _whole(self) -> "RemoteTls":
        if bool(self.cert_file) != bool(self.key_file):
            raise ValueError("certFile and keyFile belong together: set both or none")
        if not self.ca_file and (self.cert_file or self.server_name):
            raise ValueError("caFile is not set, so that nothing is encrypted: set it, or leave out the others")
        return self


class RemoteScorerSettings(_Section):
    """A gRPC service `dovetail.scoring.v1.Scorer` of somebody else that is asked about the best nodes of every pod."""

    name: Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
    address: Annotated[str, Field(pattern=r"^([a-z0-9.-]+|\[[0-9a-fA-F:]+\]):[0-9]{1,5}$", max_length=260)]
    weight: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]
    timeout_milliseconds: Annotated[int, Field(ge=1, le=5_000)] = 50
    tls: RemoteTls = RemoteTls()

    @model_validator(mode="after")
    def _guarded(self) -> "RemoteScorerSettings":
        host, _, port = self.address.rpartition(":")
        host = host.strip("[]")
        if not 1 <= int(port) <= 65535:
            raise ValueError(f"address {_show(self.address)}: the port must be 1 to 65535")
        if not self.tls.ca_file and not is_loopback(host):
            raise ValueError(
                f"tls.caFile is not set, and {_show(self.address)} is not on this machine: "
                f"anybody between could answer; set tls.caFile"
            )
        return self


class AttributeSettings(_Section):
    """Attributes of devices, by full name, that count before those that are known; see `topology.reading`."""

    numa_node: list[AttributeName] = []
    pcie_root: list[AttributeName] = []


class TopologySettings(_Section):
    """How it is learned where devices sit."""

    attributes: AttributeSettings = AttributeSettings()


class ProfileSettings(_Section):
    """Named weights, merged over the shipped profile of that name, or over the shipped weights."""

    weights: NamedWeights = {}


class LimitSettings(_Section):
    """Between which values pods may set a weight."""

    min: Weight = 0.0
    max: Weight

    @model_validator(mode="after")
    def _ordered(self) -> "LimitSettings":
        if self.min > self.max:
            raise ValueError(f"min {self.min:g} is more than max {self.max:g}")
        return self


def _scorers(limits: dict[str, LimitSettings]) -> dict[str, LimitSettings]:
    Weights({name: limit.max for name, limit in limits.items()})
    return limits


class OverridesSettings(_Section):
    """What pods may choose by annotation: any profile and no single weight, if nothing is said. `*` : every profile."""

    profiles: list[ProfileChoice] = ["*"]
    weights: Annotated[dict[str, LimitSettings], AfterValidator(_scorers), Field(json_schema_extra=_SCORER_NAMES)] = {}

    def engine(self) -> Overrides:
        """As the engine is told."""
        return Overrides(
            profiles=None if "*" in self.profiles else frozenset(self.profiles),
            weights={name: (limit.min, limit.max) for name, limit in self.weights.items()},
        )


class ConfigMapSettings(_Section):
    """The ConfigMap whose key `config.yaml` is followed while the process runs; without a name the file is."""

    namespace: Name = names.NAMESPACE
    name: Annotated[str, Field(pattern=rf"^$|{_NAME}", max_length=253)] = ""


class RecordSettings(_Section):
    """Where the last decisions are recorded, for `dovetail config diff`; without a path they are not.

    decisions : how many at least are kept. megabytes : how far one of the two files may grow beyond its beginning.
    """

    path: Annotated[str, Field(pattern=r"^[^\x00]*$", max_length=4096)] = ""
    decisions: Annotated[int, Field(ge=1, le=1_000_000)] = 1_000
    megabytes: Annotated[int, Field(ge=1, le=10_000)] = 64


_PROCESS: Final = (
    "config_map", "extender", "http", "leader_election", "metrics", "record", "tracing", "writes_in_flight",
)  # fmt: skip
"""What is told of the process and not of decisions; replicas may differ in it."""


class SchedulerConfig(_Section):
    """The configuration of one scheduler process. What is not given has the default written here."""

    api_version: Literal["config.dovetail.scheduler/v1alpha1"]
    kind: Literal["SchedulerConfig"]
    scheduler_name: Name = names.SCHEDULER_NAME
    scheduler_profiles: dict[Name, ProfileName] = {}
    profile: ProfileName = DEFAULT
    weights: NamedWeights = {}
    profiles: dict[ProfileName, ProfileSettings] = {}
    overrides: OverridesSettings = OverridesSettings()
    ownership: OwnershipSettings = OwnershipSettings()
    device_choice: Literal["scored", "first-fit"] = "scored"
    solver: Literal["greedy", "regret", "joint"] = "regret"
    joint_limit_seconds: Annotated[float, Field(ge=0.01, le=5, allow_inf_nan=False)] = EngineConfig().joint_limit_s
    batch: Annotated[int, Field(ge=1, le=10_000)] = EngineConfig().batch
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] = 0
    verify_plans: bool = False
    feature_gates: dict[str, bool] = {}
    binding_timeout_seconds: Seconds = EngineConfig().binding_timeout_s
    volume_timeout_seconds: Seconds = EngineConfig().volume_timeout_s
    topology: TopologySettings = TopologySettings()
    fabric_partitions: bool = True
    config_map: ConfigMapSettings = ConfigMapSettings()
    record: RecordSettings = RecordSettings()
    leader_election: LeaderElectionSettings = LeaderElectionSettings()
    writes_in_flight: Annotated[int, Field(ge=1, le=1024)] = 128
    http: HttpSettings = HttpSettings()
    metrics: MetricsSettings = MetricsSettings()
    tracing: TracingSettings = TracingSettings()
    extender: ExtenderSettings = ExtenderSettings()
    remote_scorers: Annotated[list[RemoteScorerSettings], Field(max_length=8)] = []

    @model_validator(mode="after")
    def _usable(self) -> "SchedulerConfig":
        known = self.vectors()
        for name, vector in known.items():
            if not any(vector.values.values()):
                raise ValueError(f"profile {name}: every weight is 0, so that all placements are equal; give one more")
        for name, profile in self.scheduler_profiles.items():
            if profile not in known:
                said = f"schedulerProfiles.{name} = {profile!r}"
                raise ValueError(f"{said}: no profile has this name; {nearest(profile, known)}")
        for i, name in enumerate(self.overrides.profiles):
            if name != "*" and name not in known:
                raise ValueError(f"overrides.profiles.{i} = {name!r}: no profile has this name; {nearest(name, known)}")
        try:
            Gates().override(self.feature_gates)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        owned = self.ownership
        if self.extender.http.enabled and owned.nodes == "all" and not owned.drivers and not owned.device_classes:
            raise ValueError(
                "extender.http.enabled: with ownership.nodes = 'all' every device is Dovetail's, and other schedulers "
                "would get no node for any claim; set ownership.nodes: labelled, or name ownership.drivers"
            )
        taken: dict[tuple[str, int], str] = {}
        for key, serves, listener in (
            ("http", self.http.port != 0, self.http),
            ("extender.http", self.extender.http.enabled, self.extender.http),
            ("extender.grpc", self.extender.grpc.enabled, self.extender.grpc),
        ):
            other = taken.setdefault((listener.host, listener.port), key) if serves else key
            if other != key:
                raise ValueError(f"{key}.port = {listener.port}: is that of {other} on the same host; choose another")
        named = [scorer.name for scorer in self.remote_scorers]
        if twice := sorted({name for name in named if named.count(name) > 1}):
            raise ValueError(f"remoteScorers: {twice[0]} is the name of more than one; names tell them apart")
        if "default-scheduler" in {self.scheduler_name, *self.scheduler_profiles}:
            raise ValueError("schedulerName default-scheduler belongs to kube-scheduler; choose another")
        if self.scheduler_name in self.scheduler_profiles:
            raise ValueError(f"schedulerProfiles.{self.scheduler_name}: is schedulerName itself; state it by profile")
        return self

    def vectors(self) -> Mapping[str, Weights]:
        """The weights of every profile."""
        return profiles(self._own(), self.profile, self.weights)

    def effective(self) -> dict[str, Any]:
        """All that decides, by the keys of the file, with every profile and its weights as they come out."""
        found = self.model_dump(mode="json", by_alias=True, exclude={*_PROCESS} & set(type(self).model_fields))
        vectors = {name: {"weights": dict(vector.values)} for name, vector in self.vectors().items()}
        return {**found, "weights": vectors[self.profile]["weights"], "profiles": vectors}

    def digest(self) -> str:
        """Twelve hexadecimal digits that stand for `effective`: whoever shows the same decides by the same."""
        text = json.dumps(self.effective(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def _own(self) -> dict[str, Mapping[str, float]]:
        return {name: dict(profile.weights) for name, profile in self.profiles.items()}

    def engine(self, minor: int | None = None) -> EngineConfig:
        """What the engine is told, for a cluster of Kubernetes 1.`minor` (None: of the newest known)."""
        return EngineConfig(
            scheduler_name=self.scheduler_name,
            ownership=Ownership(
                all_nodes=self.ownership.nodes == "all",
                drivers=frozenset(self.ownership.drivers),
                device_classes=frozenset(self.ownership.device_classes),
            ),
            profile=self.profile,
            weights=dict(self.weights),
            profiles=self._own(),
            scheduler_profiles=dict(self.scheduler_profiles),
            overrides=self.overrides.engine(),
            device_choice=self.device_choice,
            solver=self.solver,
            joint_limit_s=self.joint_limit_seconds,
            batch=self.batch,
            verify_plans=self.verify_plans,
            seed=self.seed,
            binding_timeout_s=self.binding_timeout_seconds,
            volume_timeout_s=self.volume_timeout_seconds,
            spellings=Spellings(
                numa=tuple(self.topology.attributes.numa_node), pcie=tuple(self.topology.attributes.pcie_root)
            ),
            fabric_partitions=self.fabric_partitions,
            remote=tuple(
                RemoteScorer(each.name, each.weight, each.timeout_milliseconds / 1000) for each in self.remote_scorers
            ),
            gates=Gates.of_cluster(minor, self.feature_gates),
            digest=self.digest(),
        )


def load(path: Path | None, environment: Mapping[str, str] | None = None) -> SchedulerConfig:
    """Read the file, or take the defaults; then apply DOVETAIL_* variables, such as DOVETAIL_HTTP__PORT=0.

    Two underscores go one key down, single ones and case do not matter, and a value is read as YAML. Variables that
    name no key of the file are not ours (Kubernetes sets DOVETAIL_SERVICE_HOST where a Service has our name).
    Raises ConfigError, which names the file or variable, the key and the value.
    """
    if path is None:
        return _validated(_header(), "built-in settings", environment)
    return parse(read_text(path), str(path), environment)


def parse(text: str, where: str, environment: Mapping[str, str] | None = None) -> SchedulerConfig:
    """What a text says, under the variables as `load` applies them. where : whose text it is, for ConfigError."""
    try:
        document = read_yaml(text, LARGEST)
    except ValueError as error:
        raise ConfigError(where, printable(str(error))) from None
    if not isinstance(document, dict):
        said = "is empty" if document is None else f"holds a {type(document).__name__}, not a mapping"
        raise ConfigError(where, said, f"begin with apiVersion: {names.CONFIG_API_VERSION}")
    return _validated(document, where, environment)


def read_text(path: Path) -> str:
    """What a file holds. Raises ConfigError for what is no text, and for what is too long to be looked at."""
    try:
        with path.open("rb") as file:
            content = file.read(4 * LARGEST + 1)
        return content.decode("utf-8")
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read ({error.strerror})", "check path and permissions") from error
    except UnicodeDecodeError as error:
        if len(content) > 4 * LARGEST:
            raise ConfigError(str(path), f"is longer than {LARGEST} characters") from None
        raise ConfigError(str(path), f"is not UTF-8 (byte {error.start + 1}: {error.reason})") from None


def _validated(document: dict[str, Any], where: str, environment: Mapping[str, str] | None) -> SchedulerConfig:
    variables = _override(document, os.environ if environment is None else environment)
    try:
        return SchedulerConfig.model_validate(document)
    except ValidationError as error:
        entries = error.errors(include_url=False)
        problems = [_problem(document, entry) for entry in entries[:_MOST_TOLD]]
        more = [f"and {len(entries) - _MOST_TOLD} more mistakes"] if len(entries) > _MOST_TOLD else []
        raise ConfigError(", ".join([where, *variables]), "; ".join([*problems, *more])) from None


_LIVE: Final = ("profile", "weights", "profiles", "overrides", "batch", "solver", "joint_limit_seconds")


def go_over(running: SchedulerConfig, wanted: SchedulerConfig) -> tuple[SchedulerConfig, tuple[str, ...]]:
    """What a running process becomes when it is told `wanted`, and what of that has to wait for a restart, in words.

    Whatever may change at once does, and the rest stays as it is: so a port that was changed along with a weight does
    not keep the weight from counting. Raises ConfigError where the two together are no configuration.
    """
    chosen = {name: getattr(wanted, name) for name in _LIVE}
    served = {name: wanted.scheduler_profiles.get(name, old) for name, old in running.scheduler_profiles.items()}
    mixed = running.model_copy(update={**chosen, "scheduler_profiles": served})
    now, later = mixed.model_dump(by_alias=True), wanted.model_dump(by_alias=True)
    waiting = tuple(_differences("", now, later))
    if not waiting:
        return wanted, ()
    try:
        return SchedulerConfig.model_validate(now), waiting
    except ValidationError as error:
        problems = "; ".join(_problem(now, entry) for entry in error.errors(include_url=False))
        raise ConfigError("what may change without a restart", problems, "restart with the new one") from None


def _differences(path: str, now: Any, later: Any) -> Iterator[str]:
    if isinstance(now, dict) and isinstance(later, dict):
        for key in dict.fromkeys([*now, *later]):
            yield from _differences(f"{path}.{key}" if path else key, now.get(key), later.get(key))
    elif now != later:
        yield f"{path} = {_show(later)} (now {_show(now)})"


def _header() -> dict[str, Any]:
    return {"apiVersion": names.CONFIG_API_VERSION, "kind": names.CONFIG_KIND}


def _override(document: dict[str, Any], environment: Mapping[str, str]) -> list[str]:
    """Put variables in place of what the document says; returns their names."""
    used: list[str] = []
    for variable, text in sorted(environment.items()):
        if not variable.startswith(names.ENVIRONMENT_PREFIX):
            continue
        steps = variable.removeprefix(names.ENVIRONMENT_PREFIX).split("__")
        first = _match(steps[0], SchedulerConfig)
        if first is None:
            continue
        try:
            value = read_yaml(text, LARGEST)
        except ValueError as error:
            raise ConfigError(f"environment {variable}", f"value {_show(text)}: {printable(str(error))}") from None
        target: Any = document
        section: Any = SchedulerConfig
        for i, step in enumerate(steps):
            key = _match(step, section) or step.lower().replace("_", "-")
            section = _section(section, key)
            if i == len(steps) - 1:
                target[key] = value
                break
            if not isinstance(target.setdefault(key, {}), dict):
                raise ConfigError(f"environment {variable}", f"{key} is not a mapping in the configuration file")
            target = target[key]
        used.append(f"environment {variable}")
    return used


def _fields(section: Any) -> dict[str, Any]:
    if not (isinstance(section, type) and issubclass(section, BaseModel)):
        return {}
    return {field.alias or name: field.annotation for name, field in section.model_fields.items()}


def _match(step: str, section: Any) -> str | None:
    wanted = step.replace("_", "").lower()
    return next((key for key in _fields(section) if key.lower() == wanted), None)


def _section(section: Any, key: str) -> Any:
    return get_args(section)[1] if get_origin(section) is dict else _fields(section).get(key)


def _problem(document: Any, entry: Mapping[str, Any]) -> str:
    steps = entry["loc"]
    value: Any = document
    if steps and steps[-1] == "[key]":  # pydantic's word for a key that is wrong itself
        *steps, value = steps[:-1]
        return f"{printable('.'.join(map(str, steps)))}: key {_show(value)}: {entry['msg'].lower()}"
    place = printable(".".join(map(str, steps)))
    for step in steps:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            value = None
            break
    message: str = entry["msg"].removeprefix("Value error, ")
    if entry["type"] == "missing":
        return f"{place}: is missing"
    if entry["type"] == "extra_forbidden":
        section: Any = SchedulerConfig
        for step in entry["loc"][:-1]:
            section = _section(section, str(step))
        return f"{place}: is not a known key; known are {', '.join(_fields(section))}"
    if not place:
        return message[0].lower() + message[1:]
    shown = "" if isinstance(value, dict | list) else f" = {_show(value)}"
    return f"{place}{shown}: {message[0].lower()}{message[1:]}"


def _show(value: object) -> str:
    text: str = re.sub(r"[^\x20-\x7e]", "?", repr(value))
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
