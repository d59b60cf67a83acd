"""All surfaces, and a run over their cases."""

import signal
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from e2e.bad import config, files, objects, over_grpc, over_http, quantities, selectors, snapshots
from e2e.bad.case import ACCEPTED, REFUSED, Case

LONGEST_S: Final = 2.0
PATIENCE: Final = 4  # times as long on the clock as on the processor, since others use that too
SURFACES: Final[Mapping[str, Callable[[], Iterator[Case]]]] = {
    module.SURFACE: module.cases
    for module in (config, objects, files, snapshots, selectors, quantities, over_http, over_grpc)
}


@dataclass(slots=True)
class Found:
    """What a surface made of its cases. wrong : name -> what was wrong; slowest : seconds and name."""

    cases: int = 0
    refused: int = 0
    accepted: int = 0
    wrong: dict[str, str] = field(default_factory=dict)
    slowest: tuple[float, str] = (0.0, "")


class HungError(BaseException):
    """A case took too long; not an Exception, so that nothing that survives errors survives this."""


def run(cases: Iterable[Case], longest_s: float = LONGEST_S) -> Found:
    """Put every case, each under a limit."""
    found = Found()

    def hung(number: int, frame: object) -> None:
        raise HungError

    before = [(number, signal.signal(number, hung)) for number in (signal.SIGALRM, signal.SIGPROF)]
    try:
        for case in cases:
            found.cases += 1
            start = time.perf_counter()
            _limit(longest_s)
            try:
                answer = case.put()
                _limit(0)
                problem = case.wrong(answer)
                found.refused += answer.verdict == REFUSED
                found.accepted += answer.verdict == ACCEPTED
            except HungError:
                problem = f"took more than {longest_s:g} s"
            except Exception as error:
                last = traceback.extract_tb(error.__traceback__)[-1]
                problem = f"raised {type(error).__name__}: {str(error)[:200]!a} at {last.name}, line {last.lineno}"
            finally:
                _limit(0)
            if problem:
                found.wrong[case.name] = problem
            found.slowest = max(found.slowest, (time.perf_counter() - start, case.name))
    finally:
        for number, handler in before:
            signal.signal(number, handler)
    return found


def _limit(seconds: float) -> None:
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE * seconds)
