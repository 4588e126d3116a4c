"""Report: the page of the day, made of the ledger, the bars and the runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lstmcli import __version__, charts, clock, report
from lstmcli.errors import LstmError
from lstmcli.evaluation.backtest import judged_steps
from lstmcli.evaluation.live import (
    LATE,
    MIN_OUTCOMES,
    OPEN,
    SCORED,
    WAITING,
    is_published,
    skill_sequence,
)
from lstmcli.evaluation.metrics import covered, crps
from lstmcli.frames import COVERAGES
from lstmcli.pipeline._panel import load_panel
from lstmcli.pipeline.predict import in_prices
from lstmcli.pipeline.score import Live
from lstmcli.report.wording import coverage_sentence, live_phrase
from lstmcli.sessions import sessions_behind
from lstmcli.store import Workspace
from lstmcli.store.files import file_name
from lstmcli.store.runs import Manifest

MOST_IN_ONE_PAGE = 30
"""Tickers with their charts in one page, about 3 MB; more get a page each beside an index."""

LAST_OUTCOMES = 10

_HEAD = ("ticker", "80 % cone", "last close", "median", "made on", "live in 80 %", "today")


def write_report(
    workspace: Workspace,
    day: Mapping[str, Any] | None,
    live: Live | None,
    *,
    output: Path | None = None,
) -> Path:
    """Write the page, and with many tickers a page for each beside it; return the first.

    Args:
        day: what `lstm daily` wrote about itself; None: the page shows no failures.

    Raises:
        DiskError: no space, or not writable; the page that was there remains.
    """
    path = output or workspace.report
    folder = workspace.pages if output is None else output.with_suffix("")
    outcomes = {each["ticker"]: each for each in (day or {}).get("tickers", [])}
    known = live.tickers if live else ()
    tickers = list(dict.fromkeys([*outcomes, *known]))
    sections = []
    for ticker in tickers:
        own = live.only(ticker) if live and ticker in known else None
        sections.append(_section(workspace, ticker, own, outcomes.get(ticker)))
    page = _page(workspace, day, live, sections)
    if len(sections) > MOST_IN_ONE_PAGE:
        for section in sections:
            name = f"{file_name(section.ticker)}.html"
            single = _page(workspace, day, None, [section], back=f"../{path.name}")
            workspace.write(folder / name, report.render(single).encode())
            section.link = f"{folder.name}/{name.replace('%', '%25')}"
    workspace.write(path, report.render(page).encode())
    return path


def _page(
    workspace: Workspace,
    day: Mapping[str, Any] | None,
    live: Live | None,
    sections: list[report.Section],
    *,
    back: str | None = None,
) -> report.Page:
    made = clock.now()
    failures = [] if back else [_said(error) for error in (day or {}).get("errors", [])]
    facts = [("made by", f"lstm {__version__}, {made:%Y-%m-%d %H:%M} UTC")]
    try:
        facts.append(("ledger head", workspace.ledger.head()))
    except LstmError as error:
        facts.append(("ledger", str(error)))
    remarks, tables = ([], []) if live is None else _record(live)
    names = [section.ticker for section in sections]
    title = f"Forecast of {names[0]}" if len(names) == 1 else f"Forecasts of {len(names)} tickers"
    return report.Page(
        title=title,
        made=f"Made {made:%A %d %B %Y, %H:%M} UTC",
        sentence=_sentence(sections, failures),
        overview_head=_HEAD,
        sections=sections,
        failures=failures,
        tables=tables if len(names) > 1 else [],
        remarks=remarks if len(names) > 1 else [],
        facts=facts,
        back=back,
    )


def _sentence(sections: list[report.Section], failures: list[str]) -> str:
    """Return what the reader of the page wants to know first."""
    failed = [section.ticker for section in sections if section.failed]
    stale = [section.ticker for section in sections if section.stale and not section.failed]
    fresh = len(sections) - len(failed) - len(stale)
    parts = [f"{fresh} of {len(sections)} forecasts are up to date"]
    for what, tickers in (("failed today", failed), ("stale", stale)):
        if tickers:
            more = f" and {len(tickers) - 5} more" if len(tickers) > 5 else ""
            parts.append(f"{what}: {', '.join(tickers[:5])}{more}")
    if failures:
        parts.append(f"{len(failures)} step{'s' * (len(failures) > 1)} failed")
    return "; ".join(parts) + "."


def _said(error: Mapping[str, Any]) -> str:
    return f"{error.get('error')}" + (f" Next: {error['hint']}." if error.get("hint") else "")


def _section(
    workspace: Workspace, ticker: str, live: Live | None, outcome: Mapping[str, Any] | None
) -> report.Section:
    failed = _said(outcome) if outcome and outcome.get("error") else None
    today = outcome["outcome"] if outcome else ""
    section = report.Section(
        ticker, report.anchor(ticker), ("", "", "", "", "", today), failed=failed
    )
    bars = None
    try:
        loaded = load_panel(workspace, [ticker])
        bars, meta = loaded.panel[ticker], loaded.metas[ticker]
        section.note = meta.label
        section.facts += [
            ("bars", f"{meta.rows:,} sessions to {meta.last_session}, {meta.source.get('name')}"),
            ("fetched", f"{meta.fetched_at:%Y-%m-%d %H:%M} UTC"),
        ]
        currency = f" {meta.currency}" if meta.currency else ""
    except LstmError as error:
        section.failed = section.failed or str(error)
        currency = ""
    if live is None or not len(live.rows):
        return section
    published = live.rows[is_published(live.rows)]
    last = published[published["id"] >= _first_id_of_last(published)].sort_values("step")
    prices = in_prices(last)
    made_on, close = pd.Timestamp(last["made_on"].iloc[0]), float(last["last_close"].iloc[0])
    first = prices.iloc[0]
    coverage = _live_coverage(live)
    if bars is not None:
        since = sessions_behind(meta.calendar, made_on, clock.now(), observed=bars.index)
        if since:
            section.stale = (
                f"{since:,} session{'s have' if since > 1 else ' has'} settled since this forecast "
                f"was made, on {made_on:%Y-%m-%d}. Next: lstm daily."
            )
            today = "stale" if not failed else today
    section.line = (
        f"{_change(first['lo80'] / close)} to {_change(first['hi80'] / close)}",
        f"{close:,.2f}{currency}",
        _change(first["q50"] / close),
        f"{made_on:%Y-%m-%d}",
        coverage,
        today,
    )
    target = pd.Timestamp(first["target_on"])
    section.sentence = (
        f"After {close:,.2f}{currency} on {made_on:%a %d %b %Y}, the close of "
        f"{target:%a %d %b} should lie between {first['lo80']:,.2f} and {first['hi80']:,.2f} "
        "four times out of five."
    )
    section.tables.append(_steps(prices, "The forecast"))
    manifest = _manifest(workspace, str(last["run"].iloc[0]))
    strongest = None
    if manifest is not None:
        verdict = manifest.verdict or {}
        strongest = verdict.get("strongest")
        section.verdict = verdict.get("headline")
        section.facts += [
            ("run", manifest.run),
            ("trained", f"{manifest.created_at:%Y-%m-%d %H:%M} UTC on {_names(manifest.tickers)}"),
        ]
    if bars is not None and made_on in bars.index:
        figure = charts.forecast_chart(
            bars,
            last,
            title=f"{ticker}: the next {len(last)} sessions",
            run=str(last["run"].iloc[0]),
            note=section.note,
            currency=currency.strip() or None,
        )
        picture = report.picture(figure, alt=_alt(ticker, prices, close), name=f"forecast-{ticker}")
        workspace.write(workspace.chart_path(f"daily-{ticker}.svg"), picture.svg.encode())
        section.pictures.append(picture)
    _add_record(section, live, strongest)
    return section


def _first_id_of_last(published: pd.DataFrame) -> int:
    """Return the id at which the newest forecast of a ticker begins."""
    newest = published[published["made_on"] == published["made_on"].max()]
    return int(newest[newest["run"] == newest["run"].iloc[-1]]["id"].min())


def _manifest(workspace: Workspace, run: str) -> Manifest | None:
    try:
        return workspace.runs.manifest(run)
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
        cones = [f"{row[f'lo{c}']:,.2f} – {row[f'hi{c}']:,.2f}" for c in (50, 80, 95)]
        rows.append((f"{step}: {row['target_on']:%a %d %b}", f"{row['q50']:,.2f}", *cones))
    head = ("session", "median", "50 % cone", "80 % cone", "95 % cone")
    return report.Table(caption, head, tuple(rows))


def _alt(ticker: str, prices: pd.DataFrame, close: float) -> str:
    end = prices.iloc[-1]
    return (
        f"Recent closes of {ticker} up to {close:,.2f}, then a widening cone. On "
        f"{end['target_on']:%d %b %Y} its 80 % part reaches from {end['lo80']:,.2f} to "
        f"{end['hi80']:,.2f}, the median is {end['q50']:,.2f}."
    )


def _live_coverage(live: Live) -> str:
    own = live.table[(live.table["recipe"] == live.table["published"]) & (live.table["step"] == 1)]
    if not len(own):
        return "nothing scored yet"
    row = own.iloc[-1]
    return f"{100 * row['coverage80']:.0f} % of {row['forecasts']:,}"


def _add_record(section: report.Section, live: Live, strongest: str | None) -> None:
    """Add what came of the forecasts of one ticker."""
    remarks, tables = _record(live)
    section.remarks += remarks
    scored = live.rows[(live.rows["status"] == SCORED) & (live.rows["step"] == 1)]
    own = scored[is_published(scored)].sort_values("made_on")
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
    against = _against(scored, strongest)
    if against is not None:
        losses = own.assign(crps=crps(own)).set_index("made_on")["crps"]
        other = scored[scored["recipe"] == against].sort_values("made_on")
        beside = other.assign(crps=crps(other)).set_index("made_on")["crps"]
        both = losses.index.intersection(beside.index)
        figure = charts.live_chart(
            own,
            skill_sequence(losses.loc[both], beside.loc[both], 1),
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
            f"The last {len(recent)} one-session forecasts",
            ("session", "80 % cone", "came", "where"),
            rows,
        )
    )
    section.tables += tables


def _against(scored: pd.DataFrame, strongest: str | None) -> str | None:
    """Return the baseline that the skill is drawn against."""
    names = set(scored["recipe"])
    return next((name for name in (strongest, "ewma", "random_walk") if name in names), None)


def _record(live: Live) -> tuple[list[str], list[report.Table]]:
    """Return the record in sentences and a table."""
    counts = live.counts()
    remarks = [
        f"{counts[SCORED]:,} published forecasts have an outcome, {counts[OPEN]:,} wait for their "
        f"session"
        + (f", {counts[WAITING]:,} for a bar that is missing" if counts[WAITING] else "")
        + (f", {counts[LATE]:,} came late and are never scored" if counts[LATE] else "")
        + "."
    ]
    if live.missing:
        last = live.missing[-3:]
        named = "; ".join(
            f"{each.ticker} {each.session:%Y-%m-%d}: {each.reason}" for each in reversed(last)
        )
        count = len(live.missing)
        remarks.append(
            f"{count:,} session{'s' * (count > 1)} without a forecast, never filled in. "
            f"Last: {named}"
        )
    for recipe, evidence in live.evidence.items():
        remarks.append(coverage_sentence(recipe, evidence))
    rows = [_record_row(row) for _, row in live.table.iterrows()]
    if not rows:
        return remarks, []
    columns = ("recipe", "sessions", "CRPS %", "skill of the network", "so far")
    head = (*columns, "in 50 %", "in 80 %", "in 95 %")
    steps = live.table["step"].to_numpy()
    tables = []
    for step in sorted(set(map(int, steps))):
        caption = (
            f"Scores {step} session{'s' * (step > 1)} ahead; in brackets 95 % confidence "
            f"sequences, no verdict before {MIN_OUTCOMES} sessions"
        )
        own = tuple(row for row, at in zip(rows, steps, strict=True) if at == step)
        tables.append(report.Table(caption, head, own, folded=step != steps[0]))
    return remarks, tables


def _record_row(row: pd.Series) -> tuple[str, ...]:
    own = row["recipe"] == row["published"]

    def percent(name: str) -> str:
        share = f"{100 * row[name]:.0f} %"
        low, high = 100 * row[f"{name}_low"], 100 * row[f"{name}_high"]
        return f"{share} ({low:.0f} to {high:.0f})" if own else share

    low, high = 100 * row["low"], 100 * row["high"]
    return (
        row["recipe"],
        f"{row['origins']:,}",
        f"{100 * row['crps']:.3f}",
        "" if own else f"{100 * row['skill']:+.1f} % ({low:+.1f} to {high:+.1f})",
        "" if own else live_phrase(row["word"]),
        *(percent(f"coverage{share * 100:.0f}") for share in COVERAGES),
    )
