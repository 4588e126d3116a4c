"""A workspace of version 0.1.0 goes on: its run, its ledger, its backtest.

`golden_workspace/make.sh` says how it was made, with `lstm` of that version. A red test
here means that users lose what they have.
"""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lstmcli.evaluation.metrics import score_fully
from lstmcli.frames import INTERVAL_COLUMNS, QUANTILE_COLUMNS, of_recipe
from lstmcli.pipeline.session import Session
from lstmcli.store import Workspace

pytestmark = pytest.mark.tensorflow

GOLDEN = Path(__file__).parent / "golden_workspace"
HEAD = "74526202372804105c38afc46d08f55d5905ac83873a4edb6116e11f0261d7c7"
ROWS = 60
"""Five evenings: four steps as published, one step each of the network and seven baselines."""

END = "+calibrated"
"""Ends the name of a calibrated recipe in what 0.1 wrote."""

PRICES = [*QUANTILE_COLUMNS, *INTERVAL_COLUMNS]


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the workspace on the evening after its last forecast."""
    data = tmp_path / "data"
    shutil.copytree(GOLDEN, data)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LSTM_WORKSPACE", "data")
    monkeypatch.setenv("LSTM_NOW", "2008-10-10T23:00:00+00:00")
    return data


@pytest.mark.parametrize("day", ["2008-10-03", "2008-10-09"])
def test_its_run_gives_the_forecast_that_it_gave(old, lstm, day):
    (path,) = (GOLDEN / "forecasts" / day).iterdir()
    before = pd.read_csv(path)
    answer = lstm("predict", "GOOG", "--as-of", day, "--csv")
    assert answer.code == 0, answer.err
    (written,) = (old / "forecasts" / day).iterdir()
    after = pd.read_csv(written)
    assert written.name == path.name
    # Calibration has been changed since: it leaves the median.
    np.testing.assert_allclose(after["q50"], before["q50"], rtol=1e-6)
    np.testing.assert_allclose(after[PRICES], before[PRICES], rtol=0.1)
    kept = ["ticker", "made_on", "step", "target_on", "last_close"]
    pd.testing.assert_frame_equal(after[kept], before[kept])


@pytest.mark.parametrize("day", ["2008-10-03", "2008-10-09"])
def test_its_networks_give_the_quantiles_that_they_gave(old, day):
    session = Session(Workspace(old))
    manifest = session.latest(["GOOG"])
    origin = pd.DatetimeIndex([day])
    panel = session.panel(["GOOG"]).panel.until(origin[0])
    rows = session.fitted(manifest.run).forecast(panel, origin)
    ledger = of_recipe(Workspace(old).ledger.read(), "lstm", calibrated=False)
    (issued,) = ledger.loc[ledger["made_on"] == origin[0], [*QUANTILE_COLUMNS]].to_numpy()
    np.testing.assert_allclose(rows.iloc[0][[*QUANTILE_COLUMNS]].tolist(), issued, rtol=1e-6)


def test_its_ledger_goes_on_with_the_same_chain(old, lstm):
    verified = json.loads(lstm("ledger", "verify", "--json").out)
    assert (verified["rows"], verified["head"]) == (ROWS, HEAD)
    before = Workspace(old).ledger.read()
    assert lstm("daily", "-q").code == 0
    assert lstm("ledger", "verify", "--holds", HEAD).code == 0
    after = Workspace(old).ledger.read()
    pd.testing.assert_frame_equal(after.iloc[:ROWS], before)
    new = after.iloc[ROWS:]
    # Version 0.1 had no gjr, and of what is not published it issued no last step.
    assert set(new["recipe"]) - set(before["recipe"]) == {"gjr"}
    assert set(new["step"]) == {1, 2, 3, 4}
    assert set(new.loc[~new["calibrated"], "step"]) == {1, 4}
    new = new[(new["recipe"] != "gjr") & (new["calibrated"] | (new["step"] == 1))]
    assert len(new) == ROWS // 5
    assert set(new["made_on"]) == {pd.Timestamp("2008-10-10")}
    # The run goes by the name that it had.
    assert new["recipe"].tolist() == before["recipe"].tolist()[: ROWS // 5]
    assert set(new["run"]) == set(before["run"])


def test_its_record_is_scored(old, lstm):
    answer = lstm("score", "--json")
    assert answer.code == 0, answer.err
    live = json.loads(answer.out)["live"]
    # Of four steps of each evening, those up to 10 October have an outcome.
    assert live["counts"]["scored"] == 4 + 4 + 3 + 2 + 1
    assert live["missing"] == []


def test_its_backtest_loads_and_scores_as_it_did(old, lstm):
    store = Workspace(old).backtests
    (name,) = store.names()
    assert store.interrupted() == []
    manifest = store.manifest(name)
    assert list(manifest.verdicts) == ["smoke"]
    again = score_fully(store.forecasts(name))
    assert set(again["metric"]) - set(store.scores(name)["metric"]) == {"tails"}  # since 0.3
    again = again[again["metric"] != "tails"]
    keys = [column for column in again.columns if column not in ("value", "n")]
    both = again.merge(store.scores(name), on=keys, suffixes=("", "_before"))
    assert len(both) == len(again) == len(store.scores(name)) > 500
    np.testing.assert_allclose(both["value"], both["value_before"], rtol=1e-9, atol=1e-12)
    for kind in ("backtest", "calibration"):
        answer = lstm("plot", "--kind", kind, "--output", f"{kind}.svg")
        assert answer.code == 0, answer.err
        assert Path(f"{kind}.svg").stat().st_size > 10_000


def issued(data: Path) -> list[str]:
    """Return the recipes in the ledger as the file has them."""
    with sqlite3.connect(data / "ledger.sqlite") as plain:
        return [text for (text,) in plain.execute("SELECT recipe FROM forecasts ORDER BY id")]


def identities(texts: Iterable[str]) -> list[tuple[str, bool]]:
    return [(text.removesuffix(END), text.endswith(END)) for text in texts]


def test_the_recipes_of_its_files_are_read_as_two_columns(old):
    place = Workspace(old)
    (name,), (run,) = place.backtests.names(), place.runs.manifests()
    folder = place.backtests.path(name)
    for table, texts in (
        (place.ledger.read(), issued(old)),
        (place.backtests.forecasts(name), pd.read_parquet(folder / "forecasts.parquet")["recipe"]),
        (place.backtests.scores(name), pd.read_csv(folder / "scores.csv")["recipe"]),
        (place.runs.scores(run), pd.read_csv(place.runs.path(run.run) / "scores.csv")["recipe"]),
    ):
        assert {text.endswith(END) for text in texts} == {True, False}
        columns = zip(table["recipe"], table["calibrated"], strict=True)
        assert list(columns) == identities(texts)
        assert table["calibrated"].dtype == bool
        assert table.columns.get_loc("calibrated") == table.columns.get_loc("recipe") + 1


def test_the_recipes_of_its_verdicts_are_read_as_two_fields(old):
    place = Workspace(old)
    (name,), (run,) = place.backtests.names(), place.runs.manifests()
    of_backtest = place.backtests.manifest(name).verdicts["smoke"]
    for verdict, recipe in ((of_backtest, "smoke"), (run.verdict, "lstm")):
        assert (verdict["recipe"], verdict["calibrated"]) == (recipe, True)
        assert verdict["headline"].startswith(f"{recipe}{END} ")


@pytest.mark.parametrize("command", ["ledger export", "score --csv -q"])
def test_its_forecasts_are_exported_with_both_columns(old, lstm, command):
    printed = pd.read_csv(io.StringIO(lstm(*command.split()).out))
    columns = zip(printed["recipe"], printed["calibrated"], strict=True)
    assert list(columns) == identities(issued(old))


def test_everything_in_it_is_whole(old, lstm):
    answer = lstm("doctor", "--json")
    assert answer.code == 0, answer.err
    checks = {check["name"]: check["error"] for check in json.loads(answer.out)["checks"]}
    wanted = {"bars GOOG", "ledger", "run 20081003T230000Z-lstm-51f7527b"}
    assert wanted < set(checks)
    assert set(checks.values()) == {None}
