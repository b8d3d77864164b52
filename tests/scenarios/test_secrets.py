"""No key, token, password or signed address is in any output, log, row, file or representation.

Unmistakable secrets, most of no known shape, are used for all that there is to be used for. What is
looked for is any ten characters of one of them.
"""

import io
import logging
import re
import traceback
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
import typer
from echo import echo
from pdfs import pdf
from simulator import SimulatorControl
from typer.testing import CliRunner
from vendor import PRICES, Vendor

from gristmill import Gristmill
from gristmill.cli import _tell_mistake
from gristmill.cli.app import app
from gristmill.database import engine
from gristmill.errors import DatabaseUnavailable, GristmillError, Unauthorized
from gristmill.services.llamaparse import ListProjects, SubmitParse, Webhook
from gristmill.services.openai import ListModels
from gristmill.services.supabase import (
    CreateObject,
    SignedUpload,
    SignedUrl,
    SignUpload,
    SignUrl,
    UploadSigned,
)
from gristmill.settings import Settings, load_settings
from gristmill.telemetry.logging import configure

WINDOW = 10  # characters
KEYS = {
    "OPENAI_API_KEY": "Unmistakable0penai9f3b7c1d5e",
    "LLAMA_CLOUD_API_KEY": "Unmistakable1lama8a2c6e4f0b",
    "SUPABASE_SERVICE_ROLE_KEY": "sb_secret_Unmistakable5upa7d1f3b9a",
}
PASSWORD = "Unmistakab1e-Pa55word-3e7c"
HOOK = "Unmistakab1e-h00k-secret-5a9d"
TOKEN = "Unmistakab1e.upl0ad.t0ken4f8b"


@dataclass
class Scanned:
    """Everything that was said so far, by what said it, and what must be in none of it."""

    secrets: set[str] = field(default_factory=lambda: {*KEYS.values(), PASSWORD, HOOK, TOKEN})
    said: list[tuple[str, str]] = field(default_factory=list)

    def hear(self, who: str, text: str) -> None:
        self.said.append((who, text))

    def leaks(self) -> list[str]:
        pieces = {piece for secret in self.secrets for piece in _pieces(secret)}
        found = re.compile("|".join(map(re.escape, sorted(pieces))))
        return [
            f"{who}: …{text[max(0, leak.start() - 80) : leak.end() + 40]}…"
            for who, text in self.said
            if (leak := found.search(text))
        ]


def _pieces(secret: str) -> Iterator[str]:
    own = secret.removeprefix("sb_secret_")
    for start in range(len(own) - WINDOW + 1):
        yield own[start : start + WINDOW]


class _Raw(logging.Handler):
    """A host's own handler: it hears records as they are, and shows tracebacks."""

    def __init__(self, scanned: Scanned) -> None:
        super().__init__(logging.NOTSET)
        self._scanned = scanned

    def emit(self, record: logging.LogRecord) -> None:
        self._scanned.hear(f"logger {record.name}", self.format(record))


@pytest.fixture
def scanned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Scanned]:
    """Every logger of every library at DEBUG is heard, unmasked."""
    monkeypatch.chdir(tmp_path)
    scanned, root = Scanned(), logging.getLogger()
    root.addHandler(_Raw(scanned))  # taken away by the fixture `logs`
    root.setLevel(logging.DEBUG)
    yield scanned
    assert scanned.said
    assert scanned.leaks() == []


@pytest.fixture(scope="module")
def vendors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vendor]:
    with Vendor(tmp_path_factory.mktemp("vendors")) as server:
        yield server


@pytest.fixture
def control(vendors: Vendor) -> Iterator[SimulatorControl]:
    control = SimulatorControl(vendors.base_url)
    control.reset()
    accept(control, KEYS)
    yield control
    control.close()


def accept(control: SimulatorControl, keys: dict[str, str]) -> None:
    openai, llama, supabase = keys.values()
    control.configure(
        openai={"api_keys": [openai]},
        llamacloud={"api_keys": [llama]},
        supabase={"secret_keys": [supabase]},
    )


@pytest.fixture
def environ(
    *,
    vendors: Vendor,
    control: SimulatorControl,
    conninfo_url: str,
    conninfo: str,
    tmp_path: Path,
    scanned: Scanned,
) -> dict[str, str]:
    """Real mode, with the unmistakable keys, and a database with a password."""
    del control
    scanned.secrets.add(str(psycopg.conninfo.conninfo_to_dict(conninfo)["password"]))
    return {
        **vendors.environment(tmp_path),
        **KEYS,
        "GRISTMILL_MODE": "real",
        "GRISTMILL_BUDGET": "none",
        "GRISTMILL_RATE_LLAMAPARSE": "none",
        "GRISTMILL_PARSE_POLL_SECONDS": "0.05",
        "GRISTMILL_HOME": str(tmp_path / "home"),
        "DATABASE_URL": conninfo_url,
        "GRISTMILL_LOG_LEVEL": "debug",
        "GRISTMILL_RETRY_SECONDS": "0",
    }


Command = Callable[..., str]


@pytest.fixture(params=["console", "json"])
def command(
    request: pytest.FixtureRequest,
    environ: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    scanned: Scanned,
) -> Command:
    """Runs a command; with logs as JSON it has --json as well. What it prints is scanned."""
    as_json = request.param == "json"
    for name, value in {**environ, "GRISTMILL_LOG_FORMAT": request.param}.items():
        monkeypatch.setenv(name, value)

    def run(
        *arguments: str, more: tuple[str, ...] = (), code: int = 0, scan_output: bool = True
    ) -> str:
        json = ["--json"] if as_json and arguments not in WITHOUT_JSON else []
        handlers = list(logging.getLogger().handlers)  # the command adds its own
        result = CliRunner().invoke(app, [*arguments, *more, *json])
        logging.getLogger().handlers[:] = handlers
        told = f"gristmill {' '.join(arguments)}"
        scanned.hear(told, result.stderr)
        if scan_output:
            scanned.hear(told, result.stdout)
        assert result.exit_code == code, f"{told} {result.output}"
        return result.stdout

    return run


WITHOUT_JSON = {("metrics",), ("simulate", "--print-env")}
# Each with what it needs besides; {id} is a document's.
COMMANDS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("ingest",): ("paper.pdf", "notes.md"),
    ("search",): ("grain",),
    ("documents",): (),
    ("show",): ("{id}",),
    ("resume",): ("--failed",),
    ("prices",): (),
    ("health",): (),
    ("limits",): (),
    ("metrics",): (),
    ("doctor",): (),
    ("mode",): (),
    ("repair",): ("--dry-run",),
    ("collections",): (),
    ("collection", "make-real"): ("default", "--dry-run"),
    ("costs",): ("--by", "day"),
    ("costs", "verify"): (),
    ("budget",): (),
    ("budget", "set"): ("--daily", "5"),
    ("budget", "clear"): ("global/day",),
    ("config", "check"): ("--probe",),
    ("config", "show"): (),
    ("config", "reload"): (),
    ("simulate", "--print-env"): (),
    ("simulator", "status"): ("--url", "{simulator}"),
    ("simulator", "calls"): ("--url", "{simulator}"),
    ("simulator", "settings"): ("record_headers=true", "--url", "{simulator}"),
    ("link",): ("{id}",),
    ("delete",): ("{id}", "--yes"),
}
# Of what steers the simulators, the rest works and looks alike.
ALIKE = {
    ("simulator", name)
    for name in ("billed", "faults", "latency", "quota", "reset", "routes", "transition")
} | {("simulator", "faults", "add"), ("simulator", "faults", "clear"), ("simulate",)}


def every_command(typed: typer.Typer, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for info in typed.registered_commands:
        yield *path, info.name or info.callback.__name__.replace("_", "-")  # type: ignore[union-attr]
    for group in typed.registered_groups:
        own = (*path, str(group.name))
        if group.typer_instance is not None:
            if group.typer_instance.info.invoke_without_command is True:
                yield own
            yield from every_command(group.typer_instance, own)


def test_no_command_is_left_out() -> None:
    run = {path[:-1] if path[-1].startswith("-") else path for path in COMMANDS}
    assert set(every_command(app)) == run | ALIKE, "COMMANDS is to have every command"


@pytest.fixture
def files(tmp_path: Path) -> None:
    (tmp_path / "paper.pdf").write_bytes(pdf("Grain is brought to a mill."))
    (tmp_path / "notes.md").write_text("# Notes\n\nNothing but grain.\n")
    (tmp_path / "other.md").write_text("# Other\n\nMore grain.\n")


@pytest.mark.usefixtures("files")
def test_no_command_shows_a_secret_whether_the_keys_are_right_or_wrong(
    *,
    command: Command,
    control: SimulatorControl,
    simulator: SimulatorControl,
    conninfo: str,
    scanned: Scanned,
    tmp_path: Path,
) -> None:
    command("ingest", more=("paper.pdf", "notes.md"))
    given = {"id": first_document(conninfo), "simulator": simulator.base_url}
    for arguments, more in COMMANDS.items():
        filled = tuple(each.format(**given) for each in more)
        code = 1 if arguments == ("collection", "make-real") else 0  # it is real already
        is_link = arguments == ("link",)
        printed = command(*arguments, more=filled, code=code, scan_output=not is_link)
        if is_link:
            scanned.secrets |= set(re.findall(r"token=[\w-]+\.[\w-]+\.([\w-]+)", printed))
    accept(control, {name: f"another-{key}" for name, key in KEYS.items()})
    for arguments, (more, code) in WRONG.items():
        filled = tuple(each.format(id=first_document(conninfo)) for each in more)
        command(*arguments, more=filled, code=code)
    scan_rows(conninfo, scanned)
    scan_files(tmp_path / "home", scanned)


# Where calls are made, with keys that are none; and how that ends.
WRONG: dict[tuple[str, ...], tuple[tuple[str, ...], int]] = {
    ("ingest",): (("other.md",), 1),
    ("search",): (("grain",), 0),
    ("link",): (("{id}",), 1),
    ("health",): ((), 1),
    ("doctor",): ((), 1),
    ("config", "check"): (("--probe",), 1),
    ("costs", "verify"): ((), 0),
}


def first_document(conninfo: str) -> str:
    with psycopg.connect(conninfo) as connection:
        row = connection.execute("SELECT id FROM gristmill.documents ORDER BY id").fetchone()
    assert row is not None
    return str(row[0])


def scan_rows(conninfo: str, scanned: Scanned) -> None:
    with psycopg.connect(conninfo) as connection:
        tables = connection.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        assert len(tables) > 10
        for (table,) in tables:
            for (row,) in connection.execute(f"SELECT t::text FROM {table} t"):
                scanned.hear(f"table {table}", row)


def scan_files(folder: Path, scanned: Scanned) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            scanned.hear(path.name, path.read_bytes().decode("latin-1"))


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 500])
def test_a_vendor_that_says_the_key_again_is_not_repeated(
    status: int,
    environ: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    scanned: Scanned,
    conninfo: str,
) -> None:
    with echo() as server:
        server.status = status
        host = server.url.removeprefix("http://")
        Path(environ["GRISTMILL_PRICES_FILE"]).write_text(PRICES.format(host=host))
        addresses = ("OPENAI_BASE_URL", "LLAMA_CLOUD_BASE_URL", "SUPABASE_URL")
        for name, value in {**environ, **dict.fromkeys(addresses, server.url)}.items():
            monkeypatch.setenv(name, value)
        asked = [["health"], ["config", "check", "--probe"], ["search", "grain"]]
        if status not in (200, 500):  # an outage is waited for, nonsense is tried again
            asked.append(["ingest", "paper.pdf"])
        for arguments in asked:
            result = CliRunner().invoke(app, arguments)
            scanned.hear(" ".join(arguments), result.output)
    scan_rows(conninfo, scanned)


@pytest.mark.parametrize(
    "changed",
    [
        {"DATABASE_URL": f"postgresql://nobody:{PASSWORD}@127.0.0.1:9/none"},
        {"DATABASE_URL": f"postgresql://nobody:{PASSWORD}@db.test:6543/none"},
        {"DATABASE_URL": f"postgresql://nobody:{PASSWORD}%zz@db.test/none"},
        {"DATABASE_URL": f"mysql://nobody:{PASSWORD}@db.test/none"},
        {"OPENAI_API_KEY": f"{KEYS['OPENAI_API_KEY']} and more"},
        {"OPENAI_API_KEY_FILE": "secret.txt", "OPENAI_API_KEY": ""},
        {"GRISTMILL_OPENAI_KEY": KEYS["OPENAI_API_KEY"]},
        {"OPENAI_BASE_URL": f"https://user:{PASSWORD}@api.openai.com/v1"},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_settings_that_are_wrong_are_told_without_what_is_secret_in_them(
    changed: dict[str, str],
    environ: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    scanned: Scanned,
    tmp_path: Path,
) -> None:
    (tmp_path / "secret.txt").write_text(f"{KEYS['OPENAI_API_KEY']}\nand another line\n")
    monkeypatch.setattr(engine, "CONNECT_SECONDS", 0.2)
    for name, value in {**environ, **changed}.items():
        monkeypatch.setenv(name, value)
    for arguments in (["config", "check"], ["config", "show", "--json"], ["documents"]):
        result = CliRunner().invoke(app, arguments)
        scanned.hear(" ".join(arguments), result.output)


async def test_nothing_shows_a_secret_when_it_is_represented(
    environ: dict[str, str], scanned: Scanned, tmp_path: Path
) -> None:
    settings = load_settings(environ, tmp_path)
    path = tmp_path / "notes.md"
    path.write_text("# Notes\n")
    operations = [
        SubmitParse(
            "f", tag="t", tier="fast", version="2026-06-15", max_pages=1,
            webhook=Webhook("https://example.org/hook", HOOK),
        ),
        UploadSigned("b", "k", TOKEN, path, "text/plain"),
        SignedUrl("k", f"https://h.test/object/sign/b/k?token={TOKEN}"),
        SignedUpload("k", f"https://h.test/k?token={TOKEN}", TOKEN),
    ]  # fmt: skip
    for value in (settings, settings.describe(), settings.model_dump(), *operations):
        scanned.hear(type(value).__name__, f"{value!r} {value}")
    scanned.hear("settings as JSON", settings.model_dump_json())
    async with Gristmill(settings) as mill:
        await mill.ingest(path)
        services, system = await mill.services(), mill._system
        for part in reachable(system):
            scanned.hear(f"{type(part).__module__}.{type(part).__name__}", repr(part))
        bucket = settings.supabase_bucket
        stored = CreateObject(bucket, "k", path, "text/plain")
        for operation in (stored, SignUrl(bucket, "k", 60), SignUpload(bucket, "u")):
            result = await services.execute(operation)
            value: Any = result.value
            signed = value if isinstance(value, str) else getattr(value, "token", "")
            scanned.secrets |= set(re.findall(r"[\w-]{20,}\.[\w-]{20,}\.([\w-]{20,})", signed))
            scanned.hear("operation", repr(operation))
            scanned.hear("result", repr(result))


def reachable(root: object) -> list[object]:
    """Every object of ours that can be reached from `root`, and what these hold."""
    seen: dict[int, object] = {}
    todo: list[object] = [root]
    while todo:
        part = todo.pop()
        if id(part) in seen or isinstance(part, (str, bytes, int, float, type)):
            continue
        seen[id(part)] = part
        if isinstance(part, dict):
            todo += part.values()
        elif isinstance(part, (list, tuple, set, frozenset)):
            todo += part
        elif type(part).__module__.startswith("gristmill"):
            todo += vars(part).values() if hasattr(part, "__dict__") else ()
            slots = [name for kind in type(part).__mro__ for name in getattr(kind, "__slots__", ())]
            todo += [getattr(part, name) for name in slots if hasattr(part, name)]
    return [part for part in seen.values() if not isinstance(part, (dict, list, tuple, set))]


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_mistake_of_ours_is_told_without_the_secrets_in_its_words(
    form: str, environ: dict[str, str], scanned: Scanned, capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:  # fmt: skip
    settings = load_settings(environ, tmp_path)
    stream = io.StringIO()
    configure("DEBUG", "json" if form == "json" else "console", stream)
    logging.getLogger().handlers[:] = [
        each for each in logging.getLogger().handlers if not isinstance(each, _Raw)
    ]
    try:
        _fail(settings)
    except RuntimeError as error:
        _tell_mistake(type(error), error, error.__traceback__)
        logging.getLogger("somebody").exception("it failed with %s", KEYS)
    scanned.hear("excepthook", capsys.readouterr().err)
    scanned.hear("log", stream.getvalue())
    assert "it failed with" in stream.getvalue()


def _fail(settings: Settings) -> None:
    key = settings.openai_api_key
    assert key is not None
    try:
        {}[key.get_secret_value()]
    except KeyError as error:
        raise RuntimeError(f"cannot use {KEYS['LLAMA_CLOUD_API_KEY']}", [*KEYS.values()]) from error


async def test_no_frame_of_an_error_that_a_user_catches_holds_a_key(
    environ: dict[str, str], control: SimulatorControl, scanned: Scanned, tmp_path: Path
) -> None:
    """As tools show them that print the variables of each frame."""
    accept(control, {name: f"another-{key}" for name, key in KEYS.items()})
    async with Gristmill(load_settings(environ, tmp_path)) as mill:
        services = await mill.services()
        for operation in (SignUrl("b", "k", 60), ListModels(), ListProjects()):
            error = await failure(services.execute(operation))
            scanned.hear(type(error).__name__, with_variables(error))


async def test_no_frame_of_a_failed_connection_holds_the_password(
    scanned: Scanned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "CONNECT_SECONDS", 0.1)
    database = engine.Database(f"postgresql://nobody:{PASSWORD}@127.0.0.1:9/none")
    for connect in (database.open, database.connect):
        with pytest.raises((DatabaseUnavailable, psycopg.OperationalError)) as caught:
            await connect()
        scanned.hear(connect.__name__, with_variables(caught.value))


def with_variables(error: BaseException) -> str:
    """A traceback as tools show it that print the variables of each frame, but those of here."""
    here = error.__traceback__
    while here is not None and here.tb_frame.f_code.co_filename == __file__:
        here = here.tb_next
    told = traceback.TracebackException.from_exception(
        error.with_traceback(here), capture_locals=True
    )
    return "".join(told.format())


async def failure(call: Awaitable[object]) -> GristmillError:
    with pytest.raises(Unauthorized) as caught:
        await call
    return caught.value
