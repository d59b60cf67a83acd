"""The scheduler's own process in a hostile cluster: a fresh seed, the same run twice, and the bugs it has to find."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from e2e.sim import __main__ as command
from e2e.sim.faults import CATALOGUE, ELSEWHERE
from e2e.sim.mutants import ROOT, MismatchError, bugs

BUGS = bugs()


def run(*arguments, **environment):
    done = subprocess.run(
        [sys.executable, "-m", "e2e.sim", *arguments], cwd=ROOT, env={**os.environ, **environment}, check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-8000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_a_fresh_seed_breaks_no_invariant():
    seed = time.time_ns() % 10**9

    assert command.main(["--seed", str(seed), "--steps", "20000"]) == 0


def test_a_run_is_the_same_whatever_the_order_of_sets():
    hashes = {run("--seed", "11", "--steps", "4000", PYTHONHASHSEED=each)["hash"] for each in ("0", "1")}

    assert len(hashes) == 1


def test_every_fault_of_the_catalogue_is_simulated_or_tested_elsewhere():
    assert {*CATALOGUE, *ELSEWHERE} == {f"F{number}" for number in range(1, 73)}
    assert not {*CATALOGUE} & {*ELSEWHERE}


def test_there_are_twenty_five_planted_bugs():
    assert len(BUGS) >= 25
    assert all(bug.about for bug in BUGS)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_applies(bug):
    text = (ROOT / bug.file).read_text()

    made = bug.apply(text)

    assert made != text
    compile(made, bug.file, "exec")


def test_a_planted_bug_that_does_not_fit_says_so():
    with pytest.raises(MismatchError, match=BUGS[0].name):
        BUGS[0].apply("something else\n")


def test_nothing_but_the_replica_imports_the_scheduler():
    imports = {
        path.name for path in Path(ROOT / "e2e/sim").rglob("*.py")
        if any(line.startswith(("from scheduler", "import scheduler")) for line in path.read_text().splitlines())
    }  # fmt: skip

    assert imports == {"replica.py"}
