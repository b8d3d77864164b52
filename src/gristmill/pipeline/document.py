"""The values of the pipeline: what a document is, where it stands, what it is to become."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal

from gristmill.contract import Origin
from gristmill.costs.report import CostLine
from gristmill.pipeline.chunking import ChunkingOptions

# What a published document lacks for the time being: it was read by the simulator because the
# parser was down, or published before its vectors because the model was.
Degradation = Literal["parse", "vectors"]


class DocumentStatus(StrEnum):
    """Where a document stands."""

    UPLOADED = "uploaded"  # known here; its bytes are on one machine
    STORED = "stored"  # its bytes are in object storage
    PARSE_QUEUED = "parse_queued"  # to be handed to the parser
    PARSING = "parsing"  # the parser has it; nothing waits for it here
    PARSED = "parsed"  # its pages are ours
    CHUNKED = "chunked"  # cut into passages, found by nothing yet
    EMBEDDING = "embedding"  # some passages have their vector
    READY = "ready"  # published: searches find it
    READY_INCOMPLETE = "ready_incomplete"  # published, with gaps: pages or vectors that are missing
    PARKED = "parked"  # waits for a time or for somebody; goes on by itself
    FAILED = "failed"  # ended; says where, why and what to do
    QUARANTINED = "quarantined"  # its file killed the process that read it


PUBLISHED: Final = frozenset({DocumentStatus.READY, DocumentStatus.READY_INCOMPLETE})
ENDED: Final = PUBLISHED | {DocumentStatus.FAILED, DocumentStatus.QUARANTINED}


@dataclass(frozen=True, slots=True)
class Version:
    """One content of a document.

    `path` is on `host`; `size` is in bytes; `lacks` counts the gaps in what was read of it. It
    `is_fallback` if the simulator read it for want of the parser; one that `is_repair` takes the
    place of such a one, and waits rather than becoming one.
    """

    id: int
    sha256: str
    name: str
    kind: str
    mime: str
    size: int
    pages: int | None
    path: Path
    host: str
    object_id: int | None
    parse_id: int | None
    lacks: int = 0
    is_fallback: bool = False
    is_repair: bool = False


@dataclass(frozen=True, slots=True)
class Work:
    """A document in the hands of one runner. Whoever holds the newest `claim` may write.

    `origin` is that of its collection: what alone may answer in it.
    """

    document_id: str
    claim: int
    stage: DocumentStatus
    attempts: int
    collection: str
    collection_id: int
    origin: Origin
    version: Version


@dataclass(frozen=True, slots=True)
class StorageOptions:
    """Where users' files are kept."""

    endpoint: str
    origin: Origin
    bucket: str


@dataclass(frozen=True, slots=True)
class ParseOptions:
    """How the vendor is to parse; `max_pages` is the most that may be parsed and paid.

    `languages` are those of images of text, in the vendor's codes; none leaves it to the vendor.
    """

    endpoint: str
    origin: Origin
    tier: str
    tier_version: str
    max_pages: int
    languages: tuple[str, ...] = ()

    def fingerprint(self, content: str) -> str:
        """Names one parse: the same fingerprint is never paid twice."""
        options = (self.endpoint, self.origin, self.tier, self.tier_version, str(self.max_pages))
        return _digest("parse", content, *options, *self.languages)


@dataclass(frozen=True, slots=True)
class EmbeddingOptions:
    """The embedding space, how much goes into one request, and how many are under way at once.

    `batch_inputs` and `batch_tokens` keep a request's latency down, and its share of a limit per
    minute; the vendor's own limits are larger.
    """

    endpoint: str
    origin: Origin
    model: str
    dimensions: int
    batch_inputs: int = 256
    batch_tokens: int = 100_000
    requests_at_once: int = 4


@dataclass(frozen=True, slots=True)
class PipelineOptions:
    """What every document is to become.

    `stand_in` parses while the parser is down; None if nothing may. `vectors_may_follow` lets a
    document be published without its vectors while the model is down.
    """

    storage: StorageOptions
    parse: ParseOptions
    chunking: ChunkingOptions
    embedding: EmbeddingOptions
    stand_in: ParseOptions | None = None
    vectors_may_follow: bool = False

    def fingerprint(self, content: str) -> str:
        """Names one way of making one content searchable; the same again is no work."""
        space = self.embedding
        return _digest(
            self.parse.fingerprint(content),
            self.chunking.fingerprint,
            *(space.endpoint, space.origin, space.model, str(space.dimensions)),
        )


def _digest(*parts: str) -> str:
    return sha256("\0".join(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class IncompletePage:
    """A gap in a published document, and why.

    The page is missing; or `refused`: it is there, but its passage number `passage`, counted from
    1 in the document, has no vector and is found by its words only.
    """

    page: int
    problem: Literal["failed", "empty", "cut", "refused"]
    detail: str = ""
    passage: int | None = None


@dataclass(frozen=True, slots=True)
class DocumentSummary:
    """A document as lists show it.

    `spent` is what its calls are known to have cost, `assumed` the bounds of those whose cost is
    not known yet; both in nano-dollars, of real money. Where none was spent, and the collection is
    simulated, they are of simulated money; the two are never added up. `degraded` is of what is
    published.
    """

    id: str
    collection: str
    origin: Origin
    source: str
    status: DocumentStatus
    stage: DocumentStatus
    pages: int | None
    chunks: int
    embedded: int
    spent: int
    assumed: int
    attempts: int
    next_try: datetime | None
    error_kind: str | None
    error: str | None
    advice: str | None
    created_at: datetime
    updated_at: datetime
    degraded: tuple[Degradation, ...] = ()

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen to it by itself."""
        return self.status in ENDED


@dataclass(frozen=True, slots=True)
class CollectionSummary:
    """A collection as lists show it.

    `passages` are those that searches find, `embedded` of them have a vector; `degraded` documents
    lack something for the time being. `costs` has a line for each origin of money: a collection
    that was made real has both.
    """

    name: str
    origin: Origin
    documents: int
    passages: int
    embedded: int
    degraded: int
    costs: tuple[CostLine, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """A step on the road of a document."""

    at: datetime
    status: str
    detail: str


@dataclass(frozen=True, slots=True)
class DocumentDetail:
    """Everything that `show` tells of one document. `size` is in bytes."""

    summary: DocumentSummary
    name: str
    kind: str
    mime: str
    size: int
    sha256: str
    published_at: datetime | None
    parser: Mapping[str, str | None]
    space: Mapping[str, str | int] | None
    incomplete: tuple[IncompletePage, ...]
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class IngestEntry:
    """What became of one source at the door.

    A refused one never became a document. A skipped one was found in a folder, and is of a type
    that is not taken.
    """

    source: str
    outcome: Literal["unchanged", "accepted", "refused", "skipped"]
    document_id: str | None = None
    error: str | None = None
    advice: str | None = None
