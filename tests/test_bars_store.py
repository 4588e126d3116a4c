"""Bars on disk: what is written is either old or new, and never half."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstmcli.errors import ConfigError, DataError, DiskError, NoDataError
from lstmcli.frames import BAR_COLUMNS
from lstmcli.store.bars import BarsMeta, BarsStore
from lstmcli.store.files import check_ticker, file_name, ticker_of, write_atomically


def some_bars(count: int = 300, *, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.01, count)))
    columns = {"open": close, "high": close * 1.01, "low": close * 0.99, "close": close}
    columns |= {"volume": random.integers(1, 1000, count).astype(float)}
    columns |= {"dividend": np.zeros(count), "split": np.zeros(count)}
    index = pd.bdate_range("2020-01-01", periods=count, name="session").as_unit("ns")
    return pd.DataFrame(columns, index=pd.DatetimeIndex(index, freq=None))


def meta_of(bars: pd.DataFrame, ticker: str = "MRK") -> BarsMeta:
    return BarsMeta.of(
        bars,
        ticker=ticker,
        source={"name": "csv", "file": "/somewhere/MRK.csv"},
        calendar="XNYS",
        fetched_at=datetime(2024, 3, 8, tzinfo=UTC),
        label="sample data: µ",
    )


@pytest.fixture
def store(tmp_path: Path) -> BarsStore:
    return BarsStore(tmp_path / "bars")


@pytest.mark.parametrize(
    "ticker", ["MRK", "BRK-B", "^GSPC", "BTC-USD", "7203.T", "EURUSD=X", "<script>", "CON", "ÄÖ €"]
)
def test_bars_come_back_as_they_were_written(store, ticker):
    bars = some_bars()
    bars.iloc[5, 5] = 1 / 3
    store.write(bars, meta_of(bars, ticker))
    read, meta = store.read(ticker)
    pd.testing.assert_frame_equal(read, bars, check_freq=False)
    assert meta == meta_of(bars, ticker)
    assert store.tickers() == [ticker]
    assert all(path.name.isascii() for path in store.folder.iterdir())


@pytest.mark.parametrize(
    "ticker",
    [
        "",
        " ",
        "../x",
        "a/b",
        "a\\b",
        ".hidden",
        "-rf",
        "A" * 33,
        "A" * 200,
        "𠀀" * 32,
        "A\nB",
        "A\0",
        " A",
        "/",
    ],
)
def test_a_ticker_that_cannot_name_a_file_is_refused(store, ticker):
    with pytest.raises(ConfigError, match="Expected a ticker"):
        check_ticker(ticker)
    with pytest.raises(ConfigError):
        store.read(ticker)


@given(st.text(min_size=1, max_size=32))
def test_every_accepted_ticker_has_a_file_name_of_its_own(ticker):
    name = file_name(ticker)
    assert ticker_of(name) == ticker
    assert "/" not in name


def test_a_market_store_names_the_command_that_fills_it(tmp_path):
    store = BarsStore(tmp_path / "market", market=True)
    with pytest.raises(NoDataError) as missing:
        store.read("^VIX")
    assert missing.value.hint == "lstm fetch --market ^VIX"
    bars = some_bars()
    store.write(bars, meta_of(bars, "^VIX").model_copy(update={"format": 3}))
    with pytest.raises(DataError) as newer:
        store.read("^VIX")
    assert newer.value.hint.endswith("lstm fetch --market ^VIX")
    store.write(bars, meta_of(bars, "^VIX").model_copy(update={"sha256": "other"}))
    with pytest.raises(DataError) as changed:
        store.read("^VIX")
    assert changed.value.hint.startswith("lstm fetch --market ^VIX ")
    (store.folder / "^VIX.parquet").write_bytes(b"damaged")
    with pytest.raises(DataError) as damaged:
        store.read("^VIX")
    assert damaged.value.hint.startswith("lstm fetch --market ^VIX ")


def test_a_ticker_that_was_never_fetched_is_no_data(store):
    with pytest.raises(NoDataError, match="MRK") as caught:
        store.read("MRK")
    assert caught.value.hint == "lstm fetch MRK"
    assert store.tickers() == []


@pytest.mark.parametrize(
    "damage", ["cut", "empty", "text", "one byte", "no metadata", "other ticker"]
)
def test_a_damaged_file_is_named_with_the_way_back(store, damage):
    import pyarrow.parquet

    bars = some_bars()
    store.write(bars, meta_of(bars))
    path = store.folder / "MRK.parquet"
    content = path.read_bytes()
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "text":
        path.write_text("Date,Open\n" * 100)
    elif damage == "one byte":
        path.write_bytes(content[:2000] + bytes([content[2000] ^ 1]) + content[2001:])
    elif damage == "no metadata":
        pyarrow.parquet.write_table(
            pyarrow.parquet.read_table(path).replace_schema_metadata(None), path
        )
    else:
        store.write(bars, meta_of(bars, "MDT"))
        (store.folder / "MDT.parquet").replace(path)
    with pytest.raises(DataError, match=r"MRK\.parquet is damaged") as caught:
        store.read("MRK")
    assert "lstm fetch MRK" in (caught.value.hint or "")


def test_a_changed_value_does_not_pass(store):
    import pyarrow
    import pyarrow.parquet

    bars = some_bars()
    store.write(bars, meta_of(bars))
    path = store.folder / "MRK.parquet"
    table = pyarrow.parquet.read_table(path)
    closes = table["close"].to_numpy().copy()
    closes[7] *= 1.0001
    where = table.schema.get_field_index("close")
    pyarrow.parquet.write_table(table.set_column(where, "close", pyarrow.array(closes)), path)
    with pytest.raises(DataError, match="hash"):
        store.read("MRK")


def test_bars_of_a_newer_version_are_refused(store):
    bars = some_bars()
    store.write(bars, meta_of(bars).model_copy(update={"format": 3}))
    with pytest.raises(DataError, match="format 2 or older"):
        store.read("MRK")


@pytest.mark.parametrize("state", ["missing", "stale", "garbled"])
def test_the_json_copy_follows_the_parquet_file(store, state):
    bars = some_bars()
    store.write(bars, meta_of(bars))
    path = store.folder / "MRK.json"
    good = path.read_bytes()
    if state == "missing":
        path.unlink()
    else:
        path.write_text("{" if state == "garbled" else good.decode().replace("300", "299"))
    store.read("MRK")
    assert path.read_bytes() == good
    assert json.loads(good)["rows"] == 300


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_bars_store import BarsStore, meta_of, some_bars

renames = 0
def watch(event, arguments):
    global renames
    if event == "os.rename":
        renames += 1
        if renames == {fatal}:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(watch)
bars = some_bars(seed=1)
BarsStore(Path({folder!r})).write(bars, meta_of(bars))
"""


@pytest.mark.parametrize(("fatal", "survives"), [(1, 0), (2, 1)])
def test_a_kill_at_a_rename_leaves_bars_that_can_be_read(store, fatal, survives):
    """Killed before the first rename the old bars stand, before the second the new."""
    old = some_bars(seed=0)
    store.write(old, meta_of(old))
    script = KILLED.format(tests=str(Path(__file__).parent), folder=str(store.folder), fatal=fatal)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path])}
    run = subprocess.run([sys.executable, "-c", script], env=environment, timeout=120)
    assert run.returncode == -signal.SIGKILL
    read, meta = store.read("MRK")
    pd.testing.assert_frame_equal(read, some_bars(seed=survives), check_freq=False)
    assert json.loads((store.folder / "MRK.json").read_text())["sha256"] == meta.sha256
    assert store.tickers() == ["MRK"]


def test_a_full_disk_leaves_the_old_file_and_no_other(store):
    bars = some_bars()
    store.write(bars, meta_of(bars))
    before = {path.name: path.read_bytes() for path in store.folder.iterdir()}
    larger = some_bars(5000, seed=1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(DiskError, match=r"MRK\.parquet") as caught:
            store.write(larger, meta_of(larger))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert caught.value.exit_code == 8
    assert {path.name: path.read_bytes() for path in store.folder.iterdir()} == before


def test_a_disk_that_fills_up_in_the_middle_of_a_write_keeps_the_old_file(small_disk):
    store = BarsStore(small_disk(2**16))
    bars = some_bars(100)
    store.write(bars, meta_of(bars))
    larger = some_bars(5000)
    with pytest.raises(DiskError, match="No space left"):
        store.write(larger, meta_of(larger))
    assert len(store.read("MRK")[0]) == 100
    assert len(list(store.folder.iterdir())) == 2


def test_a_folder_that_is_a_file_is_a_disk_error(tmp_path):
    (tmp_path / "bars").write_text("")
    bars = some_bars()
    with pytest.raises(DiskError):
        BarsStore(tmp_path / "bars").write(bars, meta_of(bars))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_a_disk_error(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(DiskError, match="Permission"):
        write_atomically(tmp_path / "new" / "file", b"")


def test_the_hash_covers_sessions_and_every_column(store):
    bars = some_bars(50)
    hashes = {meta_of(bars).sha256}
    for name in BAR_COLUMNS:
        changed = bars.copy()
        changed.iloc[3, changed.columns.get_loc(name)] += 1
        hashes.add(meta_of(changed).sha256)
    hashes.add(meta_of(bars.set_axis(bars.index + pd.Timedelta(1, "D"))).sha256)
    assert len(hashes) == len(BAR_COLUMNS) + 2
