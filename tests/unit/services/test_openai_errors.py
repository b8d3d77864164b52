"""Every error that OpenAI is known to answer, and what it becomes."""

import json

import pytest
from classified import Row, names
from hypothesis import given
from hypothesis import strategies as st

from gristmill import errors
from gristmill.services.failures import Answer
from gristmill.services.openai import ListModels
from gristmill.services.openai.errors import classify

INVALID = "invalid_request_error"
REFERENCE = "Please check the API reference: https://platform.openai.com/docs/api-reference."
TPM = "Rate limit reached for M in organization org-X on tokens per min (TPM): Limit 1000000, Used 976163, Requested 70716. Please try again in 2.812s. Visit https://platform.openai.com/account/rate-limits to learn more."
RPM = "Rate limit reached for M in organization org-X on requests per min (RPM): Limit 500, Used 500, Requested 1. Please try again in 120ms. Visit https://platform.openai.com/account/rate-limits to learn more."
RPD = "Rate limit reached for M in project proj_X organization org-X on requests per day (RPD): Limit 200, Used 200, Requested 1. Please try again in 7m12s."
LARGE = "Request too large for M in organization org-X on tokens per min (TPM): Limit 30000, Requested 36055. The input or output tokens must be reduced in order to run successfully. Visit https://platform.openai.com/account/rate-limits to learn more."
FAULT = "The server had an error while processing your request. Sorry about that!"


def wire(message, kind=INVALID, code=None):
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def refused(what, message, kind=errors.Rejected, code=None, says="refused"):
    advice = {
        errors.Rejected: "change the input",
        errors.InvalidInput: "the others may pass",
        errors.TooLarge: "smaller parts",
    }[kind]
    return Row(what, 400, wire(message, code or INVALID, code), kind, says, advice)


def billing(what, code, message=""):
    body = wire(message, "insufficient_quota", code)
    says = f"over its billing (429 {code})"
    return Row(what, 429, body, errors.QuotaExhausted, says, "plan, credit, spending limits")


def unknown(what, status, body, says, **facts):
    advice = "may have been done and billed"
    return Row(what, status, body, errors.OutcomeUnknown, says, advice, safe=False, **facts)


TABLE = [
    Row("wrong key", 401, wire("Incorrect API key provided: sk-wrong****-key. You can find your API key at https://platform.openai.com/account/api-keys.", code="invalid_api_key"), errors.Unauthorized, "OpenAI refused access (401 invalid_api_key): Incorrect API key provided: ***", "Check OPENAI_API_KEY."),
    Row("no key", 401, wire("You didn't provide an API key. You need to provide your API key in an Authorization header."), errors.Unauthorized, "refused access (401", "No key arrived"),
    Row("not of the organization", 401, wire("You must be a member of an organization to use the API"), errors.Unauthorized, "refused access (401", "to the organization"),
    Row("address not allowed", 401, wire("Your IP is not authorized to access this resource"), errors.Unauthorized, "refused access (401", "address"),
    Row("missing scope", 403, wire("You have insufficient permissions for this operation. Missing scopes: model.request", code="missing_scope"), errors.Unauthorized, "refused access (403 missing_scope)", "its rights"),
    Row("region not served", 403, wire("Country, region, or territory not supported", "request_forbidden", "unsupported_country_region_territory"), errors.Unauthorized, "refused access (403", "a country that the vendor serves"),
    Row("unknown model", 404, wire("The model `X` does not exist or you do not have access to it.", code="model_not_found"), errors.Unauthorized, "The model `X` does not exist", "GRISTMILL_EMBEDDING_MODEL"),
    Row("another path", 404, wire("Invalid URL (POST /v1/v1/embeddings)"), errors.Misconfigured, "has no embeddings (404): Invalid URL", "Check OPENAI_BASE_URL"),
    Row("another service", 404, "<html>Not found</html>", errors.Misconfigured, "has no embeddings (404): it gave no reason.", "Check OPENAI_BASE_URL"),
    refused("empty string", "Invalid 'input[1]': input cannot be an empty string.", errors.InvalidInput, says="one of the inputs"),
    refused("empty array", "Invalid 'input': input cannot be an empty array."),
    refused("one input over 8192", "Invalid 'input[0]': maximum input length is 8192 tokens.", errors.InvalidInput),
    refused("over 2048 inputs", "Invalid 'input': array length must be 2048 or less.", errors.TooLarge, says="as too large"),
    refused("over 300,000 in all", "Requested 416735 tokens, max 300000 tokens per request", errors.TooLarge, "max_tokens_per_request"),
    refused("dimensions too big", "Invalid value for 'dimensions' = 9999. Must be less than or equal to 1536."),
    refused("dimensions on ada-002", "This model does not support specifying dimensions."),
    refused("other bad shape", f"'$.input' is invalid. {REFERENCE}", errors.InvalidInput),
    Row("tokens a minute", 429, wire(TPM, "tokens", "rate_limit_exceeded"), errors.Throttled, "was asked too fast (429 rate_limit_exceeded): Rate limit reached", "GRISTMILL_RATE_OPENAI", after=2.812),
    Row("tokens a minute, with the header", 429, wire(TPM, "tokens", "rate_limit_exceeded"), errors.Throttled, "was asked too fast", "by itself", after=3.0, headers={"retry-after": "3"}),
    Row("requests a minute", 429, wire(RPM, "requests", "rate_limit_exceeded"), errors.Throttled, "was asked too fast", "by itself", after=0.12),
    Row("requests a day, of a project", 429, wire(RPD, "requests", "rate_limit_exceeded"), errors.Throttled, "was asked too fast", "by itself", after=432),
    Row("a page instead of a limit", 429, "<html>", errors.Throttled, "was asked too fast (429)", "by itself"),
    Row("larger than a minute", 429, wire(LARGE, "tokens", "rate_limit_exceeded"), errors.TooLarge, "as too large (429", "fewer tokens in one request"),
    Row("traffic ramp", 429, wire("Slow down.", "rate_limit_error", "slow_down"), errors.Throttled, "too fast (429 slow_down)", "by itself"),
    Row("traffic ramp until 2026", 503, wire("Slow down.", "rate_limit_error", "slow_down"), errors.Throttled, "too fast (503 slow_down)", "by itself"),
    billing("no credit", "credit_balance_exhausted", "You have no credits left."),
    billing("no credit, older", "insufficient_quota", "You exceeded your current quota, please check your plan and billing details."),
    billing("cap of the organization", "organization_spend_limit_exceeded"),
    billing("cap of the project", "project_spend_limit_exceeded"),
    billing("usage limit", "organization_usage_limit_exceeded"),
    billing("hard limit", "billing_hard_limit_reached"),
    billing("billing not active", "billing_not_active"),
    billing("a new code of this type", "some_new_code"),
    unknown("server fault", 500, wire(FAULT, "server_error"), "(500 server_error): The server had an error"),
    Row("server fault, of a free question", 500, wire(FAULT, "server_error"), errors.Unavailable, "cannot serve now (500", "by itself"),
    Row("overload", 503, wire("Our servers are currently overloaded. Please try again later.", "service_unavailable_error", "server_is_overloaded"), errors.Unavailable, "cannot serve now (503 server_is_overloaded): Our servers", "by itself", after=7, headers={"retry-after": "7"}, safe=False),
    unknown("request timeout", 408, "", "(408): it gave no reason."),
    Row("conflict", 409, "", errors.Unavailable, "cannot serve now (409)", "by itself", safe=False),
    unknown("gateway's page", 502, "<html>Bad gateway</html>", "(502): it gave no reason."),
    unknown("gateway's timeout", 504, "", "(504): it gave no reason."),
    unknown("front server's own", 520, "", "(520): it gave no reason."),
    Row("overload of the front server", 529, "", errors.Unavailable, "cannot serve now (529)", "by itself", safe=False),
    Row("body too large", 413, "", errors.TooLarge, "as too large (413)", "smaller parts"),
    Row("unprocessable", 422, wire("Nope."), errors.Rejected, "refused this request (422", "change the input"),
    Row("moved", 307, "", errors.Rejected, "refused this request (307)", "leads to another one"),
]  # fmt: skip


@pytest.mark.parametrize("row", TABLE, ids=names(TABLE))
def test_every_row_becomes_the_error_of_its_effect(row):
    row.check(classify(row.answer("openai")))


SAMPLE = [row for row in TABLE if row.what in {"wrong key", "another path", "tokens a minute"}]


@pytest.mark.parametrize("row", SAMPLE, ids=names(SAMPLE))
async def test_the_adapter_raises_it_after_one_request(vendor, openai, row):
    body = row.body.encode() if isinstance(row.body, str) else row.body
    vendor.says(row.status, body, {"x-request-id": "req_5"})
    with pytest.raises(row.kind) as caught:
        await openai.execute(ListModels())
    row.check(caught.value)
    assert len(vendor.requests) == 1, "the SDK's own retries are off"
    if isinstance(caught.value, errors.ServiceError):
        facts = (caught.value.service, caught.value.status, caught.value.request_id)
        assert facts == ("openai", row.status, "req_5")


REFUSALS = [
    # message of a 400, error, index
    ("Invalid 'input[3]': input cannot be an empty string.", errors.InvalidInput, 3),
    ("Invalid 'input[41]': maximum input length is 8192 tokens.", errors.InvalidInput, 41),
    (f"'$.input' is invalid. {REFERENCE}", errors.InvalidInput, None),
    ("Your input was flagged.", errors.InvalidInput, None),
    ("", errors.InvalidInput, None),
    ("Invalid 'input': array length must be 2048 or less.", errors.TooLarge, None),
    ("Invalid 'input': input cannot be an empty array.", errors.Rejected, None),
    ("you must provide a model parameter", errors.Rejected, None),
    ("This model does not support specifying dimensions.", errors.Rejected, None),
    (f"'$.dimensions' is invalid. {REFERENCE}", errors.Rejected, None),
    ("Invalid value for 'dimensions' = 9999. Must be less than or equal to 1536.", errors.Rejected, None),
    (f"'$.encoding_format' is invalid. {REFERENCE}", errors.Rejected, None),
    (f"'$' is invalid. {REFERENCE}", errors.Rejected, None),
    ("Unrecognized request argument supplied: inputs", errors.Rejected, None),
    ("We could not parse the JSON body of your request.", errors.Rejected, None),
]  # fmt: skip


@pytest.mark.parametrize("row", REFUSALS)
def test_a_refusal_says_whether_one_text_or_the_whole_request_is_to_blame(row):
    message, expected, index = row
    error = classify(Answer("openai", 400, {}, json.dumps(wire(message)), safe=False))
    assert type(error) is expected
    assert getattr(error, "index", None) == index


@given(st.integers(300, 599), st.text(max_size=40), st.booleans())
def test_whatever_it_answers_becomes_one_of_our_errors(status, message, safe):
    for body in (json.dumps(wire(message, message, message)), message):
        error = classify(Answer("openai", status, {}, body, safe=safe))
        assert isinstance(error, errors.GristmillError)
        assert str(error)
        assert error.advice
