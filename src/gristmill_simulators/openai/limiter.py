"""The rate limiter of the recordings: requests and tokens, per model, refilled continuously."""

import math
from dataclasses import dataclass
from typing import Any

from gristmill_simulators.bucket import Bucket
from gristmill_simulators.openai.account import ORGANIZATION, PROJECT
from gristmill_simulators.openai.durations import go_duration
from gristmill_simulators.openai.errors import LIMITS_PAGE, OpenAIError, known
from gristmill_simulators.openai.ramp import Ramp
from gristmill_simulators.openai.switches import Switches
from gristmill_simulators.openai.tiers import TIERS
from gristmill_simulators.settings import Quotas

_MINUTE = 60.0
_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a bucket counts, in the words of a refusal; headers are named after the bucket."""

    unit: str
    counts_tokens: bool = False
    project: bool = False
    in_headers: bool = True

    def cost(self, tokens: int) -> int:
        return tokens if self.counts_tokens else 1


_RPM, _TPM = "requests per min (RPM)", "tokens per min (TPM)"
_KINDS = {
    "requests": _Kind(_RPM),
    "tokens": _Kind(_TPM, counts_tokens=True),
    "day": _Kind("requests per day (RPD)", in_headers=False),
    "project-requests": _Kind(_RPM, project=True),
    "project-tokens": _Kind(_TPM, counts_tokens=True, project=True),
}

Dumped = dict[str, dict[str, Any]]


class Limiter:
    """All buckets of the customer; what is in use survives a change of the quotas."""

    def __init__(self, quotas: Quotas, switches: Switches | None = None) -> None:
        self._quotas = quotas
        self._switches = switches or Switches()
        self._buckets: dict[str, dict[str, Bucket]] = {}
        self._ramps: dict[str, Ramp] = {}

    def configure(self, quotas: Quotas, switches: Switches | None = None) -> None:
        """Use other quotas; what is in use stays in use."""
        switches = switches or self._switches
        if quotas is self._quotas and switches is self._switches:
            return
        self._quotas, self._switches = quotas, switches
        self.load(self.dump())

    def admit(self, model: str, tokens: int, now: float) -> None:
        """Charge one request, or refuse it. Raises OpenAIError (429)."""
        try:
            self._check(model, tokens, now)
        except OpenAIError:
            if self._switches.refused_consume:
                self.charge(model, tokens, now)
            raise
        self.charge(model, tokens, now)

    def charge(self, model: str, tokens: int, now: float) -> None:
        """Take a request's share whatever is left."""
        for name, bucket in self._of(model).items():
            bucket.charge(_KINDS[name].cost(tokens), now)
        if self._switches.ramp:
            self._ramps.setdefault(model, Ramp()).add(tokens, now)

    def settle(self, model: str, estimated: int, used: int, now: float) -> None:
        """Replace the estimate by the true tokens, where the service is taken to do so."""
        if not self._switches.settle_to_usage:
            return
        for name, bucket in self._of(model).items():
            if _KINDS[name].counts_tokens:
                bucket.charge(used - estimated, now)

    def headers(self, model: str, now: float) -> dict[str, str]:
        """`x-ratelimit-{limit,remaining,reset}-{requests,tokens,project-...}`."""
        headers: dict[str, str] = {}
        for name, bucket in self._of(model).items():
            if _KINDS[name].in_headers:
                headers[f"x-ratelimit-limit-{name}"] = str(int(bucket.limit))
                headers[f"x-ratelimit-remaining-{name}"] = str(bucket.remaining(now))
                headers[f"x-ratelimit-reset-{name}"] = go_duration(bucket.full_in(now))
        return headers

    def dump(self) -> Dumped:
        """What is in use, as plain values: model, bucket, [used, at]; the ramp by minute."""
        dumped: Dumped = {
            model: {name: [bucket.used, bucket.at] for name, bucket in buckets.items()}
            for model, buckets in self._buckets.items()
        }
        for model, ramp in self._ramps.items():
            dumped.setdefault(model, {})["ramp"] = ramp.dump()
        return dumped

    def load(self, dumped: Dumped) -> None:
        self._buckets = {}
        for model, parts in dumped.items():
            for name, value in parts.items():
                if name == "ramp":
                    self._ramps[model] = Ramp.load(value)
                elif (bucket := self._of(model).get(name)) is not None:
                    bucket.used, bucket.at = value

    def _of(self, model: str) -> dict[str, Bucket]:
        if model not in self._buckets:
            self._buckets[model] = self._new_buckets()
        return self._buckets[model]

    def _new_buckets(self) -> dict[str, Bucket]:
        quotas, switches = self._quotas, self._switches
        tier = TIERS[quotas.openai_tier]
        a_minute = {
            "requests": quotas.openai_requests_per_minute or tier.requests,
            "tokens": quotas.openai_tokens_per_minute or tier.tokens,
            "project-requests": switches.project_requests_per_minute,
            "project-tokens": switches.project_tokens_per_minute,
        }
        share = quotas.openai_burst_seconds / _MINUTE
        buckets = {
            name: Bucket(limit, _MINUTE, limit * share)
            for name, limit in a_minute.items()
            if limit is not None
        }
        if day := quotas.openai_requests_per_day or tier.requests_a_day:
            buckets["day"] = Bucket(day, _DAY, day)
        return buckets

    def _check(self, model: str, tokens: int, now: float) -> None:
        for name, bucket in self._of(model).items():
            cost = _KINDS[name].cost(tokens)
            if cost > bucket.limit:
                raise self._too_large(model, name, cost, now)
            wait = bucket.wait(cost, now)
            if wait > 0:
                raise self._limited(model, name, cost, wait, now)
        ramp = self._ramps.get(model, Ramp())
        if self._switches.ramp and not ramp.admits(tokens, now):
            raise known("slow_down", self._hints(model, now, 1.0))

    def _limited(self, model: str, name: str, cost: int, wait: float, now: float) -> OpenAIError:
        bucket = self._of(model)[name]
        # with a burst below a minute the room is smaller than the limit that is shown;
        # rounded up, so that used + requested is above the limit as in every recording
        used = math.ceil(bucket.level(now) + bucket.limit - bucket.capacity)
        return _refusal(
            name,
            f"Rate limit reached for {model} in {_where(name)} on {_KINDS[name].unit}:"
            f" Limit {int(bucket.limit)}, Used {used}, Requested {cost}."
            f" Please try again in {go_duration(max(wait, 0.001))}.",
            self._hints(model, now, wait),
        )

    def _too_large(self, model: str, name: str, cost: int, now: float) -> OpenAIError:
        # no Retry-After: waiting does not help
        return _refusal(
            name,
            f"Request too large for {model} in {_where(name)} on {_KINDS[name].unit}:"
            f" Limit {int(self._of(model)[name].limit)}, Requested {cost}. The input or output"
            " tokens must be reduced in order to run successfully.",
            self._shown(model, now),
        )

    def _shown(self, model: str, now: float) -> dict[str, str]:
        return self.headers(model, now) if self._switches.limit_headers_on_429 else {}

    def _hints(self, model: str, now: float, wait: float) -> dict[str, str]:
        headers = self._shown(model, now)
        if self._quotas.openai_retry_after:
            headers["retry-after"] = str(max(1, math.ceil(wait)))
        if self._switches.retry_after_ms:
            headers["retry-after-ms"] = str(max(1, math.ceil(wait * 1000)))
        if self._switches.should_retry:
            headers["x-should-retry"] = "true"
        return headers


def _where(name: str) -> str:
    organization = f"organization {ORGANIZATION}"
    return f"project {PROJECT} {organization}" if _KINDS[name].project else organization


def _refusal(name: str, message: str, headers: dict[str, str]) -> OpenAIError:
    return OpenAIError(
        429,
        f"{message} Visit {LIMITS_PAGE} to learn more.",
        kind="tokens" if _KINDS[name].counts_tokens else "requests",
        code="rate_limit_exceeded",
        headers=headers,
    )
