"""The SchedulerConfig file and its environment, read once and refused with the place of every mistake."""

import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from scheduler.core import names
from scheduler.core.config import EngineConfig, Overrides, Ownership
from scheduler.core.errors import ConfigError, printable
from scheduler.core.gates import Gates
from scheduler.core.opinions import MAX_NAME
from scheduler.core.topology import Spellings
from scoring.profiles import DEFAULT, profiles
from scoring.weights import Weights, nearest

_LARGEST_FILE: Final = 2**20
_NAME: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
_ATTRIBUTE: Final = _NAME.removesuffix("$") + "/[a-zA-Z_][a-zA-Z0-9_]*$"  # QualifiedName with its domain
_SHOWN: Final = 60


def _known(weights: dict[str, float]) -> dict[str, float]:
    Weights(weights)
    return weights


Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
NamedWeights = Annotated[dict[str, Weight], AfterValidator(_known)]
Seconds = Annotated[float, Field(ge=1, le=3600, allow_inf_nan=False)]
Name = Annotated[str, Field(pattern=_NAME, max_length=253)]
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
    retry_seconds: Seconds = 2

    @model_validator(mode="after")
    def _ordered(self) -> "LeaderElectionSettings":
        if self.renew_seconds >= self.lease_seconds:
            raise ValueError("renewSeconds must be less than leaseSeconds")
        if self.retry_seconds * 1.2 >= self.renew_seconds:
            raise ValueError("retrySeconds must be less than renewSeconds / 1.2")
        return self


class HttpSettings(_Section):
    """Where /healthz and /readyz are served; port 0 serves nothing."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 10371


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


class ListenerSettings(_Section):
    """A listener that tells scores: off unless enabled, and beyond loopback only for those with a certificate."""

    enabled: bool = False
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)]
    tls: TlsConfig = TlsConfig()

    @model_validator(mode="after")
    def _guarded(self) -> "ListenerSettings":
        if self.enabled and not self.tls.client_ca_file and not _loopback(self.host):
            raise ValueError(
                f"tls.clientCAFile is not set, and host {_show(self.host)} is not a loopback address: "
                f"anybody could ask; set tls.clientCAFile, or host: 127.0.0.1"
            )
        return self


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class HttpExtenderSettings(ListenerSettings):
    """Where a kube-scheduler may ask for our scores; see `service.extender`.

    `maxBodyMegabytes` : of a request. With nodeCacheCapable 1 does for 5,000 nodes; without, a node may take 10 KiB and
    more, and each megabyte holds up decisions for a millisecond or two.
    """

    port: Annotated[int, Field(ge=1, le=65535)] = 10372
    max_body_megabytes: Annotated[int, Field(ge=1, le=256)] = 16


class ExtenderSettings(_Section):
    """Who else may use our scores, and how."""

    http: HttpExtenderSettings = HttpExtenderSettings()


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
    weights: Annotated[dict[str, LimitSettings], AfterValidator(_scorers)] = {}

    def engine(self) -> Overrides:
        """As the engine is told."""
        return Overrides(
            profiles=None if "*" in self.profiles else frozenset(self.profiles),
            weights={name: (limit.min, limit.max) for name, limit in self.weights.items()},
        )


class SchedulerConfig(_Section):
    """The configuration of one scheduler process. What is not given has the default written here."""

    api_version: Literal["config.dovetail.scheduler/v1alpha1"]
    kind: Literal["SchedulerConfig"]
    scheduler_name: Name = names.SCHEDULER_NAME
    profile: ProfileName = DEFAULT
    weights: NamedWeights = {}
    profiles: dict[ProfileName, ProfileSettings] = {}
    overrides: OverridesSettings = OverridesSettings()
    ownership: OwnershipSettings = OwnershipSettings()
    device_choice: Literal["scored", "first-fit"] = "scored"
    solver: Literal["greedy", "regret", "joint"] = "regret"
    joint_limit_seconds: Annotated[float, Field(ge=0.01, le=5, allow_inf_nan=False)] = EngineConfig().joint_limit_s
    batch: Annotated[int, Field(ge=1, le=10_000)] = EngineConfig().batch
    seed: int = 0
    verify_plans: bool = False
    feature_gates: dict[str, bool] = {}
    binding_timeout_seconds: Seconds = EngineConfig().binding_timeout_s
    topology: TopologySettings = TopologySettings()
    fabric_partitions: bool = True
    leader_election: LeaderElectionSettings = LeaderElectionSettings()
    writes_in_flight: Annotated[int, Field(ge=1, le=1024)] = 128
    http: HttpSettings = HttpSettings()
    extender: ExtenderSettings = ExtenderSettings()

    @model_validator(mode="after")
    def _usable(self) -> "SchedulerConfig":
        known = profiles(self._own(), self.profile, self.weights)
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
        if self.scheduler_name == "default-scheduler":
            raise ValueError("schedulerName default-scheduler belongs to kube-scheduler; choose another")
        return self

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
            overrides=self.overrides.engine(),
            device_choice=self.device_choice,
            solver=self.solver,
            joint_limit_s=self.joint_limit_seconds,
            batch=self.batch,
            verify_plans=self.verify_plans,
            seed=self.seed,
            binding_timeout_s=self.binding_timeout_seconds,
            spellings=Spellings(
                numa=tuple(self.topology.attributes.numa_node), pcie=tuple(self.topology.attributes.pcie_root)
            ),
            fabric_partitions=self.fabric_partitions,
            gates=Gates.of_cluster(minor, self.feature_gates),
        )


def load(path: Path | None, environment: Mapping[str, str] | None = None) -> SchedulerConfig:
    """Read the file, or take the defaults; then apply DOVETAIL_* variables, such as DOVETAIL_HTTP__PORT=0.

    Two underscores go one key down, single ones and case do not matter, and a value is read as YAML. Variables that
    name no key of the file are not ours (Kubernetes sets DOVETAIL_SERVICE_HOST where a Service has our name).
    Raises ConfigError, which names the file or variable, the key and the value.
    """
    document = _read(path) if path is not None else _header()
    where = str(path) if path is not None else "built-in settings"
    variables = _override(document, os.environ if environment is None else environment)
    try:
        return SchedulerConfig.model_validate(document)
    except ValidationError as error:
        problems = "; ".join(_problem(document, entry) for entry in error.errors(include_url=False))
        sources = ", ".join([where, *variables])
        raise ConfigError(sources, problems) from None


def _header() -> dict[str, Any]:
    return {"apiVersion": names.CONFIG_API_VERSION, "kind": names.CONFIG_KIND}


def _yaml(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise ConfigError(str(path), f"is larger than {_LARGEST_FILE} bytes", "give a SchedulerConfig file")
        document = _yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read ({error.strerror})", "check path and permissions") from error
    except (YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        words = " ".join(str(error).split())
        raise ConfigError(str(path), f"is not YAML ({words[:400]})") from error
    if not isinstance(document, dict):
        said = "is empty" if document is None else f"holds a {type(document).__name__}, not a mapping"
        raise ConfigError(str(path), said, f"begin with apiVersion: {names.CONFIG_API_VERSION}")
    return document


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
            value = _yaml(text)
        except (YAMLError, ValueError, RecursionError) as error:
            words = " ".join(str(error).split())
            raise ConfigError(f"environment {variable}", f"value {_show(text)} is not YAML ({words[:200]})") from error
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
