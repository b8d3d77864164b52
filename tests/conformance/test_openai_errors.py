"""What OpenAI refuses, with which status, type, code and words."""

import base64
import json

import httpx
import openai as sdk
import pytest
from openai import AsyncOpenAI

from gristmill_simulators import environment

SMALL = "text-embedding-3-small"
EMBEDDINGS = "/openai/v1/embeddings"
HEADERS = {"authorization": f"Bearer {environment.OPENAI_API_KEY}"}
API_REFERENCE = (
    "is invalid. Please check the API reference: https://platform.openai.com/docs/api-reference."
)


async def refused(openai: AsyncOpenAI, **given) -> sdk.BadRequestError:
    with pytest.raises(sdk.BadRequestError) as error:
        await openai.embeddings.create(**{"model": SMALL, **given})
    assert error.value.type == "invalid_request_error"
    assert error.value.code is error.value.param is None
    assert error.value.request_id
    return error.value


@pytest.mark.parametrize(
    ("given", "where"), [("", "input"), (["a", ""], "input[1]"), (["", "b", ""], "input[0]")]
)
async def test_an_empty_text_fails_the_whole_request_and_is_named(openai, given, where):
    error = await refused(openai, input=given)
    assert error.body["message"] == f"Invalid '{where}': input cannot be an empty string."


async def test_an_empty_array_is_refused(openai: AsyncOpenAI):
    error = await refused(openai, input=[])
    assert error.body["message"] == "Invalid 'input': input cannot be an empty array."


@pytest.mark.parametrize("given", [["a"] * 2049, [1] * 2049])
async def test_more_than_2048_inputs_or_tokens_in_one_array_are_refused(openai, given):
    error = await refused(openai, input=given)
    assert error.body["message"] == "Invalid 'input': array length must be 2048 or less."


@pytest.mark.parametrize(
    ("given", "index"), [("a " * 8193, 0), (["a", "a " * 8193], 1), ([[264] * 8193], 0)]
)
async def test_an_input_above_8192_tokens_is_named(openai, given, index):
    error = await refused(openai, input=given)
    assert (
        error.body["message"] == f"Invalid 'input[{index}]': maximum input length is 8192 tokens."
    )


async def test_the_sum_of_tokens_is_limited_with_its_own_code(openai: AsyncOpenAI):
    with pytest.raises(sdk.BadRequestError) as error:
        await openai.embeddings.create(model=SMALL, input=[[264] * 8000] * 38)
    assert error.value.code == error.value.type == "max_tokens_per_request"
    assert error.value.body["message"] == "Requested 304000 tokens, max 300000 tokens per request"


@pytest.mark.parametrize("given", [["a", 1], {}, [["a"]], 7])
async def test_an_input_of_another_shape_is_refused(openai, given):
    error = await refused(openai, input=given)
    assert error.body["message"] == f"'$.input' {API_REFERENCE}"


@pytest.mark.parametrize("given", [[[]], [True], [-1], [100_277], [[264], "a"], None])
async def test_tokens_must_be_there_and_in_the_vocabulary(openai, control, given):
    del control  # no recording shows them
    error = await refused(openai, input=given)
    assert error.body["message"] == f"'$.input' {API_REFERENCE}"


@pytest.mark.parametrize(
    ("field", "value"), [("dimensions", 0), ("dimensions", "8"), ("encoding_format", "hex")]
)
async def test_a_field_of_another_type_or_value_is_refused(openai, control, field, value):
    del control  # no recording shows them
    error = await refused(openai, input="a", **{field: value})
    assert error.body["message"] == f"'$.{field}' {API_REFERENCE}"


async def test_more_dimensions_than_the_model_has_are_refused(openai: AsyncOpenAI):
    error = await refused(openai, input="a", dimensions=1537)
    assert error.message.endswith("Must be less than or equal to 1536.")


async def test_ada_knows_no_dimensions(openai: AsyncOpenAI):
    error = await refused(openai, input="a", dimensions=8, model="text-embedding-ada-002")
    assert error.body["message"] == "This model does not support specifying dimensions."


async def test_a_model_must_be_named(openai: AsyncOpenAI):
    error = await refused(openai, input="a", model="")
    assert error.body["message"] == "you must provide a model parameter"


async def test_an_unknown_model_is_not_found_and_shows_no_limits(openai: AsyncOpenAI):
    with pytest.raises(sdk.NotFoundError) as error:
        await openai.embeddings.create(model="text-embedding-9", input="a")
    assert error.value.code == "model_not_found"
    assert error.value.type == "invalid_request_error"
    assert error.value.body["message"] == (
        "The model `text-embedding-9` does not exist or you do not have access to it."
    )
    headers = error.value.response.headers
    assert "x-ratelimit-limit-tokens" not in headers
    assert "openai-version" not in headers
    assert "openai-organization" in headers


async def test_errors_are_indented_by_four_spaces_and_name_their_charset(openai: AsyncOpenAI):
    response = (await refused(openai, input="")).response
    assert response.text == json.dumps(response.json(), indent=4) + "\n"
    assert list(response.json()["error"]) == ["message", "type", "param", "code"]
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert response.headers["vary"] == "Origin"
    assert response.headers["content-length"] == str(len(response.content))
    assert "content-encoding" not in response.headers


async def test_a_wrong_key_is_refused_and_masked(openai: AsyncOpenAI):
    stranger = openai.with_options(api_key="sk-wrong-and-of-somebody-else-key")
    with pytest.raises(sdk.AuthenticationError) as error:
        await stranger.embeddings.create(model=SMALL, input="a")
    assert error.value.code == "invalid_api_key"
    assert error.value.body["message"].startswith("Incorrect API key provided: sk-wrong")
    assert "somebody" not in error.value.message
    assert "x-ratelimit-limit-requests" not in error.value.response.headers


async def test_a_request_without_a_key_is_told_so_without_a_code(http: httpx.AsyncClient):
    answer = await http.post(EMBEDDINGS, json={"model": SMALL, "input": "a"})
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] is None
    assert answer.json()["error"]["message"].startswith("You didn't provide an API key")
    assert "openai-organization" not in answer.headers
    assert answer.headers["x-request-id"].startswith("req_")


async def test_the_key_may_come_as_the_password(http: httpx.AsyncClient):
    password = base64.b64encode(f":{environment.OPENAI_API_KEY}".encode()).decode()
    answer = await http.get("/openai/v1/models", headers={"authorization": f"Basic {password}"})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("option", "code"),
    [("organization", "mismatched_organization"), ("project", "mismatched_project")],
)
async def test_a_key_of_another_organization_or_project_is_refused(openai, option, code):
    name = {"organization": "org-ofsomebodyelse", "project": "proj_ofsomebodyelse"}[option]
    stranger = openai.with_options(**{option: name})
    with pytest.raises(sdk.AuthenticationError) as error:
        await stranger.models.list()
    assert error.value.code == code
    assert "header should match" in error.value.message


async def test_the_own_organization_and_project_may_be_named(openai: AsyncOpenAI, control):
    del control  # some accounts have another name in this header
    answer = await openai.embeddings.with_raw_response.create(model=SMALL, input="a")
    names = {"organization": "openai-organization", "project": "openai-project"}
    own = openai.with_options(**{key: answer.headers[name] for key, name in names.items()})
    assert (await own.embeddings.create(model=SMALL, input="a")).data


async def test_a_project_may_have_several_keys_and_a_deleted_one_is_refused(
    openai: AsyncOpenAI, control
):
    new = openai.with_options(api_key="sk-new")
    await control.post("/settings", json={"openai": {"api_keys": [openai.api_key, "sk-new"]}})
    assert (await openai.models.list()).data
    assert (await new.models.list()).data
    await control.post("/settings", json={"openai": {"api_keys": ["sk-new"]}})
    with pytest.raises(sdk.AuthenticationError, match="Incorrect API key"):
        await openai.models.list()
    assert (await new.models.list()).data


@pytest.mark.parametrize("status", [401, 403])
async def test_an_administration_key_embeds_nothing(openai: AsyncOpenAI, control, status):
    await control.post("/settings", json={"openai": {"missing_scope_status": status}})
    admin = openai.with_options(api_key=environment.OPENAI_ADMIN_KEY)
    with pytest.raises(sdk.APIStatusError) as error:
        await admin.embeddings.create(model=SMALL, input="a")
    assert error.value.status_code == status
    assert "Missing scopes: model.request" in error.value.message


@pytest.mark.parametrize("given", ["x" * 513, "sömething"])
async def test_a_clients_own_request_id_is_short_and_ascii(http: httpx.AsyncClient, given):
    headers = [(b"x-client-request-id", given.encode()), (b"authorization", b"Bearer ")]
    headers[1] = (b"authorization", HEADERS["authorization"].encode())
    answer = await http.post(EMBEDDINGS, json={"model": SMALL, "input": "a"}, headers=headers)
    assert answer.status_code == 400
    assert "X-Client-Request-Id" in answer.json()["error"]["message"]


async def test_a_clients_own_request_id_is_logged(openai: AsyncOpenAI, control):
    await openai.embeddings.create(
        model=SMALL, input="a", extra_headers={"X-Client-Request-Id": "my own 17"}
    )
    calls = (await control.get("/calls", params={"vendor": "openai"})).json()["calls"]
    assert calls[-1]["units"]["client_request_id"] == "my own 17"


@pytest.mark.parametrize("body", [b"", b"{", b'{"model": NaN}', b"input=a"])
async def test_a_body_that_is_no_json_is_told_so(http: httpx.AsyncClient, body):
    headers = HEADERS | {"content-type": "application/json"}
    answer = await http.post(EMBEDDINGS, content=body, headers=headers)
    assert answer.status_code == 400
    message = "We could not parse the JSON body of your request."
    assert answer.json()["error"]["message"].startswith(message)


async def test_a_body_that_is_no_object_is_refused(http: httpx.AsyncClient):
    answer = await http.post(EMBEDDINGS, json=["a"], headers=HEADERS)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")


async def test_a_body_of_another_content_type_is_refused(http: httpx.AsyncClient):
    answer = await http.post(EMBEDDINGS, data={"model": SMALL}, headers=HEADERS)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "unsupported_content_type"
    assert "'application/x-www-form-urlencoded'" in answer.json()["error"]["message"]


async def test_an_unknown_address_is_not_found_with_or_without_a_key(http: httpx.AsyncClient):
    for headers in ({}, HEADERS):
        answer = await http.get("/openai/v1/nothing", headers=headers)
        assert answer.status_code == 404
        assert answer.json()["error"]["message"] == "Invalid URL (GET /v1/nothing)"
        assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(("method", "path"), [("GET", "embeddings"), ("PUT", "files/file-1")])
async def test_a_known_address_with_another_method_is_not_allowed(http, method, path):
    answer = await http.request(method, f"/openai/v1/{path}", headers=HEADERS)
    assert answer.status_code == 405
    message = f"Invalid method for URL ({method} /v1/{path})"
    assert answer.json()["error"]["message"] == message


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("invalid_api_key", 401, "invalid_request_error"),
        ("ip_not_authorized", 401, "invalid_request_error"),
        ("no_organization", 401, "invalid_request_error"),
        ("unsupported_country_region_territory", 403, "request_forbidden"),
        ("model_not_found", 404, "invalid_request_error"),
        ("max_tokens_per_request", 400, "max_tokens_per_request"),
        ("rate_limit_exceeded", 429, "requests"),
        ("slow_down", 429, "rate_limit_error"),
        ("insufficient_quota", 429, "insufficient_quota"),
        ("credit_balance_exhausted", 429, "insufficient_quota"),
        ("organization_spend_limit_exceeded", 429, "insufficient_quota"),
        ("project_spend_limit_exceeded", 429, "insufficient_quota"),
        ("organization_usage_limit_exceeded", 429, "insufficient_quota"),
        ("billing_hard_limit_reached", 400, "invalid_request_error"),
        ("billing_not_active", 429, "billing_not_active"),
        ("server_is_overloaded", 503, "service_unavailable_error"),
    ],
)
async def test_every_code_of_the_vendor_can_be_asked_for(openai, control, code, status, kind):
    fault = {"route": "openai.embeddings.create", "kind": "status", "code": code}
    await control.post("/faults", json=fault)
    with pytest.raises(sdk.APIStatusError) as error:
        await openai.embeddings.create(model=SMALL, input="a")
    assert (error.value.status_code, error.value.type, error.value.code) == (status, kind, code)
    assert error.value.message
    assert error.value.request_id


@pytest.mark.parametrize(
    ("status", "code"), [(429, "rate_limit_exceeded"), (500, None), (503, "server_is_overloaded")]
)
async def test_a_status_alone_has_the_code_it_mostly_has(openai, control, status, code):
    fault = {"route": "openai.models.list", "kind": "status", "status": status}
    await control.post("/faults", json=fault)
    with pytest.raises(sdk.APIStatusError) as error:
        await openai.models.list()
    assert (error.value.status_code, error.value.code) == (status, code)


async def test_a_gateways_error_is_html_without_an_error_object(openai, control):
    fault = {"route": "openai.models.list", "kind": "status", "status": 502}
    await control.post("/faults", json=fault)
    with pytest.raises(sdk.InternalServerError) as error:
        await openai.models.list()
    assert error.value.response.headers["content-type"].startswith("text/html")
    assert error.value.code is error.value.type is None
