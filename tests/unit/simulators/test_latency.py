"""Latency: which model a call has, what is drawn from it, and what its units add."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from gristmill_simulators.latency import Constant, Latencies, Latency, Lognormal, Uniform

MODEL = TypeAdapter(Latency)
ROUTE = "openai.embeddings.create"


def latencies(**models: object) -> Latencies:
    return Latencies(
        {name.replace("_", "."): MODEL.validate_python(models[name]) for name in models}
    )


def test_a_number_is_short_for_a_constant():
    assert MODEL.validate_python(0.25) == MODEL.validate_python({"seconds": 0.25})
    assert latencies(openai=0.25).before(ROUTE) == 0.25


def test_the_longest_name_that_fits_decides_alone():
    drawn = Latencies({"openai": Constant(seconds=1), "openai.embeddings": Constant(seconds=2)})
    assert drawn.before(ROUTE) == 2
    assert drawn.before("openai.models.list") == 1
    assert drawn.before("supabase.bucket.list") == 0


def test_half_of_a_lognormal_is_below_its_median_and_a_twentieth_above_its_p95():
    drawn = Latencies({"openai": Lognormal(kind="lognormal", median=0.1, p95=0.4, seed=1)})
    times = [drawn.before(ROUTE) for _ in range(4000)]
    assert statistics.median(times) == pytest.approx(0.1, rel=0.1)
    assert sum(time > 0.4 for time in times) / len(times) == pytest.approx(0.05, abs=0.015)


@given(low=st.floats(0, 10), width=st.floats(0, 10), seed=st.integers())
def test_a_uniform_draw_is_between_its_ends_and_the_same_for_the_same_seed(low, width, seed):
    model = Uniform(kind="uniform", low=low, high=low + width, seed=seed)
    first, again = Latencies({ROUTE: model}), Latencies({ROUTE: model})
    times = [first.before(ROUTE) for _ in range(5)]
    assert times == [again.before(ROUTE) for _ in range(5)]
    assert all(low <= time <= low + width for time in times)


def test_a_series_goes_on_when_other_settings_change_and_begins_anew_when_the_models_do():
    model = Uniform(kind="uniform", high=1, seed=3)
    drawn = Latencies({ROUTE: model})
    first = drawn.before(ROUTE)
    drawn.configure({ROUTE: model})
    assert drawn.before(ROUTE) != first
    drawn.configure({ROUTE: model, "supabase": Constant(seconds=1)})
    assert drawn.before(ROUTE) == first


def test_each_unit_of_a_call_adds_its_seconds():
    drawn = latencies(openai={"seconds": 0.5, "per": {"inputs": 0.01, "megabytes": 2}})
    assert drawn.before(ROUTE) == 0.5
    assert drawn.after(ROUTE, {"inputs": 30, "megabytes": 0.1}) == pytest.approx(0.5)
    assert drawn.after(ROUTE, {}) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        -1,
        True,
        float("inf"),
        {"kind": "gamma"},
        {"kind": "uniform", "low": 2, "high": 1},
        {"kind": "lognormal", "median": 1, "p95": 0.5},
        {"seconds": 1, "per": {"inputs": -1}},
    ],
)
def test_a_model_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValidationError):
        MODEL.validate_python(wrong)
