"""The attention against values by hand, a plain loop, and what must not change it."""

import math

import pytest
import torch

import ukd
from ukd.projection import LAYER_MAPS, layer_map_weights

GENERATOR = torch.Generator().manual_seed(0)


def random_logits(layers, classes=3, batch=5, dtype=torch.float64):
    return torch.randn(batch, layers, classes, generator=GENERATOR, dtype=dtype)


def loop(student, teacher, attention_temperature, regression):
    """The definition, one number at a time."""
    batch, s_layers, classes = student.shape
    t_layers = teacher.shape[1]
    weights, mixed = (
        torch.zeros(batch, s_layers, t_layers, dtype=torch.float64),
        torch.zeros_like(student),
    )
    for b in range(batch):
        for s in range(s_layers):
            scores = []
            for t in range(t_layers):
                z_s, z_t = student[b, s].tolist(), teacher[b, t].tolist()
                if regression:
                    scores.append(-((z_s[0] - z_t[0]) ** 2) / attention_temperature)
                else:
                    mean_s, mean_t = sum(z_s) / classes, sum(z_t) / classes
                    scores.append(
                        sum((x - mean_s) * (y - mean_t) for x, y in zip(z_s, z_t, strict=True))
                        / attention_temperature
                    )
            top = max(scores)
            exponents = [math.exp(score - top) for score in scores]
            for t in range(t_layers):
                weights[b, s, t] = exponents[t] / sum(exponents)
                mixed[b, s] += weights[b, s, t] * teacher[b, t]
    return weights, mixed


@pytest.mark.parametrize("regression", [False, True])
@pytest.mark.parametrize("attention_temperature", [0.3, 1.0, 7.0])
def test_equals_the_definition_written_as_loops(attention_temperature, regression):
    classes = 1 if regression else 3
    student, teacher = random_logits(2, classes), random_logits(4, classes)
    weights, mixed = loop(student, teacher, attention_temperature, regression)
    found = ukd.attention_projection(
        student, teacher, attention_temperature=attention_temperature, regression=regression
    )
    torch.testing.assert_close(found.weights, weights)
    torch.testing.assert_close(found.logits, mixed)


def test_by_hand_on_one_student_layer_and_two_teacher_layers():
    student = torch.tensor([[[1.0, -1.0]]])
    teacher = torch.tensor([[[0.5, -0.5], [-0.5, 0.5]]])  # scores 1 and -1
    found = ukd.attention_projection(student, teacher)
    high = 1 / (1 + math.exp(-2))
    torch.testing.assert_close(found.weights, torch.tensor([[[high, 1 - high]]]))
    mixed = 0.5 * high - 0.5 * (1 - high)
    torch.testing.assert_close(found.logits, torch.tensor([[[mixed, -mixed]]]))


def test_a_constant_added_to_one_layers_logits_changes_no_weight():
    student, teacher = random_logits(2), random_logits(4)
    shifted = teacher.clone()
    shifted[:, 1] += 50
    for one, other in (
        (ukd.attention_projection(student, shifted), ukd.attention_projection(student, teacher)),
        (
            ukd.attention_projection(student + 30, teacher),
            ukd.attention_projection(student, teacher),
        ),
    ):
        torch.testing.assert_close(one.weights, other.weights)
        torch.testing.assert_close(one.logits.softmax(-1), other.logits.softmax(-1))


def test_permuting_teacher_layers_permutes_the_weights_and_keeps_the_mixture():
    student, teacher, order = random_logits(2), random_logits(4), [2, 0, 3, 1]
    before, after = (
        ukd.attention_projection(student, teacher),
        ukd.attention_projection(student, teacher[:, order]),
    )
    torch.testing.assert_close(after.weights, before.weights[:, :, order])
    torch.testing.assert_close(after.logits, before.logits)


def test_one_teacher_layer_gets_all_the_weight():
    found = ukd.attention_projection(random_logits(3), random_logits(1))
    assert torch.equal(found.weights, torch.ones(5, 3, 1, dtype=torch.float64))


def test_kappa_large_is_uniform_and_small_picks_one_layer():
    student, teacher = random_logits(2), random_logits(4)
    torch.testing.assert_close(
        ukd.attention_projection(student, teacher, attention_temperature=1e9).weights,
        torch.full((5, 2, 4), 0.25, dtype=torch.float64),
    )
    assert (
        ukd.attention_projection(student, teacher, attention_temperature=1e-9).weights.amax(-1)
        > 0.999
    ).all()


@pytest.mark.parametrize("layer_map", LAYER_MAPS)
def test_every_mapping_gives_weights_that_sum_to_one(layer_map):
    weights = layer_map_weights(random_logits(3), random_logits(11), layer_map)
    assert weights.shape == (5, 3, 11)
    torch.testing.assert_close(weights.sum(-1), torch.ones(5, 3, dtype=torch.float64))
    assert (weights >= 0).all()


@pytest.mark.parametrize(
    ("layer_map", "layers"),
    [("skip", [3, 6, 9]), ("last", [9, 10, 11]), ("reverse", [9, 6, 3]), ("all-to-one", [6, 6, 6])],
)
def test_fixed_mappings_of_twelve_layers_to_four(layer_map, layers):
    weights = layer_map_weights(random_logits(3), random_logits(11), layer_map)
    assert (weights.argmax(-1) + 1).tolist() == [layers] * 5


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_and_returned_in_float32(dtype):
    student, teacher = random_logits(2).to(dtype), random_logits(4).to(dtype)
    found = ukd.attention_projection(student, teacher)
    assert found.weights.dtype == found.logits.dtype == torch.float32
    torch.testing.assert_close(
        found.logits, ukd.attention_projection(student.float(), teacher.float()).logits
    )


def test_autocast_does_not_lower_the_precision():
    student, teacher = random_logits(2).float(), random_logits(4).float()
    with torch.autocast("cpu", torch.bfloat16):
        inside = ukd.attention_projection(student, teacher)
    assert torch.equal(inside.weights, ukd.attention_projection(student, teacher).weights)
    assert torch.equal(inside.logits, ukd.attention_projection(student, teacher).logits)


def test_arguments_are_not_changed():
    student, teacher = random_logits(2), random_logits(4)
    before = student.clone(), teacher.clone()
    ukd.attention_projection(student, teacher)
    assert torch.equal(student, before[0]) and torch.equal(teacher, before[1])


@pytest.mark.parametrize("attention_temperature", [0.0, -1.0, math.inf, math.nan])
def test_a_bad_kappa_is_named(attention_temperature):
    with pytest.raises(ValueError, match="attention_temperature must be finite and positive"):
        ukd.attention_projection(
            random_logits(2), random_logits(4), attention_temperature=attention_temperature
        )


@pytest.mark.parametrize(
    ("student", "teacher", "regression", "message"),
    [
        ((5, 2, 3), (4, 4, 3), False, "batch size: 5 and 4"),
        ((5, 2, 3), (5, 4, 2), False, "classes: 3 and 2"),
        ((5, 2, 1), (5, 4, 1), False, "regression=True"),
        ((5, 2, 3), (5, 4, 3), True, "one output"),
        ((5, 3), (5, 4, 3), False, "batch, layers, classes"),
        ((5, 0, 3), (5, 4, 3), False, "no layers"),
    ],
)
def test_shapes_that_do_not_fit_are_named(student, teacher, regression, message):
    with pytest.raises(ValueError, match=message):
        ukd.attention_projection(torch.zeros(student), torch.zeros(teacher), regression=regression)


@pytest.mark.parametrize(("classes", "regression"), [(3, False), (1, True)])
def test_the_teachers_deepest_layer_asks_whatever_the_student_says(classes, regression):
    teacher = random_logits(4, classes)
    options = {"attention_temperature": 0.7, "regression": regression}
    expected, _ = loop(teacher[:, -1:], teacher, 0.7, regression)
    for student in (random_logits(3, classes), random_logits(3, classes) * 100):
        weights = layer_map_weights(student, teacher, "teacher-query", **options)
        torch.testing.assert_close(weights, expected.expand(-1, 3, -1))
