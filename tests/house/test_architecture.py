"""Imports point inward, and the core stays pure."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(
    path.relative_to(ROOT) for package in ("scheduler", "scoring") for path in (ROOT / package).rglob("*.py")
)
STDLIB = set(sys.stdlib_module_names)
IMPURE = {
    "asyncio",
    "concurrent",
    "ctypes",
    "datetime",
    "http",
    "io",
    "logging",
    "multiprocessing",
    "os",
    "pathlib",
    "random",
    "secrets",
    "selectors",
    "shutil",
    "signal",
    "socket",
    "socketserver",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "urllib",
    "uuid",
}
NUMBERS = (STDLIB - IMPURE) | {"numpy", "scipy"}
CLIENTS = {"kubernetes", "aiohttp", "msgspec", "yaml", "yarl"}
SHELL = STDLIB | {"numpy", "pydantic", "rich", "ruamel", "typer"}
MAY_IMPORT = {
    "scoring": NUMBERS,
    "scoring.extender": NUMBERS
    | {"asyncio", "logging", "time", "scoring", "google.protobuf", "grpc", "grpc_health", "grpc_reflection"},
    "scheduler.core": NUMBERS | {"celpy", "lark", "re2", "uuid", "scoring"},
    "scheduler.cluster": STDLIB | CLIENTS | {"scheduler.core"},
    "scheduler.simulator": SHELL
    | {"scheduler.core", "scoring"}
    | {f"scheduler.cluster.{pure}" for pure in ("decode", "documents", "encode")},
    "scheduler.audit": SHELL
    | {"yaml", "scheduler.core"}
    | {f"scheduler.cluster.{pure}" for pure in ("decode", "documents")},
    "scheduler.sharing": SHELL
    | {"scipy", "yaml", "scheduler.core", "scheduler.audit.tree", "scheduler.cluster.decode"}
    | {f"scheduler.simulator.{pure}" for pure in ("objects", "run")},
    "scheduler.readiness": SHELL
    | {"scheduler.core", "scoring"}
    | {f"scheduler.cluster.{pure}" for pure in ("decode", "documents")}
    | {f"scheduler.audit.{reading}" for reading in ("devices", "sources", "tree")},
    "scheduler.doublebook": SHELL
    | {"scheduler.core", "scheduler.readiness"}
    | {f"scheduler.audit.{reading}" for reading in ("devices", "sources")},
    "scheduler.service": SHELL
    | {"aiohttp", "msgspec", "opentelemetry", "prometheus_client", "uvloop"}
    | {"scheduler.core", "scheduler.cluster", "scoring"}
    | {"scheduler.readiness.record"},
    "scheduler": SHELL
    | {f"scheduler.{each}" for each in ("audit", "core", "doublebook", "readiness", "service", "sharing", "simulator")},
}
"""What each package may import besides itself. `uuid` in the core is for uuid5, which draws nothing."""


def owner(path: Path) -> str:
    """The most specific package of the table that a module belongs to."""
    dotted = ".".join(path.with_suffix("").parts)
    return max((name for name in MAY_IMPORT if f"{dotted}.".startswith(f"{name}.")), key=len)


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for item in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(item, ast.Import):
            found |= {alias.name for alias in item.names}
        elif isinstance(item, ast.ImportFrom):
            assert item.level == 0, f"{path}: imports are absolute"
            found |= {f"{item.module}.{alias.name}" for alias in item.names}
    return found


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_point_inward(path):
    package = owner(path)
    allowed = MAY_IMPORT[package] | {package}

    for name in imports(path):
        assert any(f"{name}.".startswith(f"{each}.") for each in allowed), f"{package} may not import {name}"


@pytest.mark.parametrize(
    "planted", ["import time", "from os import path", "import kubernetes", "import scheduler.cluster"]
)
def test_a_planted_import_is_found(planted):
    found = {alias.name for item in ast.parse(planted).body for alias in getattr(item, "names", ())}
    name = planted.split()[1] if planted.startswith("from") else found.pop()

    allowed = MAY_IMPORT["scheduler.core"] | {"scheduler.core"}

    assert not any(f"{name}.".startswith(f"{each}.") for each in allowed)


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_only_the_service_and_the_command_know_the_extender(path):
    if owner(path) == "scoring.extender":
        return
    remote = {name for name in imports(path) if name.startswith(("grpc", "google.protobuf", "scoring.extender"))}

    assert not remote or owner(path) in {"scheduler.service", "scheduler"}
    assert all(name.startswith("scoring.extender") for name in remote)


def test_importing_the_engine_loads_no_client_and_no_shell():
    probe = (
        "import sys, scheduler.core.engine;"
        "print([m for m in ('kubernetes','grpc','aiohttp','msgspec','pydantic','typer','rich') if m in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_the_help_text_comes_without_loading_the_client():
    probe = (
        "import sys, scheduler.cli;"
        "print([m for m in ('kubernetes','aiohttp','numpy','scipy','celpy') if m in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_no_module_hides_one_of_the_standard_library():
    """A module of that name at the root of a script's folder would break imports far away."""
    top = {path.stem for path in ROOT.glob("*.py")} | {path.name for path in ROOT.iterdir() if path.is_dir()}

    assert not top & STDLIB


@pytest.mark.parametrize("path", [path for path in MODULES if owner(path) in {"scheduler.core", "scoring"}], ids=str)
def test_the_core_opens_prints_and_guesses_nothing(path):
    calls = {
        item.func.id
        for item in ast.walk(ast.parse((ROOT / path).read_text()))
        if isinstance(item, ast.Call) and isinstance(item.func, ast.Name)
    }

    assert not calls & {"open", "print", "input", "exec", "eval", "__import__"}
