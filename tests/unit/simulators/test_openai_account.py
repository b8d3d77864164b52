"""What the simulated account may do and pays: the ramp, prices, tiers, the limiter's switches."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill_simulators.openai import prices
from gristmill_simulators.openai.errors import OpenAIError
from gristmill_simulators.openai.limiter import Limiter
from gristmill_simulators.openai.ramp import Ramp
from gristmill_simulators.openai.switches import Switches
from gristmill_simulators.settings import Quotas

MODEL = "text-embedding-3-small"
MINUTE = 60.0


def test_the_ramp_lets_a_newcomer_have_half_as_much_again_as_a_million():
    ramp = Ramp()
    ramp.add(1_500_000, 0.0)
    assert not ramp.admits(1, 59.9)
    assert ramp.admits(1_500_000, 60.0)


def test_the_ramp_allows_half_as_much_again_every_15_minutes():
    ramp, rate = Ramp(), 1_500_000
    for quarter in range(4):
        for minute in range(quarter * 15, quarter * 15 + 15):
            assert ramp.allowed(minute * MINUTE) == rate
            ramp.add(rate, minute * MINUTE)
        rate = int(rate * 1.5)


def test_who_pauses_for_half_an_hour_begins_anew():
    ramp = Ramp()
    ramp.add(1_500_000, 0.0)
    assert ramp.allowed(15 * MINUTE) == 2_250_000
    assert ramp.allowed(31 * MINUTE) == 1_500_000


@given(st.lists(st.tuples(st.floats(0, 120), st.integers(1, 500_000)), max_size=100))
def test_the_ramp_remembers_no_more_than_it_needs(arrivals):
    ramp, now = Ramp(), 0.0
    for pause, tokens in arrivals:
        now += pause
        ramp.add(tokens, now)
        assert Ramp.load(ramp.dump()).allowed(now) == ramp.allowed(now)
    assert len(ramp.dump()) <= 32


@given(st.sampled_from([MODEL, "text-embedding-3-large", "text-embedding-ada-002"]), st.integers(0))
def test_a_batch_costs_exactly_half(model, tokens):
    assert prices.cost(model, tokens, batch=True) * 2 == prices.cost(model, tokens)


def test_the_narrower_of_two_limits_decides():
    switches = Switches(project_tokens_per_minute=50)
    limiter = Limiter(Quotas(openai_tokens_per_minute=100), switches)
    limiter.admit(MODEL, 40, 0.0)
    with pytest.raises(OpenAIError, match="in project proj_simulated organization org-simulated"):
        limiter.admit(MODEL, 20, 0.0)
    limiter.configure(Quotas(openai_tokens_per_minute=50), Switches())
    with pytest.raises(OpenAIError, match=r"for \S+ in organization org-simulated on tokens"):
        limiter.admit(MODEL, 20, 0.0)


def test_what_is_in_use_survives_a_restart():
    switches = Switches(project_tokens_per_minute=500, ramp=True)
    limiter = Limiter(Quotas(), switches)
    limiter.admit(MODEL, 100, 10.0)
    restarted = Limiter(Quotas(), switches)
    restarted.load(limiter.dump())
    assert restarted.headers(MODEL, 11.0) == limiter.headers(MODEL, 11.0)
    assert restarted.dump() == limiter.dump()


def test_the_estimate_is_settled_only_where_that_is_chosen():
    for settle, remaining in ((False, "900"), (True, "970")):
        limiter = Limiter(Quotas(openai_tokens_per_minute=1000), Switches(settle_to_usage=settle))
        limiter.admit(MODEL, 100, 0.0)
        limiter.settle(MODEL, 100, 30, 0.0)
        assert limiter.headers(MODEL, 0.0)["x-ratelimit-remaining-tokens"] == remaining
