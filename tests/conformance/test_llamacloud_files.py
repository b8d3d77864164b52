"""Files of a LlamaCloud project, through the official SDK with strict response validation."""

import uuid

import httpx
import llama_cloud
import pytest
from flavours import resolved
from llama_calls import HEADERS, parsed, tell, uploaded
from llama_cloud import AsyncLlamaCloud
from tls import TLS

PATH = "/llamacloud/api/v1/beta/files"


async def test_a_file_can_be_uploaded_looked_at_and_deleted(llama: AsyncLlamaCloud):
    made = await llama.files.create(
        file=("réport.pdf", b"%PDF-1.4"), purpose="parse", external_file_id="D-17"
    )
    found = await llama.files.retrieve(made.id)
    assert (found.name, found.file_type, found.purpose) == ("réport.pdf", "pdf", "parse")
    assert found.external_file_id == "D-17"
    await llama.files.delete(made.id)
    with pytest.raises(llama_cloud.NotFoundError):
        await llama.files.retrieve(made.id)


async def test_bare_bytes_become_a_file_named_upload_without_a_type(llama: AsyncLlamaCloud):
    made = await llama.files.create(file=b"words", purpose="user_data")
    assert (made.name, made.file_type) == ("upload", None)
    await llama.files.delete(made.id)


async def test_a_file_for_parsing_expires_and_one_of_user_data_stays(llama: AsyncLlamaCloud):
    parse = await llama.files.create(file=("a.md", b"x"), purpose="parse")
    kept = await llama.files.create(file=("a.md", b"x"), purpose="user_data")
    assert parse.expires_at is not None
    assert kept.expires_at is None
    await llama.files.delete(parse.id)
    await llama.files.delete(kept.id)


async def test_files_are_found_by_id_name_and_external_id(llama: AsyncLlamaCloud):
    name, external = f"{uuid.uuid4().hex}.md", uuid.uuid4().hex
    first = await llama.files.create(file=(name, b"x"), purpose="parse")
    second = await llama.files.create(
        file=("other.md", b"x"), purpose="parse", external_file_id=external
    )
    assert [file.id async for file in llama.files.list(file_name=name)] == [first.id]
    assert [file.id async for file in llama.files.list(external_file_id=external)] == [second.id]
    both = [first.id, second.id]
    assert {file.id async for file in llama.files.list(file_ids=both)} == set(both)
    for file_id in both:
        await llama.files.delete(file_id)


@pytest.mark.parametrize("order", ["name", "id", "created_at"])
async def test_a_list_of_files_goes_on_over_pages_in_each_order(llama, clock, order):
    made = []
    for name in ("c.md", "a.md", "b.md", "a.md"):
        made.append(await llama.files.create(file=(name, b"x"), purpose="parse"))
        clock.advance(1)
    found = [file.id async for file in llama.files.list(page_size=1, order_by=order)]
    key = {"name": lambda file: (file.name, file.id), "id": lambda file: file.id}
    newest_first = [file.id for file in reversed(made)]
    expected = (
        newest_first if order == "created_at" else [f.id for f in sorted(made, key=key[order])]
    )
    assert found == expected


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")  # the SDK's own, of the method
async def test_files_are_queried_by_the_deprecated_way_as_well(llama: AsyncLlamaCloud):
    mark = uuid.uuid4().hex
    names = [f"{mark}-{number}.md" for number in range(3)]
    made = [
        await llama.files.create(file=(name, b"x"), purpose="parse", external_file_id=mark)
        for name in names
    ]
    wanted = {"external_file_id": mark}
    page = await llama.files.query(filter=wanted, order_by="name desc", page_size=2)
    last = await llama.files.query(
        filter=wanted, order_by="name desc", page_size=2, page_token=page.next_page_token
    )
    found = await llama.files.query(filter={"file_ids": [made[1].id]})
    assert [file.name for file in page.items + last.items] == names[::-1]
    assert last.next_page_token is None
    assert [file.id for file in found.items] == [made[1].id]
    for file in made:
        await llama.files.delete(file.id)


async def test_a_file_is_downloaded_from_its_presigned_url_without_a_key(llama: AsyncLlamaCloud):
    file_id = await uploaded(llama, "notes.md", b"of wheat and rye")
    presigned = await llama.files.content(file_id)
    async with httpx.AsyncClient(trust_env=False, verify=TLS) as anyone:
        assert (await anyone.get(presigned.url)).content == b"of wheat and rye"
    await llama.files.delete(file_id)


async def test_a_download_url_comes_with_the_file_when_asked_for(llama: AsyncLlamaCloud, http):
    file_id = await uploaded(llama, "notes.md", b"of wheat")
    assert (await llama.files.retrieve(file_id)).download_url is None
    found = await llama.files.retrieve(file_id, expand=["download_url"])
    assert (await http.get(found.download_url.url)).content == b"of wheat"
    listed = [file async for file in llama.files.list(expand=["download_url"])]
    assert (await http.get(listed[0].download_url.url)).content == b"of wheat"


async def test_a_presigned_url_dies_when_it_says(llama, http, clock):
    file_id = await uploaded(llama, "notes.md", b"words")
    presigned = await llama.files.content(file_id, expires_at_seconds=60)
    clock.advance(59)
    assert (await http.get(presigned.url)).status_code == 200
    clock.advance(2)
    late = await http.get(presigned.url)
    assert (late.status_code, late.headers["content-type"]) == (403, "application/xml")
    assert presigned.expires_at.timestamp() <= clock()


async def test_a_presigned_url_is_good_for_nothing_else(llama, http):
    mine = await llama.files.content(await uploaded(llama, "a.md", b"mine"))
    other = await uploaded(llama, "a.md", b"another")
    file_id = mine.url.split("/file/")[1].split("/")[0]
    assert (await http.get(mine.url.replace(file_id, other))).status_code == 403
    assert (await http.get(mine.url.split("?")[0])).status_code == 403
    later = mine.url.replace("X-Expires=", "X-Expires=9")
    assert (await http.get(later)).status_code == 403


async def test_a_source_file_is_gone_after_48_hours(llama, http, clock):
    file_id = await uploaded(llama, "a.md", b"words")
    presigned = await llama.files.content(file_id, expires_at_seconds=72 * 3600)
    clock.advance(48 * 3600)
    with pytest.raises(llama_cloud.NotFoundError):
        await llama.files.retrieve(file_id)
    with pytest.raises(llama_cloud.NotFoundError):
        await llama.parsing.create(tier="fast", version="latest", file_id=file_id)
    assert (await http.get(presigned.url)).status_code == 404
    assert [file async for file in llama.files.list()] == []


async def test_a_file_deleted_after_the_submission_is_still_parsed(llama, control, pdf):
    await tell(control, transition={"kind": "polls", "value": 1})
    file_id = await uploaded(llama, "a.pdf", pdf)
    job = await llama.parsing.create(tier="fast", version="latest", file_id=file_id)
    await llama.files.delete(file_id)
    got = await parsed(llama, "b.pdf", pdf, tier="fast")
    assert got.job.status == "COMPLETED"
    assert (await llama.parsing.get(job.id)).job.status in {"PENDING", "RUNNING", "COMPLETED"}
    with pytest.raises(llama_cloud.NotFoundError):
        await llama.parsing.create(tier="fast", version="latest", file_id=file_id)


@pytest.mark.parametrize(
    ("data", "files", "status"),
    [
        ({"purpose": "fun"}, {"file": ("a.pdf", b"x")}, 422),
        ({}, {"file": ("a.pdf", b"x")}, 422),
        ({"purpose": "parse"}, {"other": (None, b"x")}, 422),
        ({"purpose": "parse"}, None, 400),
    ],
)
async def test_a_bad_upload_is_refused(http, data, files, status):
    answer = await http.post(PATH, data=data, files=files, headers=HEADERS)
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"order_by": "name desc"}, 422),
        ({"page_size": "1001"}, 422),
        ({"page_token": "???"}, 400),
        ({"project_id": "mine"}, 422),
        ({"project_id": str(uuid.UUID(int=7))}, 404),
    ],
)
async def test_a_bad_query_for_files_is_refused(http, query, status):
    answer = await http.get(PATH, params=query, headers=HEADERS)
    assert answer.status_code == status
    assert "detail" in answer.json()


async def test_the_project_of_the_key_may_be_named(llama: AsyncLlamaCloud):
    made = await llama.files.create(file=("a.md", b"x"), purpose="parse")
    found = await llama.files.retrieve(made.id, project_id=made.project_id)
    assert found.id == made.id
    await llama.files.delete(made.id)


async def test_raw_answers_have_the_vendors_statuses(llama: AsyncLlamaCloud):
    created = await llama.files.with_raw_response.create(file=("a.md", b"x"), purpose="parse")
    file = await resolved(created.parse())
    deleted = await llama.files.with_raw_response.delete(file.id)
    assert (created.status_code, deleted.status_code) == (201, 204)
