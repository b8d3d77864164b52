"""The settings, one by one, with their defaults and the words for them."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationInfo,
    model_validator,
)

from gristmill.contract import ServiceMode
from gristmill.settings import parser, rules
from gristmill.settings.addresses import (
    Address,
    DatabaseUrl,
    Key,
    LoopbackAddress,
    mask_database_url,
)
from gristmill.settings.budget import checked_budget
from gristmill.settings.environments import DEFAULT, EnvironmentName
from gristmill.settings.languages import checked_languages
from gristmill.settings.prices import PriceFile, read_prices
from gristmill.settings.rates import RateLimitSetting, checked_rate, rates_of
from gristmill.settings.values import (
    InvalidSettings,
    Reading,
    Setting,
    SettingRow,
    Source,
    as_text,
)


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _absolute(path: Path, info: ValidationInfo) -> Path:
    try:
        return (info.context.folder if info.context else Path.cwd()) / path.expanduser()
    except RuntimeError:
        raise ValueError("There is no home folder that ~ could stand for.") from None


def _prices(given: str | Path, info: ValidationInfo) -> PriceFile:
    return read_prices(_absolute(Path(given), info))


ANY_CASE: Final = BeforeValidator(_lower)
MODES: Final = "mock, real or hybrid"
ADDRESS: Final = "an https:// address (http:// in a private network) without user and query"
KEY: Final = "the key as the vendor shows it"
# Where answers do not tell. Source: LlamaCloud's page on rate limits, read 2026-10.
SMALLEST_PLANS: Final = {"llamaparse": "20/minute"}
RATE: Final = "amounts for a second, minute, hour or day, such as 20/minute; or none"


class Settings(BaseModel):
    """Every setting, checked and immutable; `load_settings` reads them from the environment.

    Raises:
        InvalidSettings: values do not go together, or money could be spent without a limit.
        pydantic.ValidationError: a value is wrong in itself; `load_settings` tells both alike.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True
    )
    _reading: Reading | None = PrivateAttr(default=None)

    environment: Annotated[
        EnvironmentName,
        ANY_CASE,
        Setting(
            "GRISTMILL_ENVIRONMENT",
            "Where this runs. Names the `.env` file; `production` is strict about simulators.",
            "development, test, staging or production",
            "production",
        ),
    ] = DEFAULT
    home: Annotated[
        Path,
        AfterValidator(_absolute),
        Setting(
            "GRISTMILL_HOME",
            "Folder of the embedded database, the simulator and work in progress.",
            "a folder",
            "/var/lib/gristmill",
        ),
    ] = Path("~/.gristmill")
    database_url: Annotated[
        DatabaseUrl | None,
        Setting(
            "DATABASE_URL",
            "A Postgres server with pgvector. Without it one is started in the home folder.",
            "postgresql://user:password@host:5432/name, in session mode",
            "postgresql://gristmill:password@db.example.org:5432/gristmill",
            secret=True,
        ),
    ] = None
    collection: Annotated[
        str,
        Field(min_length=1, max_length=200),
        Setting(
            "GRISTMILL_COLLECTION",
            "Collection that documents go into when none is named; searches look into all.",
            "1 to 200 characters",
            "papers",
        ),
    ] = "default"
    concurrency: Annotated[
        int,
        Field(ge=1, le=1000),
        Setting(
            "GRISTMILL_CONCURRENCY",
            "Documents that one process works on at once.",
            "a whole number from 1 to 1000",
            "16",
        ),
    ] = 16

    mode: Annotated[
        ServiceMode,
        ANY_CASE,
        Setting(
            "GRISTMILL_MODE",
            "Asks simulators (mock), vendors (real), or vendors and, while they are down, "
            "simulators in their place (hybrid): docs/modes.md. Counts until gristmill mode "
            "switches.",
            MODES,
            "mock",
        ),
    ] = ServiceMode.MOCK
    mode_openai: Annotated[
        ServiceMode | None,
        ANY_CASE,
        Setting("GRISTMILL_MODE_OPENAI", "The same for embeddings alone.", MODES, "mock"),
    ] = None
    mode_llamaparse: Annotated[
        ServiceMode | None,
        ANY_CASE,
        Setting("GRISTMILL_MODE_LLAMAPARSE", "The same for parsing alone.", MODES, "mock"),
    ] = None
    mode_supabase: Annotated[
        ServiceMode | None,
        ANY_CASE,
        Setting("GRISTMILL_MODE_SUPABASE", "The same for file storage alone.", MODES, "mock"),
    ] = None
    budget: Annotated[
        str,
        AfterValidator(checked_budget),
        Setting(
            "GRISTMILL_BUDGET",
            "Most that services may cost in all, in dollars. Counts only until a limit is set in "
            "the database: gristmill budget set.",
            "amounts for a day, a month or in total, such as 5/day,100/month; or none",
            "5/day,100/month",
        ),
    ] = ""
    prices_file: Annotated[
        Annotated[PriceFile, BeforeValidator(_prices)] | None,
        Setting(
            "GRISTMILL_PRICES_FILE",
            "Prices of your own, which go before the published ones: docs/budgets.md.",
            "a TOML file of prices, as gristmill prices lists them",
            "samples/prices.toml",
        ),
    ] = None
    allow_mock_in_production: Annotated[
        bool,
        Setting(
            "GRISTMILL_ALLOW_MOCK_IN_PRODUCTION",
            "Lets simulators answer in the production environment.",
            "1 or 0",
            "1",
        ),
    ] = False
    allow_fallback_in_production: Annotated[
        bool,
        Setting(
            "GRISTMILL_ALLOW_FALLBACK_IN_PRODUCTION",
            "Lets simulators stand in for vendors that are down (hybrid) in the production "
            "environment.",
            "1 or 0",
            "1",
        ),
    ] = False
    simulator_url: Annotated[
        LoopbackAddress | None,
        Setting(
            "GRISTMILL_SIMULATOR_URL",
            "A simulator that runs already. Without it one is started for the home folder.",
            "an http:// address of this machine, without a path",
            "http://127.0.0.1:9000",
        ),
    ] = None

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

    chunk_tokens: Annotated[
        int,
        Field(ge=16, le=8192),
        Setting(
            "GRISTMILL_CHUNK_TOKENS",
            "Tokens that a chunk has at most.",
            "a whole number from 16 to 8192",
            "512",
        ),
    ] = 512
    chunk_overlap: Annotated[
        int,
        Field(ge=0, le=4096),
        Setting(
            "GRISTMILL_CHUNK_OVERLAP",
            "Tokens that a chunk repeats of the one before it, less than it has in all.",
            "a whole number from 0 to 4096",
            "64",
        ),
    ] = 64
    max_file_bytes: Annotated[
        ByteSize,
        Field(ge=1),
        Setting(
            "GRISTMILL_MAX_FILE_SIZE", "Largest file taken in.", "a size with its unit", "300MB"
        ),
    ] = ByteSize(300 * 10**6)
    child_memory_bytes: Annotated[
        ByteSize,
        Field(ge=256 * 2**20),
        Setting(
            "GRISTMILL_CHILD_MEMORY",
            "Memory of a process that reads files.",
            "a size with its unit, at least 256MiB",
            "2GiB",
        ),
    ] = ByteSize(2 * 2**30)
    child_seconds: Annotated[
        float,
        Field(ge=1, le=3600, allow_inf_nan=False),
        Setting(
            "GRISTMILL_CHILD_SECONDS",
            "Seconds that such a process may work on one file.",
            "a number from 1 to 3600",
            "120",
        ),
    ] = 120.0
    log_level: Annotated[
        Literal["debug", "info", "warning", "error", "critical"],
        ANY_CASE,
        Setting(
            "GRISTMILL_LOG_LEVEL",
            "What is logged: this and everything graver.",
            "debug, info, warning, error or critical",
            "debug",
        ),
    ] = "info"
    log_format: Annotated[
        Literal["auto", "console", "json"],
        ANY_CASE,
        Setting(
            "GRISTMILL_LOG_FORMAT",
            "How it is logged; `auto` is `console` on a terminal, else `json`.",
            "auto, console or json",
            "json",
        ),
    ] = "auto"

    @model_validator(mode="after")
    def _values_go_together(self, info: ValidationInfo) -> Self:
        self._reading = info.context
        if problems := tuple(rules.problems(self)):
            raise InvalidSettings(problems)
        return self

    def mode_of(self, service: str) -> ServiceMode:
        """The mode of `openai`, `llamaparse` or `supabase`; the environment's say, no switch's."""
        own: ServiceMode | None = getattr(self, f"mode_{service}")
        return self.mode if own is None else own

    def mode_setting_of(self, service: str) -> tuple[str, Source]:
        """The variable that decides the mode of a service, and where its value is from."""
        field = "mode" if getattr(self, f"mode_{service}") is None else f"mode_{service}"
        row = self._row(field, self.words()[field])
        return row.name, row.source

    def checked_in(self, modes: Mapping[str, ServiceMode]) -> Self:
        """The same settings with other modes of these services.

        Raises:
            InvalidSettings: something is missing or wrong for these modes.
        """
        changed = self.model_copy(update={f"mode_{name}": mode for name, mode in modes.items()})
        if problems := tuple(rules.problems(changed)):
            raise InvalidSettings(problems)
        return changed

    def rates_of(self, service: str, *, is_real: bool) -> tuple[RateLimitSetting, ...]:
        """The rate limits of a service; of the smallest plan where that alone is published."""
        given: str = getattr(self, f"rate_{service}")
        if not given and is_real:
            given = SMALLEST_PLANS.get(service, "")
        return rates_of(given)

    @property
    def reading(self) -> Reading | None:
        """Where they were read; None if a program gave them."""
        return self._reading

    def taking(self, other: "Settings", *fields: str) -> "Settings":
        """The same settings, but for these fields, which are as `other` has them."""
        taken = self.model_copy(update={field: getattr(other, field) for field in fields})
        if self.reading is not None and other.reading is not None:
            own, others = self.reading.origins, other.reading.origins
            origins = {name: origin for name, origin in own.items() if name not in fields}
            origins |= {name: others[name] for name in fields if name in others}
            taken._reading = replace(self.reading, origins=origins)  # noqa: SLF001 — its own class
        return taken

    def describe(self) -> list[SettingRow]:
        """All settings with value, source and meaning, fit to be shown to anybody."""
        return [self._row(field, words) for field, words in self.words().items()]

    @classmethod
    def words(cls) -> dict[str, Setting]:
        """The words for each field, in the order in which they are explained."""
        return {
            field: next(part for part in info.metadata if isinstance(part, Setting))
            for field, info in cls.model_fields.items()
        }

    def _row(self, field: str, words: Setting) -> SettingRow:
        given = (words.name, Source.CODE if field in self.model_fields_set else Source.DEFAULT)
        variable, source = (self._reading.origins if self._reading else {}).get(field, given)
        value = getattr(self, field)
        if field == "database_url" and value is not None:
            value = mask_database_url(value.get_secret_value())
        return SettingRow(words.name, as_text(value, variable), source, words.meaning)
