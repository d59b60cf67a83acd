"""Slow work beside the loop: one worker process with a deadline, started when it is first needed."""

import asyncio
import contextlib
import logging
import multiprocessing
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, Final

from scheduler.core.budget import Turns
from scheduler.core.messages import (
    Appraise,
    Appraised,
    EvaluateScalar,
    Event,
    Inspect,
    ScalarEvaluated,
    Slow,
    Solve,
    Solved,
    SolveWindow,
)
from scheduler.core.slow import answer
from scheduler.core.solvers.search import NodeAnswer

log = logging.getLogger(__name__)

_START_S: Final = 60.0
_NICE: Final = 10  # decisions come first where cores are few
_TIMED: Final = partial(answer, clock=time.monotonic)
_WAITING: Final = 256  # questions of one tenant


def _work(connection: Connection, work: Callable[[Slow], Event]) -> None:
    """The worker: an answer, or the words of what went wrong, for each instruction. Ends with who asks."""
    os.nice(_NICE)
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        connection.send(None)
        while True:
            instruction = connection.recv()
            try:
                connection.send(work(instruction))
            except Exception as error:  # the scheduler must hear of everything that one problem can cause
                connection.send(f"{type(error).__name__}: {error}")


class Aside:
    """Answers slow questions in another process, those of the tenant first for whom it has worked least.

    post : takes the answers. deadline_s : what takes longer is given up with its process, and answered with that.
    """

    def __init__(
        self,
        post: Callable[[Event], None],
        deadline_s: float = 10.0,
        work: Callable[[Slow], Event] = _TIMED,
    ) -> None:
        self._post = post
        self._deadline_s = deadline_s
        self._work = work
        self._waiting: dict[str, OrderedDict[object, Slow]] = {}
        self._turns = Turns()
        self._arrived = asyncio.Event()
        self._process: Any = None
        self._connection: Connection | None = None

    def submit(self, instruction: Slow) -> None:
        """Queue work. A question waits once, in its newest generation; the engine asks again for what is lost."""
        waiting = self._waiting.setdefault(instruction.tenant, OrderedDict())
        waiting[_question(instruction)] = instruction
        if len(waiting) > _WAITING:
            waiting.popitem(last=False)
        self._arrived.set()

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            while True:
                while not self._waiting:
                    self._arrived.clear()
                    await self._arrived.wait()
                instruction = self._next()
                since = time.monotonic()
                outcome = await asyncio.to_thread(self._exchange, instruction)
                self._turns.charge(instruction.tenant, int(1e6 * (time.monotonic() - since)))
                if isinstance(outcome, str):
                    log.warning("slow work given up: %s", outcome)
                    failed = _failed(instruction, outcome)
                    if failed is not None:
                        self._post(failed)
                else:
                    self._post(outcome)
        finally:
            self.stop()

    def _next(self) -> Slow:
        tenant = self._turns.next(self._waiting)
        _, instruction = self._waiting[tenant].popitem(last=False)
        if not self._waiting[tenant]:
            del self._waiting[tenant]
        return instruction

    def stop(self) -> None:
        """End the worker."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()

    def _exchange(self, instruction: Slow) -> Any:
        """The answer, or why there is none. Blocks no longer than the deadline and the start of a process."""
        try:
            if self._process is None or not self._process.is_alive():
                self._start()
            connection = self._connection
            assert connection is not None
            connection.send(instruction)
            until = time.monotonic() + self._deadline_s
            if connection.poll(self._deadline_s):
                return connection.recv()
            self._end()
            return f"no answer within {self._deadline_s + time.monotonic() - until:g} s"
        except (OSError, EOFError) as error:
            self._end()
            return f"the worker ended ({type(error).__name__})"

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, self._work), daemon=True, name="dovetail-aside")
        self._process.start()
        theirs.close()
        if not self._connection.poll(_START_S):
            raise EOFError("the worker did not start")
        self._connection.recv()

    def _end(self) -> None:
        self.stop()
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _question(instruction: Slow) -> object:
    if isinstance(instruction, Solve):
        return instruction.problem
    if isinstance(instruction, Appraise):
        return Appraise
    if isinstance(instruction, SolveWindow):
        return instruction.generation
    return (instruction.expression, instruction.tuples if isinstance(instruction, EvaluateScalar) else ())


def _failed(instruction: Slow, words: str) -> Event | None:
    """The answer in place of one; None where the question has to be asked again."""
    if isinstance(instruction, Solve):
        return Solved(instruction.problem, instruction.generation, NodeAnswer(None, {}, exhausted=True))
    if isinstance(instruction, Inspect | SolveWindow):
        return None
    if isinstance(instruction, Appraise):
        return Appraised(instruction.generation, None)
    return ScalarEvaluated(
        instruction.expression, instruction.generation, instruction.tuples, (words,) * len(instruction.tuples)
    )
