"""The section of the report about one ticker: its forecast and its record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from lstmcli import charts, clock, report
from lstmcli.digits import five_digits
from lstmcli.errors import LstmError
from lstmcli.evaluation.backtest import judged_steps
from lstmcli.evaluation.live import SCORED, UNMATCHED
from lstmcli.evaluation.metrics import covered, crps
from lstmcli.evaluation.sequences import skill_sequence
from lstmcli.frames import COVERAGES, of_recipe
from lstmcli.panel import Panel
from lstmcli.pipeline.prices import in_prices, price_basis
from lstmcli.pipeline.report_record import record_of
from lstmcli.pipeline.score import Live
from lstmcli.pipeline.session import Session
from lstmcli.report.prices import CLOSE, TOTAL_RETURN, PriceBasis
from lstmcli.report.verdict_record import hardest_baseline, stored_paragraphs
from lstmcli.sessions import sessions_behind
from lstmcli.store.runs import Manifest
from lstmcli.trading import readable, suspension

LAST_OUTCOMES = 10
"""One-session forecasts in the table of outcomes, the newest first."""


def section_of(
    session: Session, ticker: str, live: Live | None, outcome: Mapping[str, Any] | None
) -> report.Section:
    """Return the part of the page about one ticker, its charts drawn.

    Args:
        live: the record of this ticker; None where none of its forecasts was issued.
        outcome: what `lstm daily` did for it, as in `Day.as_dict`.

    Raises:
        DiskError: a chart cannot be written.
    """
    failed = error_sentence(outcome) if outcome and outcome.get("error") else None
    today = outcome["outcome"] if outcome else ""
    section = report.Section(
        ticker, report.anchor(ticker), ("", "", "", "", "", today), failed=failed
    )
    if outcome and outcome.get("note"):
        section.facts.append(("forecast", error_sentence({**outcome, "error": outcome["note"]})))
    bars = None
    try:
        bars, meta = session.settled(ticker)
        section.note = meta.label
        section.facts += [
            ("bars", f"{meta.rows:,} sessions to {meta.last_session}, {meta.source.get('name')}"),
            ("fetched", f"{meta.fetched_at:%Y-%m-%d %H:%M} UTC"),
        ]
        resting = suspension(bars)
        section.facts += [("no trade since", str(resting))] if resting else []
        currency = f" {meta.currency}" if meta.currency else ""
    except LstmError as error:
        section.failed = section.failed or str(error)
        currency = ""
    if live is None or not len(live.rows):
        return section
    published = live.rows[live.rows["calibrated"]]
    last = published[published["id"] >= _first_id_of_last(published)].sort_values("step")
    made_on, close = pd.Timestamp(last["made_on"].iloc[0]), float(last["last_close"].iloc[0])
    # The bars that the forecast could read.
    read = None if bars is None else readable(bars.loc[:made_on], meta.calendar)
    basis = PriceBasis(TOTAL_RETURN)  # of bars that cannot be read, nothing else is known
    try:
        if read is not None and len(read):
            basis = _basis(session, ticker, read, last, currency.strip() or None)
    except LstmError as error:
        section.failed = section.failed or str(error)
    prices = in_prices(last, {ticker: basis})
    first = prices.iloc[0]
    coverage = _live_coverage(live)
    if bars is not None:
        since = sessions_behind(meta.calendar, made_on, clock.now(), observed=bars.index)
        if since:
            section.stale = (
                f"{since:,} session{'s have' if since > 1 else ' has'} settled since this forecast "
                f"was made, on {made_on:%Y-%m-%d}. "
                + (f"No trade since {resting}." if resting else "Next: lstm daily.")
            )
            today = "stale" if not failed else today
    held = bool((last["status"] != UNMATCHED).all())
    if not held:
        section.stale = (
            f"The bars no longer hold the close of {made_on:%Y-%m-%d} that this forecast was made "
            "from: it is never scored. Next: lstm daily."
        )
    section.line = (
        f"{_change(first['lo80'] / close)} to {_change(first['hi80'] / close)}",
        f"{five_digits(close)}{currency}",
        _change(first["q50"] / close),
        f"{made_on:%Y-%m-%d}",
        coverage,
        today,
    )
    target = pd.Timestamp(first["target_on"])
    section.sentence = (
        f"After {five_digits(close)}{currency} on {made_on:%a %d %b %Y}, the close of "
        f"{target:%a %d %b}{basis.of_close(target)} should lie between "
        f"{five_digits(first['lo80'])} and {five_digits(first['hi80'])} four times out of five."
    )
    title = "The forecast" if basis.kind == CLOSE else f"The forecast: {basis.unit}"
    section.tables.append(_steps(prices, title))
    section.price_note = basis.sentence
    manifest = _manifest(session, str(last["run"].iloc[0]))
    hardest = None
    if manifest is not None:
        verdict = manifest.verdict or {}
        hardest = hardest_baseline(verdict)
        section.verdict = "\n\n".join(stored_paragraphs(verdict)) or None
        section.facts += [
            ("run", manifest.run),
            ("trained", f"{manifest.created_at:%Y-%m-%d %H:%M} UTC on {_names(manifest.tickers)}"),
        ]
    if read is not None and held and made_on in read.index:
        figure = charts.forecast_chart(
            read,
            prices,
            title=f"{ticker}: the next {len(last)} sessions",
            run=str(last["run"].iloc[0]),
            note=section.note,
            axis=basis.axis,
            remark=basis.sentence,
        )
        picture = report.picture(figure, alt=_alt(ticker, prices, close), name=f"forecast-{ticker}")
        workspace = session.workspace
        workspace.write(workspace.chart_path(f"daily-{ticker}.svg"), picture.svg.encode())
        section.pictures.append(picture)
    _add_outcomes(section, live, hardest)
    return section


def _basis(
    session: Session, ticker: str, read: pd.DataFrame, last: pd.DataFrame, currency: str | None
) -> PriceBasis:
    """Return what the prices of a forecast are, by what was known when it was made.

    Its `last_close` counts shares of that day: a split since then does not concern it.
    """
    known = Panel({ticker: read}, {}, events=session.dividends()).until(read.index[-1])
    until = pd.Timestamp(last["target_on"].max())
    return price_basis(known.view(ticker), until, splits=read["split"], currency=currency)


def _first_id_of_last(published: pd.DataFrame) -> int:
    """Return the id at which the newest forecast of a ticker begins."""
    newest = published[published["made_on"] == published["made_on"].max()]
    return int(newest[newest["run"] == newest["run"].iloc[-1]]["id"].min())


def _manifest(session: Session, run: str) -> Manifest | None:
    try:
        return session.manifest(run)
    except LstmError:
        return None  # an old run may be gone; its forecasts stay


def _names(tickers: tuple[str, ...]) -> str:
    more = f" and {len(tickers) - 3} more" if len(tickers) > 3 else ""
    return ", ".join(tickers[:3]) + more


def _change(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.2f} %"


def _steps(prices: pd.DataFrame, caption: str) -> report.Table:
    rows = []
    for step in judged_steps(int(prices["step"].max())):
        row = prices[prices["step"] == step].iloc[0]
        cones = [
            f"{five_digits(row[f'lo{c}'])} – {five_digits(row[f'hi{c}'])}" for c in (50, 80, 95)
        ]
        rows.append((f"{step}: {row['target_on']:%a %d %b}", five_digits(row["q50"]), *cones))
    head = ("session", "median", "50 % cone", "80 % cone", "95 % cone")
    return report.Table(caption, head, tuple(rows))


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
    return f"{error.get('error')}" + (f" Next: {error['hint']}." if error.get("hint") else "")


def _add_outcomes(section: report.Section, live: Live, hardest: str | None) -> None:
    """Add the record of a ticker, and its last outcomes as a table and a chart."""
    remarks, tables = record_of(live)
    section.remarks += remarks
    scored = live.rows[(live.rows["status"] == SCORED) & (live.rows["step"] == 1)]
    own = scored[scored["calibrated"]].sort_values("made_on")
    if not len(own):
        return
    recent = own.tail(LAST_OUTCOMES).iloc[::-1]
    came = recent["realised"].to_numpy(float)
    inside = {share: covered(recent, share) for share in COVERAGES}
    narrowest = [
        next((f"inside {share:.0%}" for share in COVERAGES if inside[share][n]), "outside all")
        for n in range(len(recent))
    ]
    rows = tuple(
        (
            f"{row['target_on']:%a %d %b %Y}",
            _change(np.exp(row["lo80"])) + " to " + _change(np.exp(row["hi80"])),
            _change(np.exp(came[n])),
            narrowest[n],
        )
        for n, (_, row) in enumerate(recent.iterrows())
    )
    against = _against(scored, hardest)
    if against is not None:
        losses = pd.Series(crps(own) / own["unit"].to_numpy(), own["made_on"])
        other = of_recipe(scored, against, calibrated=False).sort_values("made_on")
        beside = pd.Series(crps(other) / other["unit"].to_numpy(), other["made_on"])
        both = losses.index.intersection(beside.index)
        figure = charts.live_chart(
            own,
            skill_sequence(losses.loc[both], beside.loc[both]),
            title=f"{section.ticker}: forecasts and what came",
            against=against,
            note=section.note,
        )
        inside80 = int(inside[0.80].sum())
        section.pictures.append(
            report.picture(
                figure,
                alt=f"The last one-session cones with what came: of the last {len(recent)} closes "
                f"{inside80} lay inside 80 %. Beside it the CRPS skill against {against} so far.",
                name=f"live-{section.ticker}",
            )
        )
    section.tables.append(
        report.Table(
            f"The last {len(recent)} one-session forecasts, as returns with dividends",
            ("session", "80 % cone", "came", "where"),
            rows,
        )
    )
    section.tables += tables


def _against(scored: pd.DataFrame, hardest: str | None) -> str | None:
    """Return the baseline that the skill is drawn against."""
    names = set(scored.loc[~scored["calibrated"], "recipe"])
    return next((name for name in (hardest, "ewma", "random_walk") if name in names), None)
