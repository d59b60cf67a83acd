"""The loop that a command serves on."""

import asyncio
import builtins
import os
import signal

import pytest

from scheduler.core.errors import ConfigError
from scheduler.service.command import exit_code, signalled


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setattr("scheduler.service.command.start_logging", lambda: None)


@pytest.fixture
def without_uvloop(monkeypatch):
    imported = builtins.__import__

    def importing(name, *rest, **more):
        if name == "uvloop":
            raise ImportError("No module named 'uvloop'", name=name)
        return imported(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", importing)


def served(caplog):
    found = []

    async def work():
        stop = signalled()
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(10):
            await stop.wait()
        found.append(type(asyncio.get_running_loop()).__module__)
        return 0

    caplog.set_level("WARNING")
    return exit_code(work), found, [record.message for record in caplog.records]


def test_commands_are_served_on_uvloop_until_a_signal(caplog):
    pytest.importorskip("uvloop")

    assert served(caplog) == (0, ["uvloop"], [])


def test_where_there_is_no_uvloop_asyncio_s_own_loop_serves_and_that_is_told_once(without_uvloop, caplog):
    code, loops, said = served(caplog)

    assert (code, loops) == (0, ["asyncio.unix_events"])
    assert said == ["running on asyncio's own loop, which takes more CPU: No module named 'uvloop'"]


def test_settings_that_cannot_be_used_are_exit_code_2():
    async def work():
        raise ConfigError("http.port", "is taken", "choose another")

    assert exit_code(work) == 2
