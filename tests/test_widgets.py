"""Widgets and their figures: the package's numbers, every control changes the picture."""

import math

import ipywidgets
import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.figure import Figure

import ukd
from ukd.analysis.runs import load_runs
from ukd.data.batches import tokenized_splits
from ukd.heads import ClassifierWithHeads
from ukd.models.encoders import load_tokenizer
from ukd.teaching import diagrams, sentence_widget, widgets
from ukd.training.layer_report import attention
from ukd.training.loop import predict

STUDENT = torch.tensor(widgets.STUDENT)
TEACHER = torch.tensor(widgets.TEACHER)
SLIDERS = (ipywidgets.FloatSlider, ipywidgets.FloatLogSlider, ipywidgets.Checkbox)


def parts(widget, kind):
    """All widgets of a kind inside a widget, itself included."""
    inside = [widget] if isinstance(widget, kind) else []
    for child in getattr(widget, "children", ()):
        inside += parts(child, kind)
    return inside


def picture(widget):
    """The bytes of the widget's only picture."""
    (image,) = parts(widget, ipywidgets.Image)
    return bytes(image.value)


def sentence_of(widget):
    return parts(widget, ipywidgets.HTML)[0].value


# --- the playground ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def playground():
    return widgets.playground()


@pytest.mark.parametrize("number", range(17))
def test_every_control_of_the_playground_changes_the_picture(playground, number):
    control = parts(playground, SLIDERS)[number]
    before = picture(playground)
    start = control.value
    control.value = not start if isinstance(start, bool) else start + 1.0
    changed = picture(playground)
    control.value = start
    assert changed.startswith(b"\x89PNG") and changed != before
    assert picture(playground) == before, "the same settings make the same picture"


def test_every_control_is_labelled_and_shows_its_number(playground):
    controls = parts(playground, SLIDERS)
    labels = {control.description for control in controls}
    assert len(controls) == len(labels) == 2 + 1 + 2 * (3 + 4) and all(labels)
    sliders = [one for one in controls if not isinstance(one, ipywidgets.Checkbox)]
    assert all(slider.readout for slider in sliders)


def test_the_sentence_states_the_weights(playground):
    row = ukd.attention_projection(STUDENT[None], TEACHER[None]).weights[0, 1]
    most = f"most to teacher layer {int(row.argmax()) + 1} ({row.max():.2f})"
    assert f"student layer 2 attends {most}" in sentence_of(playground)
    assert "student layer 3 attends to all teacher layers alike" in sentence_of(playground)


def test_two_playgrounds_share_nothing_and_leave_no_figure_open():
    open_before = plt.get_fignums()
    first = widgets.playground()
    second = widgets.playground()
    parts(first, SLIDERS)[0].value = 8.0
    assert picture(first) != picture(second)
    assert plt.get_fignums() == open_before


def test_an_error_while_drawing_is_not_swallowed():
    control = widgets.slider("value", 1.0, 0.0, 2.0)

    def draw():
        if control.value > 1.5:
            raise ValueError("too large")
        return "fine"

    widgets.live_figure(Figure(), draw, {"value": control})
    with pytest.raises(ValueError, match="too large"):
        control.value = 2.0


# --- diagrams ----------------------------------------------------------------------------------


def cell_numbers(axes):
    """The numbers written in the cells of each of the axes."""
    return [torch.tensor([float(text.get_text()) for text in ax.texts]) for ax in axes]


OPTIONS = (
    {},
    {"attention_temperature": 3.0, "temperature": 4.0},
    {"detach_attention": False},
)


@pytest.mark.parametrize("options", OPTIONS)
def test_the_drawn_projection_is_the_packages(options):
    axes = diagrams.projection_axes(Figure())
    diagrams.draw_projection(axes, STUDENT, TEACHER, **options)
    logits = STUDENT[None].clone().requires_grad_()
    result = ukd.intermediate_loss(logits, TEACHER[None], **options)
    result.loss.backward()
    expected = (result.weights, result.weights[0] @ TEACHER, logits.grad)
    for drawn, right in zip(cell_numbers(axes), expected, strict=True):
        assert torch.allclose(drawn, right.flatten(), atol=0.0051)
    assert f"{result.loss.item():.3f}" in axes[2].get_xlabel()


def test_drawing_again_is_like_drawing_afresh_for_any_number_of_layers():
    axes = diagrams.projection_axes(Figure())
    fresh = diagrams.projection_axes(Figure())
    diagrams.draw_projection(axes, STUDENT[:2], TEACHER[:3], attention_temperature=5.0)
    diagrams.draw_projection(axes, STUDENT, TEACHER)
    diagrams.draw_projection(fresh, STUDENT, TEACHER)
    assert widgets.png_bytes(axes[0].figure) == widgets.png_bytes(fresh[0].figure)


def test_logit_gradient_leaves_its_arguments_alone():
    student = STUDENT[None].clone()
    diagrams.logit_gradient(student, TEACHER[None])
    assert torch.equal(student, STUDENT[None])
    assert not student.requires_grad and student.grad is None


@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("attention_temperature", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("layers", [2, 3, 5])
@pytest.mark.parametrize("sure", [1.0, 3.0, 6.0, 20.0])
def test_first_step_is_the_notebooks_formula(sure, layers, attention_temperature, temperature):
    """L'(0) = tau p (1 - p) (u m' - sinh u), m' = k^2 a (1 - a) / (2 kappa), u = a k / tau."""
    teacher = torch.zeros(1, layers, 2, dtype=torch.float64)
    teacher[0, -1] = torch.tensor([-sure / 2, sure / 2])
    gradient = diagrams.logit_gradient(
        torch.zeros(1, 1, 2, dtype=torch.float64),
        teacher,
        attention_temperature=attention_temperature,
        temperature=temperature,
        detach_attention=False,
    )[0, 0]
    a = 1 / layers
    u = a * sure / temperature
    p = 1 / (1 + math.exp(-u))
    pull = sure**2 * a * (1 - a) / (2 * attention_temperature)
    slope = temperature * p * (1 - p) * (u * pull - math.sinh(u))
    assert float(gradient[1]) == pytest.approx(slope, rel=1e-9)
    assert float(gradient[0]) == pytest.approx(-slope, rel=1e-9)


def test_descent_is_drawn_on_the_loss():
    path = torch.tensor([[[0.0, 0.0]], [[-1.0, 1.0]]])
    teacher = torch.tensor([[[0.0, 0.0], [-2.0, 2.0]]])
    ax = Figure().subplots()
    diagrams.draw_descent(ax, teacher, {"some way": path}, temperature=2.0)
    loss, marks = ax.lines[:2]
    assert marks.get_label() == "some way" and marks.get_xdata().tolist() == [0.0, 2.0]
    heights = []
    for one in path:
        heights.append(float(ukd.intermediate_loss(one[None], teacher, temperature=2.0).loss))
    assert marks.get_ydata().tolist() == pytest.approx(heights)
    assert min(loss.get_ydata()) >= -1e-6


# --- layer maps of committed runs --------------------------------------------------------------


@pytest.fixture(scope="module")
def runs():
    return load_runs(set="synthetic-ild")


@pytest.fixture
def acceptability(runs):
    """The tab of one task."""
    tabs = widgets.layer_maps(runs)
    return tabs.children[tabs.titles.index("acceptability")]


def lists(widget):
    return {one.description: one for one in parts(widget, ipywidgets.Dropdown)}


def test_every_list_of_a_tab_changes_the_picture_and_back(acceptability):
    changes = {"left: method": "mhkd", "right: method": "mhkd", "mean over": "epoch: 2"}
    assert set(lists(acceptability)) == set(changes)
    for label, value in changes.items():
        control = lists(acceptability)[label]
        before = picture(acceptability)
        start = control.value
        control.value = value
        assert picture(acceptability) != before, label
        control.value = start
        assert picture(acceptability) == before, label


def test_a_tab_starts_with_attention_beside_uniform_over_all_examples(acceptability, runs):
    values = [control.value for control in lists(acceptability).values()]
    assert values == ["universal-kd", "uniform", "all"]
    row = runs.of("universal-kd", "acceptability").layer_map()[0]
    most = f"most to teacher layer {row.argmax() + 1} ({row.max():.2f})"
    assert f"<b>universal-kd</b>: Student layer 1 attends {most}" in sentence_of(acceptability)


def test_every_task_has_a_tab_with_its_own_classes(runs):
    tabs = widgets.layer_maps(runs)
    assert list(tabs.titles) == ["acceptability", "entailment"]
    groups = [lists(tab)["mean over"].options for tab in tabs.children]
    assert "class: acceptable" in groups[0] and "class: neutral" in groups[1]
    assert "class: neutral" not in groups[0]


def test_runs_without_layer_maps_are_refused(runs):
    with pytest.raises(ValueError, match="no run has a layer map"):
        widgets.layer_maps(runs.of("kd"))


# --- single examples and sentences -------------------------------------------------------------


def some_weights(students, teachers, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.rand(5, students, teachers, generator=draw).softmax(-1)


def test_single_examples_show_their_text_as_text():
    widget = widgets.example_maps(some_weights(2, 3), [f"text <{n}>" for n in range(1, 6)])
    (number,) = parts(widget, ipywidgets.IntSlider)
    before = picture(widget)
    number.value = 3
    assert picture(widget) != before
    assert "text &lt;3&gt;" in sentence_of(widget) and "<3>" not in sentence_of(widget)
    with pytest.raises(ValueError, match="5 layer maps and 1 texts"):
        widgets.example_maps(some_weights(2, 3), ["one"])


@pytest.fixture(scope="module")
def run(distilled):
    return distilled("universal-kd")


@pytest.fixture(scope="module")
def validation(task, teacher, tiny):
    return tokenized_splits(task, load_tokenizer(teacher.folder), tiny)[2]


@pytest.mark.slow
def test_the_student_of_a_run_predicts_what_its_record_holds(run, task, validation, runtime):
    student, method = sentence_widget.load_student(run, task)
    logits = predict(student, validation, runtime)
    assert logits.shape == (len(validation), 2, 2)
    assert "".join(map(str, logits[:, -1].argmax(-1).tolist())) == run.predictions
    assert method == ukd.get_method("universal-kd")
    assert not any(parameter.requires_grad for parameter in student.parameters())


@pytest.mark.slow
def test_a_sentence_is_predicted_as_in_a_batch(run, task, teacher, validation, runtime):
    student = sentence_widget.load_student(run.folder, task)[0]
    students = predict(student, validation, runtime)
    teachers = predict(teacher.load(task), validation, runtime)
    weights = attention(ukd.get_method("universal-kd"), students, teachers, False)
    predict_layers = sentence_widget.sentence_predictor(teacher, run, task)
    for number in (0, 5):
        alone = predict_layers(task.dataset["validation"][int(validation.rows[number])]["sentence"])
        in_batch = (teachers[number], students[number], weights[number])
        for one, batch in zip(alone, in_batch, strict=True):
            assert torch.allclose(one, batch.to(one), atol=1e-5), "padding changes nothing"


def test_the_drawn_sentence_holds_every_number_and_no_weight_of_the_last_layers():
    teacher = torch.randn(4, 3)
    student = torch.randn(3, 3)
    weights = some_weights(2, 3)[0]
    axes = sentence_widget.sentence_axes(Figure())
    predictions = sentence_widget.LayerPredictions(teacher, student, weights)
    sentence_widget.draw_sentence(axes, predictions, ("yes", "no", "perhaps"))
    expected = (teacher.softmax(-1).T, weights, student.softmax(-1))
    for drawn, right in zip(cell_numbers(axes), expected, strict=True):
        assert torch.allclose(drawn, right.flatten(), atol=0.0051)


def test_values_stand_in_place_of_probabilities_for_regression():
    teacher = torch.randn(4, 1)
    predictions = sentence_widget.LayerPredictions(
        teacher, torch.randn(3, 1), some_weights(1, 4)[0]
    )
    axes = sentence_widget.sentence_axes(Figure())
    sentence_widget.draw_sentence(axes, predictions, None)
    numbers = cell_numbers(axes)
    assert torch.allclose(numbers[0], teacher[:, 0], atol=0.0051)
    assert len(numbers[1]) == 4, "the student's last layer alone, over all of the teacher's"


@pytest.mark.slow
def test_typing_another_sentence_changes_the_picture(run, task, teacher):
    widget = sentence_widget.sentence(teacher, run, task)
    (box,) = parts(widget, ipywidgets.Text)
    assert box.description == "sentence"
    start = box.value
    assert start == task.dataset["validation"][0]["sentence"]
    before = picture(widget)
    box.value = "What a lovely film ."
    assert picture(widget) != before
    assert "Teacher: <b>" in sentence_of(widget) and "tudent layer" in sentence_of(widget)
    box.value = start
    assert picture(widget) == before
    box.value = ""  # nothing but the tokens that every sentence has
    box.value = "word " * 500  # cut as the run's sentences were


@pytest.mark.slow
def test_what_the_sentence_widget_refuses(run, task, teacher, distilled):
    with pytest.raises(ValueError, match="takes 1 text"):
        sentence_widget.sentence(teacher, run, task, "one", "two")
    with pytest.raises(ValueError, match="is of the task sentiment, not acceptability"):
        sentence_widget.load_student(run, ukd.load_task("acceptability"))
    with pytest.raises(ValueError, match="students of kd have no pseudo classifiers"):
        sentence_widget.load_student(distilled("kd"), task)


@pytest.mark.slow
def test_an_answer_takes_one_pass_of_each_network_and_one_picture(
    acceptability, run, task, teacher, monkeypatch
):
    """What makes a widget answer at once: it reads no files, and repeats nothing."""
    (box,) = parts(sentence_widget.sentence(teacher, run, task), ipywidgets.Text)
    done = []

    def counted(name, function):
        def call(*args, **kwargs):
            done.append(name)
            return function(*args, **kwargs)

        return call

    forward = counted("pass", ClassifierWithHeads.forward)
    monkeypatch.setattr(ClassifierWithHeads, "forward", forward)
    monkeypatch.setattr(widgets, "png_bytes", counted("picture", widgets.png_bytes))
    monkeypatch.setattr("builtins.open", counted("open", open))
    box.value = "one film"
    assert done == ["pass", "pass", "picture"]
    done.clear()
    lists(acceptability)["mean over"].value = "epoch: 1"
    assert done == ["picture"]
