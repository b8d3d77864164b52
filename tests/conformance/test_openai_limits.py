"""Rate limits, the traffic ramp, and limits of spending."""

import openai as sdk
import pytest
from openai import AsyncOpenAI

SMALL, LARGE = "text-embedding-3-small", "text-embedding-3-large"


async def limit(control, quotas=None, **switches) -> None:
    answer = await control.post("/settings", json={"quotas": quotas or {}, "openai": switches})
    answer.raise_for_status()


async def refused(openai: AsyncOpenAI, text: str = "a", model: str = SMALL) -> sdk.RateLimitError:
    with pytest.raises(sdk.RateLimitError) as error:
        await openai.embeddings.create(model=model, input=text)
    return error.value


async def headers_of(openai: AsyncOpenAI, text: str | list[str] = "a") -> dict[str, str]:
    answer = await openai.embeddings.with_raw_response.create(model=SMALL, input=text)
    return dict(answer.headers)


async def test_tokens_are_charged_as_bytes_and_the_refusal_says_when_to_come_back(
    openai: AsyncOpenAI, control, clock
):
    await limit(control, {"openai_tokens_per_minute": 6000})
    await openai.embeddings.create(model=SMALL, input="a" * 16_000)  # 4001 of 6000
    error = await refused(openai, "b" * 12_000)  # 3001 more
    assert (error.code, error.type) == ("rate_limit_exceeded", "tokens")
    assert error.body["message"] == (
        f"Rate limit reached for {SMALL} in organization org-simulated on tokens per min (TPM):"
        " Limit 6000, Used 4001, Requested 3001. Please try again in 10.02s."
        " Visit https://platform.openai.com/account/rate-limits to learn more."
    )
    assert error.response.headers["retry-after"] == "11"
    clock.advance(10.02)
    await openai.embeddings.create(model=SMALL, input="b" * 12_000)


async def test_the_charge_counts_utf8_bytes_not_characters_and_tokens_of_arrays_exactly(
    openai: AsyncOpenAI, control
):
    await limit(control, {"openai_tokens_per_minute": 100_000})
    assert (await headers_of(openai, "밀" * 1000))["x-ratelimit-remaining-tokens"] == str(
        100_000 - 751
    )
    answer = await openai.embeddings.with_raw_response.create(model=SMALL, input=[264] * 1000)
    assert answer.headers["x-ratelimit-remaining-tokens"] == str(100_000 - 751 - 1001)


async def test_requests_a_minute_are_limited_for_each_model(openai: AsyncOpenAI, control, clock):
    await limit(control, {"openai_requests_per_minute": 3})
    for _ in range(3):
        await openai.embeddings.create(model=SMALL, input="a")
    error = await refused(openai)
    assert error.type == "requests"
    assert "requests per min (RPM): Limit 3, Used 3, Requested 1." in error.body["message"]
    assert "try again in 20s" in error.body["message"]
    await openai.embeddings.create(model=LARGE, input="a")
    clock.advance(20)
    await openai.embeddings.create(model=SMALL, input="a")


async def test_requests_a_day_come_back_one_by_one_not_at_midnight(
    openai: AsyncOpenAI, control, clock
):
    await limit(control, {"openai_requests_per_day": 2})
    for _ in range(2):
        await openai.embeddings.create(model=SMALL, input="a")
    error = await refused(openai)
    assert "requests per day (RPD): Limit 2, Used 2" in error.body["message"]
    assert "try again in 12h0m0s" in error.body["message"]
    clock.advance(43_200)
    await openai.embeddings.create(model=SMALL, input="a")
    await refused(openai)


@pytest.mark.parametrize(
    ("tier", "requests", "tokens"),
    [("free", 100, 40_000), ("1", 3000, 1_000_000), ("4", 10_000, 5_000_000)],
)
async def test_the_tier_decides_where_nothing_else_is_set(openai, control, tier, requests, tokens):
    await limit(control, {"openai_tier": tier})
    headers = await headers_of(openai, "a" * 400)
    assert headers["x-ratelimit-limit-requests"] == str(requests)
    assert headers["x-ratelimit-limit-tokens"] == str(tokens)
    assert headers["x-ratelimit-remaining-requests"] == str(requests - 1)
    assert headers["x-ratelimit-remaining-tokens"] == str(tokens - 101)


async def test_reset_is_the_time_until_nothing_is_in_use_cut_to_milliseconds(
    openai: AsyncOpenAI, control, clock
):
    await limit(control, {"openai_tokens_per_minute": 5_000_000})
    headers = await headers_of(openai, ["a" * 4318] * 21 + ["a" * 4317])  # 94,995 bytes
    assert headers["x-ratelimit-reset-tokens"] == "284ms"  # recorded for these very numbers
    assert headers["x-ratelimit-reset-requests"] == "6ms"
    clock.advance(1)
    assert (await headers_of(openai))["x-ratelimit-reset-tokens"] == "0s"


async def test_a_request_above_the_whole_limit_can_never_pass(openai: AsyncOpenAI, control):
    await limit(control, {"openai_tokens_per_minute": 1000})
    error = await refused(openai, "a" * 4000)
    assert error.body["message"].startswith(f"Request too large for {SMALL} in organization org-")
    assert "Limit 1000, Requested 1001. The input or output tokens must be" in str(error)
    assert "retry-after" not in error.response.headers
    assert (error.code, error.type) == ("rate_limit_exceeded", "tokens")


async def test_a_project_limit_brings_its_own_headers_and_words(
    openai: AsyncOpenAI, control, clock
):
    assert "x-ratelimit-limit-project-tokens" not in await headers_of(openai)
    await limit(control, project_tokens_per_minute=1000, project_requests_per_minute=50)
    clock.advance(60)
    headers = await headers_of(openai, "a" * 400)
    assert headers["x-ratelimit-limit-project-tokens"] == "1000"
    assert headers["x-ratelimit-remaining-project-tokens"] == "899"
    assert headers["x-ratelimit-reset-project-tokens"] == "6.06s"
    assert headers["x-ratelimit-limit-project-requests"] == "50"
    error = await refused(openai, "a" * 3800)
    place = "in project proj_simulated organization org-simulated on tokens per min (TPM)"
    assert place in error.body["message"]


async def test_a_bad_request_counts_against_the_limit(openai: AsyncOpenAI, control):
    await limit(control, {"openai_requests_per_minute": 3})
    with pytest.raises(sdk.BadRequestError) as error:
        await openai.embeddings.create(model=SMALL, input=["a", ""])
    assert error.value.response.headers["x-ratelimit-remaining-requests"] == "2"
    assert (await headers_of(openai))["x-ratelimit-remaining-requests"] == "1"


async def test_a_wrong_key_and_an_unknown_model_count_against_nothing(openai: AsyncOpenAI, control):
    await limit(control, {"openai_requests_per_minute": 3})
    with pytest.raises(sdk.NotFoundError):
        await openai.embeddings.create(model="text-embedding-9", input="a")
    with pytest.raises(sdk.AuthenticationError):
        await openai.with_options(api_key="sk-wrong-key-1234").embeddings.create(
            model=SMALL, input="a"
        )
    assert (await headers_of(openai))["x-ratelimit-remaining-requests"] == "2"


@pytest.mark.parametrize(("consume", "used"), [(False, 101), (True, 152)])
async def test_a_refused_request_is_charged_or_not(openai: AsyncOpenAI, control, consume, used):
    await limit(control, {"openai_tokens_per_minute": 150}, refused_consume=consume)
    await openai.embeddings.create(model=SMALL, input="a" * 400)
    await refused(openai, "a" * 200)
    error = await refused(openai, "a" * 200)
    assert f"Used {used}, Requested 51" in error.body["message"]


async def test_which_check_comes_first_is_a_matter_of_choice(openai: AsyncOpenAI, control):
    await limit(control, {"openai_requests_per_minute": 1})
    await openai.embeddings.create(model=SMALL, input="a")
    await refused(openai, "")
    await limit(control, check_order="validation_first")
    with pytest.raises(sdk.BadRequestError):
        await openai.embeddings.create(model=SMALL, input="")
    assert "Used 2" in (await refused(openai)).body["message"]


async def test_hints_when_to_retry_may_be_there_or_missing(openai: AsyncOpenAI, control):
    await limit(control, {"openai_requests_per_minute": 600, "openai_burst_seconds": 1})
    for _ in range(10):
        await openai.embeddings.create(model=SMALL, input="a")
    hints = {"retry-after", "retry-after-ms", "x-should-retry", "x-ratelimit-limit-requests"}
    shown = (await refused(openai)).response.headers
    assert hints & set(shown) == {"retry-after", "x-ratelimit-limit-requests"}
    assert shown["retry-after"] == "1"
    await limit(
        control,
        {"openai_retry_after": False},
        retry_after_ms=True,
        should_retry=True,
        limit_headers_on_429=False,
    )
    shown = (await refused(openai)).response.headers
    assert hints & set(shown) == {"retry-after-ms", "x-should-retry"}
    assert (shown["retry-after-ms"], shown["x-should-retry"]) == ("100", "true")


async def test_a_burst_may_be_shorter_than_a_minutes_quota(openai: AsyncOpenAI, control, clock):
    await limit(control, {"openai_requests_per_minute": 120, "openai_burst_seconds": 1})
    for _ in range(2):
        await openai.embeddings.create(model=SMALL, input="a")
    assert "try again in 500ms" in (await refused(openai)).body["message"]
    clock.advance(0.5)
    await openai.embeddings.create(model=SMALL, input="a")


async def test_the_estimate_may_be_settled_to_the_true_tokens(openai: AsyncOpenAI, control):
    await limit(control, {"openai_tokens_per_minute": 10_000}, settle_to_usage=True)
    answer = await openai.embeddings.with_raw_response.create(model=SMALL, input="rye " * 400)
    used = answer.parse().usage.prompt_tokens
    assert answer.headers["x-ratelimit-remaining-tokens"] == str(10_000 - used)


async def test_growing_too_fast_is_slowed_down_where_the_ramp_is_on(
    openai: AsyncOpenAI, control, clock
):
    await limit(control, {"openai_tokens_per_minute": 10_000_000}, ramp=True)
    big = ["a" * 16_000] * 140  # estimated at 560,001 tokens
    for _ in range(2):
        await openai.embeddings.create(model=SMALL, input=big, dimensions=1)
    with pytest.raises(sdk.RateLimitError) as error:
        await openai.embeddings.create(model=SMALL, input=big, dimensions=1)
    assert (error.value.code, error.value.type) == ("slow_down", "rate_limit_error")
    clock.advance(60)
    await openai.embeddings.create(model=SMALL, input=big, dimensions=1)


@pytest.mark.parametrize(
    ("switch", "code"),
    [
        ("organization_spend_limit", "organization_spend_limit_exceeded"),
        ("project_spend_limit", "project_spend_limit_exceeded"),
        ("credit", "credit_balance_exhausted"),
    ],
)
async def test_who_has_spent_his_limit_is_refused_for_good(openai, control, switch, code):
    await limit(control, **{switch: 2e-6})  # 100 tokens of the small model
    await openai.embeddings.create(model=SMALL, input=[[264] * 99])
    await openai.embeddings.create(model=SMALL, input=[[264] * 99])  # overshoots: 1 was left
    error = await refused(openai)
    assert (error.code, error.type) == (code, "insufficient_quota")
    assert "retry-after" not in error.response.headers


async def test_the_older_code_of_an_empty_account_can_be_chosen(openai: AsyncOpenAI, control):
    await limit(control, credit=0, no_credit_code="insufficient_quota")
    error = await refused(openai)
    assert (error.code, error.type) == ("insufficient_quota", "insufficient_quota")
    assert error.body["message"].startswith("You exceeded your current quota, please check")


async def test_spending_is_noticed_late_and_forgotten_with_the_month(
    openai: AsyncOpenAI, control, clock
):
    await limit(control, organization_spend_limit=1e-9, spend_lag_seconds=120)
    await openai.embeddings.create(model=SMALL, input="a")
    await openai.embeddings.create(model=SMALL, input="a")
    clock.advance(121)
    await refused(openai)
    clock.advance(31 * 86_400)
    await openai.embeddings.create(model=SMALL, input="a")


async def test_a_tiers_own_cap_may_be_enforced(openai: AsyncOpenAI, control, server):
    await limit(control, {"openai_tier": "1"}, enforce_usage_limit=True)
    await openai.embeddings.create(model=SMALL, input="a")
    await server.simulator.database.write(
        lambda connection: connection.execute("UPDATE openai_bills SET nano_dollars = 100e9")
    )
    assert (await refused(openai)).code == "organization_usage_limit_exceeded"


@pytest.mark.parametrize(("billed", "requests"), [(False, None), (True, 1)])
async def test_bad_requests_are_billed_or_not(openai: AsyncOpenAI, control, billed, requests):
    await limit(control, bill_bad_requests=billed)
    with pytest.raises(sdk.BadRequestError):
        await openai.embeddings.create(model=SMALL, input=["abcd", ""])
    bill = (await control.get("/billed")).json()["openai"]
    assert bill.get(SMALL, {}).get("requests") == requests
