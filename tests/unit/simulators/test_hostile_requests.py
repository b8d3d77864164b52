"""Requests and documents that mean harm: the simulators hold real ones, and their keys are public."""

import asyncio
import io
import json
import zipfile

import httpx
import pytest
from openai_batches import line

from gristmill_simulators import environment
from gristmill_simulators.llamacloud import items
from gristmill_simulators.llamacloud.pages import Wanted, page_numbers
from gristmill_simulators.llamacloud.readers import select
from gristmill_simulators.server import SimulatorServer

LLAMA = {"authorization": f"Bearer {environment.LLAMA_CLOUD_API_KEY}"}
OPENAI = {"authorization": f"Bearer {environment.OPENAI_API_KEY}"}
STORAGE = {"authorization": f"Bearer {environment.SUPABASE_SERVICE_ROLE_KEY}"}
ADMIN = {"authorization": f"Bearer {environment.OPENAI_ADMIN_KEY}"}
LONG = "9" * 5_000  # digits; Python reads 4,300
DEEP = b"[" * 2_000 + b"]" * 2_000  # Python gives up at a thousand


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with SimulatorServer(tmp_path_factory.mktemp("simulators")) as running:
        yield running


@pytest.fixture
async def http(server):
    async with httpx.AsyncClient(base_url=server.base_url, trust_env=False) as client:
        await client.post("/_simulator/reset")
        yield client


# --- who asks


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://10.0.0.7:3000", "null", "file://"]
)
async def test_a_page_of_another_host_neither_reads_nor_steers(http, origin):
    sent = {"origin": origin}
    for request in (
        http.post("/_simulator/reset", headers=sent),
        http.options("/supabase/storage/v1/bucket", headers=sent),
        http.get("/supabase/storage/v1/bucket", headers=STORAGE | sent),
        http.get("/openai/v1/files", headers=OPENAI | sent),
        http.get("/llamacloud/api/v1/beta/files", headers=LLAMA | sent),
    ):
        answer = await request
        assert answer.status_code == 403
        assert "allow_foreign_pages" in answer.json()["error"]
        assert "access-control-allow-origin" not in answer.headers
        assert answer.headers["x-simulated"]


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:9000", "127.0.0.1.evil.example", "["]
)
async def test_a_name_that_was_made_to_point_here_opens_nothing(http, host):
    """A page may be served under such a name, and would be of the simulators' own origin."""
    answer = await http.get("/openai/v1/files", headers=OPENAI | {"host": host})
    assert answer.status_code == 403


@pytest.mark.parametrize("host", ["localhost:9000", "mill.localhost", "127.0.0.2:1", "[::1]:9000"])
async def test_every_name_of_this_machine_is_answered_also_to_its_pages(http, host):
    sent = OPENAI | {"host": host, "origin": f"http://{host}"}
    assert (await http.get("/openai/v1/files", headers=sent)).status_code == 200


async def test_other_pages_are_let_in_where_a_person_wants_it(http):
    await http.post("/_simulator/settings", json={"allow_foreign_pages": True})
    sent = STORAGE | {"origin": "https://app.example", "host": "storage.example"}
    answer = await http.get("/supabase/storage/v1/bucket", headers=sent)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "*")


# --- what is asked


async def test_a_batch_whose_input_is_a_path_touches_no_file(http, tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text("mine")
    body = {"endpoint": "/v1/embeddings", "completion_window": "24h"}
    for name in (str(path), f"../../../../../../../..{path}"):
        batch = (
            await http.post(
                "/openai/v1/batches", json=body | {"input_file_id": name}, headers=OPENAI
            )
        ).json()
        await _ended(http, batch["id"])
    assert path.read_text() == "mine"


async def test_a_batch_reads_no_file_that_was_not_uploaded(http, tmp_path):
    path = tmp_path / "theirs.jsonl"
    path.write_text(json.dumps(line("1", "a secret")))
    body = {"endpoint": "/v1/embeddings", "completion_window": "24h", "input_file_id": str(path)}
    batch = (await http.post("/openai/v1/batches", json=body, headers=OPENAI)).json()
    assert (await _ended(http, batch["id"]))["status"] == "failed"


async def _ended(http, batch_id):
    for _ in range(500):
        batch = (await http.get(f"/openai/v1/batches/{batch_id}", headers=OPENAI)).json()
        if batch["status"] in {"failed", "completed"}:
            return batch
        await asyncio.sleep(0.01)
    raise AssertionError(batch)


async def test_a_content_type_with_a_line_end_begins_no_header_of_a_download(http):
    await http.post("/supabase/bucket", json={"name": "docs"}, headers=STORAGE)
    form = {"contentType": "text/plain\r\nset-cookie: mine=1"}
    made = await http.post(
        "/supabase/object/docs/a", data=form, files={"file": ("a", b"x")}, headers=STORAGE
    )
    assert made.status_code == 200
    answer = await http.get("/supabase/object/docs/a", headers=STORAGE)
    assert (answer.status_code, answer.json()["code"]) == (500, "InternalError")
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/openai/v1/embeddings", OPENAI),
        ("/openai/v1/batches", OPENAI),
        ("/llamacloud/api/v2/parse", LLAMA),
        ("/llamacloud/api/v1/beta/webhook-configs", LLAMA),
        ("/supabase/bucket", STORAGE),
        ("/_simulator/settings", {}),
        ("/_simulator/faults", {}),
    ],
)
async def test_json_deeper_than_any_reader_is_refused_and_not_a_failure(http, path, headers):
    sent = headers | {"content-type": "application/json"}
    answer = await http.post(path, content=DEEP, headers=sent)
    assert 400 <= answer.status_code < 500


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/llamacloud/api/v1/beta/files?page_size={}", LLAMA),
        ("/llamacloud/api/v2/parse?page_token=WzE4NDQ2NzQ0MDczNzA5NTUxNjE1XQ==", LLAMA),
        ("/llamacloud/presigned/file/x/y?X-Expires={}", LLAMA),
        ("/openai/v1/files?limit={}", OPENAI),
        ("/openai/v1/organization/usage/embeddings?start_time=9999999999999999999", ADMIN),
        ("/supabase/bucket?limit={}&offset=-{}", STORAGE),
        ("/_simulator/calls?after=99999999999999999999", {}),
        ("/openai/v1/models", OPENAI | {"x-stainless-retry-count": LONG}),
    ],
)
async def test_a_number_that_no_database_holds_is_refused_and_not_a_failure(http, path, headers):
    answer = await http.get(path.replace("{}", LONG), headers=headers)
    assert answer.status_code < 500


async def test_an_upload_of_endless_length_is_refused_and_not_a_failure(http):
    sent = {"tus-resumable": "1.0.0", "upload-length": LONG, "upload-metadata": "bucketName ZA=="}
    answer = await http.post("/supabase/upload/resumable", headers=STORAGE | sent)
    assert answer.status_code == 400


async def test_an_address_without_a_readable_host_is_refused_with_the_submission(http):
    body = {"tier": "fast", "version": "latest", "source_url": "http://[broken"}
    answer = await http.post("/llamacloud/api/v2/parse", json=body, headers=LLAMA)
    assert (answer.status_code, answer.json()["detail"][0]["loc"]) == (422, ["source_url"])
    hook = {"webhook_url": "http://[broken"}
    answer = await http.post("/llamacloud/api/v1/beta/webhook-configs", json=hook, headers=LLAMA)
    assert answer.status_code == 422


async def test_names_of_crawlers_without_end_are_one_refused_rule(http):
    await http.post("/supabase/bucket", json={"name": "docs"}, headers=STORAGE)
    sent = STORAGE | {"x-robots-tag": "a:" * 7_000}
    answer = await http.post("/supabase/object/docs/a", content=b"x", headers=sent)
    assert answer.json()["error"] == "invalid_x_robots_tag"


def test_a_range_that_is_repeated_is_told_before_a_million_pages_are_written_down_again():
    with pytest.raises(ValueError, match="duplicate"):
        page_numbers(",".join(["1-999999"] * 10_000))


# --- what is read


@pytest.mark.parametrize("line", ["![](" + "a" * 1_000_000, "[a](" + "a" * 1_000_000])
def test_a_page_costs_its_length_and_not_the_square_of_it(line):
    assert items.items(line)


def test_one_wide_row_does_not_make_every_other_one_wide(tmp_path):
    rows = "<row><c r='XFD1'><v>1</v></c></row>" + "<row><c><v>1</v></c></row>" * 50_000
    assert len(_sheet(tmp_path, rows)) < 1 << 18


def test_one_long_text_in_every_cell_is_not_written_out(tmp_path):
    cells = "<row>" + "<c t='s'><v>0</v></c>" * 1_000 + "</row>"
    assert len(_sheet(tmp_path, cells * 100, shared="a" * 10_000_000)) < 1 << 18


def test_a_wide_table_of_values_is_cut_as_a_page_is(tmp_path):
    path = tmp_path / "wide.csv"
    path.write_text("," * 20_000 + "x\n" + "1,2\n" * 100_000)
    (page,) = select.read(path, path.name, Wanted())
    assert len(page.markdown) < 1 << 18


def _sheet(folder, rows, shared=""):
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    parts = {
        "xl/workbook.xml": f"<workbook xmlns='{main}' xmlns:r='{office}'><sheets>"
        "<sheet name='a' r:id='r1'/></sheets></workbook>",
        "xl/_rels/workbook.xml.rels": "<R><R Id='r1' Target='worksheets/sheet1.xml'/></R>",
        "xl/worksheets/sheet1.xml": f"<worksheet xmlns='{main}'>{rows}</worksheet>",
        "xl/sharedStrings.xml": f"<sst xmlns='{main}'><si><t>{shared}</t></si></sst>",
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    path = folder / "book.xlsx"
    path.write_bytes(buffer.getvalue())
    (page,) = select.read(path, path.name, Wanted())
    return page.markdown
