from dataclasses import replace

import pytest

from scheduler.core import names
from scheduler.core.config import Overrides
from scheduler.core.errors import ConfigError
from scheduler.core.gates import Gates
from scheduler.core.topology import Spellings
from scheduler.service.settings import SchedulerConfig, TlsConfig, load

HEAD = f"apiVersion: {names.CONFIG_API_VERSION}\nkind: {names.CONFIG_KIND}\n"
BEYOND = HEAD + "extender: {http: {enabled: true, "
TLS = HEAD + "extender: {http: {tls: "


def written(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path, environment=None):
    with pytest.raises(ConfigError) as caught:
        load(path, environment or {})
    return str(caught.value)


def test_without_a_file_the_defaults_hold():
    config = load(None, {})

    assert config.scheduler_name == "dovetail"
    assert config.leader_election.enabled
    assert config.http.host == "127.0.0.1"
    assert config.engine().ownership.all_nodes is False


def test_what_the_file_says_reaches_the_engine(tmp_path):
    text = HEAD + (
        "schedulerName: other\nweights: {packing: 2, spreading: 0.25}\nbatch: 7\nseed: 3\n"
        "ownership: {nodes: all, drivers: [gpu.nvidia.com], deviceClasses: [gpu]}\ndeviceChoice: first-fit\n"
    )

    engine = load(written(tmp_path, text), {}).engine()

    assert (engine.scheduler_name, engine.batch, engine.seed, engine.device_choice) == ("other", 7, 3, "first-fit")
    assert engine.weights == {"packing": 2.0, "spreading": 0.25}
    assert engine.ownership.all_nodes
    assert engine.ownership.drivers == {"gpu.nvidia.com"}
    assert engine.ownership.device_classes == {"gpu"}


def test_profiles_and_what_pods_may_choose_reach_the_engine(tmp_path):
    text = HEAD + (
        "profile: night\nweights: {packing: 2}\nprofiles: {night: {weights: {depth: 0}}}\n"
        "overrides: {profiles: [night, binpack], weights: {bandwidth: {max: 100}, packing: {min: 1, max: 2}}}\n"
    )

    engine = load(written(tmp_path, text), {}).engine()

    assert (engine.profile, engine.weights) == ("night", {"packing": 2.0})
    assert engine.profiles == {"night": {"depth": 0.0}}
    assert engine.overrides == Overrides(frozenset({"night", "binpack"}), {"bandwidth": (0, 100), "packing": (1, 2)})


def test_attributes_that_tell_where_devices_sit_reach_the_engine(tmp_path):
    text = HEAD + "topology: {attributes: {numaNode: [a.example/socket], pcieRoot: [a.example/root, b.example/root]}}\n"

    engine = load(written(tmp_path, text), {}).engine()

    assert engine.spellings == Spellings(numa=("a.example/socket",), pcie=("a.example/root", "b.example/root"))


def test_pods_may_choose_any_profile_and_no_weight_unless_the_file_says_otherwise():
    assert load(None, {}).engine().overrides == Overrides(profiles=None, weights={})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_on_loopback_scores_are_told_without_certificates(host, tmp_path):
    path = written(tmp_path, HEAD + f"extender: {{http: {{enabled: true, host: '{host}'}}}}\n")

    assert not load(path, {}).extender.http.tls.on


def test_beyond_loopback_scores_are_told_to_those_with_a_certificate(tmp_path):
    path = written(tmp_path, HEAD + "extender: {http: {enabled: true, host: 0.0.0.0}}\n")
    files = {"CERT_FILE": "/tls/tls.crt", "KEY_FILE": "/tls/tls.key", "CLIENT_CA_FILE": "/tls/ca.crt"}

    found = load(path, {f"DOVETAIL_EXTENDER__HTTP__TLS__{key}": value for key, value in files.items()}).extender.http

    assert (found.enabled, found.port) == (True, 10372)
    assert found.tls == TlsConfig(certFile="/tls/tls.crt", keyFile="/tls/tls.key", clientCAFile="/tls/ca.crt")


def test_gates_are_those_of_the_cluster_unless_the_file_says_otherwise(tmp_path):
    path = written(tmp_path, HEAD + "featureGates: {DRAListTypeAttributes: true, DRADeviceTaints: false}\n")

    newest, older = load(path, {}).engine().gates, load(path, {}).engine(36).gates

    assert newest == replace(Gates(), list_attributes=True, device_taints=False)
    assert older == replace(Gates.of_version(36), list_attributes=True, device_taints=False)


def test_a_variable_sets_gates_too():
    config = load(None, {"DOVETAIL_FEATURE_GATES": "{DRADerivedAttributes: true}"})

    assert config.engine().gates == replace(Gates(), derived_attributes=True)


MISTAKES = {
    "": "is empty",
    "- a": "holds a list, not a mapping",
    "a: [": "is not YAML",
    "a: 1\na: 2": "a (line 2): is given twice",
    "kind: SchedulerConfig": "apiVersion: is missing",
    "apiVersion: v1\nkind: SchedulerConfig": "apiVersion = 'v1'",
    HEAD + "weigths: {}": "weigths: is not a known key",
    HEAD + "http: {prot: 1}": "http.prot: is not a known key; known are host, port",
    HEAD + "scheduler_name: x": "scheduler_name: is not a known key",
    HEAD + "weights: {pakcing: 1}": "did you mean packing?",
    HEAD + "weights: {packing: -1}": "weights.packing = -1",
    HEAD + "weights: {packing: .nan}": "weights.packing = nan",
    HEAD + "weights: {packing: .inf}": "weights.packing = inf",
    HEAD + "weights: {packing: '1'}": "weights.packing = '1'",
    HEAD + "weights: {packing: yes}": "weights.packing = 'yes'",  # YAML 1.2: a text, not a truth value
    HEAD + "profile: trainig": "profile = 'trainig': no profile has this name; did you mean training?",
    HEAD + "profile: [training]": "profile: input should be a valid string",
    HEAD + "profile: spread\nweights: {spreading: 1, untouched: 0, islands: 0, sockets: 0}": (
        "weights states all that it changes"
    ),
    HEAD + "profiles: {night: {weights: {pakcing: 1}}}": "profiles.night.weights: weight pakcing: 1.0: no scorer",
    HEAD + "profiles: {night: {weights: {packing: -1}}}": "profiles.night.weights.packing = -1",
    HEAD + "profiles: {night: {weight: {}}}": "profiles.night.weight: is not a known key; known are weights",
    HEAD + "profiles: {night: 3}": "profiles.night = 3",
    HEAD + 'profiles: {"a\\u001b[31m": {}}': "profiles: key 'a\\x1b[31m': string should match pattern",
    HEAD + "overrides: {profiles: [binpack, trainig]}": "overrides.profiles.1 = 'trainig': no profile has this",
    HEAD + "overrides: {profiles: [3]}": "overrides.profiles.0 = 3",
    HEAD + "overrides: {profiles: binpack}": "overrides.profiles = 'binpack'",
    HEAD + "overrides: {weights: {pakcing: {max: 1}}}": "overrides.weights: weight pakcing: 1.0: no scorer",
    HEAD + "overrides: {weights: {packing: {}}}": "overrides.weights.packing.max: is missing",
    HEAD + "overrides: {weights: {packing: {max: .inf}}}": "overrides.weights.packing.max = inf",
    HEAD + "overrides: {weights: {packing: {min: 2, max: 1}}}": "overrides.weights.packing: min 2 is more than max 1",
    HEAD + "topology: {attributes: {numaNode: [socket]}}": "topology.attributes.numaNode.0 = 'socket'",
    HEAD + "topology: {attributes: {numa: []}}": "topology.attributes.numa: is not a known key; known are numaNode",
    HEAD + "batch: 0": "batch = 0",
    HEAD + "batch: 1.5": "batch = 1.5",
    HEAD + "writesInFlight: 100000": "writesInFlight = 100000",
    HEAD + "schedulerName: Not A Name": "schedulerName = 'Not A Name'",
    HEAD + "schedulerName: default-scheduler": "belongs to kube-scheduler",
    HEAD + "ownership: {nodes: some}": "ownership.nodes = 'some'",
    HEAD + "ownership: {drivers: gpu.nvidia.com}": "ownership.drivers = 'gpu.nvidia.com'",
    HEAD + "ownership: {drivers: [1]}": "ownership.drivers.0 = 1",
    HEAD + "leaderElection: {renewSeconds: 15}": "renewSeconds must be less than leaseSeconds",
    HEAD + "leaderElection: {retrySeconds: 9}": "retrySeconds must be less than renewSeconds",
    HEAD + "featureGates: {DRAListAttributes: true}": "featureGates.DRAListAttributes: is not a gate",
    HEAD + "featureGates: {DRAListTypeAttributes: 1}": "featureGates.DRAListTypeAttributes = 1",
    HEAD + "featureGates: [DRAListTypeAttributes]": "featureGates: ",
    HEAD + "http: {port: 70000}": "http.port = 70000",
    BEYOND + "host: 0.0.0.0}}": "extender.http: tls.clientCAFile is not set, and host '0.0.0.0'",
    BEYOND + "host: '::'}}": "extender.http: tls.clientCAFile is not set, and host '::'",
    BEYOND + "host: ''}}": "extender.http.host = ''",
    HEAD + "extender: {grpc: {host: ''}}": "extender.grpc.host = ''",
    HEAD + "extender: {http: {enabled: true, port: 10371}}": "extender.http.port = 10371: is that of http on the same",
    HEAD + "extender: {http: {enabled: true}, grpc: {enabled: true, port: 10372}}": "extender.grpc.port = 10372: is",
    HEAD + "remoteScorers: [{name: a, address: '127.0.0.1:0', weight: 1}]": "remoteScorers.0: address '127.0.0.1:0'",
    HEAD + "remoteScorers: [{name: a, address: '[::1]:99999', weight: 1}]": "remoteScorers.0: address '[::1]:99999'",
    BEYOND + "host: scores.example}}": "extender.http: tls.clientCAFile is not set, and host 'scores.example'",
    BEYOND + "host: 0.0.0.0, tls: {certFile: a, keyFile: b}}}": "extender.http: tls.clientCAFile is not set",
    TLS + "{certFile: a}}}": "extender.http.tls: certFile is set and keyFile is not",
    TLS + "{keyFile: a}}}": "extender.http.tls: keyFile is set and certFile is not",
    TLS + "{clientCAFile: a}}}": "extender.http.tls: clientCAFile is set and certFile is not",
    TLS + "{certFile: a, keyFile: b, clientNames: [c]}}}": "clientNames is set and clientCAFile is not",
    TLS + "{clientCaFile: a}}}": "extender.http.tls.clientCaFile: is not a known key; known are certFile, keyFile",
    TLS + "{clientNames: ['']}}}": "extender.http.tls.clientNames.0 = ''",
    HEAD + "extender: {http: {port: 0}}": "extender.http.port = 0",
    HEAD + "extender: {http: {enabled: true}}\nownership: {nodes: all}": "extender.http.enabled: with ownership.nodes",
    HEAD + "schedulerName: \"a\\u001b[31m\"": "schedulerName = 'a\\x1b[31m'",
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), MISTAKES.items(), ids=list(MISTAKES.values()))
def test_a_mistake_names_file_key_and_value(tmp_path, text, expected):
    path = written(tmp_path, text)

    message = refusal(path)

    assert str(path) in message
    assert expected in message


@pytest.mark.parametrize("who", ["user:hunter2", "hunter2"])
def test_a_secret_in_an_endpoint_is_refused_and_not_shown(tmp_path, who):
    message = refusal(
        written(tmp_path, HEAD + f"tracing: {{endpoint: 'https://{who}@collector.example:4318/v1/traces'}}\n")
    )

    assert "tracing: endpoint holds a user or password" in message
    assert "hunter2" not in message


def test_an_endpoint_may_have_an_at_sign_behind_its_host(tmp_path):
    path = written(tmp_path, HEAD + "tracing: {endpoint: 'http://127.0.0.1:4318/a@b?c=d@e'}\n")

    assert load(path, {}).tracing.endpoint.endswith("/a@b?c=d@e")


def test_listeners_that_are_off_may_share_a_port(tmp_path):
    shared = "http: {port: 0}\nextender: {http: {port: 10373}, grpc: {enabled: true}}\n"

    assert load(written(tmp_path, HEAD + shared), {}).extender.http.port == 10373


def test_a_file_that_is_not_there_is_named(tmp_path):
    assert str(tmp_path / "no.yaml") in refusal(tmp_path / "no.yaml")


def test_every_mistake_is_told_at_once(tmp_path):
    message = refusal(written(tmp_path, HEAD + "batch: 0\nseed: x\n"))

    assert "batch = 0" in message
    assert "seed = 'x'" in message


def test_variables_win_over_the_file(tmp_path):
    path = written(tmp_path, HEAD + "http: {port: 1000}\nweights: {packing: 2}\n")
    environment = {
        "DOVETAIL_HTTP__PORT": "0",
        "DOVETAIL_LEADER_ELECTION__ENABLED": "false",
        "DOVETAIL_LEADERELECTION__LEASE_SECONDS": "20",
        "DOVETAIL_WEIGHTS__SPREADING": "4.5",
        "DOVETAIL_OWNERSHIP__DRIVERS": "[a.example.com, b.example.com]",
        "DOVETAIL_SCHEDULER_NAME": "mine",
    }

    config = load(path, environment)

    assert config.http.port == 0
    assert config.leader_election.enabled is False
    assert config.leader_election.lease_seconds == 20
    assert config.weights == {"packing": 2, "spreading": 4.5}
    assert config.ownership.drivers == ["a.example.com", "b.example.com"]
    assert config.scheduler_name == "mine"


def test_variables_of_others_are_left_alone():
    environment = {"DOVETAIL_SERVICE_HOST": "10.0.0.1", "DOVETAIL_PORT": "tcp://10.0.0.1:80", "DOVETAIL_E2E_X": "1"}

    assert load(None, environment) == load(None, {})


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("DOVETAIL_HTTP__PORT", "many", "http.port = 'many'"),
        ("DOVETAIL_HTTP__PROT", "1", "http.prot: is not a known key"),
        ("DOVETAIL_BATCH", "[", "is not YAML"),
        ("DOVETAIL_BATCH__SIZE", "1", "batch"),
    ],
)
def test_a_mistaken_variable_is_named(variable, value, expected):
    message = refusal(None, {variable: value})

    assert variable in message
    assert expected in message


def test_the_defaults_are_a_valid_configuration_of_their_own():
    assert SchedulerConfig.model_validate(load(None, {}).model_dump(by_alias=True)) == load(None, {})
