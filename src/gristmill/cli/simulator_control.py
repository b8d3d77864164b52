"""What `simulator …` does: asks the control plane, and shows its answer."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from rich.table import Table

from gristmill.cli.present import console, one_line, print_json, tell_table
from gristmill.errors import InvalidArgument
from gristmill.library.simulators import Control, Json
from gristmill.settings import load_settings
from gristmill.system import System


async def status(url: str | None, *, as_json: bool) -> int:
    async with await _control(url) as control:
        value = await control.get("")
    if as_json:
        print_json(value)
        return 0
    console.print(f"Version {one_line(value['version'])}, simulated:")
    for name, address in value["vendors"].items():
        console.print(f"  {one_line(name):<12} {one_line(address)}", soft_wrap=True)
    for name, content in value["environment"].items():
        console.print(f"[dim]export {one_line(name)}={one_line(content)}[/]", soft_wrap=True)
    return 0


async def routes(url: str | None, vendor: str | None, *, as_json: bool) -> int:
    async with await _control(url) as control:
        known = await control.get("routes")
    if vendor is not None and vendor not in known["units"]:
        raise InvalidArgument(
            f"There is no vendor {vendor!r}. There are: {', '.join(known['units'])}."
        )
    if as_json:
        print_json(known)
        return 0
    wanted = f"{vendor}." if vendor else ""
    rows = [row for row in known["routes"] if row["name"].startswith(wanted)]
    _table(("name", "method", "path"), rows)
    for row in known["misbehaviours"]:
        if row["route"].startswith(wanted):
            text = f"vendor --what {row['what']}  {row['route']}: {row['meaning']}"
            console.print(one_line(text))
    for name, units in known["units"].items():
        if name.startswith(vendor or ""):
            console.print(one_line(f"latency --per  {name}: {', '.join(units)}"))
    return 0


async def faults(url: str | None, *, as_json: bool) -> int:
    async with await _control(url) as control:
        return _tell_faults(await control.get("faults"), as_json=as_json)


async def add_fault(
    url: str | None, fault: Json, count: str, headers: Sequence[str], *, as_json: bool
) -> int:
    fault["count"] = None if count == "endless" else _number(count, "--count")
    if headers:
        fault["headers"] = dict(_pair(header, ":", "--header") for header in headers)
    async with await _control(url) as control:
        return _tell_faults(await control.post("faults", fault), as_json=as_json)


async def clear_faults(url: str | None, numbers: Sequence[int], *, as_json: bool) -> int:
    async with await _control(url) as control:
        for path in [f"faults/{number}" for number in numbers] or ["faults"]:
            left = await control.delete(path)
        return _tell_faults(left, as_json=as_json)


async def change_quotas(url: str | None, changes: Mapping[str, Any], *, as_json: bool) -> int:
    quotas = {name: None if value == "none" else value for name, value in changes.items()}
    return await _change(url, {"quotas": quotas}, "quotas", as_json=as_json)


async def change_latency(
    url: str | None,
    route: str | None,
    seconds: str | None,
    model: Json,
    per: Sequence[str],
    *,
    as_json: bool,
) -> int:
    if route is None:
        return await _change(url, {}, "latency", as_json=as_json)
    if seconds == "none":
        return await _change(url, {"latency": {route: None}}, "latency", as_json=as_json)
    if "median" in model or "p95" in model:
        model["kind"] = "lognormal"
    elif "low" in model or "high" in model:
        model["kind"] = "uniform"
    if seconds is not None:
        model["seconds"] = _number(seconds, "SECONDS")
    elif per and "kind" not in model:
        model["seconds"] = 0
    if per:
        pairs = (_pair(one, "=", "--per") for one in per)
        model["per"] = {unit: _number(each, "--per") for unit, each in pairs}
    if not model:
        raise InvalidArgument(
            f"How long {route} takes is missing: seconds, --high, or --median, --p95."
        )
    return await _change(url, {"latency": {route: model}}, "latency", as_json=as_json)


async def change_transition(
    url: str | None, kind: str | None, value: float, per_page: float, *, as_json: bool
) -> int:
    transition = {"kind": kind, "value": value, "per_page": per_page}
    changes = {} if kind is None else {"transition": transition}
    return await _change(url, changes, "transition", as_json=as_json)


async def change_settings(
    url: str | None, assignments: Sequence[str], *, reset: bool, as_json: bool
) -> int:
    changes: Json = {}
    for assignment in assignments:
        name, text = _pair(assignment, "=", "NAME=VALUE")
        group, _, field = name.partition(".")
        if field:
            changes.setdefault(group, {})[field] = _value(text)
        else:
            changes[name] = _value(text)
    if reset:
        async with await _control(url) as control:
            await control.delete("settings")
    return await _change(url, changes, None, as_json=as_json)


async def calls(url: str | None, query: Json, *, summary: bool, clear: bool, as_json: bool) -> int:
    async with await _control(url) as control:
        value = (
            await control.get("calls/summary") if summary else await control.get("calls", **query)
        )
        if clear:
            await control.delete("calls")
    if as_json:
        print_json(value)
    elif summary:
        rows = [{"route": route, **_by_status(counts)} for route, counts in value.items()]
        _table(("route", "count", "by status"), rows, empty="No calls.")
    else:
        rows = [_call(call) for call in value["calls"]]
        names = ("id", "at", "route", "status", "ms", "fault", "units")
        _table(names, rows, empty="No calls.")
    return 0


async def billed(url: str | None, *, as_json: bool) -> int:
    async with await _control(url) as control:
        value = await control.get("billed")
    if as_json:
        print_json(value)
    else:
        _tell_settings(value, "")
    return 0


async def reset(url: str | None, *, as_json: bool) -> int:
    async with await _control(url) as control:
        value = await control.post("reset", None)
    if as_json:
        print_json(value)
    else:
        console.print("The simulators have forgotten everything.")
    return 0


async def _change(url: str | None, changes: Json, group: str | None, *, as_json: bool) -> int:
    async with await _control(url) as control:
        changed = any(changes.values())
        value = await (control.post("settings", changes) if changed else control.get("settings"))
    shown = value if group is None else {group: value[group]}
    if as_json:
        print_json(shown)
    else:
        _tell_settings(shown, "")
    return 0


def _tell_faults(value: Json, *, as_json: bool) -> int:
    if as_json:
        print_json(value)
        return 0
    rows = [
        {
            "number": fault["id"],
            "route": fault["route"],
            "kind": fault["kind"],
            "left": "endless" if fault["count"] is None else fault["count"],
            "hit": fault["used"],
            "seen": fault["seen"],
            "details": _details(fault),
        }
        for fault in value["faults"]
    ]
    names = ("number", "route", "kind", "left", "hit", "seen", "details")
    _table(names, rows, empty="No faults wait.")
    return 0


def _details(fault: Json) -> str:
    plain = {"after": 0, "every": 1, "probability": 1.0}
    names = (
        "status",
        "code",
        "headers",
        "seconds",
        "what",
        "after",
        "every",
        "probability",
        "seed",
    )
    given = {name: fault[name] for name in names if fault.get(name) is not None}
    return " ".join(f"{name}={each}" for name, each in given.items() if plain.get(name) != each)


def _call(call: Json) -> Json:
    at = datetime.fromtimestamp(call["started"], UTC)
    return call | {
        "at": f"{at:%H:%M:%S}",
        "status": "dropped" if call["status"] is None else call["status"],
        "ms": round(call["seconds"] * 1000),
        "units": " ".join(f"{name}={each}" for name, each in call["units"].items()),
    }


def _by_status(counts: Json) -> Json:
    parts = (
        f"{'dropped' if code == '0' else code}: {number}"
        for code, number in counts["by_status"].items()
    )
    return {"count": counts["count"], "by status": ", ".join(parts)}


def _table(names: Sequence[str], rows: Sequence[Json], empty: str = "None.") -> None:
    if not rows:
        console.print(empty)
        return
    table = Table(box=None, header_style="dim", padding=(0, 1))
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        cells = ("" if row[name] is None else str(row[name]) for name in names)
        table.add_row(*(one_line(cell) for cell in cells))
    tell_table(table)


def _tell_settings(value: Json, prefix: str) -> None:
    for name, each in value.items():
        if isinstance(each, dict) and each:
            _tell_settings(each, f"{prefix}{name}.")
        else:
            text = one_line(orjson.dumps(each).decode())
            console.print(f"{prefix}{one_line(name)} = {text}", soft_wrap=True)


def _value(text: str) -> Any:  # noqa: ANN401 — any JSON value
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None if text == "none" else text


def _pair(text: str, separator: str, name: str) -> tuple[str, str]:
    left, found, right = text.partition(separator)
    if not (left and found):
        raise InvalidArgument(f"{name} needs a {separator!r} between name and value, not {text!r}.")
    return left.strip(), right.strip()


def _number(text: str, name: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise InvalidArgument(f"{name} is no number: {text!r}.") from None
    return int(number) if number.is_integer() else number


async def _control(url: str | None) -> Control:
    """Those at `url`, or those of this home, which are started if need be."""
    return Control(await System(load_settings()).simulator_url() if url is None else url)
