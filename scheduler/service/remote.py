"""Asks scorers of others on behalf of the engine (core/remote.py): many pods at once, each within its deadline.

Whatever a scorer does, the engine hears one RemoteScored for each question: an answer, or why there is none. One that
fails again and again is left alone for a while (scoring/extender/breaker.py), and does not make pods wait meanwhile.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from scheduler.core.errors import ConfigError, printable
from scheduler.core.messages import Event, RemoteScored, ScoreRemotely
from scheduler.core.remote import problem_of
from scheduler.service.settings import RemoteScorerSettings
from scoring.extender.breaker import Breaker
from scoring.extender.client import RemoteError, ScorerClient, channel_credentials
from scoring.extender.v1 import scoring_pb2 as pb

log = logging.getLogger("dovetail.remote")

MAX_CALLS: Final = 64  # of one scorer at once
_SHOWN: Final = 200


class _Scorer:
    """One of them. calls : how many are under way."""

    def __init__(self, settings: RemoteScorerSettings) -> None:
        tls = settings.tls
        self.settings = settings
        self.breaker = Breaker()
        self.calls = 0
        self.client = ScorerClient(
            settings.address,
            timeout_s=settings.timeout_milliseconds / 1000,
            credentials=_credentials(settings) if tls.ca_file else None,
            server_name=tls.server_name,
        )


def _credentials(settings: RemoteScorerSettings) -> Any:
    found = []
    tls = settings.tls
    for key, file in (("caFile", tls.ca_file), ("certFile", tls.cert_file), ("keyFile", tls.key_file)):
        try:
            found.append(Path(file).read_bytes() if file else b"")
        except OSError as error:
            where = f"remoteScorers {settings.name}: tls.{key} {printable(file)}"
            raise ConfigError(where, f"cannot be read ({error.strerror})", "check path and permissions") from error
    return channel_credentials(*found)


class RemoteScorers:
    """All of them. post : takes the answers. Raises ConfigError for files that cannot be used."""

    def __init__(
        self,
        settings: Sequence[RemoteScorerSettings],
        post: Callable[[Event], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._scorers = {each.name: _Scorer(each) for each in settings}
        self._post = post
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def states(self) -> dict[str, str]:
        """By scorer whether it is asked: closed, open or half-open, as of circuits."""
        return {name: scorer.breaker.state for name, scorer in self._scorers.items()}

    def submit(self, instruction: ScoreRemotely) -> None:
        """Ask; answers come in any order."""
        request: pb.JudgeRequest | None = None
        for name in instruction.scorers:
            scorer = self._scorers[name]
            if scorer.calls >= MAX_CALLS:
                self._tell(instruction, name, f"{MAX_CALLS} questions are waiting for it already")
            elif not scorer.breaker.allows(self._clock()):
                self._tell(instruction, name, "failed too often and is left alone for a while")
            else:
                request = request or _request(instruction)
                scorer.calls += 1
                task = asyncio.create_task(self._ask(scorer, instruction, request))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _ask(self, scorer: _Scorer, instruction: ScoreRemotely, shared: pb.JudgeRequest) -> None:
        name, timeout = scorer.settings.name, scorer.settings.timeout_milliseconds
        scores: tuple[float, ...] = ()
        problem = "the question was given up"
        try:
            request = pb.JudgeRequest()
            request.CopyFrom(shared)
            request.scorer = name
            async with asyncio.timeout(timeout / 1000):
                scores = await scorer.client.judge(request)
            problem = problem_of(scores, len(instruction.candidates))
        except TimeoutError:
            problem = f"no answer within {timeout} ms"
        except RemoteError as error:
            within = error.code == "DEADLINE_EXCEEDED"
            problem = f"no answer within {timeout} ms" if within else printable(str(error))[:_SHOWN]
        except Exception as error:  # nothing that a scorer does may end the scheduling of pods
            log.exception("remote scorer %s", name)
            problem = f"could not be asked ({type(error).__name__})"
        finally:
            scorer.calls -= 1
            self._judge(scorer, problem)
            self._tell(instruction, name, problem, () if problem else scores)

    def _judge(self, scorer: _Scorer, problem: str) -> None:
        before = scorer.breaker.state
        if problem:
            scorer.breaker.failed(self._clock())
        else:
            scorer.breaker.succeeded()
        after = scorer.breaker.state
        if after != before and "closed" in {before, after}:
            if problem:
                log.warning("remote scorer %s is left alone for a while: %s", scorer.settings.name, problem)
            else:
                log.info("remote scorer %s answers again", scorer.settings.name)

    def _tell(self, instruction: ScoreRemotely, scorer: str, problem: str, scores: tuple[float, ...] = ()) -> None:
        self._post(RemoteScored(instruction.pod.uid, instruction.generation, scorer, scores, problem))

    async def run(self) -> None:
        """Until cancelled; then nothing is asked any more."""
        try:
            await asyncio.Event().wait()
        finally:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await asyncio.gather(*(scorer.client.close() for scorer in self._scorers.values()))


def _request(instruction: ScoreRemotely) -> pb.JudgeRequest:
    return pb.JudgeRequest(
        pod=f"{instruction.pod.namespace}/{instruction.pod.name}",
        cpu_milli=min(instruction.cpu, 2**63 - 1),
        memory_bytes=min(instruction.memory, 2**63 - 1),
        candidates=[
            pb.Candidate(node=option.node, devices=["/".join(device) for device in option.devices], total=option.total)
            for option in instruction.candidates
        ],
    )
