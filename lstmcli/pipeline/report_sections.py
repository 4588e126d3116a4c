"""The section of the report about one ticker: its forecast and its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lstmcli import charts, clock
from lstmcli.charts import Theme
from lstmcli.digits import five_digits
from lstmcli.errors import LstmError
from lstmcli.evaluation.backtest import judged_steps
from lstmcli.frames import INTERVAL_COLUMNS
from lstmcli.pipeline.day import LEFT_OUT, NOT_TRAINED, TOO_YOUNG
from lstmcli.pipeline.next_report import reports_of_issued
from lstmcli.pipeline.notes import notes_on
from lstmcli.pipeline.plot_forecast import forecast_figure
from lstmcli.pipeline.prediction import Prediction
from lstmcli.pipeline.report_forecast import (
    Shown,
    basis_of_issued,
    last_issued,
    of_ledger,
    of_prediction,
)
from lstmcli.pipeline.report_outcomes import add_outcomes
from lstmcli.pipeline.score import Live
from lstmcli.pipeline.session import Session
from lstmcli.report.announcements import Reports
from lstmcli.report.caption import answer, verdict_lines
from lstmcli.report.page import Section, Table, anchor
from lstmcli.report.pictures import cone_sketch, picture
from lstmcli.report.prices import CLOSE, TOTAL_RETURN, PriceBasis
from lstmcli.report.verdict_record import hardest_baseline, stored_paragraphs, trained_on
from lstmcli.report.wording import joined_notes
from lstmcli.sessions import sessions_behind
from lstmcli.store.bars import BarsMeta
from lstmcli.store.runs import Manifest
from lstmcli.trading import readable, suspension

_UNISSUED = (
    "Not issued: nobody keeps a record of this forecast. lstm daily issues one every evening."
)


@dataclass(frozen=True)
class Issued:
    """The last issued forecast of a ticker, as the ledger keeps it.

    Attributes:
        rows: the published ones, by step.
        beside: those of other recipes from the same origin; none where no chart shows them.
        coverage: how many of its ranges held what came, for the overview.
    """

    rows: pd.DataFrame
    beside: pd.DataFrame
    coverage: str


def section_of(
    session: Session,
    ticker: str,
    live: Live | None,
    outcome: Mapping[str, Any] | None,
    prediction: Prediction | None = None,
) -> Section:
    """Return the part of the page about one ticker, its charts drawn.

    Args:
        live: the record of this ticker, row by row; None where nothing of it was issued.
        outcome: what `lstm daily` did for it, as in `Day.as_dict`.
        prediction: what is shown where none was issued.

    Raises:
        DiskError: a chart cannot be written.
    """
    issued = None
    if live is not None and len(live.rows):
        issued = Issued(*last_issued(live), _live_coverage(live))
    section, shown = section_without_charts(session, ticker, issued, outcome, prediction)
    if shown is not None:
        if shown.bars is not None and shown.held:
            section.sketch = cone_sketch(shown.bars["close"].to_numpy(float), shown.prices)
            if shown.made_on in shown.bars.index:
                _add_chart(session, section, shown)
        if issued is not None and live is not None:
            add_outcomes(section, live, hardest_baseline(shown.verdict))
    return section


def section_without_charts(
    session: Session,
    ticker: str,
    issued: Issued | None,
    outcome: Mapping[str, Any] | None,
    prediction: Prediction | None = None,
) -> tuple[Section, Shown | None]:
    """Return the forecast of a ticker in words and numbers, and what it was taken from.

    The second is None where there is no forecast to show. See `section_of`.
    """
    # The ticker is the heading above.
    failed = None
    if outcome and outcome.get("error"):
        failed = error_sentence(outcome).removeprefix(f"{ticker}: ")
    today = outcome["outcome"] if outcome else ""
    section = Section(ticker, anchor(ticker), ("", "", "", "", "", "", today), failed=failed)
    bars, meta = None, None
    try:
        bars, meta = session.settled(ticker)
        _add_bars(section, bars, meta)
    except LstmError as error:
        section.failed = section.failed or str(error)
    if issued is not None:
        if outcome and outcome.get("note"):
            note = error_sentence({**outcome, "error": outcome["note"]})
            section.facts.append(("forecast", note))
        shown = _shown(session, section, issued, bars, meta)
    elif prediction is not None:
        shown = of_prediction(prediction)
        section.unissued = _UNISSUED
        section.note = joined_notes(section.note, prediction.seen_note)
    else:
        if outcome and outcome.get("note"):
            section.unissued = _with_next_step(outcome["note"], outcome.get("hint"))
        return section, None
    if bars is not None and meta is not None:
        _check_age(section, shown, bars, meta)
    if not section.failed:
        today = "stale" if section.stale else today or "up to date"
    _add_forecast(section, shown, meta, issued.coverage if issued else "not issued", today)
    _add_run(session, section, shown, meta)
    return section, shown


def _add_bars(section: Section, bars: pd.DataFrame, meta: BarsMeta) -> None:
    section.note = meta.label
    section.facts += [
        ("bars", f"{meta.rows:,} sessions to {meta.last_session}, {meta.source.get('name')}"),
        ("fetched", f"{meta.fetched_at:%Y-%m-%d %H:%M} UTC"),
    ]
    resting = suspension(bars)
    section.facts += [("no trade since", str(resting))] if resting else []


def _shown(
    session: Session,
    section: Section,
    issued: Issued,
    bars: pd.DataFrame | None,
    meta: BarsMeta | None,
) -> Shown:
    """Return the last issued forecast of a ticker in prices, and what was known to it."""
    last, ticker = issued.rows, section.ticker
    made_on = pd.Timestamp(last["made_on"].iloc[0])
    # The bars that the forecast could read.
    read = readable(bars.loc[:made_on], meta.calendar) if bars is not None and meta else None
    reports = Reports()
    basis = PriceBasis(TOTAL_RETURN)  # of bars that cannot be read, nothing else is known
    try:
        if read is not None and len(read) and meta:
            basis = basis_of_issued(session, ticker, read, last, meta.currency)
            reports = reports_of_issued(session, ticker, meta, read, last)
    except LstmError as error:
        section.failed = section.failed or str(error)
    manifest = _manifest(session, str(last["run"].iloc[0]))
    verdict = manifest.verdict if manifest else None
    return of_ledger(last, issued.beside, basis=basis, bars=read, verdict=verdict, reports=reports)


def _check_age(section: Section, shown: Shown, bars: pd.DataFrame, meta: BarsMeta) -> None:
    """Say so where sessions have settled since the forecast was made, or its close is gone."""
    made_on, again = shown.made_on, "lstm report" if section.unissued else "lstm daily"
    since = sessions_behind(meta.calendar, made_on, clock.now(), observed=bars.index)
    resting = suspension(bars)
    if since and not meta.label:  # sample data is old by its nature, and says so
        fetch = "lstm fetch, then lstm report" if section.unissued else again
        section.stale = (
            f"{since:,} session{'s have' if since > 1 else ' has'} settled since this forecast "
            f"was made, on {made_on:%Y-%m-%d}. "
            + (f"No trade since {resting}." if resting else f"Next: {fetch}.")
        )
    if not shown.held:
        section.stale = (
            f"The bars no longer hold the close of {made_on:%Y-%m-%d} that this forecast was made "
            f"from: it is never scored. Next: {again}."
        )


def _add_forecast(
    section: Section, shown: Shown, meta: BarsMeta | None, coverage: str, today: str
) -> None:
    """Add the forecast in sentences, as a row of the overview, and as a table."""
    prices, close, basis = shown.prices, shown.close, shown.basis
    currency = f" {meta.currency}" if meta and meta.currency else ""
    first, end = prices.iloc[0], prices.iloc[-1]
    section.horizon = int(end["step"])
    section.line = (
        _reach(first, close),
        _reach(end, close),
        f"{five_digits(close)}{currency}",
        f"{shown.made_on:%Y-%m-%d}",
        shown.reports.cell(shown.made_on.date()),
        coverage,
        today,
    )
    target = pd.Timestamp(first["target_on"])
    section.answer = answer(shown.verdict, prices)
    section.sentence = (
        f"After {five_digits(close)}{currency} on {shown.made_on:%a %d %b %Y}, the close of "
        f"{target:%a %d %b}{basis.of_close(target)} should lie between "
        f"{five_digits(first['lo80'])} and {five_digits(first['hi80'])} four times out of five."
    )
    targets = [target.date() for target in prices["target_on"]]
    section.next_report = shown.reports.sentence(targets, shown.made_on.date())
    title = "The forecast" if basis.kind == CLOSE else f"The forecast: {basis.unit}"
    section.tables.append(_steps(prices, title))
    section.price_note = basis.sentence


def _add_run(session: Session, section: Section, shown: Shown, meta: BarsMeta | None) -> None:
    """Add the verdict of the run, what it was trained on, and what to know of its forecast."""
    manifest = _manifest(session, shown.run)
    if manifest is None:
        return
    if shown.bars is not None and meta is not None:
        notes = notes_on(manifest, section.ticker, shown.bars, meta)
        section.note = joined_notes(section.note, *notes)
    verdict = manifest.verdict or {}
    section.verdict = "\n\n".join(stored_paragraphs(verdict)) or None
    if verdict:
        section.verdict_lines = verdict_lines(verdict)
    section.facts += [
        ("run", manifest.run),
        ("trained", _training(manifest)),
    ]


def _training(manifest: Manifest) -> str:
    unseen = (manifest.verdict or {}).get("unseen")
    if unseen:
        return f"before it shipped, on {trained_on(unseen)}"
    return f"{manifest.created_at:%Y-%m-%d %H:%M} UTC on {_names(manifest.tickers)}"


def _add_chart(session: Session, section: Section, shown: Shown) -> None:
    assert shown.bars is not None  # the caller has looked
    bars, ticker = shown.bars, section.ticker
    wide, phone = (
        forecast_figure(
            bars,
            shown.prices,
            run=shown.run,
            verdict=shown.verdict,
            baseline=shown.baseline,
            basis=shown.basis,
            note=section.note,
            reports=shown.reports,
            theme=Theme(phone=narrow),
            in_words=False,
        )
        for narrow in (False, True)
    )
    drawn = picture(
        wide,
        phone=phone,
        alt=_alt(ticker, shown.prices, shown.close),
        name=f"forecast-{ticker}",
        schemes=charts.SCHEMES,
    )
    workspace = session.workspace
    workspace.write(workspace.chart_path(f"daily-{ticker}.svg"), drawn.svg.encode())
    section.pictures.append(drawn)


def _manifest(session: Session, run: str) -> Manifest | None:
    try:
        return session.manifest(run)
    except LstmError:
        return None  # an old run may be gone; its forecasts stay


def _names(tickers: tuple[str, ...]) -> str:
    more = f" and {len(tickers) - 3} more" if len(tickers) > 3 else ""
    return ", ".join(tickers[:3]) + more


def _reach(row: pd.Series, close: float) -> str:
    """Return the 80 % cone as changes from the last close."""
    low, high = 100 * (row["lo80"] / close - 1), 100 * (row["hi80"] / close - 1)
    digits = 1 if max(abs(low), abs(high)) >= 1 else 2
    return f"{low:+.{digits}f} to {high:+.{digits}f} %"


def _steps(prices: pd.DataFrame, caption: str) -> Table:
    rows = []
    horizon = int(prices["step"].max())
    shown = ("step", "target_on", "q50", *INTERVAL_COLUMNS)
    columns = zip(*(prices[name].tolist() for name in shown), strict=True)
    by_step = {values[0]: dict(zip(shown, values, strict=True)) for values in columns}
    for step in sorted({*judged_steps(horizon), horizon}):
        row = by_step[step]
        cones = [
            f"{five_digits(row[f'lo{c}'])} – {five_digits(row[f'hi{c}'])}" for c in (50, 80, 95)
        ]
        rows.append((f"{step}: {row['target_on']:%a %d %b}", five_digits(row["q50"]), *cones))
    head = ("session", "median", "50 % cone", "80 % cone", "95 % cone")
    return Table(caption, head, tuple(rows))


def _alt(ticker: str, prices: pd.DataFrame, close: float) -> str:
    end = prices.iloc[-1]
    return (
        f"Recent closes of {ticker} up to {five_digits(close)}, then a widening cone. On "
        f"{end['target_on']:%d %b %Y} its 80 % part reaches from {five_digits(end['lo80'])} to "
        f"{five_digits(end['hi80'])}, the median is {five_digits(end['q50'])}."
    )


def _live_coverage(live: Live) -> str:
    table = live.table[live.table["step"] == 1]
    own = table[table["calibrated"].astype(bool) & (table["recipe"] == table["published"])]
    if not len(own):
        return "nothing scored yet"
    row = own.iloc[-1]
    return f"{100 * row['coverage80']:.0f} % of {row['forecasts']:,}"


def error_sentence(error: Mapping[str, Any]) -> str:
    """Return an error of `Day.as_dict` and its next step."""
    return _with_next_step(str(error.get("error")), error.get("hint"))


def sentence_of_one(section: Section) -> str:
    """Return the first sentence of a page of one ticker."""
    if section.failed:
        return "Today's forecast failed."
    if section.stale:
        return "The forecast is stale."
    if section.line[-1] == NOT_TRAINED:
        return "No run knows it yet."
    if section.line[-1] == TOO_YOUNG:
        return "It has too few sessions yet."
    if section.line[-1] == LEFT_OUT:
        return "Its sample data has ended."
    return "The forecast is up to date."


def _with_next_step(text: str, hint: str | None) -> str:
    return text + (f" Next: {hint}." if hint else "")
