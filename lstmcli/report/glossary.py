"""The glossary: each term that the program shows, explained once."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

NEAR = 3
"""Terms that are offered for one that nobody knows."""


@dataclass(frozen=True)
class Term:
    """A term and what it means.

    Attributes:
        name: as the program shows it.
        text: one to three plain sentences.
        see: names of terms that belong to it.
        aliases: other words that people look for.
    """

    name: str
    text: str
    see: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()


GLOSSARY: tuple[Term, ...] = (
    # What a forecast says.
    Term(
        "P(up)",
        "The probability that the total return is above zero, as the forecast sees it. 50 % says "
        "nothing about the direction. A little more is usual, because shares rise a little more "
        "often than they fall.",
        ("direction", "quantile", "total return"),
        ("probability of a rise",),
    ),
    Term(
        "range",
        "Two prices between which a close should lie. Of the 80 % range that holds four times out "
        "of five, of the 50 % range every second time, of the 95 % range 19 times out of 20.",
        ("cone", "coverage"),
        ("interval", "lo80", "hi80"),
    ),
    Term(
        "cone",
        "The ranges of all sessions ahead, drawn one behind the other. It widens, because more can "
        "happen in a month than in a day.",
        ("range", "coverage"),
    ),
    Term(
        "median",
        "The middle of a forecast: the close should lie above it as often as below. It is not a "
        "price target; read the range first.",
        ("quantile", "direction"),
    ),
    Term(
        "quantile",
        "A value that the outcome should stay below with a given probability: below the 10 % "
        "quantile (q10) once in ten times. A forecast is 21 of them, from 2.5 % (q025) to 97.5 % "
        "(q975).",
        ("median", "range", "P(up)"),
        ("q10", "q025", "level"),
    ),
    Term(
        "step",
        "How many sessions a forecast looks ahead: step 1 is the next session, step 20 is about a "
        "month away.",
        ("session", "horizon"),
    ),
    Term(
        "session",
        "A day on which the exchange trades. Weekends and holidays are none.",
        ("step",),
        ("trading day",),
    ),
    Term(
        "horizon",
        "How many sessions ahead the last step of a forecast lies: window.horizon in a config.",
        ("step", "lookback"),
    ),
    Term(
        "origin",
        "The session from whose close a forecast is made; made_on in files.",
        ("session", "out of sample"),
        ("made_on",),
    ),
    Term(
        "total return",
        "The close plus any dividend, as if it were reinvested. Forecasts and scores are of total "
        "returns. Prices are shown so where a share pays dividends and none is declared.",
        ("ex-dividend", "log return"),
    ),
    Term(
        "ex-dividend",
        "Without the dividend: from its ex-date on a share is bought without it, and its price is "
        "lower by about as much. Prices are shown so where the dividend was declared.",
        ("total return",),
        ("declared",),
    ),
    Term(
        "next report",
        "The next day on which the company announces its results, as it was known when the "
        "forecast was made: confirmed, or expected (marked with ?). After the close the next "
        "session reacts, before the open the same one.",
        ("taken as known", "announcement clock"),
        ("announcement", "report", "earnings", "results"),
    ),
    Term(
        "taken as known",
        "Said of a past date of a report of which nobody has stored since when it was known. It "
        "counts from five sessions before on. A verdict says how many of its dates are such.",
        ("next report",),
        ("assumed",),
    ),
    Term(
        "log return",
        "The logarithm of a price ratio: 0.01 is about +1 %. Those of several days add up, and so "
        "the networks work with them. Tables show prices and percent.",
        ("total return",),
    ),
    Term(
        "volatility",
        "How much a price moves: the typical size of its returns.",
        ("EWMA", "units of volatility"),
        ("sigma",),
    ),
    Term(
        "stale",
        "Sessions have settled since the last stored bar: the forecast is not today's. lstm fetch "
        "brings the bars.",
        ("session",),
    ),
    # How good a forecast is.
    Term(
        "CRPS",
        "The score of a forecast: the average distance between its distribution and what came, in "
        "% of the price. Lower is better. It rewards a range that is as narrow as it can honestly "
        "be.",
        ("loss", "skill", "quantile"),
        ("continuous ranked probability score", "score"),
    ),
    Term(
        "loss",
        "What a forecast lost by being wrong: its CRPS. The verdict takes it in units of "
        "volatility.",
        ("CRPS", "units of volatility"),
    ),
    Term(
        "units of volatility",
        "A loss divided by the volatility of its ticker that day, so that calm and wild times "
        "count alike.",
        ("loss", "volatility"),
        ("scaled", "unit"),
    ),
    Term(
        "skill",
        "How much lower a loss is than that of a baseline, in %. Zero is as good as the baseline, "
        "negative is worse.",
        ("loss", "baseline", "shows"),
    ),
    Term(
        "coverage",
        "How often outcomes lay inside a cone. Of the 80 % cone it should be 80 %: much less is "
        "too sure, much more is too wide.",
        ("cone", "calibrated"),
        ("held", "outcomes inside"),
    ),
    Term(
        "calibrated",
        "The forecast after its own past errors have corrected it, so that an 80 % cone holds 80 % "
        "of the outcomes. Names of such forecasts end in +calibrated; they are what lstm predict "
        "shows.",
        ("conformal", "coverage"),
        ("calibration",),
    ),
    Term(
        "conformal",
        "The method of calibration: quantiles move by as much as past errors say, whatever their "
        "distribution is. Ends of the ranges move a little after each miss.",
        ("calibrated",),
        ("conformal calibration", "conformal prediction"),
    ),
    Term(
        "tails",
        "The loss of the outermost quantiles, 2.5 and 97.5 %, which CRPS leaves out here.",
        ("CRPS", "quantile"),
    ),
    Term(
        "direction",
        "Whether the median lies on the side on which the outcome came. A verdict of its own says "
        "whether that was more often right than the usual direction.",
        ("usual direction", "edge", "P(up)"),
    ),
    Term(
        "usual direction",
        "Up or down, whichever was more frequent in the training years. Somebody who knows nothing "
        "can always say it; so a forecast has to be right more often.",
        ("direction", "edge"),
    ),
    Term(
        "edge",
        "Knowledge of the direction. Evidence of an edge means that the median was right more "
        "often than the usual direction, by more than luck explains.",
        ("direction", "usual direction"),
    ),
    # What it is compared with.
    Term(
        "baseline",
        "A simple forecast that a network has to beat. Each is fitted on the same bars and judged "
        "on the same sessions.",
        ("random walk", "EWMA", "GARCH", "HAR", "HAR ridge", "ladder"),
        ("hardest baseline", "baselines"),
    ),
    Term(
        "random walk",
        "The baseline that knows nothing of today: no change, and as much movement as in the "
        "training years.",
        ("baseline", "drift"),
    ),
    Term(
        "drift",
        "The random walk with the mean return of the training years.",
        ("random walk",),
    ),
    Term(
        "historical",
        "The baseline that takes the returns of the last 1,000 sessions as its distribution.",
        ("baseline",),
    ),
    Term(
        "EWMA",
        "Volatility as a weighted average of past moves, recent ones the most. Networks start from "
        "this baseline and correct it.",
        ("volatility", "baseline", "untrained"),
        ("exponentially weighted moving average",),
    ),
    Term(
        "GARCH",
        "A classic model of volatility: wild days follow wild days, and it fades to its usual "
        "level.",
        ("GJR-GARCH", "volatility", "baseline"),
    ),
    Term(
        "GJR-GARCH",
        "GARCH in which a fall raises volatility more than a rise.",
        ("GARCH",),
        ("gjr",),
    ),
    Term(
        "HAR",
        "Volatility from its own mean over a day, a week, a month and a quarter, from falls, and "
        "from that of the market. Simple, and hard to beat.",
        ("HAR ridge", "baseline"),
        ("heterogeneous autoregressive",),
    ),
    Term(
        "HAR ridge",
        "HAR with twenty single sessions, volume and the earnings cycle beside it. Mostly the "
        "hardest baseline of all.",
        ("HAR", "baseline"),
    ),
    Term(
        "HAR ridge with clock",
        "The HAR ridge that also reads the announcement clock. Shown for comparison, never tested.",
        ("HAR ridge", "announcement clock", "shown"),
        ("har_ridge_clock",),
    ),
    Term(
        "HAR ridge with dates",
        "The HAR ridge that reads the announcement clock and the dates of announcements. Shown "
        "for comparison where dates are known, never tested.",
        ("HAR ridge", "announcement clock", "shown"),
        ("har_ridge_dates",),
    ),
    Term(
        "announcement clock",
        "How much more than usual the next sessions will move, read off what was unusual 13 weeks "
        "before them, 26 weeks, and so on: companies report once a quarter.",
        ("HAR ridge with clock", "panel network"),
    ),
    Term(
        "panel network",
        "A network that learns from many tickers at once what a regression of volatility leaves: "
        "what differs between them on a date. It keeps its last epoch.",
        ("HAR ridge", "announcement clock"),
        ("panel",),
    ),
    Term(
        "gradient boosting",
        "Decision trees on the columns of the HAR ridge. Shown for comparison, never tested.",
        ("HAR ridge", "shown"),
    ),
    Term(
        "untrained",
        "The network before its first epoch: it forecasts as EWMA does, a panel network as its "
        "regression does. Where no epoch is better, it is kept so, and the output says it; a "
        "panel network keeps its last epoch.",
        ("EWMA", "epoch"),
        ("epoch 0", "stacked-untrained"),
    ),
    Term(
        "pretrained",
        "The network that ships with the program, trained on 500 US shares to the end of 2023. It "
        "forecasts any ticker that no run of the workspace knows. Its scores are of shares that it "
        "never saw.",
        ("panel network", "run", "in sample"),
        ("shipped network",),
    ),
    # The verdict.
    Term(
        "verdict",
        "What a forecast beats, what it cannot be told from, and what it loses to, found on "
        "sessions that it had not seen.",
        ("BEATS", "cannot tell", "LOSES", "ladder", "out of sample"),
    ),
    Term(
        "BEATS",
        "Better than the baseline by more than luck explains, by a skill of 0.1 % at least, with "
        "cones that hold what they promise.",
        ("verdict", "ladder", "skill"),
    ),
    Term(
        "LOSES",
        "Worse than the baseline by more than luck explains, by 0.1 % at least.",
        ("verdict", "ladder"),
    ),
    Term(
        "cannot tell",
        "The difference is no larger than luck makes it. It does not mean that both are equal: "
        "more sessions or tickers might tell them apart.",
        ("shows", "verdict"),
        ("ties", "cannot be told from"),
    ),
    Term(
        "not asked",
        "The numbers differ, but baselines are tested in a fixed order and the tests ended before "
        "this one. So it does not count.",
        ("ladder", "verdict"),
    ),
    Term(
        "no verdict",
        "There are too few sessions with an outcome for a test.",
        ("verdict",),
    ),
    Term(
        "shown",
        "For comparison only, never tested.",
        ("verdict",),
    ),
    Term(
        "shows",
        "The skill that the test would find four times out of five. A smaller one may be there and "
        "not show.",
        ("skill", "cannot tell"),
        ("power", "detectable", "would show"),
    ),
    Term(
        "ladder",
        "The fixed order in which baselines are tested: up from the random walk as long as the "
        "network is better, down from the hardest as long as it is worse. So luck gets few "
        "chances.",
        ("baseline", "not asked", "verdict"),
    ),
    Term(
        "EWC",
        "The test of the verdict, made for errors that last for weeks (equal-weighted cosines). "
        "It takes one number a date, the mean over tickers and steps.",
        ("verdict", "ladder"),
        ("equal-weighted cosines", "test"),
    ),
    Term(
        "model confidence set",
        "The forecasts of which none can be ruled out as the best, at 90 %; marked by * in lstm "
        "backtest.",
        ("verdict",),
        ("confidence set",),
    ),
    # How it is tested.
    Term(
        "out of sample",
        "On sessions that a fit has not seen. Only such forecasts are scored.",
        ("in sample", "backtest", "look-ahead"),
        ("had not seen", "unseen"),
    ),
    Term(
        "in sample",
        "From a session that the network was fitted on. Such a forecast shows the tool, not its "
        "skill; lstm predict --as-of warns of it.",
        ("out of sample",),
    ),
    Term(
        "block",
        "A part of the sessions: train (to fit), validation (to stop in time), calibration, test "
        "(to score). A gap of one horizon lies between them.",
        ("out of sample", "epoch"),
        ("validation", "valid", "test block", "split"),
    ),
    Term(
        "backtest",
        "The past replayed: fitted on what was known then, a forecast for each session after, and "
        "again for the next fold.",
        ("fold", "out of sample"),
        ("walk-forward",),
    ),
    Term(
        "fold",
        "A span of a backtest that one fit forecasts.",
        ("backtest",),
    ),
    Term(
        "look-ahead",
        "Using what was not known yet. lstm audit looks for it.",
        ("out of sample",),
        ("leak", "lookahead"),
    ),
    Term(
        "ledger",
        "The file of every forecast that lstm daily has issued, before its outcome was known. "
        "Nothing in it can be changed unnoticed.",
        ("live record",),
        ("issued",),
    ),
    Term(
        "live record",
        "How the forecasts in the ledger turned out: lstm score.",
        ("ledger", "confidence sequence"),
        ("live",),
    ),
    Term(
        "confidence sequence",
        "An interval that stays valid however often somebody looks. It is wider than one for a "
        "single look.",
        ("live record",),
    ),
    # How a network is made.
    Term(
        "run",
        "A finished training: config, networks, scores, verdict. lstm runs lists them.",
        ("config", "recipe"),
    ),
    Term(
        "config",
        "A YAML file that says which network is trained on what: lstm config show.",
        ("run",),
    ),
    Term(
        "recipe",
        "A way to forecast: a network of a config, or a baseline.",
        ("baseline", "config"),
    ),
    Term(
        "epoch",
        "One pass of a training over its windows. A network keeps the epoch that was best on the "
        "validation block. Of a panel network it is a hundred batches, and the last is kept.",
        ("untrained", "member", "block"),
        ("patience", "early stopping"),
    ),
    Term(
        "member",
        "One of several networks of a run, which differ by their seed. The forecast is their mean.",
        ("run", "epoch"),
        ("network", "members"),
    ),
    Term(
        "refit",
        "The second fit of a training, up to the last bar. The first one is scored, the second one "
        "forecasts.",
        ("run", "block"),
        ("final fit", "scored fit"),
    ),
    Term(
        "lookback",
        "How many past sessions a network sees: window.lookback in a config.",
        ("horizon",),
        ("window",),
    ),
)


def find_term(text: str) -> Term | None:
    """Return the term of a name or an alias, in any case and spelling of its spaces."""
    return _known().get(_key(text))


def near_terms(text: str) -> list[str]:
    """Return names of terms that may have been meant, the nearest first."""
    known = _known()
    wanted = _key(text)
    inside = [key for key in known if wanted and (wanted in key or key in wanted) and len(key) > 2]
    near = [*difflib.get_close_matches(wanted, known, n=NEAR, cutoff=0.7), *inside]
    return list(dict.fromkeys(known[key].name for key in near))[:NEAR]


def term_names() -> list[str]:
    """Return the names of all terms as a dictionary sorts them."""
    return sorted((term.name for term in GLOSSARY), key=str.lower)


def glossary_markdown() -> str:
    """Return the glossary as Markdown: a heading a term, with links."""
    terms = {term.name: term for term in GLOSSARY}
    parts = []
    for name in term_names():
        term = terms[name]
        see = ", ".join(f"[{other}](#{anchor(other)})" for other in term.see)
        also = f" Also: {', '.join(term.aliases)}." if term.aliases else ""
        lines = [f"({anchor(name)})=", f"## {name}", "", f"{term.text}{also}"]
        parts.append("\n".join(lines) + (f"\n\nSee {see}." if see else ""))
    return "\n\n".join(parts) + "\n"


def anchor(name: str) -> str:
    """Return the anchor of a term in the Markdown: `P(up)` → `term-p-up`."""
    return "term-" + re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _known() -> dict[str, Term]:
    """Return terms by each of their keys; a name counts more than an alias."""
    aliases = {_key(alias): term for term in GLOSSARY for alias in term.aliases}
    return aliases | {_key(term.name): term for term in GLOSSARY}


def _key(text: str) -> str:
    return re.sub(r"[\W_]+", " ", text.lower()).strip()
