"""What an error means for a document: aside for a while, aside without a failed try, or over."""

import random

import pytest

from gristmill import errors
from gristmill.pipeline.children import ChildDied
from gristmill.pipeline.document import DocumentStatus
from gristmill.pipeline.runner import LONG_SECONDS, PERSON_SECONDS, SPREAD_SECONDS, End, verdict

MOST = 12


def judged(error, attempts=0):
    return verdict(error, attempts, MOST, random.Random(7))


def budget(retry_after):
    return errors.BudgetExceeded(
        "Full.", scope="global", key="", period="day", limit=1, spent=1, held=0, asked=1,
        window_end=None, retry_after=retry_after,
    )  # fmt: skip


@pytest.mark.parametrize(
    "error",
    [
        errors.BreakerOpen("Left alone.", retry_after=8.0),
        errors.RateLimited("Not its turn.", retry_after=40.0),
        errors.Throttled("Slower.", retry_after=432.0),
        budget(3600.0),
    ],
)
def test_a_wait_of_known_length_is_no_failed_try_and_does_not_end_for_all_at_once(error):
    waits = {verdict(error, 0, MOST, random.Random(n)).seconds for n in range(50)}
    assert len(waits) > 40
    assert min(waits) >= error.retry_after
    assert max(waits) <= error.retry_after + min(SPREAD_SECONDS, error.retry_after)
    assert not judged(error, attempts=100).counts


def test_even_the_shortest_wait_is_spread():
    assert judged(errors.BreakerOpen("Left alone.", retry_after=0.0)).seconds > 0


def test_throttled_for_an_unknown_time_is_a_failed_try_so_that_waits_grow():
    first, later = judged(errors.Throttled("Slower.")), judged(errors.Throttled("Slower."), 30)
    assert first.counts
    assert later.seconds > first.seconds


@pytest.mark.parametrize("kind", [errors.Unavailable, errors.Throttled])
@pytest.mark.parametrize("attempts", [MOST - 1, MOST, 10 * MOST])
def test_however_long_an_outage_lasts_it_ends_no_document(kind, attempts):
    decision = judged(kind("Down."), attempts)
    assert decision.counts
    assert decision.seconds <= 300


@pytest.mark.parametrize("kind", [errors.OutcomeUnknown, errors.InvalidResponse])
def test_what_may_be_billed_each_time_is_not_tried_for_ever(kind):
    assert judged(kind("No answer."), MOST - 2).counts
    assert judged(kind("No answer."), MOST - 1) == End(DocumentStatus.FAILED)


@pytest.mark.parametrize(
    "error",
    [
        errors.Unauthorized("Wrong key."),
        errors.QuotaExhausted("No credit."),
        errors.Misconfigured("No key."),
        errors.SimulatedAnswer("A simulator."),
    ],
)
def test_what_a_person_must_mend_is_looked_at_seldom(error):
    assert judged(error, 100).seconds == PERSON_SECONDS
    assert not judged(error, 100).counts


def test_what_only_a_higher_limit_helps_waits_for_that():
    assert judged(budget(None)).seconds == LONG_SECONDS


@pytest.mark.parametrize(
    "error", [errors.Rejected("No."), errors.DocumentFailed("No."), errors.UnreadableSource("No.")]
)
def test_what_fails_the_same_way_again_is_over(error):
    assert judged(error) == End(DocumentStatus.FAILED)


def test_a_file_that_kills_its_reader_is_kept_apart():
    assert judged(ChildDied("It died.")) == End(DocumentStatus.QUARANTINED)
