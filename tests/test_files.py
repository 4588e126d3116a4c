"""Files of other sites and programs: encodings, headers, dates, numbers, columns."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import LSTM, environment, hinted
from yahoo_server import traded

from lstmcli.errors import ConfigError, DataError, NoDataError
from lstmcli.sources import CsvSource
from lstmcli.sources.files.dates import read_dates
from lstmcli.sources.files.layouts import NAMES, columns_of, file_ticker, role_of
from lstmcli.sources.files.numbers import decimal_mark, numbers

BARS = traded("2024-01-02", 60)
HEADER = "Date,Open,High,Low,Close,Volume"


def text_of(bars: pd.DataFrame = BARS, header: str = HEADER, day: str = "%Y-%m-%d") -> str:
    """Return bars as a CSV of six columns."""
    rows = [
        f"{session:{day}},{o:.4f},{h:.4f},{low:.4f},{c:.4f},{v:.0f}"
        for session, (o, h, low, c, v) in zip(
            bars.index, bars.iloc[:, :5].itertuples(index=False), strict=True
        )
    ]
    return "\n".join([header, *rows]) + "\n"


def read(folder: Path, content: str | bytes, ticker: str = "MRK", name: str = "MRK.csv", **options):
    """Return what a file with this content delivers."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return CsvSource(file=path, **options).bars(ticker, cache=folder)


def check_same(bars: pd.DataFrame, expected: pd.DataFrame = BARS) -> None:
    assert bars.index.equals(expected.index)
    np.testing.assert_allclose(bars.iloc[:, :4], expected.iloc[:, :4].round(4), rtol=1e-9)
    np.testing.assert_allclose(bars["volume"], expected["volume"].round(), rtol=1e-9)


# --- Content


def _zip(content: bytes, *names: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in names:
            archive.writestr(name, content)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("pack", "said"),
    [
        (lambda text: text.encode("utf-8-sig"), None),
        (lambda text: text.encode("utf-16"), "UTF-16"),
        (lambda text: text.encode("utf-16-le"), "utf_16"),
        (lambda text: text.replace("Volume", "Stücke").encode("cp1252"), "read as"),
        (lambda text: gzip.compress(text.encode()), None),
        (lambda text: bz2.compress(text.encode()), None),
        (lambda text: lzma.compress(text.encode()), None),
        (lambda text: _zip(text.encode(), "MRK.csv"), None),
        (lambda text: text.replace("\n", "\r\n").encode(), None),
        (lambda text: text.replace(",", "\t").encode(), "tabs"),
        (lambda text: text.replace(",", "|").encode(), "'|'"),
        (lambda text: text.replace(",", "   ").encode(), "' '"),
        (lambda text: ("A line of a bank\n\n" + text).encode(), "A line of a bank"),
        (lambda text: (text + "Source: an exchange\n").encode(), "line 62"),
    ],
)
def test_a_file_is_read_however_it_is_written(tmp_path, pack, said):
    delivery = read(tmp_path, pack(text_of()))
    check_same(delivery.bars)
    notes = "; ".join(delivery.notes)
    assert notes == "" if said is None else said in notes


def _rows(day: str = "%Y-%m-%d", mark: str = ",", tail: str = "", begin: str = "") -> str:
    """Return lines without a header."""
    lines = text_of(day=day).splitlines()[1:]
    return "\n".join(begin + line.replace(",", mark) + tail for line in lines)


@pytest.mark.parametrize(
    ("head", "rows"),
    [
        ("sep=;\nDate;Open;High;Low;Close;Volume", _rows(mark=";")),
        ("Data,Otwarcie,Najwyzszy,Najnizszy,Zamkniecie,Wolumen", _rows()),
        ("", _rows("%Y.%m.%d")),
        ("", _rows("%Y.%m.%d,00:00")),
        ("", _rows("%Y%m%d", begin="MRK,")),
        ("<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>",
         _rows("%Y%m%d,000000", begin="MRK.US,D,")),
        ("Time,Open,High,Low,Last,Volume",
         _rows("%m/%d/%Y") + "\nDownloaded from a site as of 03-08-2024 04:12pm CST"),
        ("Date,PX_OPEN,PX_HIGH,PX_LOW,PX_LAST,PX_VOLUME", _rows()),
        ("Exchange Date;Open;High;Low;Close;Volume", _rows("%d-%b-%Y", ";")),
        ("symbol,timestamp,open,high,low,close,volume",
         _rows("%Y-%m-%d 05:00:00+00:00", begin="MRK,")),
        ("ticker,date,open,high,low,close,volume,lastupdated",
         _rows(begin="MRK,", tail=",2024-04-01")),
        (",MRK.Open,MRK.High,MRK.Low,MRK.Close,MRK.Volume", _rows()),
        ("Date,Open_MRK,High_MRK,Low_MRK,Close_MRK,Volume_MRK", _rows()),
        ("Date,MRK_Open,MRK_High,MRK_Low,MRK_Close,MRK_Volume", _rows()),
        ("""Date,"('Open', 'MRK')","('High', 'MRK')","('Low', 'MRK')","('Close', 'MRK')",Volume""",
         _rows()),
        ("Date,series,Open,High,Low,PREV. CLOSE,Close,Volume,52W H",
         "\n".join(
             ",".join([d, "EQ", o, h, low, "1", c, v, "2"])
             for d, o, h, low, c, v in (line.split(",") for line in _rows().splitlines())
         )),
        ("Date,Open,High,Low,Close,Volume,", _rows(tail=",")),
        ("Date,Open (USD),High (USD),Low (USD),Close (USD),Volume (shares)", _rows()),
        ("날짜,시가,고가,저가,종가,거래량", _rows("%Y- %m- %d")),
        ("日付,始値,高値,安値,終値,出来高", _rows("%Y/%m/%d")),
        ("Datum,Eröffnung,Hoch,Tief,Schluss,Volumen", _rows("%d.%m.%Y")),
        ("Fecha,Apertura,Máximo,Mínimo,Cierre,Volumen", _rows("%d/%m/%Y")),
    ],
)  # fmt: skip
def test_columns_are_known_by_the_names_of_many_sites(tmp_path, head, rows):
    check_same(read(tmp_path, f"{head}\n{rows}\n".lstrip("\n")).bars)


def test_hourly_bars_with_the_time_in_a_column_are_called_intraday(tmp_path):
    hours = "\n".join(
        line.replace(",", f",{hour}:00,", 1) for line in _rows().splitlines() for hour in (10, 11)
    )
    with pytest.raises(DataError, match="intraday bars, up to 2 a day"):
        read(tmp_path, f"Date,Time,Open,High,Low,Close,Volume\n{hours}\n")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<html><head><title>Sign in</title></head></html>", "Sign in"),
        (b'{"Note": "Thank you for using our API"}', "Thank you"),
        (b'[{"date": "2024-01-02", "open": 1}]', "JSON"),
        (b"\x89PNG\r\n\x1a\n\x00\x01\x02\x00", "no text"),
        (_zip(b"", "xl/workbook.xml", "[Content_Types].xml"), "Excel workbook"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Excel workbook"),
        (_zip(b"", "a.csv", "b.csv"), "a.csv, b.csv"),
        (b"PAR1 and no more", "Parquet"),
        (b"   \n", "empty"),
    ],
)
def test_what_is_no_table_is_called_what_it_is(tmp_path, content, said):
    with pytest.raises(DataError, match=r"MRK\.csv") as caught:
        read(tmp_path, content)
    assert said in str(caught.value)
    assert caught.value.hint


def test_parquet_has_the_same_columns_as_csv(tmp_path):
    for frame in (
        BARS.round(4).rename_axis("Date").reset_index(),
        BARS.round(4).rename_axis("Date"),
        BARS.round(4).tz_localize("America/New_York").rename_axis("Date"),
        BARS.round(4).rename_axis(None),
    ):
        frame.to_parquet(tmp_path / "MRK.parquet")
        source = CsvSource(file=tmp_path / "MRK.parquet")
        assert source.tickers() == ["MRK"]
        check_same(source.bars("MRK", cache=tmp_path).bars)


def test_tickers_side_by_side_are_told_apart(tmp_path):
    two = pd.concat({"MRK": BARS, "MDT": BARS * 2}, axis=1).round(4)
    for frame in (two, two.swaplevel(axis=1)):
        frame.to_parquet(tmp_path / "two.parquet")
        frame.to_csv(tmp_path / "two.csv")
        for name in ("two.parquet", "two.csv"):
            source = CsvSource(file=tmp_path / name)
            assert sorted(source.tickers()) == ["MDT", "MRK"]
            closes = source.bars("MDT", cache=tmp_path).bars["close"]
            np.testing.assert_allclose(closes, (BARS["close"] * 2).round(4))


def test_standard_input_and_pipes_are_read_once(tmp_path):
    words = shlex.join([*LSTM, "fetch", "MRK", "--source", "csv", "--file"])
    (tmp_path / "MRK.csv").write_text(text_of())
    variables = environment(tmp_path / "data", {"LSTM_NOW": "2024-04-02T12:00:00+00:00"})
    for line in (f"cat MRK.csv | {words} -", f"{words} <(cat MRK.csv)"):
        done = subprocess.run(
            ["bash", "-c", line], env=variables, cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert "60 sessions" in done.stderr
    # Nobody types into cron: what came that way is never asked for again.
    again = subprocess.run(
        [sys.executable, "-m", "lstmcli", "fetch", "MRK", "--source", "csv", "--file", "-"],
        env=variables, cwd=tmp_path, capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert again.returncode == 6
    assert "empty" in again.stderr


def test_what_came_through_standard_input_is_not_asked_for_again(lstm, tmp_path, monkeypatch):
    monkeypatch.setenv("LSTM_WORKSPACE", str(tmp_path / "data"))
    monkeypatch.setenv("LSTM_NOW", "2024-04-02T12:00:00+00:00")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text_of().encode())))
    assert lstm("fetch", "MRK", "--file", "-").code == 0
    answer = lstm("fetch", "MRK")
    assert answer.code == 3
    assert "standard input" in answer.err
    assert hinted(answer) == ["lstm fetch MRK --source csv --file MRK.csv"]


# --- Dates


@pytest.mark.parametrize(
    "texts",
    [
        ["2024-03-08", "2024-03-11"],
        ["20240308", "20240311"],
        ["2024/3/8", "2024/3/11"],
        ["2024.03.08", "2024.03.11"],
        ["2024年3月8日", "2024年3月11日"],
        ["3/8/2024", "3/11/2024", "3/14/2024"],
        ["8/3/2024", "11/3/2024", "14/3/2024"],
        ["03/08/24", "03/11/24", "03/14/24"],
        ["08.03.2024", "11.03.2024"],
        ["8-Mar-2024", "11-Mar-2024"],
        ["08-Mar-24", "11-Mar-24"],
        ["Mar 8, 2024", "Mar 11, 2024"],
        ["March 8, 2024", "March 11, 2024"],
        ["Fri, Mar 8, 2024", "Mon, Mar 11, 2024"],
        ["2024-03-08 00:00:00-05:00", "2024-03-11 00:00:00-04:00"],
        ["2024-03-08T00:00:00.000Z", "2024-03-11T00:00:00.000Z"],
        ["3/8/2024 16:00:00", "3/11/2024 16:00:00", "3/14/2024 16:00:00"],
        ["3/8/2024 4:00 PM", "3/11/2024 4:00 PM", "3/14/2024 4:00 PM"],
        ["1709856000", "1710115200"],
        ["1709856000000", "1710115200000"],
        ["1709856000000000", "1710115200000000"],
        ["45359", "45362"],
    ],
)
def test_a_date_is_read_however_it_is_written(texts):
    stamps = read_dates(pd.Series(texts), order=None, file="x.csv", column="Date")
    days = stamps.wall.dt.normalize().dt.strftime("%Y-%m-%d").tolist()
    assert days == ["2024-03-08", "2024-03-11", "2024-03-14"][: len(texts)]


def test_the_order_of_day_and_month_is_proven_or_asked_for():
    unclear = pd.Series(["01/02/2024", "05/02/2024", "06/02/2024"])
    with pytest.raises(DataError, match="01/02/2024") as caught:
        read_dates(unclear, order=None, file="x.csv", column="Date")
    assert "--dates dmy" in str(caught.value.hint)
    for order, first in (("dmy", "2024-02-01"), ("mdy", "2024-01-02")):
        stamps = read_dates(unclear, order=order, file="x.csv", column="Date")
        assert str(stamps.wall[0].date()) == first
    with pytest.raises(DataError, match="in both places"):
        read_dates(pd.Series(["13/02/2024", "02/14/2024"]), order=None, file="x.csv", column="Date")


@pytest.mark.parametrize(
    ("ticker", "zone"),
    [("MRK", "America/New_York"), ("SAP.DE", "Europe/Berlin"), ("7203.T", "Asia/Tokyo")],
)
@pytest.mark.parametrize("hour", [0, 9])
def test_a_moment_in_utc_is_the_day_of_its_exchange(tmp_path, ticker, zone, hour):
    moments = (BARS.index + pd.Timedelta(hours=hour)).tz_localize(zone).tz_convert("UTC")
    for index in (moments, (moments.as_unit("s").asi8).astype(str)):
        frame = BARS.round(4).set_axis(pd.Index(index, name="time"))
        bars = read(tmp_path, frame.iloc[:, :5].to_csv(), ticker).bars
        assert bars.index.equals(BARS.index)


def test_midnight_in_utc_is_the_date_itself(tmp_path):
    frame = BARS.round(4).set_axis(BARS.index.tz_localize("UTC").rename("date"))
    assert read(tmp_path, frame.iloc[:, :5].to_csv()).bars.index.equals(BARS.index)


def test_a_quote_of_the_day_at_the_end_is_left_out_before_the_close(tmp_path):
    for time, kept in (("11:02:00", 59), ("16:00:01", 60)):
        rows = text_of().splitlines()
        rows[-1] = rows[-1].replace(",", f" {time},", 1)
        delivery = read(tmp_path, "\n".join(rows))
        assert len(delivery.bars) == kept
        assert any("11:02" in note for note in delivery.notes) == (kept == 59)


# --- Numbers


@pytest.mark.parametrize(
    ("texts", "separator", "values"),
    [
        (["1,835.81", "987.10"], ",", [1835.81, 987.1]),
        (["1.835,81", "987,10"], ";", [1835.81, 987.1]),
        (["1.835,81", "987,10"], ",", [1835.81, 987.1]),
        (["87,190", "87,410"], ";", [87.19, 87.41]),
        (["2,426,594", "987"], "\t", [2426594, 987]),
        (["$227.80", "$1,200.00"], ",", [227.8, 1200]),
        (["1 835,81 €", "987,10 €"], ";", [1835.81, 987.1]),
        (["1'835.81", "987.10"], ",", [1835.81, 987.1]),
        (["1,23,456", "98,765"], ",", [123456, 98765]),
        (["5.61M", "987K", "1.2B"], ",", [5.61e6, 987e3, 1.2e9]),
        (["5,61M", "987,1K"], ";", [5.61e6, 987.1e3]),
        (["2.6e-05", "1E3"], ",", [2.6e-5, 1e3]),
        (["−1.5", "+2.5"], ",", [-1.5, 2.5]),
        (["12.5", "n/a", "-", "null", ""], ",", [12.5, *[np.nan] * 4]),
    ],
)
def test_a_number_is_read_however_it_is_written(texts, separator, values):
    text = pd.Series(texts)
    mark = decimal_mark([text], separator=separator, file="x.csv")
    np.testing.assert_allclose(numbers(text, mark), values)


def test_a_comma_that_may_be_either_is_asked_for():
    text = pd.Series(["87,190", "87,410"])
    with pytest.raises(DataError, match="87,190") as caught:
        decimal_mark([text], separator="\t", file="x.csv")
    assert "--decimal ," in str(caught.value.hint)
    with pytest.raises(DataError, match="one decimal mark"):
        decimal_mark([pd.Series(["1.234,5", "1,234.5"])], separator=",", file="x.csv")


def test_decimal_and_columns_can_be_said(tmp_path):
    text = text_of(header="Day\tFirst\tTop\tBottom\tFinal\tPieces").replace(",", "\t")
    text = text.replace(".", ",")
    columns = {"date": "Day", "open": "First", "high": "Top", "low": "Bottom"}
    columns |= {"close": "Final", "volume": "Pieces"}
    check_same(read(tmp_path, text, decimal=",", columns=columns).bars)
    with pytest.raises(DataError, match="Missing: open") as caught:
        read(tmp_path, text.replace("Day", "Date"), columns={"close": "Final"})
    assert "--columns" in str(caught.value.hint)
    with pytest.raises(ConfigError, match="'Last'"):
        read(tmp_path, text, columns=columns | {"close": "Last"})


# --- Columns


def test_no_name_has_two_roles():
    names = [name for role in NAMES.values() for name in role]
    assert len(names) == len(set(names))
    assert all(role_of(name) == role for role, known in NAMES.items() for name in known)


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("<CLOSE>", "close"), ("4. close", "close"), ("Close*", "close"), ("Close (USD)", "close"),
        ("Adj Close**", "adjusted"), ("Adj. Close", "adjusted"), ("adj_close", "adjusted"),
        ("Ex-Dividend", "dividend"), ("Volume BTC", "volume"), ("Change %", None), ("", None),
    ],
)  # fmt: skip
def test_a_name_loses_what_sites_put_around_it(name, role):
    assert role_of(name) == role


def test_the_better_of_two_columns_is_read():
    at = columns_of(["Last", "Close", "Symbol", "Ticker"], {}, file="x.csv")
    assert at == {"close": 1, "ticker": 3}


def test_columns_that_are_not_read_are_named(tmp_path):
    text = text_of().replace("Volume", "Volume,VWAP,Trades").replace("\n2024", ",,\n2024")
    notes = read(tmp_path, text.replace(",,\n2024", "\n2024", 1)).notes
    assert "columns not read: VWAP, Trades" in notes
    assert (
        "no column of volume was found"
        in read(tmp_path, text_of().replace("Volume", "Pieces")).notes
    )


@pytest.mark.parametrize(
    ("stem", "ticker"),
    [
        ("MRK", "MRK"), ("mrk", "MRK"), ("MRK Historical Data", "MRK"), ("REL.L", "REL.L"),
        ("MRK Historical Data (1)", "MRK"), ("NYSE_MRK, 1D", "MRK"), ("BTCUSDT-1d", "BTCUSDT"),
    ],
)  # fmt: skip
def test_a_file_is_called_after_its_ticker(stem, ticker):
    assert file_ticker(stem) == ticker


def test_a_symbol_that_is_no_ticker_gets_the_name_of_the_user(tmp_path):
    rows = [f"{line},BTC/USD" for line in text_of().splitlines()[1:]]
    text = "\n".join([HEADER + ",symbol", *rows])
    for name in ("BTC-USD", "COIN"):
        assert any("BTC/USD" in note for note in read(tmp_path, text, name).notes)
    assert CsvSource(file=tmp_path / "MRK.csv").tickers() == ["BTC-USD"]
    with pytest.raises(NoDataError, match="Expected a ticker"):
        read(tmp_path, text.replace("BTC/USD", "GOOG"), "MRK")


# --- Lines


def test_faults_of_a_column_come_in_one_message(tmp_path):
    rows = text_of().splitlines()
    for line in (5, 9, 30):
        rows[line] = rows[line].replace(",", ",x", 1)
    rows[12] = rows[12].replace("2024", "twenty")
    with pytest.raises(DataError) as caught:
        read(tmp_path, "\n".join(rows))
    assert "on 2 more lines" in str(caught.value)
    assert "'twenty-" in str(caught.value)
    assert "lines 6, 10, 31" in str(caught.value.hint)


def test_equal_lines_count_once_and_different_ones_are_refused(tmp_path):
    rows = text_of().splitlines()
    joined = [*rows[:41], *rows[0:1], *rows[31:]]
    delivery = read(tmp_path, "\n".join(joined))
    check_same(delivery.bars)
    assert {"lines that were there twice: 10", "the lines were not in order of their dates"} < set(
        delivery.notes
    )
    rows[20] = rows[20][:10] + rows[25][10:]
    with pytest.raises(DataError, match=r"other numbers.*lines 21, 62"):
        read(
            tmp_path, "\n".join([*rows[:20], rows[20], *rows[21:], *text_of().splitlines()[20:21]])
        )


def test_the_hints_of_a_file_name_it_with_its_options(lstm, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LSTM_NOW", "2024-04-02T12:00:00+00:00")
    text = text_of(day="%d/%m/%Y").replace(",", ";", 5)
    (tmp_path / "my bars.csv").write_text(text.replace("/2024,", "/2024,x", 1).replace(",", ";"))
    answer = lstm("fetch", "M&M.NS", "--file", "my bars.csv", "--dates", "dmy")
    assert answer.code == 6
    (line,) = hinted(answer)
    assert line == "lstm fetch 'M&M.NS' --source csv --file 'my bars.csv' --dates dmy"
