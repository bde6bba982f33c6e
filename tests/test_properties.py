"""What holds for every shape, size and type of logits: projection, layer maps, losses."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ukd
from ukd.projection import LAYER_MAPS, centre, layer_map_weights

EVERY = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
DENORMAL = 1e-40
SCALES = (0.0, DENORMAL, 1e-6, 1.0, 30.0, 1e4)
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
SMALL = SCALES[:5]


@st.composite
def logits(draw, scales=SCALES, dtypes=DTYPES, regression=None):
    """Student (B, S, C) and teacher (B, T, C), each layer of a size of its own."""
    regression = draw(st.booleans()) if regression is None else regression
    batch, classes = draw(st.integers(1, 4)), 1 if regression else draw(st.integers(2, 6))
    dtype = draw(st.sampled_from(dtypes))
    rng = torch.Generator().manual_seed(draw(st.integers(0, 10**6)))
    sides = []
    for _ in range(2):
        layers = draw(st.integers(1, 5))
        sizes = draw(st.lists(st.sampled_from(scales), min_size=layers, max_size=layers))
        made = torch.randn(batch, layers, classes, generator=rng, dtype=torch.float64)
        sides.append((made * torch.tensor(sizes, dtype=torch.float64)[:, None]).to(dtype))
    return (*sides, regression)


kappas = st.sampled_from([1e-3, 0.2, 1.0, 50.0])
taus = st.sampled_from([0.1, 1.0, 2.0, 20.0])
maps = st.sampled_from(LAYER_MAPS)
on = st.sampled_from(["logits", "losses"])


def computed(dtype):
    """The type in which logits of a type are computed."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def mixed(layers):
    """An order of layers that is not the old one, where there are two."""
    return torch.arange(layers).roll(1)


@EVERY
@given(logits(), kappas, maps)
def test_weights_are_weights(pair, kappa, layer_map):
    student, teacher, regression = pair
    options = {"attention_temperature": kappa, "regression": regression}
    weights = layer_map_weights(student, teacher, layer_map, **options)
    assert weights.shape == (*student.shape[:2], teacher.shape[1])
    assert torch.isfinite(weights).all() and (weights >= 0).all()
    # A half has eight digits of two, so its rows add up to one no closer than that.
    tolerance = 1e-5 if weights.dtype in (torch.float32, torch.float64) else 2e-2
    assert (weights.double().sum(-1) - 1).abs().max() <= tolerance


@EVERY
@given(logits(), kappas)
def test_what_is_seen_lies_between_the_teachers_layers(pair, kappa):
    student, teacher, regression = pair
    options = {"attention_temperature": kappa, "regression": regression}
    seen = ukd.attention_projection(student, teacher, **options).logits
    assert seen.dtype == computed(student.dtype)
    low, high = teacher.to(seen).amin(1, True), teacher.to(seen).amax(1, True)
    slack = 1e-5 * teacher.to(seen).abs().amax().clamp_min(1e-6)
    assert (seen >= low - slack).all() and (seen <= high + slack).all()


@EVERY
@given(logits(scales=SMALL, dtypes=(torch.float64,)), kappas)
def test_teacher_layers_in_another_order_give_weights_in_that_order(pair, kappa):
    student, teacher, regression = pair
    options = {"attention_temperature": kappa, "regression": regression}
    order = mixed(teacher.shape[1])
    before = ukd.attention_projection(student, teacher, **options)
    after = ukd.attention_projection(student, teacher[:, order], **options)
    torch.testing.assert_close(after.weights, before.weights[..., order])
    torch.testing.assert_close(after.logits, before.logits)


def loss_options(layer_map, attention_on, kappa, tau):
    return {
        "layer_map": layer_map,
        "attention_on": attention_on,
        "attention_temperature": kappa,
        "temperature": tau,
    }


@EVERY
@given(logits(scales=SMALL, dtypes=(torch.float64,), regression=False), kappas, maps, on, taus)
def test_classes_in_another_order_change_nothing(pair, kappa, layer_map, attention_on, tau):
    student, teacher, _ = pair
    options = loss_options(layer_map, attention_on, kappa, tau)
    order = mixed(student.shape[-1])
    before = ukd.intermediate_loss(student, teacher, **options)
    after = ukd.intermediate_loss(student[..., order], teacher[..., order], **options)
    # At a small kappa a rounding of large scores moves weights a little.
    torch.testing.assert_close(after.weights, before.weights, atol=1e-7, rtol=1e-7)
    torch.testing.assert_close(after.per_layer, before.per_layer, atol=1e-5, rtol=1e-6)


@EVERY
@given(logits(scales=SMALL, dtypes=(torch.float64,), regression=False), kappas, maps, on, taus)
def test_a_constant_on_a_layers_logits_changes_nothing(pair, kappa, layer_map, attention_on, tau):
    student, teacher, _ = pair
    options = loss_options(layer_map, attention_on, kappa, tau)
    shifts = torch.arange(teacher.shape[1], dtype=torch.float64)[:, None] - 7.0
    before = ukd.intermediate_loss(student, teacher, **options)
    after = ukd.intermediate_loss(student + 3.0, teacher + shifts, **options)
    torch.testing.assert_close(after.weights, before.weights, atol=1e-7, rtol=1e-7)
    torch.testing.assert_close(after.per_layer, before.per_layer, atol=1e-5, rtol=1e-6)


@EVERY
@given(logits(), kappas, maps, on, taus, st.booleans())
def test_losses_and_gradients_are_finite(pair, kappa, layer_map, attention_on, tau, detach):
    student, teacher, regression = pair
    student = student.clone().requires_grad_()
    found = ukd.intermediate_loss(
        student,
        teacher,
        layer_map=layer_map,
        attention_on=attention_on,
        temperature=tau,
        attention_temperature=kappa,
        detach_attention=detach,
        regression=regression,
    )
    last = ukd.kd_loss(student[:, -1], teacher[:, -1], temperature=tau, regression=regression)
    assert found.loss.dtype == last.dtype == computed(student.dtype)
    assert torch.isfinite(found.per_layer).all() and torch.isfinite(last)
    # A sum of rounded terms, each of the size of the largest.
    size = max(1.0, float(student.detach().abs().max()), float(teacher.abs().max()))
    lowest = torch.minimum(found.per_layer.min(), last).detach()
    assert lowest >= -1e-5 * max(tau, tau**2) * size
    if student.dtype != torch.float16:  # whose largest number a gradient may exceed
        (gradient,) = torch.autograd.grad(found.loss + last, student)
        assert torch.isfinite(gradient).all()


@EVERY
@given(logits(), on, taus, kappas)
def test_a_student_that_says_what_it_sees_has_no_loss(pair, attention_on, tau, kappa):
    _, teacher, regression = pair
    one = teacher[:, :1]
    same = ukd.kd_loss(one[:, 0], one[:, 0], temperature=tau, regression=regression)
    options = {"attention_on": attention_on, "temperature": tau, "attention_temperature": kappa}
    found = ukd.intermediate_loss(one, one, regression=regression, **options)
    assert float(same) == float(found.loss) == 0.0


@EVERY
@given(logits(scales=SMALL, regression=False))
def test_centred_logits_have_no_mean_and_the_same_probabilities(pair):
    values = pair[0].to(computed(pair[0].dtype))
    centred = centre(values)
    assert centred.mean(-1).abs().max() <= 1e-4
    torch.testing.assert_close(centred.softmax(-1), values.softmax(-1), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_not_hidden(value):
    student, teacher = torch.zeros(2, 1, 2), torch.zeros(2, 3, 2)
    teacher[0, 1, 0] = value
    assert not torch.isfinite(ukd.intermediate_loss(student, teacher).loss)
