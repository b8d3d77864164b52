"""A hostile environment changes nothing in what is sent, or where."""

import pytest

from gristmill.services.adapter import Endpoint
from gristmill.services.http import create_client

SERVICES = ["openai", "llamaparse", "supabase"]
HOSTILE = {
    "OPENAI_API_KEY": "sk-from-the-environment",
    "OPENAI_ADMIN_KEY": "sk-admin-from-the-environment",
    "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
    "OPENAI_ORG_ID": "org-hostile",
    "OPENAI_PROJECT_ID": "proj-hostile",
    "OPENAI_WEBHOOK_SECRET": "whsec-hostile",
    "OPENAI_CUSTOM_HEADERS": "X-Hostile: yes\nAuthorization: Bearer hostile",
    "LLAMA_CLOUD_API_KEY": "llx-from-the-environment",
    "LLAMA_PARSE_API_KEY": "llx-from-the-environment",
    "LLAMA_CLOUD_BASE_URL": "http://127.0.0.1:9",
    "LLAMA_CLOUD_CUSTOM_HEADERS": "X-Hostile: yes\nAuthorization: Bearer hostile",
    "SUPABASE_URL": "http://127.0.0.1:9",
    "SUPABASE_KEY": "sb_secret_from_the_environment",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "http_proxy": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "ALL_PROXY": "http://127.0.0.1:9",
    "SSL_CERT_FILE": "/nowhere/ca.pem",
    "SSL_CERT_DIR": "/nowhere",
}


@pytest.fixture
def hostile(monkeypatch, tmp_path):
    for name, value in HOSTILE.items():
        monkeypatch.setenv(name, value)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    netrc = tmp_path / ".netrc"
    netrc.write_text("default login hostile password hostile\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))


async def ask(vendor, adapter_of, service):
    vendor.script, vendor.requests = [], []
    vendor.says(200, {"data": [], "items": [], "healthy": True})
    async with create_client() as http:
        adapter = adapter_of(service)
        adapter._http = http
        assert (await adapter.get_health()).status == "healthy"
    (request,) = vendor.requests
    return request


@pytest.mark.parametrize("service", SERVICES)
async def test_the_same_bytes_are_sent_in_a_hostile_environment(
    vendor, adapter_of, service, request
):
    usual = await ask(vendor, adapter_of, service)
    request.getfixturevalue("hostile")
    assert await ask(vendor, adapter_of, service) == usual


@pytest.mark.usefixtures("hostile")
@pytest.mark.parametrize("service", SERVICES)
async def test_nothing_of_the_environment_is_sent(vendor, adapter_of, service):
    sent = await ask(vendor, adapter_of, service)
    assert "hostile" not in str(sent).lower()
    assert "environment" not in str(sent)
    assert "openai-organization" not in sent.headers
    assert "openai-project" not in sent.headers


def test_the_key_never_shows_in_a_representation():
    endpoint = Endpoint("openai", "https://api.openai.com/v1", "sk-test-not-a-real-key")
    assert "sk-test" not in repr(endpoint)
    assert "sk-test" not in str(endpoint)
