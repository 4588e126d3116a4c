"""Walk-forward: folds, what a backtest writes, and what it survives."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import signal
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from command import LAST, NOW, SMALL, TINY, Lstm, finished, hinted, spawn, start, wait_for
from simulate import panel_of, simulate_bars

from lstmcli.errors import NoDataError
from lstmcli.evaluation.backtest import (
    BacktestConfig,
    calibrate_folds,
    cut_folds,
    judged_steps,
    taking_part,
)
from lstmcli.evaluation.tasks import FoldTask
from lstmcli.evaluation.verdict import outcomes
from lstmcli.forecasters.baselines import (
    BASELINES,
    LADDER,
    READ_DATES,
    Ewma,
    Historical,
    RandomWalk,
)
from lstmcli.forecasters.calibration import calibrate
from lstmcli.frames import (
    FORECAST_COLUMNS,
    INTERVAL_COLUMNS,
    QUANTILE_COLUMNS,
    check_forecast,
    log_returns,
    of_recipe,
)
from lstmcli.panel import Panel
from lstmcli.pipeline.backtest_result import left_out_rows
from lstmcli.store import Workspace

pytestmark = pytest.mark.process

H = 20
DAYS = pd.DatetimeIndex(simulate_bars(2000).index)


def folds(**changes):
    return cut_folds(DAYS, BacktestConfig(**changes), horizon=H, least=500)


def test_folds_follow_one_another_and_cover_the_last_years():
    cut = folds(folds=4)
    assert [fold.number for fold in cut] == [1, 2, 3, 4]
    every = np.concatenate([fold.origins for fold in cut])
    last = len(DAYS) - H
    np.testing.assert_array_equal(every, DAYS[last - len(every) : last])
    assert len(every) == pytest.approx(4 * 252, abs=3)
    assert max(len(fold.origins) for fold in cut) - min(len(fold.origins) for fold in cut) <= 5


def test_a_fit_ends_before_its_fold_and_rolls_or_expands():
    for fold in folds(folds=3, train_years=2):
        assert DAYS.get_loc(fold.until) + 1 == DAYS.get_loc(fold.origins[0])
        assert (fold.origins[0] - fold.since).days == pytest.approx(730, abs=4)
    assert {fold.since for fold in folds(folds=3, expanding=True)} == {DAYS[0]}


def test_start_and_end_are_the_first_and_the_last_origin():
    first, last = DAYS[900], DAYS[1300]
    cut = folds(folds=2, start=first.date(), end=last.date())
    assert (cut[0].origins[0], cut[-1].origins[-1]) == (first, last)


def test_too_few_sessions_say_how_many_folds_fit():
    with pytest.raises(NoDataError, match="500 sessions to fit on") as caught:
        folds(folds=8)
    assert caught.value.hint == "--set backtest.folds=5"
    assert len(folds(folds=5)) == 5
    with pytest.raises(NoDataError) as caught:
        cut_folds(DAYS[:300], BacktestConfig(folds=2), horizon=H, least=500)
    assert "fetch" in caught.value.hint


def test_who_has_less_than_two_years_or_has_ended_does_not_take_part():
    bars = simulate_bars(2000)
    one, two = folds(folds=2)
    ends = [bars.index.get_loc(fold.until) for fold in (one, two)]
    panel = panel_of(
        WHOLE=bars,
        TWO_YEARS=bars.iloc[ends[1] - 503 :],
        A_DAY_LESS=bars.iloc[ends[1] - 502 :],
        ENDED=bars.iloc[: ends[0] + 1],
        BARELY=bars.iloc[: ends[1] + 1],
    )
    assert set(taking_part(panel, one)) == {"WHOLE", "BARELY"}
    assert set(taking_part(panel, two)) == {"WHOLE", "TWO_YEARS"}


def test_every_forecast_is_written_with_what_came(proven):
    data, answer = proven
    rows = pd.read_parquet(finished(data) / "forecasts.parquet")
    columns = [
        "recipe",
        "calibrated",
        "ticker",
        "made_on",
        "step",
        "target_on",
        "last_close",
        "sigma",
    ]
    columns += [*QUANTILE_COLUMNS, *INTERVAL_COLUMNS, "realised", "variance", "unit", "naive"]
    assert [*columns, "fold", "usual_sign"] == list(rows.columns)
    assert set(rows["step"]) == {1, 2}  # the last one is among them
    recipes = {"smoke", "smoke-untrained", *BASELINES} - {*READ_DATES}
    # Every recipe on the same origins, each fold's after its fit.
    sizes = rows.groupby(["recipe", "calibrated"]).size()
    assert set(sizes.index) == {(name, kind) for name in recipes for kind in (False, True)}
    assert sizes.nunique() == 1
    bars = Workspace(data).bars.read("AAA")[0]
    returns = log_returns(bars)
    some = rows[rows["ticker"] == "AAA"].sample(20, random_state=0)
    for row in some.itertuples():
        came = returns.loc[row.made_on : row.target_on].iloc[1:].sum()
        assert row.realised == pytest.approx(came, abs=1e-12)
    folds = json.loads(answer.out)["folds"]
    assert len(folds) == 3
    spans = rows.groupby("fold")["made_on"].agg(["min", "max"])
    assert spans.index.tolist() == [1, 2, 3]
    assert [[f"{day:%Y-%m-%d}" for day in span] for span in spans.itertuples(index=False)] == folds
    assert str(rows["made_on"].min().date()) == folds[0][0]
    assert str(rows["made_on"].max().date()) == folds[-1][1]


@pytest.mark.parametrize(
    ("horizon", "steps"),
    [
        (1, (1,)),
        (3, (1, 3)),
        (5, (1, 5)),
        (20, (1, 5, 10, 20)),
        (21, (1, 5, 10, 20, 21)),
        (60, (1, 5, 10, 20, 60)),
    ],
)
def test_the_last_step_of_a_horizon_is_judged_whatever_it_is(horizon, steps):
    assert judged_steps(horizon) == steps


def test_anybody_can_score_the_forecasts_again(proven):
    """Loops over the Parquet, and no code of the package."""
    data, answer = proven
    rows = pd.read_parquet(finished(data) / "forecasts.parquet")
    levels = [k / 20 for k in range(1, 20)]
    names = [f"q{5 * k:02d}" for k in range(1, 20)]
    total: dict[tuple[str, bool, str, int], list[float]] = {}
    for row in rows.to_dict("records"):
        loss = (
            sum(
                2
                * max(
                    level * (row["realised"] - row[name]),
                    (level - 1) * (row["realised"] - row[name]),
                )
                for level, name in zip(levels, names, strict=True)
            )
            / 19
        )
        key = row["recipe"], row["calibrated"], row["ticker"], row["step"]
        total.setdefault(key, []).append(loss)
    scores = pd.read_csv(finished(data) / "scores.csv")
    keys = ["recipe", "calibrated", "ticker", "step"]
    crps = scores[scores["metric"] == "crps"].set_index(keys)["value"].sort_index()
    assert len(crps) == len(total)
    for key, losses in total.items():
        assert crps[key] == pytest.approx(sum(losses) / len(losses), abs=1e-12)
    told = json.loads(answer.out)
    assert len(told["scores"]) == 2 * (2 + len(BASELINES) - len(READ_DATES))
    for row in told["scores"].values():
        mean = crps[row["recipe"], row["calibrated"]].mean()
        assert row["crps"] == pytest.approx(mean, abs=1e-12)


def test_the_answer_says_what_was_compared_and_how_it_ended(proven):
    _, answer = proven
    told = json.loads(answer.out)
    verdict = told["verdicts"]["smoke"]
    assert (verdict["recipe"], verdict["calibrated"]) == ("smoke", True)
    scores = told["scores"]["smoke+calibrated"]
    assert (scores["recipe"], scores["calibrated"]) == ("smoke", True)
    assert "smoke+calibrated " in verdict["headline"].partition("Judged on")[0]
    assert tuple(verdict["verdict"]) == LADDER
    assert set(verdict["verdict"].values()) <= {"BEATS", "LOSES", "TIES", "not asked"}
    assert (verdict["hardest"], verdict["fits"], verdict["alpha"]) == ("har_ridge", 3, 0.025)
    shown = [row["baseline"] for row in verdict["ladder"] if not row["tested"]]
    assert shown == [
        *("drift", "historical", "har_ridge_clock", "gradient_boosting"),
        "smoke-untrained",
    ]
    kept = pd.read_csv(finished(proven[0]) / "verdicts.csv")
    assert set(kept["step"]) == {"all", *map(str, verdict["overlaps"])}
    # The loss of the verdict is that of the stored forecasts, in units of volatility.
    rows = pd.read_parquet(finished(proven[0]) / "forecasts.parquet")
    assert set(rows["usual_sign"]) <= {-1, 1}
    of = outcomes(rows)
    own = of[(of["recipe"] == "smoke") & of["calibrated"]]
    by_step = own.groupby(["step", "made_on"], observed=True)["scaled"].mean().unstack("step")
    loss = by_step[list(map(int, verdict["overlaps"]))].dropna().mean(axis=1).mean()
    assert verdict["ladder"][0]["loss"] == pytest.approx(loss)
    assert told["evaluations"] == 1
    assert list(told["best_epochs"]) == ["smoke-01", "smoke-02", "smoke-03"]
    assert "smoke, fold 3: " in answer.err
    assert "gradient_boosting, fold 3: " in answer.err


@pytest.fixture
def copy(proven, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the workspace with a backtest, which commands find by themselves."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LSTM_WORKSPACE", "data")
    monkeypatch.setenv("LSTM_NOW", NOW)
    return Path(shutil.copytree(proven[0], tmp_path / "data"))


def test_the_table_fits_and_a_second_backtest_is_counted(lstm: Lstm, copy):
    again = lstm("backtest", "AAA", *SMALL, "--set", "backtest.folds=1")
    assert again.code == 0, again.err
    assert "smoke+calibrated " in again.out
    assert "This period was backtested 2 times in this workspace." in again.out
    assert "Not investment advice." in again.out
    assert max(map(len, again.out.splitlines())) <= 79


def test_a_backtest_is_drawn_as_pictures(lstm: Lstm, copy, proven):
    for kind in ("backtest", "calibration"):
        answer = lstm("plot", "--kind", kind, "--output", f"{kind}.svg")
        assert answer.code == 0, answer.err
        picture = Path(f"{kind}.svg").read_text()
        assert re.search("smoke: (do the cones hold[?] )?AAA, BBB", picture)
    answer = lstm("plot", "AAA", "--kind", "past", "--output", "past.svg")
    assert answer.code == 0, answer.err
    name = next((copy / "backtests").iterdir()).name
    assert f"smoke in the backtest {name}" in Path("past.svg").read_text()
    other = lstm("plot", "ZZZ", "--kind", "past")
    assert other.code == 3
    none = lstm("plot", "--kind", "backtest", "--workspace", proven[0].parent / "fresh")
    assert none.code == 3
    assert none.hint == "lstm backtest"


def test_killed_in_the_third_fold_it_goes_on_to_the_same_scores(proven, tmp_path):
    data, _ = proven
    workspace = tmp_path / "data"
    shutil.copytree(data.parent / "fresh", workspace)
    with start("backtest", *SMALL, workspace=workspace) as process:
        wait_for(process, "smoke, fold 2: ")
        process.kill()
        process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert not list((workspace / "backtests").glob("*/manifest.json"))
    assert "interrupted; the same command goes on" in spawn("doctor", workspace=workspace).out
    resumed = spawn("backtest", *SMALL, workspace=workspace)
    assert resumed.code == 0, resumed.err
    assert "going on with" in resumed.err
    assert "smoke, fold 2: " not in resumed.err
    for name in ("scores.csv", "verdicts.csv", "forecasts.parquet"):
        assert (finished(workspace) / name).read_bytes() == (finished(data) / name).read_bytes()


def test_processes_side_by_side_give_the_same_forecasts(proven, tmp_path):
    data, _ = proven
    workspace = tmp_path / "data"
    shutil.copytree(data.parent / "fresh", workspace)
    answer = spawn("backtest", *SMALL[:-1], "2", workspace=workspace)
    assert answer.code == 0, answer.err
    for name in ("scores.csv", "verdicts.csv", "forecasts.parquet"):
        assert (finished(workspace) / name).read_bytes() == (finished(data) / name).read_bytes()


@dataclass(frozen=True)
class Faulty:
    """A random walk that fails in the second fold as long as `FAULT` says how."""

    horizon: int
    name: ClassVar[str] = "faulty"

    def fit(self, panel: Panel, until: pd.Timestamp) -> Any:
        fault = os.environ.get("FAULT") if f"{until:%Y-%m}" == "2008-04" else None
        if fault == "bug":
            raise ZeroDivisionError("planted")
        if fault == "data":
            raise NoDataError("Expected more. Received: less.", hint="fetch more")
        if fault == "killed":
            time.sleep(0.5)
            os.kill(os.getpid(), signal.SIGKILL)
        return replace(RandomWalk(self.horizon).fit(panel, until), name=self.name)


@pytest.mark.parametrize(
    ("fault", "workers", "line", "code"),
    [
        ("bug", 1, "ZeroDivisionError: planted", 1),
        ("data", 1, "NoDataError: Expected more. Received: less.", 3),
        ("killed", 2, "its process was killed each time that it was tried", 1),
    ],
)
def test_a_task_that_fails_ends_no_other_and_alone_is_run_again(
    lstm: Lstm, fresh, monkeypatch, fault, workers, line, code
):
    few = {name: BASELINES[name] for name in ("random_walk", "garch")} | {"faulty": Faulty}
    for module in ("backtest_plan", "backtest_result"):
        monkeypatch.setattr(f"lstmcli.pipeline.{module}.BASELINES", few)
    monkeypatch.setenv("FAULT", fault)
    command = ["backtest", *SMALL[:-1], str(workers)]
    answer = lstm(*command, "--debug")
    assert (answer.code, answer.out) == (code, "")
    assert f"warning: faulty-02 failed: {line}" in answer.err
    assert f"error: 1 of 12 tasks failed:\n  faulty-02: {line}" in answer.err
    assert answer.hint.endswith("the same command runs what failed again")
    if fault == "bug":
        assert 'raise ZeroDivisionError("planted")' in answer.err
    if fault == "data":
        assert answer.hint.startswith("fetch more; ")
    (pieces,) = (fresh / "backtests").glob("*/raw")
    kept = {path.stem: path.read_bytes() for path in pieces.glob("*.parquet")}
    assert len(kept) == 11
    assert "faulty-02" not in kept

    monkeypatch.delenv("FAULT")
    again = lstm(*command, "--json")
    assert again.code == 0, again.err
    assert "11 of 12 are done" in again.err
    assert [told for told in again.err.splitlines() if ", fold " in told and " s (" in told] == [
        told for told in again.err.splitlines() if told.startswith("faulty, fold 2: ")
    ]
    rows = pd.read_parquet(finished(fresh) / "forecasts.parquet").set_index("recipe")
    for column in (*QUANTILE_COLUMNS, "realised"):
        np.testing.assert_array_equal(rows.loc["faulty", column], rows.loc["random_walk", column])


def test_a_fold_is_a_value_that_keeps_nothing_of_other_tasks():
    panel = panel_of(AAA=simulate_bars(1100), BBB=simulate_bars(1100, seed=1))
    cut = cut_folds(panel.sessions(), BacktestConfig(folds=2), horizon=5, least=500)
    one, two = (FoldTask(Historical(5), panel.sha256, fold, (1, 5)) for fold in cut)
    assert (one.key, two.key) == ("historical-01", "historical-02")
    rows, notes = two.run(panel)
    assert notes == {"fallbacks": {}}
    assert set(rows["step"]) == {1, 5}
    assert set(rows["made_on"]) <= set(cut[1].origins)
    one.run(panel)
    travelled = pickle.loads(pickle.dumps(two))
    pd.testing.assert_frame_equal(travelled.run(pickle.loads(pickle.dumps(panel)))[0], rows)
    assert len(pickle.dumps(two)) < 10_000 < len(pickle.dumps(panel))


def test_a_fold_returns_raw_rows_and_the_first_those_that_calibration_learns_from():
    panel = panel_of(AAA=simulate_bars(1100), BBB=simulate_bars(1100, seed=1))
    cut = cut_folds(panel.sessions(), BacktestConfig(folds=2), horizon=5, least=500)
    one, two = (FoldTask(Ewma(5), panel.sha256, fold, (1, 5)).run(panel)[0] for fold in cut)
    assert tuple(one.columns) == FORECAST_COLUMNS
    assert not one["calibrated"].any() and not two["calibrated"].any()
    assert set(two["made_on"]) == set(cut[1].origins)
    before = one.loc[one["made_on"] < cut[0].origins[0], "made_on"].unique()
    assert len(before) > 400
    assert before.max() == cut[0].until


def test_calibration_goes_through_the_folds_in_their_order():
    panel = panel_of(AAA=simulate_bars(1100), BBB=simulate_bars(1100, seed=1))
    cut = cut_folds(panel.sessions(), BacktestConfig(folds=2), horizon=5, least=500)
    tasks = [FoldTask(Ewma(5), panel.sha256, fold, (1, 5)) for fold in cut]
    raw = pd.concat([task.run(panel)[0] for task in tasks], ignore_index=True)
    names = raw["ticker"].unique()
    other = raw.assign(recipe="other")
    widened = {name: 2 * other[name] for name in QUANTILE_COLUMNS}
    rows = calibrate_folds(pd.concat([raw, other.assign(**widened)]), panel, cut)
    origins = cut[0].origins.union(cut[1].origins)
    sizes = rows.groupby(["recipe", "calibrated"]).size()
    assert sizes.to_dict() == {
        (recipe, kind): 2 * len(names) * len(origins)
        for recipe in ("ewma", "other")
        for kind in (False, True)
    }
    assert np.isfinite(rows["realised"]).all()
    keys = ["ticker", "made_on", "step"]
    own = of_recipe(rows, "ewma", calibrated=True).sort_values(keys, ignore_index=True)
    expected = calibrate(raw, panel, origins).sort_values(keys, ignore_index=True)
    pd.testing.assert_frame_equal(own[expected.columns], expected)
    # What the first fold has learnt is not forgotten in the second.
    later = raw[raw["made_on"].isin(cut[1].origins)]
    forgetful = calibrate(later, panel, cut[1].origins).sort_values(keys, ignore_index=True)
    second = own[own["made_on"].isin(cut[1].origins)]
    assert not np.allclose(second["lo80"], forgetful["lo80"], rtol=1e-3)
    check_forecast(own)


def test_a_damaged_backtest_is_named_and_the_next_is_made(lstm: Lstm, copy):
    folder = finished(copy)
    (folder / "forecasts.parquet").write_bytes(b"PAR1 is not enough")
    for line in (["doctor"], ["plot", "--kind", "backtest"]):
        answer = lstm(*line)
        assert answer.code == 6
        assert f"{folder.relative_to(copy.parent)}/forecasts.parquet is damaged" in answer.err
    (folder / "manifest.json").write_text("{}")
    assert lstm("plot", "--kind", "calibration").code == 6
    assert lstm("backtest", *SMALL, "--dry-run").code == 0


def test_a_dry_run_shows_the_folds(lstm: Lstm, fresh):
    answer = lstm("backtest", *SMALL, "--dry-run")
    assert answer.code == 0
    assert len([line for line in answer.out.splitlines() if line[:1].isdigit()]) == 3
    assert not (fresh / "backtests").exists()


def test_two_configs_are_compared_on_the_same_origins(lstm: Lstm, fresh):
    other = Path("other.yaml")
    other.write_text("model: {name: dense, units: [4]}\n")
    line = [*SMALL, "--config", "other.yaml", "--set", "backtest.folds=1"]
    line.remove("training.epochs=1")
    line.remove("--set")
    line[line.index("model.units=4") - 1 : line.index("model.units=4") + 1] = []
    answer = lstm("backtest", "AAA", *line, "--set", "training.epochs=1")
    assert answer.code == 0, answer.err
    kept = json.loads((finished(fresh) / "manifest.json").read_text("utf-8"))
    assert set(kept["verdicts"]) == {"smoke", "other"}
    for label, members in (("smoke", 1), ("other", 3)):
        left = kept["best_epochs"][f"{label}-01"].count(0)
        said = f"{label}: {left} of {members} members stayed at epoch 0, the untrained baseline."
        assert said in answer.out.splitlines()
    # What the columns of a verdict mean is said once, after both.
    assert answer.out.count("'shows': a skill of this size") == 1

    drawn = lstm("plot", "AAA", "--kind", "past")
    assert drawn.code == 0, drawn.err
    names = ["past-AAA-smoke.png", "past-AAA-other.png"]
    assert [Path(path).name for path in drawn.out.split()] == names
    refused = lstm("plot", "AAA", "--kind", "past", "-o", "one.png")
    assert refused.code == 2
    assert hinted(refused) == ["lstm plot AAA --kind past"]
    assert not Path("one.png").exists()


def test_a_config_may_not_be_called_as_the_untrained_self_of_another(lstm: Lstm, fresh):
    Path("smoke-untrained.yaml").write_text("model: {name: dense}\n")
    configs = ["--config", "smoke", "--config", "smoke-untrained.yaml"]
    answer = lstm("backtest", *configs, "--set", "backtest.folds=1", "--set", "window.horizon=2")
    assert answer.code == 2
    assert "Expected a config with a name of its own. Received: smoke-untrained." in answer.err


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        (["backtest.folds=0"], 2, "backtest.folds"),
        (["backtest.folds=9"], 3, "in each of 9 folds"),
        (["backtest.start=2007-01-01", "backtest.end=2006-01-01"], 2, "does not lie before"),
        (["backtest.train_years=0"], 2, "backtest.train_years"),
        (["backtest.gap=5"], 2, "backtest.gap"),
    ],
)
def test_what_cannot_be_backtested_is_refused_with_a_next_step(
    lstm: Lstm, fresh, changes, code, said
):
    line = [word for change in changes for word in ("--set", change)]
    answer = lstm("backtest", *TINY, "--set", "window.horizon=2", *line)
    assert answer.code == code
    assert said in answer.err
    assert not (fresh / "backtests").exists()
    if code == 3:
        assert answer.hint.startswith("--set backtest.folds=")


def test_configs_on_different_spans_are_refused(lstm: Lstm, fresh):
    Path("other.yaml").write_text("model: {name: dense}\nbacktest: {folds: 2}\n")
    answer = lstm("backtest", "-c", "lstm", "-c", "other.yaml")
    assert answer.code == 2
    assert "would be judged on other days" in answer.err
    same = lstm("backtest", "-c", "lstm", "-c", "lstm.yaml")
    assert same.code == 2


def test_odd_tickers_are_named_and_the_rest_goes_on(lstm: Lstm, fresh, monkeypatch):
    monkeypatch.setenv("LSTM_NOW", NOW)
    steps = np.zeros(1100)
    steps[1000] = 0.01  # the fit sees none
    still = simulate_bars(1100, returns=steps, last=LAST)
    still = still.assign(open=still["close"], high=still["close"], low=still["close"])
    for name, bars in {
        "STILL": still,
        "YOUNG": simulate_bars(400, seed=8, last=LAST),
        "ENDED": simulate_bars(1100, seed=9, last=LAST).iloc[:800],
        "SILENT": simulate_bars(1100, seed=7, last=LAST).assign(volume=0.0),
    }.items():
        frame = bars.rename_axis("Date")[["open", "high", "low", "close", "volume"]]
        frame.to_csv(fresh.parent / f"{name}.csv")
        fetched = lstm("fetch", name, "--source", "csv", "--file", f"{name}.csv")
        assert fetched.code == 0, fetched.err
    answer = lstm("backtest", *SMALL, "--set", "backtest.folds=1", "--json")
    assert answer.code == 0, answer.err
    assert "left out" in answer.err
    assert "ENDED" in answer.err
    assert "YOUNG" in answer.err
    told = json.loads(answer.out)
    assert told["fallbacks"] == {f"{name}-01": {"STILL": "ewma"} for name in ("garch", "gjr")}
    rows = pd.read_parquet(finished(fresh) / "forecasts.parquet")
    assert set(rows["ticker"]) == {"AAA", "BBB", "SILENT", "STILL"}


def test_forecasts_that_a_recipe_lacks_are_counted_by_ticker():
    days = pd.bdate_range("2020-01-01", periods=4)
    rows = pd.DataFrame(
        [
            (recipe, ticker, day, 1)
            for recipe in ("net", "har")
            for ticker in ("A", "B")
            for day in days
            if not (recipe == "har" and ticker == "B" and day > days[0])
        ],
        columns=["recipe", "ticker", "made_on", "step"],
    )
    assert left_out_rows(rows) == {"har": {"B": 3}}
    assert left_out_rows(rows[rows["recipe"] == "net"]) == {}
