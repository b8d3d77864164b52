"""The 24 integration scenarios, numbered: each against the simulators, and against the vendors.

`make test` runs them with the simulators. `make live` runs the same bodies with the real services,
your keys in the environment (some cents; the database stays a local one). Whatever a scenario makes
has a name of its own and is removed again, so that an account in use is no obstacle.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import numpy as np
import pytest
from accounts import Account
from pdfs import pdf
from tls import TLS

from gristmill import DocumentStatus, Gristmill, Origin, ServiceRouter
from gristmill.contract import Open, Settled, Status
from gristmill.costs.budgets import Balance, Limit
from gristmill.errors import NotFound, Rejected
from gristmill.pipeline.tokens import count_all
from gristmill.services.llamaparse import (
    CancelParse,
    DeleteFile,
    DeleteParse,
    GetParseResult,
    GetParseUsage,
    ListParseJobs,
    ListParseUsage,
    ParseJob,
    ParseStatus,
    SubmitParse,
    UploadFile,
)
from gristmill.services.openai import Embed, ListModels
from gristmill.services.supabase import (
    CreateObject,
    DeleteBucket,
    DownloadObject,
    EmptyBucket,
    EnsureBucket,
    GetObjectInfo,
    ListObjects,
    RemoveObjects,
    SignUrl,
    UploadObject,
)
from gristmill.settings import Settings, load_settings

MODEL = "text-embedding-3-small"
TIER, VERSION = "cost_effective", "2026-09-28"
KEYS = ("OPENAI_API_KEY", "LLAMA_CLOUD_API_KEY", "SUPABASE_URL", "SUPABASE_SERVICE_ROLE_KEY")
PATIENCE = 300.0  # seconds that a real parse may take
CREDIT = 1_250_000  # nano-dollars
PAGE = 3 * CREDIT  # of this tier

pytestmark = pytest.mark.timeout(900)


@dataclass(frozen=True)
class Target:
    """Which side is asked, and how to wait for it."""

    settings: Settings
    origin: Origin

    async def until(self, look: Callable[[], Awaitable[bool]]) -> None:
        """Waits for what only the other side can bring about."""
        pace = 0.02 if self.origin is Origin.SIMULATED else 2.0
        async with asyncio.timeout(PATIENCE):
            while not await look():
                await asyncio.sleep(pace)


@pytest.fixture
def target(
    tmp_path: Path, conninfo_url: str, against_real: bool, request: pytest.FixtureRequest
) -> Target:
    environment = {
        "GRISTMILL_HOME": str(tmp_path / "home"),
        "DATABASE_URL": conninfo_url,
        "SUPABASE_BUCKET": f"integration-{uuid4().hex[:12]}",
    }
    if against_real:
        account = Account.real()
        environment |= {name: account[name] for name in KEYS}
        environment |= {"GRISTMILL_MODE": "real", "GRISTMILL_BUDGET": "5/total"}
    else:
        environment["GRISTMILL_SIMULATOR_URL"] = request.getfixturevalue("simulator").base_url
    origin = Origin.REAL if against_real else Origin.SIMULATED
    return Target(load_settings(environment, tmp_path), origin)


@pytest.fixture
async def mill(target: Target) -> AsyncIterator[Gristmill]:
    """A whole system in a bucket of its own, which is gone afterwards."""
    async with Gristmill(target.settings) as mill:
        yield mill
        await remove_bucket(target, await mill.services())


async def remove_bucket(target: Target, services: ServiceRouter) -> None:
    bucket = target.settings.supabase_bucket

    async def is_gone() -> bool:
        try:
            await services.execute(EmptyBucket(bucket))
            await services.execute(DeleteBucket(bucket))
        except NotFound:
            return True
        except Rejected:  # emptying takes the vendor its time
            return False
        return True

    await target.until(is_gone)


@pytest.fixture
async def services(mill: Gristmill) -> ServiceRouter:
    return await mill.services()


@pytest.fixture
async def bucket(target: Target, services: ServiceRouter) -> str:
    name = target.settings.supabase_bucket
    await services.execute(EnsureBucket(name))
    return name


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "wheat.txt"
    path.write_bytes(f"Wheat, {uuid4().hex}.\n".encode())
    return path


# --- Supabase Storage


async def test_01_a_missing_bucket_is_made_once(target: Target, services: ServiceRouter) -> None:
    name = target.settings.supabase_bucket
    assert (await services.execute(EnsureBucket(name))).value is True
    again = await services.execute(EnsureBucket(name))
    assert again.value is False
    assert again.origin is target.origin


async def test_02_an_object_comes_back_byte_for_byte(
    services: ServiceRouter, bucket: str, tmp_path: Path
) -> None:
    data = bytes(range(256)) * 4096
    (tmp_path / "blob").write_bytes(data)
    await services.execute(UploadObject(bucket, "a/blob.bin", tmp_path / "blob", "application/x"))
    size = await services.execute(DownloadObject(bucket, "a/blob.bin", tmp_path / "back"))
    assert size.value == len(data)
    assert (tmp_path / "back").read_bytes() == data


async def test_03_a_key_is_not_overwritten_unless_asked(
    services: ServiceRouter, bucket: str, file: Path, tmp_path: Path
) -> None:
    other = tmp_path / "rye.txt"
    other.write_text("Rye.\n")
    first = await services.execute(CreateObject(bucket, "grain.txt", file, "text/plain"))
    with pytest.raises(Rejected):
        await services.execute(CreateObject(bucket, "grain.txt", other, "text/plain"))
    replaced = await services.execute(UploadObject(bucket, "grain.txt", other, "text/plain"))
    assert replaced.value.id == first.value.id
    info = await services.execute(GetObjectInfo(bucket, "grain.txt"))
    assert info.value.size == len("Rye.\n")


async def test_04_a_signed_address_opens_one_object_and_nothing_else(
    services: ServiceRouter, bucket: str, file: Path
) -> None:
    await services.execute(UploadObject(bucket, "wheat.txt", file, "text/plain"))
    url = (await services.execute(SignUrl(bucket, "wheat.txt", 60))).value
    async with httpx.AsyncClient(trust_env=False, verify=TLS) as anybody:
        answer = await anybody.get(url)
        forged = await anybody.get(url.replace("wheat.txt", "rye.txt"))
    assert answer.content == file.read_bytes()
    assert forged.status_code >= 400


async def test_05_what_is_known_of_an_object_is_kept_and_listed(
    services: ServiceRouter, bucket: str, file: Path
) -> None:
    metadata = {"title": "Über Weizen", "year": 1913}
    await services.execute(
        UploadObject(bucket, "shelf/wheat.txt", file, "text/plain", metadata=metadata)
    )
    info = (await services.execute(GetObjectInfo(bucket, "shelf/wheat.txt"))).value
    assert info.metadata == metadata
    assert info.size == len(file.read_bytes())
    listed = (await services.execute(ListObjects(bucket, prefix="shelf/"))).value
    assert [(each.key, each.content_type) for each in listed.objects] == [
        ("shelf/wheat.txt", "text/plain")
    ]


async def test_06_removed_objects_are_gone_and_misses_are_told(
    services: ServiceRouter, bucket: str, file: Path, tmp_path: Path
) -> None:
    await services.execute(UploadObject(bucket, "wheat.txt", file, "text/plain"))
    removed = await services.execute(RemoveObjects(bucket, ("wheat.txt", "never.txt")))
    assert removed.value == ("wheat.txt",)
    with pytest.raises(NotFound):
        await services.execute(DownloadObject(bucket, "wheat.txt", tmp_path / "back"))
    assert not (tmp_path / "back").exists()


# --- LlamaParse


async def submitted(services: ServiceRouter, path: Path, *pages: str) -> tuple[str, ParseJob]:
    path.write_bytes(pdf(*pages))
    tag = uuid4().hex
    uploaded = await services.execute(UploadFile(path, path.name, tag))
    job = await services.execute(
        SubmitParse(uploaded.value.id, TIER, VERSION, max_pages=len(pages), tag=tag)
    )
    assert job.settlement == Open(job.value.id)
    return uploaded.value.id, job.value


async def ended(target: Target, services: ServiceRouter, job: ParseJob) -> list[ParseStatus]:
    """The statuses that were seen, until the last."""
    seen: list[ParseStatus] = [job.status]

    async def is_final() -> bool:
        (now,) = (await services.execute(ListParseJobs((job.id,)))).value
        if now.status is not seen[-1]:
            seen.append(now.status)
        return now.status.is_final

    await target.until(is_final)
    return seen


async def test_07_a_document_becomes_markdown_page_by_page(
    target: Target, services: ServiceRouter, tmp_path: Path
) -> None:
    pages = ("The first page speaks of wheat.", "The second page speaks of rye.")
    file_id, job = await submitted(services, tmp_path / "grain.pdf", *pages)
    await ended(target, services, job)
    result = (await services.execute(GetParseResult(job.id, TIER))).value
    assert [page.number for page in result.pages] == [1, 2]
    assert "wheat" in result.pages[0].markdown
    assert "rye" in result.pages[1].markdown
    await services.execute(DeleteParse(job.id))
    await services.execute(DeleteFile(file_id))


async def test_08_a_job_is_followed_until_it_has_ended(
    target: Target, services: ServiceRouter, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if target.origin is Origin.SIMULATED:
        request.getfixturevalue("simulator").configure(transition={"kind": "polls", "value": 3})
    file_id, job = await submitted(services, tmp_path / "one.pdf", f"Page {uuid4().hex}.")
    seen = await ended(target, services, job)
    assert seen[-1] is ParseStatus.COMPLETED
    assert seen[0] in (ParseStatus.PENDING, ParseStatus.RUNNING)
    assert len(seen) == len(set(seen)), "a status comes back"
    with pytest.raises(Rejected):
        await services.execute(CancelParse(job.id))
    await services.execute(DeleteParse(job.id))
    await services.execute(DeleteFile(file_id))


async def test_09_the_bill_of_a_job_is_what_its_pages_cost(
    target: Target, services: ServiceRouter, tmp_path: Path
) -> None:
    file_id, job = await submitted(services, tmp_path / "bill.pdf", f"Page {uuid4().hex}.", "Two.")
    await ended(target, services, job)

    async def is_billed() -> bool:
        return (await services.execute(GetParseUsage(job.id))).value is not None

    await target.until(is_billed)
    assert (await services.execute(GetParseUsage(job.id))).value == 2 * 3  # credits of this tier
    await services.execute(DeleteParse(job.id))
    await services.execute(DeleteFile(file_id))


async def test_10_what_cannot_be_parsed_fails_with_a_reason(
    target: Target, services: ServiceRouter, tmp_path: Path
) -> None:
    path = tmp_path / "broken.pdf"
    path.write_bytes(b"%PDF-1.7\nthis is no document\n%%EOF\n")
    tag = uuid4().hex
    file_id = (await services.execute(UploadFile(path, path.name, tag))).value.id
    job = (await services.execute(SubmitParse(file_id, TIER, VERSION, 1, tag))).value
    assert (await ended(target, services, job))[-1] is ParseStatus.FAILED
    (failed,) = (await services.execute(ListParseJobs((job.id,)))).value
    assert failed.error
    await services.execute(DeleteParse(job.id))
    await services.execute(DeleteFile(file_id))


# --- OpenAI


def embed(*texts: str, dimensions: int = 1536) -> Embed:
    return Embed(texts, MODEL, dimensions, tuple(count_all(texts)))


async def test_11_related_texts_are_nearer_than_others(services: ServiceRouter) -> None:
    texts = ("The mill grinds wheat.", "Wheat is ground in a mill.", "A fast red car.")
    vectors = (await services.execute(embed(*texts))).value.vectors
    assert vectors.shape == (3, 1536)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]


async def test_12_vectors_are_as_long_as_asked_and_of_length_one(services: ServiceRouter) -> None:
    vectors = (await services.execute(embed("rye", "oats", dimensions=256))).value.vectors
    assert vectors.shape == (2, 256)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)


async def test_13_tokens_counted_before_are_tokens_billed(services: ServiceRouter) -> None:
    operation = embed("wheat — Weizen", "밀가루는 밀을 빻은 것이다", "  ", "<|endoftext|>x")
    result = await services.execute(operation)
    assert result.settlement == Settled(operation.worst_case())


async def test_14_more_texts_than_a_request_holds_are_sent_in_several(
    target: Target, tmp_path: Path
) -> None:
    path = tmp_path / "long.md"
    path.write_text("".join(f"# Part {n}\n\nOf grain number {n}.\n\n" * 3 for n in range(12)))
    small = {"chunk_tokens": 32, "chunk_overlap": 0, "embedding_batch": 4}
    async with Gristmill(target.settings.model_copy(update=small)) as mill:
        assert (await mill.ingest(path)).is_complete
        (document,) = await mill.documents()
        assert document.chunks == document.embedded > 4
        (line,) = (await mill.costs()).lines
        assert line.calls >= document.chunks / 4 / 2  # equal passages are sent once
        hit = (await mill.search("grain number 11", limit=1)).hits[0]
        assert "number 11" in hit.text
        await mill.delete(document.id)
        await remove_bucket(target, await mill.services())


async def test_15_an_empty_text_is_refused_before_or_by_the_vendor_and_billed_to_nobody(
    mill: Gristmill, services: ServiceRouter
) -> None:
    with pytest.raises(Rejected):
        await services.execute(embed("wheat", ""))
    assert sum(total.spent + total.assumed for total in (await mill.costs()).totals) == 0


async def test_16_every_service_is_healthy_and_offers_the_model(
    target: Target, services: ServiceRouter, mill: Gristmill
) -> None:
    models = await services.execute(ListModels())
    assert MODEL in models.value
    assert models.origin is target.origin
    health = await mill.health()
    assert {name: each.status for name, each in health.items()} == dict.fromkeys(
        ("openai", "llamaparse", "supabase"), Status.HEALTHY
    )
    assert all(each.response_time for each in health.values())


# --- From end to end


async def test_17_a_pdf_goes_in_and_its_passage_is_found(mill: Gristmill, tmp_path: Path) -> None:
    word = f"quernstone {uuid4().hex[:8]}"
    path = tmp_path / "page.pdf"
    path.write_bytes(pdf(f"The {word} turns once for every paid page."))
    report = await mill.ingest(path)
    assert report.is_complete, report.documents
    answer = await mill.search(f"what does the {word} do?", limit=1)
    assert word in answer.hits[0].text
    await mill.delete(report.documents[0].id)


async def test_18_a_broken_document_holds_up_no_other(
    target: Target, mill: Gristmill, tmp_path: Path
) -> None:
    (tmp_path / "good.txt").write_text("Barley is malted before it is brewed.")
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.7\nthis is no document\n%%EOF\n")
    report = await mill.ingest(tmp_path / "good.txt", tmp_path / "broken.pdf")
    status = {Path(each.source).name: each for each in report.documents}
    assert status["good.txt"].status is DocumentStatus.READY
    assert status["good.txt"].origin is target.origin
    assert status["broken.pdf"].status in (DocumentStatus.FAILED, DocumentStatus.QUARANTINED)
    assert status["broken.pdf"].error
    assert (await mill.search("what is malted?", limit=1)).hits
    for each in report.documents:
        await mill.delete(each.id)


async def test_19_a_second_run_over_the_same_files_pays_for_nothing(
    mill: Gristmill, tmp_path: Path
) -> None:
    path = tmp_path / "oats.pdf"
    path.write_bytes(pdf(f"Oats are rolled. {uuid4().hex}"))
    first = await mill.ingest(path)
    before = (await mill.costs()).totals
    second = await mill.ingest(path)
    assert [entry.outcome for entry in second.entries] == ["unchanged"]
    assert (await mill.costs()).totals == before
    await mill.delete(first.documents[0].id)


async def test_20_a_stopped_run_is_taken_up_again_and_pays_each_page_once(
    target: Target, tmp_path: Path
) -> None:
    path = tmp_path / "millet.pdf"
    path.write_bytes(pdf(f"Millet grows fast. {uuid4().hex}"))
    async with Gristmill(target.settings) as mill:
        run = asyncio.create_task(mill.ingest(path))

        async def is_parsing() -> bool:
            return any(each.spent + each.assumed for each in (await mill.costs()).totals)

        await target.until(is_parsing)
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
    async with Gristmill(target.settings) as mill:
        report = await mill.resume()
        (document,) = await mill.documents()
        assert document.status is DocumentStatus.READY, (report, document)
        lines = {line.name: line for line in (await mill.costs()).lines}
        assert lines["llamaparse"].calls == 1
        await mill.delete(document.id)
        await remove_bucket(target, await mill.services())


# --- Costs


async def test_21_every_paid_call_is_in_the_journal_with_what_answered_it(
    target: Target, mill: Gristmill, tmp_path: Path
) -> None:
    path = tmp_path / "spelt.pdf"
    path.write_bytes(pdf(f"Spelt has a husk. {uuid4().hex}"))
    report = await mill.ingest(path)
    lines = {line.name: line for line in (await mill.costs("service")).lines}
    assert set(lines) == {"llamaparse", "openai"}
    assert {line.origin for line in lines.values()} == {target.origin}
    assert all(line.calls == 1 for line in lines.values())
    assert lines["openai"].spent > 0
    await mill.delete(report.documents[0].id)


async def test_22_costs_add_up_to_the_same_total_however_they_are_grouped(
    mill: Gristmill, tmp_path: Path
) -> None:
    for name, collection in (("emmer", "old"), ("einkorn", "older")):
        (tmp_path / f"{name}.txt").write_text(f"{name} is an old kind of wheat. {uuid4().hex}")
        await mill.ingest(tmp_path / f"{name}.txt", collection=collection)
    await mill.search("an old kind of wheat")
    reports = [await mill.costs(by) for by in ("service", "day", "document", "collection")]
    totals = {sum(line.spent + line.assumed for line in each.lines) for each in reports}
    assert len(totals) == 1
    assert totals.pop() > 0
    for document in await mill.documents():
        await mill.delete(document.id)


async def balance_of(mill: Gristmill, collection: str) -> Balance:
    (found,) = [each for each in await mill.budget() if each.key == collection]
    return found


async def test_23_what_does_not_fit_a_limit_waits_and_is_paid_once_when_the_limit_is_raised(
    mill: Gristmill, tmp_path: Path
) -> None:
    path = tmp_path / "teff.pdf"
    path.write_bytes(pdf(f"Teff is tiny. {uuid4().hex}", "Its flour is brown."))
    await mill.set_budget(Limit("collection", "total", 2 * PAGE - 1, "small"))

    (parked,) = (await mill.ingest(path, collection="small")).documents
    assert parked.status is DocumentStatus.PARKED
    assert parked.error_kind == "BudgetExceeded"
    assert (await mill.costs()).lines == (), "no paid call was made, or tried"
    balance = await balance_of(mill, "small")
    assert (balance.spent, balance.held, balance.overrun) == (0, 0, 0)

    await mill.set_budget(Limit("collection", "total", 3 * PAGE, "small"))
    (ready,) = (await mill.resume()).documents
    assert ready.status is DocumentStatus.READY
    assert {line.name: line.calls for line in (await mill.costs()).lines} == {
        "llamaparse": 1,
        "openai": 1,
    }
    await mill.delete(ready.id)


async def test_24_what_was_held_is_let_go_and_our_books_are_those_of_the_vendors(
    target: Target,
    mill: Gristmill,
    services: ServiceRouter,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    path = tmp_path / "fonio.pdf"
    path.write_bytes(pdf(f"Fonio is quick. {uuid4().hex}", "It grows on sand."))
    await mill.set_budget(Limit("collection", "total", 3 * PAGE, "grain"))
    (document,) = (await mill.ingest(path, collection="grain")).documents

    async def is_billed() -> bool:
        await mill.resume()  # looks for bills that come late
        return (await balance_of(mill, "grain")).held == 0

    await target.until(is_billed)
    balance = await balance_of(mill, "grain")
    lines = {line.name: line for line in (await mill.costs()).lines}
    assert balance.spent == sum(line.spent for line in lines.values())
    assert balance.alerted == 50, "two pages of three, and a little"

    job = (await mill.show(document.id)).parser["job"]
    rows = (await services.execute(ListParseUsage(job or ""))).value
    assert lines["llamaparse"].spent == sum(row.credits for row in rows) * CREDIT == 2 * PAGE
    if target.origin is Origin.SIMULATED:  # OpenAI shows its books to administrators only
        books = request.getfixturevalue("simulator").billed()["openai"][MODEL]
        assert lines["openai"].spent == books["nano_dollars"] > 0
    await mill.delete(document.id)
