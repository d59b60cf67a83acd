"""README tells the truth about names, weights, commands and files."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import typer.main
from ruamel.yaml import YAML

from scheduler import cli
from scheduler.cluster.decode import decode
from scheduler.core import names
from scheduler.core.config import EngineConfig, Overrides
from scheduler.core.opinions import Opinions
from scheduler.service.settings import SchedulerConfig, load
from scheduler.sharing.wishes import parse_models
from scheduler.simulator.demo import demo
from scoring.profiles import PROFILES
from scoring.weights import DEFAULTS, Weights

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("command", names.COMMANDS)
def test_every_command_name_is_listed(command):
    assert f"`{command}`" in README


def test_every_command_that_exists_is_documented_and_is_one_of_the_names():
    existing = set(typer.main.get_command(cli.app).commands)

    assert existing <= set(names.COMMANDS)
    assert existing == set(re.findall(r"^\| `dovetail (\w+)", README, re.MULTILINE))


@pytest.mark.parametrize("label", names.LABELS)
def test_every_label_is_listed(label):
    assert f"`{label.removeprefix(names.PREFIX)}`" in README


@pytest.mark.parametrize(
    "name",
    [
        names.PREFIX, names.CONFIG_API_VERSION, names.CONFIG_KIND, names.CONFIG_MAP, names.CONFIG_KEY,
        names.TOPOLOGY_MAP, names.TOPOLOGY_KEY, names.METRICS_PREFIX, names.ENVIRONMENT_PREFIX, names.PROTO_PACKAGE,
        f"{names.NAMESPACE}/{names.LEASE}",
    ],
)  # fmt: skip
def test_every_other_name_is_listed(name):
    assert name in README


def test_the_table_of_weights_states_the_defaults():
    stated = {name: float(value) for name, value in re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", README, re.MULTILINE)}

    assert stated == dict(DEFAULTS)


@pytest.mark.parametrize("target", sorted(set(re.findall(r"`?make ([a-z0-9-]+)", README))))
def test_every_make_target_exists(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:scheduler|scoring|manifests|e2e)/[\w./-]+)`", README))))
def test_every_path_exists(path):
    assert (ROOT / path).exists()


def test_the_yaml_example_can_be_read():
    example, *_ = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    objects = list(YAML(typ="safe").load_all(example))

    for item in objects:
        item["metadata"]["uid"] = "set-by-the-server"
    found = [decode(item["kind"], item) for item in objects]

    assert [type(item).__name__ for item in found] == ["DeviceClass", "ClaimTemplate", "Pod"]
    assert not any(getattr(item, "unsupported", ()) for item in found)


def test_the_topology_example_can_be_read():
    _, example, *_ = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    item = {"metadata": {"name": "dovetail-topology", "namespace": "dovetail-system", "uid": "u"}}

    found = decode("ConfigMap", item | {"data": {"topology.yaml": example}})

    assert len(found.entries) == 3
    assert found.problems == ()


def test_the_example_of_weights_can_be_read_and_followed():
    _, _, example, *_ = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    item = YAML(typ="safe").load(example)
    item["metadata"]["uid"] = "set-by-the-server"
    limits = Overrides(weights={"bandwidth": (0, 100)})

    found = Opinions(EngineConfig(overrides=limits)).of(decode("Pod", item))

    assert (found.profile, found.problem) == ("training", "")
    assert found.opinion.weights == Weights({**PROFILES["training"], "bandwidth": 60})


def test_the_table_of_profiles_states_what_they_change():
    rows = re.findall(r"^\| `([a-z-]+)` \| [^|]+ \| ([^|]+) \|$", README, re.MULTILINE)
    stated = {name: dict(re.findall(r"`(\w+)` ([\d.]+)", changes)) for name, changes in rows if name in PROFILES}

    assert stated == {name: {key: f"{value:g}" for key, value in PROFILES[name].items()} for name in PROFILES}


def test_the_config_example_states_the_defaults(tmp_path):
    *_, example, _ = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    (tmp_path / "config.yaml").write_text(example)

    stated, default = load(tmp_path / "config.yaml", {}), load(None, {})

    assert stated.engine() == replace(default.engine(), weights=dict(DEFAULTS))
    assert stated.model_dump(exclude={"weights"}) == default.model_dump(exclude={"weights"})
    assert set(YAML(typ="safe").load(example)) == {
        field.alias or name for name, field in SchedulerConfig.model_fields.items()
    }


def test_the_example_of_models_can_be_read():
    *_, example = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)

    assert [model.name for model in parse_models("models.yaml", example)] == ["chat-8b", "guard", "code"]


def test_the_demo_prints_what_readme_shows(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    (shown,) = re.findall(r"```console\n\$ make demo\n(.*?)```", README, re.DOTALL)

    demo()

    printed = {line.rstrip() for line in capsys.readouterr().out.splitlines()}
    assert [line for line in shown.splitlines() if line not in printed | {"", "[...]"}] == []
