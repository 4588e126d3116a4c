"""Trading days: holidays, early closes, and exchanges without a calendar."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import platformdirs
import pytest

from lstmcli import trading_hours
from lstmcli.errors import ConfigError
from lstmcli.sessions import (
    check_calendar,
    expected_sessions,
    last_closed,
    next_sessions,
    sessions_after,
    sessions_behind,
    sessions_between,
    settled_session,
)
from lstmcli.sources import CsvSource
from lstmcli.trading_hours import TradingHours

NONE = pd.DatetimeIndex([])
SUNDAY_TO_THURSDAY = pd.DatetimeIndex(
    [day for day in pd.date_range("2023-01-01", "2024-03-07") if day.day_of_week not in (4, 5)]
)


def days(index: pd.DatetimeIndex) -> list[str]:
    return [f"{session:%Y-%m-%d}" for session in index]


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


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
    from lstmcli.trading_hours import _hours, warn_once

    _hours.cache_clear()
    warn_once.cache_clear()
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


@pytest.fixture
def kept_hours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the folder in which hours are kept, still empty; none are in memory."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: folder)
    trading_hours._hours.cache_clear()
    yield folder / "trading-hours"
    trading_hours._hours.cache_clear()


def hours_of_today(calendar: str) -> TradingHours:
    """Return the hours of a calendar as a new process finds them."""
    trading_hours._hours.cache_clear()
    day = pd.Timestamp("2024-03-08")
    found = trading_hours.trading_hours(calendar, day, day)
    assert found is not None
    return found


def same(one: TradingHours, other: TradingHours) -> bool:
    pd.testing.assert_series_equal(one.opens, other.opens)
    pd.testing.assert_series_equal(one.closes, other.closes)
    return (one.first, one.last, one.zone) == (other.first, other.last, other.zone)


@pytest.mark.parametrize("calendar", ["XNYS", "24/7", "XHKG"])
def test_the_hours_of_an_exchange_are_kept_for_other_processes(kept_hours, monkeypatch, calendar):
    built = hours_of_today(calendar)
    assert len([*kept_hours.iterdir()]) == 1
    monkeypatch.setattr(trading_hours, "_build", lambda *_: pytest.fail("it was built anew"))
    assert same(hours_of_today(calendar), built)


HOURS_OF_NO_USE = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:5000]),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("no archive"),
    "other": lambda path: np.savez(path, sessions=np.arange(3)),
    "old": lambda path: os.utime(path, (0, path.stat().st_mtime - 8 * 24 * 3600)),
    "of tomorrow": lambda path: os.utime(path, (0, path.stat().st_mtime + 24 * 3600)),
}


@pytest.mark.parametrize("fault", sorted(HOURS_OF_NO_USE))
def test_hours_of_no_use_are_built_anew(kept_hours, fault):
    built = hours_of_today("XNYS")
    (path,) = kept_hours.iterdir()
    whole = path.read_bytes()
    HOURS_OF_NO_USE[fault](path)
    assert same(hours_of_today("XNYS"), built)
    assert path.read_bytes() == whole
    assert 0 <= time.time() - path.stat().st_mtime < 60


def test_hours_are_built_where_they_cannot_be_kept(kept_hours, monkeypatch):
    kept_hours.parent.mkdir()
    kept_hours.write_text("a file, where a folder is needed")
    assert len(hours_of_today("XNYS").opens)

    def homeless(name: str) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(platformdirs, "user_cache_path", homeless)
    assert len(hours_of_today("XNYS").opens)


def test_dates_do_not_depend_on_later_sessions():
    cut = SUNDAY_TO_THURSDAY[200]
    shifted = SUNDAY_TO_THURSDAY[201:] + pd.Timedelta(2, "D")
    changed = SUNDAY_TO_THURSDAY[:201].union(shifted)
    expected = next_sessions("weekdays", cut, 40, observed=SUNDAY_TO_THURSDAY)
    assert next_sessions("weekdays", cut, 40, observed=changed).equals(expected)


def test_a_calendar_that_ends_goes_on_with_weekdays(caplog):
    from lstmcli.trading_hours import warn_once

    warn_once.cache_clear()
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


def seen(calendar: str, sessions: list[str], other: str, other_sessions: list[str]) -> list[str]:
    """Return the session of the other series that each session sees, `-` for none."""
    others = pd.DatetimeIndex(other_sessions)
    found = last_closed(calendar, pd.DatetimeIndex(sessions), other, others)
    return [other_sessions[position] if position >= 0 else "-" for position in found]


FRIDAY_TO_TUESDAY = ["2024-03-08", "2024-03-11", "2024-03-12"]


@pytest.mark.parametrize(
    ("calendar", "other", "expected"),
    [
        ("XNYS", "XNYS", FRIDAY_TO_TUESDAY),
        ("XLON", "XNYS", ["-", "2024-03-08", "2024-03-11"]),
        ("XTKS", "XNYS", ["-", "2024-03-08", "2024-03-11"]),
        ("XNYS", "XLON", FRIDAY_TO_TUESDAY),
        ("XNYS", "XTKS", FRIDAY_TO_TUESDAY),
        # Without an exchange a session closes when its day ends in UTC.
        ("weekdays", "XNYS", FRIDAY_TO_TUESDAY),
        ("XNYS", "weekdays", ["-", "2024-03-08", "2024-03-11"]),
        ("XNYS", "24/7", ["-", "2024-03-08", "2024-03-11"]),
        ("weekdays", "24/7", FRIDAY_TO_TUESDAY),
    ],
)
def test_a_session_sees_what_had_closed_by_its_close(calendar, other, expected):
    assert seen(calendar, FRIDAY_TO_TUESDAY, other, FRIDAY_TO_TUESDAY) == expected


def test_a_weekend_sees_friday_and_a_holiday_the_day_before():
    weekend = ["2024-03-08", "2024-03-09", "2024-03-10", "2024-03-11"]
    assert seen("24/7", weekend, "XNYS", FRIDAY_TO_TUESDAY) == [
        "2024-03-08",
        "2024-03-08",
        "2024-03-08",
        "2024-03-11",
    ]
    # Good Friday 2024: Tokyo trades, New York does not.
    tokyo = ["2024-03-28", "2024-03-29", "2024-04-01", "2024-04-02"]
    new_york = ["2024-03-27", "2024-03-28", "2024-04-01"]
    assert seen("XTKS", tokyo, "XNYS", new_york) == [
        "2024-03-27",
        "2024-03-28",
        "2024-03-28",
        "2024-04-01",
    ]


def test_an_early_close_sees_less():
    # São Paulo closes at 21:00 UTC, in winter together with New York. On the day after
    # Thanksgiving New York closes at 18:00 UTC.
    sao_paulo = ["2024-11-27", "2024-11-28", "2024-11-29", "2024-12-02"]
    assert seen("XNYS", ["2024-11-27", "2024-11-29"], "BVMF", sao_paulo) == [
        "2024-11-27",
        "2024-11-28",
    ]


def test_london_never_sees_new_york_of_the_same_day():
    # Through both changes of the clocks, which lie weeks apart.
    span = pd.Timestamp("2020-01-02"), pd.Timestamp("2020-12-31")
    london = sessions_between("XLON", *span, observed=NONE)
    new_york = sessions_between("XNYS", *span, observed=NONE)
    found = last_closed("XLON", london, "XNYS", new_york)
    assert found.tolist() == [(new_york < day).sum() - 1 for day in london]
    back = last_closed("XNYS", new_york, "XLON", london)
    assert back.tolist() == [(london <= day).sum() - 1 for day in new_york]


def test_no_session_sees_a_series_without_sessions():
    assert seen("XNYS", FRIDAY_TO_TUESDAY, "XNYS", []) == ["-", "-", "-"]
    assert len(last_closed("XNYS", NONE, "XNYS", NONE)) == 0
    assert len(expected_sessions("XNYS", NONE, "XNYS", NONE)) == 0


@pytest.mark.parametrize("calendar", ["XNYS", "XLON", "XTKS", "24/7", "weekdays"])
@pytest.mark.parametrize("other", ["XNYS", "XLON", "XTKS", "24/7", "weekdays"])
def test_a_series_without_holes_has_every_expected_session(calendar: str, other: str):
    span = pd.Timestamp("2023-11-01"), pd.Timestamp("2024-04-30")
    sessions = sessions_between(calendar, *span, observed=NONE)
    others = sessions_between(other, *span, observed=NONE)
    found = last_closed(calendar, sessions, other, others)
    expected = expected_sessions(calendar, sessions, other, others)
    assert (others[found[found >= 0]] == expected[found >= 0]).all()
    # What lies before the series was due, too.
    assert (expected[found < 0] < others[0]).all()


def test_a_hole_and_a_stale_series_differ_from_what_is_expected():
    span = pd.Timestamp("2024-03-04"), pd.Timestamp("2024-03-15")
    sessions = sessions_between("XNYS", *span, observed=NONE)
    others = sessions[sessions != pd.Timestamp("2024-03-06")][:-3]
    expected = expected_sessions("XNYS", sessions, "XNYS", others)
    found = others[last_closed("XNYS", sessions, "XNYS", others)]
    assert days(sessions[found != expected]) == [
        "2024-03-06",
        "2024-03-13",
        "2024-03-14",
        "2024-03-15",
    ]


def test_a_long_pause_of_a_series_without_calendar_is_no_hole():
    observed = pd.bdate_range("2023-01-02", "2024-06-28")
    observed = observed[(observed < "2024-01-01") | (observed > "2024-03-29")]
    expected = expected_sessions("XNYS", pd.DatetimeIndex(["2024-03-28"]), "weekdays", observed)
    assert days(pd.DatetimeIndex(expected)) == ["2023-12-29"]


def test_many_sessions_are_aligned_quickly():
    sessions = pd.bdate_range("1950-01-02", periods=20_000)
    last_closed("XLON", sessions[:1], "XNYS", sessions[-1:])  # builds the calendars
    started = time.perf_counter()
    last_closed("XLON", sessions, "XNYS", sessions)
    expected_sessions("XLON", sessions, "XNYS", sessions)
    assert time.perf_counter() - started < 2
