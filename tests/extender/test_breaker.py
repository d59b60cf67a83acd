"""After some failures in a row a remote is left alone for a while, then tried once."""

from scoring.extender.breaker import FAILURES, FIRST_PAUSE_S, LAST_PAUSE_S, Breaker


def opened(now=0.0):
    breaker = Breaker()
    for _ in range(FAILURES):
        assert breaker.allows(now)
        breaker.failed(now)
    return breaker


def test_it_opens_after_failures_in_a_row_only():
    breaker = Breaker()
    for _ in range(3 * FAILURES):
        for _ in range(FAILURES - 1):
            breaker.failed(0.0)
        breaker.succeeded()
    assert breaker.state == "closed"

    assert opened().state == "open"


def test_an_open_one_asks_nothing_until_its_pause_is_over_and_then_once():
    breaker = opened()

    assert not breaker.allows(FIRST_PAUSE_S / 2)
    assert breaker.allows(FIRST_PAUSE_S)
    assert breaker.state == "half-open"
    assert not breaker.allows(FIRST_PAUSE_S)


def test_the_one_question_decides():
    good, bad = opened(), opened()
    assert good.allows(FIRST_PAUSE_S)
    assert bad.allows(FIRST_PAUSE_S)

    good.succeeded()
    bad.failed(FIRST_PAUSE_S)

    assert good.state == "closed"
    assert good.allows(FIRST_PAUSE_S)
    assert bad.state == "open"
    assert not bad.allows(FIRST_PAUSE_S + 1.5 * FIRST_PAUSE_S)
    assert bad.allows(FIRST_PAUSE_S + 2 * FIRST_PAUSE_S)


def test_pauses_double_up_to_a_limit_and_start_anew_after_a_success():
    breaker, now, pauses = opened(), 0.0, []
    for _ in range(12):
        start = now
        while not breaker.allows(now):
            now += FIRST_PAUSE_S
        pauses.append(now - start)
        breaker.failed(now)

    assert pauses[:4] == [FIRST_PAUSE_S * 2**i for i in range(4)]
    assert pauses[-1] == LAST_PAUSE_S

    while not breaker.allows(now):
        now += FIRST_PAUSE_S
    breaker.succeeded()
    for _ in range(FAILURES):
        breaker.failed(now)
    assert breaker.allows(now + FIRST_PAUSE_S)


def test_what_was_asked_before_it_opened_does_not_prolong_the_pause():
    breaker = opened()

    breaker.failed(FIRST_PAUSE_S / 2)

    assert breaker.allows(FIRST_PAUSE_S)
