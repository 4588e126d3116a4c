"""Trading days: holidays, early closes, and exchanges without a calendar."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lstmcli.errors import ConfigError
from lstmcli.sessions import (
    calendar_for,
    check_calendar,
    next_sessions,
    sessions_after,
    sessions_behind,
    sessions_between,
    settled_session,
)
from lstmcli.sources import CsvSource

NONE = pd.DatetimeIndex([])
SUNDAY_TO_THURSDAY = pd.DatetimeIndex(
    [day for day in pd.date_range("2023-01-01", "2024-03-07") if day.day_of_week not in (4, 5)]
)


def days(index: pd.DatetimeIndex) -> list[str]:
    return [f"{session:%Y-%m-%d}" for session in index]


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("ticker", "exchange", "calendar"),
    [
        ("MRK", "NYQ", "XNYS"),
        ("MRK", None, "XNYS"),
        ("BRK-B", None, "XNYS"),
        ("^GSPC", "SNP", "XNYS"),
        ("REL.L", None, "XLON"),
        ("7203.T", "JPX", "XTKS"),
        ("1398.HK", None, "XHKG"),
        ("KEN.TA", "TLV", "XTAE"),
        ("SAP.DE", None, "XETR"),
        ("2330.TW", None, "XTAI"),
        ("6488.TWO", None, "XTAI"),
        ("BTC-USD", "CCC", "24/7"),
        ("BTC-USD", None, "24/7"),
        ("EURUSD=X", None, "weekdays"),
        ("CL=F", "NYM", "weekdays"),
        ("<script>", None, "XNYS"),
        ("ODD", "ZZZ", "weekdays"),  # an exchange that nobody placed
    ],
)
def test_the_calendar_follows_from_exchange_or_suffix(ticker, exchange, calendar):
    assert calendar_for(ticker, exchange) == calendar


def test_every_calendar_of_the_tables_exists():
    from lstmcli.sessions import _CALENDAR_OF_EXCHANGE, _CALENDAR_OF_SUFFIX

    for name in {*_CALENDAR_OF_EXCHANGE.values(), *_CALENDAR_OF_SUFFIX.values()}:
        check_calendar(name)


def test_an_unknown_calendar_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError, match="XNYZ") as caught:
        check_calendar("XNYZ")
    assert "did you mean" in (caught.value.hint or "")
    assert caught.value.exit_code == 2


def test_holidays_are_no_sessions():
    found = sessions_between(
        "XNYS", pd.Timestamp("2024-03-27"), pd.Timestamp("2024-04-02"), observed=NONE
    )
    assert days(found) == ["2024-03-27", "2024-03-28", "2024-04-01", "2024-04-02"]
    found = next_sessions("XNYS", pd.Timestamp("2024-12-24"), 2, observed=NONE)
    assert days(found) == ["2024-12-26", "2024-12-27"]


def test_sessions_are_naive_midnights_and_an_empty_span_has_none():
    found = next_sessions("XLON", pd.Timestamp("2024-05-03"), 1, observed=NONE)
    assert days(found) == ["2024-05-07"]  # the early May bank holiday
    assert found.tz is None
    assert (
        len(sessions_between("XNYS", found[0], found[0] - pd.Timedelta(1, "D"), observed=NONE)) == 0
    )


@pytest.mark.parametrize("calendar", ["XNYS", "XTAE", "24/7", "weekdays"])
def test_next_sessions_returns_as_many_as_asked_for(calendar):
    after = pd.Timestamp("2024-03-08")
    found = next_sessions(calendar, after, 300, observed=NONE)
    assert len(found) == 300
    assert found[0] > after
    assert found.is_monotonic_increasing
    assert found.is_unique


def test_an_early_close_settles_early():
    # The day after Thanksgiving closes at 13:00 in New York, 18:00 UTC.
    assert days([settled_session("XNYS", moment("2024-11-29 18:29"), observed=NONE)]) == [
        "2024-11-27"
    ]
    assert days([settled_session("XNYS", moment("2024-11-29 18:30"), observed=NONE)]) == [
        "2024-11-29"
    ]


def test_a_session_settles_before_its_day_ends_in_the_east():
    assert settled_session("XTKS", moment("2024-03-08 07:00"), observed=NONE) == pd.Timestamp(
        "2024-03-08"
    )
    # Auckland closes on Monday while it is still Monday morning in UTC.
    assert settled_session("XNZE", moment("2024-03-11 06:00"), observed=NONE) == pd.Timestamp(
        "2024-03-11"
    )


def test_crypto_trades_every_day():
    found = next_sessions("24/7", pd.Timestamp("2024-12-24"), 3, observed=NONE)
    assert days(found) == ["2024-12-25", "2024-12-26", "2024-12-27"]
    assert settled_session("24/7", moment("2024-03-09 00:10"), observed=NONE) == pd.Timestamp(
        "2024-03-07"
    )


def test_staleness_counts_settled_sessions():
    last = pd.Timestamp("2016-12-30")
    assert sessions_behind("XNYS", last, moment("2017-01-01 12:00"), observed=NONE) == 0
    assert sessions_behind("XNYS", last, moment("2017-01-03 18:00"), observed=NONE) == 0
    assert sessions_behind("XNYS", last, moment("2017-01-04 18:00"), observed=NONE) == 1
    assert (
        sessions_behind(
            "XNYS", pd.Timestamp("2030-01-02"), moment("2017-01-04 18:00"), observed=NONE
        )
        == 0
    )


def test_a_broken_calendar_falls_back_to_observed_weekdays(caplog):
    from lstmcli.sessions import _build, _say_that_it_breaks

    _build.cache_clear()
    _say_that_it_breaks.cache_clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            found = next_sessions(
                "XTAE", pd.Timestamp("2024-03-07"), 4, observed=SUNDAY_TO_THURSDAY
            )
    assert days(found) == ["2024-03-10", "2024-03-11", "2024-03-12", "2024-03-13"]
    # Said once, and only where this version of the calendar is broken.
    assert caplog.text.count("cannot be built") <= 1


def test_weekdays_are_the_observed_ones():
    found = next_sessions("weekdays", SUNDAY_TO_THURSDAY[-1], 3, observed=SUNDAY_TO_THURSDAY)
    assert days(found) == ["2024-03-10", "2024-03-11", "2024-03-12"]


def test_one_special_session_does_not_make_a_weekday():
    saturday = pd.DatetimeIndex(["2024-03-02"])
    observed = SUNDAY_TO_THURSDAY.union(saturday)
    found = next_sessions("weekdays", observed[-1], 10, observed=observed)
    assert 5 not in set(found.day_of_week)


def test_holidays_of_weekdays_are_no_holes():
    observed = SUNDAY_TO_THURSDAY.delete(100)
    found = sessions_between("weekdays", observed[0], observed[-1], observed=observed)
    assert found.equals(observed.as_unit("ns"))


def test_dates_do_not_depend_on_later_sessions():
    cut = SUNDAY_TO_THURSDAY[200]
    shifted = SUNDAY_TO_THURSDAY[201:] + pd.Timedelta(2, "D")
    changed = SUNDAY_TO_THURSDAY[:201].union(shifted)
    expected = next_sessions("weekdays", cut, 40, observed=SUNDAY_TO_THURSDAY)
    assert next_sessions("weekdays", cut, 40, observed=changed).equals(expected)


def test_a_calendar_that_ends_goes_on_with_weekdays(caplog):
    from lstmcli.sessions import _say_that_it_ends

    _say_that_it_ends.cache_clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            found = next_sessions("XSHG", pd.Timestamp("2050-12-29"), 3, observed=NONE)
    assert days(found) == ["2050-12-30", "2051-01-02", "2051-01-03"]
    assert caplog.text.count("ends on") == 1


def test_a_calendar_reaches_back_to_the_sample_and_further():
    found = sessions_between(
        "XNYS", pd.Timestamp("1973-05-02"), pd.Timestamp("1973-05-09"), observed=NONE
    )
    assert len(found) == 6
    # Tokyo's calendar begins in 1997: before, sessions are weekdays.
    early = sessions_between(
        "XTKS", pd.Timestamp("1996-12-27"), pd.Timestamp("1997-01-07"), observed=NONE
    )
    assert "1996-12-30" in days(early)
    assert "1997-01-02" not in days(early)


@pytest.mark.market
def test_real_bars_have_every_session_of_their_calendar(market_data: Path, tmp_path: Path):
    for name in ("MRK", "MDT"):
        bars = CsvSource(file=market_data / f"{name}.csv").bars(name, cache=tmp_path).bars
        expected = sessions_between("XNYS", bars.index[0], bars.index[-1], observed=NONE)
        assert days(expected) == days(bars.index)


@pytest.mark.parametrize("calendar", ["weekdays", "XNYS", "XTAE"])
@pytest.mark.parametrize("week", ["Mon-Fri", "Sun-Thu", "all", "changed"])
def test_many_origins_get_what_each_gets_alone(calendar: str, week: str):
    days = pd.date_range("2015-12-27", "2016-12-30")
    trading = {
        "Mon-Fri": days.day_of_week < 5,
        "Sun-Thu": ~days.day_of_week.isin([4, 5]),
        "all": days.day_of_week < 7,
        "changed": np.where(days < "2016-07-01", days.day_of_week < 5, days.day_of_week > 1),
    }[week]
    observed = pd.DatetimeIndex(days[np.asarray(trading)]).delete([70, 71, 130])
    origins = observed[[0, 3, 58, 59, 60, 61, 75, 140, -40, -1]]
    together = sessions_after(calendar, origins, 8, observed=observed)
    for origin, found in zip(origins, together, strict=True):
        alone = next_sessions(calendar, origin, 8, observed=observed)
        assert pd.DatetimeIndex(found).tolist() == alone.tolist()
