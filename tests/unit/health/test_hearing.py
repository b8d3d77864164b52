"""What one process hears: windows, counts, and what says nothing of a service."""

import asyncio

import pytest

from gristmill import errors
from gristmill.contract import ServiceHealth, Status
from gristmill.health.heard import OUTCOMES, SAMPLES, WINDOW, Outcome
from gristmill.health.hearing import COUNTED_TOGETHER, Hearing
from gristmill.health.report import report


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def hearing(clock: Clock) -> Hearing:
    return Hearing(clock=clock)


def down(text: str = "down") -> errors.Unavailable:
    return errors.Unavailable(text, status=503)


def test_a_call_is_an_outcome_a_response_time_and_a_count(hearing, clock):
    hearing.succeeded(0.25)
    clock.now += 3
    heard = hearing.heard()
    assert heard.outcomes == (Outcome(3.0, Status.HEALTHY),)
    assert [(s.age, s.seconds) for s in heard.samples] == [(3.0, 0.25)]
    assert (heard.calls(), heard.errors(), heard.failure) == (1, {}, None)


def test_of_two_outcomes_at_the_same_moment_the_later_one_is_the_newest(hearing):
    hearing.failed(down())
    hearing.succeeded(0.1)
    assert [o.status for o in hearing.heard().outcomes] == [Status.HEALTHY, Status.UNHEALTHY]


def test_failures_of_the_service_are_counted_by_kind_and_the_last_is_remembered(hearing, clock):
    hearing.failed(errors.Throttled("slower", status=429))
    clock.now += 1
    hearing.failed(down("first"))
    hearing.failed(errors.OutcomeUnknown("second", advice="Wait."))
    known = report(hearing.heard())
    assert known.errors == {"OutcomeUnknown": 1, "Throttled": 1, "Unavailable": 1}
    assert (known.error_count, known.error_kind, known.last_error) == (
        3,
        "OutcomeUnknown",
        "second",
    )
    assert hearing.heard().failure.reason == "It is down or cannot be reached. second Wait."


def test_an_input_that_is_refused_shows_that_the_service_answers(hearing):
    hearing.failed(errors.Rejected("no", status=400))
    heard = hearing.heard()
    assert heard.outcomes[0].status is Status.HEALTHY
    assert (heard.calls(), heard.errors()) == (1, {})


@pytest.mark.parametrize(
    "error",
    [
        errors.TooLarge("more than a limit ever has"),  # by us: no status
        errors.RateLimited("later", retry_after=9),
        errors.NotYet("early"),
        errors.DatabaseUnavailable("gone"),
        asyncio.CancelledError(),
        ZeroDivisionError("a defect"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_was_not_asked_of_it_or_has_no_answer_says_nothing(hearing, error):
    hearing.failed(error)
    assert hearing.is_silent()
    assert hearing.heard().calls() == 0


def test_a_missing_key_is_an_outcome_but_no_call(hearing):
    hearing.failed(errors.Misconfigured("No key for openai is set."))
    heard = hearing.heard()
    assert heard.outcomes[0].status is Status.UNCONFIGURED
    assert (heard.calls(), heard.errors()) == (0, {})


def test_a_probe_is_a_call_whose_end_is_conclusive(hearing, clock):
    hearing.probed(ServiceHealth(Status.HEALTHY, 0.125, reason="fine"))
    clock.now += 1
    said = ServiceHealth(
        Status.UNHEALTHY, reason="Down. Wait.", last_error="Down.", error_kind="Un"
    )
    hearing.probed(said)
    heard = hearing.heard()
    assert [(o.status, o.is_probe) for o in heard.outcomes] == [
        (Status.UNHEALTHY, True),
        (Status.HEALTHY, True),
    ]
    assert (heard.calls(), heard.errors(), heard.times()) == (2, {"Un": 1}, (0.125,))
    assert report(heard).reason == "Down. Wait."


def test_a_service_that_could_not_be_asked_was_not_heard(hearing):
    hearing.probed(ServiceHealth(Status.UNKNOWN, reason="Not asked."))
    assert hearing.is_silent()


def test_what_is_older_than_the_window_is_forgotten_but_for_the_sums(hearing, clock):
    hearing.succeeded(0.5)
    hearing.failed(down())
    clock.now += WINDOW + COUNTED_TOGETHER
    heard = hearing.heard()
    assert (heard.outcomes, heard.samples, heard.counts, heard.failure) == ((), (), (), None)
    assert hearing.is_silent()
    assert hearing.totals() == {"calls": 2, "answers": 1, "seconds": 0.5, "Unavailable": 1}


def test_counts_go_out_of_the_window_little_by_little(hearing, clock):
    for _ in range(30):
        hearing.failed(down())
        clock.now += COUNTED_TOGETHER
    assert hearing.heard().calls() == 30
    clock.now += WINDOW / 2
    assert hearing.heard().calls() == 15


def test_the_memory_is_bounded_however_many_calls_there_are(hearing, clock):
    for number in range(5000):
        hearing.succeeded(number / 1000)
        hearing.failed(down())
        clock.now += 1
    heard = hearing.heard()
    assert (len(heard.outcomes), len(heard.samples)) == (OUTCOMES, SAMPLES)
    assert len(heard.counts) <= WINDOW / COUNTED_TOGETHER + 1
    assert heard.times()[0] == 4.999


def test_it_is_fresh_after_an_answer_or_a_question_but_not_after_a_failed_call(hearing, clock):
    assert not hearing.heard().is_fresh
    hearing.failed(down())
    assert not hearing.heard().is_fresh
    hearing.probed(ServiceHealth(Status.UNHEALTHY, reason="Down."))
    assert hearing.heard().is_fresh
    clock.now += 5
    assert not hearing.heard().is_fresh
    hearing.succeeded(0.1)
    assert hearing.heard().is_fresh


def test_the_words_of_a_vendor_fit_the_database_and_hold_no_key(hearing):
    hearing.failed(down("nul \0, half \ud800, sk-test-0123456789abcdef, " + "long " * 200))
    failure = hearing.heard().failure
    assert failure.error.startswith("nul ?, half ?, ***, long")
    assert len(failure.error) == 500


def test_p50_and_p95_are_of_the_last_response_times(hearing):
    for number in range(1, 101):
        hearing.succeeded(number / 100)
    known = report(hearing.heard())
    assert (known.last_response_time, known.response_time) == (1.0, 0.5)
    assert known.p95_response_time == 0.95
