"""Settings of the three vendors: keys, addresses, options, and how fast they may be asked."""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from gristmill.settings import parser
from gristmill.settings.addresses import Address, Key
from gristmill.settings.installation import ANY_CASE, Installation
from gristmill.settings.languages import checked_languages
from gristmill.settings.rates import checked_rate
from gristmill.settings.values import Setting

ADDRESS: Final = "an https:// address (http:// in a private network) without user and query"
KEY: Final = "the key as the vendor shows it"
RATE: Final = "amounts for a second, minute, hour or day, such as 20/minute; or none"


class Vendors(Installation):
    """The second part of `Settings`."""

    openai_api_key: Annotated[
        Key | None,
        Setting("OPENAI_API_KEY", "Key for embeddings.", KEY, "sk-your-key", secret=True),
    ] = None
    openai_base_url: Annotated[
        Address,
        Setting("OPENAI_BASE_URL", "Address for embeddings.", ADDRESS, "https://api.openai.com/v1"),
    ] = "https://api.openai.com/v1"
    embedding_model: Annotated[
        Literal["text-embedding-3-small", "text-embedding-3-large", "text-embedding-ada-002"],
        Setting(
            "GRISTMILL_EMBEDDING_MODEL",
            "Model that turns text into vectors.",
            "text-embedding-3-small, text-embedding-3-large or text-embedding-ada-002",
            "text-embedding-3-large",
        ),
    ] = "text-embedding-3-small"
    embedding_dimensions: Annotated[
        int,
        Field(ge=1, le=3072),
        Setting(
            "GRISTMILL_EMBEDDING_DIMENSIONS",
            "Length of a vector, at most the model's own: 1536, or 3072 with 3-large.",
            "a whole number from 1 to 3072",
            "1536",
        ),
    ] = 1536
    embedding_batch: Annotated[
        int,
        Field(ge=1, le=2048),
        Setting(
            "GRISTMILL_EMBEDDING_BATCH",
            "Most chunks that one request embeds.",
            "a whole number from 1 to 2048",
            "256",
        ),
    ] = 256
    embedding_batch_tokens: Annotated[
        int,
        Field(ge=1000, le=300_000),
        Setting(
            "GRISTMILL_EMBEDDING_BATCH_TOKENS",
            "Most tokens of one request. Fewer: answered sooner, and no big bite out of the limit "
            "per minute that others wait for.",
            "a whole number from 1000 to 300000",
            "30000",
        ),
    ] = 100_000

    rate_openai: Annotated[
        str,
        AfterValidator(checked_rate),
        Setting(
            "GRISTMILL_RATE_OPENAI",
            "How fast embeddings may be asked for. What the vendor's answers say of its limits is "
            "heeded anyhow; of the two, the slower counts.",
            RATE,
            "3000 requests/minute, 1000000 tokens/minute",
        ),
    ] = ""

    llama_cloud_api_key: Annotated[
        Key | None,
        Setting(
            "LLAMA_CLOUD_API_KEY",
            "Key for parsing.",
            KEY,
            "llx-your-key",
            also=("LLAMA_PARSE_API_KEY",),
            secret=True,
        ),
    ] = None
    llama_cloud_base_url: Annotated[
        Address,
        Setting(
            "LLAMA_CLOUD_BASE_URL",
            "Address for parsing. Keys belong to one region.",
            ADDRESS,
            "https://api.cloud.eu.llamaindex.ai",
        ),
    ] = "https://api.cloud.llamaindex.ai"
    parse_tier: Annotated[
        Literal["fast", "cost_effective", "agentic", "agentic_plus"],
        ANY_CASE,
        Setting(
            "GRISTMILL_PARSE_TIER",
            "How thoroughly, and at which price, files are parsed.",
            "fast, cost_effective, agentic or agentic_plus",
            "agentic",
        ),
    ] = "cost_effective"
    parse_version: Annotated[
        parser.Version,
        Setting(
            "GRISTMILL_PARSE_VERSION",
            "Dated version of the tier; else "
            f"{', '.join(map(' '.join, parser.TIER_VERSIONS.items()))}.",
            "a date",
            "2026-09-28",
        ),
    ] = Field(default_factory=lambda valid: parser.TIER_VERSIONS[valid.get("parse_tier", "fast")])
    parse_languages: Annotated[
        str,
        AfterValidator(checked_languages),
        Setting(
            "GRISTMILL_PARSE_LANGUAGES",
            "Languages of scans and of text in images, in LlamaParse's codes.",
            "codes with commas between them, such as de,en,ch_sim; or nothing",
            "de,en",
        ),
    ] = ""
    parse_deadline_seconds: Annotated[
        float,
        Field(ge=1, le=86_400, allow_inf_nan=False),
        Setting(
            "GRISTMILL_PARSE_DEADLINE_SECONDS",
            "Seconds that a parse may take before it is given up; the vendor is told as well, and "
            "knows no more than 7200.",
            "a number from 1 to 86400",
            "3600",
        ),
    ] = 3600.0
    parse_poll_seconds: Annotated[
        Annotated[float, Field(ge=0.05, le=3600, allow_inf_nan=False)] | None,
        Setting(
            "GRISTMILL_PARSE_POLL_SECONDS",
            "Seconds between two questions whether parses are done. Without it 0.1 for the "
            "simulator and 4 for the vendor, more where its rate limit has not four times as many.",
            "a number from 0.05 to 3600",
            "4",
        ),
    ] = None
    max_pages: Annotated[
        int,
        Field(ge=1, le=100_000),
        Setting(
            "GRISTMILL_MAX_PAGES",
            "Most pages of a document.",
            "a whole number from 1 to 100000",
            "2000",
        ),
    ] = 2000

    rate_llamaparse: Annotated[
        str,
        AfterValidator(checked_rate),
        Setting(
            "GRISTMILL_RATE_LLAMAPARSE",
            "How fast parsing may be asked, all its requests together. Without it 20/minute for "
            "the vendor, which is what the free plan allows; a paid plan allows more.",
            RATE,
            "300/minute",
        ),
    ] = ""

    supabase_url: Annotated[
        Address | None,
        Setting(
            "SUPABASE_URL", "Address for file storage.", ADDRESS, "https://project.supabase.co"
        ),
    ] = None
    supabase_service_role_key: Annotated[
        Key | None,
        Setting("SUPABASE_SERVICE_ROLE_KEY", "Key for file storage.", KEY, "your-key", secret=True),
    ] = None
    # What storage itself accepts is wider; these names need no escaping anywhere.
    supabase_bucket: Annotated[
        str,
        Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"),
        Setting(
            "GRISTMILL_SUPABASE_BUCKET",
            "Bucket that keeps the files.",
            "1 to 63 letters, digits, dots, hyphens and underscores",
            "documents",
        ),
    ] = "gristmill"

    rate_supabase: Annotated[
        str,
        AfterValidator(checked_rate),
        Setting(
            "GRISTMILL_RATE_SUPABASE",
            "How fast file storage may be asked. No limit is published.",
            RATE,
            "1000/minute",
        ),
    ] = ""
    rate_burst_seconds: Annotated[
        float,
        Field(ge=0, le=60, allow_inf_nan=False),
        Setting(
            "GRISTMILL_RATE_BURST_SECONDS",
            "Seconds of a rate limit that may be used at once after a rest. 0 spaces calls evenly, "
            "which no vendor takes for too fast.",
            "a number from 0 to 60",
            "10",
        ),
    ] = 0.0
    retry_seconds: Annotated[
        float,
        Field(ge=0, le=600, allow_inf_nan=False),
        Setting(
            "GRISTMILL_RETRY_SECONDS",
            "Seconds that a call to a service may wait in all: to be tried again, and for its turn "
            "in a rate limit. After that its document waits without a slot. With 0 nothing is "
            "tried again at once.",
            "a number from 0 to 600",
            "60",
        ),
    ] = 30.0
    breaker_seconds: Annotated[
        float,
        Field(ge=1, le=3600, allow_inf_nan=False),
        Setting(
            "GRISTMILL_BREAKER_SECONDS",
            "Longest time between two calls to a service that does not serve. The first is after 2 "
            "seconds, and each one that fails doubles it.",
            "a number from 1 to 3600",
            "60",
        ),
    ] = 120.0
