"""Export: every issued forecast as long rows, part by part, so that memory stays small."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import pandas as pd

from lstmcli.errors import ConfigError
from lstmcli.store.files import replaced_atomically
from lstmcli.store.ledger import Ledger

if TYPE_CHECKING:
    import pyarrow as pa

Format = Literal["csv", "parquet"]


def format_of(path: Path | None, stated: str | None) -> Format:
    """Return the format of an export: as stated, else as the file's name ends, else CSV.

    Raises:
        ConfigError: neither tells, or Parquet is to be printed.
    """
    stem = path.stem if path is not None and path.stem else "ledger"
    if path is None and stated == "parquet":
        raise ConfigError(
            "Parquet is no text that can be printed; it needs a file.",
            hint="lstm ledger export --format parquet ledger.parquet",
        )
    if stated is None and path is not None:
        stated = path.suffix.removeprefix(".")
    if stated not in (None, "csv", "parquet"):
        raise ConfigError(
            f"Expected a file that ends in .csv or .parquet. Received: {path}.",
            hint=f"lstm ledger export {stem}.csv",
        )
    return "parquet" if stated == "parquet" else "csv"


def export_to_file(ledger: Ledger, path: Path, form: Format) -> None:
    """Write all rows into a file, which is old or whole at any moment.

    Raises:
        DataError: the ledger is damaged.
        DiskError: the file cannot be written.
    """
    with replaced_atomically(path) as stream:
        if form == "csv":
            for text in as_csv(ledger):
                stream.write(text.encode())
        else:
            _write_parquet(ledger, stream)


def as_csv(ledger: Ledger) -> Iterator[str]:
    """Yield all rows as the text of a CSV file, its first line first."""
    yield ledger.no_rows().to_csv(index=False)
    for part in ledger.read_in_parts():
        yield part.to_csv(index=False, header=False, float_format="%.17g")


def _write_parquet(ledger: Ledger, stream: BinaryIO) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(ledger.no_rows())
    with pq.ParquetWriter(stream, schema) as writer:
        for part in ledger.read_in_parts():
            writer.write_table(pa.Table.from_pandas(part, schema=schema, preserve_index=False))


def _schema(rows: pd.DataFrame) -> pa.Schema:
    """Return the columns and types; a text that no row of a part has would have no type."""
    import pyarrow as pa

    schema = pa.Schema.from_pandas(rows, preserve_index=False)
    fields: list[Any] = [
        field.with_type(pa.large_string()) if pa.types.is_null(field.type) else field
        for field in schema
    ]
    return pa.schema(fields)
