"""What is killed at any moment goes on, to the same bits; nothing finished is made again."""

import sys
from pathlib import Path

import pytest
from scripts import report_of

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="forks a process that has loaded torch, which Linux allows"
)
SCRIPT = Path(__file__).with_name("kills.py")


def killed(folder, **plan):
    """The report of `kills.py` on a plan."""
    return report_of(SCRIPT, folder, plan)[0]


@pytest.mark.slow
def test_what_is_killed_while_it_writes_goes_on_to_the_same_bits(tmp_path, tiny_encoder):
    """A checkpoint, the heads, and a student that is finished but for its checkpoints."""
    at = [("written .labels", 2), ("written .*heads-", 1), ("kept runs/custom-takd", 1)]
    limits = {"encoder": str(tiny_encoder(tmp_path / "encoder", layers=4)), "batch_size": 16}
    report = killed(tmp_path / "pipelines", limits=limits, rows=90, at=at)
    assert len(report["kills"]) == 3
    assert report["differ"] == {}, "weights, logits, records and tables are equal; nothing is left"
    assert report["twice"] == [], "nothing that was kept is made again"


@pytest.mark.long
def test_fifty_kills_at_random_moments_lose_nothing_that_was_kept(tmp_path, capsys):
    report = killed(tmp_path, limits={}, kills=50, seed=1)
    with capsys.disabled():
        print(f"\n{report['rounds']} pipelines, {len(report['kills'])} kills\n")
        print("| kill | pipeline | stage reached | seconds lost |\n|--:|--:|---|--:|")
        for number, kill in enumerate(report["kills"], start=1):
            print(f"| {number} | {kill['round']} | {kill['stage']} | {kill['lost']:.1f} |")
    assert report["differ"] == {} and report["twice"] == []
    assert len(report["kills"]) == 50 and report["rounds"] >= 2
