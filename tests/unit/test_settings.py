"""Settings: where they come from, what is refused, and that no secret is shown."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_cloud.types.parsing_languages import ParsingLanguages
from pydantic import ValidationError

from gristmill.contract import ServiceMode
from gristmill.errors import Misconfigured
from gristmill.settings import (
    InvalidSettings,
    Problem,
    Settings,
    Source,
    as_markdown,
    load_settings,
)
from gristmill.settings.budget import limits_of
from gristmill.settings.environments import ENVIRONMENTS, EnvironmentName
from gristmill.settings.languages import LANGUAGES

ROOT = Path(__file__).parents[2]
NOWHERE = Path("/nonexistent")
KEYS = {
    "OPENAI_API_KEY": "sk-fake-key-for-tests",
    "LLAMA_CLOUD_API_KEY": "llx-fake-key-for-tests",
    "SUPABASE_URL": "https://fake.supabase.co",
    "SUPABASE_SERVICE_ROLE_KEY": "fake-role-key-for-tests",
}
REAL = {"GRISTMILL_MODE": "real", **KEYS}
# The numeric settings whose limits are written out as "from A to B".
LIMITED = [words for words in Settings.words().values() if " from " in words.right]


def load(folder: Path = NOWHERE, **environ: str) -> Settings:
    return load_settings(environ, folder)


def problems(folder: Path = NOWHERE, **environ: str) -> dict[str, Problem]:
    with pytest.raises(InvalidSettings) as caught:
        load(folder, **environ)
    found = caught.value.problems
    assert len({problem.setting for problem in found}) == len(found), "one problem, one line"
    assert all(problem.right and "=" in problem.example for problem in found)
    return {problem.setting: problem for problem in found}


def row(settings: Settings, name: str) -> tuple[str, Source]:
    (found,) = [each for each in settings.describe() if each.name == name]
    return found.value, found.source


# Where values come from


def test_nothing_has_to_be_set():
    settings = load()
    assert settings.home == Path.home() / ".gristmill"
    assert [settings.mode_of(name) for name in ("openai", "llamaparse", "supabase")] == ["mock"] * 3
    assert settings.parse_version == "2026-09-28"
    assert {each.source for each in settings.describe()} == {Source.DEFAULT}


def test_the_environment_wins_over_the_file_and_the_file_over_the_default(tmp_path):
    text = "GRISTMILL_COLLECTION=file\nGRISTMILL_MAX_PAGES=7 # comment\nUNRELATED=1\n"
    (tmp_path / ".env.development").write_text(text)
    settings = load(tmp_path, GRISTMILL_COLLECTION="environment")
    assert row(settings, "GRISTMILL_COLLECTION") == ("environment", Source.ENVIRONMENT)
    assert row(settings, "GRISTMILL_MAX_PAGES") == ("7", Source.FILE)
    assert row(settings, "GRISTMILL_CHUNK_TOKENS") == ("512", Source.DEFAULT)


def test_the_environments_name_picks_the_file(tmp_path):
    (tmp_path / ".env.development").write_text("GRISTMILL_COLLECTION=development\n")
    (tmp_path / ".env.staging").write_text("GRISTMILL_COLLECTION=staging\n")
    assert load(tmp_path).collection == "development"
    assert load(tmp_path, GRISTMILL_ENVIRONMENT="Staging").collection == "staging"


def test_environments_differ_in_their_file_and_in_the_modes_to_allow_by_name_in_nothing_else(
    tmp_path,
):
    assert set(ENVIRONMENTS) == set(get_args(EnvironmentName))
    for each in ENVIRONMENTS.values():
        (tmp_path / each.file).write_text(f"GRISTMILL_COLLECTION={each.name}\n")
        given = {"GRISTMILL_ENVIRONMENT": each.name}
        assert load(tmp_path, **given, **REAL).collection == each.name
        for mode in ServiceMode:
            asked = {**given, **REAL, "GRISTMILL_MODE": mode.value}
            assert is_allowed(tmp_path, **asked) is (mode not in each.allowances)
            word = Settings.words()[each.allowances.get(mode, "allow_mock_in_production")].name
            assert is_allowed(tmp_path, **asked, **{word: "1"})
        rows = load(**given, **REAL).describe()
        assert rows[1:] == load(**REAL).describe()[1:]
        assert rows[0].value == each.name


def is_allowed(folder: Path, **environ: str) -> bool:
    try:
        load(folder, **environ)
    except InvalidSettings:
        return False
    return True


def test_a_file_cannot_move_to_another_environment(tmp_path):
    (tmp_path / ".env.development").write_text("GRISTMILL_ENVIRONMENT=production\n")
    assert "another environment" in problems(tmp_path)["GRISTMILL_ENVIRONMENT"].wrong


def test_an_environments_name_cannot_lead_out_of_the_folder(tmp_path):
    (tmp_path / ".env.").mkdir()
    (tmp_path / "elsewhere").write_text("GRISTMILL_NONSENSE=1\n")
    found = problems(tmp_path, GRISTMILL_ENVIRONMENT="/../elsewhere")
    assert list(found) == ["GRISTMILL_ENVIRONMENT"]


def test_an_empty_variable_counts_as_not_set(tmp_path):
    (tmp_path / ".env.development").write_text("GRISTMILL_MAX_PAGES=7\n")
    settings = load(tmp_path, GRISTMILL_MAX_PAGES=" ", OPENAI_API_KEY="")
    assert settings.max_pages == 7
    assert settings.openai_api_key is None


def test_a_file_takes_a_dollar_sign_and_a_quoted_value_as_they_are(tmp_path):
    (tmp_path / ".env.development").write_text("export OPENAI_API_KEY='sk-$HOME-${X}'\n")
    key = load(tmp_path, HOME="/root").openai_api_key
    assert key is not None
    assert key.get_secret_value() == "sk-$HOME-${X}"


def test_lines_that_assign_nothing_are_named_by_number(tmp_path):
    text = "# comment\n\n  \nGRISTMILL_MAX_PAGES=7\n!! broken\n\nGRISTMILL_MODE\n"
    (tmp_path / ".env.development").write_text(text)
    assert list(problems(tmp_path)) == [".env.development, line 5", ".env.development, line 7"]


def test_a_file_that_cannot_be_read_is_a_problem(tmp_path):
    (tmp_path / ".env.development").mkdir()
    (tmp_path / ".env.test").write_bytes(b"GRISTMILL_MODE=\xff\n")
    assert "cannot be read" in problems(tmp_path)[".env.development"].wrong
    assert "UTF-8" in problems(tmp_path, GRISTMILL_ENVIRONMENT="test")[".env.test"].wrong


def test_relative_paths_start_in_the_given_folder(tmp_path):
    assert load(tmp_path, GRISTMILL_HOME="mill").home == tmp_path / "mill"


def test_the_parsers_second_name_for_its_key_is_honoured_after_the_first():
    settings = load(LLAMA_PARSE_API_KEY="llx-second")
    assert row(settings, "LLAMA_CLOUD_API_KEY")[0] == "set (from LLAMA_PARSE_API_KEY)"
    both = load(LLAMA_PARSE_API_KEY="llx-second", LLAMA_CLOUD_API_KEY="llx-first")
    assert row(both, "LLAMA_CLOUD_API_KEY")[0] == "set (from LLAMA_CLOUD_API_KEY)"


def test_languages_are_codes_in_order_each_once():
    assert load(GRISTMILL_PARSE_LANGUAGES="DE, en,de ch_sim").parse_languages == "de,en,ch_sim"
    assert load().parse_languages == ""
    assert (
        "no language xx"
        in problems(GRISTMILL_PARSE_LANGUAGES="de,xx")["GRISTMILL_PARSE_LANGUAGES"].wrong
    )


# Secrets


def test_a_secret_can_be_the_stripped_text_of_a_file(tmp_path):
    (tmp_path / "key").write_text("  sk-fake-from-file\n\n")
    settings = load(tmp_path, OPENAI_API_KEY_FILE="key")
    assert settings.openai_api_key is not None
    assert settings.openai_api_key.get_secret_value() == "sk-fake-from-file"
    shown = ("set (from OPENAI_API_KEY_FILE)", Source.ENVIRONMENT)
    assert row(settings, "OPENAI_API_KEY") == shown


def test_a_secrets_file_may_be_named_from_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    (tmp_path / "me").mkdir()
    (tmp_path / "me" / "key").write_text("sk-fake-from-home")
    settings = load(tmp_path, OPENAI_API_KEY_FILE="~/key")
    assert settings.openai_api_key is not None
    assert settings.openai_api_key.get_secret_value() == "sk-fake-from-home"


def test_a_variable_of_the_environment_hides_the_files_secret_file(tmp_path):
    (tmp_path / ".env.development").write_text("OPENAI_API_KEY_FILE=missing\n")
    assert row(load(tmp_path, OPENAI_API_KEY="sk-fake"), "OPENAI_API_KEY")[1] is Source.ENVIRONMENT


def test_a_secrets_file_that_is_missing_or_empty_or_one_too_many_is_a_problem(tmp_path):
    (tmp_path / "empty").write_text("\n")
    found = problems(
        tmp_path,
        OPENAI_API_KEY_FILE="missing",
        LLAMA_PARSE_API_KEY_FILE="empty",
        DATABASE_URL="postgresql://host/name",
        DATABASE_URL_FILE="missing",
    )
    assert "No such file" in found["OPENAI_API_KEY_FILE"].wrong
    assert "empty" in found["LLAMA_PARSE_API_KEY_FILE"].wrong
    assert "both set" in found["DATABASE_URL"].wrong


def test_only_secrets_come_from_files():
    assert "GRISTMILL_MODE_FILE" in problems(GRISTMILL_MODE_FILE="x")


def test_nothing_shows_a_secret():
    secrets = [value for name, value in KEYS.items() if name != "SUPABASE_URL"] + ["hidden-word"]
    settings = load(
        **REAL, DATABASE_URL="postgresql://me:hidden-word@host:5432/name?sslmode=require"
    )
    shown = repr(settings) + str(settings) + repr(settings.describe())
    assert not [secret for secret in secrets if secret in shown]
    assert row(settings, "DATABASE_URL")[0] == "postgresql://me:***@host:5432/name"


def test_a_value_in_the_wrong_place_is_not_repeated_when_it_may_be_a_key():
    key = "sk-fake-" + "k" * 40
    for name in ("GRISTMILL_MODE", "OPENAI_BASE_URL", "DATABASE_URL", "GRISTMILL_HOEM"):
        with pytest.raises(InvalidSettings) as caught:
            load(**{name: key})
        assert key not in str(caught.value) + repr(caught.value.problems)
    with pytest.raises(ValidationError) as wrong:
        Settings(mode=key)  # type: ignore[arg-type]
    assert key not in str(wrong.value)


@given(st.text("@/:?#[]%&=+ .,'\"é0"), st.text("@/:?#[]%&=+ .,'\"é0"))
def test_no_piece_of_a_password_is_shown_however_badly_it_is_written(middle: str, end: str):
    url = f"postgresql://me:Zq9{middle}Xw7{end}@host:6543/name"
    for address in (url, url.replace("6543", "5432")):
        try:
            shown = repr(load(DATABASE_URL=address).describe())
        except InvalidSettings as error:
            shown = str(error) + repr(error.problems)
        assert "Zq9" not in shown
        assert "Xw7" not in shown


@pytest.mark.parametrize("key", ["sk with blanks", "sk-\u201cquoted\u201d", "sk-\x07bell"])
def test_a_key_that_no_header_can_carry_is_refused(key):
    assert "no key has" in problems(OPENAI_API_KEY=key)["OPENAI_API_KEY"].wrong


# Single values


def test_all_problems_are_reported_at_once_also_those_between_settings():
    found = problems(
        GRISTMILL_MODE="real",
        GRISTMILL_EMBEDDING_BATCH="0",
        GRISTMILL_CHUNK_OVERLAP="512",
        GRISTMILL_PARSE_TIER="best",
        GRISTMILL_HOEM="x",
        DATABASE_URL="mysql://host",
    )
    assert set(found) == {
        *("GRISTMILL_EMBEDDING_BATCH", "GRISTMILL_CHUNK_OVERLAP"),
        *("GRISTMILL_PARSE_TIER", "GRISTMILL_HOEM", "DATABASE_URL", *KEYS),
    }
    assert found["GRISTMILL_EMBEDDING_BATCH"].wrong == "It is '0'."


def test_the_error_is_a_misconfiguration_that_reads_as_a_list():
    with pytest.raises(Misconfigured) as caught:
        load(GRISTMILL_LOG_LEVEL="loud")
    assert str(caught.value) == (
        "One setting is wrong.\n- GRISTMILL_LOG_LEVEL: It is 'loud'. Right: debug, info, warning, "
        "error or critical. Example: GRISTMILL_LOG_LEVEL=debug"
    )
    assert caught.value.__context__ is None  # what pydantic raised holds the values


@pytest.mark.parametrize("words", LIMITED, ids=lambda words: words.name)
def test_the_limits_that_are_told_are_those_that_hold(words):
    low, high = (float(edge) for edge in re.findall(r"[\d.]+", words.right))
    single = {**KEYS, "GRISTMILL_EMBEDDING_MODEL": "text-embedding-3-large"}
    if "CHUNK" in words.name:  # these also have to fit each other
        single |= {"GRISTMILL_CHUNK_TOKENS": "4097", "GRISTMILL_CHUNK_OVERLAP": "0"}
    for edge in (low, high):
        load(**{**single, words.name: f"{edge:g}" if edge < 1e5 else str(int(edge))})
    for beyond in (low - 1, high + 1):
        assert words.name in problems(**{**single, words.name: f"{beyond:.0f}"})


def test_sizes_are_written_as_people_write_them():
    settings = load(GRISTMILL_MAX_FILE_SIZE="1GiB", GRISTMILL_CHILD_MEMORY="512 MB")
    assert settings.max_file_bytes == 2**30
    assert settings.child_memory_bytes == 512 * 10**6
    assert row(settings, "GRISTMILL_CHILD_MEMORY")[0] == "512MB"
    assert "It is" in problems(GRISTMILL_MAX_FILE_SIZE="big")["GRISTMILL_MAX_FILE_SIZE"].wrong
    assert "GRISTMILL_CHILD_MEMORY" in problems(GRISTMILL_CHILD_MEMORY="2048")


@given(st.integers(256 * 2**20, 2**50))
def test_a_size_that_is_shown_can_be_set_again(size: int):
    shown = row(Settings(max_file_bytes=size), "GRISTMILL_MAX_FILE_SIZE")[0]  # type: ignore[arg-type]
    assert load(GRISTMILL_MAX_FILE_SIZE=shown).max_file_bytes == size


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("api.cloud.eu.llamaindex.ai", "https://"),
        ("api.example.org:443", "https://"),
        ("https://", "https://"),
        ("ftp://example.org", "https://"),
        ("https://me:pass@example.org", "more than"),
        ("https://example.org/?key=1", "more than"),
        ("https://example.org:port", "cannot be read"),
        ("http://api.example.org", "unencrypted"),
        ("http://8.8.8.8", "unencrypted"),
    ],
)
def test_an_address_that_cannot_work_or_is_not_safe_is_refused(url, wrong):
    assert wrong in problems(LLAMA_CLOUD_BASE_URL=url)["LLAMA_CLOUD_BASE_URL"].wrong


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.org/v1/",
        "http://127.0.0.1:9000",
        "http://[::1]:1",
        "http://gateway:4000/v1",
        "http://10.1.2.3",
    ],
)
def test_an_address_may_be_https_or_in_a_private_network(url):
    assert load(OPENAI_BASE_URL=url).openai_base_url == url.rstrip("/")


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1:9000", "http://10.0.0.1:9000", "http://127.0.0.1:9000/openai/v1"]
)
def test_a_simulator_is_only_looked_for_on_this_machine(url):
    assert "GRISTMILL_SIMULATOR_URL" in problems(GRISTMILL_SIMULATOR_URL=url)


@pytest.mark.parametrize(
    "url",
    ["mysql://host", "postgresql+asyncpg://host", "host=localhost", "postgresql://h/?nonsense=1"],
)
def test_a_database_address_is_one_that_the_driver_understands(url):
    assert "DATABASE_URL" in problems(DATABASE_URL=url)


@pytest.mark.parametrize(
    "host",
    [
        "aws-0-eu-central-1.pooler.supabase.com:6543",
        "a:5432,[::1]:6543",
        "db.fake.supabase.co:6543",
    ],
)
def test_the_poolers_transaction_mode_is_refused_with_the_right_address(host):
    wrong = problems(DATABASE_URL=f"postgres://postgres.fake:hidden@{host}/postgres")[
        "DATABASE_URL"
    ].wrong
    right = host.replace("6543", "5432")
    assert wrong.endswith(f"postgresql://postgres.fake:***@{right}/postgres")
    assert "transaction mode" in wrong
    assert "hidden" not in wrong


def test_session_mode_and_local_sockets_are_fine():
    for url in ("postgres://u:p@host:5432/x", "postgresql:///x?host=/var/run/postgresql"):
        secret = load(DATABASE_URL=url).database_url
        assert secret is not None
        assert secret.get_secret_value() == url


@pytest.mark.parametrize("version", ["latest", "configured", "2026-9-28", "2026-09-28\n2"])
def test_a_parse_version_is_a_date(version):
    assert "GRISTMILL_PARSE_VERSION" in problems(GRISTMILL_PARSE_VERSION=version)


def test_latest_is_no_version_because_it_moves_and_all_would_be_paid_again():
    wrong = problems(GRISTMILL_PARSE_VERSION="latest")["GRISTMILL_PARSE_VERSION"].wrong
    assert "without notice" in wrong
    assert "paid again" in wrong


def test_the_languages_of_scans_are_a_list_with_commas():
    settings = load(GRISTMILL_PARSE_LANGUAGES=" DE, en,,de ")
    assert settings.parse_languages == "de,en"
    (row,) = [row for row in settings.describe() if row.name == "GRISTMILL_PARSE_LANGUAGES"]
    assert row.value == "de,en"
    assert load().parse_languages == ""


def test_a_language_that_the_parser_does_not_know_is_named():
    wrong = problems(GRISTMILL_PARSE_LANGUAGES="de,klingon")["GRISTMILL_PARSE_LANGUAGES"].wrong
    assert "klingon" in wrong


def test_the_languages_are_those_of_the_parser_s_sdk():
    assert set(get_args(ParsingLanguages)) == LANGUAGES


def test_the_parse_version_follows_the_tier_unless_it_is_given():
    assert load(GRISTMILL_PARSE_TIER="agentic").parse_version == "2026-10-16"
    given_one = load(GRISTMILL_PARSE_TIER="agentic", GRISTMILL_PARSE_VERSION="2026-01-01")
    assert given_one.parse_version == "2026-01-01"


@pytest.mark.parametrize("name", ["GRISTMILL_MDOE", "gristmill_mode", "GRISTMILL_MODES"])
def test_an_unknown_variable_of_ours_is_reported_with_the_nearest_name(name):
    found = problems(**{name: "real"})[name]
    assert found.right == "perhaps GRISTMILL_MODE"
    assert found.example == "GRISTMILL_MODE=mock"


def test_our_prefix_before_a_vendors_name_is_recognised_in_the_file_too(tmp_path):
    (tmp_path / ".env.development").write_text("GRISTMILL_OPENAI_API_KEY=sk-fake\n")
    assert problems(tmp_path)["GRISTMILL_OPENAI_API_KEY"].right == "perhaps OPENAI_API_KEY"
    assert "perhaps" not in problems(GRISTMILL_XYZZY="1")["GRISTMILL_XYZZY"].right


# Values that have to go together


@pytest.mark.parametrize(
    ("model", "dimensions", "right"),
    [
        ("text-embedding-3-small", 1537, "a whole number from 1 to 1536"),
        ("text-embedding-ada-002", 1535, "exactly 1536"),
        ("text-embedding-ada-002", 1537, "exactly 1536"),
    ],
)
def test_a_vector_is_no_longer_than_the_models_own(model, dimensions, right):
    environ = {
        "GRISTMILL_EMBEDDING_MODEL": model,
        "GRISTMILL_EMBEDDING_DIMENSIONS": str(dimensions),
    }
    assert problems(**environ)["GRISTMILL_EMBEDDING_DIMENSIONS"].right == right
    assert load(GRISTMILL_EMBEDDING_MODEL=model).embedding_dimensions == 1536


def test_chunks_overlap_by_less_than_they_are():
    found = problems(GRISTMILL_CHUNK_TOKENS="300", GRISTMILL_CHUNK_OVERLAP="300")
    assert set(found) == {"GRISTMILL_CHUNK_OVERLAP"}
    examples = dict(problem.example.split("=") for problem in found.values())
    assert load(GRISTMILL_CHUNK_TOKENS="300", **examples).chunk_overlap < 300


# Modes


def test_real_mode_needs_every_key_of_the_services_that_are_real():
    assert set(problems(GRISTMILL_MODE="real")) == set(KEYS)
    assert set(problems(GRISTMILL_MODE_OPENAI="real")) == {"OPENAI_API_KEY"}
    others = {"GRISTMILL_MODE_OPENAI": "mock", "GRISTMILL_MODE_SUPABASE": "mock"}
    assert set(problems(GRISTMILL_MODE="real", **others)) == {"LLAMA_CLOUD_API_KEY"}


@pytest.mark.parametrize(
    ("given", "limits"),
    [
        ("", {}),
        ("none", {"total": None}),
        ("5/day", {"day": 5 * 10**9}),
        (" $0.5 / Day, 100/month,1e3/total", {"day": 5 * 10**8, "month": 10**11, "total": 10**12}),
        ("0/day", {"day": 0}),
    ],
)
def test_a_budget_is_amounts_by_period_or_none_on_purpose(given, limits):
    assert limits_of(load(GRISTMILL_BUDGET=given).budget) == limits


@pytest.mark.parametrize(
    "given",
    [
        "5",
        "5/week",
        "five/day",
        "-1/day",
        "nan/day",
        "1e99/day",
        "5/day,6/day",
        "1e-10/day",
        "/day",
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(given):
    assert list(problems(GRISTMILL_BUDGET=given)) == ["GRISTMILL_BUDGET"]


def test_hybrid_mode_needs_what_real_mode_needs():
    hybrid = {**REAL, "GRISTMILL_MODE": "hybrid"}
    assert load(**hybrid).mode_of("openai") is ServiceMode.HYBRID
    assert list(problems(**{**hybrid, "OPENAI_API_KEY": ""})) == ["OPENAI_API_KEY"]


def test_production_refuses_a_simulator_unless_it_is_allowed_by_name():
    production = {**REAL, "GRISTMILL_ENVIRONMENT": "production"}
    load(**production)
    found = problems(**production, GRISTMILL_MODE_OPENAI="mock")
    assert found["GRISTMILL_MODE_OPENAI"].example == "GRISTMILL_MODE_OPENAI=real"
    allowed = {"GRISTMILL_ALLOW_MOCK_IN_PRODUCTION": "1"}
    assert load(GRISTMILL_ENVIRONMENT="production", **allowed).mode is ServiceMode.MOCK


def test_production_refuses_a_stand_in_unless_it_is_allowed_by_name():
    production = {**REAL, "GRISTMILL_ENVIRONMENT": "production", "GRISTMILL_MODE": "hybrid"}
    assert list(problems(**production)) == ["GRISTMILL_MODE"]
    mock_alone = problems(**production, GRISTMILL_ALLOW_MOCK_IN_PRODUCTION="1")
    assert "GRISTMILL_ALLOW_FALLBACK_IN_PRODUCTION" in mock_alone["GRISTMILL_MODE"].right
    allowed = load(**production, GRISTMILL_ALLOW_FALLBACK_IN_PRODUCTION="1")
    assert allowed.mode is ServiceMode.HYBRID


def test_modes_to_come_are_checked_as_those_that_are():
    settings = load(**{**REAL, "OPENAI_API_KEY": "", "GRISTMILL_MODE": "mock"})
    settings.checked_in({"supabase": ServiceMode.REAL})
    with pytest.raises(InvalidSettings, match="OPENAI_API_KEY"):
        settings.checked_in({"openai": ServiceMode.HYBRID})
    assert settings.mode_of("supabase") is ServiceMode.MOCK


def test_a_services_own_mode_wins_over_the_general_one():
    settings = load(**{**REAL, "GRISTMILL_MODE": "MOCK", "GRISTMILL_MODE_OPENAI": "Real"})
    assert settings.mode_of("openai") is ServiceMode.REAL
    assert settings.mode_of("llamaparse") is ServiceMode.MOCK


# In programs


def test_a_program_can_give_settings_but_not_get_around_the_rules(tmp_path):
    settings = Settings(home=tmp_path, openai_api_key="sk-fake")  # type: ignore[arg-type]
    assert row(settings, "GRISTMILL_HOME") == (str(tmp_path), Source.CODE)
    with pytest.raises(InvalidSettings, match="OPENAI_API_KEY"):
        Settings(mode_openai=ServiceMode.REAL)


def test_settings_cannot_be_changed():
    settings = load()
    with pytest.raises(ValidationError, match="frozen"):
        settings.max_pages = 1


# What is written about them


def test_the_page_about_configuration_is_made_from_the_settings():
    page = (ROOT / "docs" / "configuration.md").read_text("utf-8")
    is_current = page == as_markdown()  # pytest takes minutes to compare two pages
    assert is_current, "make pages"


def test_every_example_is_right():
    for words in Settings.words().values():
        if words.name != "GRISTMILL_ENVIRONMENT":
            load(ROOT, **{words.name: words.example})
    load(GRISTMILL_ENVIRONMENT="production", **REAL)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("", ()),
        ("none", ()),
        ("20/minute", (("requests", 20, 60),)),
        ("5 / second", (("requests", 5, 1),)),
        ("1 request/day,1_000_000 Tokens/minute", (("requests", 1, 86400), ("tokens", 10**6, 60))),
    ],
)
def test_a_rate_is_an_amount_of_requests_or_tokens_for_a_time(given, meant):
    rates = load(GRISTMILL_RATE_OPENAI=given).rates_of("openai", is_real=False)
    assert tuple((r.unit, r.amount, r.seconds) for r in rates) == meant


@pytest.mark.parametrize("given", ["20", "0/minute", "-1/minute", "20/week", "3 pages/minute", "x",
                                   "20/minute, 30/minute", "1.5/second"])  # fmt: skip
def test_a_rate_that_makes_no_sense_is_refused(given):
    with pytest.raises(InvalidSettings, match="GRISTMILL_RATE_SUPABASE"):
        load(GRISTMILL_RATE_SUPABASE=given)


def test_parsing_is_limited_to_the_smallest_plan_of_the_vendor_unless_told_otherwise():
    assert load().rates_of("llamaparse", is_real=False) == ()
    (rate,) = load().rates_of("llamaparse", is_real=True)
    assert (rate.amount, rate.seconds) == (20, 60)
    named = load(GRISTMILL_RATE_LLAMAPARSE="none")
    assert named.rates_of("llamaparse", is_real=True) == ()


def test_the_example_file_lists_every_setting_and_loads(tmp_path):
    text = (ROOT / ".env.example").read_text("utf-8")
    lines = re.findall(r"^# ([A-Z_]+=.*)$", text, re.MULTILINE)
    assert {line.split("=")[0] for line in lines} == {w.name for w in Settings.words().values()}
    (tmp_path / ".env.development").write_text("\n".join(lines) + "\n")
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    settings, defaults = load(tmp_path), load()
    changed = {each.name for each in settings.describe()} - {
        each.name
        for each, default in zip(settings.describe(), defaults.describe(), strict=True)
        if each.value == default.value
    }
    assert changed == {
        *("DATABASE_URL", "GRISTMILL_SIMULATOR_URL", "GRISTMILL_PARSE_POLL_SECONDS", *KEYS),
        *("GRISTMILL_PARSE_LANGUAGES", "GRISTMILL_BUDGET", "GRISTMILL_PRICES_FILE"),
        *("GRISTMILL_RATE_OPENAI", "GRISTMILL_RATE_LLAMAPARSE", "GRISTMILL_RATE_SUPABASE"),
        *("GRISTMILL_MODE_OPENAI", "GRISTMILL_MODE_LLAMAPARSE", "GRISTMILL_MODE_SUPABASE"),
    }


def test_reading_settings_loads_nothing_that_a_plain_start_does_not_need():
    code = (
        "import sys; from gristmill.settings import load_settings; load_settings();"
        "print([m for m in ('pydantic_settings', 'dotenv', 'psycopg', 'asyncio', 'difflib',"
        " 'httpx', 'tomllib') if m in sys.modules])"
    )
    environ = {k: v for k, v in os.environ.items() if not k.upper().startswith("GRISTMILL_")}
    environ.pop("DATABASE_URL", None)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
        env=environ,
    )
    assert done.stdout.strip() == "[]"
