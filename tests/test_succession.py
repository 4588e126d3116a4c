"""Bars that do not join the stored ones: another company under the same symbol."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import hinted
from simulate import simulate_bars
from test_sources import lines, write
from yahoo_server import Listing, YahooServer, traded

from lstmcli.errors import DataError
from lstmcli.pipeline.fetch import fetch
from lstmcli.pipeline.session import Session
from lstmcli.pipeline.update import FetchResult
from lstmcli.sources import CsvSource, YahooSource, has_one_scale, why_not_joined
from lstmcli.store import Workspace

PRICES = ["open", "high", "low", "close"]
QUICK = YahooSource(pause=0, timeout=5)
OURS = traded("2023-01-03", 240, seed=1)
OTHER = traded("2023-01-03", 240, seed=2, price=41.0)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "data")


def scaled(bars: pd.DataFrame, ratio: float) -> pd.DataFrame:
    return bars.assign(**{name: bars[name] * ratio for name in PRICES})


def from_file(workspace: Workspace, bars: pd.DataFrame, **options) -> FetchResult:
    source = CsvSource(file=write(workspace.root.parent, lines(bars)))
    return fetch(Session(workspace), ["MRK"], source=source, **options)[0]


def refused(workspace: Workspace, result: FetchResult, *, stored: pd.DataFrame) -> DataError:
    """Check that nothing was replaced, and that the hint says what would; return the error."""
    assert isinstance(result.error, DataError)
    assert "--replace" in (result.error.hint or "")
    kept = workspace.bars.read("MRK")[0]["close"]
    assert kept.to_numpy() == pytest.approx(stored["close"].to_numpy())
    return result.error


# --- the rule


def drawn(sessions: int, seed: int) -> pd.DataFrame:
    return simulate_bars(sessions, seed=seed, sigma=0.015)


@pytest.mark.parametrize("sessions", [1, 2, 5, 10, 60, 400])
def test_bars_of_another_company_never_join(sessions):
    pairs = [(drawn(sessions, seed), scaled(drawn(sessions, seed + 50), 0.4)) for seed in range(20)]
    assert all(why_not_joined(stored, fresh) for stored, fresh in pairs)


@pytest.mark.parametrize("sessions", [5, 60, 400])
@pytest.mark.parametrize("ratio", [0.25, 190.0, 0.01, 1.0213])
def test_one_ratio_joins_also_where_prices_are_rounded(sessions, ratio):
    bars = drawn(sessions, 1)
    restated = scaled(bars, ratio).round(4 if ratio < 1 else 2)
    assert why_not_joined(bars, restated, doubts=["exchange NYQ, now NMS"]) is None
    assert not has_one_scale(bars, restated)


def test_a_split_that_is_stated_joins_where_one_session_is_in_both():
    bars = drawn(20, 3)
    fresh = scaled(bars, 0.5)[9:]
    assert why_not_joined(bars[:10], fresh)
    fresh.loc[fresh.index[3], "split"] = 2.0
    assert why_not_joined(bars[:10], fresh) is None


def test_corrected_closes_and_a_step_in_the_ratio_join():
    bars = drawn(200, 4)
    corrected = bars.copy()
    corrected.loc[bars.index[5:200:10], PRICES] *= 1.07
    spun_off = bars.copy()
    spun_off.loc[: bars.index[120], PRICES] *= 0.83
    for fresh in (corrected, spun_off):
        assert why_not_joined(bars, fresh) is None
    assert why_not_joined(bars, spun_off, doubts=["exchange NYQ, now PCX"])


def test_closes_that_disagree_at_the_end_alone_do_not_join():
    bars, other = drawn(400, 5), drawn(400, 6)
    joined = bars.copy()
    joined.loc[bars.index[-100:], PRICES] = other[PRICES].iloc[-100:]
    assert why_not_joined(bars, bars) is None
    assert why_not_joined(bars, joined)


def test_two_shares_that_hardly_move_are_not_one():
    """Equal returns of zero tell nothing."""
    random = np.random.default_rng(7)

    def cheap(price: float) -> pd.DataFrame:
        ticks = random.choice([-1, *[0] * 14, 1], 300)
        return drawn(300, 0).assign(close=(price + 0.13 * np.cumsum(ticks)).round(2))

    assert why_not_joined(cheap(5.0), cheap(7.0))


@pytest.mark.parametrize(
    ("ratio", "joins"), [(0.01, True), (100.0, True), (1.0, True), (1.3, False)]
)
def test_a_new_currency_joins_only_as_a_new_unit(ratio, joins):
    bars = drawn(100, 8)
    answer = why_not_joined(
        bars, scaled(bars, ratio), doubts=["currency GBp, now GBP"], new_currency=True
    )
    assert (answer is None) == joins
    assert joins or "currency GBp, now GBP" in answer


# --- Yahoo


@pytest.fixture
def listed(yahoo: YahooServer) -> YahooServer:
    yahoo.listings["MRK"] = Listing(OURS)
    yahoo.move_clock(evening(OURS.index[199]))
    return yahoo


def evening(session: pd.Timestamp) -> datetime:
    return datetime(session.year, session.month, session.day, 23, 0, tzinfo=UTC)


def update(workspace: Workspace, **options) -> FetchResult:
    return fetch(Session(workspace), ["MRK"], source=QUICK, **options)[0]


@pytest.mark.parametrize("first", [100, 195, 205])
def test_another_company_at_yahoo_needs_a_word(workspace, listed, first):
    """Its first session lies long before the last stored one, just before it, or after it."""
    update(workspace)
    listed.listings["MRK"] = Listing(OTHER[first:], exchange="PCX")
    listed.move_clock(evening(OURS.index[230]))
    error = refused(workspace, update(workspace), stored=OURS[:200])
    assert "exchange NYQ, now PCX" in str(error)
    assert ("first traded" in str(error)) == (first > 199)
    replaced = update(workspace, replace_others=True)
    assert (replaced.status, replaced.rows) == ("replaced", 231 - first)
    assert update(workspace).status == "up to date"


def test_a_new_currency_at_another_level_needs_a_word(workspace, listed):
    update(workspace)
    listed.listings["MRK"] = Listing(scaled(OURS, 1.35), currency="CAD", exchange="TOR")
    error = refused(workspace, update(workspace), stored=OURS[:200])
    assert "currency USD, now CAD" in str(error)


def test_a_new_unit_and_a_new_exchange_are_said(workspace, listed):
    listed.listings["MRK"].currency = "GBp"
    update(workspace)
    listed.listings["MRK"] = Listing(scaled(OURS, 0.01), currency="GBP", exchange="NMS")
    result = update(workspace)
    assert result.status == "restated"
    assert {"currency GBp, now GBP", "exchange NYQ, now NMS"} <= set(result.notes)
    assert workspace.bars.read("MRK")[1].currency == "GBP"


def test_the_word_changes_nothing_where_bars_join(workspace, listed):
    update(workspace)
    listed.move_clock(evening(OURS.index[205]))
    assert update(workspace, replace_others=True).status == "updated"
    listed.listings["MRK"].factor = 0.5
    assert update(workspace, replace_others=True).status == "restated"


def test_a_restated_history_that_lost_its_beginning_needs_a_word(workspace, listed):
    update(workspace)
    listed.listings["MRK"] = Listing(scaled(OURS[60:], 0.5))
    error = refused(workspace, update(workspace), stored=OURS[:200])
    assert "60 are no longer there" in str(error)
    assert update(workspace, replace_others=True).rows == 140


def test_a_corrected_history_that_lost_its_beginning_keeps_the_stored_one(workspace, listed):
    update(workspace)
    corrected = OURS[60:].copy()
    corrected.loc[OURS.index[195], PRICES] *= 1.02
    listed.listings["MRK"] = Listing(corrected)
    result = update(workspace)
    assert (result.status, result.rows) == ("restated", 200)
    assert any("60; they stay" in note for note in result.notes)
    closes = workspace.bars.read("MRK")[0]["close"]
    assert closes[OURS.index[195]] == pytest.approx(corrected["close"][OURS.index[195]])


def test_the_command_keeps_the_bars_and_its_hint_replaces_them(lstm, empty, yahoo):
    yahoo.listings["M&M"] = Listing(OURS)
    yahoo.move_clock(evening(OURS.index[199]))
    assert lstm("fetch", "M&M").code == 0
    yahoo.listings["M&M"] = Listing(OTHER[205:])
    yahoo.move_clock(evening(OURS.index[239]))
    answer = lstm("fetch", "M&M")
    assert (answer.code, answer.err.count("error:")) == (6, 1)
    (line,) = hinted(answer)
    assert line == "lstm fetch 'M&M' --replace"
    answer = lstm("fetch", "M&M", "--replace", "--json")
    (told,) = json.loads(answer.out)["tickers"]
    assert (answer.code, told["status"], told["rows"]) == (0, "replaced", 35)


# --- files


def test_another_company_in_a_file_needs_a_word(workspace):
    from_file(workspace, OURS)
    refused(workspace, from_file(workspace, OTHER), stored=OURS)
    assert from_file(workspace, OTHER, replace_others=True).status == "replaced"
    assert workspace.bars.read("MRK")[0]["close"].iloc[0] == OTHER["close"].iloc[0]


def test_a_file_without_a_common_session_needs_a_word(workspace):
    from_file(workspace, OURS[:100])
    error = refused(workspace, from_file(workspace, OURS[120:]), stored=OURS[:100])
    assert "no session in both" in str(error)


@pytest.mark.parametrize("kept", [slice(180, 240), slice(0, 100), slice(50, 90)])
def test_a_shorter_file_loses_nothing(workspace, kept):
    from_file(workspace, OURS[:220])
    result = from_file(workspace, OURS[kept])
    assert result.status in ("updated", "up to date")
    assert any("they stay stored" in note for note in result.notes)
    bars = workspace.bars.read("MRK")[0]
    last = max(220, kept.stop)
    assert bars["close"].to_numpy() == pytest.approx(OURS["close"].to_numpy()[:last])


def test_a_shorter_file_on_another_scale_needs_a_word(workspace):
    from_file(workspace, OURS)
    error = refused(workspace, from_file(workspace, scaled(OURS[100:], 0.5)), stored=OURS)
    assert "100 are no longer there" in str(error)


def test_another_source_whose_bars_join_replaces_and_says_so(workspace, listed):
    from_file(workspace, OURS[150:200].round(2))
    result = update(workspace)
    assert (result.status, result.rows) == ("restated", 200)
    assert "replaced bars from csv" in result.notes
    assert workspace.bars.read("MRK")[1].source["name"] == "yahoo"


def test_another_source_whose_bars_do_not_join_needs_a_word(workspace, listed):
    from_file(workspace, OTHER[:200])
    error = refused(workspace, update(workspace), stored=OTHER[:200])
    assert "the bars of yahoo" in str(error)
    assert workspace.bars.read("MRK")[1].source["name"] == "csv"


def test_a_replacement_forgets_calendar_and_jumps_of_the_other_company(workspace, listed):
    update(workspace, calendar="weekdays", allow_jumps=[OURS.index[5].date()])
    listed.listings["MRK"] = Listing(OTHER[205:])
    listed.move_clock(evening(OURS.index[230]))
    update(workspace, replace_others=True)
    meta = workspace.bars.read("MRK")[1]
    assert (meta.calendar, meta.allowed_jumps) == ("XNYS", ())
