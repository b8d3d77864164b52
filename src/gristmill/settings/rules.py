"""What holds between settings: values that do not go together."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from gristmill.contract import ServiceMode
from gristmill.settings.environments import ENVIRONMENTS
from gristmill.settings.prices import CREDIT, LLAMAPARSE, OPENAI, PUBLISHED_HOSTS, host_of
from gristmill.settings.values import Problem

if TYPE_CHECKING:
    from gristmill.settings.model import Settings

NEEDED_BY: Final = {
    "openai": ("openai_api_key",),
    "llamaparse": ("llama_cloud_api_key",),
    "supabase": ("supabase_url", "supabase_service_role_key"),
}
ADDRESSES: Final = {OPENAI: "openai_base_url", LLAMAPARSE: "llama_cloud_base_url"}
# Vectors of these lengths are what the models make; ada-002 cannot shorten its own.
NATIVE_DIMENSIONS: Final = {
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 1536,
}
_SIMULATOR_DOES: Final = {
    ServiceMode.MOCK: ("answer", "answer"),
    ServiceMode.HYBRID: ("stand in for a vendor", "stand in"),
}
FIXED_DIMENSIONS: Final = "text-embedding-ada-002"


def problems(settings: "Settings") -> Iterator[Problem]:
    """Everything that is wrong although each value alone is right."""
    yield from _modes(settings)
    yield from _keys(settings)
    yield from _unpriced(settings)
    yield from _dimensions(settings)
    yield from _chunks(settings)


def _modes(settings: "Settings") -> Iterator[Problem]:
    words = settings.words()
    for field, mode in _modes_in_use(settings).items():
        if refused := refusal(settings, mode):
            wrong, right, example = refused
            yield words[field].problem(wrong, right=right, example=example)


def _modes_in_use(settings: "Settings") -> dict[str, ServiceMode]:
    """By the field that decides it; one that every service overrides decides nothing."""
    own = {service: getattr(settings, f"mode_{service}") for service in NEEDED_BY}
    return {
        "mode" if own[service] is None else f"mode_{service}": settings.mode_of(service)
        for service in NEEDED_BY
    }


def refusal(settings: "Settings", mode: ServiceMode) -> tuple[str, str, str] | None:
    """What is wrong with a mode in this environment, what is right, an example; None if nothing."""
    allowance = ENVIRONMENTS[settings.environment].allowances.get(mode)
    if allowance is None or getattr(settings, allowance):
        return None
    may_not, may = _SIMULATOR_DOES[mode]
    return (
        f"In {settings.environment} a simulator may not {may_not}.",
        f"real, or {settings.words()[allowance].name}=1 beside it to let it {may}",
        "real",
    )


def _keys(settings: "Settings") -> Iterator[Problem]:
    words = settings.words()
    for service, fields in NEEDED_BY.items():
        if (mode := settings.mode_of(service)) is not ServiceMode.MOCK:
            for field in fields:
                if getattr(settings, field) is None:
                    yield words[field].problem(f"It is missing, and {service} is in {mode} mode.")


def _unpriced(settings: "Settings") -> Iterator[Problem]:
    """Paid calls to an address whose prices nobody knows would leave without a bound."""
    paid = {OPENAI: settings.embedding_model, LLAMAPARSE: CREDIT}
    own = settings.prices_file.prices if settings.prices_file else ()
    for service, product in paid.items():
        field, published = ADDRESSES[service], PUBLISHED_HOSTS[service]
        host = host_of(getattr(settings, field))
        priced = {
            price.host for price in own if (price.service, price.product) == (service, product)
        }
        if settings.mode_of(service) is not ServiceMode.MOCK and host not in {*published, *priced}:
            yield settings.words()[field].problem(
                f"Nobody has said what {product} costs at {host}.",
                right=f"{' or '.join(published)}; or a price for it in GRISTMILL_PRICES_FILE",
            )


def _dimensions(settings: "Settings") -> Iterator[Problem]:
    model, asked = settings.embedding_model, settings.embedding_dimensions
    native = NATIVE_DIMENSIONS[model]
    fixed = model == FIXED_DIMENSIONS
    if asked > native or (fixed and asked != native):
        yield settings.words()["embedding_dimensions"].problem(
            f"{model} cannot make vectors of length {asked}.",
            right=f"exactly {native}" if fixed else f"a whole number from 1 to {native}",
        )


def _chunks(settings: "Settings") -> Iterator[Problem]:
    words, tokens = settings.words(), settings.chunk_tokens
    if settings.chunk_overlap >= tokens:
        yield words["chunk_overlap"].problem(
            f"Chunks of {tokens} tokens cannot repeat {settings.chunk_overlap} of them.",
            right=f"a whole number from 0 to {tokens - 1}",
            example=str(tokens // 8),
        )
