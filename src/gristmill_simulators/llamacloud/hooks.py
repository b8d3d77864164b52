"""Where events go: a webhook as a client configures it, per job or saved for the project."""

from ipaddress import ip_address
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit, urlunsplit

from pydantic import AfterValidator, Field, StringConstraints

from gristmill_simulators.llamacloud.errors import invalid_field
from gristmill_simulators.llamacloud.options import Strict, check_url
from gristmill_simulators.loopback import is_localhost

_EVENTS = {
    "batch": "cancelled error pending running success",
    "classify": "cancelled error partial_success pending running success",
    "extract": "cancelled error partial_success pending success",
    "parse": "cancelled error partial_success pending running success",
    "sheets": "cancelled error partial_success pending success",
    "split": "cancelled error pending processing success",
    "verify": "cancelled error pending running success",
}
EVENTS = frozenset(f"{kind}.{end}" for kind, ends in _EVENTS.items() for end in ends.split())

Event = Annotated[str, StringConstraints(pattern=rf"^({'|'.join(sorted(EVENTS))}|unmapped_event)$")]
WebhookUrl = Annotated[
    str, StringConstraints(pattern=r"^https?:", max_length=2000), AfterValidator(check_url)
]
Format = Literal["string", "json"]


class HookRequest(Strict):
    """One element of a job's `webhook_configurations`; every key is optional in the schema."""

    webhook_url: WebhookUrl | None = None
    webhook_events: list[Event] | None = None
    webhook_headers: dict[str, Any] | None = None
    webhook_output_format: Format | None = None
    webhook_signing_secret: str | None = None


class SavedHookUpdate(HookRequest):
    """A change of a saved configuration; one that subscribes to nothing is refused."""

    webhook_events: Annotated[list[Event], Field(min_length=1)] | None = None
    webhook_headers: dict[str, str] | None = None


class SavedHookRequest(SavedHookUpdate):
    """A configuration to be saved for the project."""

    webhook_url: WebhookUrl


def subscribed(hook: dict[str, Any], event: str) -> bool:
    events = hook.get("webhook_events")
    return bool(hook.get("webhook_url")) and (events is None or event in events)


def check_public(url: str | None, loc: list[str | int]) -> None:
    """Raises LlamaCloudError (422) for an address that is not public."""
    if url is not None and is_local(url):
        message = "Value error, webhook_url must be publicly accessible"
        raise invalid_field(loc, message, url)


def is_local(url: str) -> bool:
    """A private, link-local or loopback address as written; names are not looked up."""
    host = urlsplit(url).hostname or ""
    try:
        return not ip_address(host).is_global
    except ValueError:
        return is_localhost(host) or "." not in host


def masked_url(url: str) -> str:
    """The URL without its user and password."""
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url
    return urlunsplit(parts._replace(netloc="****:****@" + parts.netloc.rpartition("@")[2]))
