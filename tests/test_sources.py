"""Every source keeps one contract; the CSV reader and the validation keep more."""

from __future__ import annotations

import gzip
import logging
from datetime import date
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import TypeAdapter, ValidationError
from yahoo_server import Listing, traded

import lstmcli.sources
from lstmcli.errors import DataError, LstmError, NoDataError
from lstmcli.frames import BAR_COLUMNS, check_bars
from lstmcli.sessions import check_calendar
from lstmcli.sources import (
    SOURCES,
    AnySource,
    CsvSource,
    Delivery,
    SampleSource,
    SourceConfig,
    YahooSource,
    calendar_for,
    check_series,
)
from lstmcli.sources.checks.jumps import unadjusted_split
from lstmcli.sources.exchanges import EXCHANGES, SUFFIXES

YAHOO_HEADER = "Date,Open,High,Low,Close,Adj Close,Volume\n"


def lines(bars: pd.DataFrame) -> list[str]:
    return [
        f"{day:%Y-%m-%d},{row.open},{row.high},{row.low},{row.close},{row.close},{row.volume:.0f}"
        for day, row in bars.iterrows()
    ]


def write(folder: Path, rows: list[str], *, header: str = YAHOO_HEADER) -> Path:
    path = folder / "MRK.csv"
    path.write_text(header + "\n".join(rows) + "\n")
    return path


def read(path: Path, ticker: str = "MRK", **options: object) -> Delivery:
    return CsvSource(file=path).bars(ticker, cache=path.parent, **options)


# --- the contract of every source


HERE = ("csv", "sample", "yahoo")


@pytest.fixture(params=HERE)
def source(request, tmp_path):
    """Return every source with a ticker that it has."""
    if request.param == "csv":
        return CsvSource(file=write(tmp_path, lines(traded("2023-01-03", 200)))), "MRK"
    if request.param == "sample":
        return SampleSource(), "^GSPC"
    yahoo = request.getfixturevalue("yahoo")
    yahoo.listings["MRK"] = Listing(traded("2023-01-03", 200))
    return YahooSource(pause=0), "MRK"


def test_every_source_of_the_room_is_in_the_union_and_here():
    room = Path(lstmcli.sources.__file__).parent
    modules = [import_module(f"lstmcli.sources.{path.stem}") for path in room.glob("[!_]*.py")]
    found = {
        member.model_fields["name"].default: module.__name__.rpartition(".")[2]
        for module in modules
        for member in vars(module).values()
        if isinstance(member, type)
        and issubclass(member, SourceConfig)
        and member.__module__ == module.__name__
        and member is not SourceConfig
    }
    assert found == {name: name for name in SOURCES}
    assert set(SOURCES) == set(HERE), "the fixture `source` must make each, for the contract tests"


def test_a_source_delivers_sound_bars(source, tmp_path):
    config, ticker = source
    bars = config.bars(ticker, cache=tmp_path).bars
    check_bars(bars, ticker)
    check_series(bars, ticker, calendar="XNYS")
    assert len(bars) >= 200
    assert tuple(bars.columns) == BAR_COLUMNS
    assert {str(dtype) for dtype in bars.dtypes} == {"float64"}
    assert bars.index.name == "session"
    assert bars.index.dtype == "datetime64[ns]"


def test_a_source_starts_where_it_is_asked_to(source, tmp_path):
    config, ticker = source
    everything = config.bars(ticker, cache=tmp_path).bars
    start = everything.index[50]
    part = config.bars(ticker, start.date(), cache=tmp_path).bars
    pd.testing.assert_frame_equal(part, everything.loc[start:], check_freq=False)


def test_a_source_does_not_know_every_ticker(source, tmp_path):
    config, _ = source
    if config.name == "csv":
        header = "Ticker," + YAHOO_HEADER
        rows = [f"MRK,{line}" for line in lines(traded("2023-01-03", 20))]
        config = CsvSource(file=write(tmp_path, rows, header=header))
    with pytest.raises(NoDataError) as caught:
        config.bars("NOSUCH", cache=tmp_path)
    assert caught.value.hint


def test_a_source_survives_the_way_through_json(source):
    config, _ = source
    stated = config.model_dump(mode="json")
    assert TypeAdapter(AnySource).validate_python(stated) == config


def test_an_unknown_setting_of_a_source_is_refused():
    with pytest.raises(ValidationError):
        TypeAdapter(AnySource).validate_python({"name": "yahoo", "tmeout": 3})


SAMPLES = {
    "^GSPC": ("S&P 500 1999-01-04 to 2018-12-31, ships with arch", 5031, 2506.85),
    "GOOG": ("GOOG 2004-08-19 to 2008-10-14, ships with matplotlib", 1047, 362.71),
}


@pytest.mark.parametrize("ticker", SampleSource().tickers())
def test_a_sample_says_what_it_is(ticker, tmp_path):
    delivery = SampleSource().bars(ticker, cache=tmp_path)
    words, rows, last = SAMPLES[ticker]
    assert delivery.label == f"sample data: {words}"
    assert len(delivery.bars) == rows
    assert delivery.bars["close"].iloc[-1] == pytest.approx(last, abs=0.005)
    first, last = delivery.bars.index[[0, -1]]
    assert f"{first:%Y-%m-%d} to {last:%Y-%m-%d}" in delivery.label


# --- the calendar of a ticker


@pytest.mark.parametrize(
    ("ticker", "exchange", "calendar"),
    [
        ("MRK", "NYQ", "XNYS"),
        ("MRK", None, "XNYS"),
        ("BRK-B", None, "XNYS"),
        ("^GSPC", "SNP", "XNYS"),
        ("^VIX", "WCB", "XNYS"),
        ("^VIX", "CGI", "XNYS"),
        ("^VIX", None, "XNYS"),
        ("REL.L", None, "XLON"),
        ("7203.T", "JPX", "XTKS"),
        ("1398.HK", None, "XHKG"),
        ("KEN.TA", "TLV", "XTAE"),
        ("SAP.DE", None, "XETR"),
        ("2330.TW", None, "XTAI"),
        ("6488.TWO", None, "XTAI"),
        ("BTC-USD", "CCC", "24/7"),
        ("BTC-USD", None, "24/7"),
        ("EURUSD=X", None, "weekdays"),
        ("CL=F", "NYM", "weekdays"),
        ("<script>", None, "XNYS"),
        ("ODD", "ZZZ", "weekdays"),  # an exchange that nobody placed
    ],
)
def test_the_calendar_follows_from_exchange_or_suffix(ticker, exchange, calendar):
    assert calendar_for(ticker, exchange) == calendar


def test_every_calendar_of_the_tables_exists():
    for name in {*EXCHANGES, *SUFFIXES}:
        check_calendar(name)


# --- CSV: layouts

BARS = traded("2024-01-02", 40)


def as_yahoo(bars: pd.DataFrame) -> str:
    return YAHOO_HEADER + "\n".join(lines(bars))


def as_yfinance(bars: pd.DataFrame) -> str:
    table = bars.assign(a=bars["close"], dividends=0.0, splits=0.0).reset_index()
    table = table[["index", "open", "high", "low", "close", "a", "volume", "dividends", "splits"]]
    table.columns = [*YAHOO_HEADER.strip().split(","), "Dividends", "Stock Splits"]
    table["Date"] = table["Date"].dt.strftime("%Y-%m-%d 00:00:00-05:00")
    return table.to_csv(index=False)


def as_stooq_long(bars: pd.DataFrame) -> str:
    head = "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>"
    rows = [
        f"MRK.US,D,{day:%Y%m%d},000000,{r.open},{r.high},{r.low},{r.close},{r.volume:.0f},0"
        for day, r in bars.iterrows()
    ]
    return "\n".join([head, *rows])


def as_stooq_short(bars: pd.DataFrame) -> str:
    table = bars.rename_axis("Date").rename(columns=str.capitalize)
    return table.to_csv()


def as_lower_case(bars: pd.DataFrame) -> str:
    return bars.rename_axis("date").assign(adj_close=bars["close"]).to_csv()


def as_dos(bars: pd.DataFrame) -> str:
    return "\ufeff" + as_yahoo(bars).replace("\n", "\r\n") + "\r\n\r\n"


LAYOUTS = [as_yahoo, as_yfinance, as_stooq_long, as_stooq_short, as_lower_case, as_dos]


@pytest.mark.parametrize("order", ["ascending", "descending"])
@pytest.mark.parametrize("packed", ["plain", "gz"])
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_every_layout_gives_the_same_bars(tmp_path, layout, order, packed):
    content = layout(BARS if order == "ascending" else BARS[::-1]).encode()
    path = tmp_path / ("MRK.csv" if packed == "plain" else "MRK.csv.gz")
    path.write_bytes(content if packed == "plain" else gzip.compress(content))
    bars = read(path).bars
    expected = BARS.assign(dividend=0.0, split=0.0)
    np.testing.assert_allclose(bars.to_numpy(), expected.to_numpy())
    assert list(bars.index) == list(expected.index)


def test_a_file_with_several_tickers_keeps_them_apart(tmp_path):
    other = traded("2024-01-02", 40, seed=1, price=50)
    mixed = [
        f"{ticker},{line}"
        for pair in zip(lines(BARS), lines(other), strict=True)
        for ticker, line in zip(("mrk", "MDT"), pair, strict=True)
    ]
    path = write(tmp_path, mixed, header="Ticker," + YAHOO_HEADER)
    assert CsvSource(file=path).tickers() == ["MRK", "MDT"]
    np.testing.assert_allclose(read(path, "MRK").bars["close"], BARS["close"])
    np.testing.assert_allclose(read(path, "MDT").bars["close"], other["close"])
    with pytest.raises(NoDataError) as caught:
        read(path, "MTD")
    assert "lstm fetch MDT" in (caught.value.hint or "")


@pytest.mark.parametrize("name", ["REL.L.csv", "rel.l.csv.gz"])
def test_a_file_without_tickers_has_that_of_its_name(tmp_path, name):
    path = tmp_path / name
    text = as_yahoo(BARS).encode()
    path.write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    assert CsvSource(file=path).tickers() == ["REL.L"]


def test_a_file_path_is_kept_whole(tmp_path, monkeypatch):
    write(tmp_path, lines(BARS))
    monkeypatch.chdir(tmp_path)
    assert CsvSource(file=Path("MRK.csv")).file == tmp_path / "MRK.csv"


def test_a_file_is_read_again_after_a_change(tmp_path):
    import os

    path = write(tmp_path, lines(BARS[:20]))
    assert len(read(path).bars) == 20
    write(tmp_path, lines(BARS))
    os.utime(path, ns=(1, 1))
    assert len(read(path).bars) == 40


# --- CSV: dividends


def adjusted(bars: pd.DataFrame, dividends: dict[int, float]) -> pd.Series:
    """Return the adjusted close by the definition: a plain loop from the end."""
    factor, result = 1.0, []
    for row in range(len(bars) - 1, -1, -1):
        result.append(bars["close"].iloc[row] * factor)
        if row in dividends:
            factor *= 1 - dividends[row] / bars["close"].iloc[row - 1]
    return pd.Series(result[::-1], index=bars.index)


def test_dividends_follow_from_the_adjusted_close(tmp_path):
    paid = {10: 0.5, 30: 0.62}
    table = BARS.assign(adj=adjusted(BARS, paid)).rename_axis("date")
    table = table.rename(columns={"adj": "Adj Close"})
    path = tmp_path / "MRK.csv"
    table.to_csv(path, float_format="%.6f")
    dividend = read(path).bars["dividend"].to_numpy()
    assert list(np.flatnonzero(dividend)) == [10, 30]
    np.testing.assert_allclose(dividend[[10, 30]], [0.5, 0.62], rtol=1e-3)


def test_a_dividend_column_wins_over_the_adjusted_close(tmp_path):
    table = BARS.assign(adj_close=adjusted(BARS, {10: 0.5}), dividends=0.0).rename_axis("date")
    table.loc[table.index[10], "dividends"] = 0.51
    path = tmp_path / "MRK.csv"
    table.to_csv(path)
    assert read(path).bars["dividend"].iloc[10] == 0.51


# --- CSV: faults


def faulty(rows: list[str], name: str) -> list[str]:
    """Return the rows with one fault; row 30 is line 32 of the file."""
    day, *prices = rows[30].split(",")
    changed = {
        "text": f"{day},oops,{','.join(prices[1:])}",
        "zero": f"{day},0,{','.join(prices[1:])}",
        "negative": f"{day},-1,{','.join(prices[1:])}",
        "high below low": f"{day},{prices[0]},1,{','.join(prices[2:])}",
        "infinite": f"{day},inf,{','.join(prices[1:])}",
        "bad date": f"08/03/2024,{','.join(prices)}",
        "no such day": f"2024-02-31,{','.join(prices)}",
        "intraday": f"{day} 10:30:00,{','.join(prices)}",
    }.get(name)
    if changed is not None:
        return [*rows[:30], changed, *rows[31:]]
    if name == "duplicate":
        return [*rows[:30], rows[29][:10] + rows[30][10:], *rows[31:]]
    if name == "unsorted":
        return [*rows[:30], rows[5].replace("2024-01", "2023-01"), *rows[31:]]
    raise KeyError(name)


@pytest.mark.parametrize("order", ["ascending", "descending"])
@pytest.mark.parametrize(
    "name",
    [
        "text", "zero", "negative", "high below low", "infinite",
        "bad date", "no such day", "intraday", "duplicate", "unsorted",
    ],
)  # fmt: skip
def test_a_fault_is_named_with_its_line_and_date(tmp_path, name, order):
    rows = lines(BARS if order == "ascending" else BARS[::-1])
    if name == "unsorted" and order == "descending":
        pytest.skip("an early date at the end of a descending file is in order")
    broken = faulty(rows, name)
    with pytest.raises(DataError) as caught:
        read(write(tmp_path, broken))
    assert caught.value.exit_code == 6
    assert f"MRK.csv:32: MRK {broken[30].split(',')[0]}" in str(caught.value)


def test_a_row_without_one_price_is_a_hole(tmp_path, caplog):
    """Or refused, with its line, where a forecast would look back on it."""
    rows = lines(BARS)
    old, recent = rows.copy(), rows.copy()
    old[29] = old[29].replace(f",{BARS['open'].iloc[29]}", ",", 1)
    recent[30] = recent[30].replace(f",{BARS['open'].iloc[30]}", ",", 1)
    with caplog.at_level(logging.WARNING):
        bars = read(write(tmp_path, old)).bars
    assert bars.index.equals(BARS.index.delete(29))
    assert f"{BARS.index[29]:%Y-%m-%d}" in caplog.text
    with pytest.raises(DataError, match=rf"MRK\.csv:32: MRK {BARS.index[30]:%Y-%m-%d}.* no open"):
        read(write(tmp_path, recent))


def test_a_blank_line_does_not_shift_the_numbers(tmp_path):
    rows = faulty(lines(BARS), "zero")
    with pytest.raises(DataError, match=r"MRK\.csv:33:"):
        read(write(tmp_path, [*rows[:3], "", *rows[3:]]))


def test_one_row_is_too_few(tmp_path):
    bars = read(write(tmp_path, lines(BARS[:1]))).bars
    with pytest.raises(DataError, match="at least two sessions"):
        check_series(bars, "MRK", calendar="XNYS")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n\n",
        b"Date,Open\n2024-01-02,1\n",
        b"Date,Open,High,Low,Close\n",
        b"Date,Open,High,Low,Close\n1,2,3\n2,3,4,5,6,7,8,9\n",
        b"\x89PNG\r\n\x1a\n\x00\xff",
        b"Date,Open,High,Low,Close,close\n2024-01-02,1,1,1,1,1\n",
    ],
)
def test_what_is_no_table_of_bars_is_refused(tmp_path, content):
    path = tmp_path / "MRK.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"MRK\.csv"):
        read(path)


def test_a_gz_file_cut_short_is_refused(tmp_path):
    path = tmp_path / "MRK.csv.gz"
    path.write_bytes(gzip.compress(as_yahoo(BARS).encode())[:-100])
    with pytest.raises(DataError):
        read(path)


@pytest.mark.parametrize("name", ["nosuch.csv", "."])
def test_a_missing_file_is_named(tmp_path, name):
    with pytest.raises(LstmError, match=str(tmp_path)):
        read(tmp_path / name)


def test_a_row_without_prices_is_an_absent_session(tmp_path):
    rows = lines(BARS)
    rows[10] = f"{rows[10][:10]},,,,,,"
    bars = read(write(tmp_path, rows)).bars
    assert len(bars) == 39
    assert BARS.index[10] not in bars.index


def test_a_close_just_outside_the_range_widens_it(tmp_path, caplog):
    bars = BARS.copy()
    bars.iloc[7, bars.columns.get_loc("close")] = bars["high"].iloc[7] * 1.01
    with caplog.at_level(logging.WARNING):
        result = read(write(tmp_path, lines(bars))).bars
    assert result["high"].iloc[7] == result["close"].iloc[7]
    assert "widened" in caplog.text


# --- validation of a whole series


def sound(count: int = 100) -> pd.DataFrame:
    return traded("2023-01-03", count).assign(dividend=0.0, split=0.0)


@pytest.mark.parametrize("from_the_end", range(1, 10))
def test_a_hole_among_the_last_ten_sessions_is_refused(from_the_end):
    bars = sound()
    gone = bars.index[-1 - from_the_end]
    with pytest.raises(DataError, match=f"Missing: {gone:%Y-%m-%d}"):
        check_series(bars.drop(gone), "MRK", calendar="XNYS")


@pytest.mark.parametrize("from_the_end", [10, 50])
def test_an_older_hole_is_a_warning(from_the_end, caplog):
    bars = sound()
    gone = bars.index[-1 - from_the_end]
    with caplog.at_level(logging.WARNING):
        check_series(bars.drop(gone), "MRK", calendar="XNYS")
    assert f"{gone:%Y-%m-%d}" in caplog.text


def test_bars_on_days_without_sessions_are_a_warning(caplog):
    index = pd.date_range("2024-01-01", periods=100)
    bars = sound().set_axis(index)
    with caplog.at_level(logging.WARNING):
        check_series(bars, "BTC", calendar="24/7")
        assert not caplog.text
        check_series(bars, "BTC", calendar="XNYS")
    assert "no sessions of XNYS" in caplog.text


@pytest.mark.parametrize("ratio", [1.5, 2, 3, 4, 5, 8, 10, 20, 100])
@pytest.mark.parametrize("way", ["split", "reverse"])
def test_a_split_left_in_is_found_on_its_day(ratio, way):
    bars = sound()
    factor = ratio if way == "reverse" else 1 / ratio
    bars.loc[bars.index[60] :, ["open", "high", "low", "close"]] *= factor
    found = unadjusted_split(bars)
    assert found is not None
    assert found == (bars.index[60], ratio)


def test_a_crash_is_no_split():
    """It trades through the day, or heavily: a split does neither."""
    prices = ["open", "high", "low", "close"]
    crash = sound()
    crash.loc[crash.index[60] :, prices] *= 0.5
    crash.loc[crash.index[60], "volume"] *= 20
    assert unadjusted_split(crash) is None
    slide = sound()
    slide.loc[slide.index[61] :, prices] *= 0.5
    slide.loc[slide.index[60], ["low", "close"]] *= 0.5
    assert unadjusted_split(slide) is None


def test_a_penny_stock_may_double():
    bars = sound()
    prices = ["open", "high", "low", "close"]
    bars[prices] = 0.01
    bars.loc[bars.index[60] :, prices] = 0.02
    assert unadjusted_split(bars) is None


def test_a_dividend_above_the_price_is_refused():
    bars = sound()
    bars.loc[bars.index[60], "dividend"] = 150.0
    with pytest.raises(DataError, match="another unit"):
        check_series(bars, "MRK", calendar="XNYS")


# --- real bars


@pytest.mark.market
def test_no_real_jump_is_taken_for_a_split(market_data, tmp_path):
    """OXY, EOG and PNC have real jumps beyond 40 %."""
    files = [market_data / name for name in ("MRK.csv", "MDT.csv", "market30.csv.gz")]
    checked = 0
    for file in files:
        source = CsvSource(file=file)
        for ticker in source.tickers():
            bars = source.bars(ticker, cache=tmp_path).bars
            check_series(bars, ticker, calendar="XNYS")
            checked += 1
    assert checked == 32


@pytest.mark.market
@pytest.mark.parametrize(
    ("file", "ticker", "message"),
    [
        ("AET.L_100x_error_descending.csv", "AET.L", "2022-05-09.*100 : 1"),
        ("4063.T_bad_split_descending.csv", "4063.T", "2023-03-29.*5 : 1"),
        ("ASAI.L_1h_bad_unit.csv", "ASAI.L", "csv: .*daily bars.*intraday"),
        ("MDT_1973_open_zero_yahoo2020.csv", "MDT", "csv:2: .*zero or negative"),
    ],
)
def test_real_faults_are_refused(market_data, tmp_path, file, ticker, message):
    with pytest.raises(DataError, match=message):
        bars = read(market_data / "faults" / file, ticker).bars
        check_series(bars, ticker, calendar=calendar_for(ticker))


@pytest.mark.market
@pytest.mark.parametrize(("ticker", "rows"), [("REL.L", 664), ("1398.HK", 647), ("KEN.TA", 650)])
def test_real_rows_without_prices_are_absent_sessions(market_data, tmp_path, ticker, rows):
    bars = read(market_data / "faults" / f"{ticker}.csv", ticker).bars
    check_series(bars, ticker, calendar=calendar_for(ticker))
    assert len(bars) == rows


@pytest.mark.market
def test_real_dividends_are_read_off_the_adjusted_close(market_data):
    """Merck paid 0.46 on 2016-09-13; four times a year, 68 in 17 years, and a spin-off."""
    bars = read(market_data / "MRK.csv", start=date(2016, 1, 1)).bars
    paid = bars["dividend"][bars["dividend"] > 0]
    assert len(paid) == 4
    assert 0.42 < paid.loc["2016-09-13"] < 0.48
