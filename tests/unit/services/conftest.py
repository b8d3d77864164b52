"""A vendor that says what a test tells it to, over a real socket."""

import httpx
import pytest
from scripted_vendor import scripted_vendor

from gristmill.services.adapter import Endpoint
from gristmill.services.http import create_client
from gristmill.services.llamaparse import LlamaParse
from gristmill.services.openai import OpenAI
from gristmill.services.supabase import Supabase

ADAPTERS = {"openai": OpenAI, "llamaparse": LlamaParse, "supabase": Supabase}
KEYS = {
    "openai": "sk-test-not-a-real-key",
    "llamaparse": "llx-test-not-a-real-key",
    "supabase": "sb_secret_test_not_a_real_key",
}


@pytest.fixture
async def vendor():
    async with scripted_vendor() as vendor:
        yield vendor


@pytest.fixture
async def http():
    async with create_client(read_timeout=10.0, connect_timeout=10.0) as client:
        yield client


@pytest.fixture
def impatient(http):
    """The client waits for an answer for a moment only; for all else as long as a busy machine."""
    http.timeout = httpx.Timeout(10.0, read=0.05)


@pytest.fixture
def adapter_of(vendor, http):
    """Builds the adapter of a service over the scripted vendor."""

    def build(service, **arguments):
        endpoint = Endpoint(service, arguments.pop("base_url", vendor.url), KEYS[service])
        return ADAPTERS[service](endpoint, http, **arguments)

    return build


@pytest.fixture
def openai(adapter_of):
    return adapter_of("openai")


@pytest.fixture
def llamaparse(adapter_of):
    return adapter_of("llamaparse")


@pytest.fixture
def supabase(adapter_of):
    return adapter_of("supabase")
