"""The commands, in the order in which a person meets them.

Nothing heavy is imported here: each command loads what it needs when it runs, so that `--help`
costs no more than the parser of the arguments.
"""

from pathlib import Path
from typing import Annotated

import typer

from gristmill.cli import budget, collection, configuration, costs, simulator
from gristmill.cli.run import run, version

app = typer.Typer(
    name="gristmill",
    help="Put documents into a search index through paid APIs, without losing money or documents.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Begin with:  gristmill ingest paper.pdf  and then  gristmill search 'a question'",
)
app.add_typer(budget.app, name="budget")
app.add_typer(collection.app, name="collection")
app.add_typer(costs.app, name="costs")
app.add_typer(configuration.app, name="config")
app.add_typer(simulator.app, name="simulator")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, for machines.")]
Collection = Annotated[
    str | None, typer.Option("--collection", "-c", help="The collection; see GRISTMILL_COLLECTION.")
]
DocumentId = Annotated[
    str, typer.Argument(metavar="ID", help="A document's id, or the beginning of it.")
]


@app.callback()
def common(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options that stand before the command."""
    del version


@app.command(epilog="Example:  gristmill ingest paper.pdf notes.md docs/ --collection research")
def ingest(
    sources: Annotated[
        list[str],  # a Path would make the present folder of an empty name
        typer.Argument(metavar="SOURCE", help="Files, and folders with all that is below them."),
    ],
    collection: Collection = None,
    *,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Only tell what it would cost; nothing is spent.")
    ] = False,
    json: Json = False,
) -> None:
    """Take documents in, until searches find them.

    The exit code is 0 only if every document is ready, and 3 if all are found but pages are
    missing. Unchanged documents cost nothing. With --estimate it is 1 if a file would be refused
    or a limit has no room.
    """
    if estimate:
        from gristmill.cli.estimate import STOPPED
        from gristmill.cli.estimate import estimate as command

        run(command(sources, collection, as_json=json), as_json=json, stopped=STOPPED)
        return
    from gristmill.cli.ingest import ingest

    run(ingest(sources, collection, as_json=json), as_json=json)


@app.command(epilog="Example:  gristmill search 'how are retries bounded?' --collection research")
def search(
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="A question, or just words.")],
    collection: Annotated[
        str | None,
        typer.Option("--collection", "-c", help="Search this one; without it all of them."),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=100, help="How many passages.")
    ] = 5,
    json: Json = False,
) -> None:
    """Find passages that answer a question."""
    from gristmill.cli.search import search

    run(search(question, collection, limit, as_json=json), as_json=json)


@app.command(epilog="Example:  gristmill documents --collection research --status failed")
def documents(
    collection: Collection = None,
    status: Annotated[
        str | None, typer.Option("--status", "-s", help="Only these, e.g. ready, parked, failed.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many, at most.")] = 1000,
    json: Json = False,
) -> None:
    """List documents, and where each stands."""
    from gristmill.cli.documents import documents

    run(documents(collection, status, limit, as_json=json), as_json=json)


@app.command(epilog="Example:  gristmill collections")
def collections(json: Json = False) -> None:
    """List collections: origin, documents, passages, and what was paid for each."""
    from gristmill.cli.collections import collections

    run(collections(as_json=json), as_json=json)


@app.command(epilog="Example:  gristmill show doc-7k2m")
def show(document: DocumentId, json: Json = False) -> None:
    """Tell everything about one document.

    What happened, what it cost, what it waits for, what to do.
    """
    from gristmill.cli.documents import show

    run(show(document, as_json=json), as_json=json)


@app.command(epilog="Example:  gristmill link doc-7k2m --seconds 600")
def link(
    document: DocumentId,
    seconds: Annotated[
        int, typer.Option("--seconds", min=1, max=604_800, help="How long it opens.")
    ] = 3600,
    json: Json = False,
) -> None:
    """Print an address that downloads the file of a document.

    As it was taken in, for anybody who has the address; it is a secret while it lasts.
    """
    from gristmill.cli.documents import link

    run(link(document, seconds, as_json=json), as_json=json)


@app.command(epilog="Example:  gristmill resume --failed")
def resume(
    *,
    failed: Annotated[bool, typer.Option("--failed", help="Try failed documents too.")] = False,
    json: Json = False,
) -> None:
    """Go on with all that is unfinished.

    After Ctrl-C, a crash or an outage. The exit code is that of ingest.
    """
    from gristmill.cli.ingest import resume

    run(resume(failed=failed, as_json=json), as_json=json)


@app.command(epilog="Example:  gristmill repair --dry-run")
def repair(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell what is degraded, and what it would cost.")
    ] = False,
    json: Json = False,
) -> None:
    """Put right what simulators stood in for, and vectors that are missing.

    Documents stay published until what takes their place is whole. A running worker does it by
    itself once the services are healthy; this does it now. The exit code is that of ingest.
    """
    from gristmill.cli.repair import STOPPED, repair

    run(repair(dry_run=dry_run, as_json=json), as_json=json, stopped=STOPPED)


@app.command(epilog="Example:  gristmill delete doc-7k2m --yes")
def delete(
    document: DocumentId,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; nor does --json.")] = False,
    json: Json = False,
) -> None:
    """Remove a document, its passages and its stored file."""
    from gristmill.cli.documents import delete

    run(delete(document, yes=yes, as_json=json), as_json=json)


@app.command(epilog="Example:  GRISTMILL_PRICES_FILE=prices.toml gristmill prices")
def prices(json: Json = False) -> None:
    """List what calls cost, and where that is written.

    Published prices, and before them your own: GRISTMILL_PRICES_FILE.
    """
    from gristmill.cli.prices import prices

    run(prices(as_json=json), as_json=json)


@app.command(epilog="Example:  gristmill health --watch")
def health(
    service: Annotated[
        str | None,
        typer.Argument(metavar="[SERVICE]", help="openai, llamaparse or supabase; all without it."),
    ] = None,
    *,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Look again each second, until Ctrl-C.")
    ] = False,
    json: Json = False,
) -> None:
    """Show how the services do, as all processes know it.

    Status, response times, errors, breakers, what is left of quota and budget, and what has changed
    in the last day. The exit code is 0 only if all are healthy.
    """
    from gristmill.cli.health import health

    run(health(service, watch=watch, as_json=json), as_json=json, stopped="Stopped watching.")


@app.command(epilog="Example:  gristmill mode openai hybrid")
def mode(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SERVICE] [MODE]",
            help="openai, llamaparse or supabase, all without it; then mock, real or hybrid.",
        ),
    ] = None,
    *,
    reset: Annotated[
        bool, typer.Option("--reset", help="Leave it to the settings of each process again.")
    ] = False,
    json: Json = False,
) -> None:
    """Show which side of each service is asked, or switch it.

    A switch is seen by every process within a second and remembered; it wins over GRISTMILL_MODE.
    In hybrid mode simulators stand in for vendors that are down. The exit code is 1 if a mode is
    not allowed in this environment.
    """
    from gristmill.cli.mode import mode

    run(mode(words or [], reset=reset, as_json=json), as_json=json)


@app.command(epilog="Example:  gristmill limits")
def limits(json: Json = False) -> None:
    """Show the vendors' rate limits, and who waits for them.

    As they are set, as the vendor tells them, and what all processes used in the last minute.
    """
    from gristmill.cli.quotas import limits

    run(limits(as_json=json), as_json=json)


@app.command(epilog="Example:  gristmill metrics > /var/lib/node_exporter/gristmill.prom")
def metrics() -> None:
    """Print the metrics of all processes, as Prometheus reads them.

    Budgets, the services' status, calls, errors and times, rate limits, documents, alerts.
    """
    from gristmill.cli.metrics import metrics

    run(metrics(), as_json=False)


@app.command(epilog="Example:  gristmill doctor")
def doctor(json: Json = False) -> None:
    """Check this installation.

    Settings, home, database, simulators or services.
    """
    from gristmill.cli.doctor import doctor

    run(doctor(as_json=json), as_json=json, needs_settings=False)


@app.command(epilog='Example:  eval "$(gristmill simulate --port 9000 --print-env)"')
def simulate(
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="On 127.0.0.1.")] = 9000,
    data: Annotated[
        Path | None, typer.Option("--data", help="Keep its state here, not in a temporary folder.")
    ] = None,
    *,
    print_env: Annotated[
        bool, typer.Option("--print-env", help="Print the variables for a client, and end.")
    ] = False,
    json: Json = False,
) -> None:
    """Run the vendors' simulators on one port.

    LlamaCloud, OpenAI and Supabase Storage, for anybody's client, until Ctrl-C.
    """
    from gristmill.cli.simulate import simulate

    simulate(port, data, print_env=print_env, as_json=json)
