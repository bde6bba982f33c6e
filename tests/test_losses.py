"""The losses against values by hand, a plain loop, and each known way to get them wrong."""

import math

import pytest
import torch
import torch.nn.functional as F

import ukd
from ukd.losses import ATTENTION_ON
from ukd.projection import LAYER_MAPS, layer_map_weights

GENERATOR = torch.Generator().manual_seed(0)
STUDENT = torch.tensor([[0.2, -0.4, 1.0], [1.5, 0.0, -0.5]], dtype=torch.float64)
TEACHER = torch.tensor([[2.0, 0.5, -1.0], [0.3, 0.1, 0.4]], dtype=torch.float64)


def random_logits(*shape):
    return torch.randn(*shape, generator=GENERATOR, dtype=torch.float64)


def kl_by_hand(student, teacher, temperature):
    """tau^2 KL(teacher || student) of two lists, with exp and log alone."""

    def soft(z):
        total = sum(math.exp(y / temperature) for y in z)
        return [math.exp(x / temperature) / total for x in z]

    return temperature**2 * sum(
        p * math.log(p / q) for p, q in zip(soft(teacher), soft(student), strict=True)
    )


# --- the ways to get KD wrong: each check passes ours and must fail the broken form --------------


def without_tau_squared(student, teacher, *, temperature):
    return ukd.kd_loss(student, teacher, temperature=temperature) / temperature**2


def mean_over_classes_too(student, teacher, *, temperature):
    return temperature**2 * F.kl_div(
        F.log_softmax(student / temperature, -1),
        F.softmax(teacher / temperature, -1),
        reduction="mean",
    )


def mean_taken_twice(student, teacher, *, temperature):
    return ukd.kd_loss(student, teacher, temperature=temperature) / len(student)


def squared_error_of_softmaxes(student, teacher, *, temperature):
    return (
        temperature**2
        * ((student / temperature).softmax(-1) - (teacher / temperature).softmax(-1))
        .square()
        .sum(-1)
        .mean()
    )


def handwritten_softmax(student, teacher, *, temperature):
    def soft(z):
        return (z / temperature).exp() / (z / temperature).exp().sum(-1, keepdim=True)

    return (
        temperature**2
        * (soft(teacher) * (soft(teacher).log() - soft(student).log())).sum(-1).mean()
    )


def soft_target_without_log(student, teacher, *, temperature):
    log_p = F.log_softmax(teacher / temperature, -1)
    return (
        temperature**2
        * (log_p.exp() * (log_p.exp().log() - F.log_softmax(student / temperature, -1)))
        .sum(-1)
        .mean()
    )


def check_gradient_scale(loss):
    """For large tau the gradient hardly depends on tau (Hinton et al. 2015)."""
    sizes = []
    for temperature in (20.0, 40.0):
        student = STUDENT.clone().requires_grad_()
        loss(student, TEACHER, temperature=temperature).backward()
        sizes.append(student.grad.norm().item())
    assert 0.9 < sizes[0] / sizes[1] < 1.1


def check_value_by_hand(loss):
    expected = (
        kl_by_hand(STUDENT[0].tolist(), TEACHER[0].tolist(), 2.0)
        + kl_by_hand(STUDENT[1].tolist(), TEACHER[1].tolist(), 2.0)
    ) / 2
    assert float(loss(STUDENT, TEACHER, temperature=2.0)) == pytest.approx(expected, rel=1e-9)


def check_repeated_batch(loss):
    once, twice = (
        loss(STUDENT, TEACHER, temperature=2.0),
        loss(STUDENT.repeat(2, 1), TEACHER.repeat(2, 1), temperature=2.0),
    )
    assert float(once) == pytest.approx(float(twice), rel=1e-9)


def check_large_logits(loss):
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        student = (1e4 * torch.tensor([[1.0, -1.0], [-1.0, 1.0]])).to(dtype).requires_grad_()
        teacher = (1e4 * torch.tensor([[-1.0, 1.0], [-1.0, 1.0]])).to(dtype).requires_grad_()
        value = loss(student, teacher, temperature=1.0)
        value.backward()
        assert value.isfinite() and student.grad.isfinite().all() and teacher.grad.isfinite().all()


@pytest.mark.parametrize(
    ("check", "broken"),
    [
        (check_gradient_scale, without_tau_squared),
        (check_value_by_hand, mean_over_classes_too),
        (check_repeated_batch, mean_taken_twice),
        (check_value_by_hand, squared_error_of_softmaxes),
        (check_large_logits, handwritten_softmax),
        (check_large_logits, soft_target_without_log),
    ],
)
def test_kd_is_right_and_the_check_fails_the_broken_form(check, broken):
    check(ukd.kd_loss)
    with pytest.raises(AssertionError):
        check(broken)


def test_kd_is_zero_for_equal_predictions_and_never_negative():
    assert float(ukd.kd_loss(TEACHER, TEACHER + 3, temperature=2.0)) == pytest.approx(0, abs=1e-12)
    assert all(
        float(ukd.kd_loss(random_logits(4, 3), random_logits(4, 3), temperature=1.0)) > 0
        for _ in range(20)
    )


def test_kd_for_regression_is_the_squared_error():
    assert (
        float(
            ukd.kd_loss(
                torch.tensor([[1.0], [3.0]]),
                torch.tensor([[2.0], [1.0]]),
                temperature=5.0,
                regression=True,
            )
        )
        == 2.5
    )


@pytest.mark.parametrize("temperature", [0.0, -2.0, math.inf, math.nan])
def test_a_bad_tau_is_named(temperature):
    with pytest.raises(ValueError, match="temperature must be finite and positive"):
        ukd.kd_loss(STUDENT, TEACHER, temperature=temperature)
    with pytest.raises(ValueError, match="temperature must be finite and positive"):
        ukd.intermediate_loss(
            random_logits(2, 2, 3), random_logits(2, 4, 3), temperature=temperature
        )


def test_kd_refuses_what_does_not_fit():
    for student, teacher, message in (
        (STUDENT, TEACHER[:1], "batch size: 2 and 1"),
        (STUDENT, TEACHER[:, :2], "classes: 3 and 2"),
        (STUDENT[:, :1], TEACHER[:, :1], "regression=True"),
        (STUDENT.unsqueeze(0), TEACHER, "batch, classes"),
    ):
        with pytest.raises(ValueError, match=message):
            ukd.kd_loss(student, teacher, temperature=1.0)


# --- the intermediate loss ------------------------------------------------------------------------


def loop(student, teacher, layer_map, attention_on, temperature, attention_temperature, regression):
    """The definition by Python loops; weights (checked elsewhere) are taken as given."""
    weights = layer_map_weights(
        student,
        teacher,
        layer_map,
        attention_temperature=attention_temperature,
        regression=regression,
    )
    away = (
        (lambda s, t: (s[0] - t[0]) ** 2)
        if regression
        else (lambda s, t: kl_by_hand(s, t, temperature))
    )
    per_layer = []
    for s in range(student.shape[1]):
        total = 0.0
        for b in range(student.shape[0]):
            row = weights[b, s].tolist()
            if attention_on == "logits":
                mixed = sum(w * teacher[b, t] for t, w in enumerate(row))
                total += away(student[b, s].tolist(), mixed.tolist())
            else:
                total += sum(
                    w * away(student[b, s].tolist(), teacher[b, t].tolist())
                    for t, w in enumerate(row)
                )
        per_layer.append(total / student.shape[0])
    return per_layer


@pytest.mark.parametrize("regression", [False, True])
@pytest.mark.parametrize("attention_on", ATTENTION_ON)
@pytest.mark.parametrize("layer_map", LAYER_MAPS)
def test_equals_the_definition_written_as_loops(layer_map, attention_on, regression):
    classes = 1 if regression else 3
    student, teacher = random_logits(4, 2, classes), random_logits(4, 5, classes)
    found = ukd.intermediate_loss(
        student,
        teacher,
        layer_map=layer_map,
        attention_on=attention_on,
        temperature=1.7,
        attention_temperature=0.6,
        regression=regression,
    )
    expected = loop(student, teacher, layer_map, attention_on, 1.7, 0.6, regression)
    assert found.per_layer.tolist() == pytest.approx(expected, rel=1e-9)
    assert float(found.loss) == pytest.approx(sum(expected) / 2, rel=1e-9)
    assert found.weights.shape == (4, 2, 5)


def test_with_one_teacher_layer_both_ways_to_combine_are_kd():
    student, teacher = random_logits(4, 1, 3), random_logits(4, 1, 3)
    expected = float(ukd.kd_loss(student[:, 0], teacher[:, 0], temperature=3.0))
    for attention_on in ATTENTION_ON:
        assert float(
            ukd.intermediate_loss(student, teacher, attention_on=attention_on, temperature=3.0).loss
        ) == pytest.approx(expected, rel=1e-9)


def test_on_one_by_one_weights_attention_on_logits_is_below_attention_on_losses():
    """KL to the mean of the logits, by hand for uniform weights."""
    student, teacher = torch.zeros(1, 1, 2), torch.tensor([[[2.0, -2.0], [-2.0, 2.0]]])
    on_logits = ukd.intermediate_loss(student, teacher, layer_map="uniform", attention_on="logits")
    on_losses = ukd.intermediate_loss(student, teacher, layer_map="uniform", attention_on="losses")
    assert float(on_logits.loss) == pytest.approx(
        0, abs=1e-6
    )  # the mixture of opposite logits knows nothing
    assert float(on_losses.loss) == pytest.approx(
        kl_by_hand([0.0, 0.0], [2.0, -2.0], 1.0), rel=1e-5
    )


def gradients(**options):
    student = random_logits(4, 2, 3).requires_grad_()
    teacher = torch.linspace(-2, 2, 60, dtype=torch.float64).reshape(4, 5, 3).sin()
    student.data = torch.linspace(-1, 3, 24, dtype=torch.float64).reshape(4, 2, 3).cos()
    ukd.intermediate_loss(student, teacher, **options).loss.backward()
    return student.grad


@pytest.mark.parametrize("attention_on", ATTENTION_ON)
def test_the_gradient_through_the_attention_can_be_stopped(attention_on):
    assert not torch.allclose(
        gradients(attention_on=attention_on, detach_attention=False),
        gradients(attention_on=attention_on, detach_attention=True),
    )
    fixed = [
        gradients(attention_on=attention_on, layer_map="uniform", detach_attention=flag)
        for flag in (True, False)
    ]
    assert torch.equal(*fixed)


@pytest.mark.parametrize("regression", [False, True])
@pytest.mark.parametrize("detach_attention", [True, False])
@pytest.mark.parametrize("attention_on", ATTENTION_ON)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_logits_of_ten_thousand_give_finite_losses_and_gradients(
    dtype, attention_on, detach_attention, regression
):
    signs = (
        torch.tensor([[[1.0], [-1.0]], [[-1.0], [1.0]]])
        if regression
        else torch.tensor([[[1.0, -1], [-1, 1]], [[-1, 1], [1, 1]]])
    )
    student = (1e4 * signs).to(dtype).requires_grad_()
    teacher = (-1e4 * signs.repeat(1, 2, 1)).to(dtype)
    found = ukd.intermediate_loss(
        student,
        teacher,
        attention_on=attention_on,
        detach_attention=detach_attention,
        regression=regression,
    )
    found.loss.backward()
    assert (
        found.loss.isfinite() and found.per_layer.isfinite().all() and student.grad.isfinite().all()
    )
    assert found.loss.dtype == found.per_layer.dtype == found.weights.dtype == torch.float32


def test_float64_stays_float64():
    found = ukd.intermediate_loss(random_logits(2, 2, 3), random_logits(2, 4, 3))
    assert found.loss.dtype == found.per_layer.dtype == found.weights.dtype == torch.float64
    assert ukd.kd_loss(STUDENT, TEACHER, temperature=1.0).dtype == torch.float64


def test_unknown_names_list_the_valid_ones():
    with pytest.raises(ValueError, match="unknown layer map 'atention'.*attention, teacher-query"):
        ukd.intermediate_loss(random_logits(2, 2, 3), random_logits(2, 4, 3), layer_map="atention")
    with pytest.raises(ValueError, match="unknown attention_on 'sum'.*logits, losses"):
        ukd.intermediate_loss(random_logits(2, 2, 3), random_logits(2, 4, 3), attention_on="sum")


@pytest.mark.parametrize(
    ("logits", "labels", "regression", "error"),
    [
        ((4, 1), torch.rand(4, 1), True, r"got \(4, 1\), \(4, 1\)"),  # would be 16 differences
        ((4,), torch.rand(4), True, "logits must be .batch, classes."),
        ((4, 4), torch.rand(4), True, "one output .C = 1., got C = 4"),
        ((4, 4, 1), torch.rand(4), True, "labels .batch,."),
        ((4, 1), torch.zeros(4).long(), False, "pass regression=True"),  # would be 0
        ((4, 3), torch.rand(4, 3), False, "labels .batch,."),  # would be soft labels
        ((4, 3, 5), torch.ones(4, 5).long(), False, "labels .batch,."),  # layers as classes
    ],
)
def test_labels_that_do_not_fit_the_logits_are_refused(logits, labels, regression, error):
    with pytest.raises((ValueError, IndexError), match=error):
        ukd.label_loss(torch.rand(logits), labels, regression=regression)


@pytest.mark.parametrize("layer_map", LAYER_MAPS)
def test_whole_logits_give_what_the_same_values_give_in_float32(layer_map):
    student = (9 * random_logits(4, 2, 3)).long()
    teacher = (9 * random_logits(4, 5, 3)).long()
    found = ukd.intermediate_loss(student, teacher, layer_map=layer_map)
    expected = ukd.intermediate_loss(student.float(), teacher.float(), layer_map=layer_map)
    assert torch.equal(found.weights, expected.weights)
    assert torch.equal(found.loss, expected.loss) and found.loss > 0


@pytest.mark.parametrize("layer_map", LAYER_MAPS)
@pytest.mark.parametrize(
    ("student", "error"),
    [
        ((5, 3), "must be .batch, layers, classes."),
        ((4, 2, 3), "differ in batch size: 4 and 5"),
        ((5, 2, 4), "differ in classes: 4 and 3"),
    ],
)
def test_every_layer_map_refuses_logits_of_other_sizes(layer_map, student, error):
    with pytest.raises(ValueError, match=error):
        ukd.layer_map_weights(random_logits(*student), random_logits(5, 7, 3), layer_map)


def test_on_values_attention_on_losses_has_the_gradient_of_attention_on_logits():
    gradients = []
    for attention_on in ("logits", "losses"):
        student = torch.tensor([[[0.5], [2.0]]], dtype=torch.float64, requires_grad=True)
        teacher = torch.tensor([[[1.0], [1.5], [3.0]]], dtype=torch.float64)
        loss = ukd.intermediate_loss(student, teacher, attention_on=attention_on, regression=True)
        gradients.append(torch.autograd.grad(loss.loss, student)[0])
    torch.testing.assert_close(*gradients)


def test_label_loss_by_hand():
    assert float(ukd.label_loss(torch.tensor([[0.0, 0.0]]), torch.tensor([1]))) == pytest.approx(
        math.log(2)
    )
    assert (
        float(
            ukd.label_loss(torch.tensor([[1.0], [2.0]]), torch.tensor([0.0, 4.0]), regression=True)
        )
        == 2.5
    )


@pytest.mark.parametrize(
    ("confidence", "options", "towards"),
    [
        (
            5.0,
            {"detach_attention": False},
            False,
        ),  # a confident layer repels the student, which looks away from it
        (5.0, {}, True),
        (5.0, {"detach_attention": False, "kappa": 10.0}, True),
        (
            2.0,
            {"detach_attention": False},
            True,
        ),  # and a layer that is less sure of itself does not
    ],
)
def test_a_confident_teacher_layer_repels_a_student_that_may_move_its_attention(
    confidence, options, towards
):
    """One of five teacher layers knows the label: logit difference k, weight a = 1/5.

    A student that knows nothing is drawn to it, unless the gradient flows through the attention and
    k^2 a (1 - a) / (2 kappa) > sinh(u) / u with u = a k / tau. Then looking away lowers the loss
    faster than agreeing does.
    """
    teacher = torch.zeros(1, 5, 2)
    teacher[0, 3] = torch.tensor([-confidence / 2, confidence / 2])
    student = torch.zeros(1, 1, 2, requires_grad=True)
    ukd.intermediate_loss(student, teacher, **options).loss.backward()
    step = -student.grad[0, 0]
    assert (float(step[1] - step[0]) > 0) is towards
    weight, u = 0.2, 0.2 * confidence
    pull = confidence**2 * weight * (1 - weight) / (2 * options.get("kappa", 1.0))
    assert towards is (options.get("detach_attention", True) or pull < math.sinh(u) / u)


# --- a layer map of one's own, and other names of options ----------------------------------------


def two_deepest(student, teacher):
    """Half of each of the two deepest teacher layers."""
    weights = torch.zeros(student.shape[1], teacher.shape[1], dtype=teacher.dtype)
    weights[:, -2:] = 0.5
    return weights


def test_any_function_serves_as_a_layer_map():
    student, teacher = random_logits(4, 3, 2), random_logits(4, 6, 2)
    found = ukd.intermediate_loss(student, teacher, layer_map=two_deepest, temperature=2.0)
    target = teacher[:, -2:].mean(1)
    expected = [ukd.kd_loss(student[:, s], target, temperature=2.0) for s in range(3)]
    assert found.weights.shape == (4, 3, 6)
    torch.testing.assert_close(found.per_layer, torch.stack(expected))


def test_a_function_that_gives_the_attention_is_the_attention():
    student, teacher = random_logits(4, 3, 2), random_logits(4, 6, 2)

    def attention(student, teacher):
        return ukd.attention_projection(student, teacher).weights

    ours = ukd.intermediate_loss(student, teacher, layer_map=attention)
    named = ukd.intermediate_loss(student, teacher, layer_map="attention")
    assert torch.equal(ours.loss, named.loss)


def weights_of(**changes):
    def layer_map(student, teacher):
        weights = torch.full((student.shape[1], teacher.shape[1]), 1 / teacher.shape[1])
        for position, value in changes.items():
            weights[int(position[1:]), 0] = value
        return weights

    return layer_map


@pytest.mark.parametrize(
    ("layer_map", "message"),
    [
        (weights_of(r0=0.9), "do not sum to one .*divide by their sum"),
        (weights_of(r1=float("nan")), "not finite"),
        (weights_of(r2=-0.1), "negative weights: take a softmax"),
        (lambda student, teacher: torch.ones(2, 6) / 6, r"\(B, S, T\) = \(4, 3, 6\), got \(2, 6\)"),
        (lambda student, teacher: [1.0], "must return a tensor, got list"),
    ],
)
def test_weights_that_are_none_are_refused(layer_map, message):
    with pytest.raises(ValueError, match=message):
        ukd.intermediate_loss(random_logits(4, 3, 2), random_logits(4, 6, 2), layer_map=layer_map)


def test_the_papers_symbols_are_other_names_of_the_options():
    student, teacher = random_logits(4, 3, 2), random_logits(4, 6, 2)
    symbols = {"tau": 3.0, "kappa": 0.5, "mapping": "attention", "combine": "losses"}
    names = {
        "temperature": 3.0,
        "attention_temperature": 0.5,
        "layer_map": "attention",
        "attention_on": "losses",
    }
    ours = ukd.intermediate_loss(student, teacher, **symbols).loss
    assert torch.equal(ours, ukd.intermediate_loss(student, teacher, **names).loss)
    last = (student[:, -1], teacher[:, -1])
    assert torch.equal(ukd.kd_loss(*last, tau=3.0), ukd.kd_loss(*last, temperature=3.0))
    attended = ukd.attend(student, teacher, kappa=0.5).weights
    projected = ukd.attention_projection(student, teacher, attention_temperature=0.5).weights
    assert torch.equal(attended, projected)
    with pytest.raises(TypeError, match="tau is another name of temperature"):
        ukd.kd_loss(*last, tau=3.0, temperature=3.0)


def test_final_is_supervision_by_the_teachers_own_last_layer():
    student, teacher = random_logits(4, 3, 2), random_logits(4, 6, 2)
    found = ukd.intermediate_loss(student, teacher, layer_map="deepest", temperature=2.0)
    expected = [ukd.kd_loss(student[:, s], teacher[:, -1], temperature=2.0) for s in range(3)]
    torch.testing.assert_close(found.per_layer, torch.stack(expected))
    assert ukd.METHODS["final"].teacher_layers == "all"
    assert ukd.METHODS["deepest"].teacher_layers == "intermediate"
