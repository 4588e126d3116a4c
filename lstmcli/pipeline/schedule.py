"""Schedule: the words with which cron and systemd run `lstm daily`.

Cron runs in the machine's time zone and knows no other, and two zones change
their clocks on different dates. So each local time that the close of the exchange
has within a year gets a line of its own; the ones that come too early or too
late find nothing to do.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pandas as pd

from lstmcli import clock
from lstmcli.errors import ConfigError
from lstmcli.pipeline.session import Session
from lstmcli.sessions import SETTLE_MARGIN, check_calendar, closing_times, time_zone

AFTER = SETTLE_MARGIN + timedelta(minutes=15)
"""After the close: quotes have settled, and requests are spread over some minutes."""

AGAIN = (timedelta(0), timedelta(hours=2), timedelta(hours=5))
"""When to try: whatever succeeded is not done again."""

JITTER = 15
"""Minutes over which machines are spread, each at its own."""


@dataclass(frozen=True)
class Schedule:
    """When and what to run.

    Attributes:
        command: with absolute paths, ready for a shell.
        closes: of the sessions of a year from now, UTC.
    """

    command: tuple[str, ...]
    workspace: Path
    calendar: str
    zone: str
    closes: pd.DatetimeIndex
    offset: timedelta


def plan_schedule(
    session: Session, *, calendar: str | None = None, universe: Path | None = None
) -> Schedule:
    """Return the schedule of a workspace.

    Raises:
        ConfigError: the calendar does not exist, the stored tickers have several, or the
            universe file does not exist.
    """
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
    root = session.workspace.root.resolve()
    command = [*_program(), "daily", "-q", "--workspace", str(root)]
    if universe is not None:
        command += ["--universe", str(universe.resolve())]
    now = pd.Timestamp(clock.now())
    closes = closing_times(calendar, now, now + pd.Timedelta(365, "D"))
    # The same machine and workspace always get the same minute.
    seed = hashlib.sha256(f"{socket.gethostname()}{root}".encode()).digest()
    offset = AFTER + timedelta(minutes=seed[0] % JITTER)
    return Schedule(tuple(command), root, calendar, time_zone(calendar), closes, offset)


def _program() -> list[str]:
    """Return how this program was started, with absolute paths."""
    beside = Path(sys.executable).parent / "lstm"
    found = str(beside) if beside.exists() else shutil.which("lstm")
    return [os.path.abspath(found)] if found else [sys.executable, "-m", "lstmcli"]


def crontab(plan: Schedule) -> str:
    """Return lines for a crontab."""
    days: dict[tuple[int, int], set[int]] = {}
    for wait in AGAIN:
        for close in _usual(plan):
            local = (close + plan.offset + wait).to_pydatetime().astimezone()
            days.setdefault((local.hour, local.minute), set()).add(local.isoweekday() % 7)
    hours: dict[tuple[int, str], list[int]] = {}
    for (hour, minute), weekdays in sorted(days.items()):
        hours.setdefault((minute, _span(sorted(weekdays))), []).append(hour)
    log = plan.workspace / "cron.log"
    command = shlex.join(plan.command).replace("%", r"\%")  # cron takes % for a line break
    lines = [
        f"# lstm daily for {plan.workspace}, after the close of {plan.calendar} ({plan.zone}),",
        "# in this machine's time and several times: what is done is not done again.",
    ]
    for (minute, span), at in hours.items():
        when = f"{minute} {','.join(map(str, at))} * * {span}"
        lines.append(f"{when} {command} 2>> {shlex.quote(str(log))}")
    return "\n".join(lines) + "\n"


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
    """Return a service and its timer, by file name."""
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
    # systemd splits ExecStart by itself: quotes, and % for its own names.
    words = [_quoted(word) for word in plan.command]
    # With a private /tmp the service could not see files in the shared one.
    in_tmp = any(word.startswith("/tmp/") for word in plan.command)
    private_tmp = "" if in_tmp else "PrivateTmp=yes\n"
    service = f"""[Unit]
Description=Forecasts of the day (lstm daily)
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
ExecStart={" ".join(words)}
TimeoutStartSec=6h
Nice=10
NoNewPrivileges=yes
{private_tmp}PrivateDevices=yes
ProtectSystem=strict
ProtectHome=read-only
ReadWritePaths={_quoted(str(plan.workspace))}
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
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
