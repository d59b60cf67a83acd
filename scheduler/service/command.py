"""What every command that serves does: its logs, its exit code, and when it is to stop."""

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from importlib.metadata import packages_distributions
from typing import Any, Final

from scheduler.core.errors import ConfigError, DovetailError

log = logging.getLogger("dovetail")

DISTRIBUTION: Final = "dovetail-scheduler"


def exit_code(work: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """Do what a command serves, with logs. Exit codes: 0 stopped by a signal, 1 gave up, 2 unusable settings."""
    start_logging()
    try:
        refuse_intruders(packages_distributions())
        with asyncio.Runner(loop_factory=_fast_loop()) as runner:
            return runner.run(work())
    except ConfigError as error:
        log.error("%s", error)
        return 2
    except DovetailError as error:
        log.error("%s", error)
        return 1


def _fast_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes a loop: uvloop, whose sockets and TLS are compiled; None, which is asyncio's own, where it is not."""
    try:
        import uvloop  # noqa: PLC0415 (there is none for Windows)
    except ImportError as error:
        log.warning("running on asyncio's own loop, which takes more CPU: %s", error)
        return None
    return uvloop.new_event_loop


def refuse_intruders(owners: Mapping[str, list[str]]) -> None:
    """Two import names of ours are common words. Raises ConfigError when another distribution has files under them."""
    for package in ("scheduler", "scoring"):
        others = sorted(set(owners.get(package, ())) - {DISTRIBUTION})
        if others:
            raise ConfigError(
                f"import package {package}",
                f"is also installed by {', '.join(others)}",
                f"give {DISTRIBUTION} an environment of its own",
            )


class _OneLine(logging.Formatter):
    """JSON, one line each: what tenants wrote can neither start a line nor colour a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "from": record.name,
            "message": record.getMessage()[:4000],
        }
        if record.exc_info:
            said["trace"] = self.formatException(record.exc_info)
        return json.dumps(said)


def start_logging() -> None:
    """To stderr; DOVETAIL_LOG_LEVEL names the level."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine())
    level = os.environ.get("DOVETAIL_LOG_LEVEL", "INFO").upper()
    logging.basicConfig(handlers=[handler], level=level if level in logging.getLevelNamesMapping() else "INFO")


def signalled() -> asyncio.Event:
    """Set once SIGTERM or SIGINT comes."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop
