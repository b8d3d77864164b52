"""`simulator …`: look at the simulators of this home, and decide what they do next."""

from typing import Annotated

import typer

from gristmill.cli.run import run

app = typer.Typer(
    help="Steer the simulators: faults, quotas, latency, calls, bills.",
    no_args_is_help=True,
    epilog="Example:  gristmill simulator faults add openai --status 429",
)
faults = typer.Typer(
    help="List the faults that wait; add and clear them.",
    invoke_without_command=True,
    epilog="Example:  gristmill simulator faults",
)
app.add_typer(faults, name="faults")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, for machines.")]
Url = Annotated[
    str | None,
    typer.Option("--url", help="Simulators that run there; else those of this home, started."),
]


@app.command(epilog="Example:  gristmill simulator status --url http://127.0.0.1:9000")
def status(url: Url = None, json: Json = False) -> None:
    """Tell the addresses and what a client needs."""
    from gristmill.cli.simulator_control import status

    run(status(url, as_json=json), as_json=json)


@app.command(epilog="Example:  gristmill simulator routes openai")
def routes(
    vendor: Annotated[
        str | None, typer.Argument(metavar="VENDOR", help="Only of this one.")
    ] = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """List the names for faults and latency.

    Routes, misbehaviours and units.
    """
    from gristmill.cli.simulator_control import routes

    run(routes(url, vendor, as_json=json), as_json=json)


@faults.callback()
def list_faults(context: typer.Context, url: Url = None, json: Json = False) -> None:
    """List the faults that wait; add and clear them."""
    if context.invoked_subcommand is None:
        from gristmill.cli.simulator_control import faults

        run(faults(url, as_json=json), as_json=json)


@faults.command(
    epilog="Example:  gristmill simulator faults add openai.embeddings.create --status 429 -n 3"
)
def add(
    route: Annotated[str, typer.Argument(metavar="ROUTE", help="A name, its beginning, a glob.")],
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND",
            help="status, html, delay, delay_after, drop_before, drop_after, broken_json,"
            " cut_body, slow_body or vendor.",
        ),
    ] = "status",
    *,
    status: Annotated[int | None, typer.Option("--status", help="HTTP status.")] = None,
    code: Annotated[str | None, typer.Option("--code", help="The vendor's error code.")] = None,
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", help="NAME:VALUE, more than once.")
    ] = None,
    seconds: Annotated[float | None, typer.Option("--seconds", help="For delays.")] = None,
    what: Annotated[str | None, typer.Option("--what", help="A misbehaviour: see routes.")] = None,
    count: Annotated[str, typer.Option("--count", "-n", help="How many calls, or: endless.")] = "1",
    after: Annotated[int, typer.Option("--after", help="How many calls pass before.")] = 0,
    every: Annotated[int, typer.Option("--every", help="Each how many-th call.")] = 1,
    probability: Annotated[float, typer.Option("--probability", help="Up to 1.")] = 1.0,
    seed: Annotated[int | None, typer.Option("--seed", help="The same chances again.")] = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Make calls of a route go wrong."""
    from gristmill.cli.simulator_control import add_fault

    given = {"status": status, "code": code, "seconds": seconds, "what": what, "seed": seed}
    fault = {"route": route, "kind": kind, "after": after, "every": every}
    fault |= {"probability": probability}
    fault |= {name: value for name, value in given.items() if value is not None}
    run(add_fault(url, fault, count, header or [], as_json=json), as_json=json)


@faults.command(epilog="Example:  gristmill simulator faults clear 3")
def clear(
    numbers: Annotated[
        list[int] | None, typer.Argument(metavar="NUMBER", help="These; else all of them.")
    ] = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Remove faults."""
    from gristmill.cli.simulator_control import clear_faults

    run(clear_faults(url, numbers or [], as_json=json), as_json=json)


Limit = Annotated[str | None, typer.Option(metavar="NUMBER", help="A number, or: none.")]


@app.command(epilog="Example:  gristmill simulator quota --openai-tokens-per-minute 100000")
def quota(
    *,
    openai_tier: Annotated[
        str | None, typer.Option(metavar="TIER", help="free, or 1 to 5.")
    ] = None,
    openai_requests_per_minute: Limit = None,
    openai_requests_per_day: Limit = None,
    openai_tokens_per_minute: Limit = None,
    openai_burst_seconds: Annotated[
        str | None, typer.Option(metavar="SECONDS", help="Of a minute's quota at once, up to 60.")
    ] = None,
    openai_retry_after: Annotated[
        bool | None, typer.Option(help="Whether a 429 has a retry-after header.")
    ] = None,
    llamacloud_requests_per_minute: Limit = None,
    llamacloud_burst_seconds: Annotated[
        str | None, typer.Option(metavar="SECONDS", help="Of a minute's quota at once, up to 60.")
    ] = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Show quotas, after changing those named."""
    given = {name: value for name, value in locals().items() if name not in ("url", "json")}
    from gristmill.cli.simulator_control import change_quotas

    changes = {name: value for name, value in given.items() if value is not None}
    run(change_quotas(url, changes, as_json=json), as_json=json)


@app.command(epilog="Example:  gristmill simulator latency openai --median 0.1 --p95 0.4")
def latency(
    route: Annotated[
        str | None, typer.Argument(metavar="ROUTE", help="A vendor, a route or a glob.")
    ] = None,
    seconds: Annotated[
        str | None, typer.Argument(metavar="SECONDS", help="Always so many, or: none.")
    ] = None,
    *,
    low: Annotated[float | None, typer.Option("--low", help="Anything from this...")] = None,
    high: Annotated[float | None, typer.Option("--high", help="...to this.")] = None,
    median: Annotated[float | None, typer.Option("--median", help="Half are faster.")] = None,
    p95: Annotated[float | None, typer.Option("--p95", help="One in twenty is slower.")] = None,
    per: Annotated[
        list[str] | None, typer.Option("--per", help="UNIT=SECONDS for each unit of a call.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="The same draws again.")] = None,
    url: Url = None,
    json: Json = False,
) -> None:
    """Show how long answers take; change it."""
    from gristmill.cli.simulator_control import change_latency

    given = {"low": low, "high": high, "median": median, "p95": p95, "seed": seed}
    model = {name: value for name, value in given.items() if value is not None}
    run(change_latency(url, route, seconds, model, per or [], as_json=json), as_json=json)


@app.command(epilog="Example:  gristmill simulator transition polls 3")
def transition(
    kind: Annotated[
        str | None, typer.Argument(metavar="KIND", help="at_once, polls or seconds.")
    ] = None,
    value: Annotated[float, typer.Argument(metavar="VALUE", help="How many of them.")] = 0,
    per_page: Annotated[
        float, typer.Option("--per-page", help="With seconds: more of them for each page.")
    ] = 0,
    url: Url = None,
    json: Json = False,
) -> None:
    """Show when parses end; change it."""
    from gristmill.cli.simulator_control import change_transition

    run(change_transition(url, kind, value, per_page, as_json=json), as_json=json)


@app.command(epilog="Example:  gristmill simulator settings record_headers=true")
def settings(
    changes: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME=VALUE", help="JSON or text; groups as in openai.NAME."),
    ] = None,
    *,
    reset: Annotated[bool, typer.Option("--reset", help="First put all of them back.")] = False,
    url: Url = None,
    json: Json = False,
) -> None:
    """Show all settings, after changing those named."""
    from gristmill.cli.simulator_control import change_settings

    run(change_settings(url, changes or [], reset=reset, as_json=json), as_json=json)


@app.command(epilog="Example:  gristmill simulator calls --route openai --status 429")
def calls(
    route: Annotated[str | None, typer.Option("--route", help="Only of these routes.")] = None,
    status: Annotated[int | None, typer.Option("--status", help="0: dropped.")] = None,
    fault: Annotated[str | None, typer.Option("--fault", help="Hit by this kind; *: any.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many, the last.")] = 20,
    *,
    summary: Annotated[bool, typer.Option("--summary", help="Counts by route and status.")] = False,
    clear: Annotated[bool, typer.Option("--clear", help="Forget them afterwards.")] = False,
    url: Url = None,
    json: Json = False,
) -> None:
    """Show the calls that the simulators got."""
    from gristmill.cli.simulator_control import calls

    wanted = {"route": route, "status": status, "fault": fault, "last": limit}
    query = {name: value for name, value in wanted.items() if value is not None}
    run(calls(url, query, summary=summary, clear=clear, as_json=json), as_json=json)


@app.command(epilog="Example:  gristmill simulator billed --json")
def billed(url: Url = None, json: Json = False) -> None:
    """Tell what the simulated vendors would have billed."""
    from gristmill.cli.simulator_control import billed

    run(billed(url, as_json=json), as_json=json)


@app.command(epilog="Example:  gristmill simulator reset --yes")
def reset(
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; nor does --json.")] = False,
    url: Url = None,
    json: Json = False,
) -> None:
    """Make the simulators forget everything.

    Files, jobs, objects, bills, limits, faults, settings and calls.
    """
    if not (yes or json):
        typer.confirm("Forget all simulated files, jobs, bills, faults and settings?", abort=True)
    from gristmill.cli.simulator_control import reset

    run(reset(url, as_json=json), as_json=json)
