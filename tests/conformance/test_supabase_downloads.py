"""Downloads, whole and in part, and what stands beside them, as storage3 and browsers see them."""

import hashlib
from email.utils import formatdate

import httpx
import pytest
from flavours import resolved
from storage_calls import ANON, SERVICE, TEXT, refusal, switch

GATEWAY = "/supabase/storage/v1"
HELLO = b"hello, world"
DAY = 86_400


@pytest.fixture
async def hello(docs, http: httpx.AsyncClient):
    """Gets the object `a.txt` with the headers named, such as `get(range="bytes=0-4")`."""
    await docs.upload("a.txt", HELLO, TEXT | {"cache-control": "60"})

    async def get(method: str = "GET", **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        path = f"{GATEWAY}/object/{docs.id}/a.txt"
        return await http.request(method, path, headers=SERVICE | named)

    return get


async def sent_bytes(control: httpx.AsyncClient) -> int:
    return (await control.get("/billed")).json()["supabase"]["egress_bytes"]


async def test_an_object_comes_back_as_it_was_uploaded(docs):
    content = bytes(range(256)) * 5000  # larger than one piece
    made = await docs.upload("a/b c.bin", content, {"content-type": "application/octet-stream"})
    assert made.full_path == f"{docs.id}/a/b c.bin"
    assert await docs.download("a/b c.bin") == content
    info = await docs.info("a/b c.bin")
    assert info["size"] == len(content)
    assert info["etag"] == f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'
    assert info["cache_control"] == "max-age=3600"
    assert await docs.exists("a/b c.bin")


async def test_a_download_says_what_it_is_and_how_long_it_may_be_kept(hello, clock):
    answer = await hello()
    assert (answer.status_code, answer.content) == (200, HELLO)
    expected = {
        "accept-ranges": "bytes",
        "cache-control": "max-age=60",
        "content-length": "12",
        "content-type": "text/plain",
        "etag": f'"{hashlib.md5(HELLO, usedforsecurity=False).hexdigest()}"',
        "last-modified": formatdate(clock(), usegmt=True),
        "x-robots-tag": "none",
    }
    assert expected.items() <= dict(answer.headers).items()
    assert "content-disposition" not in answer.headers


@pytest.mark.parametrize(
    ("wanted", "start", "stop"),
    [
        ("bytes=0-4", 0, 5),
        ("bytes=7-", 7, 12),
        ("bytes=-5", 7, 12),
        ("bytes=7-999", 7, 12),  # to the end
        ("bytes=-999", 0, 12),  # all of it, still in part
        ("bytes=11-11", 11, 12),
    ],
)
async def test_a_range_is_one_part_of_the_bytes(hello, control, wanted, start, stop):
    part = await hello(range=wanted)
    assert (part.status_code, part.content) == (206, HELLO[start:stop])
    assert part.headers["content-range"] == f"bytes {start}-{stop - 1}/12"
    assert part.headers["content-length"] == str(stop - start)
    assert await sent_bytes(control) == stop - start


@pytest.mark.parametrize(
    "wanted",
    [
        "bytes=999-1000",
        "bytes=12-",
        "bytes=5-2",
        "bytes=-0",
        "bytes=-",
        "bytes=0-1,3-4",
        "lines=0-4",
        "bytes=0-9999999999999999",  # more than JavaScript counts exactly
        pytest.param("bytes=0-" + "9" * 5000, id="5000-digits"),
    ],
)
async def test_a_range_that_cannot_be_is_a_true_416(hello, control, wanted):
    refused = await hello(range=wanted)
    assert refused.status_code == 416
    assert refused.json() == {
        "statusCode": "416",
        "error": "invalid_range",
        "message": "invalid range provided",
        "code": "InvalidRange",
    }
    assert await sent_bytes(control) == 0


async def test_an_empty_object_has_no_range(docs, http: httpx.AsyncClient):
    await docs.upload("empty.txt", b"", TEXT)
    assert await docs.download("empty.txt") == b""
    path = f"{GATEWAY}/object/{docs.id}/empty.txt"
    assert (await http.get(path, headers=SERVICE | {"range": "bytes=0-"})).status_code == 416


async def test_a_client_that_has_the_object_gets_a_304_and_pays_nothing(hello, control):
    etag = (await hello("HEAD")).headers["etag"]
    answer = await hello(if_none_match=etag, range="bytes=999-")  # the condition comes first
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["content-length"] == "0"
    assert answer.headers["etag"] == etag
    assert answer.headers["cache-control"] == "max-age=60"
    assert await sent_bytes(control) == 0


async def test_a_client_that_has_another_version_may_show_it_for_half_a_minute_more(hello):
    answer = await hello(if_none_match='"another"')
    assert (answer.status_code, answer.content) == (200, HELLO)
    assert answer.headers["cache-control"] == "max-age=60, stale-while-revalidate=30"


async def test_an_object_is_sent_if_it_was_modified_since(docs, hello, clock):
    seen = (await hello()).headers["last-modified"]
    assert (await hello(if_modified_since=seen)).status_code == 304
    later = formatdate(clock() + DAY, usegmt=True)
    assert (await hello(if_modified_since=later)).status_code == 304
    assert (await hello(if_modified_since="yesterday")).status_code == 200
    clock.advance(2)
    await docs.update("a.txt", b"changed", TEXT)
    assert (await hello(if_modified_since=seen)).content == b"changed"


async def test_of_two_conditions_the_etag_counts(hello, clock):
    later = formatdate(clock() + DAY, usegmt=True)
    answer = await hello(if_none_match='"another"', if_modified_since=later)
    assert answer.status_code == 200


async def test_head_describes_the_stored_object_whatever_part_is_asked_for(hello, control):
    plain = await hello("HEAD")
    assert (plain.status_code, plain.content) == (200, b"")
    assert plain.headers["content-length"] == "12"
    assert plain.headers["cache-control"] == "max-age=60"
    for headers in ({"range": "bytes=0-4"}, {"if_none_match": plain.headers["etag"]}):
        again = await hello("HEAD", **headers)
        assert (again.status_code, again.headers["content-length"]) == (200, "12")
    other = await hello("HEAD", if_none_match='"another"')
    assert other.headers["cache-control"] == "max-age=60, must-revalidate"
    assert await sent_bytes(control) == 0


async def test_every_address_of_an_object_answers_head(new_bucket, http: httpx.AsyncClient):
    shared = await new_bucket(public=True)
    await shared.upload("a.txt", HELLO, TEXT)
    signed = (await shared.create_signed_url("a.txt", 60))["signedUrl"]
    paths = [
        f"{GATEWAY}/object/{kind}{shared.id}/a.txt" for kind in ("", "authenticated/", "public/")
    ]
    for path in [*paths, signed]:
        answer = await http.head(path, headers=SERVICE)
        assert (answer.status_code, answer.headers["content-length"]) == (200, "12")
        assert answer.content == b""


@pytest.mark.parametrize("kind", ["", "authenticated/"])
async def test_the_head_of_info_is_about_its_json(docs, http, kind):
    await docs.upload("a.txt", HELLO, TEXT)
    path = f"{GATEWAY}/object/info/{kind}{docs.id}/a.txt"
    described = await http.get(path, headers=SERVICE)
    answer = await http.head(path, headers=SERVICE)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == str(len(described.content))
    assert answer.headers["content-type"].startswith("application/json")


async def test_the_head_of_a_signed_url_is_its_get_without_the_bytes(docs, http, control):
    await docs.upload("a.txt", HELLO, TEXT)
    url = (await docs.create_signed_url("a.txt", 60, {"download": "b.txt"}))["signedUrl"]
    answer = await http.head(url, headers={"range": "bytes=0-4"})
    assert (answer.status_code, answer.headers["content-range"]) == (206, "bytes 0-4/12")
    assert answer.headers["content-disposition"].startswith("attachment; filename=b.txt;")
    assert "expires" in answer.headers
    assert await sent_bytes(control) == 0


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("object/{bucket}/missing.txt", "there is no object"),
        ("object/missing/a.txt", "there is no bucket"),
        ("object/public/{bucket}/a.txt", "the bucket is private"),
        ("object/info/public/{bucket}/a.txt", "it has no HEAD: this is about a bucket `public`"),
    ],
)
async def test_a_refused_head_is_a_400_that_cannot_say_why(docs, http, path, why):
    await docs.upload("a.txt", HELLO, TEXT)
    answer = await http.head(f"{GATEWAY}/{path.format(bucket=docs.id)}", headers=SERVICE)
    assert (answer.status_code, answer.content) == (400, b""), why
    assert answer.headers["content-type"].startswith("application/json")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("download=", "attachment;"),
        ("download", "attachment;"),
        ("download=true", "attachment; filename=true; filename*=UTF-8''true"),
        (
            "download=%C3%A9t%C3%A9%20(1)!.txt",
            "attachment; filename=%C3%A9t%C3%A9%20(1)!.txt; filename*=UTF-8''%C3%A9t%C3%A9%20(1)!.txt",
        ),
        (
            "download=a%2Fb%22.txt",
            "attachment; filename=a%2Fb%22.txt; filename*=UTF-8''a%2Fb%22.txt",
        ),
    ],
)
async def test_a_browser_is_told_to_save_the_object_and_under_which_name(
    docs, http, query, expected
):
    await docs.upload("a.txt", HELLO, TEXT)
    answer = await http.get(f"{GATEWAY}/object/{docs.id}/a.txt?{query}", headers=SERVICE)
    assert (answer.content, answer.headers["content-disposition"]) == (HELLO, expected)


async def test_the_sdks_public_url_opens_the_object_and_names_the_file(new_bucket, http):
    shared = await new_bucket(public=True)
    await shared.upload("dir/a b.txt", HELLO, TEXT)
    for download, expected in [
        (None, None),
        (True, "attachment;"),
        ("c.txt", "attachment; filename=c.txt; filename*=UTF-8''c.txt"),
    ]:
        options = {"download": download} if download else None
        url = await resolved(shared.get_public_url("dir/a b.txt", options))
        answer = await http.get(url)
        assert answer.content == HELLO
        assert answer.headers.get("content-disposition") == expected


async def test_a_page_is_served_as_text(docs, http: httpx.AsyncClient):
    page = b"<script>alert(1)</script>"
    await docs.upload("a.html", page, {"content-type": "text/html;charset=utf-8"})
    for method in ("GET", "HEAD"):
        path = f"{GATEWAY}/object/{docs.id}/a.html"
        answer = await http.request(method, path, headers=SERVICE)
        assert answer.headers["content-type"] == "text/plain"
    assert (await docs.info("a.html"))["content_type"].startswith("text/html")


async def test_who_is_reading_when_an_object_is_overwritten_gets_the_old_one_whole(docs, http):
    old, new = b"old " * 1_000_000, b"new"
    await docs.upload("a.txt", old, TEXT)
    path = f"{GATEWAY}/object/{docs.id}/a.txt"
    async with http.stream("GET", path, headers=SERVICE) as answer:
        await docs.update("a.txt", new, TEXT)
        assert await answer.aread() == old
    assert await docs.download("a.txt") == new


@pytest.mark.usefixtures("server")  # a paid plan may transform
async def test_without_image_transformation_a_transformed_download_is_no_route(docs):
    await docs.upload("a.png", b"no picture", {"content-type": "image/png"})
    transformed = docs.download("a.png", {"transform": {"width": 10}})
    assert await refusal(transformed) == ("404", "Not Found")
    signed = await docs.create_signed_url("a.png", 60, {"transform": {"width": 10}})
    assert f"/object/sign/{docs.id}/a.png?token=" in signed["signedUrl"]


async def test_stored_and_sent_bytes_are_counted(docs, control: httpx.AsyncClient):
    await docs.upload("a.txt", b"12345", TEXT)
    await docs.download("a.txt")
    await docs.download("a.txt")
    billed = (await control.get("/billed")).json()["supabase"]
    assert billed == {"objects": 1, "stored_bytes": 5, "egress_bytes": 10}


@pytest.mark.parametrize("place", ["", "/", "/docs", "/docs/a.txt"])
async def test_the_cdn_is_purged_by_the_service_role_where_there_is_one(http, control, place):
    path = f"{GATEWAY}/cdn{place}"
    denied = await http.delete(path, headers=ANON)
    assert (denied.status_code, denied.json()["message"]) == (403, "Access denied: Invalid role")
    refused = await http.delete(path, headers=SERVICE)
    assert (refused.status_code, refused.json()["code"]) == (400, "MissingParameter")
    await switch(control, cdn_purge=True)
    answer = await http.delete(path, headers=SERVICE, params={"transformations": "true"})
    assert (answer.status_code, answer.json()) == (200, {"message": "success"})


async def test_a_purge_must_name_its_object_and_say_yes_or_no(http: httpx.AsyncClient):
    nameless = await http.delete(f"{GATEWAY}/cdn/docs/", headers=SERVICE)
    assert nameless.json()["message"] == "params/* must NOT have fewer than 1 characters"
    vague = await http.delete(f"{GATEWAY}/cdn/docs?transformations=some", headers=SERVICE)
    assert vague.json()["message"] == "querystring/transformations must be boolean"


async def test_the_s3_endpoint_refuses_in_xml_with_a_true_status(http: httpx.AsyncClient):
    unsigned = await http.get(f"{GATEWAY}/s3/docs/a%20b&c.txt", headers=SERVICE)
    assert unsigned.status_code == 403
    assert unsigned.headers["content-type"] == "application/xml; charset=utf-8"
    assert unsigned.text == (
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
        '<Error xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        "<Resource>docs/a%20b&amp;c.txt</Resource>"
        "<Code>AccessDenied</Code><Message>Missing signature</Message></Error>"
    )
    credential = "Credential=key/20260101/stub/s3/aws4_request"
    signature = f"AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=00"
    signed = await http.put(f"{GATEWAY}/s3/docs", headers={"authorization": signature})
    assert signed.status_code == 403
    assert "Missing S3 Protocol Access Key ID" in signed.text
    head = await http.head(f"{GATEWAY}/s3/docs/a.txt")
    assert (head.status_code, head.content) == (403, b"")
