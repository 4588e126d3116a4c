"""When sources were last asked about announcements. Without it they are asked once more."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

from lstmcli.store.files import write_atomically


class Asked:
    """Days and words by ticker and by what was asked, in a small file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known = _read(path)

    def tickers(self) -> list[str]:
        """Return the tickers that were asked about, sorted."""
        return sorted(self._known)

    def day(self, ticker: str, what: str) -> date | None:
        """Return the day that is kept of a ticker; None where none is."""
        try:
            return date.fromisoformat(self._known[ticker][what])
        except (KeyError, ValueError):
            return None

    def words(self, ticker: str, what: str) -> str | None:
        """Return the words that are kept of a ticker; None where none are."""
        return self._known.get(ticker, {}).get(what)

    def of(self, ticker: str) -> dict[str, str]:
        """Return all that is kept of a ticker."""
        return dict(self._known.get(ticker, {}))

    def keep(self, ticker: str, **said: date | str | None) -> None:
        """Keep days or words of a ticker; None forgets what was kept."""
        known = self._known.setdefault(ticker, {})
        for what, value in said.items():
            if value is None:
                known.pop(what, None)
            else:
                known[what] = str(value)

    def forget(self, ticker: str) -> None:
        """Forget a ticker."""
        self._known.pop(ticker, None)

    def write(self) -> None:
        """Write the file.

        Raises:
            DiskError: it cannot be written.
        """
        write_atomically(self.path, (json.dumps(self._known, indent=1) + "\n").encode())


def _read(path: Path) -> dict[str, dict[str, str]]:
    try:
        known = json.loads(path.read_bytes())
        return {
            str(ticker): {str(what): str(said) for what, said in kept.items()}
            for ticker, kept in known.items()
        }
    except (OSError, ValueError, AttributeError):
        return {}
