"""The study of layer maps: the choice by the development part, the differences by fresh seeds."""

import pytest
from made_records import columns, made_record, table_of

from ukd.analysis.map_study import LAST_CHOOSING_SEED, chosen_map, map_study

FRESH = (LAST_CHOOSING_SEED + 1, LAST_CHOOSING_SEED + 2)
# By method: dev and validation of two seeds that choose, validation of two fresh ones.
SCORES = {
    "universal-kd": ((70, 72), (60, 62), (64, 68)),
    "teacher-query": ((80, 82), (50, 52), (70, 72)),
    "uniform": ((90, 92), (40, 42), (60, 60)),
}


def table(scores=SCORES, **changes):
    records = []
    for method, (dev, validation, fresh) in scores.items():
        for seed, on_dev, score in zip((1, 2), dev, validation, strict=True):
            records.append(made_record(method, seed, score, "acceptability", dev=on_dev, **changes))
        for seed, score in zip(FRESH, fresh, strict=True):
            records.append(made_record(method, seed, score, "acceptability", dev=99, **changes))
    return table_of(records)


def test_the_development_part_of_the_first_seeds_chooses_and_a_control_is_no_choice():
    runs = table()
    assert chosen_map(runs[runs["seed"] <= LAST_CHOOSING_SEED], "acceptability") == "teacher-query"
    text = map_study(runs)
    assert columns(text, "teacher-query") == [
        "81.0 ± 1.4 (n=2)",
        "51.0 ± 1.4 (n=2)",
        "71.0 ± 1.4 (n=2)",
    ]
    assert "The development part chose `teacher-query`." in text


def test_the_differences_are_those_of_fresh_seeds():
    text = map_study(table())
    # 6 and 4: mean 5, standard error 1, t = 12.706.
    assert (
        "- `teacher-query` minus `universal-kd`: +5.0 points (95% -7.7 to +17.7, n=2), not "
        "significant" in text
    )
    assert "- `teacher-query` minus `uniform`: +11.0 points (95% -1.7 to +23.7, n=2)" in text
    # All seeds: 20, 20, 4 and 8.
    assert "- `universal-kd` minus `uniform`: +13.0 points" in text and "n=4)" in text
    assert "`final`" not in text


def test_the_papers_attention_gets_no_second_look_where_it_was_chosen():
    text = map_study(table({name: SCORES[name] for name in ("universal-kd", "uniform")}))
    assert text.count("`universal-kd` minus `uniform`") == 1 and "all seeds" not in text


def test_runs_of_two_students_or_tasks_are_refused():
    with pytest.raises(ValueError, match="several budgets"):
        map_study(table_of([made_record(), made_record(settings__epochs=9)]))
    with pytest.raises(ValueError, match="one task at a time, these runs have"):
        map_study(table_of([made_record(), made_record(task="acceptability")]))
