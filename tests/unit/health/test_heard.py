"""What was heard, joined and aged."""

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from gristmill.contract import Status
from gristmill.health.heard import (
    OUTCOMES,
    WINDOW,
    Count,
    Failure,
    Heard,
    Outcome,
    Sample,
    as_json,
    heard_of,
    joined,
)

ages = st.floats(0, 2 * WINDOW).map(lambda age: round(age, 3))
outcomes = st.builds(Outcome, ages, st.sampled_from(Status), st.text(max_size=5), st.booleans())
samples = st.builds(Sample, ages, st.floats(0, 100), st.booleans())
counts = st.builds(
    Count, ages, st.integers(0, 9), st.dictionaries(st.sampled_from("abc"), st.integers(1, 3))
)
failures = st.builds(Failure, ages, st.text(), st.text(), st.text())
heards = st.builds(
    Heard,
    st.lists(outcomes, max_size=30).map(tuple),
    st.lists(samples, max_size=30).map(tuple),
    st.lists(counts, max_size=30).map(tuple),
    st.none() | failures,
)
few = settings(max_examples=25, deadline=None)


@few
@given(heards)
def test_it_is_the_same_after_it_was_told(heard):
    assert heard_of(orjson.loads(orjson.dumps(as_json(heard)))) == heard


@few
@given(st.lists(heards, max_size=4), st.floats(0, WINDOW))
def test_joined_the_newest_come_first_and_nothing_is_older_than_the_window(every, older):
    heard = joined(every, older)
    for parts in (heard.outcomes, heard.samples, heard.counts):
        found = [part.age for part in parts]
        assert found == sorted(found)
        assert all(older <= age < WINDOW for age in found)
    assert len(heard.outcomes) <= OUTCOMES


@few
@given(st.lists(heards, max_size=4))
def test_calls_and_errors_of_all_add_up(every):
    heard = joined(every)
    assert heard.calls() == sum(each.calls() for each in every)
    assert sum(heard.errors().values()) == sum(sum(each.errors().values()) for each in every)


@few
@given(st.lists(heards, max_size=4))
def test_the_newest_failure_of_all_is_the_last_one(every):
    found = [e.failure.age for e in every if e.failure is not None and e.failure.age < WINDOW]
    failure = joined(every).failure
    assert (failure and failure.age) == (min(found) if found else None)


def test_errors_are_counted_by_kind_the_most_frequent_first_within_a_time():
    heard = Heard(counts=(Count(1, 9, {"a": 1, "b": 2}), Count(90, 3, {"a": 3}), Count(300, 1, {})))
    assert heard.errors() == {"a": 4, "b": 2}
    assert heard.errors(60) == {"b": 2, "a": 1}
    assert (heard.calls(), heard.calls(60)) == (12, 9)


def test_response_times_are_those_of_calls_and_of_probes_only_without_any():
    probe, call = Sample(1.0, 0.1, is_probe=True), Sample(2.0, 0.5)
    assert Heard(samples=(probe, call)).times() == (0.5,)
    assert Heard(samples=(probe,)).times() == (0.1,)
    assert Heard().times() == ()
