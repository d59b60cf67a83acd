"""How property tests choose their examples, which form of the core is tested, and on which event loops."""

import asyncio
import os
import sys
from collections.abc import Callable

import pytest
from hypothesis import settings

# Some tests replace parts of the core, and a source that was just edited is what a developer wants to test.
NATIVE = bool(os.environ.get("DOVETAIL_TEST_NATIVE"))
if not NATIVE:
    os.environ["DOVETAIL_PURE"] = "1"

# A commit is either good or not: the same examples in each run. `make soak` looks for new ones, with
# `--hypothesis-profile fresh`; what it finds becomes a test of its own.
settings.register_profile("fixed", derandomize=True)
settings.register_profile("fresh", derandomize=False, print_blob=True)
settings.load_profile("fixed")

# As served: on uvloop. What takes connections differently is tested on the loop of places without it, too.
LOOPS = {"asyncio": asyncio.SelectorEventLoop}
if sys.platform != "win32":
    import uvloop

    LOOPS["uvloop"] = uvloop.new_event_loop
ON_BOTH = {"test_http", "test_stream", "test_tls"}


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Which loops a test runs on."""
    if item.path.stem in ON_BOTH:
        return LOOPS
    usual = "uvloop" if "uvloop" in LOOPS else "asyncio"
    return {usual: LOOPS[usual]}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what cannot be done to a compiled core."""
    import scheduler

    assert scheduler.NATIVE == NATIVE, "DOVETAIL_TEST_NATIVE is set, and the core is not compiled: run `make native`"
    for item in items:
        if NATIVE and item.get_closest_marker("interpreted"):
            item.add_marker(pytest.mark.skip("replaces parts of the core"))
