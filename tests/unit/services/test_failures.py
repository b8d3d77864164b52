"""Waiting times, masking and the effect of a status: pure functions over text."""

import subprocess
import sys
from datetime import UTC, datetime

import httpx
import pytest
from classified import EFFECTS, check_prose
from hypothesis import given
from hypothesis import strategies as st

from gristmill import errors
from gristmill.services import failures

NOW = datetime(2026, 11, 23, 9, 0, 0, tzinfo=UTC)


def as_go_writes_it(milliseconds):
    """Go's notation of a duration in whole milliseconds."""
    if milliseconds == 0:
        return "0s"
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{rest / 1000:.3f}".rstrip("0").rstrip(".")
    return (
        (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + f"{seconds}s"
    )


@given(st.integers(0, 10**9))
def test_a_duration_of_go_is_read_back(milliseconds):
    assert failures.duration(as_go_writes_it(milliseconds)) == pytest.approx(milliseconds / 1000)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("6ms", 0.006), ("2.812s", 2.812), ("20s", 20), ("6m0s", 360), ("7m12s", 432),
        ("4m12.172s", 252.172), ("23h18m29.144s", 83909.144), ("0s", 0), ("1h", 3600),
    ],
)  # fmt: skip
def test_recorded_durations_are_read(text, seconds):
    assert failures.duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "soon", "-1s", "1", "s", "1d", "1s2m", "nan"])
def test_what_is_no_duration_is_none(text):
    assert failures.duration(text) is None


@pytest.mark.parametrize(
    ("headers", "said", "seconds"),
    [
        ({}, "", None),
        ({"retry-after": "3"}, "", 3),
        ({"retry-after": "0.5"}, "", 0.5),
        ({"retry-after": "0"}, "", 0),
        ({"retry-after": "Mon, 23 Nov 2026 09:01:30 GMT"}, "", 90),
        ({"retry-after": "Mon, 23 Nov 2026 08:00:00 GMT"}, "", None),
        ({"retry-after": "tomorrow"}, "", None),
        ({"retry-after": "-5"}, "", None),
        ({"retry-after": "nan"}, "", None),
        ({"retry-after": "inf"}, "", None),
        ({"retry-after-ms": "1500"}, "", 1.5),
        ({"retry-after-ms": "1500", "retry-after": "1"}, "", 1.5),
        ({"retry-after": "1"}, "Please try again in 2.812s. Visit", 2.812),
        ({}, "Please try again in 120ms.", 0.12),
        ({}, "try again in 7m12s", 432),
        ({}, "try again in a while", None),
    ],
)
def test_the_longest_wait_that_was_asked_for_is_kept(headers, said, seconds):
    wait = failures.seconds_to_wait(headers, said, NOW)
    assert wait == (None if seconds is None else pytest.approx(seconds))


@given(st.text(), st.text())
def test_reading_a_wait_never_fails(header, said):
    wait = failures.seconds_to_wait({"retry-after": header, "retry-after-ms": header}, said, NOW)
    assert wait is None or wait >= 0


SECRETS = [
    "sk-proj-abcdefgh12345678",
    "llx-abcdefgh12345678",
    "sb_secret_abcdefgh",
    "sb_publishable_abcdefgh",
    "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoiYW5vbiJ9.c2lnbmF0dXJl",
]


@pytest.mark.parametrize("secret", SECRETS)
@given(before=st.text(" .:\"'=&", max_size=5), after=st.sampled_from(["", " ", '"', "'", ", then"]))
def test_a_key_in_a_text_is_masked(secret, before, after):
    assert secret not in failures.masked(f"{before}{secret}{after}")


def test_signed_addresses_bearers_and_the_very_key_are_masked():
    text = "GET https://h/object?token=abc.def&download= with Bearer tok3n and hunter2"
    assert failures.masked(text, "hunter2") == (
        "GET https://h/object?token=***&download= with Bearer *** and ***"
    )


def test_what_a_vendor_masked_itself_loses_its_ends_too():
    """They show the first and the last letters, most of a short key."""
    text = "Incorrect API key provided: gatewayk****1234. See https://vendor.test/keys."
    assert failures.masked(text) == (
        "Incorrect API key provided: ***. See https://vendor.test/keys."
    )


def test_ordinary_words_are_not_masked():
    text = "The task-oriented model risk-based-approach does not exist (keyjob)"
    assert failures.masked(text) == text


@given(st.integers(100, 999), st.booleans())
def test_only_a_server_error_after_a_harmful_request_is_of_unknown_outcome(status, safe):
    kind = failures.by_status(status, safe=safe)
    if kind is errors.OutcomeUnknown:
        assert not safe
        assert status >= 500 or status in {408, 499}
    assert (kind is errors.Throttled) == (status == 429)


def test_a_long_answer_is_cut_and_shows_it():
    error = failures.failure(errors.Rejected, "openai", "word " * 10_000)
    assert len(str(error)) < 400
    assert str(error).endswith("word…")


UNANSWERED = [
    # what httpx says, error, sentence
    (httpx.ConnectError("Connection refused at h:1"), errors.Unavailable, "cannot be reached: Connection refused at h:1."),
    (httpx.ConnectTimeout("no connection within the time for it"), errors.Unavailable, "cannot be reached: no connection within the time for it."),
    (httpx.UnsupportedProtocol("Unsupported URL protocol 'ftp://'"), errors.Unavailable, "cannot be reached: Unsupported URL protocol 'ftp://'."),
    (httpx.ReadTimeout(""), errors.OutcomeUnknown, "did not answer in time, after the request was sent."),
    (httpx.WriteTimeout(""), errors.OutcomeUnknown, "did not answer in time, after the request was sent."),
    (httpx.ReadError("Server disconnected"), errors.OutcomeUnknown, "broke off the connection, after the request was sent: Server disconnected."),
    (httpx.RemoteProtocolError("what came back is no HTTP"), errors.OutcomeUnknown, "gave no usable answer after the request was sent: what came back is no HTTP."),
    (httpx.DecodingError("it is coded as 'br'"), errors.InvalidResponse, "broke its own contract: the answer cannot be read: it is coded as 'br'."),
]  # fmt: skip


@pytest.mark.parametrize("row", UNANSWERED, ids=lambda row: type(row[0]).__name__)
def test_a_request_without_an_answer_says_how_far_it_came(row):
    cause, kind, sentence = row
    error = failures.unreachable("openai", cause)
    assert type(error) is kind
    assert (error.retryable, error.no_effect) == EFFECTS[kind]
    assert str(error) == f"OpenAI {sentence}"
    check_prose(error)


def test_what_is_no_failure_of_the_connection_is_left_to_others():
    assert failures.unreachable("openai", ValueError("ours")) is None


def test_importing_the_adapters_loads_no_sdk():
    code = (
        "import sys, gristmill.services.openai, gristmill.services.llamaparse, "
        "gristmill.services.supabase\n"
        "loaded = {'openai', 'llama_cloud', 'storage3', 'httpx2', 'aiohttp'} & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
