"""What calibration has learnt by the last evening: files that may be deleted at any time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lstmcli.store.files import delete, file_name, replaced_atomically, ticker_of

_ENDING = ".bin"


class CalibrationStore:
    """A small file for each ticker of a run: 27 kB for 20 steps.

    A file that is missing or damaged holds nothing: it is learnt anew then.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def runs(self) -> list[str]:
        """Return the runs of which something is kept, ascending."""
        return sorted(path.name for path in self.folder.glob("*") if path.is_dir())

    def tickers(self, run: str) -> list[str]:
        """Return the tickers of which something is kept, ascending."""
        paths = (self.folder / run).glob(f"[!.]*{_ENDING}")
        return sorted(ticker_of(path.name.removesuffix(_ENDING)) for path in paths)

    def read(self, run: str, ticker: str) -> bytes | None:
        """Return what is kept of a ticker; None where nothing is, or it cannot be read."""
        try:
            return self._path(run, ticker).read_bytes()
        except OSError:
            return None

    def write(self, run: str, kept: Mapping[str, bytes]) -> None:
        """Replace what is kept of some tickers.

        Raises:
            DiskError: it cannot be written.
        """
        for ticker, content in kept.items():
            # A power cut may cost it: then it is learnt anew.
            with replaced_atomically(self._path(run, ticker), flush=False) as stream:
                stream.write(content)

    def forget(self, ticker: str) -> None:
        """Delete what is kept of a ticker.

        Raises:
            DiskError: it cannot be deleted.
        """
        for run in self.runs():
            delete(self._path(run, ticker))

    def path(self, run: str) -> Path:
        """Return the folder of what is kept of a run."""
        return self.folder / run

    def _path(self, run: str, ticker: str) -> Path:
        return self.folder / run / f"{file_name(ticker)}{_ENDING}"
