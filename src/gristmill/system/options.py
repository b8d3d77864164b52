"""What every document is to become, by the settings and the modes. Pure."""

from collections.abc import Mapping
from typing import Final

from gristmill.contract import Origin, ServiceMode
from gristmill.pipeline.chunking import ChunkingOptions
from gristmill.pipeline.document import (
    EmbeddingOptions,
    ParseOptions,
    PipelineOptions,
    StorageOptions,
)
from gristmill.settings import Settings
from gristmill.system.places import endpoint, origin_in

# How often the parser is asked about jobs, and of how many requests one is for that.
POLLS: Final = 4
POLL_SECONDS: Final = {Origin.SIMULATED: 0.1, Origin.REAL: 4.0}


def pipeline_options(settings: Settings, modes: Mapping[str, ServiceMode]) -> PipelineOptions:
    """The options that hold while the services are in these modes."""
    parses_in, embeds_in = modes["llamaparse"], modes["openai"]
    hybrid = ServiceMode.HYBRID
    return PipelineOptions(
        storage=StorageOptions(
            *_place(settings, "supabase", origin_in(modes["supabase"])),
            bucket=settings.supabase_bucket,
        ),
        parse=_parse_options(settings, origin_in(parses_in)),
        chunking=ChunkingOptions(settings.chunk_tokens, settings.chunk_overlap),
        embedding=embedding_options(settings, embeds_in),
        stand_in=_parse_options(settings, Origin.SIMULATED) if parses_in is hybrid else None,
        vectors_may_follow=embeds_in is hybrid,
    )


def embedding_options(settings: Settings, mode: ServiceMode) -> EmbeddingOptions:
    """The embedding space of a mode, and how vectors are bought in it."""
    return EmbeddingOptions(
        *_place(settings, "openai", origin_in(mode)),
        model=settings.embedding_model,
        dimensions=settings.embedding_dimensions,
        batch_inputs=settings.embedding_batch,
        batch_tokens=settings.embedding_batch_tokens,
    )


def poll_seconds(settings: Settings, origin: Origin) -> float:
    """How long to wait between two questions whether parses are done there."""
    if settings.parse_poll_seconds is not None:
        return settings.parse_poll_seconds
    limits = settings.rates_of("llamaparse", is_real=origin is Origin.REAL)
    paces = [POLLS * each.seconds / each.amount for each in limits if each.unit == "requests"]
    return max([POLL_SECONDS[origin], *paces])


def _parse_options(settings: Settings, origin: Origin) -> ParseOptions:
    return ParseOptions(
        *_place(settings, "llamaparse", origin),
        tier=settings.parse_tier,
        tier_version=settings.parse_version,
        max_pages=settings.max_pages,
        languages=tuple(filter(None, settings.parse_languages.split(","))),
    )


def _place(settings: Settings, service: str, origin: Origin) -> tuple[str, Origin]:
    return endpoint(settings, service, origin), origin
