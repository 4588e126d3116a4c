"""What evenings keep of each ticker: files that may be deleted at any time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lstmcli.store.files import delete, file_name, replaced_atomically, ticker_of

_ENDING = ".bin"


class KeptFiles:
    """A small file for each ticker in a folder.

    A file that is missing or damaged holds nothing: what it held is made anew then.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def tickers(self) -> list[str]:
        """Return the tickers of which something is kept, ascending."""
        paths = self.folder.glob(f"[!.]*{_ENDING}")
        return sorted(ticker_of(path.name.removesuffix(_ENDING)) for path in paths)

    def read(self, ticker: str) -> bytes | None:
        """Return what is kept of a ticker; None where nothing is, or it cannot be read."""
        try:
            return self.path(ticker).read_bytes()
        except OSError:
            return None

    def write(self, kept: Mapping[str, bytes]) -> None:
        """Replace what is kept of some tickers.

        Raises:
            DiskError: it cannot be written.
        """
        for ticker, content in kept.items():
            # A power cut may cost it: then it is made anew.
            with replaced_atomically(self.path(ticker), flush=False) as stream:
                stream.write(content)

    def forget(self, ticker: str) -> None:
        """Delete what is kept of a ticker.

        Raises:
            DiskError: it cannot be deleted.
        """
        delete(self.path(ticker))

    def path(self, ticker: str) -> Path:
        """Return the file of what is kept of a ticker."""
        return self.folder / f"{file_name(ticker)}{_ENDING}"


class CalibrationStore:
    """What calibration has learnt by the last evening, for each ticker of each run.

    A file has 27 kB for 20 steps.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def runs(self) -> list[str]:
        """Return the runs of which something is kept, ascending."""
        return sorted(path.name for path in self.folder.glob("*") if path.is_dir())

    def of(self, run: str) -> KeptFiles:
        """Return what is kept of a run."""
        return KeptFiles(self.folder / run)

    def forget(self, ticker: str) -> None:
        """Delete what is kept of a ticker.

        Raises:
            DiskError: it cannot be deleted.
        """
        for run in self.runs():
            self.of(run).forget(ticker)
