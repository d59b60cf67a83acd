"""One bad input, and what has to become of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

REFUSED: Final = "refused"
ACCEPTED: Final = "accepted"
EITHER: Final = "either"
LONGEST: Final = 4_000  # characters of an answer


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of an input. text : the error, or what says that it is refused."""

    verdict: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """`put` hands the input over and returns the answer; what it raises is a traceback that a user would see.

    expected : REFUSED, ACCEPTED or EITHER. names : words that a refusal must contain.
    """

    surface: str
    name: str
    put: Callable[[], Answer]
    expected: str = EITHER
    names: tuple[str, ...] = ()

    def wrong(self, answer: Answer) -> str:
        """What is wrong with an answer, empty if nothing is."""
        if self.expected not in (EITHER, answer.verdict):
            return f"{answer.verdict}, and should be {self.expected}"
        if answer.verdict == ACCEPTED:
            return ""
        if not answer.text.strip():
            return "refused without a word"
        if len(answer.text) > LONGEST:
            return f"the answer has {len(answer.text)} characters"
        if "Traceback" in answer.text:
            return "the answer is a traceback"
        raw = [each for each in answer.text if not (each.isprintable() or each == "\n")]
        if raw:
            return f"the answer holds {raw[0]!r} as it is"
        missing = [word for word in self.names if word not in answer.text]
        return f"the answer does not name {missing[0]}" if missing else ""
