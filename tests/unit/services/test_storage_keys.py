"""Any file name becomes a legal key, and comes back."""

import re
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from yarl import URL

from gristmill import errors
from gristmill.services.supabase.keys import checked_bucket, checked_key, legal_key, original_name

# Halves of surrogate pairs are in: Python gives them for file names that are not UTF-8.
NAMES = st.text(st.characters(exclude_categories=()), max_size=400)


@given(NAMES)
@example("")
@example("!")
@example(".")
@example("..")
@example(".emptyFolderPlaceholder")
@example("Größe 50% (neu).pdf")
@example("a/b\\c?.pdf")
@example("\udcff.pdf")
@example("x" * 199 + ".")
@example("x" * 200 + "..")
def test_a_name_comes_back_from_its_key(name):
    assert original_name(legal_key(name)) == name


@given(NAMES)
@example(".")
@example("")
@example("x" * 200 + ".")
@example("x" * 199 + "..y")
def test_a_key_is_legal_and_arrives_unchanged(name):
    key = legal_key(name)
    assert checked_key(key) == key
    assert re.fullmatch(r"[A-Za-z0-9_.!/-]+", key)
    assert unquote(key) == key
    assert str(URL("http://h/").joinpath(*key.split("/"))) == f"http://h/{key}"
    assert all(part not in {"", ".", ".."} and len(part) <= 200 for part in key.split("/"))


@given(st.text(st.characters(exclude_categories=()), min_size=100, max_size=300))
@example("漢" * 255)
@example("😀" * 127 + "x")
@example("\udcff" * 255)
@example("%" * 255)
def test_the_longest_name_of_a_file_system_fits_behind_any_prefix(name):
    # as Python gives them: halves of a pair never stand side by side
    cut = name.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    while len(cut.encode("utf-16-le", "surrogatepass")) > 510:
        cut = cut[:-1]
    key = legal_key(cut)
    assert len(key) <= 690
    assert checked_key(key) == key
    assert original_name(key) == cut


def test_a_name_stays_readable_as_long_as_there_is_room():
    assert legal_key("ü" * 113).startswith("!C3!BC")
    assert legal_key("ü" * 114).startswith("!!")


@given(
    st.lists(st.sampled_from(["!", "!!", "a", "/", "\ud83d", "\ude00", "😀", "ü" * 120, ".", " "]))
)
def test_what_looks_like_an_escape_is_only_a_name(parts):
    name = "".join(parts)
    assert original_name(legal_key(name)) == name


@given(NAMES, NAMES)
def test_two_names_never_share_a_key(one, other):
    assert (legal_key(one) == legal_key(other)) == (one == other)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("report-2026_v1.pdf", "report-2026_v1.pdf"),
        ("Jahres bericht.pdf", "Jahres!20bericht.pdf"),
        ("é.txt", "!C3!A9!2Etxt"),
        (".env", "!2Eenv"),
        ("..", "!2E!2E"),
        ("a/b", "a!2Fb"),
    ],
)
def test_an_ordinary_name_stays_readable(name, key):
    assert legal_key(name) == key


@pytest.mark.parametrize(
    "name", ["", "a/b", ".", "..", " a", "a ", "a" * 101, "a%b", "ä", "a#b", "x--table-s3", "a\n"]
)
def test_a_bucket_s_name_that_would_lead_elsewhere_is_refused(name):
    with pytest.raises(errors.Rejected, match="not sent"):
        checked_bucket(name)


@pytest.mark.parametrize("name", ["a", "A b", "documents.2026", "a" * 100, "(!*')&$@=;:+,?-_"])
def test_a_bucket_s_name_may_be_what_the_server_takes(name):
    assert checked_bucket(name) == name
