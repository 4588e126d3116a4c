"""From the bytes of a file to its text: compression, encoding, and what is no table."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import re
import zipfile
import zlib

from lstmcli.errors import DataError
from lstmcli.sources.files.layouts import role_of

_SAVE_AS = "save it as CSV with the columns Date, Open, High, Low, Close, Volume"

_BYTE_ORDER_MARKS = {
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe\x00\x00": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}

_OTHERS = ("cp1252", "gb18030", "shift_jis", "euc_kr")


def unpacked(content: bytes, file: str) -> bytes:
    """Return the content of a compressed file, or the content as it is.

    Raises:
        DataError: it is damaged, or an archive of several files.
    """
    try:
        if content[:2] == b"\x1f\x8b":
            return gzip.decompress(content)
        if content[:3] == b"BZh":
            return bz2.decompress(content)
        if content[:6] == b"\xfd7zXZ\x00":
            return lzma.decompress(content)
        if content[:4] == b"PK\x03\x04":
            return _of_zip(content, file)
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{file}: cannot be read: it is compressed, and damaged: "
            f"{str(error).strip() or type(error).__name__}.",
            hint="download or compress it again",
        ) from error
    return content


def _of_zip(content: bytes, file: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
        if any(name.startswith("xl/") for name in names):
            raise refused(file, "an Excel workbook")
        members = [
            name for name in names if not name.endswith("/") and not name.startswith("__MACOSX")
        ]
        if len(members) != 1:
            raise DataError(
                f"{file}: Expected one file in the archive. Received: {', '.join(members[:5])}"
                f"{' …' if len(members) > 5 else ''}.",
                hint="unpack it, and name the file that holds the bars",
            )
        return archive.read(members[0])


def decoded(content: bytes, file: str) -> tuple[str, str]:
    """Return the text of a file, and the name of its encoding.

    Raises:
        DataError: it holds no text.
    """
    encoding = next(
        (name for mark, name in _BYTE_ORDER_MARKS.items() if content.startswith(mark)), "utf-8"
    )
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        text, encoding = "\x00", ""
    if "\x00" in text:
        import charset_normalizer

        # A few letters beyond ASCII fit many encodings: that of a header we know is right.
        guesses = [match.encoding for match in charset_normalizer.from_bytes(content[:100_000])]
        texts = {name: _try(content, name) for name in [*guesses[:8], *_OTHERS]}
        encoding = max(texts, key=lambda name: _known_names(texts[name]))
        text = texts[encoding]
        if "\x00" in text or not text:
            raise refused(file, "a file that is no text")
    shown = {"utf-8-sig": "utf-8", "utf-16": "UTF-16", "utf-32": "UTF-32"}
    return text, shown.get(encoding, encoding)


def _try(content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        return ""


def _known_names(text: str) -> int:
    """Return how many names of columns the first lines hold; −1 where it is no text."""
    if not text or "\x00" in text:
        return -1
    words = re.split(r"[,;\t|\n]", text[:2000])
    return sum(role_of(word) is not None for word in words)


def check_is_table(text: str, file: str) -> None:
    """Refuse a web page or JSON, such as an error page that was saved as CSV.

    Raises:
        DataError: with what it is, and what it says.
    """
    start = text.lstrip()[:2000]
    if re.match(r"<(!doctype|html|head|body|\?xml|!--)", start, re.IGNORECASE):
        title = re.search(r"<title>\s*([^<]*)", start, re.IGNORECASE)
        said = f" It is called {title[1].strip()!r}." if title and title[1].strip() else ""
        raise refused(file, "a web page", said)
    found = _json(text, start)
    if found is not None:
        values = found.values() if isinstance(found, dict) else ()
        said = next((value for value in values if isinstance(value, str)), "")
        raise refused(file, "JSON", f" It says {said[:200]!r}." if said else "")
    if not start:
        raise refused(file, "an empty file")


def _json(text: str, start: str) -> object:
    """Return what a text is as JSON, or its first line if each line is; None if it is none."""
    if start[:1] not in ("{", "["):
        return None
    for part in (text if len(text) < 100_000 else "", start.splitlines()[0]):
        try:
            return json.loads(part)
        except ValueError:
            continue
    return "" if re.match(r'[\[{]\s*["\[{]', start) else None


def refused(file: str, what: str, said: str = "") -> DataError:
    """Return the error about a file that is something else, which is named."""
    return DataError(
        f"{file}: cannot be read as CSV: Expected a header and one line per session. "
        f"Received: {what}.{said}",
        hint=f"if it holds bars, {_SAVE_AS}; else download it again",
    )
