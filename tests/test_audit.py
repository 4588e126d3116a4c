"""Leak checks: each passes on what is sound, and fails on the fault it is there for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache, partial

import faults
import numpy as np
import pandas as pd
import pytest
from command import TINY, Lstm
from faults import Clairvoyant
from simulate import panel_of, simulate_bars

from lstmcli.evaluation import leaks, simulated_checks, simulation
from lstmcli.evaluation.metrics import realise
from lstmcli.forecasters.base import Fitted, Recipe
from lstmcli.forecasters.baselines import BASELINES, Ewma, Garch, Historical, RandomWalk
from lstmcli.forecasters.blend import Blend
from lstmcli.forecasters.calibrated import FittedCalibrated
from lstmcli.forecasters.network import NetworkRecipe
from lstmcli.forecasters.panel_network import PanelRecipe
from lstmcli.forecasters.panel_network.settings import PanelNetworkConfig
from lstmcli.forecasters.training import TrainingConfig
from lstmcli.frames import EARNINGS_SOURCES, check_bars, check_events, log_returns
from lstmcli.models import VARIANTS
from lstmcli.panel import Panel
from lstmcli.pipeline import audit as pipeline
from lstmcli.splits import SplitConfig
from lstmcli.windows import WindowConfig

pytestmark = pytest.mark.tensorflow

H = 3


@cache
def panel() -> Panel:
    return panel_of(A=simulate_bars(600, seed=1), B=simulate_bars(600, seed=2))


@cache
def with_everything() -> Panel:
    return faults.with_everything(panel(), simulate_bars(600, seed=3))


UNTIL = panel().sessions()[450]


def network(**changes) -> NetworkRecipe:
    fields = {
        "model": VARIANTS["dense"](units=(4,)),
        "window": WindowConfig(lookback=5, horizon=H),
        "split": SplitConfig(validation=40, calibration=40, test=40),
        # Slow enough that epoch 1 is kept: at epoch 0 no fault of the scaler shows.
        "training": TrainingConfig(epochs=2, members=1, learning_rate=0.003, threads=1),
    }
    return NetworkRecipe(**{**fields, **changes})


def test_features_that_look_back_only_pass():
    assert leaks.check_features(faults.honest_features, panel()).passed
    assert leaks.check_features(faults.honest_everything, with_everything()).passed


@pytest.mark.parametrize("leak", faults.LEAKY_FEATURES)
def test_a_feature_that_looks_ahead_is_found(leak: str):
    columns = faults.LEAKY_FEATURES[leak]
    found = leaks.check_features(columns, with_everything())
    assert not found.passed
    assert found.figure.endswith("of 10 differ; allowed 0")


def test_a_feature_that_looks_ahead_at_another_ticker_is_found():
    honest, leaky = (partial(faults.mean_close, shift=shift) for shift in (0, -1))
    assert leaks.check_features(honest, panel(), beside=True).passed
    found = leaks.check_features(leaky, panel(), beside=True)
    assert found.figure == "10 of 10 differ; allowed 0"


@pytest.mark.parametrize("column", ["dividend", "split"])
def test_a_feature_that_peeks_is_found_also_where_nothing_was_ever_paid(column: str):
    columns = faults.LEAKY_FEATURES[f"tomorrow's {column}"]
    assert leaks.check_features(columns, panel()).figure == "10 of 10 differ; allowed 0"


def test_a_feature_that_knows_the_next_event_is_found_however_rare_events_are():
    rare = with_everything().with_(events=with_everything().events.iloc[[0, 40]])
    found = leaks.check_features(faults.tomorrows_event, rare)
    assert found.figure == "10 of 10 differ; allowed 0"


@cache
def announced() -> Panel:
    """Return a panel with past dates of one source, and some that the user had known ahead."""
    with_past = with_everything().events.assign(source="yahoo_past")
    ahead = with_past.iloc[::3].assign(
        known_on=with_past["session"] - pd.Timedelta(30, "D"), source="user"
    )
    return panel().with_(events=pd.concat([with_past, ahead], ignore_index=True))


def test_announcements_that_were_known_pass():
    assert leaks.check_features(faults.next_announcement, announced()).passed
    assert leaks.check_features(faults.next_announcement, panel()).passed


@pytest.mark.parametrize("leak", faults.LEAKY_ANNOUNCEMENTS)
def test_an_announcement_that_was_not_yet_known_is_found(leak: str):
    found = leaks.check_features(faults.LEAKY_ANNOUNCEMENTS[leak], announced())
    assert not found.passed
    assert int(found.figure.split()[0]) >= 2  # of ten places


@pytest.mark.parametrize("source", EARNINGS_SOURCES)
def test_a_peek_is_found_also_where_no_announcement_is_stored(source: str):
    found = leaks.check_features(faults.LEAKY_ANNOUNCEMENTS[source], panel())
    assert found.figure == "10 of 10 differ; allowed 0"


def test_a_network_that_reads_events_before_they_are_known_is_found():
    loud = np.where(np.arange(600) % 20 == 0, 5.0, 1.0) * 0.01
    moves = loud * np.random.default_rng(4).standard_normal((2, 600))
    bars = (simulate_bars(600, seed=seed, returns=one) for seed, one in enumerate(moves))
    reacting = panel_of(**dict(zip("AB", bars, strict=True))).with_(events=announced().events)
    patient = TrainingConfig(epochs=10, members=1, learning_rate=0.01, threads=1)
    fields = vars(network(future=("earnings",), training=patient))
    origins = list(panel().sessions()[[460, 500, 560]])
    for recipe, sound in (
        (NetworkRecipe(**fields), True),
        (faults.KnowsEveryEvent(**fields), False),
    ):
        fitted = recipe.fit(reacting, UNTIL)
        assert leaks.check_forecast(fitted, reacting, origins).passed is sound


def test_what_was_known_stays_and_everything_after_changes():
    before = with_everything()
    session = before["A"].index[400]
    after = simulation.perturbed_panel(before, session, np.random.default_rng(0))
    assert after.until(session).sha256 == before.until(session).sha256
    for ticker, bars in after.items():
        check_bars(bars, ticker)
        later, old = bars.loc[bars.index > session], before[ticker].loc[bars.index > session]
        paid = old["dividend"] > 0
        assert paid.sum() > 2
        assert not np.isclose(later["dividend"], old["dividend"])[paid].any()
        assert (later["dividend"] > 0).sum() > paid.sum()
        assert (later["split"] > 0).sum() > 2
        assert (bars["dividend"] < bars["close"].shift(1)).iloc[1:].all()
        prices = ["open", "high", "low", "close", "volume"]
        assert not np.isclose(later[prices], old[prices], rtol=1e-9).any()
    vix, old = after.market["vix"].bars, before.market["vix"].bars
    assert not np.isclose(
        vix.loc[vix.index > session, "close"], old.loc[old.index > session, "close"]
    ).any()
    unknown = after.events[after.events["known_on"] > session]
    added, moved = (
        unknown[unknown["status"] == "confirmed"],
        unknown[unknown["status"] != "confirmed"],
    )
    assert 0 < len(moved) < (before.events["known_on"] > session).sum()
    assert (moved["session"] != before.events.loc[moved.index, "session"]).all()
    following = before["A"].index[401]
    assert set(added["known_on"]) == {session + pd.Timedelta(days=1)}
    stated = set(before.events["source"])
    for ticker in "AB":
        for source in (*EARNINGS_SOURCES, *stated):
            own = added[(added["ticker"] == ticker) & (added["source"] == source)]
            assert following in set(own["session"])
            assert (own["session"] <= session).any()
    check_events(after.events)


def test_what_stands_beside_changes_as_what_is_forecast_does():
    before = with_everything().narrow(["A"])
    session = before["A"].index[400]
    after = simulation.perturbed_panel(before, session, np.random.default_rng(0))
    assert after.until(session).sha256 == before.until(session).sha256
    old, new = before.beside["B"].loc[session:], after.beside["B"].loc[session:]
    assert not np.isclose(new["close"].iloc[1:], old["close"].iloc[1:], rtol=1e-9).any()
    shuffled = simulation.permuted_panel(before, np.random.default_rng(0))
    assert not np.isclose(
        shuffled.beside["B"]["close"].iloc[1:-1], before.beside["B"]["close"].iloc[1:-1]
    ).all()


def test_a_target_one_day_short_is_found():
    windows = network().windows(panel())
    assert leaks.check_targets(windows, panel()).passed
    assert not leaks.check_targets(faults.short_targets(windows), panel()).passed


def test_a_scaler_or_early_stopping_that_sees_the_test_block_is_found():
    assert leaks.check_fit(network(), panel(), UNTIL).passed
    fields = vars(network())
    for faulty in (faults.EverythingScaled, faults.StoppedOnTheTest):
        found = leaks.check_fit(faulty(**fields), panel(), UNTIL)
        assert not found.passed, faulty
        assert "allowed 0" in found.figure


def test_a_scaler_that_sees_the_test_block_is_found_where_no_epoch_helped():
    idle = network(training=TrainingConfig(epochs=1, members=1, learning_rate=1e-12, threads=1))
    assert leaks.check_fit(idle, panel(), UNTIL).passed
    found = leaks.check_fit(faults.EverythingScaled(**vars(idle)), panel(), UNTIL)
    assert not found.passed
    assert found.figure.endswith("scaling, quantiles and losses differ")


def test_a_forecast_that_knows_the_next_dividend_is_found():
    origins = list(panel().sessions()[[460, 500, 560]])
    for bars in (panel(), with_everything()):
        ewma = Ewma(H).fit(bars, UNTIL)
        assert leaks.check_forecast(ewma, bars, origins).passed
        assert not leaks.check_forecast(
            faults.KnowsTheDividend(ewma, UNTIL, UNTIL), bars, origins
        ).passed


def test_a_peek_is_found_in_what_is_published():
    """Calibration shows a recipe nothing that came after the newest origin asked for."""
    origins, bars = list(panel().sessions()[[460, 500, 560]]), with_everything()
    ewma = Ewma(H).fit(bars, UNTIL)
    peeks = faults.KnowsTheDividend(ewma, UNTIL, UNTIL)
    assert leaks.check_forecast(FittedCalibrated(ewma), bars, origins).passed
    assert not leaks.check_forecast(FittedCalibrated(peeks), bars, origins).passed


def test_a_forecast_that_reads_later_bars_is_found():
    origins = list(panel().sessions()[[460, 500, 560]])
    assert leaks.check_forecast(Ewma(H).fit(panel(), UNTIL), panel(), origins).passed
    clairvoyant = Clairvoyant(H).fit(panel(), UNTIL)
    assert not leaks.check_forecast(clairvoyant, panel(), origins).passed


def test_a_volatility_that_peeks_is_found():
    origins = list(panel().sessions()[[460, 500, 560]])
    fitted = faults.PeekingVolatility(**vars(network())).fit(panel(), UNTIL)
    assert not leaks.check_forecast(fitted, panel(), origins).passed


def test_skill_on_shuffled_sessions_is_found():
    assert simulated_checks.check_permuted(network(), panel()).passed
    patient = TrainingConfig(epochs=10, members=1, learning_rate=0.01, threads=1)
    leaky = faults.ReadsTomorrow(**vars(network(training=patient)))
    found = simulated_checks.check_permuted(leaky, panel())
    assert not found.passed
    assert found.figure.startswith("skill +")


@dataclass(frozen=True)
class Learnt:
    """A fitted recipe that was EWMA at epoch 0 and has become another one."""

    now: Fitted
    before: Fitted

    def forecast(self, panel: Panel, origins: pd.DatetimeIndex) -> pd.DataFrame:
        return self.now.forecast(panel, origins)

    def untrained(self) -> Fitted:
        return self.before


@dataclass(frozen=True)
class Becomes:
    """A network that training turns into a given recipe."""

    recipe: Recipe
    horizon: int

    def fit(self, panel: Panel, until: pd.Timestamp) -> Learnt:
        return Learnt(self.recipe.fit(panel, until), Ewma(H).fit(panel, until))


def test_a_network_that_learns_not_to_trust_ewma_is_honest():
    """On shuffled sessions a constant volatility is better than EWMA, which is no leak."""
    returns = 0.01 * np.random.default_rng(3).standard_t(3, (2, 1500))
    bars = (simulate_bars(1500, seed=number, returns=one) for number, one in enumerate(returns))
    heavy = panel_of(**dict(zip("AB", bars, strict=True)))
    found = simulated_checks.check_permuted(Becomes(Historical(H), H), heavy)
    assert found.passed
    better, worse = (float(part.split(" %")[0]) for part in found.figure.split("skill ")[1:])
    assert better > 0.5
    assert worse < 0
    found = simulated_checks.check_permuted(Becomes(Clairvoyant(H), H), heavy)
    assert not found.passed


def test_a_blend_is_judged_on_shuffled_sessions_against_itself_at_epoch_0():
    patient = TrainingConfig(epochs=10, members=1, learning_rate=0.01, threads=1)
    for recipe, sound in (
        (network(), True),
        (faults.ReadsTomorrow(**vars(network(training=patient))), False),
    ):
        blend = Blend((recipe, BASELINES["har"](H)), (0.5, 0.5))
        assert simulated_checks.check_permuted(blend, panel()).passed is sound


def test_a_network_that_stays_at_epoch_0_has_no_skill_against_itself():
    idle = network(training=TrainingConfig(epochs=1, members=1, learning_rate=1e-12, threads=1))
    found = simulated_checks.check_permuted(idle, panel())
    assert found.passed
    assert found.figure.startswith("skill +0.00 %")


def test_too_few_origins_are_no_evidence_of_a_leak():
    short = panel_of(A=simulate_bars(320, seed=1))
    small = network(split=SplitConfig(validation=20, calibration=20, test=20))
    until, origins = short.sessions()[300], short.sessions()[301:304]
    fitted = small.fit(short, until)
    rows = realise(fitted.forecast(short, origins), short)
    test = simulated_checks.skill_against(rows, rows)
    assert test is None
    assert not simulated_checks.beats(test)


def test_sessions_in_random_order_keep_their_returns():
    bars = panel()["A"]
    shuffled = simulation.permuted(bars, np.random.default_rng(0))
    before, after = np.sort(log_returns(bars).dropna()), np.sort(log_returns(shuffled).dropna())
    np.testing.assert_allclose(before, after, atol=1e-12)
    assert (shuffled["high"] >= shuffled[["open", "close", "low"]].max(axis=1) - 1e-9).all()
    assert not np.allclose(log_returns(bars).iloc[1:], log_returns(shuffled).iloc[1:])


def test_random_walks_that_seem_beaten_are_counted():
    assert not simulated_checks.random_walk_is_beaten(Ewma(H), H, seed=1)
    assert simulated_checks.random_walk_is_beaten(Clairvoyant(H), H, seed=1)
    assert simulated_checks.check_random_walks([False] * 20).passed
    assert simulated_checks.check_random_walks([True] * 3 + [False] * 17).passed
    assert not simulated_checks.check_random_walks([True] * 5 + [False] * 15).passed
    assert not simulated_checks.check_random_walks([True] * 20 + [False] * 180).passed


def test_a_planted_signal_is_found_by_a_network_and_missed_by_who_cannot_see_it():
    recipe = network(
        model=VARIANTS["dense"](units=(8,)),
        split=SplitConfig(validation=0.1, calibration=0.15),
        training=TrainingConfig(epochs=10, members=1, learning_rate=0.003, threads=1),
    )
    assert simulated_checks.check_planted(recipe, H).passed
    assert not simulated_checks.check_planted(Historical(H), H).passed


def test_a_planted_volatility_is_found_by_a_panel_network_and_missed_by_who_cannot_see_it():
    recipe = PanelRecipe(5, model=PanelNetworkConfig(batches=2), members=1, threads=1)
    found = simulated_checks.check_planted_volatility(recipe, 5, market=("vix", "index"))
    assert found.passed, found.figure
    for blind in (Historical(5), Ewma(5)):
        missed = simulated_checks.check_planted_volatility(blind, 5)
        assert not missed.passed, missed.figure


def test_simulated_garch_is_forecast_by_garch_and_not_by_a_constant():
    sound = simulated_checks.check_oracle(Garch(1), 1)
    assert sound.passed, sound.figure
    constant = simulated_checks.check_oracle(RandomWalk(1), 1)
    assert not constant.passed, constant.figure


def test_what_knows_the_direction_too_well_is_suspect():
    origins = panel().sessions()[100:500]
    honest = realise(Ewma(H).fit(panel(), UNTIL).forecast(panel(), origins), panel())
    assert leaks.check_plausible(honest).passed
    knows = realise(Clairvoyant(H, lean=0.05).forecast(panel(), origins), panel())
    found = leaks.check_plausible(knows)
    assert not found.passed
    assert found.figure.endswith(": SUSPECT")
    assert leaks.describe_copying(honest).passed is None


def test_tickers_that_move_together_are_one_guess_a_date():
    """Thirty tickers that rise on the same days: their rows are no thirty outcomes."""
    days = pd.bdate_range("2020-01-01", periods=50)
    up = np.where(np.arange(50) % 5 < 3, 1.0, -1.0)  # right on 60 % of the dates
    rows = pd.DataFrame({"made_on": np.repeat(days, 30), "realised": 0.01 * np.repeat(up, 30)})
    rows = rows.assign(step=1, q50=1e-5, sigma=0.01)
    assert leaks.check_plausible(rows).passed
    alone = rows.assign(made_on=pd.bdate_range("1990-01-01", periods=len(rows)))
    assert not leaks.check_plausible(alone).passed


def test_tickers_that_rise_together_are_hardly_ever_suspect():
    """Medians are always up, and the market rises: 53 % of days, half of it common."""
    generator = np.random.default_rng(4)
    rows = pd.DataFrame({"made_on": np.repeat(pd.bdate_range("2020-01-01", periods=100), 30)})
    rows = rows.assign(step=1, q50=1e-5, sigma=0.01)
    suspect = 0
    for _ in range(200):
        common = np.repeat(generator.standard_normal(100), 30)
        noise = np.sqrt(0.5) * (common + generator.standard_normal(3000))
        suspect += not leaks.check_plausible(rows.assign(realised=0.01 * (noise + 0.08))).passed
    assert suspect <= 2


def test_few_dates_are_never_suspect():
    for dates in (1, 2, 19):
        days = pd.bdate_range("2020-01-01", periods=dates)
        rows = pd.DataFrame(
            {"made_on": days, "step": 1, "q50": 0.01, "realised": 0.01, "sigma": 0.01}
        )
        found = leaks.check_plausible(rows)
        assert found.passed
        assert "nan" not in found.figure
    assert not leaks.check_plausible(
        pd.concat([rows, rows.tail(1).assign(made_on=pd.Timestamp("2021-01-01"))])
    ).passed


AUDIT = ["audit", "GOOG", *TINY, "--set", "window.horizon=2", "--workers"]


@pytest.fixture
def few_walks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate four random walks; each trains a network."""
    monkeypatch.setattr(pipeline, "SIMULATIONS", 4)


def test_the_command_names_each_check_and_what_it_measured(lstm: Lstm, workspace, few_walks):
    answer = lstm(*AUDIT, "2", "--set", "training.epochs=10", "--json")
    told = json.loads(answer.out)
    failed = [check["check"] for check in told["checks"] if check["passed"] is False]
    # So small a network need not find the signal; it must not leak.
    assert set(failed) <= {
        "a planted signal is found",
        "simulated GARCH is forecast like its maker would",
    }
    assert answer.code == (6 if failed else 0)
    assert len(told["checks"]) == 10
    assert told["checks"][-1]["did"] == "4 simulated random walks, one network each"
    assert all(check["did"] and check["figure"] for check in told["checks"])


@pytest.mark.nightly
def test_two_hundred_random_walks_are_not_beaten(lstm: Lstm, workspace):
    answer = lstm(*AUDIT, "2", "--thorough", "--json")
    checks = {check["check"]: check for check in json.loads(answer.out)["checks"]}
    walks = checks["random walks are not beaten"]
    assert walks["did"] == "200 simulated random walks, one network each"
    assert walks["passed"], walks["figure"]


def test_a_check_that_fails_ends_the_command_with_6(lstm: Lstm, workspace, few_walks):
    answer = lstm(*AUDIT, "1", "--set", "training.learning_rate=1.0e-9")
    assert answer.code == 6
    assert "FAIL  a planted signal is found" in answer.out
    assert "pass  features look back only" in answer.out
    assert answer.out.rstrip().endswith("checks failed.")
    assert max(map(len, answer.out.splitlines())) <= 79


@pytest.mark.parametrize(
    ("line", "code"), [(["NOPE"], 3), (["GOOG", "-c", "nope"], 2), (["GOOG", "--workers", "0"], 2)]
)
def test_what_cannot_be_audited_is_refused(lstm: Lstm, workspace, line, code):
    answer = lstm("audit", *line)
    assert (answer.code, answer.out) == (code, "")
