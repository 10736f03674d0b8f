"""`lifecycle`: a thin command line over the Dagster definitions. It holds no logic of its own.

Results go to standard output, progress and logs to standard error. Exit codes: 0 all went well, 1 it did not, 2 wrong use.
"""

import datetime as dt
import json
import logging
import os
import sys
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lifecycle_assets.errors import LifecycleError

if TYPE_CHECKING:
    from lifecycle_assets.definitions import Home

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)

HomeOption = Annotated[
    Path | None, typer.Option("--home", help="Folder of the deployment; default: $LIFECYCLE_HOME, else ./home.")
]
ShopOption = Annotated[str, typer.Option("--shop", help="The shop, named after its file in <home>/shops.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable result.")]


class Format(StrEnum):
    table = "table"
    csv = "csv"
    json = "json"
    parquet = "parquet"


@app.command()
def demo(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Run every asset on real demo data and say what was made and where it lies."""
    with _work(home) as place:
        from lifecycle_assets.operations.homes import seed_demo
        from lifecycle_assets.operations.nights import run_night, summary

        seed_demo(place)
        _say("The Complete Journey: a year of 2,469 households at a grocery chain. Every asset, one line each:")
        night = run_night(place, "demo")
        _result(summary(place, "demo", night), as_json)
        raise typer.Exit(0 if night.success else 1)


@app.command()
def init(
    shop: ShopOption,
    source: Annotated[str, typer.Option("--input", help="Folder, file, duckdb:///path or postgresql://... to read.")],
    timezone: Annotated[str | None, typer.Option(help="IANA time zone of the shop, e.g. Europe/Madrid.")] = None,
    currency: Annotated[str | None, typer.Option(help="ISO 4217 code, e.g. EUR.")] = None,
    country: Annotated[str | None, typer.Option(help="ISO 3166 code, e.g. ES.")] = None,
    home: HomeOption = None,
    force: Annotated[bool, typer.Option("--force", help="Write over the shop's present configuration.")] = False,
) -> None:
    """Write a commented configuration for a shop, its mapping guessed from the input, and show it for correction."""
    with _work(home) as place:
        from lifecycle_assets.operations.homes import command
        from lifecycle_assets.operations.shops import init_shop

        text, path = init_shop(place, shop, source, timezone, currency, country, force)
        typer.echo(text)
        then = [command(place.root, f"{name} --shop {shop}") for name in ("check", "run")]
        _say(f"Written to {path}. Correct it there, then: {'; '.join(then)}")


@app.command()
def check(
    shop: Annotated[str | None, typer.Option("--shop", help="One shop; default: all.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read configuration and inputs and print every problem at once, changing nothing."""
    with _work(home) as place:
        from lifecycle_assets.operations.shops import check_shops

        findings = check_shops(place, [shop] if shop else place.shops())
        _result(findings, as_json)
        raise typer.Exit(0 if findings.ok else 1)


@app.command()
def doctor(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Say what is installed, reachable, fresh and failing, and what to do. Exit code 1 where something is broken."""
    with _work(home) as place:
        from lifecycle_assets.operations.doctor import diagnose

        diagnosis = diagnose(place, dt.datetime.now(dt.UTC))
        _result(diagnosis, as_json)
        raise typer.Exit(0 if diagnosis.ok else 1)


@app.command()
def run(
    shop: ShopOption,
    as_of: Annotated[
        str | None, typer.Option(help="Date YYYY-MM-DD; default: the shop's as_of, else yesterday in its zone.")
    ] = None,
    select: Annotated[str | None, typer.Option(help="Dagster asset selection, e.g. '+features/customer_rfm'.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="key=value, beats the file; repeatable.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run one night of one shop. Exit code 0 only when all went well."""
    with _work(home) as place:
        from lifecycle_assets.operations.nights import run_night, summary

        night = run_night(place, shop, _date(as_of, "--as-of") if as_of else None, select, set_ or [])
        _result(summary(place, shop, night), as_json)
        raise typer.Exit(0 if night.success else 1)


@app.command()
def query(
    sql: Annotated[str, typer.Argument(help='One SELECT, e.g. "SELECT * FROM features.customer_rfm LIMIT 5".')],
    format_: Annotated[Format, typer.Option("--format", help="How the result is printed.")] = Format.table,
    home: HomeOption = None,
) -> None:
    """Query the output tables, read-only."""
    with _work(home) as place:
        from lifecycle_assets.operations.homes import query as run_query

        frame = run_query(place, sql)
        if format_ is Format.csv:
            frame.write_csv(sys.stdout.buffer)
        elif format_ is Format.json:
            typer.echo(frame.write_json())
        elif format_ is Format.parquet:
            if sys.stdout.isatty():
                raise LifecycleError(
                    "parquet is binary: send it to a file, lifecycle query ... --format parquet > out.parquet"
                )
            frame.write_parquet(sys.stdout.buffer)
        else:
            _table(frame)


@app.command()
def explain(
    customer: Annotated[str, typer.Argument(help="customer_id, of any of the customer's accounts.")],
    shop: ShopOption,
    offer: Annotated[str | None, typer.Option(help="Also: why not this offer?")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell in plain words why a customer got what the last night decided, or nothing."""
    with _work(home) as place:
        from lifecycle_assets.operations.decisions import explain_decision

        _result(explain_decision(place, shop, customer, offer), as_json)


@app.command()
def backtest(
    shop: ShopOption,
    from_: Annotated[str, typer.Option("--from", help="First month, YYYY-MM; default: a year before the last.")] = "",
    to: Annotated[str, typer.Option("--to", help="Last month, YYYY-MM; default: the last one that has ended.")] = "",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the scores of past month ends again and hold them against what then happened."""
    with _work(home) as place:
        from lifecycle_assets.operations.backtest import run_backtest

        _result(run_backtest(place, shop, from_, to), as_json)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def dev(context: typer.Context, home: HomeOption = None) -> None:
    """Open the Dagster UI and daemon on this home; further options go to `dagster dev` (e.g. -p 3001)."""
    with _work(home) as place:
        from lifecycle_assets.operations.homes import open_instance

        open_instance(place).dispose()
        # Dagster's advice to use `dg dev`, which works in projects of its own layout.
        quiet = "ignore:Function `dev_command` is superseded:FutureWarning"
        command = [sys.executable, "-W", quiet, "-m", "dagster", "dev", "-m", "lifecycle_assets.definitions"]
        os.execv(sys.executable, [*command, *context.args])  # noqa: S606


@app.command()
def reports(
    shop: Annotated[str | None, typer.Option("--shop", help="One shop; default: all.")] = None,
    open_: Annotated[bool, typer.Option("--open", help="Open the latest in the browser.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the reports, the latest first; --open shows the latest."""
    with _work(home) as place:
        from lifecycle_assets.operations.homes import list_reports

        found = list_reports(place, shop)
        _result(found, as_json)
        if open_ and found.rows:
            webbrowser.open(Path(found.rows[0]["path"]).as_uri())


@app.command()
def serve(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8080,
    host: Annotated[str, typer.Option(help="Address to listen on; the default is this machine's own.")] = "127.0.0.1",
    home: HomeOption = None,
) -> None:
    """Serve the reports to browsers, read-only and without a log-in, until interrupted."""
    with _work(home) as place:
        from lifecycle_assets.operations.serving import serve_reports

        serve_reports(place, host, port, _say)


models = typer.Typer(invoke_without_command=True, add_completion=False)
app.add_typer(models, name="models")


@models.callback()
def list_models(
    context: typer.Context,
    shop: Annotated[str | None, typer.Option("--shop", help="One shop; default: all.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the stored models, which of them are in force and how good they are."""
    if context.invoked_subcommand is None:
        with _work(home) as place:
            from lifecycle_assets.operations.stored_models import stored_models

            _result(stored_models(place, [shop] if shop else place.shops()), as_json)


@models.command()
def rollback(
    model: Annotated[str, typer.Argument(help="Name of the model, e.g. churn_risk.")],
    shop: ShopOption,
    home: HomeOption = None,
) -> None:
    """Withdraw the version of a model that is in force; the one before makes the scores from the next run on."""
    with _work(home) as place:
        from lifecycle_assets.operations.stored_models import rollback_model

        _say(rollback_model(place, shop, model))


@app.command()
def simulate(
    shop: ShopOption,
    customers: Annotated[int, typer.Option(min=1, help="Customers of a new simulation.")] = 10_000,
    days: Annotated[int, typer.Option(min=1, help="Days of its past.")] = 730,
    until: Annotated[str, typer.Option(help="Last day of its past, YYYY-MM-DD.")] = "2025-12-31",
    seed: Annotated[int, typer.Option(help="Another seed, other customers.")] = 0,
    night: Annotated[bool, typer.Option("--night", help="Live one more day with what was dispatched for it.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """A shop of simulated customers whose truth is known: its whole past, or (--night) the next day of one there is."""
    with _work(home) as place:
        from lifecycle_assets.operations.simulation import simulate as begin
        from lifecycle_assets.operations.simulation import simulate_night
        from lifecycle_assets.simulator.world import World

        if night:
            _result(simulate_night(place, shop, _say), as_json)
        else:
            world = World(shop, _date(until, "--until") - dt.timedelta(days=days - 1), days, customers, seed)
            _result(begin(place, world, _say), as_json)


ActorOption = Annotated[str | None, typer.Option("--actor", help="Who asks for it; default: the user of this shell.")]
BatchArgument = Annotated[str, typer.Argument(help="The batch's id; lifecycle batches lists them.")]


@app.command()
def batches(shop: ShopOption, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the batches with their states: planned, approved, exported, acknowledged, undone, expired, cancelled."""
    with _work(home) as place:
        from lifecycle_assets.operations.by_hand import list_batches

        _result(list_batches(place, shop), as_json)


@app.command()
def approve(batch: BatchArgument, shop: ShopOption, actor: ActorOption = None, home: HomeOption = None) -> None:
    """Release a batch that waits for it (dispatch.approval), with a last look at consent."""
    with _work(home) as place:
        from lifecycle_assets.operations.by_hand import person, run_job

        typer.echo(run_job(place, "approve_batch", "approve", shop=shop, batch=batch, actor=actor or person()))


@app.command()
def undo(batch: BatchArgument, shop: ShopOption, actor: ActorOption = None, home: HomeOption = None) -> None:
    """Take a batch back: before its release it is gone, afterwards a cancel file tells the sending tool."""
    with _work(home) as place:
        from lifecycle_assets.operations.by_hand import person, run_job

        typer.echo(run_job(place, "undo_batch", "take_back", shop=shop, batch=batch, actor=actor or person()))


@app.command()
def snapshot(
    shop: ShopOption,
    name: Annotated[str | None, typer.Option(help="Name of the snapshot; default: the time.")] = None,
    home: HomeOption = None,
) -> None:
    """Keep the output tables and reports as they are; every night does so of itself."""
    with _work(home) as place:
        from lifecycle_assets.operations.by_hand import run_job

        name = name or dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H%M%SZ")
        typer.echo(run_job(place, "snapshot_shop", "take_snapshot", shop=shop, name=name))


@app.command()
def snapshots(shop: ShopOption, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the snapshots, the latest first."""
    with _work(home) as place:
        from lifecycle_assets.operations.by_hand import list_snapshots

        _result(list_snapshots(place, shop), as_json)


@app.command()
def restore(
    name: Annotated[str, typer.Argument(help="The snapshot; a night's is named after its date.")],
    shop: ShopOption,
    home: HomeOption = None,
) -> None:
    """Bring the output tables and reports back to a snapshot; what was sent stays sent."""
    with _work(home) as place:
        from lifecycle_assets.operations.by_hand import run_job

        typer.echo(run_job(place, "restore_shop", "restore", shop=shop, name=name))


@app.command()
def prune(
    shop: ShopOption,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    home: HomeOption = None,
) -> None:
    """Remove what is older than the shop keeps it (settings retention), and Dagster's record of old runs (run_days); every
    night does the one of itself, Dagster's daemon weekly the other."""
    with _work(home) as place:
        from lifecycle_assets.operations.by_hand import prune_records, run_job

        typer.echo(run_job(place, "prune_shop", "remove_old", shop=shop, dry_run=dry_run))
        typer.echo(prune_records(place, dry_run=dry_run))


@app.command()
def erase(
    customer: Annotated[str, typer.Argument(help="customer_id, of any of the customer's accounts.")],
    shop: ShopOption,
    home: HomeOption = None,
) -> None:
    """Remove a person from every file of the home and of later nights; the shop's own input is not changed."""
    with _work(home) as place:
        from lifecycle_assets.operations.erasure import erase_customer

        typer.echo(erase_customer(place, shop, customer))


PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


@app.command(context_settings=PASSED_ON)
def bench(context: typer.Context, home: HomeOption = None) -> None:  # noqa: ARG001 - each measurement has a home of its own
    """Measure speed and memory beside the naive ways; all options (e.g. --sections job) go to `python -m bench`."""
    project = Path(__file__).parents[1]
    if not (project / "bench" / "__main__.py").exists():
        _say(
            f"error: {project} has no benchmarks: they come with the project's source, where `make bench` runs them all"
        )
        raise typer.Exit(1)
    os.chdir(project)
    os.execv(sys.executable, [sys.executable, "-m", "bench", *context.args])  # noqa: S606


@contextmanager
def _work(home: Path | None) -> "Iterator[Home]":
    """The home to work in; errors that are meant for people end the program without a traceback."""
    if home is not None:
        os.environ["LIFECYCLE_HOME"] = str(home.expanduser().resolve())
    # Another shop's broken configuration is `check`'s business, not every command's.
    logging.getLogger("lifecycle").setLevel(logging.ERROR)
    try:
        from lifecycle_assets.operations.homes import default_home

        yield default_home()
    except LifecycleError as error:
        _say(f"error: {error}")
        raise typer.Exit(1) from error


def _date(text: str, option: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{option} {text}: expected a date such as 2025-12-31") from error


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _result(result: Any, as_json: bool) -> None:
    typer.echo(json.dumps(result.as_dict(), indent=2, default=str) if as_json else result.as_text())


def _table(frame: Any, limit: int = 100) -> None:
    import polars as pl

    with pl.Config(
        tbl_rows=limit,
        tbl_cols=-1,
        tbl_width_chars=os.get_terminal_size().columns if sys.stdout.isatty() else 10_000,
        tbl_formatting="ASCII_MARKDOWN",
        tbl_hide_dataframe_shape=True,
        tbl_hide_column_data_types=True,
        fmt_str_lengths=1000,
        fmt_float="full",
    ):
        typer.echo(str(frame.head(limit)))
    if frame.height > limit:
        _say(f"the first {limit} of {frame.height} rows; --format csv prints all")


if __name__ == "__main__":
    app()
