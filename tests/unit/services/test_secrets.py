"""No key, token or secret path of an address leaves a call: in no log, no error, no traceback."""

import json
import logging
import traceback

import pytest
from tests.unit.services.conftest import ADAPTERS

from gristmill.errors import GristmillError
from gristmill.services.adapter import Endpoint
from gristmill.services.llamaparse import SubmitParse, Webhook
from gristmill.services.supabase import UploadSigned

PATH = "secret-path-of-a-simulator"
KEY = "an0dd5hape_for_a_key"  # a gateway of one's own issues such keys
TOKEN = "eyJhbGciOiJIUzI1NiJ9.c2lnbmVk.dG9rZW4"
HOOK = "odd-webhook-secret"


async def _garbage(_request, _reader, writer):
    writer.write(b"HTTP/1.1 nonsense\r\n\r\n")
    await writer.drain()


async def _breaks_off(_request, _reader, writer):
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{")
    await writer.drain()


def _echo(status):
    """Says the request's headers, as a proxy may that helps to find mistakes."""

    async def answer(request, _reader, writer):
        secret = ("authorization", "apikey")  # first, as an error's words are cut
        named = sorted(request.headers.items(), key=lambda header: header[0] not in secret)
        said = ", ".join(f"{name}: {value}" for name, value in named)
        body = json.dumps({"statusCode": f"{status}", "detail": said, "message": said,
                           "error": {"message": said}})  # fmt: skip
        head = f"HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write((head + body).encode())
        await writer.drain()

    return answer


FAILURES = {
    "wrong key": _echo(401),
    "bad request": _echo(400),
    "server error": _echo(500),
    "no HTTP": _garbage,
    "cut": _breaks_off,
    "redirect": _echo(307),
    "not there": _echo(404),
}


@pytest.fixture
def adapter(vendor, http):
    return lambda name: ADAPTERS[name](Endpoint(name, f"{vendor.url}/{PATH}", KEY), http)


@pytest.fixture(params=[*FAILURES, "vanishes", "silent"])
def failing(request, vendor):
    if request.param == "silent":
        request.getfixturevalue("impatient")
    named = {"vanishes": vendor.vanish, "silent": vendor.stay_silent}
    return vendor.does(FAILURES.get(request.param) or named[request.param])


def _told(error, caplog):
    """All that anybody sees of an error, the variables of every frame in its traceback included."""
    whole = traceback.TracebackException.from_exception(error, capture_locals=True)
    facts = {**vars(error), "kind": error.kind}
    return "\n".join([str(error), repr(error), repr(facts), caplog.text, *whole.format()])


async def _failure(adapter, operation):
    try:
        await adapter.execute(operation)
    except GristmillError as error:
        return error
    raise AssertionError("it did not fail")


@pytest.mark.parametrize("name", ADAPTERS)
async def test_neither_key_nor_secret_path_is_told_when_a_call_fails(
    name, adapter, failing, caplog
):
    caplog.set_level(logging.DEBUG)
    service = adapter(name)
    told = _told(await _failure(service, service._probe()), caplog)
    assert failing.requests
    assert KEY not in told
    assert PATH not in told
    health = repr(await service.get_health())
    assert KEY not in health
    assert PATH not in health


@pytest.mark.parametrize("name", ADAPTERS)
async def test_a_key_in_the_vendors_own_words_is_masked_whatever_it_looks_like(
    name, adapter, vendor
):
    vendor.does(_echo(401))
    service = adapter(name)
    assert "***" in str(await _failure(service, service._probe()))


async def test_no_signature_is_told_when_a_signed_upload_fails(adapter, failing, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    path = tmp_path / "a.txt"
    path.write_bytes(b"x")
    operation = UploadSigned("b", "k", TOKEN, path, "text/plain")
    told = _told(await _failure(adapter("supabase"), operation), caplog)
    assert failing.requests
    for secret in (TOKEN, KEY, PATH):
        assert secret not in told


async def test_no_webhooks_secret_is_told_when_a_submit_fails(adapter, failing, caplog):
    caplog.set_level(logging.DEBUG)
    operation = SubmitParse(
        "f", tag="t", tier="fast", version="2026-06-15", max_pages=1,
        webhook=Webhook("https://example.org/hook", HOOK),
    )  # fmt: skip
    told = _told(await _failure(adapter("llamaparse"), operation), caplog)
    assert HOOK.encode() in failing.requests[0].body
    for secret in (HOOK, KEY, PATH):
        assert secret not in told
