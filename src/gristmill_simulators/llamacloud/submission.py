"""`POST /api/v2/parse` and `/api/v2/parse/upload`: from what a client asks to a stored job."""

import hashlib
import math
import sqlite3
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from gristmill_simulators.llamacloud import (
    billing,
    files,
    hooks,
    outbox,
    present,
    request,
    source,
    state,
)
from gristmill_simulators.llamacloud.admission import Admission
from gristmill_simulators.llamacloud.billing import Line
from gristmill_simulators.llamacloud.configurations import Configurations
from gristmill_simulators.llamacloud.delivery import Sender
from gristmill_simulators.llamacloud.errors import invalid_field, json
from gristmill_simulators.llamacloud.files import Files
from gristmill_simulators.llamacloud.ids import new_id
from gristmill_simulators.llamacloud.request import ParseRequest, Submission
from gristmill_simulators.llamacloud.runner import Runner
from gristmill_simulators.llamacloud.switches import Switches
from gristmill_simulators.llamacloud.versions import resolved
from gristmill_simulators.llamacloud.webhook_configs import WebhookConfigs
from gristmill_simulators.operation import call_of
from gristmill_simulators.simulator import Simulator


class Submissions:
    """Checks a submission, looks for a cached result, and queues what is to be parsed."""

    def __init__(
        self,
        simulator: Simulator,
        admission: Admission,
        *,
        stored: Files,
        configurations: Configurations,
        webhooks: WebhookConfigs,
        runner: Runner,
        sender: Sender,
    ) -> None:
        self._simulator = simulator
        self._admission = admission
        self._files = stored
        self._configurations = configurations
        self._webhooks = webhooks
        self._runner = runner
        self._sender = sender

    async def create(self, http: Request) -> Response:
        given = request.json_object(await http.body())
        wanted = request.parse(self._configurations.completed(given), uploaded=False)
        assert isinstance(wanted, ParseRequest)  # noqa: S101 — for mypy
        self._admission.check_credits()
        if wanted.file_id is not None:
            file: sqlite3.Row | None = files.find(self._simulator, wanted.file_id)
        else:
            file = None
            source.check(str(wanted.source_url))
        return await self._submitted(http, wanted, file)

    async def upload(self, http: Request) -> Response:
        form = await self._files.received(http)
        if form.file is None:
            raise invalid_field(["body", "file"], "Field required", None)
        try:
            wanted = self._configured(form.fields.get("configuration"))
        except BaseException:
            form.file.discard()
            raise
        return await self._submitted(http, wanted, await self._files.keep(form.file, "parse"))

    def _configured(self, configuration: str | None) -> Submission:
        if configuration is None:
            raise invalid_field(["body", "configuration"], "Field required", None)
        given = request.json_object(configuration.encode())
        wanted = request.parse(self._configurations.completed(given), uploaded=True)
        self._admission.check_credits()
        return wanted

    async def _submitted(
        self, http: Request, wanted: Submission, file: sqlite3.Row | None
    ) -> Response:
        row = self._job(wanted, file)
        free = self._simulator.settings.current.llamacloud.cache_hit_credits
        hit = await self._simulator.database.write(lambda c: _insert(c, row, free))
        if not hit and not row["stuck"]:
            self._runner.submit(row["id"])
        self._sender.notify()
        call_of(http).units["job_id"] = row["id"]
        # the answer to a submission is PENDING even when the cache had the result
        found = state.job(self._simulator.database, row["id"], 0.0)
        assert found is not None  # noqa: S101 — it was just written
        return json({**present.job(found, 0.0), "status": "PENDING"})

    def _job(self, wanted: Submission, file: sqlite3.Row | None) -> dict[str, Any]:
        settings = self._simulator.settings.current
        switches = settings.llamacloud
        # the precision on the wire, so that filters meet; cut, so that it is never in the future
        now = math.floor(self._simulator.clock() * 1e6) / 1e6
        url = wanted.source_url if isinstance(wanted, ParseRequest) else None
        name = file["name"] if file is not None else source.name_of(str(url))
        script = switches.script_for(name)
        options = request.options_of(wanted)
        control = wanted.processing_control
        row: dict[str, Any] = {
            "id": new_id("pjb"),
            "file_id": file["id"] if file is not None else None,
            "file_name": name,
            "source_url": url,
            "tier": wanted.tier,
            "version": resolved(wanted.tier, wanted.version),
            "options": _text({**options, "control": _bare(control)}),
            "script": None if script is None else script.model_dump_json(),
            "client_name": wanted.client_name,
            "user_metadata": None if wanted.user_metadata is None else _text(wanted.user_metadata),
            "hooks": _text(self._hooks(wanted, switches)),
            "status": "PENDING",
            "created_at": now,
            "updated_at": now,
            "transition": settings.transition.kind,
            "transition_value": settings.transition.value,
            "early": switches.webhook_early_seconds,
            "stuck": 0,
            "billing_delay": settings.billing_delay_seconds,
        }
        if script is None and file is not None and not wanted.disable_cache:
            row["cache_key"] = _cache_key(row, file["sha256"], options)
        elif script is not None:
            _play(row, script.stuck, script.seconds)
        return row

    def _hooks(self, wanted: Submission, switches: Switches) -> list[dict[str, Any]]:
        own = [_bare(hook) for hook in wanted.webhook_configurations or ()]
        if switches.refuse_local_webhooks:
            for number, hook in enumerate(own):
                loc: list[str | int] = ["webhook_configurations", number, "webhook_url"]
                hooks.check_public(hook.get("webhook_url"), loc)
        every = own + self._webhooks.hooks(wanted.webhook_configuration_ids or [])
        return every[:1] if switches.webhooks_used == "first" else every


def _insert(connection: sqlite3.Connection, row: dict[str, Any], free: float | None) -> bool:
    """Store the job; True when a cached result already answers it."""
    key, now = row.get("cache_key"), row["created_at"]
    hit = None if key is None else state.cached_result(connection, key, now)
    state.insert(connection, "llama_jobs", row)
    outbox.tell(connection, row, "parse.pending", now, now)
    if hit is None:
        if row["status"] == "RUNNING":  # stuck there
            outbox.tell(connection, row, "parse.running", now, now)
        return False
    released = state.released_at({**row, "polls": 0}, now)
    job = connection.execute(
        "UPDATE llama_jobs SET status = 'COMPLETED', cache_hit = 1, credits = ?, result_id = ?,"
        " easy_pages = ?, released_at = ? + early WHERE id = ? RETURNING *",
        (free, hit["id"], hit["easy_pages"], released, row["id"]),
    ).fetchone()
    if released is not None:
        outbox.tell(connection, job, "parse.success", released, released)
    billing.write(connection, row, [Line("pages_parsed", 0, 0.0)], now)
    return True


def _play(row: dict[str, Any], stuck: str | None, seconds: float | None) -> None:
    if stuck is not None:
        row |= {"status": stuck, "stuck": 1, "transition": "at_once"}
    elif seconds is not None:
        row |= {"transition": "seconds", "transition_value": seconds}


def _cache_key(row: dict[str, Any], sha256: str, options: dict[str, Any]) -> str:
    # the name decides which reader a file gets
    suffix = row["file_name"].rpartition(".")[2]
    identity = [sha256, suffix, row["tier"], row["version"], options]
    return hashlib.sha256(orjson.dumps(identity, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _bare(model: Any) -> dict[str, Any]:  # noqa: ANN401 — a pydantic model or None
    return {} if model is None else model.model_dump(exclude_none=True)


def _text(value: object) -> str:
    return orjson.dumps(value).decode()
