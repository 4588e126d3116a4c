"""Recipes that are scored one after the other, on the origins that all of them forecast."""

from __future__ import annotations

import pandas as pd
import pytest
from simulate import panel_of, simulate_bars

from lstmcli.evaluation import metrics
from lstmcli.evaluation.scored_block import ScoredBlock
from lstmcli.forecasters.baselines import BASELINES

H = 5


@pytest.fixture(scope="module")
def panel():
    return panel_of(A=simulate_bars(500, seed=1), B=simulate_bars(420, seed=2, sigma=0.02))


@pytest.fixture(scope="module")
def forecasts(panel) -> list[pd.DataFrame]:
    """Forecasts of two recipes; one of them lacks origins of A and all of B's step 5."""
    until = panel.sessions()[380]
    found = [
        BASELINES[name](H).fit(panel, until).forecast(panel, panel.sessions()[400:])
        for name in ("random_walk", "ewma")
    ]
    short = found[1]
    late = short["made_on"] >= panel.sessions()[430]
    lacks = (short["ticker"] == "A") & ~late | (short["ticker"] == "B") & (short["step"] == H)
    return [found[0], short[~lacks].reset_index(drop=True)]


def block_of(panel, forecasts) -> ScoredBlock:
    block = ScoredBlock(panel, shown=(1, H), keep=pd.DataFrame.copy)
    for forecast in forecasts:
        block.add(forecast)
    return block


def shared_rows(panel, forecasts) -> pd.DataFrame:
    rows = pd.concat(forecasts, ignore_index=True)
    have = rows.groupby(["ticker", "made_on", "step"])["recipe"].transform("size")
    return metrics.realise(rows[have == len(forecasts)], panel)


def test_scores_are_those_of_the_rows_that_all_recipes_have(panel, forecasts):
    rows = shared_rows(panel, forecasts)
    expected = metrics.means_of(rows, metrics.row_scores(rows))
    order = ["metric", "recipe", "ticker", "step"]
    found = block_of(panel, forecasts).scores()
    assert list(found.columns) == list(expected.columns)
    pd.testing.assert_frame_equal(
        *(each.sort_values(order).reset_index(drop=True) for each in (found, expected)),
        check_exact=True,
    )
    changes = found["metric"].ne(found["metric"].shift()).sum()
    assert changes == found["metric"].nunique()  # metric by metric


def test_rows_are_kept_whole_at_the_steps_that_are_shown(panel, forecasts):
    rows = shared_rows(panel, forecasts)
    expected = rows[rows["step"].isin((1, H))]
    keys = ["recipe", "ticker", "made_on", "step"]
    pd.testing.assert_frame_equal(
        *(
            each.sort_values(keys).reset_index(drop=True)
            for each in (pd.concat(block_of(panel, forecasts).rows()), expected)
        ),
        check_exact=True,
    )


def test_of_a_row_that_is_not_shown_27_bytes_are_kept(panel, forecasts):
    block = ScoredBlock(panel, shown=(), keep=pd.DataFrame.copy)
    block.add(forecasts[0])
    (parts,) = block._recipes
    for part in parts.values():
        size = part.places.nbytes + part.values.memory_usage(index=False).sum()
        assert size == 27 * len(part.places)  # its place, two losses, three hits
        assert isinstance(part.values.index, pd.RangeIndex)


def test_a_ticker_that_one_recipe_does_not_forecast_counts_for_none(panel, forecasts):
    own = forecasts[1][forecasts[1]["ticker"] == "A"]
    found = block_of(panel, [forecasts[0], own]).scores()
    assert set(found["ticker"]) == {"A"}
    assert set(found["recipe"]) == {"random_walk", "ewma"}


def test_recipes_that_share_no_origin_have_no_scores(panel, forecasts):
    first = forecasts[0]
    none = block_of(panel, [first, forecasts[1][:0]])
    assert list(none.scores().columns) == list(block_of(panel, [first]).scores().columns)
    assert not len(none.scores())
    assert list(none.rows()) == []
