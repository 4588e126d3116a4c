"""Evenings replayed day by day: `lstm daily` against a Yahoo whose clock moves.

    python tests/year.py FOLDER MARKET_DATA     # 2016, about an hour on two cores

Disturbed, with faults of Yahoo, holes that are filled in later, and processes that are
killed; and undisturbed, to compare with.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
from command import LSTM, TINY, kept_logging
from yahoo_server import Fault, Listing, YahooServer

TICKERS = ("MRK", "MDT")

_FETCH = """
import sys
from pathlib import Path
from lstmcli.pipeline.fetch import fetch
from lstmcli.pipeline.session import Session
from lstmcli.sources import YahooSource
from lstmcli.store import Workspace
session = Session(Workspace(Path(sys.argv[1])))
found = fetch(session, sys.argv[2:], source=YahooSource(pause=0, timeout=5))
assert all(each.error is None for each in found), found
"""


def evening_of(session: pd.Timestamp) -> datetime:
    """Return 23:00 UTC, after the close in New York in summer and in winter."""
    return datetime(session.year, session.month, session.day, 23, 0, tzinfo=UTC)


@dataclass
class Replay:
    """One workspace, one Yahoo, evening after evening.

    Attributes:
        codes: exit codes of finished runs, by number.
        kills: processes that were killed while they worked.
        inside: run what nobody kills in this process, which is quicker.
    """

    folder: Path
    yahoo: YahooServer
    inside: bool = False
    codes: Counter[int] = field(default_factory=Counter)
    kills: int = 0

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            **self.yahoo.environment(self.folder),
            "LSTM_WORKSPACE": str(self.data),
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }

    def prepare(self, session: pd.Timestamp) -> None:
        """Fetch and train as of the evening of a session, a run for each ticker."""
        self.yahoo.now = evening_of(session)
        self.fetch(*TICKERS)
        for ticker in TICKERS:
            self.lstm("train", ticker, *TINY, "--set", "retrain=monthly", "-q")

    def fetch(self, *tickers: str) -> None:
        """Store tickers, from a Yahoo that needs no pauses."""
        line = [sys.executable, "-c", _FETCH, str(self.data), *tickers]
        subprocess.run(line, env=self.environment(), check=True)

    def lstm(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a command that has to end with a code."""
        done = subprocess.run(
            [*LSTM, *words], env=self.environment(), capture_output=True, text=True, check=False
        )
        assert done.returncode == code, done.stderr
        return done

    def daily(self) -> int:
        """Run `daily` to its end and return its exit code."""
        words = ["daily", "-q", "--summary", str(self.folder / "evening-{date}.json")]
        if self.inside:
            code = self._run_here(words)
        else:
            line = [*LSTM, *words]
            code = subprocess.run(
                line, env=self.environment(), capture_output=True, check=False
            ).returncode
        assert code != 1
        self.codes[code] += 1
        return code

    def _run_here(self, words: list[str]) -> int:
        from lstmcli.cli import run

        before = dict(os.environ)
        try:
            os.environ.update(self.environment())
            with kept_logging():
                return run(words)
        finally:
            os.environ.clear()
            os.environ.update(before)

    def kill_daily(self, after: float) -> None:
        """Start `daily` and kill it, with what it may have started, after some seconds."""
        process = subprocess.Popen(
            [*LSTM, "daily", "-q"],
            env=self.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            self.kills += 1
        process.wait()


@contextmanager
def replaying(
    folder: Path, listings: dict[str, Listing], *, inside: bool = False
) -> Iterator[Replay]:
    folder.mkdir(parents=True, exist_ok=True)
    with YahooServer(folder) as yahoo:
        yahoo.listings.update(listings)
        yield Replay(folder, yahoo, inside)
        assert not yahoo.leaks


Changes = Mapping[int, Callable[[Replay], None]]
"""What a user does before an evening, by its number."""


def undisturbed(
    replay: Replay, sessions: pd.DatetimeIndex, *, changes: Changes = MappingProxyType({})
) -> None:
    """Run each evening once."""
    for number, session in enumerate(sessions):
        replay.yahoo.now = evening_of(session)
        if number in changes:
            changes[number](replay)
        assert replay.daily() == 0


FAULTS = (
    Fault(status=429, body="Too Many Requests", times=20),
    Fault(status=500, body="oops", times=20),
    Fault(drop=True, times=20),
    Fault(truncate=True, times=20),
)


def disturbed(
    replay: Replay,
    sessions: pd.DatetimeIndex,
    *,
    seed: int,
    kills: int,
    longest: float,
    changes: Changes = MappingProxyType({}),
) -> list[str]:
    """Run each evening with faults, holes and kills; return what was done to it.

    Each evening ends with a run that nobody disturbs, but for holes: of a session whose
    bar Yahoo does not show until the next evening there is no forecast, with a reason.

    Args:
        kills: at least so many processes are killed.
        longest: seconds after which a process is killed at the latest.
    """
    chance = random.Random(seed)
    done = []
    for number, session in enumerate(sessions):
        yahoo, stamp = replay.yahoo, f"{session:%Y-%m-%d}"
        yahoo.now = evening_of(session)
        yahoo.faults.clear()
        if number in changes:
            changes[number](replay)
        # A month begins with a training, which both replays shall do on the same evening. So
        # no bar is missing then, and Yahoo does not ask us to come back another day.
        training = session.day <= 7
        hole = number > 0 and not training and chance.random() < 0.04
        if hole:
            yahoo.listings[chance.choice(TICKERS)].holes.add(stamp)
            done.append(f"{stamp} hole")
        if chance.random() < 0.25:
            fault = chance.choice(
                [fault for fault in FAULTS if fault.status != 429 or not training]
            )
            yahoo.faults.append(Fault(**vars(fault)))
            done.append(f"{stamp} {fault}")
            replay.daily()
            yahoo.faults.clear()
        left = len(sessions) - number
        wanted = (kills - replay.kills) / left
        while wanted > 0 and (chance.random() < wanted or wanted >= 1):
            replay.kill_daily(chance.uniform(0.3, longest))
            done.append(f"{stamp} kill")
            wanted -= 1
        replay.daily()
        if chance.random() < 0.5:
            replay.daily()
        for listing in yahoo.listings.values():
            listing.holes.discard(stamp)
    return done


def compare(one: Path, two: Path, now: datetime) -> pd.DataFrame:
    """Return what two workspaces issued and scored alike, row by row; `same` says if it is.

    Rows that one of them lacks have `same` False. Those of a ticker without bars have no
    outcome in either.
    """
    from lstmcli.evaluation.live import follow_up
    from lstmcli.evaluation.metrics import crps
    from lstmcli.pipeline.session import Session
    from lstmcli.store import Workspace

    os.environ["LSTM_NOW"] = now.isoformat()
    keys = ["ticker", "made_on", "step", "recipe", "calibrated"]
    tables = []
    for folder in (one, two):
        place = Workspace(folder)
        place.ledger.verify()
        rows = follow_up(place.ledger.read(), Session(place).panel(()).panel, now)
        assert not rows.duplicated(keys).any(), "a forecast came twice"
        tables.append(rows.assign(crps=crps(rows)).set_index(keys))
    both = pd.concat([tables[0].add_suffix("_one"), tables[1].add_suffix("_two")], axis=1)
    same = np.ones(len(both), bool)
    for name in ("q025", "q50", "q975", "lo80", "hi80", "sigma", "realised", "crps"):
        values = both[f"{name}_one"], both[f"{name}_two"]
        same &= np.isclose(*values, rtol=1e-9, atol=1e-12, equal_nan=True)
    for name in ("status", "target_on"):
        same &= (both[f"{name}_one"] == both[f"{name}_two"]).to_numpy()
    return both.assign(same=same).reset_index()


def missing_without_reason(data: Path, now: datetime) -> tuple[int, list[str]]:
    """Return how many forecasts are missing, and those for which nobody knows why."""
    from lstmcli.pipeline.score import score
    from lstmcli.pipeline.session import Session
    from lstmcli.store import Workspace

    os.environ["LSTM_NOW"] = now.isoformat()
    missing = score(Session(Workspace(data))).missing
    unknown = [f"{each.ticker} {each.session}" for each in missing if "did not run" in each.reason]
    return len(missing), unknown


def real_listings(market: Path, sessions: slice) -> dict[str, Listing]:
    """Return real bars as traded, with a split and a dividend of our own in the span."""
    listings = {}
    for ticker in TICKERS:
        bars = pd.read_csv(market / f"{ticker}.csv", index_col="Date", parse_dates=True)
        bars.columns = [name.lower() for name in bars.columns]
        listings[ticker] = Listing(bars[["open", "high", "low", "close", "volume"]].loc[sessions])
    listings["MRK"].dividends.update({"2016-03-11": 0.46, "2016-06-13": 0.46, "2016-09-13": 0.46})
    split = pd.Timestamp("2016-03-15")
    before = listings["MDT"].bars.index < split
    prices = ["open", "high", "low", "close"]
    listings["MDT"].bars.loc[before, prices] *= 2  # as traded before two for one
    listings["MDT"].splits["2016-03-15"] = 2.0
    return listings


SPAN = slice("2010-01-01", "2016-12-30")
FIRST = "2015-12-15"


def calm_year(folder: Path, market: Path) -> float:
    """Replay the year undisturbed; return the minutes it took."""
    started = time.monotonic()
    listings = real_listings(market, SPAN)
    every = listings["MRK"].bars.index
    with replaying(folder, listings, inside=True) as replay:
        replay.prepare(every[every < FIRST][-1])
        undisturbed(replay, every[every >= FIRST])
    return (time.monotonic() - started) / 60


def main(folder: Path, market: Path) -> None:
    """Replay a year of real bars, twice at a time, and print what came of it."""
    listings = real_listings(market, SPAN)
    every = listings["MRK"].bars.index
    sessions = every[every >= FIRST]
    started = time.monotonic()
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        calm = pool.submit(calm_year, folder / "calm", market)
        with replaying(folder / "rough", listings) as rough:
            rough.prepare(every[every < FIRST][-1])
            done = disturbed(rough, sessions, seed=1, kills=60, longest=6.0)
        minutes = (time.monotonic() - started) / 60
        calm_minutes = calm.result()
    now = evening_of(sessions[-1])
    table = compare(folder / "calm" / "data", rough.data, now)
    count, unknown = missing_without_reason(rough.data, now)
    lacking = table["hash_two"].isna()
    print(f"{len(sessions)} sessions, {len(table):,} rows, {rough.kills} kills")
    print(f"what happened: {Counter(line.split(maxsplit=1)[1][:40] for line in done)}")
    print(f"exit codes: {dict(sorted(rough.codes.items()))}")
    print(f"forecasts missing: {count}, without a reason: {unknown}")
    print(f"rows of the calm replay that are missing: {lacking.sum()}")
    print(f"rows that differ among the others: {(~table['same'] & ~lacking).sum()}")
    print(f"minutes, side by side: calm {calm_minutes:.0f}, rough {minutes:.0f}")
    subprocess.run([*LSTM, "score", "--workspace", str(rough.data)], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
