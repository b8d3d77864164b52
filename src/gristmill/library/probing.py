"""Tries keys at the vendors, each with one call that costs nothing, and says what each may do.

At the addresses of the settings, whatever the modes are: no database is needed, nor a simulator.
Nothing is tried twice, no limit is minded and nothing is written down.

OpenAI lists the models that the key may use, LlamaCloud the projects that it opens, and Supabase
shows the bucket; the role that its key acts as stands in the key. What no free call shows: credit,
limits, and what a storage's policies let another role do.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr

from gristmill.contract import Operation, ServiceMode
from gristmill.errors import (
    GristmillError,
    InvalidResponse,
    Misconfigured,
    OutcomeUnknown,
    QuotaExhausted,
    Rejected,
    ServiceError,
    Throttled,
    Unauthorized,
    Unavailable,
)
from gristmill.health.findings import is_forbidden
from gristmill.services import failures
from gristmill.services.adapter import PROBE_SECONDS, Adapter, Endpoint
from gristmill.services.http import create_client
from gristmill.services.llamaparse import ListProjects, LlamaParse, Project
from gristmill.services.llamaparse.errors import REGIONS
from gristmill.services.openai import ListModels, OpenAI
from gristmill.services.supabase import Bucket, GetBucket, Supabase
from gristmill.services.supabase.errors import NO_BUCKET, NO_TENANT, role_of
from gristmill.settings import Settings
from gristmill.settings.rules import NATIVE_DIMENSIONS

SERVICE_ROLE: Final = "service_role"
PUBLIC_ROLE: Final = "anon"

_FIELDS: Final = {
    "openai": ("openai_base_url", "openai_api_key"),
    "llamaparse": ("llama_cloud_base_url", "llama_cloud_api_key"),
    "supabase": ("supabase_url", "supabase_service_role_key"),
}
_SCOPES: Final = re.compile(r"Missing scopes: ([\w.]*\w)\.? ")
_LISTING: Final = "api.model.read"  # what listing models needs, and embedding does not


class Verdict(StrEnum):
    """What a key is good for, or why it cannot be told."""

    WORKS = "works"
    LIMITED = "limited"  # it works as far as the vendor's owner lets its role
    NO_KEY = "no key"
    WRONG_KEY = "wrong key"
    WRONG_REGION = "wrong region"
    NOT_ALLOWED = "not allowed"
    NO_CREDIT = "no credit"
    TOO_FAST = "too fast"
    DOWN = "down"  # it answers that it cannot serve
    NO_ANSWER = "no answer"
    NOT_REACHED = "not reached"
    NOT_SECURE = "not secure"
    SIMULATOR = "simulator"
    SOMETHING_ELSE = "something else"  # what answers is not this vendor's service


@dataclass(frozen=True, slots=True)
class KeyCheck:
    """What one key may do at `address`, or why it cannot be used there, and what to do.

    `needed` says that the mode of the settings uses it. No field holds the key.
    """

    service: str
    address: str
    mode: ServiceMode
    verdict: Verdict
    says: str
    advice: str = ""

    @property
    def needed(self) -> bool:
        return self.mode is not ServiceMode.MOCK

    @property
    def works(self) -> bool:
        return self.verdict in {Verdict.WORKS, Verdict.LIMITED}


async def probe(
    settings: Settings,
    *,
    regions: Mapping[str, str] = REGIONS,
    seconds: float = PROBE_SECONDS,
) -> tuple[KeyCheck, ...]:
    """Tries the key of each service, all at once; each answers within `seconds`, or does not."""
    prober = _Prober(settings, regions, seconds)
    return tuple(await asyncio.gather(*(prober.check(service) for service in _FIELDS)))


class _Silent(Unavailable):
    """Nothing was answered in time."""


class _Finding(NamedTuple):
    verdict: Verdict
    says: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class _Heard:
    """What came back: a value or an error; and whether a simulator has said so."""

    value: Any = None
    error: GristmillError | None = None
    is_simulated: bool = False


class _Prober:
    def __init__(self, settings: Settings, regions: Mapping[str, str], seconds: float) -> None:
        self._settings = settings
        self._regions = regions
        self._seconds = seconds
        self._tries: Mapping[str, Callable[[Endpoint], Awaitable[_Finding]]] = {
            "openai": self._openai,
            "llamaparse": self._llamaparse,
            "supabase": self._supabase,
        }

    async def check(self, service: str) -> KeyCheck:
        endpoint = _endpoint(self._settings, service)
        finding = _unset(endpoint) or await self._tries[service](endpoint)
        says, advice = (failures.masked(text, endpoint.key) for text in finding[1:])
        mode = self._settings.mode_of(service)
        return KeyCheck(service, endpoint.base_url, mode, finding.verdict, says, advice)

    async def _openai(self, endpoint: Endpoint) -> _Finding:
        heard = await self._heard(OpenAI, endpoint, ListModels())
        return _trouble(endpoint, heard) or _models(heard.value, self._settings.embedding_model)

    async def _llamaparse(self, endpoint: Endpoint) -> _Finding:
        heard = await self._heard(LlamaParse, endpoint, ListProjects())
        found = _trouble(endpoint, heard)
        if found is None:
            return _projects(heard.value, _region_of(endpoint.base_url, self._regions))
        if found.verdict is Verdict.WRONG_KEY:
            return await self._of_another_region(endpoint) or found
        return found

    async def _of_another_region(self, endpoint: Endpoint) -> _Finding | None:
        """The answer for a key of the other region is that for a wrong one, so that one is asked.

        Only if this is one of the vendor's own: nobody else's key goes there.
        """
        if _region_of(endpoint.base_url, self._regions) is None:
            return None
        for region, url in self._regions.items():
            if _netloc(url) != _netloc(endpoint.base_url):
                there = Endpoint(endpoint.service, url, endpoint.key)
                heard = await self._heard(LlamaParse, there, ListProjects())
                if heard.error is None and not heard.is_simulated:
                    says = f"The key is refused here, and accepted in the region {region}."
                    return _Finding(Verdict.WRONG_REGION, says, f"Set LLAMA_CLOUD_BASE_URL={url}.")
        return None

    async def _supabase(self, endpoint: Endpoint) -> _Finding:
        name = self._settings.supabase_bucket
        heard = await self._heard(Supabase, endpoint, GetBucket(name))
        role = role_of(endpoint.key)
        if isinstance(heard.error, ServiceError) and heard.error.code == NO_BUCKET:
            heard = _Heard(None, None, heard.is_simulated)
        return _trouble(endpoint, heard) or _bucket(name, heard.value, role)

    async def _heard(
        self, kind: type[Adapter[Any]], endpoint: Endpoint, operation: Operation[Any]
    ) -> _Heard:
        stamps: list[bool] = []

        async def look(response: httpx.Response) -> None:
            stamps.append("x-simulated" in response.headers)

        patience = 2 * self._seconds  # whatever it waits for, one time is up first
        async with create_client(connect_timeout=patience, read_timeout=patience) as http:
            http.event_hooks = {"response": [look]}
            adapter = kind(endpoint, http)
            await adapter.prepare()
            try:
                async with asyncio.timeout(self._seconds):
                    value = (await adapter.execute(operation)).value
            except Exception as error:  # noqa: BLE001 — each key is told of, whatever comes back
                return _Heard(None, self._told(error), any(stamps))
        return _Heard(value, None, any(stamps))

    def _told(self, error: Exception) -> GristmillError:
        match error:
            case GristmillError():
                return error
            case TimeoutError():
                advice = "Check the network, and the address in the settings; or try again."
                return _Silent(f"No answer within {self._seconds:g} s.", advice=advice)
            case _:
                return InvalidResponse(f"Cannot ask: {type(error).__name__}.")


def _endpoint(settings: Settings, service: str) -> Endpoint:
    address, key = (getattr(settings, field) for field in _FIELDS[service])
    secret = key.get_secret_value() if isinstance(key, SecretStr) else ""
    return Endpoint(service, address or "", secret)


def _unset(endpoint: Endpoint) -> _Finding | None:
    if not endpoint.key:
        return _Finding(Verdict.NO_KEY, "No key is set.")
    if not endpoint.base_url:
        return _Finding(Verdict.NO_KEY, "A key is set, and no address.", "Set SUPABASE_URL.")
    return None


# What an error shows, the first kind that fits.
_VERDICTS: Final[tuple[tuple[type[GristmillError], Verdict], ...]] = (
    (Unauthorized, Verdict.WRONG_KEY),
    (Throttled, Verdict.TOO_FAST),
    (QuotaExhausted, Verdict.NO_CREDIT),
    (_Silent, Verdict.NO_ANSWER),
    (Unavailable, Verdict.DOWN),
    (OutcomeUnknown, Verdict.DOWN),
    (InvalidResponse, Verdict.SOMETHING_ELSE),
    (Misconfigured, Verdict.SOMETHING_ELSE),  # so do the adapters call a wrong address
    (Rejected, Verdict.SOMETHING_ELSE),  # what is asked is always legal
)


_BY_ITSELF: Final = "by itself"
_TRY_AGAIN: Final[Mapping[Verdict, str]] = {
    Verdict.TOO_FAST: "Try again in a minute.",
    Verdict.DOWN: "Look at the vendor's status page, and try again.",
    Verdict.NOT_REACHED: "Check the network, and the address in the settings.",
}


def _trouble(endpoint: Endpoint, heard: _Heard) -> _Finding | None:
    """Why the key cannot be used; None if it can."""
    if heard.is_simulated:
        advice = f"Set {_variable(endpoint)} to the vendor's address, or the mode to mock."
        says = "A simulator answers at this address: whatever the key, nothing real is behind it."
        return _Finding(Verdict.SIMULATOR, says, advice)
    error = heard.error
    if error is None:
        return None
    verdict = _verdict(error)
    return _Finding(verdict, str(error), _about_scopes(error) or _advice(error, verdict))


def _advice(error: GristmillError, verdict: Verdict) -> str:
    """That of the error, but where it promises another try: here everything is tried once."""
    return _TRY_AGAIN.get(verdict, "") if _BY_ITSELF in error.advice else error.advice


def _verdict(error: GristmillError) -> Verdict:
    if is_forbidden(error):
        return Verdict.NOT_ALLOWED
    code, status = getattr(error, "code", None), getattr(error, "status", None)
    if code == NO_TENANT:
        return Verdict.SOMETHING_ELSE
    found = next((verdict for kind, verdict in _VERDICTS if isinstance(error, kind)), Verdict.DOWN)
    if found is Verdict.DOWN and status is None:
        return Verdict.NOT_SECURE if code == failures.INSECURE else Verdict.NOT_REACHED
    return found


def _about_scopes(error: GristmillError) -> str:
    """A restricted key of OpenAI may embed and yet not list what the free call asks for."""
    found = _SCOPES.search(str(error))
    if found is None or found[1] != _LISTING:
        return ""
    return (
        "The key is accepted, and whether it may embed costs a call to find out. At the vendor, let"
        " it read models as well: Gristmill asks for them to see how the service does."
    )


def _models(models: tuple[str, ...], wanted: str) -> _Finding:
    if wanted in models:
        return _Finding(Verdict.WORKS, f"May use {_count(len(models), 'model')}, {wanted} too.")
    others = sorted(set(models) & set(NATIVE_DIMENSIONS))
    says = f"May use {_count(len(models), 'model')}, but not {wanted}."
    if others:
        says += f" For embeddings: {', '.join(others)}."
    advice = (
        "Let the key's project use this model at the vendor, or choose another one:"
        " GRISTMILL_EMBEDDING_MODEL."
    )
    return _Finding(Verdict.NOT_ALLOWED, says, advice)


def _projects(projects: tuple[Project, ...], region: str | None) -> _Finding:
    place = f" in the region {region}" if region else ""
    if not projects:
        says = f"The key is accepted{place}, and opens no project."
        return _Finding(Verdict.NOT_ALLOWED, says, "Give it a project at the vendor.")
    named = ", ".join(f"{each.name!r} ({each.id})" for each in projects)
    owners = ", ".join(dict.fromkeys(each.organization for each in projects))
    noun = "project" if len(projects) == 1 else "projects"
    return _Finding(Verdict.WORKS, f"Opens the {noun} {named} of organization {owners}{place}.")


def _bucket(name: str, bucket: Bucket | None, role: str | None) -> _Finding:
    """`bucket` is None where the key is shown none of that name."""
    if role == PUBLIC_ROLE:
        says = "Acts as anon, as everybody may: it writes nothing where no policy lets everybody."
        advice = (
            "Set SUPABASE_SERVICE_ROLE_KEY to the service key, from the project's API settings."
        )
        return _Finding(Verdict.NOT_ALLOWED, says, advice)
    is_owner = role == SERVICE_ROLE
    verdict = Verdict.WORKS if is_owner else Verdict.LIMITED
    acts = f"Acts as {role or 'a role that the key does not name'}"
    may = "may do everything in storage" if is_owner else "may do what the storage's policies say"
    says, advice = f"{acts}: {may}.", ""
    if bucket is None and is_owner:
        says += f" The bucket {name!r} is not there yet; the first file makes it, private."
    elif bucket is None:
        says += f" The bucket {name!r} is missing, or hidden from this role."
        advice = "The service key could create the bucket; or create it in the dashboard."
    elif bucket.public:
        says += f" The bucket {name!r} is public: everybody can read the files in it."
        advice = "Make the bucket private, in the dashboard under Storage."
    else:
        says += f" The bucket {name!r} is there, and private."
    return _Finding(verdict, says, advice)


def _region_of(url: str, regions: Mapping[str, str]) -> str | None:
    return next((name for name, known in regions.items() if _netloc(known) == _netloc(url)), None)


def _netloc(url: str) -> str:
    return urlsplit(url).netloc.lower()


def _variable(endpoint: Endpoint) -> str:
    return Settings.words()[_FIELDS[endpoint.service][0]].name


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
