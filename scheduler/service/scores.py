"""Scores over gRPC for any scheduler, as `extender.grpc` in the configuration says (scoring/extender)."""

import asyncio
import logging
from typing import Final

from scheduler.core.errors import ConfigError
from scheduler.service.settings import SchedulerConfig
from scheduler.service.tls import Certificates
from scoring.extender.server import Pem, Scoring, Served, serve, server_credentials

log = logging.getLogger("dovetail")

GRACE_S: Final = 5.0
"""How long calls that are under way may take when it ends."""


async def open_scores(settings: SchedulerConfig) -> tuple[Served, Scoring, Certificates | None]:
    """Listen as `extender.grpc` says; with the certificates that it shows. Raises ConfigError where that cannot be."""
    listener = settings.extender.grpc
    place = f"extender.grpc {listener.host}:{listener.port}"
    if listener.exposed:
        raise ConfigError("extender.grpc", listener.exposed)
    credentials = certificates = None
    if listener.tls.on:
        held = certificates = Certificates(listener.tls, "extender.grpc.tls")

        def renewed() -> Pem | None:
            return held.pem() if held.renewed() else None

        credentials = server_credentials(held.pem(), renewed)
    scoring = Scoring(settings.vectors(), settings.profile, listener.tls.client_names)
    try:
        served = await serve(scoring, listener.host, listener.port, credentials, reflect=listener.reflection)
    except OSError as error:
        raise ConfigError(place, f"cannot be served on ({error})", "choose another extender.grpc.port") from error
    log.info("scores are served on %s:%d%s", listener.host, served.port, " over TLS" if listener.tls.on else "")
    return served, scoring, certificates


async def hold(served: Served) -> None:
    """Until cancelled."""
    try:
        await asyncio.Event().wait()
    finally:
        await served.stop(GRACE_S)
