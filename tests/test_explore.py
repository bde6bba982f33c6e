"""Explorers and what they draw: the numbers are the package's, every control changes the picture, and errors are not lost."""

import json
import math
import time
from dataclasses import asdict

import ipywidgets
import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.figure import Figure

import ukd
from ukd.data.batches import tokenized_splits
from ukd.data.tasks import load_task
from ukd.models.encoders import load_tokenizer
from ukd.teaching import sentence_widget as explorers
from ukd.teaching import widgets as explore
from ukd.teaching.diagrams import draw_descent, draw_projection, logit_gradient, projection_axes
from ukd.training.layer_report import attention
from ukd.training.loop import predict

STUDENT, TEACHER = torch.tensor(explore.STUDENT), torch.tensor(explore.TEACHER)


def parts(widget, kind):
    """All widgets of a kind inside a widget."""
    inside = [one for child in getattr(widget, "children", ()) for one in parts(child, kind)]
    return ([widget] if isinstance(widget, kind) else []) + inside


def controls(widget):
    return parts(widget, (ipywidgets.FloatSlider, ipywidgets.FloatLogSlider, ipywidgets.Checkbox))


@pytest.fixture(scope="module")
def playground():
    return explore.playground()


@pytest.mark.parametrize("number", range(17))
def test_every_control_of_the_playground_changes_the_picture(playground, number):
    (image,), control = parts(playground, ipywidgets.Image), controls(playground)[number]
    before, start = bytes(image.value), control.value
    control.value = not start if isinstance(start, bool) else start + 1.0
    changed = bytes(image.value)
    control.value = start
    assert changed.startswith(b"\x89PNG") and changed != before
    assert bytes(image.value) == before, "the same settings make the same picture"


def test_every_control_is_labelled_and_shows_its_number(playground):
    found = controls(playground)
    assert len(found) == 2 + 1 + 2 * (3 + 4)
    assert len({control.description for control in found}) == len(found) and all(
        control.description for control in found
    )
    assert all(control.readout for control in found if not isinstance(control, ipywidgets.Checkbox))


def test_the_sentence_says_what_the_weights_are(playground):
    (text,) = parts(playground, ipywidgets.HTML)
    row = ukd.attention_projection(STUDENT[None], TEACHER[None]).weights[0, 1]
    assert (
        f"student layer 2 looks most at teacher layer {int(row.argmax()) + 1} ({row.max():.2f})"
        in text.value
    )
    assert "student layer 3 looks at all alike" in text.value


def test_two_playgrounds_do_not_share_anything_and_leave_no_figure_open():
    open_before = plt.get_fignums()
    first, second = explore.playground(), explore.playground()
    controls(first)[0].value = 8.0
    assert bytes(parts(first, ipywidgets.Image)[0].value) != bytes(
        parts(second, ipywidgets.Image)[0].value
    )
    assert plt.get_fignums() == open_before


def test_what_drawing_raises_reaches_whoever_moved_the_control():
    control = explore.slider("value", 1.0, 0.0, 2.0)

    def draw():
        if control.value > 1.5:
            raise ValueError("too much")
        return "fine"

    explore.live(Figure(), draw, [control])
    with pytest.raises(ValueError, match="too much"):
        control.value = 2.0


def drawn(axes):
    """The numbers written in the cells of each of the axes."""
    return [torch.tensor([float(text.get_text()) for text in ax.texts]) for ax in axes]


@pytest.mark.parametrize("options", [{}, {"kappa": 3.0, "tau": 4.0}, {"attention_grad": True}])
def test_the_drawn_projection_is_the_packages(options):
    axes = projection_axes(Figure())
    draw_projection(axes, STUDENT, TEACHER, **options)
    logits = STUDENT[None].clone().requires_grad_()
    found = ukd.intermediate_loss(logits, TEACHER[None], **options)
    found.loss.backward()
    mixture = found.weights[0] @ TEACHER
    for shown, right in zip(drawn(axes), (found.weights, mixture, logits.grad), strict=True):
        assert torch.allclose(shown, right.flatten(), atol=0.0051)
    assert f"{found.loss.item():.3f}" in axes[2].get_xlabel()


def test_drawing_again_is_like_drawing_afresh_for_any_number_of_layers():
    axes, fresh = projection_axes(Figure()), projection_axes(Figure())
    draw_projection(axes, STUDENT[:2], TEACHER[:3], attention_temperature=5.0)
    draw_projection(axes, STUDENT, TEACHER)
    draw_projection(fresh, STUDENT, TEACHER)
    assert [ax.get_title() for ax in axes] == [ax.get_title() for ax in fresh]
    assert explore.picture(axes[0].figure) == explore.picture(fresh[0].figure)


def test_logit_gradient_leaves_its_arguments_alone():
    student = STUDENT[None].clone()
    logit_gradient(student, TEACHER[None])
    assert (
        torch.equal(student, STUDENT[None]) and not student.requires_grad and student.grad is None
    )


@pytest.mark.parametrize("tau", [1.0, 2.0])
@pytest.mark.parametrize("kappa", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("layers", [2, 3, 5])
@pytest.mark.parametrize("sure", [1.0, 2.0, 3.0, 4.0, 6.0, 12.0, 20.0])
def test_first_step_is_the_notebooks_formula(sure, layers, attention_temperature, temperature):
    """L'(0) = tau p (1 - p) (u m' - sinh u), m' = k^2 a (1 - a) / (2 kappa), u = a k / tau: pushed away where m' > sinh(u) / u."""
    teacher = torch.zeros(1, layers, 2, dtype=torch.float64)
    teacher[0, -1] = torch.tensor([-sure / 2, sure / 2])
    slope = logit_gradient(
        torch.zeros(1, 1, 2, dtype=torch.float64),
        teacher,
        attention_temperature=attention_temperature,
        temperature=temperature,
        attention_grad=True,
    )[0, 0]
    a, u = 1 / layers, sure / layers / temperature
    p, rise = 1 / (1 + math.exp(-u)), sure**2 * a * (1 - a) / (2 * attention_temperature)
    assert float(slope[1]) == pytest.approx(
        temperature * p * (1 - p) * (u * rise - math.sinh(u)), rel=1e-9
    )
    assert float(slope[0]) == pytest.approx(-float(slope[1]), rel=1e-9)


def test_descent_is_drawn_on_the_loss():
    path = torch.tensor([[[0.0, 0.0]], [[-1.0, 1.0]]])
    teacher = torch.tensor([[[0.0, 0.0], [-2.0, 2.0]]])
    loss, marks = draw_descent(
        Figure().subplots(), teacher, {"some way": path}, temperature=2.0
    ).lines[:2]
    assert marks.get_label() == "some way" and marks.get_xdata().tolist() == [0.0, 2.0]
    expected = [
        float(ukd.intermediate_loss(one[None], teacher, temperature=2.0).loss) for one in path
    ]
    assert marks.get_ydata().tolist() == pytest.approx(expected)
    assert min(loss.get_ydata()) >= -1e-6


def weights_of(number, students=2, teachers=3):
    return (
        torch.rand(students, teachers, generator=torch.Generator().manual_seed(number))
        .softmax(-1)
        .tolist()
    )


def record(task, name, seed, classes, *, number=0):
    """What of a record the maps are read from; every map is another one."""
    chosen, number = ukd.get_method(name), 100 * number + 10 * seed
    maps = {
        "mean": weights_of(number),
        "by_class": {c: weights_of(number + i) for i, c in enumerate(classes, 1)},
    }
    maps |= {"by_difficulty": {"10": weights_of(number + 4), "2": weights_of(number + 5)}}
    epochs = [{"epoch": n, "attention": weights_of(number + 5 + n)} for n in (1, 2)]
    history = {
        stage.name: {"epochs": epochs if stage.intermediate else [{"epoch": 1}]}
        for stage in chosen.stages
    }
    return {
        "task": task,
        "method": name,
        "seed": seed,
        "settings": {"method": json.loads(json.dumps(asdict(chosen)))},
        "attention": maps if chosen.has_intermediate_loss else None,
        "history": history,
    }


@pytest.fixture(scope="module")
def records():
    classes = {"acceptability": ("no", "yes"), "entailment": ("so", "not", "perhaps")}
    names = ("universal-kd", "uniform", "mhkd", "kd")
    return [
        record(t, n, s, classes[t], number=10 * i + j)
        for i, t in enumerate(classes)
        for j, n in enumerate(names)
        for s in (1, 2)
    ]


def test_a_layer_map_is_the_mean_over_the_seeds_of_the_view_asked_for(records):
    mine = [r for r in records if (r["task"], r["method"]) == ("entailment", "uniform")]
    for view, of in {
        "all examples": lambda r: r["attention"]["mean"],
        "class not": lambda r: r["attention"]["by_class"]["not"],
        "difficulty 10": lambda r: r["attention"]["by_difficulty"]["10"],
        "epoch 2": lambda r: r["history"]["teacher"]["epochs"][1]["attention"],
    }.items():
        expected = torch.tensor([of(r) for r in mine]).mean(0)
        assert torch.allclose(
            torch.tensor(explore.layer_map(records, "entailment", "uniform", view)).float(),
            expected,
        ), view
    assert list(explore.views(mine[0]))[-4:] == [
        "difficulty 2",
        "difficulty 10",
        "epoch 1",
        "epoch 2",
    ], "by number, not by alphabet"
    assert explore.layer_map(records, "entailment", "mhkd", "epoch 1").shape == (2, 3), (
        "whatever the stage is called"
    )


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (("acceptability", "kd"), "kd has no layer map"),
        (("acceptability", "reverse"), "no record of 'reverse'"),
        (("sentiment", "uniform"), "no record of 'uniform' on 'sentiment'"),
        (
            ("acceptability", "uniform", "class perhaps"),
            "choose one of: all examples, class no, class yes",
        ),
    ],
)
def test_a_layer_map_that_is_not_there_is_refused(records, asked, words):
    with pytest.raises(ValueError, match=words):
        explore.layer_map(records, *asked)


@pytest.fixture
def maps(records):
    single = torch.tensor([weights_of(number) for number in range(1000, 1005)])
    return explore.layer_maps(
        records, weights=single, texts=[f"text <{number}>" for number in range(1, 6)]
    )


def found(widget):
    """Its lists and slider by their labels, its picture and its sentence."""
    named = {
        one.description: one for one in parts(widget, (ipywidgets.Dropdown, ipywidgets.IntSlider))
    }
    return named, parts(widget, ipywidgets.Image)[0], parts(widget, ipywidgets.HTML)[0]


def test_every_control_of_the_maps_changes_the_picture_and_back(maps):
    named, image, _ = found(maps)
    assert set(named) == {"task", "left: method", "right: method", "mean over", "single example"}
    for name, value in {
        "left: method": "mhkd",
        "right: method": "mhkd",
        "mean over": "epoch 2",
        "single example": 4,
    }.items():
        before, start = bytes(image.value), named[name].value
        named[name].value = value
        assert bytes(image.value) != before, name
        named[name].value = start
        assert bytes(image.value) == before, name


def test_another_task_brings_its_own_lists_keeps_what_it_can_and_is_drawn_once(maps, records):
    named, image, text = found(maps)
    named["left: method"].value, named["mean over"].value = "mhkd", "difficulty 2"
    pictures = []
    image.observe(lambda change: pictures.append(change["new"]), names="value")
    named["task"].value = "entailment"
    assert len(pictures) == 1 and "class perhaps" in named["mean over"].options
    assert (named["left: method"].value, named["mean over"].value) == ("mhkd", "difficulty 2")
    row = explore.layer_map(records, "entailment", "mhkd", "difficulty 2")[0]
    assert (
        f"<b>mhkd</b>: Student layer 1 looks most at teacher layer {row.argmax() + 1} ({row.max():.2f})"
        in text.value
    )
    named["mean over"].value = "class perhaps"
    named["task"].value = "acceptability"
    assert named["mean over"].value == "all examples", "a class that the task does not have"


def test_single_examples_show_their_text_as_text(maps):
    named, _, text = found(maps)
    named["single example"].value = 3
    assert "text &lt;3&gt;" in text.value and "<3>" not in text.value


def test_maps_without_a_run_at_hand_and_what_is_refused(records):
    named, image, _ = found(explore.layer_maps(records))
    assert "single example" not in named and bytes(image.value).startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="no record with a layer map"):
        explore.layer_maps([r for r in records if r["method"] == "kd"])
    with pytest.raises(ValueError, match="2 maps of single examples and 1 texts"):
        explore.layer_maps(records, weights=torch.ones(2, 1, 1), texts=["one"])


@pytest.fixture(scope="module")
def run(task, teacher, tiny, runtime):
    return ukd.distill(
        task, ukd.get_method("universal-kd"), teacher, config=tiny, seed=1, runtime=runtime
    )


def test_the_student_of_a_run_says_what_its_record_says(run, task, teacher, tiny, runtime):
    student, method = explorers.load_run_student(run, task)
    validation = tokenized_splits(task, load_tokenizer(teacher.folder), tiny)[2]
    said = predict(student, validation, runtime)
    assert said.shape == (len(validation), 2, 2)
    assert "".join(map(str, said[:, -1].argmax(-1).tolist())) == run["predicted"]
    assert method == ukd.get_method("universal-kd") and not any(
        p.requires_grad for p in student.parameters()
    )


def test_a_sentence_is_asked_as_a_batch_is(run, task, teacher, tiny, runtime):
    validation = tokenized_splits(task, load_tokenizer(teacher.folder), tiny)[2]
    both = [
        predict(network, validation, runtime)
        for network in (teacher.load(task), explorers.load_run_student(run["folder"], task)[0])
    ]
    weights = attention(ukd.get_method("universal-kd"), both[1], both[0], False)
    ask = explorers.sentence_asker(teacher, run, task)
    for number in (0, 5):
        alone = ask(task.dataset["validation"][number]["sentence"])
        for one, batch in zip(
            alone, (both[0][number], both[1][number], weights[number]), strict=True
        ):
            assert torch.allclose(one, batch.to(one), atol=1e-5), "padding changes nothing"


def test_the_drawn_sentence_holds_every_number_and_no_weight_of_the_last_layers():
    theirs, ours = torch.randn(4, 3), torch.randn(3, 3)
    weights = torch.tensor(weights_of(1, 2, 3))
    axes = explorers.draw_sentence(
        explorers.sentence_axes(Figure()), theirs, ours, weights, ("yes", "no", "perhaps")
    )
    for shown, right in zip(
        drawn(axes), (theirs.softmax(-1).T, weights, ours.softmax(-1)), strict=True
    ):
        assert torch.allclose(shown, right.flatten(), atol=0.0051)
    values = explorers.draw_sentence(
        axes, theirs[:, :1], ours[:, :1], torch.tensor(weights_of(2, 1, 4)), None
    )
    assert torch.allclose(drawn(values)[0], theirs[:, 0], atol=0.0051), (
        "values, where there are no classes"
    )
    assert len(drawn(values)[1]) == 4, "the student's last layer alone, over all of the teacher's"


def test_typing_another_sentence_changes_the_picture(run, task, teacher):
    widget = explorers.sentence(teacher, run, task)
    (box,), (image,), (text,) = (
        parts(widget, kind) for kind in (ipywidgets.Text, ipywidgets.Image, ipywidgets.HTML)
    )
    assert box.description == "sentence" and box.value == task.dataset["validation"][0]["sentence"]
    before, start = bytes(image.value), box.value
    box.value = "What a lovely film ."
    assert (
        bytes(image.value) != before
        and "Teacher: <b>" in text.value
        and "student layer" in text.value.lower()
    )
    box.value = start
    assert bytes(image.value) == before
    box.value = ""  # nothing but the tokens that every sentence has
    box.value = "word " * 500  # cut as the run's sentences were


def test_sentences_that_can_not_be_asked_are_refused(run, task, teacher, tiny, runtime):
    with pytest.raises(ValueError, match="takes 1 text"):
        explorers.sentence(teacher, run, task, "one", "two")
    with pytest.raises(ValueError, match="is of the task sentiment, not acceptability"):
        explorers.load_run_student(run, load_task("acceptability"))
    plain = ukd.distill(task, ukd.get_method("kd"), teacher, config=tiny, seed=1, runtime=runtime)
    with pytest.raises(ValueError, match="students of kd have no pseudo classifiers"):
        explorers.load_run_student(plain, task)


def test_the_explorers_answer_at_once(maps, run, task, teacher):
    named, _, _ = found(maps)
    (box,) = parts(explorers.sentence(teacher, run, task), ipywidgets.Text)

    def seconds(control, value):
        start = time.process_time()
        control.value = value
        return time.process_time() - start

    views, texts = ("epoch 1", "class yes", "epoch 2"), ("one film", "two films", "three")
    for control, values in ((named["mean over"], views), (box, texts)):
        assert min(seconds(control, value) for value in values) < 0.4, (
            "a fifth of a second on a quiet core, with room for slow ones"
        )
