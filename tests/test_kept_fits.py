"""Kept fits of baselines: the numbers are those of fits that are made anew."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from command import Lstm
from evenings import go_to
from simulate import panel_of, simulate_bars

from lstmcli.forecasters import baselines
from lstmcli.forecasters.baselines import BASELINES, monthly
from lstmcli.forecasters.baselines.alone import forecast_alone
from lstmcli.forecasters.baselines.kept_fits import KeptFits, made_by
from lstmcli.forecasters.baselines.rebuild import rebuild
from lstmcli.panel import Panel
from lstmcli.pipeline.issue import BESIDE
from lstmcli.store import Workspace


@pytest.fixture(scope="module")
def panel() -> Panel:
    return panel_of(A=simulate_bars(420, seed=1), B=simulate_bars(420, seed=2))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, pd.Timestamp]]:
    """Recipe, ticker and last session of each fit that is made."""
    fits: list[tuple[str, str, pd.Timestamp]] = []
    make = monthly.make

    def counted(recipe, panel: Panel):
        fits.extend((recipe.name, ticker, bars.index[-1]) for ticker, bars in panel.items())
        return make(recipe, panel)

    monkeypatch.setattr(monthly, "make", counted)
    return fits


@pytest.fixture
def garch_fits(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each fit of GARCH that is made, whether falls count more."""
    fit, fits = baselines.garch.fit_garch, []

    def counted(returns: pd.Series, *, falls: bool = False):
        fits.append(falls)
        return fit(returns, falls=falls)

    monkeypatch.setattr(baselines.garch, "fit_garch", counted)
    return fits


def stored(kept: KeptFits) -> KeptFits:
    """Return fits as another process reads them; what has not changed is as it was."""
    written = kept.contents()
    return KeptFits(lambda ticker: written.get(ticker) or kept.load(ticker))


def forecasts(panel: Panel, origin: pd.Timestamp, kept: KeptFits | None = None) -> pd.DataFrame:
    """Return what all baselines of an evening forecast from one origin."""
    recipes = [BASELINES[name](5) for name in BESIDE]
    found = forecast_alone(recipes, panel.until(origin), origin, kept or KeptFits())
    return pd.concat(found.values())


def evenings_of_a_month(panel: Panel) -> pd.DatetimeIndex:
    sessions = panel.sessions()
    months = sessions.to_period("M")
    return sessions[months == months[-30]]


def test_within_a_month_nothing_is_fitted_and_every_digit_is_that_of_a_fit(panel, made):
    evenings, kept = evenings_of_a_month(panel), KeptFits()
    forecasts(panel, evenings[0], kept)
    assert sorted(made) == sorted((name, t, made[0][2]) for name in BESIDE for t in panel)
    for origin in evenings[1:]:
        kept = stored(kept)
        del made[:]
        found = forecasts(panel, origin, kept)
        assert not made
        assert not kept.changed
        pd.testing.assert_frame_equal(found, forecasts(panel, origin), check_exact=True)
        assert made


def test_a_fit_ends_with_the_month_before_and_the_volatility_goes_on(panel, made):
    evenings = evenings_of_a_month(panel)
    rows = pd.concat([forecasts(panel, origin) for origin in evenings])
    end = evenings[0].to_period("M").start_time - pd.Timedelta(7, "D")
    assert {last for _, _, last in made} == {panel.sessions()[panel.sessions() <= end][-1]}
    one = rows[(rows["ticker"] == "A") & (rows["step"] == 1)]
    follow = one.groupby("recipe")["sigma"].nunique()
    constant = ["drift", "historical", "random_walk"]
    assert (follow.drop(constant) == len(evenings)).all()
    assert (follow[constant] == 1).all()


def test_the_next_month_and_a_month_before_are_fitted_anew(panel, made):
    evenings, kept = evenings_of_a_month(panel), KeptFits()
    forecasts(panel, evenings[0], kept)
    later = panel.sessions()[panel.sessions().get_loc(evenings[-1]) + 1]
    for origin in (later, evenings[0]):
        del made[:]
        kept = stored(kept)
        found = forecasts(panel, origin, kept)
        assert len(made) == len(BESIDE) * len(panel)
        pd.testing.assert_frame_equal(found, forecasts(panel, origin), check_exact=True)


def test_corrections_of_the_last_days_cost_no_fit(panel, made):
    evenings, kept = evenings_of_a_month(panel), KeptFits()
    forecasts(panel, evenings[0], kept)
    bars = panel["B"].copy()
    before = bars.index[bars.index < evenings[0]][-3:]
    bars.loc[before, ["volume", "dividend"]] += 1.0
    del made[:]
    corrected = panel.with_(bars={"A": panel["A"], "B": bars})
    assert len(forecasts(corrected, evenings[1], stored(kept)))
    assert not made


@pytest.mark.parametrize("what", ["close", "dividend", "volume"])
def test_corrected_bars_are_fitted_anew_and_the_others_are_not(panel, made, what):
    origin, kept = panel.sessions()[-1], KeptFits()
    forecasts(panel, origin, kept)
    bars = panel["B"].copy()
    bars.loc[bars.index[200], what] += 0.01
    corrected = panel.with_(bars={"A": panel["A"], "B": bars})
    del made[:]
    found = forecasts(corrected, origin, kept)
    assert {ticker for _, ticker, _ in made} == {"B"}
    pd.testing.assert_frame_equal(found, forecasts(corrected, origin), check_exact=True)


def test_runs_of_other_horizons_keep_fits_of_their_own(panel, made):
    origin, kept = panel.sessions()[-1], KeptFits()
    for horizon in (5, 3, 5):
        kept, recipe = stored(kept), BASELINES["har_ridge"](horizon)
        forecast_alone([recipe], panel, origin, kept)
    assert len(made) == 4
    assert sorted(kept.of("A")) == ["har_ridge 3", "har_ridge 5"]


def test_garch_that_did_not_converge_is_kept_too(panel, monkeypatch):
    asked = []
    monkeypatch.setattr(baselines.garch, "fit_garch", lambda _, *, falls: asked.append(falls))
    kept = KeptFits()
    first = forecasts(panel, panel.sessions()[-1], kept)
    assert len(asked) == 6  # GARCH is tried where GJR-GARCH does not converge
    again = forecasts(panel, panel.sessions()[-1], stored(kept))
    assert len(asked) == 6
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    of = {name: rows.reset_index(drop=True) for name, rows in first.groupby("recipe")}
    pd.testing.assert_series_equal(of["gjr"]["sigma"], of["ewma"]["sigma"])


@pytest.mark.parametrize("name", ["garch", "gjr"])
def test_parameters_of_garch_on_a_panel_are_kept(panel, garch_fits, name):
    recipe, until, kept = BASELINES[name](5), panel.sessions()[-20], KeptFits()
    first = recipe.fit(panel, until, kept=kept)
    kept = stored(kept)
    again = recipe.fit(panel, until, kept=kept)
    assert garch_fits == [name == "gjr"] * 2
    assert again == first
    assert rebuild(kept, panel.bars).different == ()


def test_a_ticker_too_young_at_the_end_of_the_month_is_fitted_to_the_origin(panel, made):
    evenings = evenings_of_a_month(panel)
    at = panel.sessions().get_loc(evenings[-1])
    young = panel.with_(bars={"A": panel["A"], "B": panel["B"].iloc[at - 106 : at + 1]})
    rows = forecasts(young, evenings[-1])
    fitted_on_a_hundred = {"random_walk", "drift", "historical", "garch", "gjr"}
    assert set(rows.loc[rows["ticker"] == "B", "recipe"]) == fitted_on_a_hundred
    assert fitted_on_a_hundred <= {
        name for name, ticker, last in made if (ticker, last) == ("B", evenings[-1])
    }


def test_a_ticker_without_a_bar_at_the_origin_has_no_rows(panel):
    origin = panel.sessions()[-1]
    resting = panel.with_(bars={"A": panel["A"], "B": panel["B"].iloc[:-3]})
    assert set(forecasts(resting, origin)["ticker"]) == {"A"}


def test_a_rebuild_tells_the_same_numbers_from_other_ones(panel):
    kept = KeptFits()
    forecasts(panel, panel.sessions()[-1], kept)
    found = rebuild(stored(kept), panel.bars)
    assert (found.different, found.moved) == ((), ())
    assert found.fits.contents() == kept.contents()

    fit = kept.of("A")["garch 5"]
    numbers = {**fit.numbers, "parameters": np.nextafter(fit.numbers["parameters"], 1)}
    kept.of("A")["garch 5"] = replace(fit, numbers=numbers)
    bars = {"A": panel["A"], "B": panel["B"] * 1.01}
    found = rebuild(kept, bars)
    assert (found.different, found.moved) == (("A",), ("B",))
    assert sorted(rebuild(kept, {"A": panel["A"]}).fits.contents()) == ["A"]


DAMAGE = {
    "cut": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "text": lambda content: b"[]",
    "digit": lambda content: content.replace(b'"numbers": {', b'"numbers":  {', 1),
    "seal": lambda content: b"0" * 64 + content[64:],
}


@pytest.mark.process
@pytest.mark.parametrize("damage", sorted(DAMAGE))
def test_a_file_of_no_use_changes_no_number(data, yahoo, lstm: Lstm, damage):
    path = Workspace(data).fits.path("MRK")
    assert lstm("daily", "-q").code == 0
    whole = path.read_bytes()
    path.write_bytes(DAMAGE[damage](whole))
    assert path.read_bytes() != whole
    go_to(yahoo, 1)
    answer = lstm("daily", "-q")
    assert (answer.code, answer.err) == (0, "")
    assert path.read_bytes() == whole  # what was read is the same, and so are the fits


def test_fits_of_other_versions_are_not_read(panel, monkeypatch):
    kept = KeptFits()
    forecasts(panel, panel.sessions()[-1], kept)
    assert stored(kept).of("A")
    other, written = {**made_by(), "scipy": "0.0.1"}, kept.contents()
    monkeypatch.setattr(baselines.kept_fits, "made_by", lambda: other)
    assert not KeptFits(written.get).of("A")


@pytest.mark.process
def test_an_evening_keeps_fits_and_the_next_one_makes_none(data, yahoo, lstm: Lstm, garch_fits):
    assert lstm("daily", "-q").code == 0
    fits = Workspace(data).fits
    assert fits.tickers() == ["MDT", "MRK"]
    assert len(garch_fits) == 4
    stamps = [fits.path(ticker).stat().st_mtime_ns for ticker in fits.tickers()]
    go_to(yahoo, 1)
    assert lstm("daily", "-q").code == 0
    assert len(garch_fits) == 4
    assert [fits.path(ticker).stat().st_mtime_ns for ticker in fits.tickers()] == stamps

    assert "4, whole" in lstm("doctor").out
    answer = lstm("doctor", "--rebuild")
    assert answer.code == 0
    assert "4 of 4 fits, the same numbers" in answer.out

    assert lstm("remove", "MRK").code == 0
    assert fits.tickers() == ["MDT"]


@pytest.mark.process
def test_a_past_origin_replaces_no_fit(data, lstm: Lstm):
    assert lstm("predict", "MRK", "--run", "pretrained", "--offline").code == 0
    path = Workspace(data).fits.path("MRK")
    whole = path.read_bytes()
    back = ("--as-of", "2014-11-10")
    assert lstm("predict", "MRK", "--run", "pretrained", "--offline", *back).code == 0
    assert path.read_bytes() == whole


@pytest.mark.process
def test_other_numbers_are_named_and_replaced(data, lstm: Lstm):
    assert lstm("daily", "-q").code == 0
    fits = Workspace(data).fits
    whole, kept = fits.read("MDT"), KeptFits(fits.read)
    [kind, fit], *_ = kept.of("MDT").items()
    numbers = {"parameters": fit.numbers["parameters"] * 1.01}
    kept.of("MDT")[kind] = replace(fit, numbers=numbers)
    kept.changed.add("MDT")
    fits.write(kept.contents())
    answer = lstm("doctor", "--rebuild")
    assert answer.code == 6
    assert "other ones of MDT" in answer.err
    assert fits.read("MDT") == whole
    assert lstm("doctor", "--rebuild").code == 0


@pytest.mark.process
def test_an_evening_goes_on_where_fits_cannot_be_kept(data, lstm: Lstm, no_room_for):
    no_room_for("baselines/*.bin")
    answer = lstm("daily")
    assert answer.code == 0
    assert answer.err.count("fits of baselines are not kept") == 1
    assert not Workspace(data).fits.tickers()
