"""Settings of this installation: where it is, which side of services it asks, what it may cost."""

from pathlib import Path
from typing import Annotated, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationInfo,
)

from gristmill.contract import ServiceMode
from gristmill.settings.addresses import DatabaseUrl, LoopbackAddress
from gristmill.settings.budget import checked_budget
from gristmill.settings.environments import DEFAULT, EnvironmentName
from gristmill.settings.prices import PriceFile, read_prices
from gristmill.settings.values import Reading, Setting


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


class Installation(BaseModel):
    """The first part of `Settings`; each part adds its own to those before."""

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
