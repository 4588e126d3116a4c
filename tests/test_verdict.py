"""The verdict: what it takes to beat and to lose, and the sentences on it."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import reference
from scipy.stats import norm
from scipy.stats import t as student

from lstmcli.evaluation.comparison import judged_steps_of, overlaps_of
from lstmcli.evaluation.coverage import check_coverage
from lstmcli.evaluation.direction import Direction, usual_signs
from lstmcli.evaluation.ladder import BEATS, LOSES, NO_VERDICT, NOT_ASKED, TIES, UNCOVERED
from lstmcli.evaluation.verdict import Verdict, judge, outcomes
from lstmcli.frames import QUANTILE_COLUMNS, QUANTILES
from lstmcli.panel import Panel
from lstmcli.report.verdict import (
    direction_sentence,
    headline,
    paragraphs,
    table_head,
    table_rows,
)
from lstmcli.report.verdict_record import (
    hardest_baseline,
    has_edge,
    short_verdict,
    stored_paragraphs,
    verdict_json,
    verdict_word,
)

LEVELS = list(QUANTILE_COLUMNS)
TRUTH = norm.ppf(QUANTILES)


def realised(
    widths: dict[str, float],
    *,
    origins: int = 1000,
    tickers: int = 2,
    steps: tuple[int, ...] = (1, 5),
    medians: dict[str, np.ndarray] | None = None,
) -> pd.DataFrame:
    """Return realised forecasts of normal returns by recipes `widths` times too wide.

    The returns of the second ticker are three times as large, and so is its unit.
    """
    generator = np.random.default_rng(0)
    days = pd.bdate_range("2015-01-01", periods=origins + max(steps))
    parts = []
    for ticker in range(tickers):
        unit = 0.01 * 3.0**ticker
        for step in steps:
            noise = generator.standard_normal(origins + step - 1)
            outcome = np.convolve(noise, np.ones(step), mode="valid") * unit
            for recipe, width in widths.items():
                quantiles = np.tile(TRUTH * width * unit * np.sqrt(step), (origins, 1))
                if medians and recipe in medians:
                    quantiles += medians[recipe][:, None]
                parts.append(
                    pd.DataFrame(quantiles, columns=LEVELS).assign(
                        recipe=recipe,
                        calibrated=False,
                        ticker=f"T{ticker}",
                        made_on=days[:origins],
                        target_on=days[step : step + origins],
                        step=step,
                        unit=unit * np.sqrt(step),
                        realised=outcome,
                    )
                )
    return pd.concat(parts, ignore_index=True)


def verdict(rows: pd.DataFrame, *ladder: str, **options: int) -> Verdict:
    """Return the verdict on `net`, with a ladder of the baselines given."""
    return judge(outcomes(rows), ["net"], ladder, ladder=ladder, **options)["net"]


def words(found: Verdict) -> list[str]:
    return found.ladder["word"].tolist()


def flat(found: Verdict) -> str:
    said = headline(found)
    assert "\n" not in said
    return said


def test_the_truth_beats_what_is_too_wide_and_cannot_be_told_from_its_equal():
    found = verdict(realised({"net": 1.0, "wide": 1.6, "same": 1.0}), "wide", "same")
    assert words(found) == [BEATS, TIES]
    assert (found.word("wide"), found.word("same"), found.hardest) == (BEATS, TIES, "same")
    # The order is that of the ladder, whatever the scores: nothing is asked above a tie.
    found = verdict(realised({"net": 1.0, "wide": 1.6, "same": 1.0}), "same", "wide")
    assert words(found) == [TIES, NOT_ASKED]
    assert "It was better than wide by " in flat(found)
    assert found.hardest == "wide"


def test_what_is_too_wide_loses_from_the_hardest_rung_on():
    rows = realised({"net": 1.3, "wide": 1.8, "truth": 1.0})
    found = verdict(rows, "wide", "truth")
    assert words(found) == [TIES, LOSES]
    assert found.ladder["why"].tolist() == [UNCOVERED, ""]
    found = verdict(realised({"net": 1.6, "truth": 1.0, "good": 1.1}), "good", "truth")
    assert words(found) == [LOSES, LOSES]
    assert found.table["skill"].lt(0).all()
    assert flat(found).startswith("net loses to good and truth, by ")


def test_the_product_climbs_the_fixed_ladder_and_shows_the_others():
    names = ("har", "drift", "ewma", "random_walk", "net-untrained")
    of = outcomes(realised({"net": 1.0, **dict.fromkeys(names, 1.4)}))
    found = judge(of, ["net"], ["drift", "har", "random_walk", "ewma"])["net"]
    assert found.ladder["baseline"].tolist() == [
        *("random_walk", "ewma", "har", "drift", "net-untrained")
    ]
    assert words(found) == [BEATS] * 3 + ["", ""]
    assert found.hardest == "har"
    assert found.ladder["skill"].notna().all()


def test_cones_that_do_not_cover_do_not_beat():
    # Far better than a forecast four times too wide, and still 12 % too narrow.
    found = verdict(realised({"net": 0.88, "wide": 4.0}), "wide")
    assert found.ladder["p_value"].iloc[0] < 1e-6
    assert found.ladder["skill"].iloc[0] > 0.2
    assert (words(found), found.ladder["why"].iloc[0], found.covers) == ([TIES], UNCOVERED, False)
    assert "net does not beat wide, though its loss is" in flat(found)
    assert "its cones do not hold what they promise (at 5 sessions the 80 % cone held 7" in (
        flat(found)
    )
    # The short verdict names the cone, beside the share that all steps held on average.
    short = short_verdict(verdict_json(found))
    assert "cones do not hold what they promise (at 5 sessions the 80 % cone held 7" in short


def test_a_skill_too_small_to_matter_does_not_beat():
    rows = realised({"net": 1.0, "base": 1.0}, origins=1500, tickers=1, steps=(1,))
    of = outcomes(rows)
    base = of["recipe"] == "base"
    of.loc[base, "scaled"] = of.loc[~base, "scaled"].to_numpy() * 1.0009
    found = judge(of, ["net"], ["base"], ladder=["base"])["net"]
    assert found.ladder["p_value"].iloc[0] < 1e-6
    assert words(found) == [TIES]
    assert "net is better than base by less than 0.1 %, too little to matter." in flat(found)
    of.loc[base, "scaled"] *= 1.001
    assert words(judge(of, ["net"], ["base"], ladder=["base"])["net"]) == [BEATS]


def test_the_numbers_are_those_of_a_slow_loop():
    rows = realised({"net": 1.0, "a": 1.05, "b": 1.2}, origins=300)
    units = rows["unit"].to_numpy()
    # By date and step, the mean over tickers; in units of volatility and plain.
    losses: dict[tuple[str, int, str], list[float]] = {}
    for (recipe, step, _), of in rows.groupby(["recipe", "step", "made_on"]):
        plain, scaled = [], []
        for at, row, outcome in zip(of.index, of[LEVELS].to_numpy(), of["realised"], strict=True):
            loss = reference.crps(list(QUANTILES[1:-1]), list(row[1:-1]), outcome)
            plain.append(loss)
            scaled.append(loss / units[at])
        losses.setdefault((recipe, step, "plain"), []).append(sum(plain) / 2)
        losses.setdefault((recipe, step, "scaled"), []).append(sum(scaled) / 2)

    def numbers(base: str, steps: tuple[int, ...], unit: str) -> list[float]:
        own, other = (
            [
                sum(of) / len(steps)
                for of in zip(*(losses[name, s, unit] for s in steps), strict=True)
            ]
            for name in ("net", base)
        )
        mean, error, freedom = reference.ewc([b - a for a, b in zip(own, other, strict=True)])
        level = sum(other) / 300
        reach = student.ppf(0.975, freedom) * error
        p_value = 2 * student.sf(abs(mean) / error, freedom)
        needed = (student.ppf(0.975, freedom) + norm.ppf(0.8)) * error
        return [
            mean / level,
            (mean - reach) / level,
            (mean + reach) / level,
            p_value,
            needed / level,
        ]

    columns = ["skill", "low", "high", "p_value", "detectable"]
    plain = ["crps_skill", "crps_low", "crps_high"]
    found = verdict(rows, "b", "a")
    for base, of in zip(("b", "a"), found.ladder.to_dict("records"), strict=True):
        assert [of[name] for name in columns] == pytest.approx(numbers(base, (1, 5), "scaled"))
        assert [of[name] for name in plain] == pytest.approx(numbers(base, (1, 5), "plain")[:3])
        assert (of["origins"], of["forecasts"], of["freedom"]) == (300, 1200, 8)
    for of in found.table.to_dict("records"):
        expected = numbers(of["baseline"], (of["step"],), "scaled")
        assert [of[name] for name in columns] == pytest.approx(expected)
    hits = {}
    own = rows[rows["recipe"] == "net"]
    for (step, _), of in own.groupby(["step", "made_on"]):
        inside = (of["q10"] <= of["realised"]) & (of["realised"] <= of["q90"])
        hits.setdefault(step, []).append(float(inside.mean()))
    for step, values in hits.items():
        mean, error, freedom = reference.ewc(values)
        reach = student.ppf(1 - 0.05 / 12, freedom) * error  # two sides of six checks
        of = found.coverage[(found.coverage["step"] == step) & (found.coverage["nominal"] == 0.8)]
        assert of[["coverage", "low", "high"]].to_numpy()[0] == pytest.approx(
            [mean, mean - reach, min(mean + reach, 1.0)]
        )


def test_a_recipe_is_judged_calibrated_or_as_it_is():
    rows = realised({"net": 1.6, "truth": 1.0, "better": 1.0})
    # The same name twice: as it is far too wide, calibrated it is the truth.
    of = outcomes(rows).astype({"recipe": str})
    better = of["recipe"] == "better"
    of = of.assign(recipe=of["recipe"].replace("better", "net"), calibrated=better)
    raw = judge(of, ["net"], ["truth"], ladder=["truth"])["net"]
    published = judge(of, ["net"], ["truth"], calibrated=True, ladder=["truth"])["net"]
    assert (raw.recipe, raw.calibrated, raw.word("truth")) == ("net", False, LOSES)
    assert (published.recipe, published.calibrated) == ("net", True)
    assert published.forecasts == raw.forecasts == 4000
    assert headline(published).startswith("net+calibrated forecasts as truth does")
    assert headline(raw).startswith("net loses to truth")
    assert ("net", True) in published.confident
    assert ("net", False) not in published.confident


def test_steps_without_enough_dates_are_left_out_and_said():
    found = verdict(realised({"net": 1.0, "base": 1.5}, origins=40), "base")
    assert (found.steps, dict(found.missing)) == ((1,), {5: 10})
    assert set(found.table["step"]) == {1}
    assert "1 session ahead" in flat(found)
    assert "Too few sessions for a test 5 sessions ahead (10 more needed)." in flat(found)


@pytest.mark.parametrize(("origins", "more"), [(1, "9 more evenings"), (9, "1 more evening")])
def test_too_few_dates_have_no_verdict_and_say_how_many_more(origins: int, more: str):
    found = verdict(realised({"net": 1.0, "base": 1.5}, origins=origins), "base")
    assert words(found) == [NO_VERDICT]
    assert (found.steps, found.hardest) == ((), "base")
    sessions = "1 session is" if origins == 1 else "9 sessions are"
    assert flat(found).startswith(
        f"A verdict on net needs {more}: {sessions} too few for a test 1 session ahead."
    )
    assert short_verdict(verdict_json(found)) == paragraphs(found)[0]
    assert verdict_word(verdict_json(found)) == NO_VERDICT
    kept = json.dumps(verdict_json(found), allow_nan=False)
    assert "nan" not in (kept + headline(found)).lower()


def test_no_outcome_and_no_baseline_have_no_verdict():
    rows = realised({"net": 1.0, "base": 1.5}, origins=30)
    nothing = verdict(rows[rows["recipe"] == "base"], "base")
    assert flat(nothing).startswith(
        "None of the forecasts of net has an outcome yet: there is no verdict."
    )
    alone = verdict(rows[rows["recipe"] == "net"], "base")
    assert flat(alone).startswith("No verdict on net: no baseline of the ladder was fitted.")
    for found in (nothing, alone):
        said = json.dumps(verdict_json(found), allow_nan=False) + str(table_rows(found))
        assert "nan" not in said.lower()


def test_identical_recipes_and_constant_differences_are_said_in_words():
    rows = realised({"net": 1.0, "base": 1.0}, origins=100, tickers=1)
    found = verdict(rows, "base")
    assert words(found) == [TIES]
    assert flat(found).startswith("net forecasts as base does: their losses are equal.")
    of = outcomes(rows)
    of["scaled"] = np.where(of["recipe"] == "base", 0.25, 0.24)
    constant = judge(of, ["net"], ["base"], ladder=["base"])["net"]
    assert words(constant) == [TIES]
    assert flat(constant).startswith("net has a loss 4.00 % below that of base on every date, ")
    for one in (found, constant):
        text = json.dumps(verdict_json(one), allow_nan=False) + headline(one) + str(table_rows(one))
        assert "nan" not in text.lower()


def test_a_baseline_that_lacks_a_ticker_is_compared_on_what_both_have():
    rows = realised({"net": 1.0, "base": 1.4, "other": 1.4})
    gone = (rows["recipe"] == "base") & (rows["ticker"] == "T1")
    found = verdict(rows[~gone], "base", "other")
    base, other = found.ladder.to_dict("records")
    assert (base["forecasts"], base["lacking"]) == (2000, 2000)
    assert (other["forecasts"], other["lacking"]) == (4000, 0)
    assert "base lacks 2,000 of the forecasts and is compared on the others." in flat(found)
    one = verdict(rows[rows["ticker"] == "T0"], "base").ladder.iloc[0]
    assert base["skill"] == pytest.approx(one["skill"])
    # A recipe with gaps: its own dates count.
    holes = rows[(rows["recipe"] != "net") | (rows["made_on"].dt.day_of_week != 2)]
    assert verdict(holes, "base", "other").ladder["origins"].tolist() == [800, 800]


def test_a_loss_that_is_not_finite_is_left_out():
    of = outcomes(realised({"net": 1.0, "base": 1.4}))
    first = of["made_on"] == of["made_on"].min()
    of.loc[first & (of["recipe"] == "base"), "scaled"] = np.nan
    found = judge(of, ["net"], ["base"], ladder=["base"])["net"]
    assert words(found) == [BEATS]
    assert found.ladder[["origins", "lacking"]].to_numpy().tolist() == [[999, 4]]
    json.dumps(verdict_json(found), allow_nan=False)


def test_the_steps_are_averaged_over_dates_that_all_of_them_have():
    rows = realised({"net": 1.0, "base": 1.4})
    late = rows["made_on"] > rows["made_on"].sort_values().iloc[-1] - pd.Timedelta(60, "D")
    found = verdict(rows[~(late & (rows["step"] == 5))], "base")
    dates = rows.loc[~late, "made_on"].nunique()
    assert dates < 1000
    assert found.ladder["origins"].tolist() == [dates]
    assert found.table["origins"].tolist() == [1000, dates]


def test_overlap_is_counted_in_dates_of_the_table():
    """Two exchanges whose holidays differ: a session of one spans two dates of the other."""
    days = pd.date_range("2024-01-01", periods=60)
    parts = []
    for ticker, sessions in (("A", days), ("B", days[days.day_of_week < 4])):
        for step in (1, 2):
            parts.append(
                pd.DataFrame({"ticker": ticker, "made_on": sessions[:-step], "step": step}).assign(
                    target_on=sessions[step:]
                )
            )
    both = pd.concat(parts)
    assert overlaps_of(both[both["ticker"] == "A"]) == {1: 1, 2: 2}
    # From Thursday to Monday there are four dates.
    assert overlaps_of(both) == {1: 4, 2: 5}
    overlaps, missing = judged_steps_of(both)
    assert (overlaps, missing) == ({1: 4, 2: 5}, {})
    short = both[both["made_on"] < days[45]]
    assert judged_steps_of(short) == ({1: 4}, {2: 5})


def test_configs_share_the_level():
    rows = realised({"net": 1.0, "other": 1.0, "base": 1.08}, origins=250)
    of = outcomes(rows)
    alone = judge(of, ["net"], ["base"], ladder=["base"])["net"]
    two = judge(of, ["net", "other"], ["base"], ladder=["base"])
    tried = judge(of, ["net"], ["base"], ladder=["base"], trials=9)["net"]
    assert (alone.alpha, two["net"].alpha, tried.alpha) == (0.025, 0.0125, 0.0025)
    assert (alone.level, tried.level) == (0.95, 0.995)
    # The interval belongs to the word: wider where more is asked.
    widths = [one.ladder.iloc[0]["high"] - one.ladder.iloc[0]["low"] for one in (alone, tried)]
    assert widths[1] > widths[0]
    for one in (alone, two["net"], tried):
        row = one.ladder.iloc[0]
        assert (row["low"] > 0) == (row["word"] == BEATS)
    assert "97.5 % interval" in table_head(two["net"])
    assert "at 1.25 % to each side (2 recipes share the 5 %)" in flat(two["net"])


def test_the_confidence_set_gates_nothing():
    rows = realised({"net": 1.2, "wide": 2.0, "truth": 1.0})
    # Coverage is made right, so that the confidence set alone could decide.
    of = outcomes(rows)
    mine = of["recipe"] == "net"
    for name in ("in50", "in80", "in95"):
        of.loc[mine, name] = of.loc[of["recipe"] == "truth", name].to_numpy()
    found = judge(of, ["net"], ["wide"], ladder=["wide"])["net"]
    assert found.confident == {("truth", False)}
    assert words(found) == [BEATS]


def test_coverage_is_kept_by_as_many_recipes_as_the_level_says():
    generator = np.random.default_rng(3)
    days = pd.bdate_range("2015-01-01", periods=250)
    kept = []
    for _ in range(300):
        place = generator.uniform(size=250)
        own = pd.DataFrame(
            {"made_on": days, "step": 1}
            | {f"in{c}": abs(place - 0.5) <= c / 200 for c in (50, 80, 95)}
        )
        kept.append(check_coverage(own, {1: 1})["kept"].all())
    assert np.mean(kept) >= 0.93
    # Ten points too few are found.
    narrow = own.assign(in80=generator.uniform(size=250) < 0.65)
    assert not check_coverage(narrow, {1: 1})["kept"].all()


def test_a_cone_that_was_never_missed_is_judged_by_the_number_of_dates():
    days = pd.bdate_range("2015-01-01", periods=200)
    own = pd.DataFrame({"made_on": days, "step": 1, "in50": True, "in80": True, "in95": True})
    few, many = (check_coverage(own[:n], {1: 1}).set_index("nominal") for n in (20, 200))
    # Twenty of twenty may be luck at 80 and 95 %, two hundred are not.
    assert few["kept"].tolist() == [False, True, True]
    assert many["kept"].tolist() == [False, False, False]
    assert np.isfinite(few[["low", "high"]]).all(axis=None)


def test_the_usual_direction_is_that_of_the_training_years():
    days = pd.bdate_range("2020-01-01", periods=11)
    falls = 100 * 0.99 ** np.arange(6)  # five falls, then five rises
    close = np.r_[falls, falls[-1] * 1.02 ** np.arange(1, 6)]
    bars = pd.DataFrame(
        {name: close for name in ("open", "high", "low", "close")}
        | {"volume": 1e6, "dividend": 0.0, "split": 0.0},
        index=days,
    )
    panel = Panel({"X": bars}, {"X": "XNYS"})
    assert usual_signs(panel, days[5]) == {"X": -1}
    assert usual_signs(panel, days[8]) == {"X": -1}
    assert usual_signs(panel, days[10]) == {"X": 1}


def test_direction_has_a_verdict_of_its_own():
    generator = np.random.default_rng(1)
    rows = realised({"net": 1.0, "base": 1.0}, tickers=1, steps=(1,))
    outcome = rows.loc[rows["recipe"] == "net", "realised"].to_numpy()
    still = verdict(rows, "base").direction
    assert (still.edge, still.usual) == (None, pytest.approx((outcome > 0).mean()))
    down = verdict(rows.assign(usual_sign=-1), "base").direction
    assert down.usual == pytest.approx((outcome < 0).mean())

    guesses = 1e-4 * generator.standard_normal(1000)
    shifted = realised({"net": 1.0, "base": 1.0}, tickers=1, steps=(1,), medians={"net": guesses})
    blind = verdict(shifted.assign(usual_sign=-1), "base").direction
    assert blind.edge is False
    assert blind.right == pytest.approx((np.sign(guesses) == np.sign(outcome)).mean())
    assert blind.usual == pytest.approx((outcome < 0).mean())

    knows = np.where(generator.uniform(size=1000) < 0.3, outcome, guesses)
    seeing = realised({"net": 1.0, "base": 1.0}, tickers=1, steps=(1,), medians={"net": knows})
    found = verdict(seeing, "base").direction
    assert found.edge is True
    assert found.independence < 0.05

    nothing = verdict(rows.assign(realised=0.0), "base").direction
    assert nothing.edge is None
    assert np.isnan([nothing.right, nothing.usual]).all()


def test_a_direction_is_a_sentence_for_each_answer():
    told = direction_sentence(Direction(0.612, 0.5321, 0.01, 0.01, edge=True))
    assert told == (
        "evidence of an edge, the median is right 61.2 % of the time, the usual direction of the "
        "training years 53.2 % (a coin reaches 56.2 % in one year of forty)"
    )
    told = direction_sentence(Direction(0.5, 0.53, 0.4, None, edge=False))
    assert told.startswith(
        "no evidence of an edge, the median is right 50.0 % of the time, the usual"
    )
    told = direction_sentence(Direction(np.nan, 0.53))
    assert told == (
        "nothing to test, the median always points the same way; the usual direction of the "
        "training years is right 53.0 %"
    )
    told = direction_sentence(Direction(np.nan, np.nan))
    assert told == "nothing to test, the median always points the same way"


def test_tickers_are_counted_at_a_false_discovery_rate():
    rows = realised({"net": 1.0, "base": 1.5}, tickers=4)
    assert verdict(rows, "base").tickers == (4, 4, 0)
    same = verdict(realised({"net": 1.0, "base": 1.0}, tickers=4), "base")
    assert same.tickers == (4, 0, 0)
    worse = verdict(realised({"net": 1.5, "base": 1.0}, tickers=4), "base")
    assert worse.tickers == (4, 0, 4)


def test_losses_are_scaled_by_the_unit_where_a_forecast_has_one():
    rows = realised({"net": 1.0, "base": 1.0}, origins=20)
    of = outcomes(rows)
    np.testing.assert_allclose(of["scaled"], of["crps"] / rows["unit"], rtol=1e-12)
    assert (of["target_on"] == rows["target_on"]).all()
    # A backtest that an older version stored.
    old = outcomes(rows.drop(columns="unit"))
    assert (old["scaled"] == of["crps"]).all()


def test_the_headline_begins_with_the_answer():
    rows = realised({"net": 1.0, "random_walk": 1.9, "ewma": 1.3, "garch": 1.0, "har": 1.0})
    found = verdict(rows, "random_walk", "ewma", "garch", "har", fits=4)
    first, details = paragraphs(found)
    assert first == (
        "net beats the random walk and EWMA. It forecasts as GARCH does: their losses are equal. "
        "It forecasts as HAR does: their losses are equal."
    )
    assert details.startswith(
        "Judged on 4,000 forecasts 1 and 5 sessions ahead, made on 1,000 sessions that it had not "
        "seen (2015-01-01 to 2018-10-31, fitted 4 times). The loss is CRPS in units of "
        "volatility, the test is EWC on dates at 2.5 % to each side."
    )
    answer = json.loads(json.dumps(verdict_json(found), allow_nan=False))
    assert answer["direction"]["right"] is None
    assert len(answer["steps"]) == 8


def test_what_could_not_be_told_says_what_it_would_have_taken():
    rows = realised({"net": 1.0, "random_walk": 1.9, "har": 1.01, "har_ridge": 1.015})
    found = verdict(rows, "random_walk", "har", "har_ridge")
    assert words(found) == [BEATS, TIES, TIES]
    low, high = sorted(found.ladder["detectable"].iloc[1:])
    assert flat(found).startswith(
        "net beats the random walk. It cannot be told from HAR and the HAR ridge. In 1,000 "
        f"sessions of 2 tickers, only a skill above {100 * low:.2f} to {100 * high:.2f} % would "
        "show."
    )


def test_what_could_show_comes_after_the_answer():
    rows = realised({"net": 1.0, "ewma": 1.05}, origins=98, tickers=1)
    found = verdict(rows, "ewma")
    needed = 100 * found.ladder["detectable"].iloc[0]
    assert flat(found).startswith(
        "net cannot be told from EWMA. In 98 sessions of one ticker, only a skill above "
        f"{needed:.1f} % would show."
    )


def test_what_is_worse_than_the_weakest_alone_is_said_and_not_claimed():
    rows = realised({"net": 1.3, "ewma": 1.0, "har": 1.3})
    rows.loc[rows["recipe"] == "har", LEVELS] *= 1.01
    found = verdict(rows, "ewma", "har")
    assert words(found)[0] == NOT_ASKED
    assert flat(found).startswith("net was worse than EWMA by 1.8 % and better than HAR by 0.2 %")
    assert (
        "; neither counts, because the baselines are tested in a fixed order, and the tests ended "
        "before these." in flat(found)
    )


def test_the_table_of_a_verdict_has_a_row_for_each_baseline():
    rows = realised({"net": 1.0, "ewma": 1.3, "har": 1.0, "drift": 1.6})
    found = judge(outcomes(rows), ["net"], ["drift", "ewma", "har"])["net"]
    head, (ewma, har, drift) = table_head(found), table_rows(found)
    assert head == ["", "skill %", "95 % interval", "CRPS %", "shows", "verdict"]
    assert (ewma[0], ewma[-1]) == ("ewma", "BEATS")
    assert (har[0], har[-1]) == ("har", "equal")
    assert (drift[0], drift[-2:]) == ("drift", ["", "shown"])
    row = found.ladder.iloc[0]
    assert ewma[1:5] == [
        f"{100 * row['skill']:+.2f}",
        f"{100 * row['low']:+.2f} to {100 * row['high']:+.2f}",
        f"{100 * row['crps_skill']:+.2f}",
        f"{100 * row['detectable']:.1f}",
    ]


def test_what_manifests_keep_has_its_keys_in_order_and_its_sentences():
    found = verdict(realised({"net": 1.0, "garch": 1.3}), "garch")
    kept = verdict_json(found)
    assert list(kept) == [
        *("recipe", "calibrated", "hardest", "verdict", "headline", "paragraphs", "test", "loss"),
        *("alpha", "level", "shared", "fits", "first", "last", "origins", "forecasts", "overlaps"),
        *("missing", "tickers", "direction", "announcements", "confidence_set", "covers", "ladder"),
        *("steps", "coverage"),
    ]
    assert (kept["hardest"], kept["verdict"]) == ("garch", {"garch": BEATS})
    assert kept["headline"] == headline(found)
    assert kept["tickers"] == {"count": 2, "better": 2, "worse": 0}
    assert kept["direction"]["verdict"] == direction_sentence(found.direction)
    (row,) = kept["ladder"]
    numbers = ("skill", "low", "high", "p_value", "freedom", "detectable", "crps_skill")
    losses = ("loss", "base_loss", "crps", "base_crps", "origins", "forecasts")
    assert set(numbers) | set(losses) <= set(row)
    assert row["loss"] < row["base_loss"]
    assert row["crps"] < row["base_crps"]
    assert stored_paragraphs(kept) == list(paragraphs(found)) == kept["paragraphs"]
    assert kept["direction"]["edge"] is has_edge(kept) is None
    inside = np.mean([row["coverage"] for row in kept["coverage"] if row["nominal"] == 0.8])
    assert short_verdict(kept) == (
        "Tested on 1,000 sessions that it had not seen: net beats GARCH. Its 80 % range held "
        f"{100 * inside:.0f} % of the outcomes."
    )
    assert verdict_word(kept) == BEATS


def test_what_an_older_version_stored_still_shows():
    old = {
        "recipe": "lstm",
        "calibrated": True,
        "strongest": "har",
        "verdict": {"har": "MIXED", "ewma": "MIXED"},
        "headline": "lstm+calibrated\nMIXED.\n\nJudged on\n100 sessions.",
        "direction": {"verdict": "no evidence of an edge, right 50.0 %"},
    }
    assert hardest_baseline(old) == "har"
    assert stored_paragraphs(old) == ["lstm+calibrated MIXED.", "Judged on 100 sessions."]
    assert short_verdict(old) == "An older version found lstm+calibrated: MIXED against HAR."
    assert verdict_word(old) == "MIXED"
    assert has_edge(old) is False
    assert has_edge({"direction": {"verdict": "evidence of an edge, right 60.0 %"}}) is True
    tied = old | {"verdict": {"har": TIES, "ewma": BEATS}}
    assert short_verdict(tied) == "Tested: lstm+calibrated beats EWMA; it cannot be told from HAR."
    assert verdict_word(tied) == "cannot tell"
    for nothing in (None, {}, {"hardest": None}):
        assert hardest_baseline(nothing) is None
        assert has_edge(nothing) is None
        assert verdict_word(nothing) == NO_VERDICT
    assert short_verdict(None).startswith("This run has no verdict")


def test_false_beats_on_forecasts_that_are_equally_good_are_rare():
    generator = np.random.default_rng(5)
    days = pd.bdate_range("2015-01-01", periods=250)
    beaten = lost = 0
    for _ in range(200):
        rows = pd.DataFrame(
            {
                "recipe": pd.Categorical(np.repeat(["net", "base"], 250)),
                "calibrated": False,
                "ticker": "T",
                "made_on": np.tile(days, 2),
                "target_on": np.tile(days + pd.offsets.BDay(), 2),
                "step": np.int16(1),
                "crps": generator.gamma(4, 1, 500),
                "in50": np.tile([True, False], 250),
                "in80": np.tile([True, True, True, True, False], 100),
                "in95": np.tile([True] * 19 + [False], 25),
                "median_sign": np.int8(1),
                "outcome_sign": np.int8(1),
                "usual_sign": np.int8(1),
            }
        )
        rows["scaled"] = rows["crps"]
        word = judge(rows, ["net"], ["base"], ladder=["base"])["net"].word("base")
        beaten += word == BEATS
        lost += word == LOSES
    assert beaten / 200 <= 0.05
    assert lost / 200 <= 0.05
