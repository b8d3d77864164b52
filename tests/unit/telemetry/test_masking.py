"""A secret never survives; what is none does."""

import json
import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.services import failures
from gristmill.telemetry.masking import MASK, know, mask, masked

ALNUM = string.ascii_letters + string.digits
BODY = st.text(ALNUM, min_size=32, max_size=64)
PASSWORD = st.text(ALNUM + "!$%*+-._~", min_size=12, max_size=30)


@st.composite
def secrets(draw):
    """A text with a secret in it, and the secret alone."""
    body = draw(BODY)
    shapes = {
        f"sk-{body}": body,
        f"sk-proj-{body}": body,
        f"sk-svcacct-{body[:16]}_{body[16:]}": body[16:],
        f"llx-{body}": body,
        f"sb_secret_{body}": body,
        f"whsec_{body}": body,
        f"eyJhbGciOiJIUzI1NiJ9.eyJ{body}.{body[::-1]}": body[::-1],
        f"Bearer {body}": body,
        f"Authorization: Basic {body}==": body,
        f"https://h.test/object/sign/b/k.pdf?token={body}": body,
        f"https://h.test/k?x=1&X-Amz-Signature={body}": body,
    }
    password = draw(PASSWORD)
    shapes |= {
        f"postgresql://user:{password}@db.test:5432/postgres": password,
        f"postgres://user:{password}/@{password}@db.test/postgres": password,
        f"https://user:{password}@h.test/": password,
        f"host=db.test user=u password={password} dbname=d": password,
        f"host=db.test password='{password} \\' {password}'": password,
        f'{{"api_key": "{password}"}}': password,
        f"{{'OPENAI_API_KEY': '{password}'}}": password,
        f"SUPABASE_SERVICE_ROLE_KEY={password}": password,
    }
    return draw(st.sampled_from(sorted(shapes.items())))


AROUND = st.text(max_size=30).map(lambda text: text + " ")


@given(secrets(), AROUND, AROUND)
def test_a_secret_does_not_survive_in_any_text(secret, before, after):
    shown, hidden = secret
    text = before + shown + " " + after
    clean = masked(text)
    assert hidden not in clean or hidden in before + after
    assert MASK in clean


@given(secrets())
def test_a_secret_does_not_survive_in_the_repr_of_a_text(secret):
    shown, hidden = secret
    assert hidden not in masked(repr(f"first line\n{shown}\nnext line"))
    assert hidden not in masked(repr(f"a\t{shown}".encode()))
    assert hidden not in masked(json.dumps({"said": f"line\n{shown}"}))


def containers(leaf):
    return st.one_of(
        leaf,
        leaf.map(lambda text: [1, text, None]),
        leaf.map(lambda text: ({"x": text},)),
        leaf.map(lambda text: {"a": {"b": [text]}}),
        leaf.map(lambda text: {text: 1}),
        leaf.map(lambda text: text.encode()),
        leaf.map(ValueError),
        leaf.map(lambda text: ExceptionGroup(text, [ValueError(text)])),
        leaf.map(lambda text: type("Odd", (), {"__repr__": lambda _: text})()),
    )


@given(secrets().flatmap(lambda s: st.tuples(containers(st.just(s[0])), st.just(s[1]))))
def test_a_secret_does_not_survive_in_any_value(case):
    value, hidden = case
    assert hidden not in repr(mask(value))


@given(st.text(min_size=1).filter(lambda text: text not in MASK), st.integers(0, 20))
def test_what_stands_under_the_name_of_a_secret_is_masked_whatever_it_is(value, depth):
    hidden = f"<{value}>"
    nested = {"api_key": hidden}
    for _ in range(depth):
        nested = {"inner": nested}
    if depth < 8:
        assert hidden not in repr(mask(nested))


@pytest.mark.parametrize(
    "name",
    ["api_key", "OPENAI_API_KEY", "Authorization", "password", "sslpassword", "client_secret",
     "x-api-key", "apikey", "token", "access_token", "Set-Cookie", "supabase_service_role_key"],
)  # fmt: skip
def test_names_of_secrets_are_known(name):
    assert mask({name: "anything", name.encode(): b"anything"}) == {
        name: MASK,
        repr(name.encode()): MASK,
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "risk-free and task-based",
        "desk-top",
        "tokens=12 max_tokens: 5 secrets",
        "https://api.openai.com/v1/embeddings?limit=20&after=x",
        "/home/u/papers/monkey.pdf",
        "2026-11-23T10:00:00Z service.call",
        "the bearer of bad news",
        "keys: a, b; key=7",
        "mailto:someone@example.test",
        "postgresql://user@db.test/postgres",
        "0f8fad5b-d9cb-469f-a165-70867728950e",
    ],
)
def test_what_is_no_secret_stays(text):
    assert masked(text) == text.replace("bearer of", f"bearer {MASK}")


@given(secrets(), AROUND)
def test_masking_again_changes_nothing(secret, before):
    once = masked(before + secret[0])
    assert masked(once) == once


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False)))
def test_numbers_and_nothing_keep_their_type(value):
    assert mask(value) is value or mask(value) == value


def test_a_value_that_holds_itself_comes_to_an_end():
    ring = []
    ring.append(ring)
    assert "[" in repr(mask(ring))


@pytest.mark.parametrize("text", ["a" * 200_000, "a-" * 100_000, "a." * 100_000, "://" * 50_000])
def test_long_texts_take_linear_time(text):
    masked(text)  # quadratic matching would run into the time limit of the test


@pytest.mark.parametrize(
    "piece", ["eyJ", "sk-", "llx-", "token=", "?token=", "bearer ", "postgres://a:", "aa://b:",
              "api_key='", 'api_key=\\"', "authorization: basic ", "a-", "eyJaaaa.", "whsec_"],
)  # fmt: skip
def test_no_text_takes_long_to_mask(piece):
    """Vendors and files decide what is masked; quadratic time would hold everything up."""
    text = piece * (60_000 // len(piece))
    started = time.process_time()
    masked(text)
    failures.masked(text)
    assert time.process_time() - started < 2


def test_what_is_known_as_a_secret_is_masked_whatever_it_looks_like():
    secret = "plainlookingwords"
    assert masked(f"a {secret} b") == f"a {secret} b"
    know(secret)
    know("tooshort")
    assert masked(f"a {secret} b tooshort") == f"a {MASK} b tooshort"
