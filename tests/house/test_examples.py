"""Every example is listed, says what it must, and serves as it should: pinned, probed, limited, with a budget."""

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from scheduler.core import names

ROOT = Path(__file__).resolve().parents[2] / "manifests" / "examples"
FOLDERS = sorted(path for path in ROOT.iterdir() if path.is_dir())
SECTIONS = ["Needs", "Apply", "What one sees", "Adapt", "Limits"]


def objects(folder):
    """Everything in its files, overlays' too; what kustomize makes of them is not looked at."""
    files = [path for path in sorted(folder.rglob("*.yaml")) if path.name != "kustomization.yaml"]
    found = [each for path in files for each in YAML(typ="safe", pure=True).load_all(path.read_text())]
    return [each for each in found if isinstance(each, dict) and "kind" in each]


def served(folder):
    """Its Deployments, in whole."""
    return [each for each in objects(folder) if each["kind"] == "Deployment" and "selector" in each["spec"]]


def pods(folder):
    """Specs of the pods that its files describe in whole."""
    found = []
    for each in objects(folder):
        spec = each.get("spec") or {}
        spec = (spec.get("template") or {}).get("spec") or spec
        if "containers" in spec and "image" in spec["containers"][0]:
            found.append(spec)
    return found


def test_every_folder_is_in_the_list_and_nothing_else():
    listed = re.findall(r"^\| \[([\w-]+)\]\(\1/README\.md\) \| \S", (ROOT / "README.md").read_text(), re.MULTILINE)

    assert sorted(listed) == [folder.name for folder in FOLDERS]
    assert len(set(listed)) == len(listed)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_readme_has_its_sections_in_order(folder):
    text = (folder / "README.md").read_text()

    assert re.match(r"# \S.*\n\n\w", text), "says what it is for"
    assert [each for each in re.findall(r"^## (.+)$", text, re.MULTILINE) if each in SECTIONS] == SECTIONS
    assert f"$ kubectl apply -k manifests/examples/{folder.name}" in text
    assert re.search(r"^\| driver \| \S", text, re.MULTILINE)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_every_pod_is_ours_of_a_pinned_image_and_modest(folder):
    for spec in pods(folder):
        assert spec["schedulerName"] == names.SCHEDULER_NAME
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            assert re.search(r":v?\d+\.\d+", container["image"]), container["image"]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_what_serves_is_probed_limited_and_disrupted_with_care(folder):
    budgets = [each for each in objects(folder) if each["kind"] == "PodDisruptionBudget"]
    for deployment in served(folder):
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        [container] = deployment["spec"]["template"]["spec"]["containers"]
        assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container)
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        assert container["resources"]["limits"]["memory"] == container["resources"]["requests"]["memory"]
        if deployment["spec"]["replicas"] > 1:
            assert "topologySpreadConstraints" in deployment["spec"]["template"]["spec"]
            selectors = [each["spec"]["selector"]["matchLabels"] for each in budgets]
            assert any(selector.items() <= labels.items() for selector in selectors), "no PodDisruptionBudget"
    for service in (each for each in objects(folder) if each["kind"] == "Service"):
        chosen = [
            each["spec"]["template"]["metadata"]["labels"]
            for each in objects(folder)
            if service["spec"]["selector"].items()
            <= each.get("spec", {}).get("template", {}).get("metadata", {}).get("labels", {}).items()
        ]
        assert chosen, f"Service {service['metadata']['name']} selects no pods"
