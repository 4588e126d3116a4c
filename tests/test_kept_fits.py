"""Kept fits of GARCH: the numbers are those of fits that are made anew."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from command import Lstm
from evenings import go_to
from simulate import panel_of, simulate_bars

from lstmcli.forecasters.baselines import BASELINES
from lstmcli.forecasters.baselines.alone import forecast_alone
from lstmcli.forecasters.baselines.kept_fits import KeptFits, made_by, rebuild
from lstmcli.forecasters.volatility import garch
from lstmcli.frames import log_returns
from lstmcli.panel import Panel
from lstmcli.store import Workspace

NAMES = ("garch", "gjr")


@pytest.fixture(scope="module")
def panel() -> Panel:
    return panel_of(A=simulate_bars(420, seed=1), B=simulate_bars(420, seed=2))


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> list[pd.Series]:
    """The returns of each fit that is made."""
    made: list[pd.Series] = []
    fit = garch.fit_garch

    def counted(returns: pd.Series, *, falls: bool = False):
        made.append(returns)
        return fit(returns, falls=falls)

    monkeypatch.setattr(garch, "fit_garch", counted)
    return made


def stored(kept: KeptFits) -> KeptFits:
    """Return fits as another process reads them."""
    return KeptFits.of_rows(json.loads(json.dumps(kept.as_rows())))


def forecasts(panel: Panel, origin: pd.Timestamp, kept: KeptFits | None = None) -> pd.DataFrame:
    """Return what both baselines forecast from one origin."""
    at = pd.DatetimeIndex([origin])
    return pd.concat([forecast_alone(BASELINES[name](5), panel, at, kept=kept) for name in NAMES])


def evenings_of_a_month(panel: Panel) -> pd.DatetimeIndex:
    sessions = panel.sessions()
    months = sessions.to_period("M")
    return sessions[months == months[-30]]


def test_within_a_month_nothing_is_fitted_and_every_digit_is_that_of_a_fit(panel, fitted):
    evenings, kept = evenings_of_a_month(panel), KeptFits()
    forecasts(panel, evenings[0], kept)
    assert len(fitted) == 4  # both baselines of both tickers
    for origin in evenings[1:]:
        kept = stored(kept)
        found = forecasts(panel, origin, kept)
        assert len(fitted) == 4
        assert not kept.changed
        anew = forecasts(panel, origin)
        pd.testing.assert_frame_equal(found, anew, check_exact=True)
        del fitted[4:]


def test_a_fit_ends_with_the_month_before_and_the_volatility_goes_on(panel, fitted):
    evenings = evenings_of_a_month(panel)
    rows = pd.concat([forecasts(panel, origin) for origin in evenings])
    month = evenings[0].to_period("M").start_time
    assert {returns.index[-1] for returns in fitted} == {
        panel.sessions()[panel.sessions() < month][-1]
    }
    sigma = rows[(rows["ticker"] == "A") & (rows["step"] == 1) & (rows["recipe"] == "garch")]
    assert sigma["sigma"].nunique() == len(evenings)


def test_the_next_month_and_a_month_before_are_fitted_anew(panel, fitted):
    evenings, kept = evenings_of_a_month(panel), KeptFits()
    forecasts(panel, evenings[0], kept)
    later = panel.sessions()[panel.sessions().get_loc(evenings[-1]) + 1]
    for origin in (later, evenings[0]):
        del fitted[:]
        kept = stored(kept)
        found = forecasts(panel, origin, kept)
        assert len(fitted) == 4
        pd.testing.assert_frame_equal(found, forecasts(panel, origin), check_exact=True)


@pytest.mark.parametrize("what", ["close", "dividend"])
def test_corrected_bars_are_fitted_anew_and_the_others_are_not(panel, fitted, what):
    origin, kept = panel.sessions()[-1], KeptFits()
    forecasts(panel, origin, kept)
    bars = panel["B"].copy()
    bars.loc[bars.index[200], what] += 0.01
    corrected = panel.with_(bars={"A": panel["A"], "B": bars})
    del fitted[:]
    found = forecasts(corrected, origin, kept)
    assert len(fitted) == 2
    pd.testing.assert_frame_equal(found, forecasts(corrected, origin), check_exact=True)


def test_a_fit_that_did_not_converge_is_kept_too(panel, monkeypatch):
    asked = []
    monkeypatch.setattr(garch, "fit_garch", lambda returns, *, falls: asked.append(falls))
    kept = KeptFits()
    first = forecasts(panel, panel.sessions()[-1], kept)
    again = forecasts(panel, panel.sessions()[-1], stored(kept))
    assert len(asked) == 4
    pd.testing.assert_frame_equal(first, again, check_exact=True)


def test_a_ticker_too_young_at_the_end_of_the_month_is_fitted_to_the_origin(panel, fitted):
    evenings = evenings_of_a_month(panel)
    at = panel.sessions().get_loc(evenings[-1])
    young = panel.with_(bars={"A": panel["A"], "B": panel["B"].iloc[at - 104 : at + 1]})
    rows = forecasts(young, evenings[-1])
    assert set(rows["ticker"]) == {"A", "B"}
    assert {returns.index[-1] for returns in fitted if len(returns) < 110} == {evenings[-1]}


def test_a_rebuild_tells_the_same_numbers_from_other_ones(panel):
    kept = KeptFits()
    forecasts(panel, panel.sessions()[-1], kept)
    returns = {ticker: log_returns(bars).dropna() for ticker, bars in panel.items()}
    made = rebuild(stored(kept), returns)
    assert (made.different, made.moved) == ((), ())
    assert made.fits.known == kept.known

    rows = kept.as_rows()
    rows[0]["parameters"]["omega"] = np.nextafter(rows[0]["parameters"]["omega"], 1)
    made = rebuild(KeptFits.of_rows(rows), {**returns, "B": returns["B"] + 1e-6})
    assert (made.different, made.moved) == (("A",), ("B",))
    made = rebuild(kept, {"A": returns["A"]})
    assert {ticker for ticker, _ in made.fits.known} == {"A"}


DAMAGE = {
    "cut": lambda text: text[: len(text) // 2],
    "empty": lambda text: "",
    "list": lambda text: "[]",
    "digit": lambda text: text.replace('"omega": ', '"omega": 1', 1),
    "version": lambda text: text.replace(made_by()["arch"], "0.0.1", 1),
}


@pytest.mark.process
@pytest.mark.parametrize("damage", sorted(DAMAGE))
def test_a_file_of_no_use_changes_no_number(data, yahoo, lstm: Lstm, damage):
    path = Workspace(data).fits.path
    assert lstm("daily", "-q").code == 0
    whole = path.read_text()
    path.write_text(DAMAGE[damage](whole))
    assert path.read_text() != whole
    go_to(yahoo, 1)
    answer = lstm("daily", "-q")
    assert (answer.code, answer.err) == (0, "")
    assert path.read_text() == whole  # the runs are the same, and so are their fits


@pytest.mark.process
def test_an_evening_keeps_fits_and_the_next_one_makes_none(data, yahoo, lstm: Lstm, fitted):
    assert lstm("daily", "-q").code == 0
    assert len(fitted) == 4
    path = Workspace(data).fits.path
    stamp = path.stat().st_mtime_ns
    go_to(yahoo, 1)
    assert lstm("daily", "-q").code == 0
    assert len(fitted) == 4
    assert path.stat().st_mtime_ns == stamp

    assert "kept fits" in lstm("doctor").out
    answer = lstm("doctor", "--rebuild")
    assert answer.code == 0
    assert "4 of 4 fits, the same numbers" in answer.out
    assert path.stat().st_mtime_ns != stamp

    assert lstm("remove", "MRK").code == 0
    tickers = {row["ticker"] for row in Workspace(data).fits.read(made_by())}
    assert tickers == {"MDT"}


@pytest.mark.process
def test_other_numbers_are_named_and_replaced(data, lstm: Lstm):
    assert lstm("daily", "-q").code == 0
    fits = Workspace(data).fits
    rows = fits.read(made_by())
    whole, rows[0]["parameters"]["nu"] = fits.path.read_text(), 5.0
    fits.write(rows, made_by())
    answer = lstm("doctor", "--rebuild")
    assert answer.code == 6
    assert f"other ones of {rows[0]['ticker']}" in answer.err
    assert fits.path.read_text() == whole
    assert lstm("doctor", "--rebuild").code == 0


@pytest.mark.process
def test_an_evening_goes_on_where_fits_cannot_be_kept(data, lstm: Lstm, no_room_for):
    no_room_for("garch.json")
    answer = lstm("daily")
    assert answer.code == 0
    assert "fits of baselines are not kept" in answer.err
    assert not list((data / "state").iterdir())
