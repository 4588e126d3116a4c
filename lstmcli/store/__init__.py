"""What is kept on disk, and the only file names in the package."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from lstmcli.errors import DiskError
from lstmcli.store.backtests import BacktestStore
from lstmcli.store.bars import BarsStore
from lstmcli.store.events import EventStore
from lstmcli.store.files import file_name, write_atomically
from lstmcli.store.forecast_files import ForecastFiles
from lstmcli.store.kept_files import CalibrationStore, KeptFiles
from lstmcli.store.ledger import NAME as LEDGER
from lstmcli.store.ledger import Ledger
from lstmcli.store.locks import hold
from lstmcli.store.log import RunLog
from lstmcli.store.record import RecordStore
from lstmcli.store.runs import RunStore

LOCK_PATIENCE = 10.0
"""Seconds to wait for another process: a fetch of a watch list takes less."""


MAX_CRON_LOG = 2**20
"""Bytes of `cron.log`, after which it becomes `cron.log.1` and a new one begins."""


class Workspace:
    """A folder with bars, market series, events, runs, backtests, forecasts and the ledger."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bars = BarsStore(root / "bars")
        self.market = BarsStore(root / "market", market=True)
        self.events = EventStore(root / "events")
        self.runs = RunStore(root / "runs")
        self.backtests = BacktestStore(root / "backtests")
        self.ledger = Ledger(root / LEDGER)
        self.forecasts = root / "forecasts"
        self.forecast_files = ForecastFiles(self.forecasts)
        self.charts = root / "charts"
        self.log = RunLog(root / "log")
        self.cron_log = root / "cron.log"
        self.report = root / "report.html"
        self.named_report = root / "named.html"
        self.pages = root / "report"
        self.state = root / "state"
        self.fits = KeptFiles(self.state / "baselines")
        self.last_day = root / "daily.json"
        self.cache = root / ".cache"
        self.asked = self.cache / "announcements.json"
        self.calibrations = CalibrationStore(self.state / "calibration")
        self.record = RecordStore(self.cache / "record")

    def lock(self) -> AbstractContextManager[None]:
        """Hold the workspace.

        Raises:
            LockError: another process held it for `LOCK_PATIENCE` seconds.
            DiskError: the folder cannot be written.
        """
        hint = "wait until it has finished, or choose another --workspace"
        return hold(self.root, patience=LOCK_PATIENCE, hint=hint)

    def chart_path(self, name: str) -> Path:
        """Return where a chart goes unless the user says otherwise."""
        return self.charts / file_name(name)

    def rotate_logs(self) -> None:
        """Keep the log and what cron appends to from growing for ever.

        Raises:
            DiskError: they cannot be written.
        """
        self.log.rotate()
        try:
            if self.cron_log.stat().st_size > MAX_CRON_LOG:
                # The shell of this run goes on writing into it under its new name.
                self.cron_log.replace(self.cron_log.with_name(f"{self.cron_log.name}.1"))
        except FileNotFoundError:
            pass
        except OSError as error:
            raise DiskError(f"{self.cron_log}: {error.strerror or error}.") from error

    def write(self, path: Path, content: bytes) -> None:
        """Write a file in one step; see `write_atomically`."""
        write_atomically(path, content)

    def check_writable(self) -> None:
        """Check that files can be made here, before hours are spent.

        Raises:
            DiskError: they cannot.
        """
        probe = self.root / ".probe"
        write_atomically(probe, b"")
        probe.unlink(missing_ok=True)
