"""What is shipped, and how it is locked."""

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = ("scheduler", "scoring")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_wheel_holds_exactly_the_two_packages(tmp_path):
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)

    (wheel,) = tmp_path.glob("dovetail_scheduler-*.whl")
    shipped = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}

    tracked = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "scheduler", "scoring"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if tracked.returncode:
        pytest.skip("not a git checkout")
    present = {name for name in tracked.stdout.split() if (ROOT / name).exists()}
    assert shipped == present


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_every_locked_package_has_hashes_and_no_address(lock):
    text = (ROOT / lock).read_text()
    entries = [entry for entry in re.split(r"\n(?=\S)", text.strip()) if entry]

    assert len(entries) > 20
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in text
    assert "index-url" not in text


def test_every_direct_dependency_is_locked():
    locked = {
        re.split(r"[=<> ;]", line)[0].lower().replace("_", "-").replace(".", "-")
        for line in (ROOT / "requirements.lock").read_text().splitlines()
        if line and not line.startswith(" ")
    }

    for requirement in PROJECT["project"]["dependencies"]:
        name = re.split(r"[=<>\[ ]", requirement)[0].lower().replace(".", "-")
        assert name in locked


def test_the_command_and_the_distribution_have_their_names():
    assert PROJECT["project"]["name"] == "dovetail-scheduler"
    assert PROJECT["project"]["scripts"] == {"dovetail": "scheduler.cli:main"}


def test_every_package_that_is_imported_is_a_direct_dependency():
    extras = [each for extra in PROJECT["project"]["optional-dependencies"].values() for each in extra]
    named = {re.split(r"[=<>\[ ]", each)[0].lower() for each in PROJECT["project"]["dependencies"] + extras}
    owners = packages_distributions()
    trees = [ast.parse(path.read_text()) for package in OURS for path in (ROOT / package).rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    modules = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    foreign = {module.partition(".")[0] for module in modules} - set(sys.stdlib_module_names) - set(OURS)

    assert {"re2", "numpy"} <= foreign
    unnamed = {
        name for name in foreign if not named & {owner.lower().replace("_", "-") for owner in owners.get(name, [])}
    }
    assert unnamed == set()
