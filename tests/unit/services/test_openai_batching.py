"""Planning requests, and dividing refused ones: an algebra of places."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.errors import InvalidInput, TooLarge
from gristmill.services.openai.batching import (
    MAX_INPUT_TOKENS,
    MAX_INPUTS,
    MAX_REQUEST_TOKENS,
    Caps,
    divide,
    is_fit,
    most_requests,
    plan,
)

CAPS = st.builds(
    Caps,
    inputs=st.one_of(st.integers(1, 5), st.just(MAX_INPUTS)),
    tokens=st.one_of(st.integers(1, 20_000), st.just(MAX_REQUEST_TOKENS)),
)
# Few texts, so that many are equal; the count belongs to the text.
TEXTS = st.lists(st.integers(0, 30), max_size=120).flatmap(
    lambda names: st.tuples(
        st.just([str(name) for name in names]),
        st.dictionaries(
            st.sampled_from([str(name) for name in range(31)]),
            st.one_of(st.integers(0, 40), st.integers(8000, 9000)),
        ),
    )
)


def counts_of(texts, sizes):
    return [sizes.get(text, 7) for text in texts]


@given(TEXTS, CAPS)
def test_every_text_is_in_exactly_one_request_in_order_and_equal_ones_once(given_texts, caps):
    texts, counts = given_texts[0], counts_of(*given_texts)
    planned = plan(texts, counts, caps)
    sent = [place for batch in planned.batches for place in batch]
    assert sent == sorted(sent)
    firsts = {text: place for place, text in reversed(list(enumerate(texts)))}
    assert sorted([*sent, *planned.unfit]) == sorted(firsts.values())


@given(TEXTS, CAPS)
def test_every_limit_is_kept_and_what_no_request_may_hold_is_named(given_texts, caps):
    counts = counts_of(*given_texts)
    planned = plan(given_texts[0], counts, caps)
    for batch in planned.batches:
        assert 1 <= len(batch) <= caps.inputs
        assert all(is_fit(counts[place]) for place in batch)
        total = sum(counts[place] for place in batch)
        assert total <= caps.tokens or len(batch) == 1
        assert total <= MAX_REQUEST_TOKENS
    assert not any(is_fit(counts[place]) for place in planned.unfit)


@given(TEXTS, CAPS)
def test_no_request_could_have_taken_the_next_ones_first_text(given_texts, caps):
    counts = counts_of(*given_texts)
    for batch, following in pairwise(plan(given_texts[0], counts, caps).batches):
        total = sum(counts[place] for place in (*batch, following[0]))
        assert len(batch) == caps.inputs or total > caps.tokens


def test_the_vendors_limits_are_used_to_the_last_token_and_input():
    assert len(plan([str(n) for n in range(2048)], [1] * 2048, Caps()).batches) == 1
    assert len(plan([str(n) for n in range(2049)], [1] * 2049, Caps()).batches) == 2
    full = [8192] * 36 + [5088]
    assert sum(full) == MAX_REQUEST_TOKENS
    assert len(plan([str(n) for n in range(37)], full, Caps()).batches) == 1
    assert len(plan([str(n) for n in range(37)], [*full[:-1], 5089], Caps()).batches) == 2


def test_an_empty_text_and_one_over_the_limit_are_named_and_the_others_planned():
    planned = plan(["", "a", "b", "c"], [0, 8192, 8193, 1], Caps())
    assert planned.unfit == (0, 2)
    assert planned.batches == ((1, 3),)


@pytest.mark.parametrize("caps", [(0, 1), (2049, 1), (1, 0), (1, 300_001)])
def test_caps_beyond_the_vendors_limits_are_refused(caps):
    with pytest.raises(ValueError, match="must be between"):
        Caps(*caps)


def named(index):
    error = InvalidInput("no")
    error.index = index
    return error


def resolved(batch, poisons, refusal_of):
    """Sends and divides as the pipeline does: (accepted, refused, requests)."""
    waiting, accepted, refused, requests = [batch], [], [], 0
    while waiting:
        part = waiting.pop()
        requests += 1
        if not poisons & set(part):
            accepted += part
            continue
        parts, culprits = divide(part, refusal_of(part))
        waiting += reversed(parts)
        refused += culprits
    return accepted, refused, requests


@given(st.integers(1, 400), st.sets(st.integers(0, 399), max_size=6), st.booleans())
def test_exactly_the_culprits_are_found_whether_the_refusal_names_them_or_not(
    size, poisons, is_named
):
    batch = tuple(range(size))

    def refusal_of(part):
        return named(
            next(i for i, place in enumerate(part) if place in poisons) if is_named else None
        )

    accepted, refused, _ = resolved(batch, poisons, refusal_of)
    assert accepted == [place for place in batch if place not in poisons]
    assert set(refused) == poisons & set(batch)
    assert len(refused) == len(set(refused))


@given(st.integers(1, MAX_INPUTS), st.data())
def test_one_culprit_costs_at_most_twice_the_logarithm_and_one_if_it_is_named(size, data):
    batch, poison = tuple(range(size)), data.draw(st.integers(0, size - 1))
    *_, requests = resolved(batch, {poison}, lambda _: named(None))
    assert requests - 1 <= 2 * (size - 1).bit_length()
    assert requests - 1 <= most_requests(size, is_any_accepted=False)
    *_, requests = resolved(batch, {poison}, lambda part: named(part.index(poison)))
    assert requests - 1 <= 1


@given(st.integers(2, 300), st.integers(1, 300))
def test_a_request_that_is_too_large_is_halved_until_its_parts_pass(size, most):
    batch = tuple(range(size))
    waiting, passed = [batch], []
    while waiting:
        part = waiting.pop()
        if len(part) <= most:
            passed += part
            continue
        parts, refused = divide(part, TooLarge("no"))
        assert not refused
        waiting += reversed(parts)
    assert passed == list(batch)


@pytest.mark.parametrize("index", [-1, 3, 99])
def test_an_index_that_is_not_in_the_request_is_not_believed(index):
    assert divide((4, 5, 6), named(index)) == (((4,), (5, 6)), ())


def test_a_text_over_the_limit_is_not_counted_among_the_fit():
    assert is_fit(MAX_INPUT_TOKENS)
    assert not is_fit(MAX_INPUT_TOKENS + 1)
    assert not is_fit(0)
