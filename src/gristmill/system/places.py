"""The services, and the names of the places where they are asked. Pure."""

from typing import Final
from urllib.parse import urlsplit

from gristmill.contract import Origin, ServiceMode
from gristmill.settings import Settings

SERVICES: Final = ("openai", "llamaparse", "supabase")
PAID: Final = ("openai", "llamaparse")  # storage is billed by the month, not by the call
SIMULATOR: Final = "simulator"  # the endpoint's name, whatever port it listens on today


def origin_in(mode: ServiceMode) -> Origin:
    """What answers in a mode, unless something stands in for it."""
    return Origin.SIMULATED if mode is ServiceMode.MOCK else Origin.REAL


def endpoint(settings: Settings, service: str, origin: Origin) -> str:
    """The name that jobs, objects, spaces and calls are recorded under."""
    if origin is Origin.SIMULATED:
        return SIMULATOR
    urls = {
        "openai": settings.openai_base_url,
        "llamaparse": settings.llama_cloud_base_url,
        "supabase": settings.supabase_url,
    }
    return urlsplit(urls[service] or "").netloc
