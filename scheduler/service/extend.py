"""`dovetail extender`: scores over gRPC, without a cluster."""

import asyncio
import logging
import signal
from importlib.metadata import packages_distributions
from pathlib import Path

from scheduler.core.errors import ConfigError, DovetailError
from scheduler.service.run import refuse_intruders, start_logging
from scheduler.service.scores import GRACE_S, open_scores
from scheduler.service.settings import SchedulerConfig, load

log = logging.getLogger("dovetail")


def main(config: Path | None) -> int:
    """Serve until told to stop. Exit codes: 0 stopped by a signal, 1 gave up, 2 unusable settings."""
    start_logging()
    try:
        refuse_intruders(packages_distributions())
        return asyncio.run(run(load(config)))
    except ConfigError as error:
        log.error("%s", error)
        return 2
    except DovetailError as error:
        log.error("%s", error)
        return 1


async def run(settings: SchedulerConfig) -> int:
    """Serve until SIGTERM or SIGINT, whether or not the settings enable it in `dovetail run`; returns the exit code."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    served, *_ = await open_scores(settings)
    try:
        await stop.wait()
        log.info("stopping")
    finally:
        await served.stop(GRACE_S)
    return 0
