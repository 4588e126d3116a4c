"""Why Yahoo did not answer, in plain words. What curl says goes to the log and to --debug."""

from __future__ import annotations

import re

# The numbers of curl's errors: https://curl.se/libcurl/c/libcurl-errors.html
_BAD_ADDRESS = 3
_NO_PROXY_NAME, _NO_NAME, _NO_CONNECTION, _TIMEOUT = 5, 6, 7, 28
_CERTIFICATE = 60
_TLS = {35, 53, 54, 58, 59, 64, 66, 77, 80, 82, 83, 90, 91, 98}
_BROKEN_OFF = {16, 18, 52, 55, 56, 92}
_PROXY = 97


def is_no_symbol(error: Exception) -> bool:
    """Return whether a symbol cannot be part of an address, so that nobody was asked."""
    return _code(error) == _BAD_ADDRESS


def is_of_network(error: Exception) -> bool:
    """Return whether an exception of yfinance means that no whole answer came."""
    return _code(error) > 0 or isinstance(error, TimeoutError | ConnectionError)


def words_of_failure(error: Exception, timeout: float) -> str:
    """Return why no answer came, as the end of a sentence about nobody in particular.

    Args:
        error: of curl, through yfinance.
        timeout: seconds that were waited.
    """
    code, said = _code(error), str(error)
    name = _first(r"(?:host|proxy): ([\w.-]*\w)", said)
    if code == _NO_NAME:
        return f"no network: the name {name or 'of Yahoo'} could not be looked up"
    if code == _NO_PROXY_NAME:
        return f"no network: the name of the proxy {name} could not be looked up"
    if code == _NO_CONNECTION:
        place, proxy = _first(r"connect to ([\w.-]*\w)", said), _first(r"over proxy (\S+)", said)
        through = f" through the proxy {proxy}" if proxy else ""
        return f"no network: no connection to {place or 'Yahoo'}{through}"
    if code == _TIMEOUT or isinstance(error, TimeoutError):
        return f"Yahoo did not answer within {timeout:g} seconds"
    if code == _CERTIFICATE:
        return (
            "no secure connection to Yahoo: its certificate could not be verified, "
            "as behind a proxy or a virus scanner that reads along"
        )
    if code in _TLS:
        return "no secure connection to Yahoo could be made"
    refused = _first(r"CONNECT tunnel failed, response (\d+)", said)
    if refused or code == _PROXY:
        return f"the proxy lets nobody through to Yahoo{f' (HTTP {refused})' if refused else ''}"
    return "the connection to Yahoo broke off" if code in _BROKEN_OFF else "no connection to Yahoo"


def words_of_answer(status: int, text: str) -> str:
    """Return what is wrong with an answer that holds no bars.

    Args:
        status: of HTTP.
        text: the answer.
    """
    if status >= 500:
        return f"Yahoo is down (it answered HTTP {status})"
    if "Will be right back" in text:
        return 'Yahoo is down (it answered "Will be right back")'
    if status >= 400:
        return f"Yahoo refused to answer (HTTP {status})"
    return "Yahoo's answer could not be understood"


def _code(error: Exception) -> int:
    code = getattr(error, "code", 0)
    return int(code) if isinstance(code, int) else 0


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found[1] if found else ""
