"""Fixtures for every room, and the guard that keeps tests off the network."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from yahoo_server import YahooServer

_reached: list[str] = []


def _watch(event: str, arguments: tuple) -> None:
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        host = str(arguments[1][0])
        if host not in ("127.0.0.1", "::1", "localhost"):
            _reached.append(host)
            raise PermissionError(f"a test tried to reach {host}")


@pytest.fixture(scope="session", autouse=True)
def _audit() -> None:
    sys.addaudithook(_watch)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test that reaches beyond loopback, even if the code hid the error.

    curl does not use Python's sockets: its way out is a proxy that nobody serves.
    """
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    _reached.clear()
    yield
    assert not _reached, f"this test reached beyond loopback: {_reached}"


@pytest.fixture
def market_data() -> Path:
    """Return the folder of real bars; the test needs the mark `market`."""
    folder = os.environ.get("LSTM_MARKET_DATA")
    if not folder:
        pytest.skip("LSTM_MARKET_DATA is not set")
    return Path(folder)


@pytest.fixture
def yahoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[YahooServer]:
    """Return a Yahoo on loopback that yfinance in this process talks to."""
    with warnings.catch_warnings():  # yfinance sets a filter of its own when imported
        import yfinance
        from yfinance.data import SingletonMeta, YfData

    SingletonMeta._instances.clear()
    YfData.cache_get.cache_clear()
    monkeypatch.setattr(yfinance.base, "_tz_info_fetch_ctr", 0)
    with YahooServer(tmp_path) as server:
        for name, value in server.environment(tmp_path).items():
            monkeypatch.setenv(name, value)
        yield server
        assert not server.leaks, f"hosts that are not Yahoo's: {server.leaks}"
    for session in SingletonMeta._instances.values():
        session._session.close()
    SingletonMeta._instances.clear()
