"""Prices of forecasts: closes less declared dividends, or total return."""

from __future__ import annotations

import io
import json
import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import Lstm
from simulate import events_of, panel_of, simulate_bars

from lstmcli.digits import five_digits
from lstmcli.frames import EX_DIVIDEND, INTERVAL_COLUMNS, QUANTILE_COLUMNS
from lstmcli.pipeline.day import Day, TickerDay
from lstmcli.pipeline.issue import issue
from lstmcli.pipeline.predict import predict
from lstmcli.pipeline.prices import in_prices, price_basis
from lstmcli.pipeline.report import write_report
from lstmcli.pipeline.score import score
from lstmcli.pipeline.session import Session
from lstmcli.report.prices import CLOSE, TOTAL_RETURN, Dividend, PriceBasis
from lstmcli.report.prices import EX_DIVIDEND as LESS
from lstmcli.report.summary import summary_table
from lstmcli.store import Workspace
from lstmcli.store.bars import BarsMeta

BARS = simulate_bars(600, seed=4)
MADE_ON = BARS.index[-1]  # 2016-12-30
UNTIL = pd.Timestamp("2017-01-31")
DAY = pd.Timestamp


def paying(*days: str, amount: float = 0.5) -> pd.DataFrame:
    bars = BARS.copy()
    for day in days:
        bars.loc[day, "dividend"] = amount
    return bars


PAYER = paying("2016-03-15", "2016-09-15")


def stated(*rows: tuple[str, str, str, float], **columns: object) -> pd.DataFrame:
    """Return statements: session, known_on, status and amount."""
    table = events_of(EX_DIVIDEND, *(("A", *row[:3]) for row in rows))
    return table.assign(amount=[row[3] for row in rows], **columns)


def basis_of(bars: pd.DataFrame, *rows: tuple[str, str, str, float], **columns: object):
    events = stated(*rows, **columns)
    known = panel_of(A=bars).with_(events=events).until(MADE_ON)
    return price_basis(known.view("A"), UNTIL, splits=bars["split"], currency="USD")


def dividend(day: str, amount: float, known_on: str = "2016-12-01", status: str = "confirmed"):
    return day, known_on, status, amount


def test_a_share_that_pays_nothing_has_plain_closes():
    basis = basis_of(BARS)
    assert (basis.kind, basis.declared, basis.sentence) == (CLOSE, (), "")
    assert basis.unit == basis.axis == "close, USD"
    # The last dividend lies more than fifteen months back.
    assert basis_of(paying("2015-09-15")).kind == CLOSE
    assert basis_of(paying("2015-10-15")).kind == TOTAL_RETURN


def test_a_share_that_pays_has_total_return_where_nothing_is_declared():
    basis = basis_of(PAYER)
    assert (basis.kind, basis.declared, basis.warning) == (TOTAL_RETURN, (), None)
    assert basis.unit == "total return, USD"
    assert basis.axis == "close; cone: total return, USD"
    assert basis.sentence.startswith("Total return: no declared amount is known")
    beyond = basis_of(PAYER, dividend("2017-02-01", 0.5))
    assert beyond.kind == TOTAL_RETURN
    assert basis_of(PAYER, dividend("2017-01-31", 0.5)).kind == LESS


def test_declared_dividends_are_subtracted_from_their_ex_date_on():
    basis = basis_of(
        PAYER, dividend("2017-01-24", 0.25), dividend("2017-01-03", 0.5), dividend("2016-12-30", 9)
    )
    assert basis.kind == LESS
    assert basis.declared == (Dividend(DAY("2017-01-03"), 0.5), Dividend(DAY("2017-01-24"), 0.25))
    assert basis.unit == basis.axis == "close, USD"
    assert basis.sentence == (
        "Closes less the declared dividends: 0.5 USD from 2017-01-03 on and 0.25 USD from "
        "2017-01-24 on."
    )
    assert [basis.subtracted(DAY(d)) for d in ("2016-12-31", "2017-01-23", "2017-01-24")] == [
        *(0, 0.5, 0.75)
    ]
    # A first dividend of a share that has paid none.
    assert basis_of(BARS, dividend("2017-01-24", 0.25)).kind == LESS


def test_what_was_not_known_at_the_origin_does_not_count():
    late = dividend("2017-01-24", 0.25, known_on="2017-01-02")
    assert basis_of(PAYER, late).kind == TOTAL_RETURN
    known = dividend("2017-01-24", 0.25, known_on="2016-12-30")
    assert basis_of(PAYER, known).kind == LESS


def test_the_newest_statement_holds_and_a_withdrawn_one_takes_it_back():
    first, gone = dividend("2017-01-24", 0.25), ("2017-01-24", "2016-12-05", "withdrawn", 0.25)
    assert basis_of(PAYER, first, gone).kind == TOTAL_RETURN
    raised = dividend("2017-01-24", 0.3, known_on="2016-12-07")
    for order in ((first, gone, raised), (raised, gone, first)):
        assert basis_of(PAYER, *order).declared == (Dividend(DAY("2017-01-24"), 0.3),)
    # Withdrawn only after the origin.
    later = ("2017-01-24", "2017-01-02", "withdrawn", np.nan)
    assert basis_of(PAYER, first, later).declared == (Dividend(DAY("2017-01-24"), 0.25),)


def test_two_sources_mean_one_dividend():
    rows = [dividend("2017-01-24", 0.25), dividend("2017-01-24", np.nan, known_on="2016-12-09")]
    found = basis_of(PAYER, *rows, source=["user", "calendar"])
    assert found.declared == (Dividend(DAY("2017-01-24"), 0.25),)
    # Of which the sources differ by a day.
    rows[1] = dividend("2017-01-23", np.nan, known_on="2016-12-09")
    found = basis_of(PAYER, *rows, source=["user", "calendar"])
    assert found.declared == (Dividend(DAY("2017-01-24"), 0.25),)
    # An ex-date whose amount nobody states.
    alone = basis_of(PAYER, rows[1], dividend("2017-01-05", 0.1))
    assert (alone.kind, alone.warning) == (TOTAL_RETURN, None)


def test_a_split_after_the_statement_divides_the_amount():
    bars = PAYER.copy()
    bars.loc["2016-12-12", "split"] = 4.0
    before, after = dividend("2017-01-24", 2.0), dividend("2017-01-24", 2.0, "2016-12-12")
    assert basis_of(bars, before).declared[0].amount == 0.5
    assert basis_of(bars, after).declared[0].amount == 2.0
    # Prices of today's shares, also of an origin before the split.
    known = panel_of(A=bars).with_(events=stated(before)).until(DAY("2016-12-09"))
    found = price_basis(known.view("A"), UNTIL, splits=bars["split"])
    assert found.declared[0].amount == 0.5


@pytest.mark.parametrize("amounts", [[500.0], [60.0, 60.0], [0.5, -0.1], [0.0]])
def test_an_amount_that_no_share_can_pay_is_told_and_not_subtracted(amounts):
    days = ("2017-01-10", "2017-01-11")
    bars = BARS.assign(**{name: BARS[name] / BARS["close"].iloc[-1] * 100 for name in BARS})
    bars["dividend"] = bars["split"] = 0.0
    basis = basis_of(bars, *map(dividend, days, amounts))
    assert (basis.kind, basis.declared) == (TOTAL_RETURN, ())
    assert "below the last close, 100" in basis.warning
    assert "--kind ex_dividend" in basis.warning


def forecast_rows() -> pd.DataFrame:
    rows = pd.DataFrame(
        {
            "recipe": "x",
            "calibrated": [True, True, True, False],
            "ticker": ["A", "A", "B", "A"],
            "target_on": pd.to_datetime(["2017-01-03", "2017-01-04", "2017-01-04", "2017-01-04"]),
            "last_close": [10.0, 10.0, 20.0, 10.0],
        }
    )
    levels = dict(zip(QUANTILE_COLUMNS, np.linspace(-0.2, 0.2, 21), strict=True))
    ends = {name: [0.01 * n, 0.02 * n, 0.03 * n, np.nan] for n, name in enumerate(INTERVAL_COLUMNS)}
    return rows.assign(**levels, **ends)


def test_prices_are_exp_of_quantiles_less_dividends_and_never_below_zero():
    rows = forecast_rows()
    bases = {
        "A": PriceBasis(LESS, (Dividend(DAY("2017-01-04"), 1.5),)),
        "B": PriceBasis(TOTAL_RETURN),
    }
    found = in_prices(rows, bases)
    assert found["prices"].tolist() == [LESS, LESS, TOTAL_RETURN, LESS]
    assert found["declared"].tolist() == [0.0, 1.5, 0.0, 1.5]
    for name in ("q025", "q50", "q975"):
        total = rows["last_close"] * np.exp(rows[name])
        np.testing.assert_allclose(found[name], total - [0, 1.5, 0, 1.5])
    np.testing.assert_allclose(found["hi95"].iloc[1], 10 * np.exp(0.1) - 1.5)
    np.testing.assert_allclose(found["hi95"].iloc[3], 10 * np.exp(0.2) - 1.5)
    large = in_prices(rows, bases | {"A": PriceBasis(LESS, (Dividend(DAY("2017-01-04"), 9.0),))})
    assert large["q025"].iloc[1] == 0
    assert large["q50"].iloc[1] == pytest.approx(1.0)


def test_the_sentence_of_a_close_says_what_the_close_is():
    less = PriceBasis(LESS, (Dividend(DAY("2017-01-04"), 1.5),))
    assert less.of_close(DAY("2017-01-03")) == PriceBasis(CLOSE).of_close(DAY("2017-01-03")) == ""
    assert less.of_close(DAY("2017-01-04")) == ", without its dividend,"
    assert PriceBasis(TOTAL_RETURN).of_close(UNTIL) == ", with any dividend reinvested,"


def test_the_table_of_an_evening_says_what_its_prices_are():
    kinds = {CLOSE: 0.0, TOTAL_RETURN: 0.0, LESS: 0.55}
    days = [
        TickerDay(
            f"{'T' * 8}{n}",
            MADE_ON,
            "forecast",
            run="run",
            median=1e4,
            cone80=(9e3, 1.1e4),
            prices=kind,
            declared=paid,
        )
        for n, (kind, paid) in enumerate(kinds.items())
    ]
    day = Day(datetime(2017, 1, 2, tzinfo=UTC), [*days, TickerDay("OLD", MADE_ON, "up to date")])
    head, *lines = summary_table(day.as_dict()).splitlines()
    assert re.search("80 % cone +prices$", head)
    ends = (" close", " total return", " less 0.55", " up to date")
    assert all(line.endswith(end) for line, end in zip(lines, ends, strict=True))
    assert max(map(len, lines)) < 80
    told = day.as_dict()["tickers"]
    assert [(entry["prices"], entry["declared"]) for entry in told] == [
        *kinds.items(),
        (None, None),
    ]


# What a user sees of GOOG, which has never paid, after 2008-10-14


def declare(lstm: Lstm, *lines: str):
    Path("my.csv").write_text("ticker,session,known_on,amount,status\n" + "\n".join(lines) + "\n")
    return lstm("events", "import", "my.csv", "--kind", "ex_dividend")


def forecast_of(lstm: Lstm) -> dict:
    (answer,) = json.loads(lstm("predict", "GOOG", "--json").out)["forecasts"]
    return answer


def test_predict_shows_closes_less_what_is_declared(workspace, lstm: Lstm):
    before = forecast_of(lstm)
    assert (before["prices"], before["declared"]) == ("close", [])
    assert {step["declared"] for step in before["steps"]} == {0}
    assert "total return" not in lstm("predict", "GOOG").out.lower()
    last, first = before["steps"][-1]["target_on"], before["steps"][0]["target_on"]
    answer = declare(lstm, f"GOOG,{first},2008-10-01,2.5,", f"GOOG,{last},2008-10-01,1,")
    assert answer.code == 0
    after = forecast_of(lstm)
    assert after["prices"] == "ex-dividend"
    assert after["declared"] == [
        {"ex_date": first, "amount": 2.5},
        {"ex_date": last, "amount": 1.0},
    ]
    for key in ("steps", "baseline"):
        was, now = before[key], after[key]
        was, now = (was, now) if key == "steps" else (was["steps"], now["steps"])
        lost = [one["lo80"] - two["lo80"] for one, two in zip(was, now, strict=True)]
        assert lost == pytest.approx([2.5] * (len(was) - 1) + [3.5])
    table = lstm("predict", "GOOG").out
    assert "close, USD:" in table
    said = f"Closes less the declared dividends: 2.5 USD from {first} on and 1 USD from {last} on."
    assert said in " ".join(table.split())
    assert max(len(line) for line in table.splitlines() if "/" not in line) < 80
    printed = pd.read_csv(io.StringIO(lstm("predict", "GOOG", "--csv").out))
    assert set(printed["prices"]) == {"ex-dividend"}
    own = printed[printed["calibrated"]]
    np.testing.assert_allclose(own["declared"], [2.5] * (len(own) - 1) + [3.5])
    written = pd.read_csv(after["file"])
    pd.testing.assert_frame_equal(written, printed)


def pay(workspace: Path) -> None:
    """Store the bars of GOOG as those of a share that paid 1 USD six weeks ago."""
    store = Workspace(workspace).bars
    bars, meta = store.read("GOOG")
    names = ("ticker", "source", "calendar", "fetched_at", "currency", "label")
    paid = np.where(bars.index == bars.index[-30], 1.0, 0.0)
    bars = bars.assign(dividend=paid)
    store.write(bars, BarsMeta.of(bars, **{name: getattr(meta, name) for name in names}))


def test_predict_of_a_payer_says_total_return(workspace, lstm: Lstm):
    pay(workspace)
    assert forecast_of(lstm)["prices"] == "total return"
    table = lstm("predict", "GOOG").out
    assert "total return, USD:\n  " in table
    assert "Total return: no declared amount is known" in " ".join(table.split())


def test_a_wrong_amount_that_is_stored_is_warned_of(workspace, lstm: Lstm):
    known = {"known_on": "2008-10-01", "status": "confirmed"}
    statement = events_of(EX_DIVIDEND, ("GOOG", "2008-10-20", *known.values()))
    Workspace(workspace).events.append(statement.assign(amount=1e6))
    answer = lstm("predict", "GOOG")
    assert answer.code == 0
    assert "warning: GOOG: declared dividends of 1,000,000 are not subtracted" in answer.err
    assert "total return, USD:" in answer.out


def test_damaged_dividends_are_named(workspace, lstm: Lstm):
    declare(lstm, "GOOG,2008-10-20,2008-10-01,2.5,")
    (workspace / "events" / "ex_dividend.parquet").write_bytes(b"")
    answer = lstm("predict", "GOOG")
    assert answer.code == 6
    assert "ex_dividend.parquet is damaged" in answer.err
    assert "lstm events import FILE --kind ex_dividend" in answer.err


MISTAKES = {
    "none": ("GOOG,2008-10-20,2008-10-01,,", r"dividend per share, in USD, above 0\. .*: none"),
    "zero": ("GOOG,2008-10-20,2008-10-01,0,", r"above 0\. Received: 0\."),
    "negative": ("GOOG,2008-10-20,2008-10-01,-1.5,", r"above 0\. Received: -1\.5\."),
    "no number": ("GOOG,2008-10-20,2008-10-01,x,", "Expected amount as a number"),
    "too large": ("GOOG,2008-10-20,2008-10-14,362.71,", r"close of GOOG .*, 362\.71 USD\. .*2\.71"),
    "no session": ("GOOG,2008-10-19,2008-10-01,1,", "a session of GOOG"),
}  # fmt: skip


@pytest.mark.parametrize(("line", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_dividend_that_cannot_be_is_refused(workspace, lstm: Lstm, line, message):
    answer = declare(lstm, "GOOG,2008-10-21,2008-10-01,1,", line)
    assert answer.code == 2
    assert "my.csv:3: " in answer.err
    assert pd.Series([answer.err]).str.contains(message).all(), answer.err
    assert "ex_dividend" not in Workspace(workspace).events.kinds()


def test_dividends_need_the_column_and_withdrawn_ones_no_amount(workspace, lstm: Lstm):
    Path("my.csv").write_text("ticker,session,known_on\nGOOG,2008-10-20,2008-10-01\n")
    answer = lstm("events", "import", "my.csv", "--kind", "ex_dividend")
    assert answer.code == 2
    assert "ticker, session, known_on, amount. Missing: amount." in answer.err
    assert declare(lstm, "GOOG,2008-10-20,2008-10-01,2.5,").code == 0
    assert declare(lstm, "GOOG,2008-10-20,2008-10-02,,withdrawn").code == 0
    assert forecast_of(lstm)["prices"] == "close"
    # Without bars, the close is not known.
    assert declare(lstm, "NEW,2008-10-20,2008-10-01,5000,").code == 0


def test_dividends_are_listed_with_their_amounts(workspace, lstm: Lstm):
    declare(lstm, "GOOG,2008-10-20,2008-10-01,2.5,", "GOOG,2008-11-20,2008-10-01,12.75,")
    *dates, head, line = lstm("events", "list").out.splitlines()
    assert dates[1].split() == ["GOOG", *["not", "known"] * 2, "2008-10-20", "2.5"]
    assert head.split()[-1] == "amounts"
    assert line.endswith("2.5 to 12.75")
    (kind,) = json.loads(lstm("events", "--kind", "ex_dividend", "--json").out)["events"]
    assert (kind["kind"], kind["amounts"]) == ("ex_dividend", [2.5, 12.75])


def page_of(workspace: Path) -> tuple[str, str]:
    """Return the text of the report on an issued forecast, and the SVG of its chart."""
    session = Session(Workspace(workspace))
    page = write_report(session, None, score(session)).read_text()
    return page, (workspace / "charts" / "daily-GOOG.svg").read_text()


def test_the_report_says_what_its_prices_are(workspace, lstm: Lstm):
    session = Session(Workspace(workspace))
    (prediction,), _ = predict(session, ["GOOG"])
    issue(session.workspace, [prediction])
    first = prediction.prices["target_on"].iloc[0]
    low = prediction.prices["lo80"].iloc[0]
    page, chart = page_of(workspace)
    sentence = f"the close of {first:%a %d %b}"
    assert f"{sentence} should lie between {five_digits(low)} and" in page
    assert "The forecast</caption>" in page
    assert ">close, USD<" in chart
    declare(lstm, f"GOOG,{first:%Y-%m-%d},2008-10-01,2.5,")
    page, chart = page_of(workspace)
    assert f"{sentence}, without its dividend, should lie between {five_digits(low - 2.5)}" in page
    assert "The forecast: close, USD</caption>" in page
    assert f"Closes less the declared dividend: 2.5 USD from {first:%Y-%m-%d} on." in page
    assert "Closes less the declared dividend" in chart
    # The record is of log returns, which no dividend changes.
    assert session.workspace.ledger.read("GOOG")["last_close"].nunique() == 1


def test_the_report_of_a_payer_says_total_return(workspace, lstm: Lstm):
    pay(workspace)
    session = Session(Workspace(workspace))
    (prediction,), _ = predict(session, ["GOOG"])
    issue(session.workspace, [prediction])
    page, chart = page_of(workspace)
    assert ", with any dividend reinvested, should lie between" in page
    assert "The forecast: total return, USD</caption>" in page
    assert ">close; cone: total return, USD<" in chart
