"""The study of layer maps: the choice by the development part, the differences by fresh seeds."""

import pandas as pd
import pytest
from made_records import columns, committed, made_record, table_of

from ukd.analysis.map_study import (
    CHOSEN,
    COMPARED,
    LAST_CHOOSING_SEED,
    chosen_map,
    map_differences,
    map_study,
    maps_figure,
    maps_table,
)
from ukd.analysis.runs import MAP_STUDY, REAL, as_runs

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


# --- the chosen map and the paper's, on every student ---

MADE = "its first 4 layers; float32"  # how made records describe their student
CHOOSING = (MAP_STUDY, f"acceptability: {MADE}")
ON_COLA = (REAL, f"cola: {MADE}")


@pytest.fixture
def students():
    """Runs of the set that chose, and two seeds of another with the two maps alone."""
    records = []
    for method, (dev, validation, fresh) in SCORES.items():
        for seed, score in zip((1, 2, *FRESH), (*validation, *fresh), strict=True):
            records.append(made_record(method, seed, score, "acceptability", dev=dev[0]))
    for method, scores in {"universal-kd": (40, 44), "teacher-query": (41, 46)}.items():
        for seed, score in enumerate(scores, 1):
            records.append(made_record(method, seed, score, "cola"))
    runs = as_runs(records)
    sets = {"acceptability": MAP_STUDY, "cola": REAL}
    return runs.only(runs.table.assign(set=runs.table["task"].map(sets)))


def test_a_student_has_the_differences_of_the_maps_it_had(students):
    found = map_differences(students)
    assert list(found) == [CHOOSING, ON_COLA]
    assert list(found[ON_COLA]) == [(CHOSEN, "universal-kd")]
    difference = found[ON_COLA][CHOSEN, "universal-kd"]
    assert (difference.mean, difference.n) == (1.5, 2)
    # Standard error 0.5, t = 12.706.
    expected = [ON_COLA[1], "-", "-", "-", "-", "+1.5 (-4.9 to +7.9, n=2)"]
    assert columns(maps_table(students), f"`{REAL}`") == expected


def test_seeds_that_chose_the_map_are_left_out(students):
    found = map_differences(students)[CHOOSING]
    assert {difference.n for difference in found.values()} == {2}
    assert found[CHOSEN, "uniform"].mean == 11 and found["universal-kd", "uniform"].mean == 6


def test_a_difference_of_one_seed_has_no_interval_and_is_left_out(students):
    one = students.table[(students.table["task"] != "cola") | (students.table["seed"] == 1)]
    assert list(map_differences(students.only(one))) == [CHOOSING]


def test_two_groups_under_one_description_are_refused(students):
    again = students.table.assign(learning_rate=0.5, config_key="another budget")
    both = students.only(pd.concat([students.table, again], ignore_index=True))
    with pytest.raises(ValueError, match=f"{MAP_STUDY} has two groups of runs of acceptability"):
        map_differences(both)


def test_the_figure_has_a_dot_for_every_difference(students):
    figure = maps_figure(students)
    dots = [line for ax in figure.axes for line in ax.lines if line.get_marker() == "o"]
    assert sorted(float(line.get_xdata()[0]) for line in dots) == [1.5, 5, 6, 11]
    labels = [ax.get_yticklabels()[0].get_text() for ax in figure.axes[:: len(COMPARED)]]
    assert labels == [f"{student}\n{name}" for name, student in (ON_COLA, CHOOSING)]


def test_the_committed_runs_chose_that_map():
    runs = committed().table
    choosing = runs[(runs["set"] == MAP_STUDY) & (runs["seed"] <= LAST_CHOOSING_SEED)]
    assert chosen_map(choosing, "acceptability") == CHOSEN
