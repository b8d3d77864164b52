"""Every operation of Supabase Storage, against the simulator over a real socket."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from simulator import SimulatorControl

from gristmill import errors
from gristmill.contract import Origin
from gristmill.services.adapter import Endpoint
from gristmill.services.http import create_client
from gristmill.services.supabase import (
    Bucket,
    ByteRange,
    CopyObject,
    CreateBucket,
    CreateObject,
    DeleteBucket,
    DownloadObject,
    EmptyBucket,
    EnsureBucket,
    GetBucket,
    GetObjectInfo,
    ListBuckets,
    ListFolder,
    ListObjects,
    MoveObject,
    ObjectExists,
    RemoveObjects,
    SignUpload,
    SignUrl,
    SignUrls,
    Supabase,
    UpdateBucket,
    UploadObject,
    UploadSigned,
    public_url,
)
from gristmill.services.supabase.keys import legal_key, original_name
from gristmill_simulators import environment
from gristmill_simulators.server import SimulatorServer

GRAIN = b"grain of wheat"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with SimulatorServer(tmp_path_factory.mktemp("simulator")) as server:
        yield server


@pytest.fixture
def control(server):
    control = SimulatorControl(server.base_url)
    yield control
    control.clear_faults()
    control.configure(supabase={"policies": []})
    control.close()


@pytest.fixture
async def pool():
    async with create_client() as http:
        yield http


@pytest.fixture
def storage_as(server, pool):
    """The adapter with the key of a role."""

    def build(role):
        key = environment.supabase_key(role)
        return Supabase(Endpoint("supabase", server.supabase_url, key), pool)

    return build


@pytest.fixture
def execute(storage_as):
    """Executes an operation with the service key; the value."""
    adapter = storage_as("service_role")

    async def execute(operation):
        result = await adapter.execute(operation)
        assert result.origin is Origin.SIMULATED
        return result.value

    return execute


@pytest.fixture
async def bucket(execute):
    name = f"b-{uuid4().hex[:8]}"
    await execute(CreateBucket(Bucket(name)))
    return name


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "grain.txt"
    path.write_bytes(GRAIN)
    return path


@pytest.fixture
def put(execute, bucket, file):
    """Uploads the same few bytes under each key."""

    async def put(*keys, **more):
        for key in keys:
            await execute(UploadObject(bucket, key, file, "text/plain", **more))

    return put


async def test_a_bucket_is_as_it_was_asked_for_and_then_as_it_was_changed(execute):
    asked = Bucket(f"b-{uuid4().hex[:8]}", True, 1024, ("text/plain", "image/*"))
    assert await execute(CreateBucket(asked)) == asked
    assert await execute(GetBucket(asked.name)) == asked
    await execute(UpdateBucket(asked.name, public=False))
    assert await execute(GetBucket(asked.name)) == replace(asked, public=False)
    await execute(UpdateBucket(asked.name, size_limit=None, mime_types=None))
    assert await execute(GetBucket(asked.name)) == Bucket(asked.name)


async def test_a_bucket_that_exists_is_not_made_again_but_ensured(execute, bucket):
    with pytest.raises(errors.Rejected, match="already exists"):
        await execute(CreateBucket(Bucket(bucket)))
    assert await execute(EnsureBucket(bucket)) is False
    assert await execute(EnsureBucket(f"{bucket}-new")) is True
    assert await execute(GetBucket(f"{bucket}-new")) == Bucket(f"{bucket}-new", public=False)


async def test_buckets_are_listed_by_pages_searched_and_sorted(execute):
    word = uuid4().hex[:8]
    names = [f"{word}-{letter}" for letter in "abcd"]
    for name in names:
        await execute(CreateBucket(Bucket(name)))

    async def listed(**how):
        found = await execute(ListBuckets(search=word.upper(), **how))
        return [bucket.name for bucket in found]

    assert await listed() == names
    assert await listed(limit=2, offset=1) == names[1:3]
    assert await listed(descending=True, limit=1) == names[3:]
    assert set(names) <= {bucket.name for bucket in await execute(ListBuckets())}


async def test_a_bucket_goes_when_it_is_empty(execute, bucket, put):
    await put("a", "b/c")
    with pytest.raises(errors.Rejected, match="not empty") as caught:
        await execute(DeleteBucket(bucket))
    assert "Empty the bucket first" in caught.value.advice
    await execute(EmptyBucket(bucket))
    await execute(DeleteBucket(bucket))
    with pytest.raises(errors.NotFound):
        await execute(GetBucket(bucket))
    with pytest.raises(errors.NotFound):
        await execute(DeleteBucket(bucket))


async def test_what_was_uploaded_is_known_and_comes_back(execute, bucket, file, tmp_path):
    metadata = {"source": "Größe.pdf", "pages": [1, 2], "nested": {"deep": None}}
    upload = UploadObject(bucket, "a/grain.txt", file, "text/markdown", metadata, 60)
    before = datetime.now(UTC).replace(microsecond=0)
    stored = await execute(upload)
    info = await execute(GetObjectInfo(bucket, "a/grain.txt"))
    assert (info.id, info.bucket, info.key) == (stored.id, bucket, "a/grain.txt")
    assert (info.size, info.content_type) == (len(GRAIN), "text/markdown")
    assert (info.etag, info.cache_control) == (hashlib.md5(GRAIN).hexdigest(), "max-age=60")  # noqa: S324 — an ETag
    assert info.metadata == metadata
    assert before <= info.created_at <= info.updated_at
    size = await execute(DownloadObject(bucket, "a/grain.txt", tmp_path / "copy"))
    assert (size, (tmp_path / "copy").read_bytes()) == (len(GRAIN), GRAIN)


async def test_an_upload_replaces_and_keeps_the_id(execute, bucket, file, put):
    await put("a", metadata={"old": True})
    old = await execute(GetObjectInfo(bucket, "a"))
    file.write_bytes(b"other")
    await put("a")
    new = await execute(GetObjectInfo(bucket, "a"))
    assert (new.id, new.size, new.metadata) == (old.id, 5, {})
    assert new.version != old.version


async def test_a_creation_never_replaces_and_may_be_repeated(execute, bucket, file, control):
    create = CreateObject(bucket, "a", file, "text/plain; charset=utf-8", {"page": 1})
    control.fault("supabase.object.create", "drop_after")
    with pytest.raises(errors.OutcomeUnknown):
        await execute(create)
    repeated = await execute(create)  # it had arrived
    assert repeated.id == (await execute(GetObjectInfo(bucket, "a"))).id
    file.write_bytes(b"grain of rye!!")
    with pytest.raises(errors.Rejected, match="already exists"):
        await execute(create)


@pytest.mark.parametrize(("start", "stop"), [(0, 5), (9, None), (-5, None), (9, 1000), (5, 6)])
async def test_a_part_of_an_object_is_the_slice(execute, bucket, put, start, stop, tmp_path):  # noqa: PLR0917 — fixtures
    await put("a")
    part, target = ByteRange(start, stop), tmp_path / "part"
    size = await execute(DownloadObject(bucket, "a", target, part))
    assert target.read_bytes() == GRAIN[start:stop]
    assert size == len(GRAIN[start:stop])


async def test_a_part_behind_the_end_is_refused_and_leaves_no_file(execute, bucket, put, tmp_path):
    await put("a")
    operation = DownloadObject(bucket, "a", tmp_path / "part", ByteRange(999))
    with pytest.raises(errors.Rejected) as caught:
        await execute(operation)
    assert caught.value.code == "InvalidRange"
    assert not (tmp_path / "part").exists()


async def test_an_object_exists_or_does_not_and_a_wrong_key_is_another_matter(
    execute, bucket, put, server, pool
):
    await put("a")
    assert await execute(ObjectExists(bucket, "a")) is True
    assert await execute(ObjectExists(bucket, "b")) is False
    stranger = Supabase(Endpoint("supabase", server.supabase_url, "a.b.c"), pool)
    with pytest.raises(errors.ServiceError) as caught:
        await stranger.execute(ObjectExists(bucket, "a"))
    assert caught.value.code != "NoSuchKey"


async def walked(execute, operation):
    """All pages: folders and keys, and how many pages there were."""
    folders, keys, pages = [], [], 0
    while operation is not None:
        page = await execute(operation)
        folders += page.folders
        keys += [each.key for each in page.objects]
        operation, pages = page.following, pages + 1
    return folders, keys, pages


KEYS = ["a.txt", "B.txt", "c_1.txt", "sub/d.txt", "sub/deep/e.txt", "zed/f.txt"]


async def test_a_folder_is_listed_as_a_file_manager_shows_it(execute, bucket, put):
    await put(*KEYS)
    assert await walked(execute, ListFolder(bucket)) == (["sub/", "zed/"], KEYS[:3], 1)
    assert await walked(execute, ListFolder(bucket, "sub")) == (["sub/deep/"], ["sub/d.txt"], 1)
    assert (await walked(execute, ListFolder(bucket, "sub/deep/")))[1] == ["sub/deep/e.txt"]
    assert (await walked(execute, ListFolder(bucket, search="b")))[1] == ["B.txt"]
    assert (await walked(execute, ListFolder(bucket, descending=True)))[1] == KEYS[2::-1]
    folders, keys, pages = await walked(execute, ListFolder(bucket, limit=2))
    assert (folders, keys, pages) == (["sub/", "zed/"], KEYS[:3], 3)


async def test_all_keys_below_a_prefix_come_in_pages_that_never_overlap(execute, bucket, put):
    await put(*KEYS)
    everything = sorted(KEYS)
    for limit in (1, 4, 1000):
        folders, keys, _ = await walked(execute, ListObjects(bucket, limit=limit))
        assert (folders, keys) == ([], everything)
    assert (await walked(execute, ListObjects(bucket, "sub/d")))[1] == KEYS[3:5]
    assert (await walked(execute, ListObjects(bucket, "b")))[1] == [], "cases are told apart"
    folders, keys, _ = await walked(execute, ListObjects(bucket, by_folder=True, limit=2))
    assert (folders, keys) == (["sub/", "zed/"], sorted(KEYS[:3]))


async def test_a_line_of_a_list_tells_what_the_object_is(execute, bucket, put):
    await put("sub/a")
    info = await execute(GetObjectInfo(bucket, "sub/a"))
    for operation in (ListFolder(bucket, "sub"), ListObjects(bucket)):
        (line,) = (await execute(operation)).objects
        assert (line.key, line.id, line.size) == ("sub/a", info.id, len(GRAIN))
        assert (line.content_type, line.etag) == ("text/plain", info.etag)
        assert (line.created_at, line.updated_at) == (info.created_at, info.updated_at)


async def test_a_list_of_a_missing_bucket_is_empty(execute):
    for operation in (ListFolder("nowhere"), ListObjects("nowhere")):
        assert (await execute(operation)).objects == ()


async def test_an_object_moves_within_and_between_buckets(execute, bucket, put):
    await put("a", metadata={"kept": 1})
    other = f"{bucket}-2"
    await execute(CreateBucket(Bucket(other)))
    first = await execute(GetObjectInfo(bucket, "a"))
    await execute(MoveObject(bucket, "a", "b/c"))
    await execute(MoveObject(bucket, "b/c", "d", other))
    moved = await execute(GetObjectInfo(other, "d"))
    assert (moved.id, moved.etag, moved.metadata) == (first.id, first.etag, {"kept": 1})
    assert not await execute(ObjectExists(bucket, "a"))
    with pytest.raises(errors.NotFound):
        await execute(MoveObject(bucket, "a", "e"))
    await put("a")
    with pytest.raises(errors.Rejected, match="already exists"):
        await execute(MoveObject(bucket, "a", "d", other))


async def test_a_copy_takes_its_metadata_along_or_gets_its_own(execute, bucket, put):
    await put("a", metadata={"kept": 1})
    other = f"{bucket}-2"
    await execute(CreateBucket(Bucket(other)))
    copied = await execute(CopyObject(bucket, "a", "b", other))
    info = await execute(GetObjectInfo(other, "b"))
    assert (info.id, info.bucket, info.metadata) == (copied.id, other, {"kept": 1})
    again = await execute(CopyObject(bucket, "a", "b", other))
    assert again.id == copied.id, "a repeat replaces"


async def test_a_copy_with_metadata_of_its_own_keeps_nothing_of_the_source_s(execute, bucket, put):
    await put("a", metadata={"kept": 1})
    await execute(CopyObject(bucket, "a", "b", None, {"own": "Größe"}, "text/markdown", 60))
    info = await execute(GetObjectInfo(bucket, "b"))
    assert (info.metadata, info.content_type) == ({"own": "Größe"}, "text/markdown")
    assert info.cache_control == "max-age=60"


async def test_a_target_bucket_that_is_missing_is_said_to_be(execute, bucket, put):
    await put("a")
    for operation in (MoveObject(bucket, "a", "b", "no"), CopyObject(bucket, "a", "b", "no")):
        with pytest.raises(errors.NotFound) as caught:
            await execute(operation)
        assert "Create the bucket" in caught.value.advice


async def test_removal_tells_what_was_there(execute, bucket, put):
    await put("a", "b", "c")
    assert sorted(await execute(RemoveObjects(bucket, ("a", "b", "x")))) == ["a", "b"]
    assert (await walked(execute, ListObjects(bucket)))[1] == ["c"]


async def test_a_signed_address_opens_without_a_key_and_names_the_download(
    execute, bucket, put, pool
):
    await put("a.txt")
    for name, expected in (
        (None, None),
        ("", "attachment;"),
        ("Größe & Maß.pdf", "attachment; filename=Gr%C3%B6%C3%9Fe%20%26%20Ma%C3%9F.pdf;"),
    ):
        url = await execute(SignUrl(bucket, "a.txt", 60, name))
        answer = await pool.get(url)
        assert answer.content == GRAIN
        told = answer.headers.get("content-disposition")
        assert told == expected if not expected else told.startswith(expected)


async def test_many_addresses_come_with_what_is_missing(execute, bucket, put, pool):
    await put("a", "b c")
    signed = await execute(SignUrls(bucket, ("a", "gone", "b c"), 60, "x"))
    assert [each.key for each in signed] == ["a", "gone", "b c"]
    assert [each.url is None for each in signed] == [False, True, False]
    assert "does not exist" in signed[1].error
    for each in (signed[0], signed[2]):
        answer = await pool.get(each.url)
        assert answer.content == GRAIN
        assert "filename=x" in answer.headers["content-disposition"]


async def test_what_is_not_there_cannot_be_signed(execute, bucket):
    with pytest.raises(errors.NotFound):
        await execute(SignUrl(bucket, "gone", 60))


async def test_a_signed_permission_lets_anybody_upload_once(execute, bucket, file, storage_as):
    permission = await execute(SignUpload(bucket, "a"))
    upload = UploadSigned(bucket, "a", permission.token, file, "text/plain", {"by": "anon"})
    nobody = storage_as("anon")
    assert (await nobody.execute(upload)).value == "a"
    info = await execute(GetObjectInfo(bucket, "a"))
    assert (info.size, info.metadata) == (len(GRAIN), {"by": "anon"})
    with pytest.raises(errors.Rejected, match="already exists"):
        await nobody.execute(upload)
    with pytest.raises(errors.Rejected, match="already exists"):
        await execute(SignUpload(bucket, "a"))
    again = await execute(SignUpload(bucket, "a", replace=True))
    await nobody.execute(replace(upload, token=again.token))
    with pytest.raises(errors.Unauthorized) as caught:
        await nobody.execute(replace(upload, token=again.token, key="b"))
    assert "signed address" in caught.value.advice


async def test_a_public_object_is_read_by_everybody_and_a_private_one_is_not(
    execute, bucket, put, pool, server
):
    await put("a b/c(1).txt")
    url = public_url(server.supabase_url, bucket, "a b/c(1).txt", "Größe.txt")
    assert (await pool.get(url)).status_code == 400
    await execute(UpdateBucket(bucket, public=True))
    answer = await pool.get(url)
    assert answer.content == GRAIN
    assert "Gr%C3%B6%C3%9Fe.txt" in answer.headers["content-disposition"]


async def test_limits_of_a_bucket_are_told_with_what_to_do(execute, bucket, file):
    await execute(UpdateBucket(bucket, size_limit=5))
    with pytest.raises(errors.Rejected) as caught:
        await execute(UploadObject(bucket, "a", file, "text/plain"))
    assert "size limit" in caught.value.advice
    await execute(UpdateBucket(bucket, size_limit=None, mime_types=("application/pdf",)))
    with pytest.raises(errors.Rejected) as caught:
        await execute(UploadObject(bucket, "a", file, "text/plain"))
    assert "allowed types" in caught.value.advice


@pytest.mark.parametrize(("status", "kind"), [(429, errors.Throttled), (544, errors.Unavailable)])
async def test_a_busy_database_is_told_from_a_limit(execute, bucket, control, status, kind):
    control.fault("supabase.bucket.get", "status", status=status)
    with pytest.raises(kind):
        await execute(GetBucket(bucket))


async def test_row_level_security_hides_and_refuses_verb_by_verb(
    execute, bucket, put, file, storage_as
):
    await put("a")
    anon = storage_as("anon").execute
    for operation in (
        UploadObject(bucket, "b", file, "text/plain"),
        CreateObject(bucket, "b", file, "text/plain"),
    ):
        with pytest.raises(errors.Unauthorized) as caught:
            await anon(operation)
        assert "policy" in caught.value.advice
    for operation in (GetObjectInfo(bucket, "a"), SignUrl(bucket, "a", 60)):
        with pytest.raises(errors.NotFound) as caught:
            await anon(operation)
        assert "policy" in caught.value.advice
    assert (await anon(ListFolder(bucket))).value.objects == ()
    assert (await anon(RemoveObjects(bucket, ("a",)))).value == ()
    assert await execute(ObjectExists(bucket, "a"))


async def test_a_key_that_may_only_upload_needs_no_sight_of_the_bucket(
    bucket, file, storage_as, control, execute
):
    control.configure(supabase={"policies": [{"roles": ["anon"], "bucket": bucket}]})
    anon = storage_as("anon").execute
    assert (await anon(EnsureBucket(bucket))).value is False
    await anon(UploadObject(bucket, "a", file, "text/plain"))
    assert await execute(ObjectExists(bucket, "a"))
    assert (await walked(execute, ListObjects(bucket)))[1] == ["a"], "looking wrote nothing"


async def test_a_bucket_that_is_missing_for_a_key_without_rights_says_who_may_make_it(storage_as):
    with pytest.raises(errors.Unauthorized, match=r"role of this key \(anon\) may not create"):
        await storage_as("anon").execute(EnsureBucket("not-there"))


NAMES = st.text(st.characters(exclude_categories=()), min_size=0, max_size=60)


@given(name=NAMES)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_any_name_goes_to_storage_and_comes_back_in_every_way(server, tmp_path_factory, name):
    folder = tmp_path_factory.getbasetemp()
    (folder / "up").write_bytes(GRAIN)
    key = f"names/{legal_key(name)}"
    async with create_client() as http:
        endpoint = Endpoint("supabase", server.supabase_url, environment.SUPABASE_SERVICE_ROLE_KEY)
        execute = Supabase(endpoint, http).execute
        await execute(EnsureBucket("names"))
        await execute(UploadObject("names", key, folder / "up", "text/plain"))
        info = (await execute(GetObjectInfo("names", key))).value
        assert original_name(info.key.removeprefix("names/")) == name
        assert (await execute(DownloadObject("names", key, folder / "down"))).value == len(GRAIN)
        url = (await execute(SignUrl("names", key, 60))).value
        assert (await http.get(url)).content == GRAIN
        listed = (await execute(ListObjects("names", key))).value.objects
        assert key in [each.key for each in listed]
        assert (await execute(RemoveObjects("names", (key,)))).value == (key,)
