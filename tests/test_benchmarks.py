"""Recipes that benchmarks keep, against numbers of the versions that they stand for."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from simulate import panel_of, simulate_bars

# Behind the tests: both folders have a module `evenings`.
sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))

from evening_market import PRICES, SERIES, market
from har_ridge_01 import HarRidge01
from speed import stored, write

OF_VERSION_01 = [
    # sigma, q025, q50, q95 at steps 1 and 5 of A from both origins, then of B
    (0.008965445, -0.021748144, -0.000346607, 0.017067925),
    (0.020355382, -0.050323638, -0.002311380, 0.036164813),
    (0.008440875, -0.017917205, -0.000120646, 0.015776480),
    (0.019636766, -0.044070980, -0.000044347, 0.035128278),
    (0.019085792, -0.043049112, -0.000963477, 0.033479132),
    (0.040426426, -0.091354250, -0.007108012, 0.069881798),
    (0.015822717, -0.036351426, -0.000622300, 0.026874426),
    (0.035903343, -0.079988797, -0.005401408, 0.057705356),
]
"""What `BASELINES["har_ridge"]` of version 0.1 gave for the call in the test."""


def test_har_ridge_01_forecasts_what_har_ridge_of_version_01_forecast():
    bars = {"A": simulate_bars(2000, seed=1), "B": simulate_bars(2000, seed=2, sigma=0.02)}
    panel = panel_of(**bars)
    days = panel.sessions()
    rows = HarRidge01(5).fit(panel, days[1499]).forecast(panel, days[[1500, 1999]])
    found = rows.loc[rows["step"].isin([1, 5]), ["sigma", "q025", "q50", "q95"]]
    np.testing.assert_allclose(found, OF_VERSION_01, rtol=1e-5, atol=1e-8)


FLOORS = {
    "har_ridge_01": (0.25, 0.25, 0.20, 0.12),
    "har_ridge_clock": (0.12, 0.10, 0.08, 0.03),
}
"""Least skill in % of CRPS of the panel network at 1, 5, 10 and 20 sessions, 2016 to 2023."""


def test_the_panel_network_beats_the_ridges_on_tickers_that_it_never_saw():
    path = Path(__file__).parent.parent / "results" / "panel.csv"
    with path.open(encoding="utf-8") as file:
        rows = [
            row
            for row in csv.DictReader(file)
            if (row["recipe"], row["first"], row["last"]) == ("panel", "2016", "2023")
        ]
    assert {(row["judged"], row["step"]) for row in rows} == {
        (judged, step) for judged in ("market30", "judges") for step in ("1", "5", "10", "20")
    }
    for row in rows:
        for rival, floors in FLOORS.items():
            floor = dict(zip(("1", "5", "10", "20"), floors, strict=True))[row["step"]]
            assert float(row[f"skill_{rival}"]) >= floor, (row["judged"], row["step"], rival)
        if row["step"] in ("1", "5"):
            assert float(row["t_har_ridge_01"]) >= 3


def test_the_network_that_ships_is_better_as_it_is_than_anything_trained_on_few_tickers():
    path = Path(__file__).parent.parent / "results" / "tuning.csv"
    with path.open(encoding="utf-8") as file:
        rows = {
            (row["recipe"], int(row["fitted_on"]), int(row["step"])): row
            for row in csv.DictReader(file)
        }
    for size in (1, 5, 30):
        for step in (1, 5, 10, 20):
            tuned = rows["tuned", size, step]
            assert abs(float(tuned["skill_pretrained"])) < 0.02, (size, step)
            for scratch in ("panel", "best"):
                row = rows[scratch, size, step]
                assert float(row["skill_pretrained"]) < -0.05, (scratch, size, step)


DATED_FLOORS = {
    "whole": {1: 0.55, 5: 0.55, 10: 0.40, 20: 0.25},
    "five": {1: 0.55, 5: 0.50},
}
"""Least skill in % of CRPS against `har_ridge_01` where dates are known, 2016 to 2023."""


def dated() -> list[dict[str, str]]:
    path = Path(__file__).parent.parent / "results" / "announcements.csv"
    with path.open(encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["recipe"] == "pretrained"]


@pytest.mark.parametrize("known", DATED_FLOORS)
def test_known_dates_are_worth_what_was_to_be_reached(known: str):
    """On companies whose dates are known; of the hundred judges more than half have none."""
    rows = {
        (row["judged"], int(row["step"])): float(row["skill_har_ridge_01"])
        for row in dated()
        if (row["known"], row["days"], row["first"], row["last"]) == (known, "all", "2016", "2023")
    }
    for step, floor in DATED_FLOORS[known].items():
        for judged in ("market30", "judges, with dates"):
            assert rows[judged, step] >= floor, (judged, step)


def test_known_dates_help_in_every_year_at_one_session():
    years = {
        row["first"]: float(row["skill_pretrained_none"])
        for row in dated()
        if (row["known"], row["judged"], row["step"]) == ("whole", "market30", "1")
        and row["days"] == "all"
        and row["first"] == row["last"]
    }
    assert len(years) == 8
    assert min(years.values()) > 0


def test_dates_are_worth_most_next_to_a_report():
    for judged in ("market30", "judges"):
        found = {
            row["days"]: float(row["skill_pretrained_none"])
            for row in dated()
            if (row["judged"], row["known"], row["step"]) == (judged, "whole", "1")
            and row["first"] != row["last"]
            and row["last"] == "2023"
            and row["first"] == "2016"
        }
        assert found["next to a report"] > 4
        assert found["next to a report"] > 10 * found["others"]


def test_a_market_leaves_out_what_a_fetch_would_refuse(tmp_path: Path):
    fine, jumps = simulate_bars(400, seed=1), simulate_bars(400, seed=2)
    jumps.loc[jumps.index[200] :, list(PRICES)] /= 2
    tickers = {"A": fine, "B": jumps, "C": simulate_bars(400, seed=3)}
    named = {name: bars.rename(columns=str.title) for name, bars in tickers.items()}
    pool = pd.concat([bars.assign(Ticker=name) for name, bars in named.items()])
    pool.to_parquet(tmp_path / "pool600.parquet")
    for name in SERIES:
        named["A"].to_csv(tmp_path / f"{name}.csv")
    assert list(market(2, 390, 3, tmp_path).tickers) == ["A", "C"]
    with pytest.raises(SystemExit, match="Expected at most 2 tickers"):
        market(3, 390, 3, tmp_path)


def test_a_benchmark_that_runs_in_part_keeps_what_others_measured(tmp_path: Path):
    path = tmp_path / "table.csv"
    first = [{"what": "train", "median": 2}, {"what": "fetch", "median": 0.10}]
    write(first, path, others=None)
    before = path.read_text("utf-8").splitlines()
    write([{"what": "train", "median": 3.5}], path, others=stored(path))
    head, *rows = path.read_text("utf-8").splitlines()
    assert head == before[0]
    assert rows[0] == before[2]
    assert [row.split(",")[:2] for row in rows] == [["fetch", "0.1"], ["train", "3.5"]]
