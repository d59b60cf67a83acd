"""SECURITY.md names tests and manifests that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "SECURITY.md").read_text()


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`((?:tests|e2e)/[\w./-]+)`", TEXT))))
def test_every_test_exists(path):
    assert (ROOT / path).is_file()


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`((?:components|admission)/[\w./-]+)`", TEXT))))
def test_every_component_exists(name):
    folder = ROOT / "manifests" / "components"
    path = folder.parent / name if name.startswith("components/") else folder / name

    assert (path / "kustomization.yaml").is_file()


def test_every_threat_has_an_answer_that_a_test_shows():
    table = TEXT[TEXT.index("| threat |") :].split("\n\n")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]

    assert len(rows) > 15
    assert [row for row in rows if len(row) != 3 or not re.search(r"`[\w/]+\.py`", row[2])] == []
