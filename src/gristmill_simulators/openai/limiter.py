"""The rate limiter of section "Measured behaviour": requests and tokens, per model."""

import math
from dataclasses import dataclass

from gristmill_simulators.bucket import Bucket
from gristmill_simulators.openai.errors import OpenAIError
from gristmill_simulators.settings import Quotas

ORGANIZATION = "org-simulated"
_MINUTE = 60.0
_DAY = 86_400.0

# tier: requests a minute, requests a day, tokens a minute; the same for all three models
_TIERS: dict[str, tuple[float, float | None, float]] = {
    "free": (100, 2_000, 40_000),
    "1": (3_000, None, 1_000_000),
    "2": (5_000, None, 1_000_000),
    "3": (5_000, None, 5_000_000),
    "4": (10_000, None, 5_000_000),
    "5": (10_000, None, 10_000_000),
}
_UNITS = {
    "requests": "requests per min (RPM)",
    "day": "requests per day (RPD)",
    "tokens": "tokens per min (TPM)",
}


def go_duration(seconds: float) -> str:
    """Go's text for a duration, cut to whole milliseconds: `6ms`, `2.812s`, `7m12s`, `1h0m0s`."""
    # a float just below a whole millisecond is that millisecond
    milliseconds = math.floor(seconds * 1000 + 1e-6)
    if milliseconds < 1000:
        return f"{milliseconds}ms" if milliseconds else "0s"
    minutes, rest = divmod(milliseconds, 60_000)
    whole, part = divmod(rest, 1000)
    text = f"{whole}.{part:03d}".rstrip("0") + "s" if part else f"{whole}s"
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text


@dataclass(frozen=True, slots=True)
class Cost:
    """What one request takes from each bucket."""

    tokens: int

    def of(self, name: str) -> int:
        return self.tokens if name == "tokens" else 1


class Limiter:
    """All buckets of the organisation; the numbers survive a change of the quotas."""

    def __init__(self, quotas: Quotas) -> None:
        self._quotas = quotas
        self._buckets: dict[str, dict[str, Bucket]] = {}

    def configure(self, quotas: Quotas) -> None:
        """Use other quotas; what is in use stays in use."""
        if quotas == self._quotas:
            return
        self._quotas = quotas
        self.load(self.dump())

    def admit(self, model: str, tokens: int, now: float) -> None:
        """Charge one request, or refuse it and charge nothing. Raises OpenAIError (429)."""
        buckets = self._of(model)
        cost = Cost(tokens)
        for name, bucket in buckets.items():
            if cost.of(name) > bucket.limit:
                raise self._too_large(model, name, bucket, cost)
            wait = bucket.wait(cost.of(name), now)
            if wait > 0:
                raise self._limited(model, name, cost, wait, now)
        for name, bucket in buckets.items():
            bucket.charge(cost.of(name), now)

    def headers(self, model: str, now: float) -> dict[str, str]:
        """`x-ratelimit-{limit,remaining,reset}-{requests,tokens}`."""
        headers: dict[str, str] = {}
        for name in ("requests", "tokens"):
            bucket = self._of(model)[name]
            headers[f"x-ratelimit-limit-{name}"] = str(int(bucket.limit))
            headers[f"x-ratelimit-remaining-{name}"] = str(bucket.remaining(now))
            headers[f"x-ratelimit-reset-{name}"] = go_duration(bucket.full_in(now))
        return headers

    def dump(self) -> dict[str, dict[str, list[float]]]:
        """What is in use, as plain values: model, bucket, [used, at]."""
        return {
            model: {name: [bucket.used, bucket.at] for name, bucket in buckets.items()}
            for model, buckets in self._buckets.items()
        }

    def load(self, dumped: dict[str, dict[str, list[float]]]) -> None:
        self._buckets = {}
        for model, buckets in dumped.items():
            for name, (used, at) in buckets.items():
                if (bucket := self._of(model).get(name)) is not None:
                    bucket.used, bucket.at = used, at

    def _of(self, model: str) -> dict[str, Bucket]:
        if model not in self._buckets:
            self._buckets[model] = self._new_buckets()
        return self._buckets[model]

    def _new_buckets(self) -> dict[str, Bucket]:
        per_minute, per_day, tokens = _TIERS[self._quotas.openai_tier]
        share = self._quotas.openai_burst_seconds / _MINUTE
        requests = self._quotas.openai_requests_per_minute or per_minute
        tokens = self._quotas.openai_tokens_per_minute or tokens
        buckets = {
            "requests": Bucket(requests, _MINUTE, requests * share),
            "tokens": Bucket(tokens, _MINUTE, tokens * share),
        }
        if day := self._quotas.openai_requests_per_day or per_day:
            buckets["day"] = Bucket(day, _DAY, day)
        return buckets

    def _limited(self, model: str, name: str, cost: Cost, wait: float, now: float) -> OpenAIError:
        bucket = self._of(model)[name]
        # with a burst below a minute the room is smaller than the limit that is shown;
        # rounded up, so that used + requested is above the limit as in every recording
        used = math.ceil(bucket.level(now) + bucket.limit - bucket.capacity)
        return self._refusal(
            name,
            f"Rate limit reached for {model} in organization {ORGANIZATION} on {_UNITS[name]}:"
            f" Limit {int(bucket.limit)}, Used {used}, Requested {cost.of(name)}."
            f" Please try again in {go_duration(max(wait, 0.001))}.",
            {**self.headers(model, now), **self._retry_after(wait)},
        )

    def _too_large(self, model: str, name: str, bucket: Bucket, cost: Cost) -> OpenAIError:
        return self._refusal(
            name,
            f"Request too large for {model} in organization {ORGANIZATION} on {_UNITS[name]}:"
            f" Limit {int(bucket.limit)}, Requested {cost.of(name)}. The input or output tokens"
            " must be reduced in order to run successfully.",
            {},
        )

    def _retry_after(self, wait: float) -> dict[str, str]:
        if not self._quotas.openai_retry_after:
            return {}
        return {"retry-after": str(max(1, math.ceil(wait)))}

    @staticmethod
    def _refusal(name: str, message: str, headers: dict[str, str]) -> OpenAIError:
        return OpenAIError(
            429,
            f"{message} Visit https://platform.openai.com/account/rate-limits to learn more.",
            kind="tokens" if name == "tokens" else "requests",
            code="rate_limit_exceeded",
            headers=headers,
        )
