"""What the intermediate loss adds, on every student."""

import pytest
from made_records import columns, committed, made_record

from ukd.analysis.by_student import (
    LOSS_PAIRS,
    LOSS_SETS,
    differences_by_student,
    loss_figure,
    loss_table,
)
from ukd.analysis.grouping import at_chosen_rate
from ukd.analysis.runs import REAL, REAL_SST2, as_runs

SCORES = {"universal-kd": (40, 44), "kd-two-stage": (39, 42), "kd": (41, 42)}


@pytest.fixture
def runs():
    """Two seeds on CoLA with all three methods, two on SST-2 without the two stages alone."""
    records = []
    for method, scores in SCORES.items():
        for seed, score in enumerate(scores, 1):
            records.append(made_record(method, seed, score, "cola"))
            if method != "kd-two-stage":
                records.append(made_record(method, seed, score, "sst2"))
    made = as_runs(records)
    return made.only(
        made.table.assign(set=made.table["task"].map({"cola": REAL, "sst2": REAL_SST2}))
    )


def test_a_row_has_the_differences_of_its_student_and_a_dash_for_a_method_it_lacks(runs):
    text = loss_table(runs)
    # 1 and 2: mean 1.5, standard error 0.5, t = 12.706; -1 and 2: mean 0.5, standard error 1.5.
    assert columns(text, f"`{REAL}`") == [
        "cola: its first 4 layers; float32",
        "+1.5 (-4.9 to +7.9, n=2)",
        "+0.5 (-18.6 to +19.6, n=2)",
    ]
    assert columns(text, f"`{REAL_SST2}`")[1:] == ["-", "+0.5 (-18.6 to +19.6, n=2)"]


def test_the_figure_has_a_panel_a_comparison_and_a_dot_a_difference(runs):
    figure = loss_figure(runs)
    dots = []
    for ax in figure.axes:
        lines = [line for line in ax.lines if line.get_marker() == "o"]
        dots.append([(float(line.get_xdata()[0]), int(line.get_ydata()[0])) for line in lines])
    assert dots == [[(1.5, 0)], [(0.5, 0), (0.5, 1)]]


def test_the_bars_of_the_figure_are_the_intervals_and_synthetic_tasks_stand_apart(runs):
    table = runs.table
    table["task"] = table["task"].where(table["set"] == REAL, "acceptability")
    figure = loss_figure(runs.only(table.assign(pairing_key=table["task"])))
    assert [ax.get_yticklabels()[0].get_text() for ax in figure.axes[::2]] == [
        f"cola: its first 4 layers; float32\n{REAL}",
        f"acceptability: its first 4 layers; float32\n{REAL_SST2}",
    ]
    bars = []
    for ax in figure.axes:
        for bar in ax.collections:
            bars += [segment[:, 0].round(1).tolist() for segment in bar.get_segments()]
            assert bar.get_capstyle() in (None, "butt"), "it would end beyond the interval"
    assert bars == [[-4.9, 7.9], [-18.6, 19.6], [-18.6, 19.6]]


def test_a_table_of_chosen_rates_may_be_chosen_from_again():
    """The committed figure got them so, and had lost every student of a search."""
    runs = committed()
    chosen = at_chosen_rate(runs.table)
    assert at_chosen_rate(chosen).equals(chosen)
    assert loss_table(runs.only(chosen)) == loss_table(runs)
    rows = sum(len(ax.get_yticks()) for ax in loss_figure(runs.only(chosen)).axes[::2])
    assert rows == len(loss_table(runs).splitlines()) - 2


def test_no_student_and_task_of_the_committed_runs_is_left_out():
    runs = committed()
    everywhere = differences_by_student(runs, runs.sets, LOSS_PAIRS)
    assert len(everywhere) > len(LOSS_SETS)

    def students(found):
        return {student.partition(";")[0] for _, student in found}

    assert students(everywhere) == students(differences_by_student(runs, LOSS_SETS, LOSS_PAIRS))
