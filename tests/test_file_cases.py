"""Every case of the tables does what its table states, and the hints of its errors work.

One case: `pytest tests/test_file_cases.py -k wsj_export`.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from command import Lstm
from file_cases import NOW, Stage, Step, complaints, loads_tensorflow, read_table
from simulate import simulate_bars

HERE = Path(__file__).parent
CASES = read_table(HERE / "file_cases.toml")
INPUTS = HERE / "inputs"
OWN = read_table(INPUTS / "expected.toml")


def _parameters(*, refused: bool = False) -> list[object]:
    """Return every case; `refused` leaves out trainings of cases where nothing is refused."""
    parameters = []
    for name, steps in (CASES | OWN).items():
        trains = loads_tensorflow(steps)
        if refused and trains and not any("code" in step for step in steps):
            continue
        marks = [
            *([pytest.mark.tensorflow] if trains else []),
            *([pytest.mark.market] if name in CASES else []),
        ]
        parameters.append(pytest.param(name, steps, marks=marks, id=name))
    return parameters


@pytest.fixture
def stage(
    request: pytest.FixtureRequest, tmp_path: Path, lstm: Lstm, monkeypatch: pytest.MonkeyPatch
) -> Stage:
    """Return the stage of the case that the test names."""
    name: str = request.node.callspec.params["name"]
    steps: list[Step] = request.node.callspec.params["steps"]
    folder = INPUTS if name in OWN else request.getfixturevalue("market_data") / "cases"
    served = any("yahoo" in step for step in steps)
    yahoo = request.getfixturevalue("yahoo") if served else None
    return Stage(folder / name, tmp_path / "stage", lstm, monkeypatch, yahoo)


@pytest.mark.parametrize(("name", "steps"), _parameters())
def test_a_case_does_what_its_table_states(stage: Stage, name: str, steps: list[Step]) -> None:
    wrong = [
        f"lstm {step['run']}: {complaint}"
        for step, result in stage.play(steps)
        for complaint in complaints(stage, step, result)
    ]
    assert not wrong, "\n".join([name, *wrong])


@pytest.mark.parametrize(("name", "steps"), _parameters(refused=True))
def test_a_command_that_a_hint_shows_leads_on(stage: Stage, name: str, steps: list[Step]) -> None:
    for step, result in stage.play(steps):
        if result.code == 0:
            continue
        for line, after in stage.follow_hints(step, result):
            shown = f"{name}: lstm {step['run']}\n{result.err}\n{line}\n{after.err}"
            assert after.code == 0, shown


@pytest.mark.market
def test_every_case_has_an_entry_and_every_entry_a_case(market_data: Path) -> None:
    assert {folder.name for folder in (market_data / "cases").iterdir()} == CASES.keys()


def test_every_input_has_an_entry_and_every_entry_an_input() -> None:
    assert {folder.name for folder in INPUTS.iterdir() if folder.is_dir()} == OWN.keys()
    assert not OWN.keys() & CASES.keys()


@pytest.mark.market
@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("name", "steps"), [("ipo_few_bars", CASES["ipo_few_bars"][:2])], ids=["ipo_few_bars"]
)
def test_as_many_sessions_as_a_training_asks_for_suffice(
    stage: Stage, name: str, steps: list[Step]
) -> None:
    """The number is the one that the message names besides the length of the file."""
    list(stage.play(steps))
    smoke = "--config smoke.yaml --set training.epochs=1 --set model.units=4"
    for ticker in ("IPO45", "IPO150"):
        refused = stage.run(f"train {ticker} {smoke}", now=NOW)
        if refused.code == 0:
            continue
        said = refused.err.replace(",", "")
        (needed,) = {int(n) for n in re.findall(r"(\d+) (?:sessions|bars)", said)} - {45, 150}
        bars = simulate_bars(needed, last="2024-03-08").rename_axis("Date")
        bars.iloc[:, :5].to_csv(stage.here / "ENOUGH.csv")
        assert stage.run("fetch ENOUGH --source csv --file ENOUGH.csv", now=NOW).code == 0
        trained = stage.run(f"train ENOUGH {smoke}", now=NOW)
        assert trained.code == 0, f"{ticker}: {refused.err}\n{needed}: {trained.err}"


@pytest.mark.market
@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("name", "steps"),
    [("one_ticker_two_companies", CASES["one_ticker_two_companies"])],
    ids=["one_ticker_two_companies"],
)
def test_nothing_before_a_relisting_is_read(stage: Stage, name: str, steps: list[Step]) -> None:
    """A training and its forecast are the same as if the file began with the new company."""
    forecasts = []
    for number, start in enumerate(("", " --start 2022-06-08")):
        stage.start_anew(number)
        fetched = stage.run(f"fetch METS --source csv --file METS.csv{start}", now=NOW)
        assert fetched.code == 0, fetched.err
        trained = stage.run("train METS {tiny}", now=NOW)
        assert trained.code == 0, trained.err
        forecasts.append(stage.run("predict METS --csv", now=NOW).out)
    with_both, new_one = forecasts
    assert "2024-03-11" in new_one
    assert with_both == new_one
