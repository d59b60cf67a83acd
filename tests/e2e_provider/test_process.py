"""Child processes of end-to-end tests."""

import sys
import time

from e2e.process import Child

_MIB = 2**20


def test_the_peak_counts_memory_that_was_given_back_and_that_of_children(tmp_path):
    hold = "import time, sys; x = bytearray({0} << 20); del x; print('done', flush=True); time.sleep(60)"
    both = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {hold.format(64)!r}]); {hold.format(48)}"
    child = Child("holder", [sys.executable, "-c", both], tmp_path / "log")
    try:
        end = time.monotonic() + 30
        while child.tail().count("done") < 2 and time.monotonic() < end:
            time.sleep(0.02)
        peak = child.peak_memory()
    finally:
        child.kill()

    assert 112 * _MIB <= peak < 400 * _MIB
