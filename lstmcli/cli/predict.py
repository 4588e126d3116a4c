"""`lstm predict`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lstmcli.cli.failures import said_once
from lstmcli.cli.screen import spinner, wrapped
from lstmcli.cli.terminal import (
    DEFAULT_WORKSPACE,
    DISCLAIMER,
    AsJson,
    AsOf,
    Quiet,
    Run,
    Tickers,
    Universe,
    WorkspaceFolder,
    highest,
    named_tickers,
    parse_day,
    prepare,
    print_json,
    say,
    say_next,
)
from lstmcli.cli.workers import Count, Executor, Scheduler, workers_of
from lstmcli.errors import ConfigError, shell_word

if TYPE_CHECKING:
    import pandas as pd

    from lstmcli.pipeline.look import Look
    from lstmcli.pipeline.prediction import Prediction


def predict(
    tickers: Tickers = None,
    run: Run = None,
    as_of: AsOf = None,
    universe: Universe = None,
    as_json: AsJson = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print every step and quantile as CSV.")
    ] = False,
    details: Annotated[
        bool, typer.Option("--details", help="The whole verdict, more steps, a baseline beside.")
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Read what is stored; fetch nothing.")
    ] = False,
    workers: Count = None,
    executor: Executor = None,
    scheduler: Scheduler = None,
    workspace: WorkspaceFolder = DEFAULT_WORKSPACE,
    quiet: Quiet = False,
) -> int:
    """Forecast the next sessions.

    From the last settled bar; bars that are not stored are fetched. By the newest
    run that knows the ticker, else by the network that ships with the program.
    No ticker: every stored one. Several: a line for each.

    \b
    lstm predict AAPL MSFT MRK
    lstm predict MRK --details
    lstm predict --json | jq '.forecasts[0].steps[0].q50'
    lstm predict MRK --as-of 2016-06-30
    """
    prepare(quiet=quiet)
    chosen = [
        name
        for name, given in (("--json", as_json), ("--csv", as_csv), ("--details", details))
        if given
    ]
    if len(chosen) > 1:
        raise ConfigError(
            f"Expected one of --json, --csv and --details. Received: {' and '.join(chosen)}.",
            hint="--json and --csv hold every step already",
        )
    with spinner("loading the network", quiet=quiet):
        where = workers_of(workers, executor, scheduler)
        from lstmcli.pipeline import predict as pipeline
        from lstmcli.pipeline.look import look_at
        from lstmcli.pipeline.prices import Written, as_written
        from lstmcli.pipeline.session import Session
        from lstmcli.store import Workspace

        session = Session(Workspace(workspace))
        named, origin = named_tickers(tickers, universe), parse_origin(as_of)
        not_fetched = {}
        if not offline and (new := pipeline.without_bars(session, named)):
            from lstmcli.pipeline.first_fetch import first_fetch

            not_fetched = first_fetch(session, new, run=run, say=partial(say, quiet=quiet))
        there = [ticker for ticker in named if ticker not in not_fetched]
        done, failed = (
            pipeline.predict(
                session,
                there,
                run=run,
                as_of=origin,
                with_earlier=not as_csv,
                workers=where,
                say=partial(say, quiet=quiet),
            )
            if there or not named
            else ([], [])
        )
        looks = [] if as_csv else look_at(session, done)
    _warn_stale(done, quiet=quiet)
    for prediction in done:
        _warn(prediction, quiet=quiet)
    if as_json:
        answers = [_answer(*pair) for pair in zip(done, looks, strict=True)]
        print_json({"forecasts": answers, "note": DISCLAIMER})
    elif as_csv:
        for n, prediction in enumerate(done):
            written = Written(prediction.prices, prediction.baseline, prediction.reports)
            rows = as_written([written])
            rows.to_csv(sys.stdout, index=False, header=n == 0, float_format="%.8g")
    elif done:
        _print(done, looks, details=details)
        say_next(f"lstm plot {shell_word(done[0].ticker)}", quiet=quiet)
    fetched = [*not_fetched.values()] if as_json else said_once([*not_fetched.items()])
    return highest([*fetched, *(failure.error for failure in failed)], as_json=as_json)


def _print(done: Sequence[Prediction], looks: Sequence[Look], *, details: bool) -> None:
    """Print one forecast, or several as a watch list, or everything of each."""
    from lstmcli.cli.forecast import print_forecast
    from lstmcli.cli.watch_list import print_watch_list

    if len(done) > 1 and not details:
        print_watch_list(done, looks)
    else:
        for n, (prediction, look) in enumerate(zip(done, looks, strict=True)):
            print("\n" * (n > 0), end="")
            print_forecast(prediction, look, details=details)
    words = "lstm explain TERM says what a word means"
    print(f"\n{words}." if details else wrapped(f"{words}; --details shows everything."))
    print(DISCLAIMER)


def parse_origin(text: str | None) -> pd.Timestamp | None:
    """Return the date of --as-of.

    Raises:
        ConfigError: it is no date, or lies in the future.
    """
    day = parse_day(text, "--as-of")
    if day is None:
        return None
    import pandas as pd

    from lstmcli import clock

    today = clock.now().date()
    if day > today + timedelta(days=1):  # east of UTC it is tomorrow already
        raise ConfigError(
            f"Expected --as-of up to today, {today}. Received: {day}.",
            hint="without --as-of the forecast is from the last settled session",
        )
    return pd.Timestamp(day)


def _warn_stale(done: Sequence[Prediction], *, quiet: bool) -> None:
    """Warn of tickers whose last bar is old, once for those that end on one session."""
    groups: dict[tuple[int, str], list[str]] = {}
    for prediction in done:
        # Sample data is old by its nature, and labelled so on every table.
        if prediction.sessions_behind and not prediction.label:
            key = prediction.sessions_behind, f"{prediction.made_on:%Y-%m-%d}"
            groups.setdefault(key, []).append(prediction.ticker)
    for (behind, made_on), tickers in groups.items():
        settled = f"{behind:,} session{'s have' if behind > 1 else ' has'} settled"
        if len(tickers) == 1:
            who, whose = tickers[0], f"its last bar, {made_on}; lstm fetch {shell_word(tickers[0])}"
        else:
            who, whose = f"{len(tickers)} tickers", f"their last bar, {made_on}; lstm fetch"
        say(f"warning: {who}: stale: {settled} since {whose}", quiet=quiet)


def _warn(prediction: Prediction, *, quiet: bool) -> None:
    ticker = prediction.ticker
    if prediction.seen_note:
        say(f"warning: {ticker}: {prediction.seen_note}", quiet=quiet)
    if prediction.basis.warning:
        say(f"warning: {ticker}: {prediction.basis.warning}", quiet=quiet)


def _steps(prices: pd.DataFrame) -> list[dict[str, Any]]:
    from lstmcli.frames import INTERVAL_COLUMNS, QUANTILE_COLUMNS

    names = ["sigma", *QUANTILE_COLUMNS, *INTERVAL_COLUMNS, "declared", "p_up"]
    numbers = {name: prices[name].to_numpy() for name in names}
    for name in ("q50", "lo80", "hi80"):
        numbers[f"{name}_change"] = numbers[name] / prices["last_close"].to_numpy() - 1
    columns = {
        "step": prices["step"].tolist(),
        "target_on": prices["target_on"].dt.date.tolist(),
        **{name: column.tolist() for name, column in numbers.items()},
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


LEVELS = (
    "lo50 ... hi95 are the ends of the cones, which move until the cones cover what they say; "
    "q05 ... q95 are quantiles of the distribution that CRPS scores. Of 95 % there is one "
    "interval: q025 is lo95, and q975 is hi95. p_up is the probability of a total return above 0; "
    "q50_change, lo80_change and hi80_change are fractions of the last close."
)
"""What the levels of `steps` are; a reader of the JSON has no docs."""


def _answer(prediction: Prediction, look: Look) -> dict[str, Any]:
    from lstmcli.report.outlook import previous_sentence
    from lstmcli.report.verdict_record import short_verdict

    baseline = None
    if prediction.baseline is not None:
        name = prediction.baseline["recipe"].iloc[0]
        steps = _steps(prediction.baseline)
        baseline = {"recipe": name, "calibrated": False, "steps": steps}
    return {
        "ticker": prediction.ticker,
        "run": prediction.manifest.run,
        "variant": prediction.manifest.variant,
        "made_on": prediction.made_on.date(),
        "last_close": prediction.last_close,
        "currency": prediction.currency,
        "prices": prediction.basis.kind,
        "declared": [
            {"ex_date": ex_date.date(), "amount": amount}
            for ex_date, amount in prediction.basis.declared
        ],
        "label": prediction.label,
        "sessions_behind": prediction.sessions_behind,
        "in_sample": prediction.seen,
        "notes": list(prediction.notes),
        "file": str(prediction.path),
        "next_report": prediction.reports.as_json(),
        "outlook": look.outlook,
        "previous": look.previous
        and {
            **vars(look.previous),
            "where": look.previous.where,
            "sentence": previous_sentence(look.previous, today=look.today),
        },
        "short_verdict": short_verdict(prediction.manifest.verdict),
        "verdict": prediction.manifest.verdict,
        "steps": _steps(prediction.prices),
        "levels": LEVELS,
        "baseline": baseline,
    }
