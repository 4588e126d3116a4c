"""A contract that every recipe keeps, and the fit of a network."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from simulate import events_of, panel_of, simulate_bars

from lstmcli.errors import NoDataError
from lstmcli.forecasters.base_quantiles import base_quantiles
from lstmcli.forecasters.baselines import BASELINES, Ewma, RandomWalk
from lstmcli.forecasters.baselines.har import FittedHar, Har
from lstmcli.forecasters.blend import Blend
from lstmcli.forecasters.filtered_simulation import MEMORY
from lstmcli.forecasters.network import FittedNetwork, NetworkRecipe
from lstmcli.forecasters.network_state import NetworkState
from lstmcli.forecasters.run_recipe import FitSummary
from lstmcli.forecasters.training import Epoch, Silent, TrainingConfig
from lstmcli.forecasters.volatility.har import HarVolatility
from lstmcli.frames import (
    FORECAST_COLUMNS,
    QUANTILE_COLUMNS,
    QUANTILES,
    check_forecast,
    log_returns,
)
from lstmcli.models import VARIANTS
from lstmcli.panel import MarketSeries, Panel, View
from lstmcli.splits import SplitConfig
from lstmcli.windows import WindowConfig

pytestmark = [pytest.mark.tensorflow, pytest.mark.usefixtures("one_thread")]

LEVELS = list(QUANTILE_COLUMNS)
H = 4
SETTINGS = {
    "dense": {"units": (4,)},
    "stacked": {"units": (4, 4)},
    "cnn_lstm": {"filters": 4, "units": 4},
    "conv_lstm": {"filters": 2, "stretches": 3},
}


def small_settings(name: str) -> dict[str, object]:
    """Return settings that keep a network small; a new variant may have none of these."""
    few = {"units": 4} if "units" in VARIANTS[name].model_fields else {}
    return SETTINGS.get(name, few)


SHORT = SplitConfig(validation=10, calibration=10, test=10)


def network(name: str = "lstm", **changes) -> NetworkRecipe:
    """Return a small recipe; every variant, two features, one epoch."""
    fields = {
        "model": VARIANTS[name](**small_settings(name)),
        "features": ("log_return", "range"),
        "window": WindowConfig(lookback=12, horizon=H),
        "split": SplitConfig(validation=30, calibration=10, test=10),
        "training": TrainingConfig(epochs=1, members=1, learning_rate=0.01),
    }
    return NetworkRecipe(**{**fields, **changes})


RECIPES = (
    {name: recipe(H) for name, recipe in BASELINES.items()}
    | {name: network(name) for name in VARIANTS}
    | {
        "scaled": network(scale="har", label="scaled", split=SHORT),
        "blended": Blend(
            (network(label="blended", split=SHORT), Har(H, earnings=True, lags=True)), (0.5, 0.5)
        ),
        "informed": network(
            features=("log_return", "vix_level", "vix_return"),
            future=("weekday", "user:trial"),
            label="informed",
        ),
    }
)
every_recipe = pytest.mark.parametrize("name", RECIPES)


@cache
def bars(seed: int = 0, sessions: int = 430) -> pd.DataFrame:
    return simulate_bars(sessions, seed=seed)


@cache
def panel() -> Panel:
    """Return two tickers, with a market series and events that most recipes do not read."""
    return panel_of(A=bars(0), B=bars(1)).with_(
        market={"vix": MarketSeries("^VIX", bars(9), "XNYS")},
        events=trials(*((ticker, n) for n in range(20, 430, 9) for ticker in "AB")),
    )


def trials(*announced: tuple[str, int]) -> pd.DataFrame:
    """Return events on some sessions by number, each announced three sessions before."""
    days = [f"{day:%Y-%m-%d}" for day in bars().index]
    return events_of(
        "user:trial", *((ticker, days[n], days[n - 3], "expected") for ticker, n in announced)
    )


UNTIL = bars().index[370]
ORIGINS = bars().index[[380, 400, 429]]


@cache
def fitted(name: str):
    return shaken(RECIPES[name].fit(panel(), UNTIL))


def network_of(found):
    """Return the network of a blend, recipe or fitted; of anything else itself."""
    return getattr(found, "network", found)


def shaken(found):
    """Return a fitted recipe; its networks, if any, no longer forecast the mere baseline."""
    for member in getattr(network_of(found), "networks", ()):
        generator = np.random.default_rng(5)
        for weight in member.trainable_variables:
            weight.assign_add(0.1 * generator.standard_normal(weight.shape))
    return found


@cache
def forecast(name: str) -> pd.DataFrame:
    return fitted(name).forecast(panel(), ORIGINS)


@every_recipe
def test_a_forecast_has_its_columns_and_ascending_quantiles(name: str):
    rows = forecast(name)
    assert tuple(rows.columns) == FORECAST_COLUMNS
    check_forecast(rows)
    assert len(rows) == 2 * len(ORIGINS) * H
    assert set(rows["recipe"]) == {name}
    assert (rows["sigma"] > 0).all()
    first = rows[rows["ticker"] == "A"].iloc[:H]
    assert first["step"].tolist() == [1, 2, 3, 4]
    assert first["target_on"].tolist() == bars().index[381:385].tolist()
    assert (first["last_close"] == bars()["close"].iloc[380]).all()


@every_recipe
def test_a_forecast_uses_no_session_after_its_origin(name: str):
    for origin in ORIGINS:
        cut = fitted(name).forecast(panel().until(origin), pd.DatetimeIndex([origin]))
        whole = forecast(name)[forecast(name)["made_on"] == origin].reset_index(drop=True)
        # Batches of another size may round the last float32 digit differently.
        np.testing.assert_allclose(cut[LEVELS], whole[LEVELS], rtol=1e-5, atol=1e-8)
        pd.testing.assert_frame_equal(
            cut[["ticker", "made_on", "step", "target_on"]],
            whole[["ticker", "made_on", "step", "target_on"]],
        )


def spoilt_after(session: pd.Timestamp) -> Panel:
    """Return the panel with other bars, market and events after a session."""

    def spoilt(rows: pd.DataFrame) -> pd.DataFrame:
        rows = rows.copy()
        rows.loc[rows.index > session, ["open", "high", "low", "close"]] *= 3.7
        return rows

    vix, events = panel().market["vix"], panel().events
    return panel().with_(
        bars={ticker: spoilt(rows) for ticker, rows in panel().items()},
        market={"vix": replace(vix, bars=spoilt(vix.bars))},
        # What was announced later never was; each session after has an announcement instead.
        events=pd.concat(
            [
                events[events["known_on"] <= session],
                trials(*(("A", n) for n in range(3, 430) if bars().index[n - 3] > session)),
            ]
        ),
    )


@every_recipe
def test_a_forecast_does_not_change_with_what_comes_after_its_origin(name: str):
    for origin in ORIGINS:
        here = pd.DatetimeIndex([origin])
        pd.testing.assert_frame_equal(
            fitted(name).forecast(spoilt_after(origin), here), fitted(name).forecast(panel(), here)
        )


@pytest.mark.parametrize("peek", ["market", "events"])
def test_a_planted_peek_is_found(peek: str, monkeypatch: pytest.MonkeyPatch):
    if peek == "market":
        sound = View.at_close
        monkeypatch.setattr(
            View, "at_close", lambda view, name, column: sound(view, name, column).shift(-1)
        )
    else:
        monkeypatch.setattr(
            View, "events", lambda view, kind: view.panel.events.assign(known_on=pd.Timestamp(0))
        )
    recipe = RECIPES["informed"]
    early = shaken(recipe.fit(panel(), UNTIL))
    here = pd.DatetimeIndex([UNTIL])
    with pytest.raises(AssertionError):
        pd.testing.assert_frame_equal(
            early.forecast(spoilt_after(UNTIL), here), early.forecast(panel(), here)
        )


@pytest.mark.parametrize("name", ["lstm", "encoder_decoder", "scaled", "blended", "informed"])
def test_windows_cut_once_give_the_same_fit_and_the_same_forecast(name: str):
    recipe = RECIPES[name]
    windows = recipe.prepare(panel())
    prepared = shaken(recipe.fit(panel(), UNTIL, prepared=windows))
    assert prepared.stored_state() == fitted(name).stored_state()
    pd.testing.assert_frame_equal(prepared.forecast(panel(), ORIGINS), forecast(name))
    one = panel().only(["B"]).until(ORIGINS[0])
    pd.testing.assert_frame_equal(
        prepared.forecast(one, ORIGINS[:1]), fitted(name).forecast(one, ORIGINS[:1])
    )


@every_recipe
def test_a_fit_uses_no_session_after_its_end(name: str):
    again = shaken(RECIPES[name].fit(spoilt_after(UNTIL), UNTIL))
    here = pd.DatetimeIndex([UNTIL])
    pd.testing.assert_frame_equal(
        again.forecast(panel(), here), fitted(name).forecast(panel(), here)
    )
    assert again.fit_end == UNTIL


@every_recipe
def test_ten_times_the_price_gives_ten_times_the_forecast(name: str):
    prices = ["open", "high", "low", "close", "dividend"]
    dearer = {
        ticker: rows.assign(**{column: 10 * rows[column] for column in prices})
        for ticker, rows in panel().items()
    }
    dear = panel().with_(bars=dearer)
    # What a fit keeps must not depend on the price either.
    again = shaken(RECIPES[name].fit(dear, UNTIL))
    for recipe in (fitted(name), again):
        scaled = recipe.forecast(dear, ORIGINS)
        np.testing.assert_allclose(scaled["last_close"], 10 * forecast(name)["last_close"])
        np.testing.assert_allclose(scaled[LEVELS], forecast(name)[LEVELS], rtol=1e-4, atol=1e-7)


@every_recipe
def test_a_ticker_without_a_bar_on_the_origin_has_no_forecast(name: str):
    short = panel().with_(bars={"A": bars(0), "B": bars(1).iloc[:-10]})
    rows = fitted(name).forecast(short, ORIGINS[-1:])
    assert set(rows["ticker"]) == {"A"}


def test_a_random_walk_has_the_volatility_of_its_training_sessions():
    rows = forecast("random_walk")
    returns = log_returns(bars()).loc[:UNTIL].dropna()
    sigma = np.sqrt((returns**2).mean())
    one = rows[(rows["ticker"] == "A") & (rows["step"] == 1)].iloc[0]
    assert one["sigma"] == pytest.approx(sigma)
    assert one["q50"] == pytest.approx(0, abs=1e-12)
    assert one["q975"] == pytest.approx(1.959964 * sigma, rel=1e-6)


def test_ewma_is_the_quantiles_of_past_errors_times_the_volatility_of_today():
    rows = simulate_bars(MEMORY + 300, seed=5)
    returns = log_returns(rows).fillna(0).to_numpy()
    variance, weight = 0.0, 0.0
    scale = np.full(len(rows), np.nan)
    for t in range(1, len(rows)):
        variance, weight = 0.94 * variance + returns[t] ** 2, 0.94 * weight + 1
        scale[t] = np.sqrt(variance / weight)
    t, h = len(rows) - 1, 3
    errors = [
        returns[s + 1 : s + h + 1].sum() / (scale[s] * np.sqrt(h))
        for s in range(t - h - MEMORY + 1, t - h + 1)
    ]
    expected = np.quantile(errors, QUANTILES) * scale[t] * np.sqrt(h)
    one = panel_of(A=rows)
    found = Ewma(h).fit(one, rows.index[500]).forecast(one, rows.index[-1:])
    np.testing.assert_allclose(found[LEVELS].iloc[h - 1], expected, rtol=1e-8)


def test_baselines_refuse_a_history_that_says_nothing():
    short = panel_of(A=simulate_bars(60))
    for recipe in (RandomWalk(H), Ewma(H)):
        with pytest.raises(NoDataError, match=r"at least 10\d sessions"):
            recipe.fit(short, short.sessions()[-1])


def test_the_scaler_sees_training_sessions_only():
    state = fitted("lstm").state
    last = pd.Timestamp(state.blocks["train"][1])
    assert last < pd.Timestamp(state.blocks["validation"][0])
    seen = np.concatenate(
        [log_returns(panel()[ticker]).loc[:last].dropna().to_numpy() for ticker in panel()]
    )
    # Also the range is finite from the second session on, and so the rows agree.
    assert state.mean[0] == pytest.approx(seen.mean(), abs=1e-9)
    assert state.scale[0] == pytest.approx(seen.std(), rel=1e-6)


def test_blocks_of_a_fit_follow_one_another_with_a_purge():
    blocks = fitted("lstm").state.blocks
    days = panel().sessions()
    for before, after in [("train", "validation"), ("validation", "calibration")]:
        gap = days.get_loc(pd.Timestamp(blocks[after][0])) - days.get_loc(
            pd.Timestamp(blocks[before][1])
        )
        assert gap == H + 1
    assert days.get_loc(pd.Timestamp(blocks["calibration"][1])) + H == days.get_loc(UNTIL)


def test_the_untrained_network_is_kept_when_no_epoch_is_better():
    hopeless = network(training=TrainingConfig(epochs=2, members=1, learning_rate=1.0))
    found = hopeless.fit(panel(), UNTIL)
    assert found.state.best_epochs == (0,)
    assert found.history["epoch"].tolist() == [0, 1, 2]
    rows = found.forecast(panel(), ORIGINS[:1])
    base = np.asarray(found.state.base_quantiles)
    assert len(rows) == 2 * H
    np.testing.assert_allclose(
        rows[LEVELS].to_numpy()[:H] / rows["sigma"].to_numpy()[:H, None], base, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("name", ["lstm", "scaled", "blended", "informed"])
def test_the_untrained_self_of_a_network_is_its_epoch_0(name: str):
    """That of a hopeless training, which keeps its untrained network."""
    recipe = RECIPES[name]
    training = TrainingConfig(epochs=1, members=1, learning_rate=1.0, patience=1)
    hopeless = replace(network_of(recipe), training=training)
    if name == "blended":
        hopeless = replace(recipe, recipes=(hopeless, *recipe.recipes[1:]))
    found = hopeless.fit(panel(), UNTIL)
    assert found.best_epochs == (0,)
    rows = shaken(hopeless.fit(panel(), UNTIL)).untrained().forecast(panel(), ORIGINS)
    assert set(rows["recipe"]) == {f"{name}-untrained"}
    epoch_0 = found.forecast(panel(), ORIGINS)
    np.testing.assert_allclose(rows[LEVELS], epoch_0[LEVELS], rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(rows["sigma"], epoch_0["sigma"], rtol=1e-4)
    assert not np.allclose(forecast(name)[LEVELS], rows[LEVELS], rtol=1e-3)


def test_a_network_finds_volatility_that_follows_the_range():
    """Calm and wild spells of ten sessions: EWMA is too slow to follow them."""
    generator = np.random.default_rng(3)
    spells = np.repeat(generator.choice([0.004, 0.03], 200), 10)
    rows = simulate_bars(len(spells), returns=spells * generator.standard_normal(len(spells)))
    one = panel_of(A=rows)
    recipe = network(training=TrainingConfig(epochs=15, members=1, learning_rate=0.01))
    found = recipe.fit(one, rows.index[-1])
    best = found.history["validation_loss"].min()
    assert best < 0.99 * found.history["validation_loss"].iloc[0]


class Recorder(Silent):
    """A watch that keeps what it is given, and can stop a fit."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.kept: dict[str, dict[str, np.ndarray]] = {}
        self.epochs: list[Epoch] = []
        self.stop_at = stop_at

    def on_epoch(self, epoch: Epoch) -> None:
        self.epochs.append(epoch)
        if len(self.epochs) == self.stop_at:
            raise KeyboardInterrupt

    def load(self, key: str):
        return self.kept.get(key)

    def save(self, key: str, arrays) -> None:
        self.kept[key] = {name: np.array(array) for name, array in arrays.items()}


def test_a_resumed_fit_is_the_uninterrupted_fit():
    recipe = network(training=TrainingConfig(epochs=3, members=2, learning_rate=0.003))
    whole = recipe.fit(panel(), UNTIL)
    watch = Recorder(stop_at=4)  # in the second member
    with pytest.raises(KeyboardInterrupt):
        recipe.fit(panel(), UNTIL, watch=watch)
    watch.stop_at = None
    resumed = recipe.fit(panel(), UNTIL, watch=watch)
    assert len(watch.epochs) == 6
    pd.testing.assert_frame_equal(
        resumed.forecast(panel(), ORIGINS), whole.forecast(panel(), ORIGINS)
    )
    columns = ["member", "epoch", "loss", "validation_loss"]
    pd.testing.assert_frame_equal(resumed.history[columns], whole.history[columns])


def test_early_stopping_waits_as_long_as_its_patience():
    recipe = network(training=TrainingConfig(epochs=20, members=1, patience=2, learning_rate=1.0))
    history = recipe.fit(panel(), UNTIL).history
    best = history["validation_loss"].idxmin()
    assert history["epoch"].iloc[-1] == history["epoch"].iloc[best] + 2


def test_a_time_limit_ends_a_fit_after_an_epoch_and_keeps_the_best_weights():
    limit = TrainingConfig(epochs=50, patience=50, members=1, max_minutes=1e-6, learning_rate=0.01)
    history = network(training=limit).fit(panel(), UNTIL).history
    assert history["epoch"].tolist() == [0, 1]
    assert TrainingConfig(max_minutes=6, members=3, refit=True).seconds() == 60


def test_members_are_averaged_quantile_by_quantile():
    recipe = network(training=TrainingConfig(epochs=1, members=2, learning_rate=0.01))
    both = recipe.fit(panel(), UNTIL)
    single = [
        FittedNetwork(recipe, (each,), both.state, both.history).forecast(panel(), ORIGINS)[LEVELS]
        for each in both.networks
    ]
    assert not np.allclose(single[0], single[1], rtol=1e-6, atol=0)
    np.testing.assert_allclose(
        both.forecast(panel(), ORIGINS)[LEVELS], (single[0] + single[1]) / 2, rtol=1e-6, atol=1e-9
    )


def test_a_scale_from_har_divides_the_target_by_the_volatility_of_each_step():
    found = fitted("scaled")
    assert found.state.volatility is not None
    recipe = RECIPES["scaled"]
    windows = recipe.windows(panel(), found.state.volatility)
    last = windows.rows(ORIGINS[-1:], labelled=False)
    sigma = found.state.volatility.sigma(panel())
    np.testing.assert_allclose(windows.scale(last), [sigma["A"][-1], sigma["B"][-1]])
    train = windows.rows(
        pd.DatetimeIndex(windows.session[windows.session <= np.datetime64(
            found.state.blocks["train"][1])]).unique(), labelled=True)  # fmt: skip
    scaled = windows.y(train, H) / windows.scale(train)[:, H - 1]
    np.testing.assert_allclose(
        found.state.base_quantiles[H - 1], base_quantiles(scaled, H), rtol=1e-5
    )


def test_a_blend_is_the_mean_of_the_network_and_har():
    found = fitted("blended")
    alone = FittedNetwork(
        network(split=SHORT, label="blended"),
        found.network.networks,
        found.network.state,
        found.network.history,
    ).forecast(panel(), ORIGINS)
    har = HarVolatility(H, earnings=True, lags=True).fit(panel(), found.network.trained_until)
    other = FittedHar(har, found.fit_end, found.fit_end).forecast(panel(), ORIGINS)
    numbers = [*LEVELS, "sigma"]
    np.testing.assert_allclose(
        forecast("blended")[numbers], (alone[numbers] + other[numbers]) / 2, rtol=1e-6
    )
    assert not np.allclose(alone["q05"], other["q05"], rtol=1e-3)


def test_the_volatility_of_a_network_is_learnt_from_its_training_block():
    state = fitted("scaled").state
    train = panel().until(pd.Timestamp(state.blocks["train"][1]))
    again = HarVolatility(H, earnings=True, lags=True).fit(train, train.sessions()[-1])
    assert again == state.volatility


@pytest.mark.parametrize("name", ["lstm", "scaled", "blended"])
def test_what_a_run_keeps_comes_back_with_the_same_digits(name: str):
    """By the export, and by the networks themselves where they are loaded, too."""
    recipe, found = RECIPES[name], fitted(name)
    exported = found.exported(lambda stage: None)
    for kept in (found, exported):
        state, files = kept.stored_state(), kept.files()
        again = recipe.restore(state, files, history=found.history)
        pd.testing.assert_frame_equal(
            again.forecast(panel(), ORIGINS), kept.forecast(panel(), ORIGINS), check_exact=True
        )
        assert (again.fit_end, again.learns_from) == (found.fit_end, found.learns_from)
        assert (again.recipe, again.best_epochs) == (recipe, found.best_epochs)
        assert again.stored_state() == state
    assert set(exported.files()) == {"network-01.keras", "forecast.tflite"}
    assert not network_of(recipe.restore(state, files, history=found.history)).networks
    whole = recipe.restore(state, files, history=found.history, with_keras=True)
    assert whole.parameters == found.parameters
    summary = FitSummary.model_validate_json(state)
    assert (summary.fit_end, summary.best_epochs) == (str(found.fit_end.date()), found.best_epochs)


def test_a_blend_is_kept_with_its_har():
    found = fitted("blended")
    state = NetworkState.model_validate_json(found.stored_state())
    assert state.volatility == found.parts[1].volatility is not None
    assert found.network.state.volatility is None


@pytest.mark.parametrize("name", ["lstm", "blended"])
def test_a_network_without_attention_has_no_weights(name: str):
    assert fitted(name).attention(panel(), "A", ORIGINS[-1]) is None


def test_another_seed_gives_another_forecast():
    other = network(seed=8).fit(panel(), UNTIL).forecast(panel(), ORIGINS)
    assert not np.allclose(other[LEVELS], forecast("lstm")[LEVELS], rtol=1e-6, atol=0)


def test_too_few_sessions_are_refused():
    short = panel_of(A=simulate_bars(120))
    with pytest.raises(NoDataError, match="to train on"):
        network().fit(short, short.sessions()[-1])
