"""A storage bucket that is missing and may not be made: it is explained, and the rest works on."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from simulator import SimulatorControl
from tls import TLS

from gristmill import DocumentStatus, Gristmill
from gristmill.contract import Status
from gristmill.settings import Settings
from gristmill_simulators import environment

WritePdf = Callable[..., Path]


class Project:
    """The owner of the storage, who works behind gristmill's back."""

    def __init__(self, simulator: SimulatorControl, bucket: str) -> None:
        key = environment.SUPABASE_SERVICE_ROLE_KEY
        self._control = simulator
        self._bucket = bucket
        self._http = httpx.Client(
            base_url=f"{environment.supabase_url(simulator.base_url)}/storage/v1",
            headers={"authorization": f"Bearer {key}"},
            trust_env=False,
            verify=TLS,
        )

    def close(self) -> None:
        self._http.close()

    def forbid_buckets(self) -> None:
        self._control.fault("supabase.bucket.create", "status", status=403, count=None)

    def remove_bucket(self) -> None:
        self._http.post(f"/bucket/{self._bucket}/empty", json={}).raise_for_status()
        self._http.delete(f"/bucket/{self._bucket}").raise_for_status()

    def create_bucket(self) -> None:
        self._control.clear_faults()  # which would meet the owner as well
        self._http.post("/bucket", json={"name": self._bucket}).raise_for_status()


@pytest.fixture
def project(simulator: SimulatorControl, settings: Settings) -> Iterator[Project]:
    project = Project(simulator, settings.supabase_bucket)
    yield project
    project.close()


async def test_documents_wait_with_the_reason_while_search_goes_on_and_then_they_are_stored(
    mill: Gristmill, project: Project, write_pdf: WritePdf
) -> None:
    barley = write_pdf("barley.pdf", "Barley is ground on Mondays.")
    millet = write_pdf("millet.pdf", "Millet is ground on Tuesdays.")
    assert (await mill.ingest(barley)).is_complete
    project.remove_bucket()
    project.forbid_buckets()

    (document,) = (await mill.ingest(millet)).documents
    assert document.status is DocumentStatus.PARKED
    assert "does not exist, and the role of this key (service_role) may not create it" in (
        document.error or ""
    )
    assert (await mill.search("when is barley ground?")).hits[0].text.startswith("Barley")
    assert (await mill.health())["openai"].status is Status.HEALTHY

    project.create_bucket()
    assert (await mill.resume()).is_complete
    assert (await mill.search("when is millet ground?")).hits[0].text.startswith("Millet")


async def test_what_needs_no_storage_any_more_is_not_held_up(
    mill: Gristmill, project: Project, write_pdf: WritePdf, simulator: SimulatorControl
) -> None:
    barley = write_pdf("barley.pdf", "Barley is ground on Mondays.")
    assert (await mill.ingest(barley)).is_complete
    project.remove_bucket()
    project.forbid_buckets()
    paid = simulator.paid_calls()
    report = await mill.ingest(barley, write_pdf("millet.pdf", "Millet."))
    assert sorted(document.status for document in report.documents) == ["parked", "ready"]
    assert simulator.paid_calls() == paid, "a document that cannot be kept is not paid for"


async def test_a_bucket_that_vanished_is_made_again_where_that_is_allowed(
    mill: Gristmill, project: Project, write_pdf: WritePdf
) -> None:
    assert (await mill.ingest(write_pdf("barley.pdf", "Barley."))).is_complete
    project.remove_bucket()
    assert (await mill.ingest(write_pdf("millet.pdf", "Millet."))).is_complete
