from pathlib import Path

from ruamel.yaml import YAML

from scoring.weights import DEFAULTS

ROOT = Path(__file__).resolve().parents[2]


def test_the_shipped_config_states_the_default_weights():
    shipped = YAML(typ="safe").load((ROOT / "manifests/base/configmap.yaml").read_text())
    config = YAML(typ="safe").load(shipped["data"]["config.yaml"])

    assert config["weights"] == dict(DEFAULTS)
