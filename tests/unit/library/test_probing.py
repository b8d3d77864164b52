"""What a key may do is told from one free call, and each reason why it cannot be used by itself."""

import asyncio
import json
import socket
import ssl
from pathlib import Path

import pytest
from scripted_vendor import scripted_vendor
from typer.testing import CliRunner

from gristmill.cli.app import app
from gristmill.cli.probe import check_keys
from gristmill.library.probing import Verdict, probe
from gristmill.settings import load_settings
from gristmill_simulators import environment
from gristmill_simulators.server import SimulatorServer

OPENAI, LLAMA = "sk-probing-not-a-real-key", "llx-probing-not-a-real-key"
SERVICE, ANON = environment.SUPABASE_SERVICE_ROLE_KEY, environment.SUPABASE_ANON_KEY
SMALL = "text-embedding-3-small"
MODELS = {"object": "list", "data": [{"id": "other"}, {"id": SMALL}]}
PROJECT = {"id": "5c1e", "name": "Default", "organization_id": "0a7f"}
BUCKET = {"id": "gristmill", "name": "gristmill", "owner": "", "public": False,
    "file_size_limit": None, "allowed_mime_types": None,
    "created_at": "2026-11-23T09:00:00.000Z", "updated_at": "2026-11-23T09:00:00.000Z",
}  # fmt: skip
NO_BUCKET = {"statusCode": "404", "error": "Bucket not found", "message": "Bucket not found",
    "code": "NoSuchBucket",
}  # fmt: skip
SELF_SIGNED = Path(__file__).parents[2] / "support" / "self_signed.pem"
STAMP = {"x-simulated": "gristmill/0"}


def said(message, code=None):
    return {"error": {"message": message, "type": None, "param": None, "code": code}}


def denied(message, code="AccessDenied"):
    return {"statusCode": "403", "error": "Unauthorized", "message": message, "code": code}


def variables(service, url, key):
    names = {
        "openai": ("OPENAI_BASE_URL", "OPENAI_API_KEY"),
        "llamaparse": ("LLAMA_CLOUD_BASE_URL", "LLAMA_CLOUD_API_KEY"),
        "supabase": ("SUPABASE_URL", "SUPABASE_SERVICE_ROLE_KEY"),
    }
    return dict(zip(names[service], (url, key), strict=True))


@pytest.fixture
async def vendor():
    async with scripted_vendor() as vendor:
        yield vendor


@pytest.fixture
def tried(vendor, tmp_path):
    """The check of one service's key at the scripted vendor, or at `url`."""

    async def check(service, key, url="", **options):
        settings = load_settings(variables(service, url or vendor.url, key), tmp_path)
        (found,) = [each for each in await probe(settings, **options) if each.service == service]
        assert key not in repr(found)
        assert found.says.endswith(".")
        return found

    return check


MISSING = (
    "You have insufficient permissions for this operation. Missing scopes: {}. Check that you have"
    " the correct role in your organization"
)
OPENAI_ANSWERS = [
    (200, MODELS, Verdict.WORKS, SMALL),
    (200, {"data": [{"id": "text-embedding-3-large"}]}, Verdict.NOT_ALLOWED, "3-large"),
    (401, said(f"Incorrect API key provided: {OPENAI}", "invalid_api_key"), Verdict.WRONG_KEY, ""),
    (403, said(MISSING.format("api.model.read"), "missing_scope"), Verdict.NOT_ALLOWED, "may embed"),
    (403, said(MISSING.format("model.request"), "missing_scope"), Verdict.NOT_ALLOWED, "rights"),
    (429, said("Slower", "rate_limit_exceeded"), Verdict.TOO_FAST, "in a minute"),
    (429, said("No credit", "insufficient_quota"), Verdict.NO_CREDIT, "billing"),
    (503, said("Overloaded", "server_is_overloaded"), Verdict.DOWN, "status page"),
    (500, b"<html>", Verdict.DOWN, ""),
    (404, b"<html>", Verdict.SOMETHING_ELSE, "OPENAI_BASE_URL"),
    (200, b"<html>Welcome</html>", Verdict.SOMETHING_ELSE, ""),
]  # fmt: skip


@pytest.mark.parametrize("row", OPENAI_ANSWERS, ids=lambda row: f"{row[0]} {row[2]}")
async def test_each_answer_of_openai_has_a_verdict_and_is_asked_for_once(tried, vendor, row):
    status, body, verdict, words = row
    vendor.says(status, body)
    check = await tried("openai", OPENAI)
    assert check.verdict is verdict
    assert words in f"{check.says} {check.advice}"
    assert "by itself" not in check.advice
    assert check.works is (verdict is Verdict.WORKS)
    assert [(each.method, each.target) for each in vendor.requests] == [("GET", "/models")]


async def test_silence_a_closed_port_and_a_broken_line_are_told_apart(tried, vendor, unused_port):
    vendor.does(vendor.stay_silent)
    check = await tried("openai", OPENAI, seconds=0.05)
    assert (check.verdict, check.says) == (Verdict.NO_ANSWER, "No answer within 0.05 s.")
    check = await tried("openai", OPENAI, f"http://127.0.0.1:{unused_port}")
    assert check.verdict is Verdict.NOT_REACHED
    assert "refused" in check.says
    vendor.script[:] = [vendor.vanish]
    assert (await tried("openai", OPENAI)).verdict is Verdict.NOT_REACHED


@pytest.fixture
def unused_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        yield free.getsockname()[1]


async def test_an_untrusted_certificate_is_not_taken_for_an_outage(tried):
    secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    secure.load_cert_chain(SELF_SIGNED)
    server = await asyncio.start_server(lambda _, w: w.close(), "127.0.0.1", 0, ssl=secure)
    port = server.sockets[0].getsockname()[1]
    check = await tried("openai", OPENAI, f"https://127.0.0.1:{port}")
    server.close()
    assert check.verdict is Verdict.NOT_SECURE
    assert f"signed certificate at 127.0.0.1:{port}" in check.says
    assert "clock" in check.advice


async def test_what_does_not_speak_tls_is_no_outage_either(tried, vendor):
    async def plain(_reader, writer):
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    vendor.accept = plain
    check = await tried("openai", OPENAI, vendor.url.replace("http:", "https:"))
    assert check.verdict is Verdict.NOT_SECURE


@pytest.mark.parametrize("status", [200, 401, 503])
async def test_a_simulator_at_a_real_address_is_told_whatever_it_answers(tried, vendor, status):
    vendor.says(status, MODELS if status == 200 else said("no"), STAMP)
    check = await tried("openai", OPENAI)
    assert check.verdict is Verdict.SIMULATOR
    assert "OPENAI_BASE_URL" in check.advice


async def test_a_key_of_llamacloud_is_told_with_its_project_and_region(tried, vendor):
    vendor.says(200, [PROJECT])
    check = await tried("llamaparse", LLAMA, regions={"Here": vendor.url})
    assert check.verdict is Verdict.WORKS
    assert (
        check.says == "Opens the project 'Default' (5c1e) of organization 0a7f in the region Here."
    )
    assert [each.target for each in vendor.requests] == ["/api/v1/projects"]


async def test_a_key_of_the_other_region_is_no_wrong_key(tried, vendor):
    vendor.says(401, {"detail": "Invalid API Key"})
    async with scripted_vendor() as other:
        regions = {"Here": vendor.url, "There": other.url}
        other.says(200, [PROJECT])
        check = await tried("llamaparse", LLAMA, regions=regions)
        assert check.verdict is Verdict.WRONG_REGION
        assert check.advice == f"Set LLAMA_CLOUD_BASE_URL={other.url}."
        other.script[:] = []
        other.says(401, {"detail": "Invalid API Key"})
        assert (await tried("llamaparse", LLAMA, regions=regions)).verdict is Verdict.WRONG_KEY


async def test_a_key_for_an_address_of_ones_own_goes_to_no_region_of_the_vendor(tried, vendor):
    vendor.says(401, {"detail": "Invalid API Key"})
    async with scripted_vendor() as other:
        check = await tried("llamaparse", LLAMA, regions={"There": other.url})
        assert check.verdict is Verdict.WRONG_KEY
        assert other.requests == []


STORAGE_ANSWERS = [
    (SERVICE, 200, BUCKET, Verdict.WORKS, "is there, and private"),
    (SERVICE, 200, {**BUCKET, "public": True}, Verdict.WORKS, "everybody can read"),
    (SERVICE, 400, NO_BUCKET, Verdict.WORKS, "the first file makes it"),
    ("sb_secret_of-a-gateway", 200, BUCKET, Verdict.WORKS, "Acts as service_role"),
    (ANON, 400, NO_BUCKET, Verdict.NOT_ALLOWED, "Acts as anon"),
    (ANON, 200, BUCKET, Verdict.NOT_ALLOWED, "service key"),
    ("sb_publishable_everybodys", 200, BUCKET, Verdict.NOT_ALLOWED, "Acts as anon"),
    (environment.supabase_key("authenticated"), 200, BUCKET, Verdict.LIMITED, "policies"),
    (environment.supabase_key("authenticated"), 400, NO_BUCKET, Verdict.LIMITED, "hidden"),
    (SERVICE, 400, denied("signature verification failed"), Verdict.WRONG_KEY, "another project"),
    (SERVICE, 400, denied('"exp" claim timestamp check failed'), Verdict.WRONG_KEY, "has expired"),
    (SERVICE, 400, denied("no", "TenantNotFound"), Verdict.SOMETHING_ELSE, "no such project"),
    (
        SERVICE,
        544,
        {**NO_BUCKET, "statusCode": "544", "code": "DatabaseTimeout"},
        Verdict.DOWN,
        "DatabaseTimeout",
    ),
    (SERVICE, 404, b"<html>Not found</html>", Verdict.SOMETHING_ELSE, "SUPABASE_URL"),
]


@pytest.mark.parametrize("row", STORAGE_ANSWERS, ids=lambda row: f"{row[1]} {row[3]} {row[4]}")
async def test_a_key_of_supabase_is_told_with_its_role_and_the_bucket(tried, vendor, row):
    key, status, body, verdict, words = row
    vendor.says(status, body)
    check = await tried("supabase", key)
    assert check.verdict is verdict
    assert words in f"{check.says} {check.advice}"
    assert [each.target for each in vendor.requests] == ["/storage/v1/bucket/gristmill"]


async def test_a_key_without_an_address_is_not_tried(tmp_path):
    settings = load_settings({"SUPABASE_SERVICE_ROLE_KEY": SERVICE}, tmp_path)
    checks = {each.service: each for each in await probe(settings)}
    assert {each.verdict for each in checks.values()} == {Verdict.NO_KEY}
    assert checks["supabase"].advice == "Set SUPABASE_URL."


async def test_only_what_the_modes_need_decides_and_the_keys_of_mock_services_are_tried_too(
    vendor, tmp_path, monkeypatch, capsys
):
    answers = {
        "/models": (401, said(f"Incorrect API key provided: {OPENAI}", "invalid_api_key")),
        "/storage/v1/bucket/gristmill": (200, BUCKET),
    }

    async def answer(request, _reader, writer):
        status, body = answers[request.target]
        text = json.dumps(body).encode()
        head = f"HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {len(text)}\r\n\r\n"
        writer.write(head.encode() + text)
        await writer.drain()

    vendor.does(answer)
    given = variables("openai", vendor.url, OPENAI) | variables("supabase", vendor.url, SERVICE)
    given |= {"GRISTMILL_MODE_SUPABASE": "real", "GRISTMILL_HOME": str(tmp_path / "home")}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    assert await check_keys(as_json=True) == 0
    keys = {each["service"]: each for each in json.loads(capsys.readouterr().out)["keys"]}
    shown = {name: (each["verdict"], each["needed"], each["works"]) for name, each in keys.items()}
    assert shown == {
        "openai": ("wrong key", False, False),
        "llamaparse": ("no key", False, False),
        "supabase": ("works", True, True),
    }
    answers["/storage/v1/bucket/gristmill"] = (400, denied("signature verification failed"))
    assert await check_keys(as_json=False) == 1
    printed = capsys.readouterr().out
    assert "wrong key" in printed
    assert "The key belongs to another project" in printed
    assert not any(key in printed for key in (OPENAI, SERVICE))
    assert not (tmp_path / "home").exists(), "no database is needed"


def test_the_command_line_tells_a_simulator_from_a_vendor(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRISTMILL_MODE_SUPABASE", "real")
    with SimulatorServer(tmp_path / "simulator") as server:
        for name, value in environment.environment(server.base_url).items():
            monkeypatch.setenv(name, value)
        result = CliRunner().invoke(app, ["config", "check", "--probe"])
    assert result.exit_code == 1
    assert result.output.count("A simulator answers at this address") == 3


def test_wrong_settings_are_told_before_any_key_is_tried(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GRISTMILL_MODE", "real")
    result = CliRunner().invoke(app, ["config", "check", "--probe", "--json"])
    assert result.exit_code == 1
    assert len(json.loads(result.output)["problems"]) == 4
