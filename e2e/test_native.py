"""The compiled core passes the tests of its sources, but for those that replace parts of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scheduler import NATIVE

ROOT = Path(__file__).resolve().parents[1]
TESTED = ("bench", "engine", "rules", "scorers", "sim", "solvers", "topology", "verify")


@pytest.mark.skipif(bool(os.environ.get("DOVETAIL_PURE")), reason="DOVETAIL_PURE is set: sources are what is run")
def test_the_compiled_core_passes_the_tests_of_its_sources() -> None:
    assert NATIVE, "the core is not compiled, or older than its sources: run `make native`"
    asked = [sys.executable, "-m", "pytest", "-n", "2", "-q", *(f"tests/{each}" for each in TESTED)]
    done = subprocess.run(
        asked, cwd=ROOT, env={**os.environ, "DOVETAIL_TEST_NATIVE": "1"}, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout[-8_000:]
