"""What is generated from scoring.proto is what is checked in."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROTO = "scoring/extender/v1/scoring.proto"


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    out = tmp_path_factory.mktemp("generated")
    kinds = [f"--{kind}={out}" for kind in ("python_out", "pyi_out", "grpc_python_out")]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", "-I.", *kinds, PROTO], cwd=ROOT, check=True)
    return out / "scoring/extender/v1"


@pytest.mark.parametrize("name", ["scoring_pb2.py", "scoring_pb2.pyi", "scoring_pb2_grpc.py"])
def test_what_is_checked_in_is_what_protoc_makes(fresh, name):
    assert (ROOT / "scoring/extender/v1" / name).read_text() == (fresh / name).read_text()


def test_no_other_file_is_beside_them(fresh):
    made = {path.name for path in fresh.iterdir()}
    there = {path.name for path in (ROOT / "scoring/extender/v1").iterdir() if path.is_file()}

    assert there == made | {"__init__.py", "scoring.proto"}
