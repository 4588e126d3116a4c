"""The run that ships: what it holds, and that its scores are those of the results."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lstmcli.config import load_config
from lstmcli.evaluation.metrics import realise
from lstmcli.evaluation.verdict import outcomes
from lstmcli.forecasters.calibrated import FittedCalibrated
from lstmcli.forecasters.panel_network import FittedPanel, PanelRecipe
from lstmcli.panel import MarketSeries, Panel
from lstmcli.pipeline.fetch import fetch
from lstmcli.pipeline.session import Session
from lstmcli.sources import CsvSource
from lstmcli.store import Workspace
from lstmcli.store.run_file import RunFile, from_bytes
from lstmcli.store.shipped import PATH, files_of, shipped_run

ROOT = Path(__file__).parent.parent
RESULTS = pd.read_csv(ROOT / "results" / "panel.csv")
STEPS = (1, 5, 10, 20)


def restored(found: RunFile) -> FittedPanel:
    files, recipe = files_of(found), load_config("pretrained").recipe()
    assert isinstance(recipe, PanelRecipe)
    return recipe.restore(files.state, files.fitted, history=files.history)


def panel_of(folder: Path, workspace: Workspace) -> Panel:
    session = Session(workspace)
    fetch(session, [], source=CsvSource(file=folder / "market30.csv.gz"))
    for ticker in ("^VIX", "^GSPC"):
        source = CsvSource(file=folder / f"{ticker}.csv")
        fetch(session, [ticker], store=workspace.market, source=source)
    bars = {ticker: workspace.bars.read(ticker)[0] for ticker in workspace.bars.tickers()}
    market = {
        name: MarketSeries(ticker, workspace.market.read(ticker)[0], "XNYS")
        for name, ticker in (("vix", "^VIX"), ("index", "^GSPC"))
    }
    return Panel(bars, dict.fromkeys(bars, "XNYS"), market)


def test_what_ships_is_small_and_holds_no_bars():
    found = from_bytes(PATH.read_bytes())
    assert PATH.stat().st_size < 500_000
    assert set(found.texts) == {"config.yaml", "state.json", "history.csv"}
    assert set(found.arrays) == {"panel"}
    # Two networks; two ridges in two modes; and what is shared. Nothing by session or by ticker.
    longest = max(max(array.shape, default=0) for array in found.arrays["panel"].values())
    assert longest <= 200
    assert len(found.manifest.tickers) == 500
    assert found.manifest.any_ticker


def test_the_scores_that_ship_are_those_of_the_results():
    shipped = pd.DataFrame(from_bytes(PATH.read_bytes()).provenance["scores"])
    own = RESULTS[(RESULTS["last"] - RESULTS["first"] == 7)]
    own = own[own["recipe"].str.startswith("pretrained")].reset_index(drop=True)
    assert len(shipped) == len(own) == 16
    pd.testing.assert_frame_equal(shipped, own[list(shipped)], check_dtype=False)


def test_the_verdict_that_ships_is_on_shares_that_it_never_saw():
    verdict = shipped_run().manifest.verdict
    assert verdict["unseen"] == {
        "tickers": 100,
        "trained_on": 500,
        "fit_ends": ["2015-12-31", "2019-12-31"],
        "fit_end": "2023-12-29",
    }
    skill = {row["baseline"]: row["crps_skill"] for row in verdict["steps"] if row["step"] == 5}
    row = RESULTS.query("judged == 'judges' and first == 2016 and last == 2023 and step == 5")
    [expected] = row.loc[row["recipe"] == "pretrained", "skill_har_ridge"]
    assert 100 * skill["har_ridge"] == pytest.approx(expected, abs=1e-4)


@pytest.mark.market
@pytest.mark.tensorflow
@pytest.mark.parametrize("cut", [2015, 2019])
def test_the_runs_that_were_judged_give_their_scores_again(cut, market_data, tmp_path):
    """On the thirty shares; the hundred others lie in a larger file."""
    network = restored(
        from_bytes((ROOT / "tests" / "runs" / f"pretrained-{cut}.lstmrun").read_bytes())
    )
    assert network.fit_end.year == cut
    panel = panel_of(market_data, Workspace(tmp_path))
    sessions = panel.sessions()
    origins = sessions[(sessions.year > cut) & (sessions.year <= cut + 4)]
    rows = FittedCalibrated(network, alone=True).forecast(panel, origins)
    came = outcomes(realise(rows[rows["step"].isin(STEPS)], panel))
    expected = RESULTS.query("judged == 'market30' and first == @cut + 1 and last == @cut + 4")
    expected = expected[expected["recipe"] == "pretrained"].set_index("step")
    for step, own in came.groupby("step"):
        means = own.groupby("ticker", observed=True)[["crps", "in80"]].mean().mean()
        assert 100 * means["crps"] == pytest.approx(expected["crps"][step], abs=1e-4)
        assert means["in80"] == pytest.approx(expected["coverage80"][step], abs=1e-4)
        assert len(own) == expected["forecasts"][step]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("network-0-0-0", lambda array: array[:-1]),
        ("wide-0-alone-slopes", lambda array: array[:, :-1]),
        ("har-0-market-mean", lambda array: array[1:]),
        ("shape-alone", lambda array: array.T),
        ("smearing-market", lambda array: array[:-1]),
        ("mean", lambda array: array[:-1]),
        ("scale", lambda array: array.astype(int)),
        ("network-0-1-8", lambda array: array * np.nan),
        ("wide-0-alone-mean", None),
        ("shape-alone", None),
    ],
)
def test_arrays_that_do_not_fit_are_refused(name, change):
    found = from_bytes(PATH.read_bytes())
    panel = dict(found.arrays["panel"])
    array = panel.pop(name)
    if change is not None:
        panel[name] = change(array)
    with pytest.raises(ValueError, match="its arrays"):
        restored(dataclasses.replace(found, arrays={"panel": panel}))


@pytest.mark.parametrize("part", ["mean", "scale", "coefficients"])
def test_a_clock_of_another_size_is_refused(part):
    found = from_bytes(PATH.read_bytes())
    state = json.loads(found.texts["state.json"])
    state["clocks"]["own"][part].pop()
    texts = {**found.texts, "state.json": json.dumps(state)}
    with pytest.raises(ValueError, match="do not fit together"):
        restored(dataclasses.replace(found, texts=texts))
