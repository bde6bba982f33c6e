"""Figures show the runs' numbers, with one look a method, and are the same when drawn again."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

import ukd
from ukd.analysis.contrasts import contrasts
from ukd.analysis.figure_sets import (
    COMMITTED,
    LEARNING_RATES,
    draw_figures,
    draw_runs,
    possible,
)
from ukd.analysis.figures import (
    alt_text,
    draw_layer_map,
    map_norm,
    scores_figure,
    style_of,
    styles,
)
from ukd.analysis.grouping import at_chosen_rate, attempts, groups
from ukd.analysis.map_figures import layer_map_figure, layer_maps_figure
from ukd.analysis.runs import FIRST_LOOK, as_runs, load_runs
from ukd.analysis.study_figures import contrasts_figure, relative_label_error
from ukd.analysis.training_figures import curves_figure, learning_rates_figure
from ukd.config.paths import data_folder
from ukd.data.tasks import load_task
from ukd.methods.registry import METHODS
from ukd.training.kept_logits import load_kept_teacher


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def search():
    return load_runs(set="synthetic-search")


@pytest.fixture(scope="module")
def chosen(search):
    return search.only(at_chosen_rate(search.table))


@pytest.fixture(scope="module")
def suite():
    return load_runs(set="synthetic-ild")


def test_every_method_has_a_look_of_its_own():
    looks = {name: tuple(style_of(name).values()) for name in METHODS}
    assert len(set(looks.values())) == len(METHODS)
    plain = style_of("universal-kd")
    variant = style_of("universal-kd (detach_attention=False)")
    assert variant["color"] == plain["color"] and variant["marker"] != plain["marker"]
    assert styles(["kd"])["palette"]["kd"] == style_of("kd")["color"]


def test_a_layer_map_is_coloured_about_the_uniform_share():
    weights = [[0.1, 0.2, 0.3, 0.4]]
    ax = draw_layer_map(plt.subplots()[1], weights, "title")
    mesh = ax.collections[0]
    assert (mesh.norm.vmin, mesh.norm.vcenter, mesh.norm.vmax) == (0, 0.25, 0.5)
    assert list(mesh.get_array().ravel()) == pytest.approx(weights[0])
    assert [text.get_text() for text in ax.texts] == ["0.10", "0.20", "0.30", "0.40"]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["1", "2", "3", "4"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Teacher layer", "Student layer")
    bar = [tick.get_text() for tick in mesh.colorbar.ax.get_yticklabels()]
    assert bar == ["0", "0.25 (uniform)", "0.50"]
    ax.clear()
    assert not ax.child_axes, "drawn again, it has one colour bar"


def test_logit_norms_stand_above_a_layer_map():
    ax = draw_layer_map(plt.subplots()[1], [[0.1, 0.9]], "title", logit_norms=[3.0, 1.5])
    above = ax.child_axes[-1]
    assert above.get_title() == "title" and not ax.get_title()
    assert [bar.get_height() for bar in above.patches] == [3.0, 1.5]
    middles = [bar.get_x() + bar.get_width() / 2 for bar in above.patches]
    assert middles == list(ax.get_xticks()), "a bar a column"
    with pytest.raises(ValueError, match="1 logit norms for 2 teacher layers"):
        draw_layer_map(plt.subplots()[1], [[0.1, 0.9]], logit_norms=[3.0])


def test_norms_are_those_of_the_runs_own_teacher(suite):
    runs = load_runs(set=FIRST_LOOK)
    ax = layer_map_figure(runs, "acceptability").axes[0]
    logits = load_kept_teacher("acceptability", load_task("acceptability")).logits["validation"]
    centred = logits[:, :-1] - logits[:, :-1].mean(-1, keepdim=True)
    heights = [bar.get_height() for bar in ax.child_axes[-1].patches]
    assert heights == pytest.approx(centred.norm(dim=-1).mean(0).tolist())
    other = layer_map_figure(suite, "acceptability").axes[0]
    assert all(not child.patches for child in other.child_axes), "its teacher is gone"


@pytest.mark.parametrize("maps", [[[[1.0], [1.0]]], [[[0.5, 0.5]]], [[[0.0, 1.0]]]])
def test_the_extremes_of_a_layer_map_have_colours(maps):
    norm = map_norm(maps)
    assert norm.vmin < norm.vcenter < norm.vmax <= 1


def test_maps_that_are_compared_share_one_scale():
    rows = {"task": {"one": [[0.5, 0.5]], "two": [[0.1, 0.9]]}}
    figure = layer_maps_figure(rows, "title")
    norms = [ax.collections[0].norm for ax in figure.axes[:2]]
    assert norms[0] is norms[1] and norms[0].vmax == 1.0


@pytest.mark.parametrize("weights", [[], [[]], [0.5, 0.5]])
def test_what_is_no_layer_map_is_refused(weights):
    with pytest.raises(ValueError, match="a layer map is"):
        draw_layer_map(plt.subplots()[1], weights, "title")


def test_a_layer_map_in_words():
    text = alt_text([[0.2, 0.8], [0.5, 0.5]])
    assert text == (
        "Student layer 1 attends most to teacher layer 2 (0.80); "
        "student layer 2 attends to all teacher layers alike."
    )


def test_a_search_is_drawn_with_all_that_was_tried_and_rings_at_what_was_chosen(search):
    figure = learning_rates_figure(search)
    rates = at_chosen_rate(search.table).groupby(["method_name", "task"])["learning_rate"].first()
    ax = figure.axes[0]
    drawn = {bars.get_label(): bars.lines[0] for bars in ax.containers}
    rings = [line for line in ax.lines if line.get_fillstyle() == "none"]
    assert len(rings) == len(drawn) == 7
    for (name, line), ring in zip(drawn.items(), rings, strict=True):
        tried = attempts(search.table[search.table["method_name"] == name], "acceptability")
        means = tried.groupby("learning_rate")["validation"].mean()
        assert list(line.get_ydata()) == pytest.approx(list(means))
        rate = rates[name, "acceptability"]
        assert ring.get_ydata()[0] == pytest.approx(means[rate])
        assert ring.get_xdata()[0] == pytest.approx(rate, rel=0.07)


def test_contrasts_show_every_seed_and_the_interval(chosen):
    ax = contrasts_figure(chosen).axes[0]
    first = contrasts(chosen.table)[0]
    task, difference = next(iter(first.by_task.items()))
    assert task == "acceptability"
    seeds = ax.lines[0].get_xdata()
    assert len(seeds) == difference.n and np.mean(seeds) == pytest.approx(difference.mean)
    ends = ax.collections[0].get_segments()[0][:, 0]
    assert list(ends) == pytest.approx([difference.low, difference.high])


@pytest.mark.parametrize("score", [0.0, 100.0], ids=["teacher below", "teacher above"])
def test_the_word_that_marks_the_teacher_stays_in_its_panel(chosen, score):
    figure = scores_figure(chosen.only(chosen.table.assign(teacher_validation=score)))
    figure.canvas.draw()
    for ax in figure.axes:
        (word,) = ax.texts
        inside = word.get_window_extent()
        panel = ax.get_window_extent()
        assert panel.x0 <= inside.x0 and inside.x1 <= panel.x1


def test_the_relative_label_error_by_hand(suite):
    uniform = relative_label_error(suite.of("uniform", "acceptability"))
    assert uniform["value"].to_numpy() == pytest.approx(0, abs=1e-3)
    run = suite.of("universal-kd", "acceptability")
    attended = run.values("attended_label_error").groupby("run")["value"].mean()
    average = run.values("uniform_label_error").set_index("run")["value"]
    by_hand = 100 * (1 - attended / average)
    found = relative_label_error(run).set_index("run")["value"]
    assert found.sort_index().to_numpy() == pytest.approx(by_hand.sort_index().to_numpy())


def test_loss_curves_follow_the_stages(suite):
    table = suite.table
    mask = (table["method_name"] == "universal-kd") & (table["task"] == "acceptability")
    ax = curves_figure(suite.where(mask)).axes[0]
    shown = {text.get_text() for text in ax.get_legend().get_texts()}
    assert shown == {"kd", "intermediate", "labels"}
    steps = table[mask]["steps"].iloc[0]
    (border,) = [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == ":"]
    assert border == steps / 2


def test_runs_of_several_groups_are_drawn_apart(suite, tmp_path):
    table = suite.table[suite.table["method_name"].isin(["kd", "no-kd"])]
    other = table.head(2).assign(config_key="another budget")
    runs = suite.only(pd.concat([table, other], ignore_index=True))
    paths = {str(path.relative_to(tmp_path)) for path in draw_runs(runs, tmp_path)}
    assert {"scores.svg", "group-2/scores.svg"} <= paths
    assert not any("attention" in path for path in paths), "these methods have none"


@pytest.mark.slow
def test_committed_figures_are_the_same_when_drawn_again(tmp_path):
    first = draw_figures(tmp_path / "one")
    again = draw_figures(tmp_path / "two")
    assert [path.stem for path in first] == list(COMMITTED)
    for one, two in zip(first, again, strict=True):
        text = one.read_bytes()
        assert text == two.read_bytes(), one.name
        assert b"dc:date" not in text


def test_every_committed_figure_is_in_the_folder_and_no_other():
    folder = data_folder().parent / "figures"
    there = {path.stem for path in folder.iterdir() if path.suffix != ".md"}
    assert there == {*COMMITTED, "method"}


def test_a_figure_that_needs_no_runs_is_drawn_beside_them(tmp_path, monkeypatch):
    monkeypatch.setattr("ukd.analysis.figure_sets.COMMITTED", {})
    (path,) = draw_figures(tmp_path, {"drawing": plt.figure})
    assert path == tmp_path / "drawing.svg" and path.is_file()


def test_scores_have_the_colours_of_their_methods(chosen):
    ax = scores_figure(chosen).axes[0]
    names = [tick.get_text() for tick in ax.get_yticklabels()]
    points = [line for line in ax.lines if line.get_linestyle() == "None"]
    assert len(points) == len(names) == 7
    for line in points:
        name = names[int(line.get_ydata()[0])]
        look = style_of(name)
        assert (line.get_color(), line.get_marker()) == (look["color"], look["marker"])


def test_all_that_is_committed_is_possible(suite, search):
    for runs in (suite, search):
        (group,) = groups(runs.table).values()
        drawn = set(possible(runs.only(group)).values())
        assert len(drawn) >= 10
    assert LEARNING_RATES in possible(search) and LEARNING_RATES not in possible(suite)
    assert all(shows and set_name for shows, set_name, _ in COMMITTED.values())


def test_variants_alone_are_drawn_too(distilled, tmp_path):
    methods = [ukd.get_method("universal-kd", temperature=value) for value in (1.0, 4.0)]
    paths = draw_runs(as_runs([distilled(method) for method in methods]), tmp_path)
    assert {"scores", "calibration", "training_curves"} <= {path.stem for path in paths}


def test_the_layer_maps_of_a_task_are_of_all_examples_and_of_each_class(suite):
    ax, *others = layer_map_figure(suite, "acceptability").axes
    mesh = ax.collections[0]
    assert mesh.norm.vcenter == pytest.approx(1 / 11)
    weights = suite.of("universal-kd", "acceptability").layer_map()
    assert np.allclose(mesh.get_array(), weights)
    titles = [one.get_title() for one in others if one.get_title()]
    assert titles == ["acceptability, class: unacceptable", "acceptability, class: acceptable"]


def test_fresh_records_are_drawn_as_committed_runs_are(distilled, tmp_path):
    records = [distilled(name) for name in ("kd", "universal-kd")]
    paths = {path.stem for path in draw_runs(as_runs(records), tmp_path)}
    assert {"scores", "heads", "training_curves", "attention_sentiment", "label_error"} <= paths
    assert {"student_heads", "early_exit", "calibration", "attention_over_time"} <= paths
