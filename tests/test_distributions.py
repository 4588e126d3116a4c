"""Dividends, splits and prices that cannot be, against histories whose truth is known."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lstmcli.errors import DataError
from lstmcli.frames import BAR_COLUMNS, log_returns, without_rows
from lstmcli.sources.base import PRICES
from lstmcli.sources.checks.jumps import check_jumps
from lstmcli.sources.distributions.adjustment import adjustment
from lstmcli.sources.distributions.settled import Settled, settled

VOLUME = 1e6


@dataclass
class History:
    """A share as traded, with what it paid and how it split, by row."""

    dividends: dict[int, float] = field(default_factory=dict)  # as fractions of the price
    splits: dict[int, float] = field(default_factory=dict)  # new shares for an old one
    sessions: int = 400
    price: float = 80.0
    sigma: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        random = np.random.default_rng(self.seed)
        index = pd.bdate_range("2020-01-01", periods=self.sessions, name="session")
        night, day = random.normal(0, self.sigma, (2, self.sessions)) * [[0.4], [0.9]]
        night[0] = 0.0
        close, rows, self.paid = self.price, [], pd.Series(0.0, index)
        for row in range(self.sessions):
            before = close
            if row in self.dividends:
                self.paid.iloc[row] = self.dividends[row] * before
            # What is paid is paid per new share, after the split.
            ratio = self.splits.get(row, 1.0)
            self.paid.iloc[row] /= ratio
            opening = (before / ratio - self.paid.iloc[row]) * np.exp(night[row])
            close = opening * np.exp(day[row])
            top, bottom = max(opening, close) * 1.003, min(opening, close) * 0.997
            rows.append((opening, top, bottom, close, VOLUME * self._shares(row)))
        self.raw = pd.DataFrame(rows, index, [*PRICES, "volume"])
        self.split = pd.Series(0.0, index)
        for row, ratio in self.splits.items():
            self.split.iloc[row] = ratio
        self.later = pd.Series([self._later(row) for row in range(self.sessions)], index)
        self.returns = pd.Series(night + day, index)

    def _shares(self, row: int) -> float:
        return float(np.prod([ratio for at, ratio in self.splits.items() if at <= row]))

    def _later(self, row: int) -> float:
        return float(np.prod([ratio for at, ratio in self.splits.items() if at > row]))

    @property
    def total(self) -> float:
        """The sum of log returns, without the first day's."""
        return float(self.returns.iloc[1:].sum())

    def split_adjusted(self) -> pd.DataFrame:
        table = self.raw.copy()
        table[PRICES] = table[PRICES].div(self.later, axis=0)
        return table.assign(volume=table["volume"] * self.later)

    def paid_now(self) -> pd.Series:
        """Dividends per share of today."""
        return self.paid / self.later

    def adjusted(self) -> pd.Series:
        """The adjusted close, by the definition: a plain loop from the end."""
        close, paid = self.split_adjusted()["close"], self.paid_now()
        factor, result = 1.0, []
        for row in range(self.sessions - 1, -1, -1):
            result.append(close.iloc[row] * factor)
            if row and paid.iloc[row]:
                factor *= 1 - paid.iloc[row] / close.iloc[row - 1]
        return pd.Series(result[::-1], close.index)

    def fully_adjusted(self) -> pd.DataFrame:
        table = self.split_adjusted()
        table[PRICES] = table[PRICES].mul(self.adjusted() / table["close"], axis=0)
        return table


def total(found: Settled) -> float:
    return float(log_returns(found.bars).sum())


QUARTERLY = {row: 0.006 for row in range(40, 400, 60)}


# --- dividends off the adjusted close


@pytest.mark.parametrize("decimals", [2, 3, 4, 6, None])
@pytest.mark.parametrize("close_too", [True, False], ids=["close too", "adjusted close"])
def test_rounding_makes_no_dividend(decimals, close_too):
    truth = History(QUARTERLY)
    table = truth.split_adjusted()
    if close_too and decimals:
        table = table.round(decimals)
    adjusted = truth.adjusted() * table["close"] / truth.split_adjusted()["close"]
    if decimals:
        adjusted = adjusted.round(decimals)
    found = settled(table.assign(adjusted=adjusted), "SIM")
    rows = np.flatnonzero(found.bars["dividend"])
    assert list(rows) == list(QUARTERLY)
    within = 2 * 10.0 ** -(decimals or 7)
    np.testing.assert_allclose(
        found.bars["dividend"].iloc[rows], truth.paid.iloc[rows], atol=within
    )


def test_six_significant_digits_make_no_dividend():
    truth = History(QUARTERLY, price=250.0)

    def six(values: pd.Series) -> pd.Series:
        return values.map(lambda value: float(f"{value:.6g}"))

    table = truth.split_adjusted().apply(six).assign(adjusted=six(truth.adjusted()))
    dividend = settled(table, "SIM").bars["dividend"]
    assert list(np.flatnonzero(dividend)) == list(QUARTERLY)


def test_a_float32_adjusted_close_makes_no_dividend():
    truth = History(QUARTERLY)
    table = truth.split_adjusted().assign(adjusted=truth.adjusted()).astype("float32")
    dividend = settled(table, "SIM").bars["dividend"]
    assert list(np.flatnonzero(dividend)) == list(QUARTERLY)


def test_dividends_that_hide_in_rounding_still_add_up():
    """0.6 per mille at a price of 5 is a third of a cent, below the rounding of a cent."""
    small = {row: 0.0006 for row in range(10, 1000, 15)}
    truth = History(small, sessions=1000, price=5.0)
    table = truth.split_adjusted().assign(adjusted=truth.adjusted().round(2))
    found = settled(table, "SIM")
    truth_without = float(np.log(table["close"].iloc[-1] / table["close"].iloc[0]))
    assert truth.total - truth_without > 0.03
    assert total(found) == pytest.approx(truth.total, abs=0.002)


@pytest.mark.parametrize("seed", range(5))
def test_a_dividend_little_above_the_rounding_is_found_on_its_day(seed):
    truth = History({200: 0.0026}, price=5.0, seed=seed)  # 1.3 cents, in a file of cents
    table = truth.split_adjusted().assign(adjusted=truth.adjusted().round(2))
    [row] = np.flatnonzero(settled(table, "SIM").bars["dividend"])
    assert abs(row - 200) <= 1


def test_one_wrong_adjusted_close_is_no_dividend():
    truth = History({100: 0.01})
    adjusted = truth.adjusted()
    adjusted.iloc[250] *= 1.03
    found = settled(truth.split_adjusted().assign(adjusted=adjusted), "SIM")
    assert list(np.flatnonzero(found.bars["dividend"])) == [100]


def test_an_adjusted_close_of_a_few_cents_in_cents_is_refused():
    truth = History({300: 0.4, 350: 0.4}, price=0.1)
    table = truth.split_adjusted().assign(adjusted=truth.adjusted().round(2))
    with pytest.raises(DataError, match="digits to tell dividends") as caught:
        settled(table, "SIM")
    assert "more decimals" in (caught.value.hint or "")
    assert "--start" not in (caught.value.hint or "")


def test_a_close_of_a_few_cents_without_dividends_is_sound():
    table = History(price=0.1).raw.round(2)
    table["high"] = table[PRICES].max(axis=1)
    table["low"] = table[PRICES].min(axis=1)
    found = settled(table.assign(adjusted=table["close"]), "SIM")
    assert not found.bars["dividend"].any()


def test_an_adjusted_close_that_falls_is_refused_unless_allowed():
    truth = History({100: 0.01})
    adjusted = truth.adjusted()
    adjusted.iloc[:200] *= 1.2
    table = truth.split_adjusted().assign(adjusted=adjusted)
    with pytest.raises(DataError, match=f"{table.index[200]:%Y-%m-%d}") as caught:
        settled(table, "SIM")
    assert f"lstm fetch SIM --allow-jumps {table.index[200]:%Y-%m-%d}" in caught.value.hint
    found = settled(table, "SIM", allowed=[table.index[200]])
    assert list(np.flatnonzero(found.bars["dividend"])) == [100]


def test_an_adjusted_close_that_falls_is_not_used_where_dividends_are_stated():
    truth = History({100: 0.01})
    adjusted = truth.adjusted()
    adjusted.iloc[:200] *= 1.2
    table = truth.split_adjusted().assign(adjusted=adjusted, dividend=truth.paid)
    found = settled(table, "SIM")
    np.testing.assert_allclose(found.bars["dividend"], truth.paid)
    assert f"{table.index[200]:%Y-%m-%d}" in found.notes[0]


# --- all ways to write the same history


@st.composite
def histories(draw) -> History:
    rows = st.integers(1, 299)
    dividends = draw(st.dictionaries(rows, st.floats(0.003, 0.3), max_size=6))
    splits = draw(
        st.dictionaries(rows, st.sampled_from([2, 3, 1.5, 1.25, 20, 0.1, 0.005]), max_size=3)
    )
    return History(
        dividends,
        # On one day it splits or pays: the order of both is not known from outside.
        {row: ratio for row, ratio in splits.items() if row not in dividends},
        sessions=300,
        price=draw(st.floats(20, 500)),
        seed=draw(st.integers(0, 2**16)),
    )


def written(truth: History, way: str) -> pd.DataFrame:
    """Return a history in one of the ways that sources write it."""
    stated = {"dividend": truth.paid, "split": truth.split}
    now = {"dividend": truth.paid_now(), "split": truth.split}
    return {
        "split-adjusted, adjusted close": truth.split_adjusted().assign(adjusted=truth.adjusted()),
        "split-adjusted, dividends": truth.split_adjusted().assign(**now),
        "split-adjusted, both": truth.split_adjusted().assign(**now, adjusted=truth.adjusted()),
        "as traded": truth.raw.assign(**stated),
        "as traded, adjusted close": truth.raw.assign(**stated, adjusted=truth.adjusted()),
        "fully adjusted": truth.fully_adjusted(),
    }[way]


WAYS = (
    "split-adjusted, adjusted close",
    "split-adjusted, dividends",
    "split-adjusted, both",
    "as traded",
    "as traded, adjusted close",
    "fully adjusted",
)


@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(truth=histories(), decimals=st.sampled_from([4, 6, None]))
def test_every_way_to_write_a_history_gives_the_same_total(way, truth, decimals):
    table = written(truth, way)
    least = table[[name for name in ("close", "adjusted") if name in table]].to_numpy().min()
    if decimals:
        table = table.round(dict.fromkeys([*PRICES, "adjusted", "dividend"], decimals))
    rounding = 10.0**-decimals / least if decimals else 0.0
    # Beyond that a file is refused, or its dividends cannot be told from rounding.
    if rounding > 1e-4:
        return
    found = settled(table, "SIM")
    assert tuple(found.bars.columns) == BAR_COLUMNS
    steps = len(truth.dividends) + len(truth.splits) + 1
    assert total(found) == pytest.approx(truth.total, abs=1e-4 + 4 * steps * rounding)
    if "split" in table:
        np.testing.assert_allclose(found.bars["split"], truth.split)
        np.testing.assert_allclose(found.bars["close"].iloc[-1], table["close"].iloc[-1])
        np.testing.assert_allclose(found.bars["volume"], truth.split_adjusted()["volume"])
    if way != "fully adjusted":
        expected = {row for row in truth.dividends if row}
        assert set(np.flatnonzero(found.bars["dividend"])) == expected


def test_dividends_of_their_day_in_split_adjusted_prices_are_adjusted():
    """With an adjusted close, which tells at once."""
    truth = History({40: 0.01, 100: 0.01, 160: 0.01, 300: 0.01}, {200: 4.0})
    stated = truth.split_adjusted().assign(
        dividend=truth.paid, split=truth.split, adjusted=truth.adjusted()
    )
    found = settled(stated, "SIM")
    np.testing.assert_allclose(found.bars["dividend"], truth.paid_now())
    assert "shares of their day" in " ".join(found.notes)


# --- dividends that are in the close already, or in another unit


def many(**change) -> History:
    return History({row: 0.02 for row in range(30, 400, 30)}, **change)


def test_dividends_that_the_close_holds_are_not_counted_twice():
    truth = many()
    found = settled(truth.fully_adjusted().assign(dividend=truth.paid), "SIM")
    assert total(found) == pytest.approx(truth.total, abs=1e-9)
    assert not found.bars["dividend"].any()
    assert "adjusted for dividends already" in found.notes[0]


def test_a_layout_that_is_known_to_adjust_needs_no_evidence():
    truth = History({200: 0.004})
    table = truth.fully_adjusted().assign(dividend=truth.paid)
    found = settled(table, "SIM", fully_adjusted=True)
    assert total(found) == pytest.approx(truth.total, abs=1e-9)


def test_so_with_an_adjusted_close_that_equals_the_close():
    truth = many()
    table = truth.fully_adjusted().round(4)
    found = settled(table.assign(dividend=truth.paid, adjusted=table["close"]), "SIM")
    assert not found.bars["dividend"].any()


def test_so_with_opens_that_repeat_the_close_before():
    truth = many()
    table = truth.fully_adjusted().round(4).assign(dividend=truth.paid)
    table["open"] = table["close"].shift().fillna(table["open"])
    table["high"], table["low"] = table[PRICES].max(axis=1), table[PRICES].min(axis=1)
    assert not settled(table, "SIM").bars["dividend"].any()


def test_the_digits_of_prices_show_that_they_were_adjusted():
    """One dividend falls too little to tell; a product with a factor has sixteen digits."""
    truth = History({200: 0.004})
    raw = truth.raw.round(2)
    factor = pd.Series(np.where(np.arange(400) < 200, 1 - 1 / 257, 1.0), raw.index)
    adjusted = raw.assign(**{name: raw[name] * factor for name in PRICES})
    found = settled(adjusted.assign(dividend=truth.paid), "SIM")
    assert not found.bars["dividend"].any()
    assert settled(raw.assign(dividend=truth.paid), "SIM").bars["dividend"].iloc[200] > 0


def test_without_evidence_a_dividend_counts_as_stated():
    truth = History({200: 0.004})
    found = settled(truth.fully_adjusted().round(4).assign(dividend=truth.paid), "SIM")
    assert found.bars["dividend"].iloc[200] == truth.paid.iloc[200]
    assert found.doubtful
    assert not found.notes


@pytest.mark.parametrize("times", [100.0, 0.01])
@pytest.mark.parametrize("adjusted", [True, False], ids=["adjusted close", "prices alone"])
def test_dividends_in_another_unit_are_converted(times, adjusted):
    truth = many()
    table = truth.raw.assign(dividend=truth.paid * times)
    if adjusted:
        table["adjusted"] = truth.adjusted()
    found = settled(table, "SIM")
    np.testing.assert_allclose(found.bars["dividend"], truth.paid)
    assert "unit" in found.notes[0]


def test_tiny_dividends_of_prices_in_pence_are_in_pounds():
    truth = History({100: 0.015, 300: 0.015})
    table = truth.raw.assign(dividend=truth.paid / 100)
    # Yahoo adjusts by its own statement, so that the two agree.
    wrong = 1 - 0.00015
    table["adjusted"] = table["close"] * np.select(
        [np.arange(400) < 100, np.arange(400) < 300], [wrong**2, wrong], 1.0
    )
    found = settled(table, "SIM.L", in_hundredths=True)
    np.testing.assert_allclose(found.bars["dividend"], truth.paid)
    assert settled(table, "SIM").bars["dividend"].sum() < truth.paid.sum() / 50


def test_a_spin_off_that_only_the_adjusted_close_has_is_a_distribution():
    truth = History({100: 0.01, 200: 1 / 3, 300: 0.01})
    stated = truth.paid.copy()
    stated.iloc[200] = 0.0
    table = truth.raw.assign(dividend=stated, adjusted=truth.adjusted())
    found = settled(table, "SIM")
    assert found.bars["dividend"].iloc[200] == pytest.approx(truth.paid.iloc[200], rel=1e-3)
    check_jumps(found.bars, "SIM")
    with pytest.raises(DataError, match=r"1\.5 : 1"):
        check_jumps(settled(table.drop(columns="adjusted"), "SIM").bars, "SIM")


def test_a_share_that_never_moves_is_no_evidence():
    table = History(QUARTERLY).raw.assign(**dict.fromkeys(PRICES, 1.0))
    table["dividend"] = 0.0
    table.iloc[list(QUARTERLY), table.columns.get_loc("dividend")] = 0.004
    assert settled(table, "SIM").bars["dividend"].sum() == pytest.approx(0.004 * len(QUARTERLY))


# --- capital gains


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("adjusted", [True, False], ids=["adjusted close", "prices alone"])
def test_a_capital_gain_counts_once(inside, adjusted):
    truth = History({200: 0.2})
    paid = truth.paid.iloc[200]
    table = truth.raw.assign(dividend=0.0, gains=0.0)
    table.iloc[200, table.columns.get_loc("gains")] = paid * 0.45
    table.iloc[200, table.columns.get_loc("dividend")] = paid if inside else paid * 0.55
    if adjusted:
        table["adjusted"] = truth.adjusted()
    found = settled(table, "SIM")
    assert found.bars["dividend"].iloc[200] == pytest.approx(paid)
    assert bool(found.notes) == inside


def test_a_gain_without_a_dividend_is_paid():
    truth = History({200: 0.05})
    found = settled(truth.raw.assign(gains=truth.paid), "SIM")
    assert found.bars["dividend"].iloc[200] == truth.paid.iloc[200]


# --- splits


@pytest.mark.parametrize("ratio", [2.0, 3.0, 1.5, 1.25, 190.0, 1000.0, 0.1, 1 / 190, 0.001])
@pytest.mark.parametrize("left_in", [True, False])
def test_a_stated_split_is_compared_with_the_price(ratio, left_in):
    truth = History(splits={200: ratio})
    table = (truth.raw if left_in else truth.split_adjusted()).assign(split=truth.split)
    found = settled(table, "SIM")
    np.testing.assert_allclose(found.bars[PRICES], truth.split_adjusted()[PRICES])
    assert found.bars["split"].iloc[200] == ratio
    assert bool(found.notes) == left_in
    check_jumps(found.bars, "SIM")


@pytest.mark.parametrize("left_in", [True, False])
def test_an_adjusted_close_that_leaves_splits_in_is_adjusted_too(left_in):
    truth = History({100: 0.01, 300: 0.01}, {200: 4.0})
    table = (truth.raw if left_in else truth.split_adjusted()).assign(split=truth.split)
    found = settled(table.assign(adjusted=truth.adjusted() * truth.later), "SIM")
    assert total(found) == pytest.approx(truth.total, abs=1e-4)
    assert list(np.flatnonzero(found.bars["dividend"])) == [100, 300]


def test_of_several_splits_some_may_have_been_left_in():
    truth = History(splits={100: 2.0, 250: 5.0})
    half = truth.raw.copy()
    half.loc[half.index[:100], PRICES] /= 2.0
    half.loc[half.index[:100], "volume"] *= 2.0
    found = settled(half.assign(split=truth.split), "SIM")
    np.testing.assert_allclose(found.bars[PRICES], truth.split_adjusted()[PRICES])


def test_a_small_stock_dividend_is_decided_by_the_adjusted_close():
    truth = History(splits={200: 1.02}, sigma=0.03)
    table = truth.raw.assign(split=truth.split, adjusted=truth.adjusted())
    np.testing.assert_allclose(settled(table, "SIM").bars["close"], truth.split_adjusted()["close"])
    table = truth.split_adjusted().assign(split=truth.split, adjusted=truth.adjusted())
    np.testing.assert_allclose(settled(table, "SIM").bars["close"], table["close"])


def test_a_split_that_fits_neither_way_is_refused_unless_allowed():
    truth = History(splits={200: 3.0})
    table = truth.split_adjusted().assign(split=truth.split)
    table.loc[table.index[200] :, PRICES] *= np.sqrt(1 / 3.0)
    session = table.index[200]
    with pytest.raises(DataError, match=rf"{session:%Y-%m-%d}.*3 : 1.*neither") as caught:
        settled(table, "SIM")
    assert f"lstm fetch SIM --allow-jumps {session:%Y-%m-%d}" in caught.value.hint
    found = settled(table, "SIM", allowed=[session])
    np.testing.assert_allclose(found.bars["close"], table["close"])


def test_a_fall_on_the_day_of_a_stated_split_is_a_return():
    truth = History(splits={200: 1 / 190})
    table = truth.raw.assign(split=truth.split)
    table.loc[table.index[200] :, PRICES] /= 1.5
    found = settled(table, "SIM")
    assert found.bars["split"].iloc[200] == 1 / 190
    assert total(found) == pytest.approx(truth.total - np.log(1.5), abs=1e-9)
    check_jumps(found.bars, "SIM")


def test_a_dividend_on_the_day_of_a_split_is_kept():
    truth = History({200: 0.01}, {200: 4.0})
    table = truth.raw.assign(split=truth.split, dividend=truth.paid)
    assert total(settled(table, "SIM")) == pytest.approx(truth.total, abs=1e-9)


# --- prices that cannot be


def test_a_high_ten_times_off_is_cut_and_named(caplog):
    table = History().raw
    sound = table.copy()
    table.iloc[100, table.columns.get_loc("high")] *= 100
    table.iloc[200, table.columns.get_loc("low")] /= 100
    with caplog.at_level(logging.WARNING):
        found = settled(table, "SIM").bars
    assert f"high of {table.index[100]:%Y-%m-%d}" in caplog.text
    assert f"low of {table.index[200]:%Y-%m-%d}" in caplog.text
    assert len(caplog.records) == 1
    row = sound.iloc[100]
    assert found["high"].iloc[100] == max(row["open"], row["close"])
    np.testing.assert_array_equal(found["close"], sound["close"])


def test_a_high_ten_times_off_near_the_end_is_refused():
    table = History().raw
    table.iloc[-10, table.columns.get_loc("high")] *= 12
    with pytest.raises(DataError, match=f"{table.index[-10]:%Y-%m-%d}") as caught:
        settled(table, "SIM")
    assert "--start" not in caught.value.hint
    assert settled(table, "SIM", allowed=[table.index[-10]]).bars["high"].iloc[-10] > 500


def test_a_day_that_lost_nine_tenths_is_not_touched(caplog):
    table = History().raw
    table.loc[table.index[201] :, PRICES] /= 20
    table.loc[table.index[200], ["low", "close"]] /= 20
    found = settled(table, "SIM").bars
    np.testing.assert_array_equal(found[PRICES], table[PRICES])
    assert not caplog.text


@pytest.mark.parametrize("last", [1, 2, 20, 60])
@pytest.mark.parametrize("times", [100.0, 0.01])
def test_sessions_in_another_unit_are_called_that(last, times):
    table = History().raw
    table.loc[table.index[200] : table.index[199 + last], PRICES] *= times
    with pytest.raises(DataError, match=f"{table.index[200]:%Y-%m-%d}") as caught:
        check_jumps(settled(table, "SIM").bars, "SIM")
    assert f"{table.index[199 + last]:%Y-%m-%d}" in str(caught.value)
    assert "unit" in str(caught.value)
    assert "split" not in str(caught.value)
    start = table.index[200 + last]
    assert f"lstm fetch SIM --start {start:%Y-%m-%d}" in caught.value.hint
    check_jumps(settled(table.loc[start:], "SIM").bars, "SIM")
    # No price is a hundred times that of the day before: to allow it would let it pass.
    assert "--allow-jumps" not in caught.value.hint


def test_another_unit_since_three_days_offers_no_start():
    table = History().raw
    table.loc[table.index[-3] :, PRICES] /= 100
    with pytest.raises(DataError, match="unit") as caught:
        check_jumps(settled(table, "SIM").bars, "SIM")
    assert "--start" not in caught.value.hint
    assert "correct the prices" in caught.value.hint


def test_a_close_on_another_basis_is_said():
    table = History().raw
    table.loc[: table.index[350], "close"] *= 2
    with pytest.raises(DataError, match=r"about 2 times the others in 351 of 400"):
        settled(table, "SIM")


def test_negative_prices_lead_to_a_later_start():
    table = History().raw
    table.loc[table.index[[150, 151]], ["low", "close"]] = -3.0
    with pytest.raises(DataError, match=f"{table.index[150]:%Y-%m-%d}.*zero or negative") as caught:
        settled(table, "SIM")
    assert f"lstm fetch SIM --start {table.index[152]:%Y-%m-%d}" in caught.value.hint
    assert len(settled(table.loc[table.index[152] :], "SIM").bars) == 248


@pytest.mark.parametrize("back", [11, 200])
def test_an_old_row_without_one_price_is_a_hole(back, caplog):
    truth = History({400 - back: 0.01})
    table = truth.raw.assign(dividend=truth.paid)
    table.iloc[-back, 0] = np.nan
    with caplog.at_level(logging.WARNING):
        found = settled(table, "SIM").bars
    assert found.index.equals(table.index.delete(-back))
    assert f"{table.index[-back]:%Y-%m-%d}" in caplog.text
    # The return of the next session holds what was paid.
    assert found["dividend"].iloc[400 - back] == truth.paid.iloc[-back]
    assert float(log_returns(found).sum()) == pytest.approx(truth.total, abs=2e-3)


@pytest.mark.parametrize("back", [2, 10])
def test_a_recent_row_without_one_price_is_refused(back):
    table = History().raw
    table.iloc[-back, 0] = np.nan
    with pytest.raises(DataError, match=rf"{table.index[-back]:%Y-%m-%d}.* no open"):
        settled(table, "SIM")


def test_the_last_row_without_one_price_is_not_there_yet(caplog):
    table = History().raw
    table.iloc[-1, 0] = np.nan
    with caplog.at_level(logging.WARNING):
        assert settled(table, "SIM").bars.index[-1] == table.index[-2]
    assert f"{table.index[-1]:%Y-%m-%d}" in caplog.text


# --- real bars


@pytest.mark.market
def test_real_dividends_are_as_before_but_for_rounding(market_data):
    """The steps beyond 2e-5 are those that a plain ratio of neighbours gives."""
    frame = pd.read_csv(market_data / "market30.csv.gz")
    for ticker, table in frame.groupby("Ticker"):
        close, adjusted = table["Close"].to_numpy(), table["Adj Close"].to_numpy()
        steps = adjustment(adjusted, close).steps
        plain = np.diff(np.log(adjusted / close), prepend=np.log(adjusted[0] / close[0]))
        assert list(np.flatnonzero(steps)) == list(np.flatnonzero(plain > 2e-5)), ticker
        assert abs(steps - np.where(steps > 0, plain, 0)).max() < 2e-5
        end_to_end = np.log(adjusted[-1] / close[-1]) - np.log(adjusted[0] / close[0])
        assert steps.sum() == pytest.approx(end_to_end, abs=1e-5)


@pytest.mark.market
def test_of_six_hundred_real_tickers_three_are_refused_and_load_if_allowed(market_data, caplog):
    pool = pd.read_parquet(market_data / "pool600.parquet")
    names = {
        "Open": "open",
        "High": "high",
        "Low": "low",
        "Close": "close",
        "Adj Close": "adjusted",
        "Volume": "volume",
    }
    refused = {}
    for ticker, rows in pool.groupby("Ticker", observed=True):
        table = rows.set_index(pd.to_datetime(rows["Date"])).rename(columns=names).sort_index()
        found = settled(table[list(names.values())], ticker)
        assert not found.notes
        try:
            check_jumps(found.bars, ticker)
        except DataError as error:
            refused[ticker] = error.session
            check_jumps(found.bars, ticker, allowed=[error.session])
    assert set(refused) <= {"JCI", "EXPE", "BKNG"}
    assert not caplog.text


@pytest.mark.market
def test_a_real_reverse_split_that_was_left_in_is_adjusted(market_data):
    """GE stated its dividends in the shares of today; the prices were as traded."""
    table = pd.read_csv(market_data / "faults" / "GE_as_traded_reverse_split.csv")
    table = table.set_index(pd.to_datetime(table["Date"])).drop(columns="Date")
    table.columns = [*PRICES, "adjusted", "volume", "dividend", "split"]
    found = settled(table, "GE")
    assert "1 : 8 on 2021-08-02" in found.notes[0]
    ends = table["adjusted"].iloc[[0, -1]].to_numpy()
    assert total(found) == pytest.approx(np.log(ends[1] / ends[0]), abs=1e-3)
    assert log_returns(found.bars).abs().max() < 0.25
    check_jumps(found.bars, "GE")


def test_what_a_row_pays_or_splits_moves_to_the_next_and_nothing_else_changes():
    table = pd.DataFrame({"close": np.arange(6.0), "dividend": 0.0, "split": 0.0})
    table.loc[[1, 2, 5], "dividend"] = [0.1, 0.2, 0.4]
    table.loc[[0, 2, 3], "split"] = [3.0, 2.0, 7.0]
    found = without_rows(table, np.array([False, True, True, False, False, True]))
    assert found["close"].tolist() == [0.0, 3.0, 4.0]
    assert found["dividend"].tolist() == pytest.approx([0.0, 0.3, 0.0])
    # Exactly: an update compares splits with those that are stored.
    assert found["split"].tolist() == [3.0, 14.0, 0.0]
