"""The two lists of the storage simulator: their pages put together are the whole."""

import re
import sqlite3

from hypothesis import example, given
from hypothesis import strategies as st

from gristmill_simulators.supabase_storage import state
from gristmill_simulators.supabase_storage.listing_v1 import ListingV1
from gristmill_simulators.supabase_storage.listing_v2 import ListingV2

KEYS = st.lists(st.text("aAb/.", min_size=1, max_size=5), min_size=1, max_size=12, unique=True)
LIMITS = st.integers(1, 4)
PREFIXES = st.sampled_from(["", "a", "a/", "A/b"])
ORDERS = st.sampled_from(["asc", "desc"])
COLUMNS = st.sampled_from(["name", "created_at", "updated_at"])


def rows(keys: list[str], times: tuple[float, ...] = (0.0,)) -> list[sqlite3.Row]:
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row
    connection.executescript(state.SCHEMA)
    for n, key in enumerate(keys):
        at = times[n % len(times)]
        row = {"bucket_id": "b", "name": key, "id": f"id-{n}", "version": "v", "owner": ""}
        row |= {"size": 1, "content_type": "text/plain", "cache_control": "no-cache"}
        row |= {"etag": '"e"', "user_metadata": "{}", "created_at": at, "updated_at": at + 1}
        state.put_object(connection, row)
    found = connection.execute("SELECT * FROM storage_objects").fetchall()
    connection.close()
    return found


def under(prefix: str, keys: list[str], times: tuple[float, ...] = (0.0,)) -> list[sqlite3.Row]:
    return [row for row in rows(keys, times) if row["name"].startswith(prefix)]


@given(KEYS, PREFIXES, LIMITS, COLUMNS, ORDERS)
def test_pages_of_the_new_list_have_every_key_once_and_in_order(keys, prefix, limit, column, order):
    found = under(prefix, keys, (5.0, 3.0, 3.0))
    ask = {"prefix": prefix, "sortBy": {"column": column, "order": order}}
    whole = ListingV2(ask).page(found)["objects"]
    read, cursor = [], {}
    while cursor is not None:
        page = ListingV2({**ask, "limit": limit, **cursor}).page(found)
        read += page["objects"]
        cursor = {"cursor": page["nextCursor"]} if page["hasNext"] else None
    assert read == whole
    assert sorted(entry["name"] for entry in whole) == sorted(row["name"] for row in found)


@given(KEYS, PREFIXES)
@example(["a/", "a///"], "")
def test_a_delimiter_hides_no_key_it_only_gathers_them(keys, prefix):
    found = under(prefix, list(dict.fromkeys(re.sub("/+", "/", key) for key in keys)))
    page = ListingV2({"prefix": prefix, "with_delimiter": True}).page(found)
    folders = [folder["name"] for folder in page["folders"]]
    objects = {entry["name"] for entry in page["objects"]}
    assert len(folders) == len(set(folders))
    for row in found:
        gathered = any(row["name"].startswith(folder) for folder in folders)
        assert (row["name"] in objects) != gathered


@given(KEYS, LIMITS, COLUMNS, ORDERS)
def test_pages_of_the_old_list_are_the_whole_cut_in_pieces(keys, limit, column, order):
    found = rows(keys, (5.0, 3.0))
    ask = {"prefix": "", "sortBy": {"column": column, "order": order}}
    whole = ListingV1(ask).entries(found)
    pages = [
        ListingV1({**ask, "limit": limit, "offset": at}).entries(found)
        for at in range(0, len(whole) + 1, limit)
    ]
    assert [entry for page in pages for entry in page] == whole


def test_the_old_list_orders_by_the_whole_key_so_that_a_dash_precedes_a_folder():
    found = rows(["sub/x", "sub-1", "sub0"])
    listed = [entry["name"] for entry in ListingV1({"prefix": ""}).entries(found)]
    assert listed == ["sub-1", "sub", "sub0"]


@given(KEYS, LIMITS)
def test_by_name_the_delimited_pages_lose_only_what_sorts_between_a_key_and_its_slash(keys, limit):
    # a folder without a name ends no page: its cursor would begin again
    found = rows([key for key in keys if not key.startswith("/")])
    ask = {"prefix": "", "with_delimiter": True}
    whole = names(ListingV2(ask).page(found))
    read, ends, cursor = [], [], {}
    while cursor is not None and len(ends) <= len(keys):
        page = ListingV2({**ask, "limit": limit, **cursor}).page(found)
        read += names(page)
        ends += [page.get("nextCursorKey", "")]
        cursor = {"cursor": page["nextCursor"]} if page["hasNext"] else None
    for name in set(whole) - set(read):
        assert any(end and end < name <= end + "/" for end in ends)
    assert set(read) <= set(whole)


def names(page) -> list[str]:
    return [entry["name"] for entry in (*page["folders"], *page["objects"])]
