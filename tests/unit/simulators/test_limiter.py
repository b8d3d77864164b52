"""The OpenAI limiter and the bucket under it; numbers from recordings are marked so."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill_simulators.bucket import Bucket
from gristmill_simulators.openai.durations import go_duration
from gristmill_simulators.openai.errors import OpenAIError
from gristmill_simulators.openai.limiter import Limiter
from gristmill_simulators.settings import Quotas

MODEL = "text-embedding-3-small"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (0.0004, "0s"),
        (0.006, "6ms"),
        (0.2849, "284ms"),  # recorded: cut, not rounded
        (0.284988, "284ms"),
        (2.8127, "2.812s"),
        (8.64, "8.64s"),
        (20, "20s"),
        (60, "1m0s"),
        (360, "6m0s"),
        (432, "7m12s"),
        (252.172, "4m12.172s"),
        (3600, "1h0m0s"),
        (83_909.144, "23h18m29.144s"),
    ],
)
def test_durations_are_written_as_go_writes_them(seconds, text):
    assert go_duration(seconds) == text


@given(st.integers(min_value=0, max_value=10**9))
def test_a_duration_can_be_read_back_to_the_millisecond(milliseconds):
    factors = {"h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
    parts = re.findall(r"([\d.]+)(ms|h|m|s)", go_duration(milliseconds / 1000))
    assert round(sum(float(number) * factors[unit] for number, unit in parts)) == milliseconds


@pytest.mark.parametrize(
    ("limit", "window", "used", "requested", "wait"),
    [
        (1_000_000, 60, 976_163, 70_716, 2.81274),  # recorded, shown as 2.812s
        (500, 60, 500, 1, 0.12),
        (3, 60, 3, 1, 20),
        (200, 86_400, 200, 1, 432),
        (10_000, 86_400, 10_000, 1, 8.64),
    ],
)
def test_the_wait_is_the_recorded_one(limit, window, used, requested, wait):
    bucket = Bucket(limit, window, limit, used=used, at=100.0)
    assert bucket.wait(requested, 100.0) == pytest.approx(wait, abs=1e-6)


@given(
    st.lists(st.tuples(st.floats(0, 5), st.integers(1, 50)), max_size=200),
    st.floats(1, 60),
)
def test_what_is_let_through_never_exceeds_capacity_plus_refill(arrivals, burst):
    bucket = Bucket(limit=600, window=60, capacity=600 * burst / 60)
    now, passed = 0.0, 0
    for pause, cost in arrivals:
        now += pause
        if bucket.wait(cost, now) == 0:
            bucket.charge(cost, now)
            passed += cost
    largest = max((cost for _, cost in arrivals), default=0)
    assert passed <= max(bucket.capacity, largest) + now * 10 + 1e-6


@given(st.integers(1, 700), st.integers(1, 700))
def test_waiting_as_told_is_enough(first, second):
    bucket = Bucket(limit=600, window=60, capacity=600)
    bucket.charge(first, 0.0)
    wait = bucket.wait(second, 0.0)
    assert bucket.wait(second, wait + 1e-9) == pytest.approx(0, abs=1e-6)


def test_a_refused_request_charges_nothing():
    limiter = Limiter(Quotas(openai_requests_per_minute=1000, openai_tokens_per_minute=100))
    limiter.admit(MODEL, 90, 0.0)
    before = limiter.headers(MODEL, 0.0)
    with pytest.raises(OpenAIError, match=r"Used 90, Requested 20\. Please try again in 6s"):
        limiter.admit(MODEL, 20, 0.0)
    assert limiter.headers(MODEL, 0.0) == before


def test_requests_a_day_have_their_own_bucket():
    limiter = Limiter(Quotas(openai_tier="free", openai_requests_per_day=2))
    limiter.admit(MODEL, 1, 0.0)
    limiter.admit(MODEL, 1, 0.0)
    with pytest.raises(OpenAIError, match=r"requests per day \(RPD\): Limit 2, Used 2"):
        limiter.admit(MODEL, 1, 60.0)


def test_models_do_not_share_a_bucket():
    limiter = Limiter(Quotas(openai_tokens_per_minute=100))
    limiter.admit(MODEL, 100, 0.0)
    limiter.admit("text-embedding-3-large", 100, 0.0)


def test_other_quotas_keep_what_is_in_use():
    limiter = Limiter(Quotas(openai_tokens_per_minute=100))
    limiter.admit(MODEL, 100, 0.0)
    limiter.configure(Quotas(openai_tokens_per_minute=200))
    assert limiter.headers(MODEL, 0.0)["x-ratelimit-remaining-tokens"] == "100"


def test_a_burst_of_a_second_lets_a_second_of_the_quota_through_at_once():
    limiter = Limiter(Quotas(openai_requests_per_minute=600, openai_burst_seconds=1))
    for _ in range(10):
        limiter.admit(MODEL, 1, 0.0)
    with pytest.raises(OpenAIError, match=r"Used 600, Requested 1\. Please try again in 100ms"):
        limiter.admit(MODEL, 1, 0.0)
    limiter.admit(MODEL, 1, 0.1001)
