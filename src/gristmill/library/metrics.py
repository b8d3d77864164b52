"""What Prometheus reads: metrics of all processes, from the database, when somebody asks.

Nothing is counted beside what the system keeps anyhow, so that a process that nobody scrapes pays
nothing, and one that has ended is in the sums. Money is in nano-dollars, time in seconds.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from gristmill.contract import Status
from gristmill.costs.budgets import Balance, balances
from gristmill.health import snapshots
from gristmill.health.report import ServiceReport
from gristmill.health.snapshots import Total
from gristmill.library import standing
from gristmill.library.standing import QuotaReport
from gristmill.pipeline import catalogue
from gristmill.pipeline.document import Degradation, DocumentStatus
from gristmill.system import System

CALLS: Final = "calls"
ANSWERS: Final = "answers"
SECONDS: Final = "seconds"
RETRIES: Final = "retries"
ALERTED: Final = 80  # percent of a limit from which on a person should know
PLACE: Final = ("service", "endpoint")


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything that the metrics are made of, as it stands in the database."""

    balances: Sequence[Balance]
    reports: Mapping[str, ServiceReport]
    totals: Sequence[Total]
    quotas: QuotaReport
    documents: Mapping[DocumentStatus, int]
    degraded: Mapping[Degradation, int]


async def metrics(system: System) -> str:
    """The metrics in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(await read(system)))
    return generate_latest(registry).decode()


async def read(system: System) -> Reading:
    """Asks the database; no service is asked."""
    database = system.database
    return Reading(
        balances=await balances(database),
        reports=await snapshots.known(database, standing.places(system)),
        totals=await snapshots.totals(database),
        quotas=await standing.quotas(system),
        documents=await catalogue.counts(database),
        degraded=await catalogue.degraded_counts(database),
    )


class _Collector(Collector):
    """Each group of metrics in turn."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def collect(self) -> Iterator[Metric]:
        reading = self._reading
        yield from _budgets(reading.balances)
        yield from _health(reading.reports)
        yield from _sums(reading.totals)
        yield _times(reading.reports, reading.totals)
        yield from _quotas(reading.quotas)
        yield _documents(reading.documents)
        yield _degraded(reading.degraded)
        yield _alerts(reading)


def _budgets(every: Sequence[Balance]) -> Iterator[Metric]:
    """Of each limit but those of single documents, of which there are too many to keep series."""
    labels = ("origin", "scope", "key", "period")
    limited = [each for each in every if each.limit is not None and each.scope != "document"]
    amounts = {
        "limit": "What may be spent in the present window.",
        "spent": "What is spent of it.",
        "held": "What is set aside for calls under way.",
        "overrun": "By how much spent and held pass it.",
    }
    for name, words in amounts.items():
        family = GaugeMetricFamily(f"gristmill_budget_{name}_nano_dollars", words, labels=labels)
        for each in limited:
            family.add_metric([each.origin, each.scope, each.key, each.period], getattr(each, name))
        yield family
    words = "The highest threshold that was reached: 0, 50, 80 or 100."
    family = GaugeMetricFamily("gristmill_budget_alerted_percent", words, labels=labels)
    for each in limited:
        family.add_metric([each.origin, each.scope, each.key, each.period], each.alerted)
    yield family


def _health(reports: Mapping[str, ServiceReport]) -> Iterator[Metric]:
    status = _gauge("service_status", "1 for the status that a service has.", *PLACE, "status")
    breaker = _gauge("service_breaker", "Processes by the state of theirs.", *PLACE, "state")
    for service, report in reports.items():
        place = [service, report.endpoint]
        for each in Status:
            status.add_metric([*place, each.value], float(report.status is each))
        for state in ("closed", "open", "half_open"):
            breaker.add_metric([*place, state], report.breakers.get(state, 0))
    yield status
    yield breaker


def _sums(totals: Sequence[Total]) -> Iterator[Metric]:
    """Sums over all processes there ever were, also those that have ended."""
    calls = _counter("service_calls", "Tries and free questions that ended.", *PLACE)
    retries = _counter("service_retries", "Tries after the first.", *PLACE)
    errors = _counter("service_errors", "Failures of a service, by kind.", *PLACE, "kind")
    for each in totals:
        place = [each.service, each.endpoint]
        if each.name == CALLS:
            calls.add_metric(place, each.amount)
        elif each.name == RETRIES:
            retries.add_metric(place, each.amount)
        elif each.name not in (ANSWERS, SECONDS):
            errors.add_metric([*place, each.name], each.amount)
    yield calls
    yield retries
    yield errors


def _times(reports: Mapping[str, ServiceReport], totals: Sequence[Total]) -> Metric:
    """The service's own times: quantiles of the last five minutes, sum and number of all."""
    name = "gristmill_service_response_seconds"
    family = Metric(name, "How long answers took, without what waits here.", "summary")
    for service, report in reports.items():
        place = {"service": service, "endpoint": report.endpoint}
        quantiles = {"0.5": report.response_time, "0.95": report.p95_response_time}
        for quantile, seconds in quantiles.items():
            if seconds is not None:
                family.add_sample(name, place | {"quantile": quantile}, seconds)
    for each in totals:
        if suffix := {ANSWERS: "_count", SECONDS: "_sum"}.get(each.name):
            place = {"service": each.service, "endpoint": each.endpoint}
            family.add_sample(f"{name}{suffix}", place, each.amount)
    return family


def _quotas(quotas: QuotaReport) -> Iterator[Metric]:
    labels = (*PLACE, "pool", "limit")
    values = {
        "per_minute": ("rate_limit_per_minute", "What a minute has of a rate limit."),
        "used": ("rate_limit_used", "What turns were taken for in the last minute."),
        "next_turn": ("rate_limit_next_turn_seconds", "How long a call that comes now waits."),
        "paused": ("rate_limit_paused_seconds", "How long the vendor wants all to wait."),
        "waiting": ("rate_limit_waiting_calls", "Calls that wait for their turn."),
    }
    for field, (name, words) in values.items():
        family = _gauge(name, words, *labels)
        for each in quotas.rate_limits:
            where = [each.service, each.endpoint, each.pool, each.name]
            family.add_metric(where, getattr(each, field))
        yield family
    at_once = _gauge("service_calls_at_once", "Calls that may be under way, in all.", *PLACE)
    queued = _gauge("service_queued_calls", "Calls that wait for one of them to end.", *PLACE)
    for bound in quotas.at_once:
        at_once.add_metric([bound.service, bound.endpoint], bound.at_once)
        queued.add_metric([bound.service, bound.endpoint], bound.waiting)
    yield at_once
    yield queued


def _documents(documents: Mapping[DocumentStatus, int]) -> Metric:
    family = _gauge("documents", "Documents by where they stand.", "status")
    for status, number in documents.items():
        family.add_metric([status.value], number)
    return family


def _degraded(degraded: Mapping[Degradation, int]) -> Metric:
    words = "Published documents that a simulator has read, or that lack vectors."
    family = _gauge("documents_degraded", words, "lacks")
    for lacks, number in degraded.items():
        family.add_metric([lacks], number)
    return family


def _alerts(reading: Reading) -> Metric:
    """What a person should look at, by kind."""
    troubled = (Status.UNHEALTHY, Status.UNCONFIGURED)
    ended = (DocumentStatus.FAILED, DocumentStatus.QUARANTINED)
    numbers = {
        "budget": sum(1 for b in reading.balances if b.alerted >= ALERTED or b.overrun),
        "service": sum(1 for each in reading.reports.values() if each.status in troubled),
        "document": sum(reading.documents.get(status, 0) for status in ended),
    }
    family = _gauge("alerts", "Limits nearly used, services and documents in trouble.", "kind")
    for kind, number in numbers.items():
        family.add_metric([kind], number)
    return family


def _gauge(name: str, words: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"gristmill_{name}", words, labels=labels)


def _counter(name: str, words: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"gristmill_{name}", words, labels=labels)
