"""Random bars, written in the layout of each site or library, are read back as they were."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from simulate import simulate_bars

from lstmcli.frames import log_returns
from lstmcli.sources import CsvSource

RATIOS = (2.0, 3.0, 1.5, 1.25, 0.1)
"""New shares for one old."""

PRICES = ["open", "high", "low", "close"]


@dataclass(frozen=True)
class Truth:
    """What happened to one share: split-adjusted bars with dividends, as they are stored."""

    bars: pd.DataFrame

    @property
    def later_splits(self) -> pd.Series:
        """How many shares of today one share of each session has become."""
        splits = self.bars["split"].replace(0.0, 1.0)
        return splits[::-1].cumprod().shift(fill_value=1.0)[::-1]

    @property
    def traded(self) -> pd.DataFrame:
        """The bars as they were traded and paid, without any adjustment."""
        ratio = self.later_splits
        bars = self.bars.copy()
        for name in (*PRICES, "dividend"):
            bars[name] = (bars[name] * ratio).round(6)
        return bars.assign(volume=(bars["volume"] / ratio).round())

    @property
    def adjusted(self) -> pd.Series:
        """The close, adjusted for dividends too, so that the last one is the close."""
        returns = log_returns(self.bars).fillna(0.0)
        level = returns.cumsum() - returns.sum()
        return self.bars["close"].iloc[-1] * np.exp(level)


@lru_cache(maxsize=1)
def _long_walk() -> pd.DataFrame:
    return simulate_bars(4000, sigma=0.008, last="2024-03-08")


@st.composite
def truths(draw: st.DrawFn) -> Truth:
    """Draw 40 to 90 sessions with up to three dividends and a split."""
    sessions, first = draw(st.integers(40, 90)), draw(st.integers(0, 3900))
    bars = _long_walk().iloc[first : first + sessions].copy()
    bars.index = pd.DatetimeIndex(bars.index, freq=None)
    level = pd.Series(draw(st.floats(20.0, 1500.0)) / bars["close"].iloc[0], bars.index)
    paid = draw(st.dictionaries(st.integers(1, sessions - 1), st.floats(0.005, 0.03), max_size=3))
    for row, share in paid.items():
        level.iloc[row:] *= 1 - share  # the price falls by the dividend
    bars[PRICES] = bars[PRICES].mul(level, axis=0).round(2)
    bars["volume"] = (bars["volume"] / 60).round() * 60  # whole shares before each split too
    for row, share in paid.items():
        bars.loc[bars.index[row], "dividend"] = round(bars["close"].iloc[row - 1] * share, 2)
    if draw(st.booleans()):
        split_on = draw(st.integers(1, sessions - 1))
        bars.loc[bars.index[split_on], "split"] = draw(st.sampled_from(RATIOS))
    return Truth(bars)


# Writers, each in the manner of one site or library. Those of prices alone leave the
# dividends out: the prices are split-adjusted, as the sites publish them.


def _csv(table: pd.DataFrame, **options: object) -> bytes:
    return table.to_csv(**{"index": False, "lineterminator": "\n", **options}).encode()  # type: ignore[call-overload]


def _dates(bars: pd.DataFrame, pattern: str) -> list[str]:
    return [session.strftime(pattern) for session in bars.index]


def _epochs(bars: pd.DataFrame, unit: str, *, hour: float, zone: str) -> list[int]:
    opens = bars.index.tz_localize(zone) + pd.Timedelta(hour, "h")
    return list(opens.tz_convert("UTC").as_unit(unit).asi8)


def _named(bars: pd.DataFrame, *names: str, date: str, pattern: str = "%Y-%m-%d") -> pd.DataFrame:
    """Return the dates and the columns of bars, lower case, under names that stand for them."""
    table = pd.DataFrame({date: _dates(bars, pattern)})
    for name in names:
        table[name] = bars[name.lower()].to_numpy()
    return table


def yahoo_csv(truth: Truth) -> bytes:
    table = _named(truth.bars, "Open", "High", "Low", "Close", date="Date")
    table["Adj Close"] = truth.adjusted.round(6).to_numpy()
    table["Volume"] = truth.bars["volume"].astype(int).to_numpy()
    return _csv(table)


def yfinance_download(truth: Truth) -> bytes:
    bars = truth.bars.assign(adjusted=truth.adjusted)
    order = ["adjusted", "close", "high", "low", "open", "volume"]
    names = ["Adj Close", "Close", "High", "Low", "Open", "Volume"]
    heads = ["Price," + ",".join(names), "Ticker" + ",SIMA" * 6, "Date" + "," * 6]
    rows = bars[order].to_csv(header=False, date_format="%Y-%m-%d", lineterminator="\n")
    return ("\n".join(heads) + "\n" + rows).encode()


def yfinance_grouped(truth: Truth) -> bytes:
    bars = truth.bars.assign(adjusted=truth.adjusted)
    order = ["open", "high", "low", "close", "adjusted", "volume"]
    names = ["Open", "High", "Low", "Close", "Adj Close", "Volume"]
    heads = [",".join(["Ticker", *["SIMA"] * 6, *["SIMB"] * 6]), ",".join(["Price", *names * 2])]
    both = pd.concat([bars[order], bars[order] * 2], axis=1)
    rows = both.to_csv(header=False, date_format="%Y-%m-%d", lineterminator="\n")
    return ("\n".join([*heads, "Date" + "," * 12]) + "\n" + rows).encode()


def yfinance_reset_index(truth: Truth) -> bytes:
    head, rows = yahoo_csv(truth).split(b"\n", 1)
    return head + b"\n" + b",SIMA" * 6 + b"\n" + rows


def yfinance_history(truth: Truth) -> bytes:
    names = ["Open", "High", "Low", "Close"]
    table = _named(truth.bars, *names, date="Date")
    table["Date"] = [f"{s.tz_localize('America/New_York')}" for s in truth.bars.index]
    table["Adj Close"] = truth.adjusted.to_numpy()
    for name, column in (
        ("Volume", "volume"),
        ("Dividends", "dividend"),
        ("Stock Splits", "split"),
    ):
        table[name] = truth.bars[column].to_numpy()
    return _csv(table)


def yfinance_parquet(truth: Truth) -> bytes:
    names = {"open": "Open", "high": "High", "low": "Low", "close": "Close", "volume": "Volume"}
    table = truth.bars[list(names)].rename(columns=names).assign(**{"Adj Close": truth.adjusted})
    table.columns = pd.MultiIndex.from_product([table.columns, ["SIMA"]], names=["Price", "Ticker"])
    stream = io.BytesIO()
    table.rename_axis("Date").to_parquet(stream)
    return stream.getvalue()


def excel_german(truth: Truth) -> bytes:
    table = _named(truth.bars, "Open", "High", "Low", "Close", date="Date", pattern="%d.%m.%Y")
    table["Adj Close"] = truth.adjusted.round(6).to_numpy()
    table["Volume"] = truth.bars["volume"].astype(int).to_numpy()
    return _csv(table, sep=";", decimal=",")


def excel_utf16(truth: Truth) -> bytes:
    return yahoo_csv(truth).decode().replace(",", "\t").encode("utf-16")


def alpha_vantage(truth: Truth) -> bytes:
    traded = truth.traded
    table = _named(traded, *PRICES, date="timestamp")
    table["adjusted_close"] = truth.adjusted.to_numpy()
    table["volume"] = traded["volume"].to_numpy()
    table["dividend_amount"] = traded["dividend"].to_numpy()
    table["split_coefficient"] = traded["split"].replace(0.0, 1.0).to_numpy()
    return _csv(table[::-1])


def alpha_vantage_numbered(truth: Truth) -> bytes:
    table = _named(truth.bars, *PRICES, "volume", date="timestamp")
    names = {name: f"{n}. {name}" for n, name in enumerate((*PRICES, "volume"), 1)}
    return _csv(table.rename(columns=names)[::-1])


def tiingo(truth: Truth) -> bytes:
    traded, factor = truth.traded, (truth.adjusted / truth.traded["close"]).to_numpy()
    table = _named(traded, "close", "high", "low", "open", "volume", date="date")
    table["date"] += " 00:00:00+00:00"
    for name in ("close", "high", "low", "open"):
        table[f"adj{name.title()}"] = traded[name].to_numpy() * factor
    table["adjVolume"] = truth.bars["volume"].to_numpy()
    table["divCash"] = traded["dividend"].to_numpy()
    table["splitFactor"] = traded["split"].replace(0.0, 1.0).to_numpy()
    return _csv(table)


def quandl_wiki(truth: Truth) -> bytes:
    traded, factor = truth.traded, (truth.adjusted / truth.traded["close"]).to_numpy()
    table = _named(traded, "Open", "High", "Low", "Close", "Volume", date="Date")
    table["Ex-Dividend"] = traded["dividend"].to_numpy()
    table["Split Ratio"] = traded["split"].replace(0.0, 1.0).to_numpy()
    for name in ("Open", "High", "Low", "Close"):
        table[f"Adj. {name}"] = table[name] * factor
    table["Adj. Volume"] = truth.bars["volume"].to_numpy()
    return _csv(table[::-1])


def quandl_nse(truth: Truth) -> bytes:
    table = _named(truth.bars, "Open", "High", "Low", date="Date")
    table["Last"] = table["Close"] = truth.bars["close"].to_numpy()
    table["Total Trade Quantity"] = truth.bars["volume"].to_numpy()
    table["Turnover (Lacs)"] = (table["Close"] * table["Total Trade Quantity"] / 1e5).round(2)
    return _csv(table[::-1])


def nse_archive(truth: Truth) -> bytes:
    table = _named(truth.bars, "Open", "High", "Low", "Close", "Volume", date="Date")
    table.insert(1, "Symbol", "SIMA")
    table.insert(2, "Series", "EQ")
    table.insert(3, "Prev Close", table["Close"].shift().bfill())
    table["VWAP"] = table["Close"]
    table["Trades"] = ""
    return _csv(table)


def nse_site(truth: Truth) -> bytes:
    lines = ['"Date ","series ","OPEN ","HIGH ","LOW ","PREV. CLOSE ","ltp ","close ","VOLUME "']
    before = truth.bars["close"].shift().bfill()
    for session, row in truth.bars[::-1].iterrows():
        prices = (row["open"], row["high"], row["low"], before[session], row["close"], row["close"])
        cells = (f"{session:%d-%b-%Y}", "EQ", *(f"{price:,.2f}" for price in prices))
        lines.append(",".join(f'"{cell}"' for cell in (*cells, f"{row['volume']:,.0f}")))
    return ("\n".join(lines) + "\n").encode()


def stooq(truth: Truth) -> bytes:
    table = _named(truth.bars, *PRICES, "volume", date="<DATE>", pattern="%Y%m%d")
    table.columns = [f"<{name.strip('<>').upper()}>" for name in table.columns]
    table = table.rename(columns={"<VOLUME>": "<VOL>"})
    table.insert(0, "<TICKER>", "SIMA.US")
    table.insert(1, "<PER>", "D")
    table.insert(3, "<TIME>", "000000")
    return _csv(table.assign(**{"<OPENINT>": 0}))


def investing_com(truth: Truth) -> bytes:
    lines = ['"Date","Price","Open","High","Low","Vol.","Change %"']
    change = truth.bars["close"].pct_change().fillna(0.0) * 100
    for session, row in truth.bars[::-1].iterrows():
        prices = (f"{row[name]:,.2f}" for name in ("close", "open", "high", "low"))
        volume = f"{row['volume'] / 1e6:.2f}M" if row["volume"] >= 1e6 else ""
        volume = volume or f"{row['volume'] / 1e3:.2f}K"
        cells = (f"{session:%m/%d/%Y}", *prices, volume, f"{change[session]:.2f}%")
        lines.append(",".join(f'"{cell}"' for cell in cells))
    return ("\ufeff" + "\n".join(lines) + "\n").encode()


def nasdaq_com(truth: Truth) -> bytes:
    bars = truth.bars
    table = pd.DataFrame({"Date": _dates(bars, "%m/%d/%Y")})
    table["Close/Last"] = [f"${price}" for price in bars["close"]]
    table["Volume"] = bars["volume"].astype(int).to_numpy()
    for name in ("Open", "High", "Low"):
        table[name] = [f"${price}" for price in bars[name.lower()]]
    return _csv(table[::-1])


def wsj(truth: Truth) -> bytes:
    table = _named(
        truth.bars, "Open", "High", "Low", "Close", "Volume", date="Date", pattern="%m/%d/%y"
    )
    table["Volume"] = table["Volume"].astype(int)
    return _csv(table[::-1]).replace(b",", b", ")


def google_sheets(truth: Truth) -> bytes:
    table = _named(truth.bars, "Open", "High", "Low", "Close", "Volume", date="Date")
    table["Date"] = [f"{s.month}/{s.day}/{s.year} 16:00:00" for s in truth.bars.index]
    return _csv(table)


def tradingview(truth: Truth) -> bytes:
    table = _named(truth.bars, *PRICES, "Volume", date="time")
    table["time"] = _epochs(truth.bars, "s", hour=9.5, zone="America/New_York")
    return _csv(table)


def polygon(truth: Truth) -> bytes:
    table = _named(truth.bars, "volume", "open", "close", "high", "low", date="t")
    table.columns = ["t", "v", "o", "c", "h", "l"]
    table["t"] = _epochs(truth.bars, "ms", hour=0, zone="America/New_York")
    table["vw"], table["n"] = table["c"], 1000
    return _csv(table[["v", "vw", "o", "c", "h", "l", "t", "n"]], index=True)


def binance(truth: Truth) -> bytes:
    bars = truth.bars
    table = _named(bars, *PRICES, "volume", date="time")
    table["time"] = _epochs(bars, "ms", hour=0, zone="UTC")
    table["closes"] = table["time"] + 86_399_999
    table["money"] = (table["volume"] * table["close"]).round(2)
    table["trades"] = 1234
    table["bought"], table["paid"] = table["volume"] / 2, table["money"] / 2
    return _csv(table.assign(ignored=0), header=False)


def kaggle(truth: Truth) -> bytes:
    return _csv(_named(truth.bars, *PRICES, "volume", date="date").assign(Name="SIMA"))


def tushare(truth: Truth) -> bytes:
    table = _named(truth.bars, *PRICES, date="trade_date", pattern="%Y%m%d")
    table.insert(0, "ts_code", "SIMA")
    table["pre_close"] = table["close"].shift().bfill()
    table["change"] = (table["close"] - table["pre_close"]).round(2)
    table["pct_chg"] = (100 * table["change"] / table["pre_close"]).round(4)
    table["vol"] = truth.bars["volume"].to_numpy() / 100
    table["amount"] = (table["vol"] * table["close"] / 10).round(3)
    return _csv(table[::-1])


def ibkr(truth: Truth) -> bytes:
    table = _named(truth.bars, *PRICES, "volume", date="date")
    return _csv(table.assign(average=table["close"], barCount=100), index=True)


@dataclass(frozen=True)
class Layout:
    """How to write a layout, and what it tells besides prices."""

    write: Callable[[Truth], bytes]
    dividends: bool = True
    volume: float | None = 1e-9  # the relative error; None: in a unit that the file does not state
    ending: str = ".csv"


PRICES_ALONE = (
    stooq,
    nasdaq_com,
    wsj,
    google_sheets,
    tradingview,
    polygon,
    binance,
    alpha_vantage_numbered,
    quandl_nse,
    nse_archive,
    nse_site,
    kaggle,
    ibkr,
)
LAYOUTS = (
    Layout(yahoo_csv),
    Layout(yfinance_download),
    Layout(yfinance_grouped),
    Layout(yfinance_reset_index),
    Layout(yfinance_history),
    Layout(yfinance_parquet, ending=".parquet"),
    Layout(excel_german),
    Layout(excel_utf16),
    Layout(alpha_vantage),
    Layout(tiingo),
    Layout(quandl_wiki),
    Layout(investing_com, dividends=False, volume=0.006),
    Layout(tushare, dividends=False, volume=None),
    *(Layout(write, dividends=False) for write in PRICES_ALONE),
)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.write.__name__)
@given(truth=truths())
@settings(max_examples=12, deadline=None, phases=set(Phase) - {Phase.explain})
def test_bars_are_read_back_from_every_layout(layout: Layout, truth: Truth) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "SIMA" + layout.ending)
        file.write_bytes(layout.write(truth))
        found = CsvSource(file=file).bars("SIMA", cache=Path(folder)).bars
    bars = truth.bars if layout.dividends else truth.bars.assign(dividend=0.0)
    assert list(found.index) == list(bars.index)
    assert_allclose(found[PRICES], bars[PRICES], rtol=1e-9)
    if layout.volume is not None:
        assert_allclose(found["volume"], bars["volume"], rtol=layout.volume)
    # Adjusted closes have six decimals, and begin at 15 or more.
    assert_allclose(found["dividend"], bars["dividend"], atol=1e-4 * bars["close"].max())
    total, found_total = log_returns(bars).sum(), log_returns(found).sum()
    assert found_total == pytest.approx(total, abs=1e-5)
