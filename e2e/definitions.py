"""Definitions of others' resources, from the modules that e2e/crds/go.mod requires."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ruamel.yaml import YAML

from e2e.api import Api, ApiRefusalError, Raw, until
from e2e.controlplane import ROOT
from e2e.gobuild import downloaded

MODULES = {
    "monitoring.coreos.com": ("github.com/prometheus-operator/prometheus-operator", "example/prometheus-operator-crd"),
    "keda.sh": ("github.com/kedacore/keda/v2", "config/crd/bases"),
}
"""Group -> the module and the folder in it."""


def definition(name: str) -> Raw:
    """The CustomResourceDefinition `PLURAL.GROUP`. Raises GoError where the module cannot be had."""
    plural, _, group = name.partition(".")
    module, folder = MODULES[group]
    path = downloaded(ROOT / "e2e" / "crds", module) / Path(folder) / f"{group}_{plural}.yaml"
    item: Raw = YAML(typ="safe", pure=True).load(path.read_text())
    return item


@contextmanager
def defined(api: Api, names: Sequence[str]) -> Iterator[None]:
    """The API server serves these resources while the context is open."""
    made = [api.apply(definition(name)) for name in names]
    try:
        for item in made:
            until(lambda item=item: _served(api, item), f"{item['metadata']['name']} is served")
        yield
    finally:
        for name in names:
            api.delete("CustomResourceDefinition", name)
        for name in names:
            until(lambda name=name: api.find("CustomResourceDefinition", name) is None, f"{name} is gone")


def _served(api: Api, item: Raw) -> bool:
    conditions = api.get("CustomResourceDefinition", item["metadata"]["name"]).get("status", {}).get("conditions", [])
    if not any(each["type"] == "Established" and each["status"] == "True" for each in conditions):
        return False
    spec = item["spec"]
    [version] = [each["name"] for each in spec["versions"] if each["storage"]]
    try:
        api.call("GET", f"/apis/{spec['group']}/{version}/{spec['names']['plural']}?limit=1")
    except ApiRefusalError:
        return False
    return True
