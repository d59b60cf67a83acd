"""What is shipped, and how it is locked."""

import ast
import re
import shlex
import subprocess
import sys
import tomllib
import zipfile
from fnmatch import fnmatch
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


def instructions():
    """Those of the Dockerfile, as (name, words)."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    whole = "\n".join(lines).replace("\\\n", " ")
    return [(words[0], words[1:]) for line in whole.splitlines() if (words := shlex.split(line, posix=False))]


def copied():
    """What the Dockerfile takes of the repository."""
    sources = [words[:-1] for name, words in instructions() if name == "COPY" and not words[0].startswith("--from=")]
    return [each for words in sources for each in words]


def ignored(path):
    """Whether .dockerignore keeps a file or folder at the root from the builder: the last pattern that fits decides."""
    found = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!").removeprefix("**/")
        if line and not line.startswith("#") and fnmatch(path, pattern):
            found = not line.startswith("!")
    return found


def test_the_image_installs_nothing_that_is_not_locked_by_hash():
    commands = [" ".join(words) for name, words in instructions() if name == "RUN"]
    installs = [each for command in commands for each in command.split("&&") if re.search(r"pip\S* install", each)]
    locked = [each for each in installs if "--require-hashes" in each]

    assert [re.findall(r"-r (\S+)", each) for each in locked] == [["requirements.lock"], ["requirements-dev.lock"]]
    assert all("--only-binary :all:" in each for each in locked)
    (own,) = [each for each in installs if each not in locked]
    assert "--no-deps" in own
    assert own.split()[-1] == "/wheel/*.whl"
    (wheel,) = [each for command in commands for each in command.split("&&") if "pip wheel" in each]
    assert {"--no-deps", "--no-build-isolation"} <= set(wheel.split())
    assert not re.search(r"\b(curl|wget|apt|apt-get)\b", " ".join(commands))


def test_the_image_runs_without_root_and_holds_only_what_was_installed():
    told = instructions()
    stage = told[max(i for i, (name, _) in enumerate(told) if name == "FROM") :]
    last = [words for name, words in stage if name in {"USER", "COPY", "RUN", "ADD"}]

    assert last == [["--from=build", "/opt/dovetail", "/opt/dovetail"], ["65532:65532"]]


def test_what_the_image_copies_is_there_and_goes_to_the_builder_and_nothing_else_does():
    assert {*OURS, "requirements.lock", "pyproject.toml"} <= set(copied())
    for name in copied():
        assert (ROOT / name).exists(), name
        assert not ignored(name), name
    for path in ROOT.iterdir():
        assert ignored(path.name) or path.name in copied(), path.name
