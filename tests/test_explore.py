"""Explorers and what they draw: the numbers are the package's, every control changes the picture, and errors are not lost."""

import math

import ipywidgets
import matplotlib.pyplot as plt
import pytest
import torch
from matplotlib.figure import Figure

import ukd
from ukd import explore
from ukd.diagram import draw_descent, draw_projection, logit_gradient, projection_axes

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
    assert len({control.description for control in found}) == len(found) and all(control.description for control in found)
    assert all(control.readout for control in found if not isinstance(control, ipywidgets.Checkbox))


def test_the_sentence_says_what_the_weights_are(playground):
    (text,) = parts(playground, ipywidgets.HTML)
    row = ukd.attend(STUDENT[None], TEACHER[None]).weights[0, 1]
    assert f"student layer 2 looks most at teacher layer {int(row.argmax()) + 1} ({row.max():.2f})" in text.value
    assert "student layer 3 looks at all alike" in text.value


def test_two_playgrounds_do_not_share_anything_and_leave_no_figure_open():
    open_before = plt.get_fignums()
    first, second = explore.playground(), explore.playground()
    controls(first)[0].value = 8.0
    assert bytes(parts(first, ipywidgets.Image)[0].value) != bytes(parts(second, ipywidgets.Image)[0].value)
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
    draw_projection(axes, STUDENT[:2], TEACHER[:3], kappa=5.0)
    draw_projection(axes, STUDENT, TEACHER)
    draw_projection(fresh, STUDENT, TEACHER)
    assert [ax.get_title() for ax in axes] == [ax.get_title() for ax in fresh]
    assert explore.picture(axes[0].figure) == explore.picture(fresh[0].figure)


def test_logit_gradient_leaves_its_arguments_alone():
    student = STUDENT[None].clone()
    logit_gradient(student, TEACHER[None])
    assert torch.equal(student, STUDENT[None]) and not student.requires_grad and student.grad is None


@pytest.mark.parametrize("tau", [1.0, 2.0])
@pytest.mark.parametrize("kappa", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("layers", [2, 3, 5])
@pytest.mark.parametrize("sure", [1.0, 2.0, 3.0, 4.0, 6.0, 12.0, 20.0])
def test_first_step_is_the_notebooks_formula(sure, layers, kappa, tau):
    """L'(0) = tau p (1 - p) (u m' - sinh u), m' = k^2 a (1 - a) / (2 kappa), u = a k / tau: pushed away where m' > sinh(u) / u."""
    teacher = torch.zeros(1, layers, 2, dtype=torch.float64)
    teacher[0, -1] = torch.tensor([-sure / 2, sure / 2])
    slope = logit_gradient(torch.zeros(1, 1, 2, dtype=torch.float64), teacher, kappa=kappa, tau=tau, attention_grad=True)[0, 0]
    a, u = 1 / layers, sure / layers / tau
    p, rise = 1 / (1 + math.exp(-u)), sure**2 * a * (1 - a) / (2 * kappa)
    assert float(slope[1]) == pytest.approx(tau * p * (1 - p) * (u * rise - math.sinh(u)), rel=1e-9)
    assert float(slope[0]) == pytest.approx(-float(slope[1]), rel=1e-9)


def test_descent_is_drawn_on_the_loss():
    path = torch.tensor([[[0.0, 0.0]], [[-1.0, 1.0]]])
    teacher = torch.tensor([[[0.0, 0.0], [-2.0, 2.0]]])
    loss, marks = draw_descent(Figure().subplots(), teacher, {"some way": path}, tau=2.0).lines[:2]
    assert marks.get_label() == "some way" and marks.get_xdata().tolist() == [0.0, 2.0]
    expected = [float(ukd.intermediate_loss(one[None], teacher, tau=2.0).loss) for one in path]
    assert marks.get_ydata().tolist() == pytest.approx(expected)
    assert min(loss.get_ydata()) >= -1e-6
