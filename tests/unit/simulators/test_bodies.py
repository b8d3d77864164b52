"""Multipart forms that go to disk: the same whatever the network does to the chunks."""

import hashlib

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.requests import Request

from gristmill_simulators.bodies import BodyTooLarge, MalformedForm, TooManyFields, store_form


def request(body: bytes, content_type: str, size: int) -> Request:
    chunks = [body[at : at + size] for at in range(0, len(body), size)] or [b""]

    async def receive():
        body = chunks.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(chunks)}

    headers = [(b"content-type", content_type.encode())]
    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


def encoded(name: str, content: bytes, fields: dict[str, str]) -> tuple[bytes, str]:
    made = httpx.Request("POST", "http://x", data=fields, files={"file": (name, content)})
    return made.read(), made.headers["content-type"]


@given(
    content=st.binary(max_size=3000),
    note=st.text(max_size=50),
    size=st.integers(1, 500),
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_file_arrives_whole_however_it_is_cut(tmp_path, content, note, size):
    body, content_type = encoded("grain.bin", content, {"note": note})
    form = await store_form(request(body, content_type, size), tmp_path, None)
    assert form.file.path.read_bytes() == content
    assert form.file.sha256 == hashlib.sha256(content).hexdigest()
    assert (form.file.size, form.file.filename) == (len(content), "grain.bin")
    assert form.fields == {"note": note}


@pytest.mark.parametrize("name", ["réport.pdf", 'a"b.pdf', "a b;c.pdf", "麦.pdf"])
async def test_the_filename_survives(tmp_path, name):
    form = await store_form(request(*encoded(name, b"x", {}), 99), tmp_path, None)
    assert form.file.filename.replace("%22", '"') == name


@pytest.mark.parametrize("cut", [3, 60, 150, 400])
async def test_a_form_that_ends_early_is_refused_and_leaves_nothing(tmp_path, cut):
    body, content_type = encoded("a.bin", b"x" * 300, {"note": "n"})
    with pytest.raises(MalformedForm):
        await store_form(request(body[:-cut], content_type, 64), tmp_path, None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content_type", ["multipart/form-data", "text/plain", ""])
async def test_a_body_without_a_boundary_is_no_form(tmp_path, content_type):
    with pytest.raises(MalformedForm):
        await store_form(request(b"words", content_type, 64), tmp_path, None)


async def test_a_file_above_the_limit_is_refused_and_leaves_nothing(tmp_path):
    body, content_type = encoded("a.bin", b"x" * 1000, {})
    with pytest.raises(BodyTooLarge):
        await store_form(request(body, content_type, 64), tmp_path, 999)
    assert list(tmp_path.iterdir()) == []


async def test_who_asks_is_told_once_when_the_file_begins_with_the_fields_before_it(tmp_path):
    body, content_type = encoded("a.bin", b"x" * 1000, {"note": "n"})
    told = []

    def begun(fields, filename, kind):
        told.append((dict(fields), filename, kind))

    await store_form(request(body, content_type, 64), tmp_path, None, begun=begun)
    assert told == [({"note": "n"}, "a.bin", "application/octet-stream")]


async def test_a_refusal_at_the_file_s_begin_comes_before_its_size_and_leaves_nothing(tmp_path):
    body, content_type = encoded("a.bin", b"x" * 1000, {})

    def begun(*_told):
        raise PermissionError

    with pytest.raises(PermissionError):  # all of it in one chunk
        await store_form(request(body, content_type, 9999), tmp_path, 999, begun=begun)
    assert list(tmp_path.iterdir()) == []


async def test_fields_are_counted_without_the_file(tmp_path):
    body, content_type = encoded("a.bin", b"x", {"a": "1", "b": "2"})
    form = await store_form(request(body, content_type, 64), tmp_path, None, most_fields=2)
    assert form.fields == {"a": "1", "b": "2"}
    with pytest.raises(TooManyFields):
        await store_form(request(body, content_type, 64), tmp_path, None, most_fields=1)


@pytest.mark.parametrize("size", [1000, 3 * 1024 * 1024])
async def test_a_field_is_cut_at_a_mebibyte_to_the_byte(tmp_path, size):
    body, content_type = encoded("a.bin", b"x", {"note": "n" * (1024 * 1024 + 5)})
    form = await store_form(request(body, content_type, size), tmp_path, None)
    assert form.fields == {"note": "n" * 1024 * 1024}
