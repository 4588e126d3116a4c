"""Files of forecasts: a CSV for each ticker, or one Parquet file for many."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from test_ledger import forecast
from yahoo_server import traded

from lstmcli.errors import DiskError
from lstmcli.frames import INTERVAL_COLUMNS, QUANTILE_COLUMNS
from lstmcli.pipeline.forecast_writer import ForecastWriter
from lstmcli.pipeline.prices import Written
from lstmcli.report.announcements import Reports
from lstmcli.store.forecast_files import ForecastFiles

DAY = pd.Timestamp("2024-03-08")
RUN = "20240308T223000Z-panel-51f7527b"
NUMBERS = [*QUANTILE_COLUMNS, *INTERVAL_COLUMNS]


def prices(ticker: str, *, close: float = 100.0, made_on: str = "2024-03-08") -> pd.DataFrame:
    """Return the prices of a forecast and of a baseline, twenty steps."""
    rows = forecast(ticker, made_on, steps=20)
    random = np.random.default_rng(len(ticker) + int(close))
    rows[NUMBERS] = close * np.exp(random.normal(0, 0.02, (len(rows), len(NUMBERS))))
    return rows.assign(prices="close", declared=0.0, p_up=0.5, next_report=pd.NaT)


@pytest.fixture
def files(tmp_path: Path) -> ForecastFiles:
    return ForecastFiles(tmp_path / "forecasts")


def write_all(files: ForecastFiles, *tickers: str, close: float = 100.0) -> Path:
    rows = pd.concat([prices(ticker, close=close) for ticker in tickers], ignore_index=True)
    return files.write_all(rows, made_on=DAY, run=RUN, judged=(1, 5, 10, 20))


def test_many_tickers_are_one_file_that_keeps_what_it_had(files: ForecastFiles):
    assert write_all(files, "MRK", "BRK-B").relative_to(files.folder) == Path(
        f"2024-03-08/{RUN}.parquet"
    )
    write_all(files, "MDT", "MRK", close=50)
    expected = prices("MRK", close=50)
    rows = files.read("MRK", DAY, RUN)
    assert rows["step"].tolist() == [*range(1, 21), 1, 5, 10, 20]
    np.testing.assert_allclose(rows[NUMBERS][:20], expected[NUMBERS][:20], rtol=1e-7)
    assert rows["last_close"].unique().tolist() == [100.1]
    np.testing.assert_allclose(
        files.read("BRK-B", DAY, RUN)[NUMBERS][:20], prices("BRK-B")[NUMBERS][:20], rtol=1e-7
    )
    assert files.read("KO", DAY, RUN) is None
    assert files.read("MRK", DAY, "20240308T223001Z-panel-51f7527b") is None


def test_the_first_step_is_that_of_the_newer_file(files: ForecastFiles):
    path = files.write(prices("MRK", close=70), ticker="MRK", run=RUN)
    first = files.first_step("MRK", DAY, RUN)
    assert (float(first["q50"]), first["prices"]) == (
        pytest.approx(prices("MRK", close=70)["q50"][0]),
        "close",
    )
    assert str(first["target_on"])[:10] == "2024-03-09"
    together = write_all(files, "MRK", "MDT")
    os.utime(path, ns=(0, 0))
    first = files.first_step("MRK", DAY, RUN)
    assert float(first["q50"]) == pytest.approx(prices("MRK")["q50"][0])
    assert str(first["target_on"])[:10] == "2024-03-09"
    os.utime(together, ns=(0, -1))
    assert float(files.first_step("MRK", DAY, RUN)["q50"]) == pytest.approx(
        prices("MRK", close=70)["q50"][0]
    )
    # What is of no use is passed over, and the next writing replaces it.
    together.write_bytes(b"no parquet at all")
    assert float(files.first_step("MRK", DAY, RUN)["q50"]) != pytest.approx(prices("MRK")["q50"][0])
    path.unlink()
    assert files.first_step("MRK", DAY, RUN) is None
    write_all(files, "MDT")
    assert files.first_step("MDT", DAY, RUN)


def test_the_newest_origins_are_found_in_both(files: ForecastFiles):
    write_all(files, "MRK", "MDT")
    files.write(prices("MRK", made_on="2024-03-11"), ticker="MRK", run=RUN)
    files.write(prices("CON", made_on="2024-03-07"), ticker="CON", run=RUN)
    (files.folder / "2024-03-12").mkdir()
    (files.folder / "2024-03-12" / "x.parquet").write_bytes(b"junk")
    (files.folder / "2024-03-12" / "notes.txt").write_text("mine")
    assert files.latest(["MRK", "MDT", "CON", "KO"]) == {
        "MRK": "2024-03-11",
        "MDT": "2024-03-08",
        "CON": "2024-03-07",
    }
    assert files.latest([]) == {}
    assert ForecastFiles(files.folder / "none").latest(["MRK"]) == {}


def test_a_ticker_of_a_universe_takes_few_bytes(files: ForecastFiles):
    path = write_all(files, *(f"T{number:02d}" for number in range(50)))
    assert path.stat().st_size < 2_500 * 50


@pytest.fixture
def two(tmp_path: Path, lstm, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a workspace with two tickers that the run that ships forecasts."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LSTM_NOW", "2024-03-08T23:30:00Z")
    for ticker in ("AAA", "BBB"):
        bars = traded("2019-01-02", 1300, seed=ord(ticker[0]))
        bars[bars.index <= "2024-03-08"].rename_axis("Date").to_csv(f"{ticker}.csv")
        line = ["fetch", ticker, "--source", "csv", "--file", f"{ticker}.csv", "-q"]
        assert lstm(*line).code == 0
    return tmp_path / "data"


def test_predict_writes_one_file_for_many(two: Path, lstm, monkeypatch: pytest.MonkeyPatch):
    line = ["predict", "AAA", "BBB", "--json", "--offline"]
    apart = json.loads(lstm(*line).out)["forecasts"]
    assert len({forecast["file"] for forecast in apart}) == 2
    monkeypatch.setattr("lstmcli.pipeline.predict.MANY", 1)
    answer = lstm(*line)
    assert answer.code == 0, answer.err
    together = json.loads(answer.out)["forecasts"]
    (file,) = {forecast.pop("file") for forecast in together}
    assert [{k: v for k, v in each.items() if k != "file"} for each in apart] == together
    rows = pd.read_parquet(two.parent / file)
    assert rows["ticker"].unique().tolist() == ["AAA", "BBB"]
    first = rows[rows["ticker"] == "BBB"].iloc[0]
    assert first["q50"] == pytest.approx(together[1]["steps"][0]["q50"])
    told = json.loads(lstm("status", "--json").out)["tickers"]
    assert {each["forecast"] for each in told} == {Path(file).parent.name}


def test_the_order_in_a_file_of_many_is_not_that_in_which_they_came(files: ForecastFiles):
    written = []
    for order in (("AAA", "BBB"), ("BBB", "AAA")):
        writer = ForecastWriter(files, RUN, DAY, many=True)
        for ticker in order:
            path = writer.write(Written(prices(ticker), None, Reports()), ticker)
        writer.close(["AAA", "BBB", "CCC"])
        written.append(path.read_bytes())
        path.unlink()
    assert written[0] == written[1]


def test_a_full_disk_fails_each_of_many(two: Path, lstm, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("lstmcli.pipeline.predict.MANY", 1)

    def full(*_: object, **__: object) -> Path:
        raise DiskError("no room")

    monkeypatch.setattr(ForecastFiles, "write_all", full)
    answer = lstm("predict", "AAA", "BBB", "--offline")
    assert answer.code == 8
    assert "no room" in answer.err
    assert "AAA" not in answer.out
