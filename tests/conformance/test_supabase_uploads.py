"""Uploads, raw and multipart, as storage3 sees them."""

from base64 import b64encode

import httpx
import pytest
from storage3 import AsyncStorageClient
from storage3.exceptions import StorageApiError
from storage_calls import SERVICE, TEXT, refusal, seen, switch


async def taken(http: httpx.AsyncClient) -> None:
    """The server has taken up what was sent before: it has answered what was sent after it."""
    for _ in range(5):  # the first is answered while the connection before it is still set up
        await http.get("/supabase/status")


async def test_a_second_upload_is_a_duplicate_unless_it_says_upsert(docs):
    await docs.upload("a.txt", b"one", TEXT)
    first = await docs.info("a.txt")
    with pytest.raises(StorageApiError) as error:
        await docs.upload("a.txt", b"two", TEXT)
    assert seen(error) == ("409", "Duplicate")
    await docs.upload("a.txt", b"three", {**TEXT, "upsert": "true"})
    second = await docs.info("a.txt")
    assert await docs.download("a.txt") == b"three"
    assert first["id"] == second["id"]
    assert first["version"] != second["version"]


async def test_update_creates_what_is_absent_and_user_metadata_is_kept(docs):
    await docs.update("new.txt", b"x", {**TEXT, "metadata": {"doc": "D-17"}})
    assert (await docs.info("new.txt"))["metadata"] == {"doc": "D-17"}
    await docs.update("new.txt", b"y", TEXT)
    assert (await docs.info("new.txt"))["metadata"] == {}


@pytest.mark.parametrize("key", ["été.txt", "a#b", "a%25b", "[x]"])
async def test_keys_outside_the_allowed_set_are_refused(docs, key):
    with pytest.raises(StorageApiError) as error:
        await docs.upload(key, b"x", TEXT)
    assert seen(error) == ("400", "InvalidKey")


async def test_limits_of_the_bucket_are_kept(storage: AsyncStorageClient):
    options = {"file_size_limit": 10, "allowed_mime_types": ["text/plain", "image/*"]}
    await storage.create_bucket("small", options=options)
    small = storage.from_("small")
    await small.upload("a.txt", b"0123456789", TEXT)
    with pytest.raises(StorageApiError) as error:
        await small.upload("b.txt", b"0123456789a", TEXT)
    assert seen(error) == ("413", "Payload too large")
    with pytest.raises(StorageApiError) as error:
        await small.upload("c.pdf", b"x", {"content-type": "application/pdf"})
    assert seen(error) == ("415", "invalid_mime_type")
    await small.upload("d.png", b"x", {"content-type": "image/png"})
    assert [entry["name"] for entry in await small.list()] == ["a.txt", "d.png"]


async def test_a_raw_upload_keeps_its_headers(docs, http: httpx.AsyncClient):
    async def chunks():
        yield b"hello "
        yield b"world"

    headers = {**SERVICE, "content-type": "text/csv", "cache-control": "max-age=9"}
    made = await http.post(f"/supabase/object/{docs.id}/raw.csv", content=chunks(), headers=headers)
    assert made.json()["Key"] == f"{docs.id}/raw.csv"
    got = await http.get(f"/supabase/object/{docs.id}/raw.csv", headers=SERVICE)
    assert got.content == b"hello world"
    assert got.headers["content-type"] == "text/csv"
    assert got.headers["cache-control"] == "max-age=9"


async def test_user_metadata_comes_by_header_for_raw_bodies(docs, http: httpx.AsyncClient):
    encoded = {"x-metadata": "eyJkb2MiOiAiRC0xNyJ9"}
    await http.post(f"/supabase/object/{docs.id}/a", content=b"x", headers={**SERVICE, **encoded})
    assert (await docs.info("a"))["metadata"] == {"doc": "D-17"}
    broken = {"x-metadata": "%%", "x-upsert": "true"}
    await http.post(f"/supabase/object/{docs.id}/a", content=b"x", headers={**SERVICE, **broken})
    assert (await docs.info("a"))["metadata"] == {}


async def test_the_type_of_a_form_s_file_loses_its_parameters(docs):
    await docs.upload("a.txt", b"x")  # the SDK says text/plain;charset=UTF-8
    assert (await docs.info("a.txt"))["content_type"] == "text/plain"
    await docs.upload("b.csv", b"x", {"content-type": "Text/CSV; header=present"})
    assert (await docs.info("b.csv"))["content_type"] == "text/csv"


async def test_cache_control_of_a_form_is_seconds_whatever_it_says(docs):
    await docs.upload("a.txt", b"x", {**TEXT, "cache-control": "60"})
    assert (await docs.info("a.txt"))["cache_control"] == "max-age=60"
    await docs.upload("b.txt", b"x", {**TEXT, "cache-control": "max-age=9"})
    assert (await docs.info("b.txt"))["cache_control"] == "max-age=max-age=9"


async def test_user_metadata_must_be_an_object(docs):
    listed = {**TEXT, "metadata": ["D-17"]}
    assert await refusal(docs.upload("a.txt", b"x", listed)) == ("400", "InvalidParameter")
    assert not await docs.exists("a.txt")


async def test_user_metadata_over_a_mebibyte_is_lost_without_a_word(docs):
    await docs.upload("a.txt", b"x", {**TEXT, "metadata": {"note": "x" * 1024 * 1024}})
    assert (await docs.info("a.txt"))["metadata"] == {}


async def test_the_header_of_user_metadata_is_not_read_with_a_form(docs):
    headers = {"x-metadata": "eyJkb2MiOiAiRC0xNyJ9"}
    await docs.upload("a.txt", b"x", {**TEXT, "headers": headers})
    assert (await docs.info("a.txt"))["metadata"] == {}


async def test_a_folder_s_placeholder_is_empty_and_of_any_type(new_bucket):
    strict = await new_bucket(file_size_limit=10, allowed_mime_types=["image/png"])
    await strict.upload("dir/.emptyFolderPlaceholder", b"", TEXT)
    full = strict.upload("other/.emptyFolderPlaceholder", b"x", TEXT)
    assert await refusal(full) == ("413", "Payload too large")
    assert [entry["name"] for entry in await strict.list()] == ["dir"]


async def test_rules_for_crawlers_are_checked_and_kept(docs):
    wrong = {**TEXT, "headers": {"x-robots-tag": "noindex, nonsense"}}
    assert await refusal(docs.upload("a.txt", b"x", wrong)) == ("400", "invalid_x_robots_tag")
    right = {**TEXT, "headers": {"x-robots-tag": "googlebot: noindex, max-snippet: 20"}}
    await docs.upload("a.txt", b"x", right)
    (entry,) = await docs.list()
    assert entry["metadata"]["xRobotsTag"] == "googlebot: noindex, max-snippet: 20"


async def test_rules_for_crawlers_are_sent_with_the_object(docs, http):
    await docs.upload("a.txt", b"x", {**TEXT, "headers": {"x-robots-tag": "noindex"}})
    await docs.upload("b.txt", b"x", TEXT)
    for key, tag in (("a.txt", "noindex"), ("b.txt", "none")):
        answer = await http.get(f"/supabase/object/{docs.id}/{key}", headers=SERVICE)
        assert answer.headers["x-robots-tag"] == tag


async def test_limits_and_keys_are_checked_before_rights_are(new_bucket, anonymous):
    small = await new_bucket(file_size_limit=10, allowed_mime_types=["text/plain"])
    stranger = anonymous.from_(small.id)
    nowhere = anonymous.from_("no-such-bucket-anywhere")
    pdf = {"content-type": "application/pdf"}
    assert await refusal(nowhere.upload("é.txt", b"x", pdf)) == ("404", "Bucket not found")
    assert await refusal(stranger.upload("é.txt", b"x", pdf)) == ("415", "invalid_mime_type")
    assert await refusal(stranger.upload("é.txt", b"x", TEXT)) == ("400", "InvalidKey")
    assert await refusal(stranger.upload("a.txt", b"x", TEXT)) == ("403", "Unauthorized")


async def test_a_form_s_size_is_known_last_and_a_raw_body_s_is_declared(new_bucket, http):
    small = await new_bucket(file_size_limit=10)
    path = f"/supabase/object/{small.id}"
    form = await http.post(f"{path}/é", files={"file": ("a", b"x" * 11)}, headers=SERVICE)
    assert form.json()["code"] == "InvalidKey"
    raw = await http.post(f"{path}/é", content=b"x" * 11, headers=SERVICE)
    assert raw.json()["code"] == "EntityTooLarge"


async def test_a_raw_body_without_a_length_is_not_limited(new_bucket, http):
    small = await new_bucket(file_size_limit=10)

    async def chunks():
        yield b"x" * 11

    path = f"/supabase/object/{small.id}/a"
    assert (await http.post(path, content=chunks(), headers=SERVICE)).status_code == 200
    assert (await small.info("a"))["size"] == 11


async def test_uploads_in_one_request_have_a_limit_of_their_own(docs, http, control):
    await switch(control, standard_upload_size_limit=10)
    assert await refusal(docs.upload("a", b"x" * 11, TEXT)) == ("413", "Payload too large")
    await docs.upload("a", b"x" * 10, TEXT)
    name, key = b64encode(docs.id.encode()).decode(), b64encode(b"b").decode()
    headers = {"upload-metadata": f"bucketName {name},objectName {key}", "upload-length": "11"}
    headers |= {"tus-resumable": "1.0.0", **SERVICE}
    resumable = await http.post("/supabase/upload/resumable", headers=headers)
    assert resumable.status_code == 201


async def test_the_type_of_a_raw_body_must_match_with_its_parameters(new_bucket, http):
    strict = await new_bucket(allowed_mime_types=["text/plain"])
    path, kind = f"/supabase/object/{strict.id}/a", "text/plain;charset=UTF-8"
    raw = await http.post(path, content=b"x", headers={**SERVICE, "content-type": kind})
    assert raw.json()["message"] == f"mime type {kind} is not supported"


async def test_a_form_may_name_the_type_and_has_one_file_with_a_name(docs, http):
    path = f"/supabase/object/{docs.id}/a"
    for files in ({"other": (None, b"x")}, {"file": (None, b"x", "text/plain")}):
        refused = await http.post(path, files=files, headers=SERVICE)
        assert refused.json() == {
            "statusCode": "400",
            "error": "InvalidRequest",
            "message": "No content provided",
            "code": "InvalidRequest",
        }
    named = {"contentType": "text/csv", "userMetadata": '{"doc": "D-17"}'}
    await http.post(path, data=named, files={"any": ("a", b"x", "text/plain")}, headers=SERVICE)
    info = await docs.info("a")
    assert (info["content_type"], info["metadata"]) == ("text/csv", {"doc": "D-17"})


async def test_a_form_has_ten_fields_at_most_beside_its_file(docs, http):
    path, file = f"/supabase/object/{docs.id}/a", {"file": ("a", b"x")}
    fields = {f"f{number}": "x" for number in range(11)}
    refused = await http.post(path, data=fields, files=file, headers=SERVICE)
    assert refused.json()["statusCode"] == "400"
    assert refused.json()["message"] == "reach fields limit"
    del fields["f10"]
    assert (await http.post(path, data=fields, files=file, headers=SERVICE)).status_code == 200


async def test_of_two_first_uploads_at_once_both_succeed_and_the_last_to_end_wins(docs, http):
    path, inner = f"/supabase/object/{docs.id}/a", []

    async def slowly():
        yield b"first to "
        await taken(http)
        inner.append(await http.post(path, content=b"last to begin", headers=SERVICE))
        yield b"begin"

    outer = await http.post(path, content=slowly(), headers=SERVICE)
    assert [outer.status_code, inner[0].status_code] == [200, 200]
    assert outer.json()["Id"] == inner[0].json()["Id"]
    assert await docs.download("a") == b"first to begin"


async def test_a_bucket_deleted_during_an_upload_is_a_missing_related_resource(docs, storage, http):
    async def chunks():
        yield b"x"
        await taken(http)
        await storage.delete_bucket(docs.id)
        yield b"y"

    late = await http.post(f"/supabase/object/{docs.id}/a", content=chunks(), headers=SERVICE)
    assert (late.status_code, late.json()["statusCode"]) == (400, "404")
    assert late.json()["message"] == "The related resource does not exist"


async def test_a_head_of_more_than_16_kib_is_refused_with_a_true_431(docs, http):
    headers = {**SERVICE, "x-metadata": "x" * 16 * 1024}
    answer = await http.post(f"/supabase/object/{docs.id}/a", content=b"x", headers=headers)
    assert answer.status_code == 431
