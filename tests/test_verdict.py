"""The verdict: what it takes to beat, lose, tie, and how it is said."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from lstmcli.evaluation.verdict import (
    BEATS,
    LOSES,
    MIXED,
    NO_VERDICT,
    TIES,
    Verdict,
    judge,
    outcomes,
)
from lstmcli.frames import QUANTILE_COLUMNS, QUANTILES

TRUTH = norm.ppf(QUANTILES)


def realised(
    widths: dict[str, float | dict[int, float]],
    *,
    origins: int = 1000,
    tickers: int = 2,
    steps: tuple[int, ...] = (1, 5),
    medians: dict[str, np.ndarray] | None = None,
) -> pd.DataFrame:
    """Return realised forecasts of normal returns by recipes `widths` times too wide."""
    generator = np.random.default_rng(0)
    days = pd.date_range("2015-01-01", periods=origins)
    parts = []
    for ticker in range(tickers):
        for step in steps:
            noise = generator.standard_normal(origins + step - 1)
            came = np.convolve(noise, np.ones(step), mode="valid") / np.sqrt(step)
            for recipe, width in widths.items():
                factor = width[step] if isinstance(width, dict) else width
                quantiles = np.tile(TRUTH * factor, (origins, 1))
                if medians and recipe in medians:
                    quantiles += medians[recipe][:, None]
                parts.append(
                    pd.DataFrame(quantiles, columns=list(QUANTILE_COLUMNS)).assign(
                        recipe=recipe, ticker=f"T{ticker}", made_on=days, step=step, realised=came
                    )
                )
    return pd.concat(parts, ignore_index=True)


def verdict(rows: pd.DataFrame, *baselines: str) -> Verdict:
    return judge(outcomes(rows), ["net"], baselines)["net"]


def words(found: Verdict, baseline: str) -> list[str]:
    table = found.frame()
    return table.loc[table["baseline"] == baseline, "word"].tolist()


def test_the_truth_beats_what_is_too_wide_and_ties_its_equal():
    found = verdict(realised({"net": 1.0, "wide": 1.6, "same": 1.0}), "wide", "same")
    assert words(found, "wide") == [BEATS, BEATS]
    assert words(found, "same") == [TIES, TIES]
    assert (found.overall("wide"), found.overall("same")) == (BEATS, TIES)
    assert found.strongest == "same"


def test_what_is_too_wide_loses():
    found = verdict(realised({"net": 1.6, "truth": 1.0}), "truth")
    assert found.overall("truth") == LOSES
    assert found.frame()["skill"].lt(0).all()


def test_better_at_one_step_and_worse_at_another_is_mixed():
    rows = realised({"net": {1: 1.0, 5: 1.8}, "base": {1: 1.8, 5: 1.0}})
    found = verdict(rows, "base")
    assert words(found, "base") == [BEATS, LOSES]
    assert found.overall("base") == MIXED


def test_cones_that_do_not_cover_do_not_beat():
    # Far better than a forecast four times too wide, and still 12 % too narrow.
    found = verdict(realised({"net": 0.88, "wide": 4.0}), "wide")
    row = found.frame().iloc[0]
    assert row["holm"] < 1e-6
    assert row["skill"] > 0.2
    assert row["coverage95"] < 0.94
    assert words(found, "wide") == [TIES, TIES]


def test_who_is_not_in_the_confidence_set_does_not_beat():
    rows = realised({"net": 1.2, "wide": 2.0, "truth": 1.0})
    # Coverage is made right, so that the confidence set alone decides.
    of = outcomes(rows)
    mine = of["recipe"] == "net"
    for name in ("in50", "in80", "in95"):
        of.loc[mine, name] = of.loc[of["recipe"] == "truth", name].to_numpy()
    found = judge(of, ["net"], ["wide"])["net"]
    assert not found.frame()["in_mcs"].any()
    assert words(found, "wide") == [TIES, TIES]
    without = judge(of[of["recipe"] != "truth"], ["net"], ["wide"])["net"]
    assert words(without, "wide") == [BEATS, BEATS]


def test_a_skill_too_small_to_matter_is_a_tie():
    rows = realised({"net": 1.0, "base": 1.0}, origins=1500, tickers=1, steps=(1,))
    of = outcomes(rows)
    base = of["recipe"] == "base"
    of.loc[base, "crps"] = of.loc[~base, "crps"].to_numpy() * 1.0009
    found = judge(of, ["net"], ["base"])["net"]
    assert found.frame()["holm"].iloc[0] < 1e-6
    assert words(found, "base") == [TIES]
    of.loc[base, "crps"] *= 1.001
    assert words(judge(of, ["net"], ["base"])["net"], "base") == [BEATS]


def test_p_values_are_corrected_for_every_baseline_and_step():
    rows = realised({"net": 1.0, "a": 1.1, "b": 1.2}, origins=300)
    table = verdict(rows, "a", "b").frame()
    smallest = table["p_value"].min()
    assert table["holm"].min() == pytest.approx(min(4 * smallest, 1))
    assert (table["holm"] >= table["p_value"]).all()


def test_too_few_origins_have_no_verdict():
    found = verdict(realised({"net": 1.0, "base": 1.5}, origins=40), "base")
    assert words(found, "base") == [words(found, "base")[0], NO_VERDICT]
    assert "No verdict at 5 sessions: too few origins." in " ".join(found.headline().split())
    none = verdict(realised({"net": 1.0, "base": 1.5}, origins=9), "base")
    assert none.overall("base") == NO_VERDICT
    assert none.headline().startswith("No verdict: 9 origins say too little")
    json.dumps(none.as_dict(), allow_nan=False)


def test_direction_has_a_verdict_of_its_own():
    generator = np.random.default_rng(1)
    rows = realised({"net": 1.0, "base": 1.0}, tickers=1, steps=(1,))
    came = rows.loc[rows["recipe"] == "net", "realised"].to_numpy()
    assert verdict(rows, "base").direction.word.startswith("n/a, the median never changes")

    guesses = 0.01 * generator.standard_normal(1000)
    shifted = realised({"net": 1.0, "base": 1.0}, tickers=1, steps=(1,), medians={"net": guesses})
    blind = verdict(shifted, "base").direction
    assert blind.word.startswith("no evidence of an edge, right ")
    assert blind.always_up == pytest.approx((came > 0).mean())

    knows = np.where(generator.uniform(size=1000) < 0.3, came, guesses)
    seeing = realised({"net": 1.0, "base": 1.0}, tickers=1, steps=(1,), medians={"net": knows})
    found = verdict(seeing, "base").direction
    assert found.word.startswith("evidence of an edge")
    assert found.independence < 0.05
    assert "56.2%" in found.word


def test_tickers_are_counted_at_a_false_discovery_rate():
    rows = realised({"net": 1.0, "base": 1.5}, tickers=4)
    assert verdict(rows, "base").tickers == (4, 4, 0)
    same = verdict(realised({"net": 1.0, "base": 1.0}, tickers=4), "base")
    assert same.tickers == (4, 0, 0)


def test_the_headline_is_plain_and_fits_a_terminal():
    rows = realised({"net": 1.0, "random_walk": 1.9, "garch": 1.3})
    found = verdict(rows, "random_walk", "garch")
    said = found.headline()
    assert max(map(len, said.splitlines())) <= 79
    flat = " ".join(said.split())
    assert "net BEATS garch, the strongest of 2 baselines, BEATS random_walk" in flat
    assert "4,000 forecasts on 1,000 sessions, 2015-01-01 to 2017-09-26" in flat
    assert "Of 2 tickers by themselves, 2 are better and 0 worse at 1 session." in flat
    answer = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert answer["verdict"] == {"random_walk": BEATS, "garch": BEATS}
    assert answer["direction"]["right"] is None
    assert len(answer["steps"]) == 4


def test_false_beats_on_forecasts_that_are_equally_good_are_rare():
    generator = np.random.default_rng(5)
    days = pd.date_range("2015-01-01", periods=250)
    beaten = 0
    for _ in range(200):
        rows = pd.DataFrame(
            {
                "recipe": pd.Categorical(np.repeat(["net", "base"], 250)),
                "ticker": "T",
                "made_on": np.tile(days, 2),
                "step": np.int16(1),
                "crps": generator.gamma(4, 1, 500),
                "in50": np.tile([True, False], 250),
                "in80": np.tile([True, True, True, True, False], 100),
                "in95": np.tile([True] * 19 + [False], 25),
                "up": np.int8(1),
                "came": np.int8(1),
            }
        )
        beaten += judge(rows, ["net"], ["base"])["net"].overall("base") == BEATS
    assert beaten / 200 <= 0.06
