"""What layer maps teach, without training: made-up teachers, and the kept logits of one."""

from functools import partial

import pytest
import torch

import ukd
from ukd.analysis.taught import MADE_UP_STUDENTS, head_norms, taught_by_maps, taught_table
from ukd.methods.layer_maps import by_scores, cosine, keys_of_one_norm, query_by_label
from ukd.methods.registry import get_method

LABELS = torch.tensor([0, 1] * 20)


@pytest.fixture(scope="module")
def acceptability():
    return ukd.load_task("acceptability")


@pytest.fixture
def teacher():
    """Layer 1 is always wrong and sure, layer 2 right and half as sure; the last is right."""
    right = torch.nn.functional.one_hot(LABELS, 2).float()
    wrong = 1 - right
    return torch.stack([6 * wrong, 3 * right, 3 * right], 1)


def test_the_dot_product_shows_a_wrong_student_the_layers_that_agree_with_it(
    teacher, acceptability
):
    found = taught_by_maps(teacher, LABELS, acceptability, scores=[-100.0, 100.0])
    attention = found["attention"]
    assert tuple(attention) == tuple(MADE_UP_STUDENTS)
    assert attention["right and sure"][0] == pytest.approx(100.0)
    assert attention["wrong and sure"][0] == pytest.approx(-100.0)
    assert attention["wrong and sure"][1] < 0.01
    # The loudest wins where the student knows nothing: (6 x wrong + 3 x right) / 2.
    expected = torch.tensor([3.0, 1.5]).softmax(0)[1]
    assert attention["knows nothing"][1] == pytest.approx(float(expected), abs=1e-6)
    assert found["uniform"]["wrong and sure"] == attention["knows nothing"]
    for name in ("deepest", "final", "by scores", "query by label"):
        assert [score for score, _ in found[name].values()] == pytest.approx([100.0] * 5), name
    assert len(set(found["query by label"].values())) == 1
    table = taught_table(found)
    assert "| attention " in table and "-100 / 0.00" in table


def test_a_map_of_ones_own_has_a_row_and_values_are_refused(teacher, acceptability):
    def first(student, teacher):
        return torch.tensor([[1.0, 0.0]])

    found = taught_by_maps(teacher, LABELS, acceptability, maps={"first": first})
    assert set(found) == {"first", "query by label", "final"}
    assert found["first"]["right and sure"][0] == pytest.approx(-100.0)
    with pytest.raises(ValueError, match="similarity is a regression task"):
        taught_by_maps(teacher, LABELS, ukd.load_task("similarity"))
    teacher[0, 0, 0] = float("nan")
    with pytest.raises(ValueError, match="not finite"):
        taught_by_maps(teacher, LABELS, acceptability)


def test_the_norm_of_every_head_leaves_out_constants_and_rows_that_were_not_seen(teacher):
    shifted = torch.cat([teacher + 5, torch.full((1, 3, 2), torch.nan)])
    root = 2**-0.5  # of (x, 0) centred: (x / 2, -x / 2)
    assert head_norms(shifted) == pytest.approx([6 * root, 3 * root, 3 * root], abs=1e-5)


def test_cosine_and_keys_of_one_norm_do_not_hear_who_is_loud():
    student = torch.tensor([[[2.0, 0.0]]])
    teacher = torch.tensor([[[1.0, 0.0], [9.0, 0.0], [0.0, 5.0]]])
    for layer_map in (cosine, keys_of_one_norm):
        weights = layer_map(student, teacher)
        torch.testing.assert_close(weights[0, 0, 0], weights[0, 0, 1])
        assert weights[0, 0, 0] > weights[0, 0, 2]
        torch.testing.assert_close(weights.sum(-1), torch.ones(1, 1))
    torch.testing.assert_close(cosine(9 * student, teacher), cosine(student, teacher))
    assert get_method("universal-kd", layer_map=cosine).layer_map.startswith("ukd.methods.layer_")


def test_maps_that_need_more_than_logits_serve_once_they_have_it():
    student, teacher = torch.zeros(2, 2, 3), torch.randn(2, 4, 3)
    scores = partial(by_scores, scores=[0.0, 0.5, 0.5, 0.9])
    weights = ukd.intermediate_loss(student, teacher, layer_map=scores).weights
    expected = torch.tensor([0.0, 5.0, 5.0, 9.0]).softmax(0)
    torch.testing.assert_close(weights, expected.expand(2, 2, 4))
    with pytest.raises(ValueError, match="4 scores for 3 teacher layers"):
        ukd.intermediate_loss(student, teacher[:, 1:], layer_map=scores)
    oracle = partial(query_by_label, labels=torch.tensor([2, 0]))
    weights = ukd.intermediate_loss(student, teacher, layer_map=oracle).weights
    probability = teacher.log_softmax(-1)
    by_hand = torch.stack([probability[0, :, 2], probability[1, :, 0]]).div(0.2).softmax(-1)
    torch.testing.assert_close(weights, by_hand[:, None].expand(2, 2, 4))
