"""`dovetail extender`: scores over gRPC, without a cluster."""

import logging
from pathlib import Path

from scheduler.service.command import exit_code, signalled
from scheduler.service.scores import GRACE_S, open_scores
from scheduler.service.settings import SchedulerConfig, load

log = logging.getLogger("dovetail")


def main(config: Path | None) -> int:
    """Serve until told to stop. Exit codes: see `command.exit_code`."""
    return exit_code(lambda: run(load(config)))


async def run(settings: SchedulerConfig) -> int:
    """Serve until SIGTERM or SIGINT, whether or not the settings enable it in `dovetail run`; returns the exit code."""
    stop = signalled()
    served, *_ = await open_scores(settings)
    try:
        await stop.wait()
        log.info("stopping")
    finally:
        await served.stop(GRACE_S)
    return 0
