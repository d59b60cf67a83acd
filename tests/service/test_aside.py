import asyncio
import multiprocessing
import time

import pytest

from scheduler.core.messages import EvaluateScalar, ScalarEvaluated
from scheduler.service.aside import Aside, _work


def work(instruction):
    """Runs in the worker process; the expression says how it should go."""
    if instruction.expression == "hang":
        time.sleep(60)
    if instruction.expression == "raise":
        raise RecursionError("too deep")
    if instruction.expression == "die":
        import os

        os._exit(1)
    return ScalarEvaluated(instruction.expression, instruction.generation, instruction.tuples, (True,))


def ask(expression, generation=1):
    return EvaluateScalar(expression, (("a",),), 100, generation)


@pytest.fixture
async def aside():
    answers = asyncio.Queue()
    made = Aside(answers.put_nowait, deadline_s=0.15, work=work)
    task = asyncio.ensure_future(made.run())
    made.answers = answers
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_an_answer_comes_back_from_another_process(aside):
    aside.submit(ask("fine"))

    answer = await aside.answers.get()

    assert answer == ScalarEvaluated("fine", 1, (("a",),), (True,))


async def test_late_failed_and_lost_work_is_answered_with_what_went_wrong(aside):
    for expression in ("hang", "raise", "die", "fine"):
        aside.submit(ask(expression))

    answers = [await aside.answers.get() for _ in range(4)]

    assert [answer.expression for answer in answers] == ["hang", "raise", "die", "fine"]
    assert "no answer within" in answers[0].verdicts[0]
    assert "too deep" in answers[1].verdicts[0]
    assert "ended" in answers[2].verdicts[0]
    assert answers[3].verdicts == (True,)


async def test_a_question_asked_again_is_answered_once_in_its_newest_generation(aside):
    aside.submit(ask("fine", generation=1))
    aside.submit(ask("fine", generation=2))

    answer = await aside.answers.get()
    await asyncio.sleep(0.05)

    assert answer.generation == 2
    assert aside.answers.empty()


def test_the_worker_ends_quietly_with_who_asks():
    ours, theirs = multiprocessing.Pipe()
    ours.close()

    assert _work(theirs, work) is None
