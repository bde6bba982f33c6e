"""The sentences at the end of `make reproduce`, against differences by hand."""

import pytest
from made_records import made_record, table_of

from ukd.analysis.first_look import sentences
from ukd.analysis.runs import FIRST_LOOK as SET

SCORES = {
    "kd": (40.0, 44.0),
    "kd-two-stage": (50.0, 40.0),
    "uniform": (70.0, 70.0),
    "universal-kd": (72.0, 78.0),
}


def runs(scores, **changes):
    records = []
    for method, values in scores.items():
        for seed, value in enumerate(values, 1):
            records.append(made_record(method, seed, value, "acceptability", **changes))
    return table_of(records)


def test_the_sentences_say_the_differences_by_hand():
    committed = runs(SCORES).assign(set=SET)
    new = runs({"universal-kd": (75.5,), "kd": (41.0,)})
    heads, kd, stages, attention, this_run = sentences(new, committed)
    assert "rise from 90.0 at layer 1 to 90.0 at layer" in heads
    # 32 and 34: mean 33, standard error 1, t = 12.706.
    assert kd == (
        "Universal-KD scores 75.0, kd 42.0: +33.0 points (95% +20.3 to +45.7, n=2), significant."
    )
    assert "45.0: +30.0 points (95% -71.6 to +131.6, n=2), not significant (" in stages
    assert "uniform weights +5.0 points (95% -33.1 to +43.1, n=2), not significant" in attention
    assert "last layer" not in attention
    assert "range of 2 committed seeds: " in this_run
    assert "universal-kd 75.5 (72.0 to 78.0)" in this_run and "kd 41.0 (40.0 to 44.0)" in this_run


@pytest.mark.parametrize(
    ("set_name", "changes"),
    [("another-set", {}), (SET, {"settings__epochs": 12}), (SET, {"settings__student_depth": 2})],
)
def test_runs_of_another_configuration_get_no_sentences(set_name, changes):
    committed = runs(SCORES).assign(set=set_name)
    assert sentences(runs({"kd": (41.0,)}, **changes), committed) == []
