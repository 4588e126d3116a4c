"""How many threads TensorFlow gets."""

from __future__ import annotations

import pytest

from lstmcli.models import runtime
from lstmcli.models.runtime import Threads, _quota

pytestmark = pytest.mark.tensorflow


@pytest.mark.parametrize(
    ("quota", "cores"), [("max 100000", 2**16), ("150000 100000", 1), ("400000 100000", 4)]
)
def test_the_quota_of_a_cgroup_counts(quota: str, cores: int, tmp_path):
    (tmp_path / "cpu.max").write_text(quota)
    assert _quota(tmp_path) == cores


def test_threads_follow_the_usable_cores(monkeypatch):
    monkeypatch.setattr(runtime, "usable_cores", lambda: 6)
    assert Threads.choose() == Threads(intra_op=1, inter_op=6, shards=6)
    assert Threads.choose(3, 5) == Threads(intra_op=1, inter_op=3, shards=5)
