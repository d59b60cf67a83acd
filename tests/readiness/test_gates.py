"""From what each feature gate is known, and that what is not known is not said."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from e2e.controlplane import kubernetes_version
from scheduler.core.gates import NAMES
from scheduler.core.gates import Gates as Defaults
from scheduler.core.model import DeviceClass
from scheduler.readiness.gates import GATES, NEWEST, OLDEST, known, overrides, stage
from scheduler.readiness.record import TYPES, Record
from tests.build import device, slice_of


def upstream():
    """Where Go keeps the sources of the Kubernetes that the tests run on; no file where it keeps none."""
    go = shutil.which("go")
    if go is None:
        return Path("absent")
    cache = subprocess.run([go, "env", "GOMODCACHE"], capture_output=True, text=True, check=False).stdout.strip()
    return Path(cache, "k8s.io", f"kubernetes@{kubernetes_version()}", "pkg", "features", "kube_features.go")


UPSTREAM = upstream()


def state(record, name):
    found = next(each for each in known(record) if each.name == name)
    return found.state, found.basis


@pytest.mark.parametrize("gate", GATES, ids=lambda gate: gate.name)
def test_the_table_is_in_order(gate):
    minors = [entry[0] for entry in gate.stages]

    assert minors == sorted(set(minors))
    assert all(OLDEST <= minor <= NEWEST for minor in minors)
    assert all(entry[1] in {"alpha", "beta", "GA"} for entry in gate.stages)
    assert not any(entry[3] for entry in gate.stages[:-1]), "what is locked stays so"
    assert gate.field[0] in {*TYPES, ""}


def test_every_gate_that_dovetail_knows_is_in_the_table():
    assert set(NAMES.values()) <= {gate.name for gate in GATES}


@pytest.mark.parametrize("minor", range(OLDEST, NEWEST + 1))
def test_defaults_are_those_that_dovetail_goes_by(minor):
    ours = Defaults.of_version(minor).by_name()
    table = {gate.name: entry[2] for gate in GATES if (entry := stage(gate, minor))}

    assert {name for name, on in ours.items() if table.get(name, False) != on} == set()


@pytest.mark.skipif(not UPSTREAM.is_file(), reason="the sources of Kubernetes are not here")
@pytest.mark.parametrize("gate", GATES, ids=lambda gate: gate.name)
def test_stages_are_those_of_kubernetes(gate):
    text = UPSTREAM.read_text()
    body = re.search(rf"\n\t{gate.name}: \{{\n(.*?)\n\t\}}", text, re.DOTALL)[1]
    entries = [line for line in body.splitlines() if "MinCompatibilityVersion" not in line]
    pattern = r'MustParse\("1\.(\d+)"\), Default: (\w+), PreRelease: featuregate\.(\w+)(?:, LockToDefault: (\w+))?'
    found = [re.search(pattern, line).groups() for line in entries if "MustParse" in line]
    upstream = [(int(minor), stage.replace("Alpha", "alpha").replace("Beta", "beta"), on == "true", locked == "true")
                for minor, on, stage, locked in found]  # fmt: skip

    # The table begins with 1.34: what was so before is so from there.
    before = [entry for entry in upstream if entry[0] < OLDEST]
    begin = [(OLDEST, *before[-1][1:])] if before and not any(entry[0] == OLDEST for entry in upstream) else []
    assert list(gate.stages) == [*begin, *(entry for entry in upstream if entry[0] >= OLDEST)]


def test_metrics_count_before_all_else():
    record = Record(minor=37, features={"DRADeviceTaints": False, "DRAListTypeAttributes": True})

    assert state(record, "DRADeviceTaints") == ("off", "metrics")
    assert state(record, "DRAListTypeAttributes") == ("on", "metrics")


def test_a_version_tells_what_is_locked_and_what_is_not_there_yet():
    assert state(Record(minor=37), "DRAExtendedResource") == ("on", "version")
    assert state(Record(minor=36), "DRADerivedAttributes") == ("off", "version")
    assert state(Record(minor=34), "GenericWorkload") == ("off", "version")


def test_a_default_is_presumed_and_says_whose():
    found = next(each for each in known(Record(minor=36)) if each.name == "DRAPartitionableDevices")

    assert (found.state, found.basis) == ("presumed on", "default")
    assert found.why == "default of 1.36, unless somebody turned it off"
    assert state(Record(minor=35), "DRAPartitionableDevices") == ("presumed off", "default")


def test_fields_that_the_api_lacks_cannot_be_used():
    record = Record(fields={"Device": frozenset({"name"}), "DeviceClassSpec": frozenset({"extendedResourceName"})})

    assert state(record, "DRADeviceTaints") == ("off", "fields")
    assert state(record, "DRAExtendedResource") == ("unknown", "nothing")


def test_kinds_that_are_only_served_behind_a_gate_show_it():
    assert state(Record(minor=37, apis={"scheduling.k8s.io/v1beta1": frozenset({"PodGroup"})}), "GenericWorkload") == (
        "on", "kinds",
    )  # fmt: skip
    # DeviceTaintRules are served with their gate off, too.
    rules = {"resource.k8s.io/v1": frozenset({"DeviceTaintRule"})}
    assert state(Record(minor=37, apis=rules), "DRADeviceTaintRules") == ("presumed on", "default")


@pytest.mark.parametrize(
    ("record", "name"),
    [
        (Record(minor=35, classes=(DeviceClass("c", (), extended_resource="x.com/y"),)), "DRAExtendedResource"),
        (
            Record(minor=36, slices=(slice_of([device(attributes={"numa": (0, 1)})], node="n"),)),
            "DRAListTypeAttributes",
        ),
    ],
)
def test_what_is_stored_shows_that_a_gate_was_on(record, name):
    assert state(record, name) == ("presumed on", "objects")


def test_nothing_is_known_of_a_version_that_is_not_in_the_table():
    assert {each.state for each in known(Record())} == {"unknown"}
    assert {each.state for each in known(Record(minor=38))} == {"unknown"}
    assert state(Record(minor=38, features={"DRADeviceTaints": True}), "DRADeviceTaints") == ("on", "metrics")


def test_what_differs_from_the_defaults_is_for_the_config():
    features = {**Defaults.of_version(36).by_name(), "DRAListTypeAttributes": True, "DRADeviceTaints": False}
    record = Record(minor=36, features=features)

    assert overrides(record, known(record)) == {"DRAListTypeAttributes": True, "DRADeviceTaints": False}
    assert overrides(Record(minor=36), known(Record(minor=36))) == {}
    assert overrides(Record(), known(Record())) == {}
