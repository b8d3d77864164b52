"""Retries are a share of the first tries, and a few in any case."""

from hypothesis import given
from hypothesis import strategies as st

from gristmill.policies.retry_budget import FLOOR, FLOOR_SECONDS, MOST, SHARE, RetryBudget


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def spent(budget, asked):
    return sum(budget.take() for _ in range(asked))


def test_who_has_called_little_has_a_few_retries_all_the_same():
    assert spent(RetryBudget(clock=Clock()), 100) == FLOOR


def test_the_few_come_back_within_a_minute():
    clock = Clock()
    budget = RetryBudget(clock=clock)
    spent(budget, 100)
    clock.now += FLOOR_SECONDS / 2
    assert spent(budget, 100) == FLOOR / 2
    clock.now += 10 * FLOOR_SECONDS
    assert spent(budget, 100) == FLOOR


def test_five_first_tries_earn_one_retry():
    budget = RetryBudget(clock=Clock())
    spent(budget, 100)
    for _ in range(100):
        budget.note_first_try()
    assert spent(budget, 100) in {19, 20}  # a fifth is no binary fraction


def test_no_more_are_saved_up_than_a_bad_moment_needs():
    budget = RetryBudget(clock=Clock())
    for _ in range(100_000):
        budget.note_first_try()
    assert spent(budget, 1000) == MOST


EVENTS = st.lists(
    st.one_of(st.just("try"), st.just("retry"), st.floats(0, 100, allow_nan=False)), max_size=300
)


@given(EVENTS)
def test_in_every_history_the_retries_stay_within_share_and_floor(events):
    clock = Clock()
    budget = RetryBudget(clock=clock)
    tries = retries = 0
    for event in events:
        if event == "try":
            budget.note_first_try()
            tries += 1
        elif event == "retry":
            retries += budget.take()
        else:
            clock.now += event
        earned = SHARE * tries + clock.now * FLOOR / FLOOR_SECONDS
        assert retries <= FLOOR + earned + 1e-6


@given(EVENTS, st.integers(0, 300))
def test_in_every_span_of_time_they_stay_within_what_can_be_saved_up(events, start):
    clock = Clock()
    budget = RetryBudget(clock=clock)
    tries = retries = 0
    began = 0.0
    for number, event in enumerate(events):
        if number == start:
            tries = retries = 0
            began = clock.now
        if event == "try":
            budget.note_first_try()
            tries += 1
        elif event == "retry":
            retries += budget.take()
        else:
            clock.now += event
    assert retries <= MOST + SHARE * tries + (clock.now - began) * FLOOR / FLOOR_SECONDS + 1e-6
