"""What runs and backtests share: order, interruption, and who used which span."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from test_runs import begin, finish

from lstmcli.errors import ConfigError, DataError, LockError, NoDataError
from lstmcli.store.backtests import BacktestManifest, BacktestRecord, BacktestStore
from lstmcli.store.runs import RunStore

NOON = datetime(2024, 3, 8, 12, 0, tzinfo=UTC)
TABLE = pd.DataFrame({"value": [0.01]})
SPAN = ("2016-01-04", "2016-02-01")


def record(label: str = "lstm", *, first: str = SPAN[0], last: str = SPAN[1]) -> BacktestRecord:
    middle = "2016-01-18", "2016-01-19"
    folds = (first, middle[0]), (middle[1], last)
    return BacktestRecord(configs={label: ""}, bars={}, folds=folds, last=last, versions={})


def finish_backtest(
    store: BacktestStore, name: str, tickers: tuple[str, ...] = ("A", "B"), span=SPAN
) -> None:
    manifest = BacktestManifest(
        backtest=name,
        created_at=NOON,
        record=record(first=span[0], last=span[1]),
        tickers=tickers,
        evaluations=1,
        seconds={},
        left_out={},
        fallbacks={},
        labels={},
        verdicts={},
    )
    store.finish(manifest, scores=TABLE, verdicts=TABLE)


@dataclass
class Kind:
    """A store, and how something is begun and finished in it."""

    store: RunStore | BacktestStore
    begin: Callable[[str], str]
    finish: Callable[..., object]
    leftover: Callable[[str], object]


@pytest.fixture(params=["runs", "backtests"])
def kind(request, tmp_path: Path) -> Kind:
    if request.param == "runs":
        runs = RunStore(tmp_path / "runs")
        return Kind(
            runs,
            lambda label: begin(runs, variant=label),
            lambda name, tickers=("A", "B"), span=SPAN: finish(
                runs, name, tickers=tickers, test=(*span, 1)
            ),
            lambda name: runs.checkpoints(name).save("a", {}),
        )
    backtests = BacktestStore(tmp_path / "backtests")
    return Kind(
        backtests,
        lambda label: backtests.start(record(label), at=NOON),
        lambda name, *rest, **more: finish_backtest(backtests, name, *rest, **more),
        lambda name: backtests.save_piece(name, "a", TABLE, {}),
    )


def test_what_begins_in_one_second_keeps_its_order(kind):
    labels = [f"{name}{n}" for n in range(5) for name in ("lstm", "dense", "stacked")]
    names = [kind.begin(label) for label in labels]
    assert kind.store.interrupted() == names
    assert [name[:17] for name in names[:2]] == ["20240308T120000Z-", "20240308T120001Z-"]
    assert names[0].startswith("20240308T120000Z-lstm0")


def test_it_is_finished_once_its_manifest_is_there(kind):
    name = kind.begin("lstm")
    kind.leftover(name)
    with kind.store.hold(name):
        pass
    assert (kind.store.names(), kind.store.interrupted()) == ([], [name])
    kind.finish(name)
    assert (kind.store.names(), kind.store.interrupted()) == ([name], [])
    left = {path.name for path in kind.store.path(name).iterdir()}
    assert "manifest.json" in left
    assert not left & {"plan.json", "resume", "raw", ".lock", ".lock-holder"}


def test_a_plan_beside_a_manifest_is_no_interruption(kind):
    # A kill after the manifest leaves it, and backtests of 0.1 kept theirs.
    name = kind.begin("lstm")
    plan = kind.store.path(name) / "plan.json"
    content = plan.read_bytes()
    kind.finish(name)
    plan.write_bytes(content)
    assert (kind.store.names(), kind.store.interrupted()) == ([name], [])


def test_two_processes_do_not_share_one(kind):
    name = kind.begin("lstm")
    with (
        kind.store.hold(name),
        pytest.raises(LockError, match="in use"),
        kind.store.hold(name),
    ):
        pass


def test_a_name_without_a_manifest_is_refused(kind):
    with pytest.raises(NoDataError, match=rf"There is no {kind.store.noun} none in "):
        kind.store.manifest("none")


def test_a_beginning_that_only_one_has_is_its_name(kind):
    names = [kind.begin(label) for label in ("lstm", "dense", "stacked")]
    for name in names:
        kind.finish(name)
    # The time, the label, and the folder as a shell completes it.
    beginnings = names[1], names[1][:16], "dense", f"data/runs/{names[1]}/"
    assert [kind.store.find(text) for text in beginnings] == [names[1]] * 4
    assert kind.store.manifest("dense") == kind.store.manifest(names[1])


def test_a_beginning_that_several_have_is_an_error_that_lists_them(kind):
    names = []
    for label in ("lstm", "lstm", "dense"):
        names.append(kind.begin(label))
        kind.finish(names[-1])
    for beginning, among in (("2024", names), ("lstm", names[:2])):
        with pytest.raises(ConfigError) as caught:
            kind.store.manifest(beginning)
        listed = str(caught.value).splitlines()[1:]
        assert [line.strip() for line in listed] == among
    assert f"{kind.store.listing} lists all" in str(caught.value.hint)
    # A whole name is no beginning of a longer one.
    assert kind.store.find(names[0]) == names[0]


def test_no_more_than_ten_names_are_listed(kind):
    for _ in range(13):
        kind.finish(kind.begin("lstm"))
    with pytest.raises(ConfigError, match=r"with which 13 begin") as caught:
        kind.store.find("lstm")
    listed = str(caught.value).splitlines()[1:]
    assert [line.strip() for line in listed] == [*kind.store.names()[-10:], "and 3 older ones"]


def test_a_finished_one_goes_before_an_interrupted_one(kind):
    done = kind.begin("lstm")
    kind.finish(done)
    begun = kind.begin("lstm")
    assert kind.store.find("lstm") == done
    assert kind.store.find(begun[:16]) == begun
    with pytest.raises(NoDataError, match=f"The {kind.store.noun} {begun} is unfinished"):
        kind.store.manifest(begun[:16])


@pytest.mark.parametrize("typed", ["stakced", "20240308T120001Z-stacke-abcdefgh", "x" * 300, ""])
def test_a_name_that_does_not_exist_is_answered_with_the_nearest(kind, typed):
    for label in ("lstm", "stacked"):
        kind.finish(kind.begin(label))
    with pytest.raises(NoDataError) as caught:
        kind.store.manifest(typed)
    near = f"did you mean {kind.store.names()[1]}? " if "st" in typed else ""
    assert caught.value.hint == f"{near}{kind.store.listing} lists all"


@pytest.mark.parametrize("content", ["{damaged", "[]", "{}", '{"format": 1}'])
def test_a_damaged_manifest_is_named_and_passed_over(kind, content):
    sound, damaged = kind.begin("lstm"), kind.begin("dense")
    kind.finish(sound)
    kind.finish(damaged)
    path = kind.store.path(damaged) / "manifest.json"
    path.write_text(content)
    with pytest.raises(DataError, match=r"manifest\.json") as caught:
        kind.store.manifest(damaged)
    assert caught.value.hint
    assert kind.store.manifests() == [kind.store.manifest(sound)]
    assert kind.store.evaluations(["A"], *SPAN) == 1
    with pytest.raises(DataError):
        kind.store.latest()  # never an older one in silence


def test_evaluations_count_spans_that_overlap_for_a_shared_ticker(kind):
    assert kind.store.evaluations(["A"], "2016-01-01", "2016-12-31") == 0
    first, second, third = (kind.begin(label) for label in ("lstm", "dense", "stacked"))
    kind.finish(first)
    kind.finish(second, tickers=("A",), span=("2016-01-20", "2016-03-01"))
    kind.finish(third, tickers=("C",))
    kind.begin("rnn")  # unfinished: it has shown nobody a score
    assert kind.store.evaluations(["A", "X"], "2016-01-25", "2016-05-01") == 2
    assert kind.store.evaluations(["B"], "2016-02-01", "2016-05-01") == 1
    assert kind.store.evaluations(["B"], "2015-11-02", "2016-01-04") == 1
    assert kind.store.evaluations(["B"], "2015-11-02", "2016-01-01") == 0
    assert kind.store.evaluations(["A"], "2016-02-02", "2016-05-01") == 1
    assert kind.store.evaluations(["A"], "2016-03-02", "2016-05-01") == 0


def test_an_interrupted_backtest_goes_on_only_for_the_same_record(tmp_path):
    store = BacktestStore(tmp_path)
    name = store.start(record(), at=NOON)
    assert store.start(record(), at=NOON) == name
    other = store.start(record(last="2016-02-02"), at=NOON)
    assert other != name
    (store.path(other) / "plan.json").write_text("{damaged")
    assert store.start(record(), at=NOON) == name
    finish_backtest(store, name)
    assert store.start(record(), at=NOON) not in (name, other)


def test_fallbacks_of_version_02_were_served_by_ewma(tmp_path):
    store = BacktestStore(tmp_path / "backtests")
    name = store.start(record(), at=NOON)
    finish_backtest(store, name)
    path = store.path(name) / "manifest.json"
    written = path.read_text("utf-8")
    assert '"fallbacks": {}' in written
    path.write_text(written.replace('"fallbacks": {}', '"fallbacks": {"garch-01": ["A", "B"]}'))
    assert store.manifest(name).fallbacks == {"garch-01": {"A": "ewma", "B": "ewma"}}
