"""How many threads TensorFlow gets."""

from __future__ import annotations

import pytest

from lstmcli.models.runtime import Threads, _quota, usable_cores

pytestmark = pytest.mark.tensorflow


@pytest.mark.parametrize(
    ("quota", "cores"), [("max 100000", 2**16), ("150000 100000", 1), ("400000 100000", 4)]
)
def test_the_quota_of_a_cgroup_counts(quota: str, cores: int, tmp_path):
    (tmp_path / "cpu.max").write_text(quota)
    assert _quota(tmp_path) == cores


def test_threads_follow_the_usable_cores():
    chosen = Threads.choose()
    assert (chosen.intra_op, chosen.inter_op, chosen.shards) == (1, usable_cores(), usable_cores())
    assert Threads.choose(3, 5) == Threads(intra_op=1, inter_op=3, shards=5)
