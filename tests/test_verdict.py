"""The verdict: what it takes to beat, lose and tie, and the sentences on it."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import reference
from scipy.stats import norm, ttest_rel
from scipy.stats import t as student

from lstmcli.evaluation.live import AHEAD, ALARM, MIN_OUTCOMES, Evidence
from lstmcli.evaluation.verdict import (
    BEATS,
    LOSES,
    MIXED,
    NO_VERDICT,
    TIES,
    Direction,
    Verdict,
    judge,
    outcomes,
)
from lstmcli.frames import QUANTILE_COLUMNS, QUANTILES
from lstmcli.report.wording import (
    coverage_lines,
    coverage_sentence,
    direction_sentence,
    headline,
    live_phrase,
    reminder,
    verdict_json,
)

LEVELS = list(QUANTILE_COLUMNS)
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
            outcome = np.convolve(noise, np.ones(step), mode="valid") / np.sqrt(step)
            for recipe, width in widths.items():
                factor = width[step] if isinstance(width, dict) else width
                quantiles = np.tile(TRUTH * factor, (origins, 1))
                if medians and recipe in medians:
                    quantiles += medians[recipe][:, None]
                parts.append(
                    pd.DataFrame(quantiles, columns=LEVELS).assign(
                        recipe=recipe,
                        calibrated=False,
                        ticker=f"T{ticker}",
                        made_on=days,
                        step=step,
                        target_on=days + pd.Timedelta(step, "D"),
                        realised=outcome,
                        unit=np.sqrt(step),
                    )
                )
    return pd.concat(parts, ignore_index=True)


def verdict(rows: pd.DataFrame, *baselines: str) -> Verdict:
    return judge(outcomes(rows), ["net"], baselines)["net"]


def words(found: Verdict, baseline: str) -> list[str]:
    table = found.table
    return table.loc[table["baseline"] == baseline, "word"].tolist()


def test_losses_are_scaled_by_the_unit_where_a_forecast_has_one():
    rows = realised({"net": 1.0, "base": 1.0}, origins=20)
    of = outcomes(rows)
    np.testing.assert_allclose(of["scaled"], of["crps"] / np.sqrt(rows["step"]), rtol=1e-12)
    assert (of["target_on"] == rows["target_on"]).all()
    # A backtest that an older version stored.
    old = outcomes(rows.drop(columns="unit"))
    assert (old["scaled"] == of["crps"]).all()


def test_the_truth_beats_what_is_too_wide_and_ties_its_equal():
    found = verdict(realised({"net": 1.0, "wide": 1.6, "same": 1.0}), "wide", "same")
    assert words(found, "wide") == [BEATS, BEATS]
    assert words(found, "same") == [TIES, TIES]
    assert (found.overall("wide"), found.overall("same")) == (BEATS, TIES)
    assert found.strongest == "same"


def test_what_is_too_wide_loses():
    found = verdict(realised({"net": 1.6, "truth": 1.0}), "truth")
    assert found.overall("truth") == LOSES
    assert found.table["skill"].lt(0).all()


def test_better_at_one_step_and_worse_at_another_is_mixed():
    rows = realised({"net": {1: 1.0, 5: 1.8}, "base": {1: 1.8, 5: 1.0}})
    found = verdict(rows, "base")
    assert words(found, "base") == [BEATS, LOSES]
    assert found.overall("base") == MIXED


def test_cones_that_do_not_cover_do_not_beat():
    # Far better than a forecast four times too wide, and still 12 % too narrow.
    found = verdict(realised({"net": 0.88, "wide": 4.0}), "wide")
    row = found.table.iloc[0]
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
    assert not found.table["in_mcs"].any()
    assert words(found, "wide") == [TIES, TIES]
    without = judge(of[of["recipe"] != "truth"], ["net"], ["wide"])["net"]
    assert words(without, "wide") == [BEATS, BEATS]


def test_a_skill_too_small_to_matter_is_a_tie():
    rows = realised({"net": 1.0, "base": 1.0}, origins=1500, tickers=1, steps=(1,))
    of = outcomes(rows)
    base = of["recipe"] == "base"
    of.loc[base, "crps"] = of.loc[~base, "crps"].to_numpy() * 1.0009
    found = judge(of, ["net"], ["base"])["net"]
    assert found.table["holm"].iloc[0] < 1e-6
    assert words(found, "base") == [TIES]
    of.loc[base, "crps"] *= 1.001
    assert words(judge(of, ["net"], ["base"])["net"], "base") == [BEATS]


def test_the_numbers_are_those_of_a_slow_loop():
    rows = realised({"net": 1.0, "a": 1.05, "b": 1.2}, origins=300)
    losses: dict[tuple[str, int], list[float]] = {}
    inside: dict[int, list[float]] = {}
    for (recipe, step, _), of in rows.groupby(["recipe", "step", "made_on"]):
        of_tickers = [
            reference.crps(list(QUANTILES[1:-1]), list(row[1:-1]), outcome)
            for row, outcome in zip(of[LEVELS].to_numpy(), of["realised"], strict=True)
        ]
        losses.setdefault((recipe, step), []).append(sum(of_tickers) / len(of_tickers))
        if recipe == "net":
            hits = (of["q10"] <= of["realised"]) & (of["realised"] <= of["q90"])
            inside.setdefault(step, []).append(hits.mean())
    critical = student.ppf(0.975, 299)
    found = verdict(rows, "a", "b").table
    expected = []
    for row in found.itertuples():
        own, base = losses["net", row.step], losses[row.baseline, row.step]
        ratio, mean = sum(own) / sum(base), sum(base) / 300
        change = [one - two for one, two in zip(own, base, strict=True)]
        statistic = sum(change) / 300 / reference.standard_error(change, row.step)
        gain = [(ratio * two - one) / mean for one, two in zip(own, base, strict=True)]
        reach = critical * reference.standard_error(gain, row.step)
        share = sum(inside[row.step]) / 300
        around = critical * reference.standard_error(inside[row.step], row.step)
        p_value = 2 * student.sf(abs(statistic), 299)
        skill = 1 - ratio
        expected.append(
            [skill, skill - reach, skill + reach, p_value, share, share - around, share + around]
        )
    columns = ["skill", "low", "high", "p_value", "coverage80", "coverage80_low", "coverage80_high"]
    np.testing.assert_allclose(found[columns], expected, rtol=1e-7)
    # At one step the test is a paired t test of the dates' means.
    paired = ttest_rel(losses["net", 1], losses["a", 1]).pvalue
    assert found["p_value"].iloc[0] == pytest.approx(paired)
    corrected = reference.holm([row[3] for row in expected])
    np.testing.assert_allclose(found["holm"], corrected, rtol=1e-7)
    assert 0.001 < max(corrected) < 1


def test_a_recipe_is_judged_calibrated_or_as_it_is():
    rows = realised({"net": 1.6, "truth": 1.0, "better": 1.0})
    # The same name twice: as it is far too wide, calibrated it is the truth.
    of = outcomes(rows).astype({"recipe": str})
    better = of["recipe"] == "better"
    of = of.assign(recipe=of["recipe"].replace("better", "net"), calibrated=better)
    raw = judge(of, ["net"], ["truth"])["net"]
    published = judge(of, ["net"], ["truth"], calibrated=True)["net"]
    assert (raw.recipe, raw.calibrated, raw.overall("truth")) == ("net", False, LOSES)
    assert (published.recipe, published.calibrated) == ("net", True)
    assert published.overall("truth") == TIES
    assert published.table["forecasts"].tolist() == raw.table["forecasts"].tolist() == [2000] * 2
    assert headline(published).startswith("net+calibrated TIES with truth")
    assert headline(raw).startswith("net LOSES to truth")


def test_too_few_origins_have_no_verdict():
    found = verdict(realised({"net": 1.0, "base": 1.5}, origins=40), "base")
    assert words(found, "base") == [BEATS, NO_VERDICT]
    assert "No verdict at 5 sessions: too few origins." in " ".join(headline(found).split())
    none = verdict(realised({"net": 1.0, "base": 1.5}, origins=9), "base")
    assert none.overall("base") == NO_VERDICT
    assert headline(none).startswith("No verdict: 9 origins say too little")
    json.dumps(verdict_json(none), allow_nan=False)


def test_direction_has_a_verdict_of_its_own():
    generator = np.random.default_rng(1)
    rows = realised({"net": 1.0, "base": 1.0}, tickers=1, steps=(1,))
    outcome = rows.loc[rows["recipe"] == "net", "realised"].to_numpy()
    still = verdict(rows, "base").direction
    assert (still.edge, still.always_up) == (None, pytest.approx((outcome > 0).mean()))

    guesses = 0.01 * generator.standard_normal(1000)
    shifted = realised({"net": 1.0, "base": 1.0}, tickers=1, steps=(1,), medians={"net": guesses})
    blind = verdict(shifted, "base").direction
    assert blind.edge is False
    assert blind.right == pytest.approx((np.sign(guesses) == np.sign(outcome)).mean())
    assert blind.always_up == pytest.approx((outcome > 0).mean())

    knows = np.where(generator.uniform(size=1000) < 0.3, outcome, guesses)
    seeing = realised({"net": 1.0, "base": 1.0}, tickers=1, steps=(1,), medians={"net": knows})
    found = verdict(seeing, "base").direction
    assert found.edge is True
    assert found.independence < 0.05

    nothing = verdict(rows.assign(realised=0.0), "base").direction
    assert nothing.edge is None
    assert np.isnan([nothing.right, nothing.always_up]).all()


def test_a_direction_is_a_sentence_for_each_answer():
    told = direction_sentence(Direction(0.612, 0.5321, 0.01, 0.01, edge=True))
    assert told == (
        "evidence of an edge, right 61.2% where always up is right 53.2% "
        "(a year of days needs 56.2% to tell from a coin)"
    )
    told = direction_sentence(Direction(0.5, 0.53, 0.4, None, edge=False))
    assert told.startswith("no evidence of an edge, right 50.0% where always up is right 53.0%")
    told = direction_sentence(Direction(np.nan, 0.53))
    assert told == "n/a, the median never changes its sign; always up is right 53.0%"
    told = direction_sentence(Direction(np.nan, np.nan))
    assert told == "n/a, the median never changes its sign"


def test_tickers_are_counted_at_a_false_discovery_rate():
    rows = realised({"net": 1.0, "base": 1.5}, tickers=4)
    assert verdict(rows, "base").tickers == (4, 4, 0)
    same = verdict(realised({"net": 1.0, "base": 1.0}, tickers=4), "base")
    assert same.tickers == (4, 0, 0)


def test_the_headline_is_plain_and_fits_a_terminal():
    rows = realised({"net": 1.0, "random_walk": 1.9, "garch": 1.3})
    found = verdict(rows, "random_walk", "garch")
    said = headline(found)
    assert max(map(len, said.splitlines())) <= 79
    flat = " ".join(said.split())
    assert "net BEATS garch, the strongest of 2 baselines, BEATS random_walk" in flat
    assert "4,000 forecasts on 1,000 sessions, 2015-01-01 to 2017-09-26" in flat
    assert "Of 2 tickers by themselves, 2 are better and 0 worse at 1 session." in flat
    answer = json.loads(json.dumps(verdict_json(found), allow_nan=False))
    assert answer["verdict"] == {"random_walk": BEATS, "garch": BEATS}
    assert answer["direction"]["right"] is None
    assert len(answer["steps"]) == 4


def test_what_manifests_keep_has_its_keys_in_order_and_its_sentences():
    found = verdict(realised({"net": 1.0, "garch": 1.3}), "garch")
    kept = verdict_json(found)
    assert (kept["recipe"], kept["calibrated"]) == ("net", False)
    assert list(kept) == [
        "recipe",
        "calibrated",
        "strongest",
        "verdict",
        "headline",
        "first",
        "last",
        "tickers",
        "direction",
        "steps",
    ]
    assert kept["headline"] == headline(found)
    assert kept["tickers"] == {"count": 2, "better": 2, "worse": 0}
    assert kept["direction"]["verdict"] == direction_sentence(found.direction)
    assert list(kept["steps"][0])[:5] == ["baseline", "step", "word", "skill", "low"]
    assert reminder(kept) == "verdict on the run: BEATS (garch), see above"


def test_the_evidence_against_coverage_is_said_with_its_alarm():
    calm = Evidence(0.5, 1.25, None)
    assert coverage_lines("net", calm) == (
        "Evidence against the coverage of net+calibrated: 0.50,\n"
        "never above 1.25; 20 would be an alarm."
    )
    assert coverage_sentence("net", calm) == (
        "No evidence against the coverage of net+calibrated: 0.50, and never above 1.25; "
        "20 would be an alarm."
    )
    alarmed = Evidence(3.0, ALARM + 1234, pd.Timestamp("2020-03-12"))
    assert coverage_lines("net", alarmed) == (
        "ALARM: the intervals of net+calibrated do not cover what they say\n"
        "(evidence 1,254, 20 reached on 2020-03-12)"
    )
    assert coverage_sentence("net", alarmed) == (
        "ALARM: the intervals of net+calibrated do not cover what they say "
        "(evidence 1,254, since 2020-03-12; 20 is the limit)."
    )


def test_a_live_word_says_how_many_outcomes_are_missing():
    assert live_phrase(NO_VERDICT) == f"no verdict before {MIN_OUTCOMES}"
    assert live_phrase(AHEAD) == "ahead"


def test_false_beats_on_forecasts_that_are_equally_good_are_rare():
    generator = np.random.default_rng(5)
    days = pd.date_range("2015-01-01", periods=250)
    beaten = 0
    for _ in range(200):
        rows = pd.DataFrame(
            {
                "recipe": pd.Categorical(np.repeat(["net", "base"], 250)),
                "calibrated": False,
                "ticker": "T",
                "made_on": np.tile(days, 2),
                "step": np.int16(1),
                "crps": generator.gamma(4, 1, 500),
                "in50": np.tile([True, False], 250),
                "in80": np.tile([True, True, True, True, False], 100),
                "in95": np.tile([True] * 19 + [False], 25),
                "median_sign": np.int8(1),
                "outcome_sign": np.int8(1),
            }
        )
        beaten += judge(rows, ["net"], ["base"])["net"].overall("base") == BEATS
    assert beaten / 200 <= 0.06
