"""Logs: structured, correlated, masked, and silent until asked."""

import io
import json
import logging
import subprocess
import sys

import pytest

from gristmill.telemetry.correlation import bound
from gristmill.telemetry.logging import MaskingFilter, configure, get_logger

KEY = "sk-test-not-a-real-key-0123456789"


def fail(said):
    key = KEY  # a traceback that shows local variables would show it
    raise ValueError(said, len(key))


@pytest.fixture
def logs():
    """Configures logging to a buffer and puts everything back."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    stream = io.StringIO()

    def configured(*arguments):
        configure(*arguments, stream=stream)
        return stream

    yield configured
    root.setLevel(level)
    root.handlers[:] = handlers


def lines(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_line_of_json_with_facts_and_ids(logs):
    stream = logs("INFO", "json")
    with bound(document="d1", collection="papers", job="7"):
        get_logger("gristmill.part").info("document.step", stage="parse", pages=3)
    (line,) = lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "document.step", "stage": "parse", "pages": 3, "level": "info",
        "logger": "gristmill.part", "document": "d1", "collection": "papers", "job": "7",
    }  # fmt: skip


def test_what_an_event_says_itself_wins_over_the_ids_in_force(logs):
    stream = logs("INFO", "json")
    with bound(document="d1"):
        get_logger("gristmill.part").info("document.merged", document="d2")
    assert lines(stream)[0]["document"] == "d2"


def test_nothing_below_the_level_is_shown(logs):
    stream = logs("WARNING", "json")
    log = get_logger("gristmill.part")
    log.info("quiet")
    log.warning("loud")
    assert [line["event"] for line in lines(stream)] == ["loud"]


@pytest.mark.parametrize("form", ["json", "console"])
def test_no_secret_is_shown_in_facts_names_or_tracebacks(logs, form):
    stream = logs("INFO", form)
    log = get_logger("gristmill.part")
    try:
        fail(f"refused {KEY}")
    except ValueError as error:
        log.exception("failed", error=error, headers={"apikey": "odd", "x": [KEY]})
    shown = stream.getvalue()
    assert "ValueError: ('refused ***', 33)" in shown
    assert KEY not in shown
    assert "odd" not in shown


@pytest.mark.parametrize("form", ["json", "console"])
def test_what_other_libraries_log_is_masked_and_correlated_too(logs, form):
    stream = logs("INFO", form)
    url = "https://h.test/object/sign/b/k?token=a.b.c"
    with bound(document="d1"):
        logging.getLogger("httpx").info('HTTP Request: GET %s "HTTP/1.1 200 OK"', url)
        try:
            fail(KEY)
        except ValueError:
            logging.getLogger("other").exception("with %s", KEY)
    shown = stream.getvalue()
    assert "token=***" in shown
    assert "a.b.c" not in shown
    assert KEY not in shown
    assert shown.count("d1") == 2


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_terminal_is_shown_nothing_that_it_would_obey(logs, form):
    """Names of files, vendors' errors, messages of other libraries and exceptions hold anything."""
    stream = logs("INFO", form)
    hostile = "\x1b]0;owned\x07\x9b2J\u202e\udcff\nfaked line"
    get_logger("gristmill.part").info("document.step", said=hostile, **{hostile: [hostile]})
    logging.getLogger("other").warning(hostile)
    assert len(stream.getvalue().splitlines()) == 2
    try:
        fail(hostile)
    except ValueError:
        logging.getLogger("other").exception("failed")
    assert stream.getvalue().replace("\n", "").isprintable()


def test_json_means_the_same_when_it_is_made_printable(logs):
    stream = logs("INFO", "json")
    hostile = 'caf\xe9 \x1b]0;owned\x07\x9b2J\u202e\U000e0041\n"\\'
    get_logger("gristmill.part").info("document.step", said=hostile)
    assert lines(stream)[0]["said"] == hostile
    assert "caf\xe9" in stream.getvalue()


def test_configuring_again_replaces_the_output(logs):
    logs("INFO", "json")
    stream = logs("INFO", "json")
    get_logger("gristmill.part").info("once")
    assert len(lines(stream)) == 1


def test_a_level_that_does_not_exist_is_refused(logs):
    with pytest.raises(ValueError, match="LOUD"):
        logs("LOUD")


def test_a_host_that_logs_by_itself_gets_masked_events_without_configuring(caplog):
    caplog.set_level(logging.INFO)
    get_logger("gristmill.part").info("event", said=KEY, password="odd")
    assert "event" in caplog.text
    assert KEY not in caplog.text
    assert "odd" not in caplog.text


def test_the_filter_masks_the_records_of_a_hosts_own_handlers():
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(MaskingFilter())
    logger = logging.Logger("host")  # noqa: LOG001 — a logger of this test alone
    logger.addHandler(handler)
    try:
        fail(KEY)
    except ValueError:
        logger.exception("GET %s", f"https://h.test/?token={KEY}")
    shown = stream.getvalue()
    assert "GET https://h.test/?token=***" in shown
    assert "ValueError: ('***', 33)" in shown
    assert KEY not in shown


def test_the_filter_leaves_our_own_events_as_they_are(caplog):
    caplog.handler.addFilter(MaskingFilter())
    get_logger("gristmill.part").warning("event", said=KEY, pages=3)
    (record,) = caplog.records
    assert (record.msg["event"], record.msg["said"], record.msg["pages"]) == ("event", "***", 3)


def test_nothing_is_printed_and_nothing_configured_by_importing_and_using_it():
    program = (
        "import logging, structlog\n"
        "from gristmill.telemetry.logging import get_logger\n"
        "get_logger('gristmill.part').info('quiet')\n"
        "assert not logging.getLogger().handlers and not structlog.is_configured()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
