"""Schedule: when cron and systemd run `lstm daily`, and the units of systemd.

Cron runs in the machine's time zone and knows no other, and two zones change
their clocks on different dates. So it is told every local time that the close of the
exchange has within a year; the ones that come too early or too late find nothing to do.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pandas as pd

from lstmcli import clock
from lstmcli.errors import ConfigError, NoDataError, shell_word
from lstmcli.pipeline.session import Session
from lstmcli.sessions import SETTLE_MARGIN, check_calendar, closing_times, time_zone
from lstmcli.store import Workspace

AFTER = SETTLE_MARGIN + timedelta(minutes=15)
"""After the close: quotes have settled, and requests are spread over some minutes."""

AGAIN = (timedelta(0), timedelta(hours=2), timedelta(hours=5))
"""When to try: whatever succeeded is not done again."""

JITTER = 15
"""Minutes over which machines are spread, each at its own."""

CACHES = {"MPLCONFIGDIR": "matplotlib", "NUMBA_CACHE_DIR": "numba", "KERAS_HOME": "keras"}
"""Variables that say where libraries keep what they prepare, and a folder for each.

A service may write into its workspace alone. Without them matplotlib would list all fonts
and numba compile the kernel anew every evening, and both would complain.
"""


@dataclass(frozen=True)
class Schedule:
    """When and what to run.

    Attributes:
        command: with absolute paths, ready for a shell.
        universe: the file of tickers; None: every stored one.
        cron_log: where cron puts what goes wrong.
        cache: where libraries may keep what they can make again.
        closes: of the sessions of a year from now, UTC.
    """

    command: tuple[str, ...]
    workspace: Path
    universe: Path | None
    cron_log: Path
    cache: Path
    calendar: str
    zone: str
    closes: pd.DatetimeIndex
    offset: timedelta


def plan_schedule(
    session: Session, *, calendar: str | None = None, universe: Path | None = None
) -> Schedule:
    """Return the schedule of a workspace.

    Raises:
        NoDataError: there is no workspace, or it holds no tickers and none are named.
        ConfigError: the calendar does not exist, the stored tickers have several, or the
            universe file does not exist.
    """
    _check_workspace(session.workspace, universe)
    if calendar is None:
        metas = [session.disk.bars.read(ticker)[1] for ticker in session.disk.bars.tickers()]
        calendars = sorted({meta.calendar for meta in metas})
        if len(calendars) > 1:
            raise ConfigError(
                f"Expected tickers of one exchange. Received: {', '.join(calendars)}.",
                hint=f"lstm schedule --calendar {calendars[0]} --universe FILE, once for each",
            )
        calendar = calendars[0] if calendars else "XNYS"
    check_calendar(calendar)
    if universe is not None and not universe.is_file():
        raise ConfigError(f"Expected a file of tickers. Received: {universe}.")
    workspace = session.workspace
    root = workspace.root.resolve()
    command = [*_program(), "daily", "-q", "--workspace", str(root)]
    if universe is not None:
        universe = universe.resolve()
        command += ["--universe", str(universe)]
    now = pd.Timestamp(clock.now())
    # The same machine and workspace always get the same minute.
    seed = hashlib.sha256(f"{socket.gethostname()}{root}".encode()).digest()
    return Schedule(
        tuple(command),
        workspace=root,
        universe=universe,
        cron_log=workspace.cron_log.resolve(),
        cache=workspace.cache.resolve(),
        calendar=calendar,
        zone=time_zone(calendar),
        closes=closing_times(calendar, now, now + pd.Timedelta(365, "D")),
        offset=AFTER + timedelta(minutes=seed[0] % JITTER),
    )


def _check_workspace(workspace: Workspace, universe: Path | None) -> None:
    """Check that `lstm daily` would find something to do.

    Raises:
        NoDataError: it would not.
    """
    if universe is not None and not workspace.root.is_dir():
        what = f"There is no workspace {workspace.root}."
    elif universe is None and not workspace.bars.tickers():
        what = f"There are no bars in {workspace.bars.folder}: lstm daily would have nothing to do."
    else:
        return
    folder = shell_word(str(workspace.root))
    raise NoDataError(what, hint=f"lstm fetch MRK --workspace {folder}, or name another one")


def _program() -> list[str]:
    """Return how this program was started, with absolute paths."""
    beside = Path(sys.executable).parent / "lstm"
    found = str(beside) if beside.exists() else shutil.which("lstm")
    return [os.path.abspath(found)] if found else [sys.executable, "-m", "lstmcli"]


def cron_times(plan: Schedule) -> str:
    """Return the first five fields of a line for a crontab, in this machine's time.

    One line holds every hour and every day that a close of the year asks for, in summer and
    in winter. Some of its times have nothing to do, and end at once.
    """
    local = [
        (close + plan.offset + wait).to_pydatetime().astimezone()
        for wait in AGAIN
        for close in _usual(plan)
    ]
    minutes = sorted({at.minute for at in local})
    hours = sorted({at.hour for at in local})
    days = sorted({at.isoweekday() % 7 for at in local})
    return f"{','.join(map(str, minutes))} {','.join(map(str, hours))} * * {_span(days)}"


def _usual(plan: Schedule) -> pd.DatetimeIndex:
    """Return the closes without early ones: of those, the usual time is soon enough."""
    times = pd.Series(plan.closes.tz_convert(plan.zone).strftime("%H:%M"))
    return plan.closes[(times == times.mode().iloc[0]).to_numpy()]


def _span(days: list[int]) -> str:
    """Return weekdays as cron writes them."""
    if len(days) > 2 and days[-1] - days[0] == len(days) - 1:
        return f"{days[0]}-{days[-1]}"
    return ",".join(map(str, days))


def systemd_units(plan: Schedule) -> Mapping[str, str]:
    """Return a service and its timer, by file name.

    The same text serves a user and the system. So it has no option that takes capabilities
    away (PrivateDevices, ProtectClock, ProtectKernelLogs, ProtectKernelModules): the manager
    of a user may not, and the service would end with 218/CAPABILITIES.
    """
    local = _usual(plan).tz_convert(plan.zone)
    first = pd.Timestamp(f"2000-01-01 {local[0]:%H:%M}") + AFTER
    names = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    calendars = []
    for wait in AGAIN:
        moment = first + wait
        shift = (moment.normalize() - first.normalize()).days
        weekdays = sorted({(day + shift) % 7 for day in local.day_of_week})
        days = ",".join(names[day] for day in weekdays)
        calendars.append(f"OnCalendar={days} {moment:%H:%M}:00 {plan.zone}")
    # systemd splits ExecStart by itself: quotes, % for its own names, $ for variables.
    words = [_quoted(word).replace("$", "$$") for word in plan.command]
    writable = [str(plan.workspace)]
    # With a private /tmp the service could not see what of it lies in the shared one.
    shared = any(word.startswith(("/tmp/", "/var/tmp/")) for word in plan.command)
    if shared:
        writable += ["/tmp", "/var/tmp"]
    caches = [f"{name}={plan.cache / folder}" for name, folder in CACHES.items()]
    service = f"""[Unit]
Description=Forecasts of the day (lstm daily)
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
ExecStart={" ".join(words)}
TimeoutStartSec=6h
Nice=10
Environment={" ".join(map(_quoted, caches))}
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp={"no" if shared else "yes"}
ReadWritePaths={" ".join(map(_quoted, writable))}
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
LockPersonality=yes
"""
    timer = f"""[Unit]
Description=lstm daily after the close of {plan.calendar}

[Timer]
{chr(10).join(calendars)}
Persistent=true
RandomizedDelaySec={JITTER}m

[Install]
WantedBy=timers.target
"""
    return {"lstm-daily.service": service, "lstm-daily.timer": timer}


def _quoted(word: str) -> str:
    word = word.replace("%", "%%").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{word}"' if any(c in word for c in " '\"\\$;") else word
