"""What Yahoo states of dividends and splits, against its prices; from a Yahoo on loopback."""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from yahoo_server import YahooServer, traded

from lstmcli.errors import DataError
from lstmcli.frames import log_returns
from lstmcli.pipeline.fetch import fetch
from lstmcli.pipeline.session import Session
from lstmcli.pipeline.update import FetchResult
from lstmcli.sources import YahooSource
from lstmcli.store import Workspace

QUICK = YahooSource(pause=0, timeout=5)
FRIDAY = datetime(2024, 3, 8, 23, 0, tzinfo=UTC)
LATER = datetime(2024, 3, 13, 23, 0, tzinfo=UTC)
PRICES = ["open", "high", "low", "close"]
LONDON = {
    "zone": "Europe/London",
    "open": "08:00",
    "close": "16:30",
    "exchange": "LSE",
    "currency": "GBp",
}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "data")


def prices(count: int = 300, **change: Any) -> pd.DataFrame:
    """Return bars on days that are sessions in New York and, but for holidays, in London."""
    bars = traded("2023-01-03", count, **change)
    return bars[~bars.index.isin(["2023-05-01", "2023-05-08", "2023-08-28"])]


def london(count: int = 300) -> pd.DataFrame:
    """Return bars of a share in pence on the sessions of London."""
    from lstmcli.sessions import sessions_between

    bars = traded("2023-01-03", count, price=800.0)
    days = sessions_between(
        "XLON",
        pd.Timestamp("2023-01-03"),
        pd.Timestamp("2024-06-28"),
        observed=pd.DatetimeIndex([]),
    )
    return bars.set_axis(days[: len(bars)])


def rows(bars: pd.DataFrame, adjusted: pd.Series | None = None) -> list[list[Any]]:
    table = bars[[*PRICES, "volume"]].astype(object)
    if adjusted is not None:
        table["adjusted"] = adjusted
    return [[f"{day:%Y-%m-%d}", *values] for day, *values in table.itertuples()]


def pay(bars: pd.DataFrame, dividends: dict[str, float]) -> pd.DataFrame:
    """Return prices that fall by the dividends."""
    bars = bars.copy()
    for day, amount in dividends.items():
        before = bars["close"].shift()[day]
        bars.loc[day:, PRICES] *= 1 - amount / before
    return bars


def serve(yahoo: YahooServer, symbol: str, **facts: Any) -> None:
    yahoo.serve_raw({symbol: facts})


def get(workspace: Workspace, ticker: str, **more: Any) -> FetchResult:
    return fetch(Session(workspace), [ticker], source=QUICK, **more)[-1]


def stored(workspace: Workspace, ticker: str) -> pd.DataFrame:
    return workspace.bars.read(ticker)[0]


PAID = {"2023-03-09": 12.0, "2023-06-08": 12.0, "2023-09-07": 12.0, "2023-12-07": 12.0}


@pytest.mark.parametrize(
    ("currency", "times"), [("GBP", 0.01), ("GBp", 1.0), ("USD", None)], ids=["GBP", "GBp", "USD"]
)
def test_dividends_in_another_currency_are_converted_or_left_out(workspace, yahoo, currency, times):
    yahoo.move_clock(FRIDAY)
    amounts = {day: amount * (times or 0.012) for day, amount in PAID.items()}
    serve(yahoo, "SIM.L", rows=rows(pay(london(), PAID)), dividends=amounts, divcur=currency)
    yahoo.raw["SIM.L"].update(LONDON)
    result = get(workspace, "SIM.L")
    assert result.error is None
    dividend = stored(workspace, "SIM.L")["dividend"]
    found = dividend[dividend > 0]
    if times is None:
        assert found.empty
        assert "USD" in " ".join(result.notes)
    else:
        assert list(found) == pytest.approx(list(PAID.values()))
        assert any("GBP" in note for note in result.notes) == (currency == "GBP")


def test_an_update_in_pounds_joins_what_a_full_fetch_gives(workspace, yahoo, tmp_path):
    """One dividend among ten sessions tells no unit: the whole history is asked for."""
    paid = PAID | {"2024-03-11": 12.0}
    facts = {
        "rows": rows(pay(london(320), paid)),
        "dividends": {day: amount / 100 for day, amount in paid.items()},
        **LONDON,
    }
    yahoo.move_clock(FRIDAY)
    serve(yahoo, "SIM.L", **facts)
    assert get(workspace, "SIM.L").status == "new"
    yahoo.move_clock(LATER)
    yahoo.requests.clear()
    result = get(workspace, "SIM.L")
    assert (result.status, result.added) == ("updated", 3)
    assert len(yahoo.charts("SIM.L")) == 2
    other = Workspace(tmp_path / "other")
    get(other, "SIM.L")
    pd.testing.assert_frame_equal(stored(workspace, "SIM.L"), stored(other, "SIM.L"))
    assert stored(workspace, "SIM.L").at[pd.Timestamp("2024-03-11"), "dividend"] == 12.0


def test_a_dividend_that_the_adjusted_close_confirms_needs_no_second_request(workspace, yahoo):
    paid = {"2024-03-11": 0.9}
    yahoo.move_clock(FRIDAY)
    serve(yahoo, "SIM", rows=rows(pay(prices(320), paid)), dividends=paid)
    get(workspace, "SIM")
    yahoo.move_clock(LATER)
    yahoo.requests.clear()
    assert get(workspace, "SIM").status == "updated"
    assert len(yahoo.charts("SIM")) == 1
    assert stored(workspace, "SIM")["dividend"].sum() == pytest.approx(0.9)


@pytest.mark.parametrize("ratio", [190.0, 1.5])
def test_a_reverse_split_left_in_is_adjusted_and_updates_join(workspace, yahoo, tmp_path, ratio):
    bars = prices(320)
    raw = bars.copy()
    raw.loc[:"2024-02-15", PRICES] /= ratio
    raw.loc[:"2024-02-15", "volume"] *= ratio
    serve(yahoo, "SIM", rows=rows(raw), splits={"2024-02-16": [1.0, ratio]})
    yahoo.move_clock(FRIDAY)
    result = get(workspace, "SIM")
    assert "split of 1 :" in " ".join(result.notes)
    yahoo.move_clock(LATER)
    assert get(workspace, "SIM").added == 3
    found = stored(workspace, "SIM")
    np.testing.assert_allclose(found[PRICES], bars.loc[: found.index[-1], PRICES])
    other = Workspace(tmp_path / "other")
    get(other, "SIM")
    pd.testing.assert_frame_equal(found, stored(other, "SIM"))


@pytest.mark.parametrize("inside", [True, False])
def test_a_capital_gain_is_counted_once(workspace, yahoo, inside):
    day = "2023-12-07"
    bars = pay(prices(), {day: 8.0})
    yahoo.move_clock(FRIDAY)
    serve(
        yahoo,
        "SIMX",
        rows=rows(bars, bars["close"]),
        type="MUTUALFUND",
        dividends={day: 8.0 if inside else 2.0},
        gains={day: 6.0},
    )
    get(workspace, "SIMX")
    found = stored(workspace, "SIMX")
    assert found.at[pd.Timestamp(day), "dividend"] == pytest.approx(8.0)
    assert abs(log_returns(found)[day]) < 0.05


def test_an_old_row_without_an_open_is_a_hole(workspace, yahoo, caplog):
    content = rows(prices())
    day = content[50][0]
    content[50][1] = None
    yahoo.move_clock(FRIDAY)
    serve(yahoo, "SIM", rows=content)
    with caplog.at_level(logging.WARNING):
        result = get(workspace, "SIM")
    assert result.error is None
    assert day in caplog.text
    assert pd.Timestamp(day) not in stored(workspace, "SIM").index


def test_a_recent_row_without_an_open_is_refused_and_the_stored_bars_stay(workspace, yahoo):
    content = rows(prices(320))
    yahoo.move_clock(FRIDAY)
    serve(yahoo, "SIM", rows=content)
    get(workspace, "SIM")
    before = stored(workspace, "SIM")
    [place] = [at for at, row in enumerate(content) if row[0] == "2024-03-12"]
    content[place][1] = None
    yahoo.move_clock(LATER)
    error = get(workspace, "SIM").error
    assert isinstance(error, DataError)
    assert "2024-03-12" in str(error)
    pd.testing.assert_frame_equal(stored(workspace, "SIM"), before)
    content[place][1] = content[place][4]
    assert get(workspace, "SIM").added == 3


def test_negative_prices_name_a_start_that_works(workspace, yahoo):
    bars = prices()
    bad = bars.index[[100, 101]]
    bars.loc[bad, ["low", "close"]] = -5.0
    start = bars.index[102].date()
    yahoo.move_clock(FRIDAY)
    serve(yahoo, "CL=F", rows=rows(bars), type="FUTURE")
    error = get(workspace, "CL=F").error
    assert isinstance(error, DataError)
    assert f"--start {start}" in (error.hint or "")
    assert get(workspace, "CL=F", start=start).first == pd.Timestamp(start)


def test_a_start_leaves_out_a_fault_even_where_a_dividend_is_in_doubt(workspace, yahoo):
    """The history before the start would be asked for, as evidence, and is at fault."""
    bars = prices()
    bars.loc[bars.index[[20]], ["low", "close"]] = -5.0
    yahoo.move_clock(FRIDAY)
    serve(
        yahoo,
        "SIM",
        rows=rows(bars, bars["close"]),
        dividends={"2023-12-07": 0.5},
    )
    result = get(workspace, "SIM", start=date(2023, 6, 1))
    assert result.error is None
    assert stored(workspace, "SIM")["dividend"].sum() == 0.5
