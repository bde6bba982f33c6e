"""Pseudo classifiers, the frozen teacher, and the teacher's outputs."""

from dataclasses import replace

import pytest
import torch

import ukd
from ukd.data.batches import tokenized_splits, training_batches
from ukd.heads import ClassifierWithHeads, Frozen, PseudoClassifiers, pooled_hidden_states
from ukd.models.encoders import load_classifier, load_tokenizer
from ukd.training.loop import predict
from ukd.training.teacher import check_min_score
from ukd.training.teacher_cache import cache_teacher
from ukd.training.teacher_heads import fit_heads, fit_pseudo_classifiers


@pytest.fixture
def parts(task, tiny, teacher):
    return tokenized_splits(task, load_tokenizer(teacher.folder), tiny)


def test_one_classifier_per_layer_each_with_its_own_weights():
    heads = PseudoClassifiers(8, 3, 4)
    states = torch.randn(5, 4, 8)
    logits = heads(states)
    assert logits.shape == (5, 4, 3)
    with torch.no_grad():
        heads.weight[2] = 0
    changed = (heads(states) != logits).any(-1).any(0)
    assert changed.tolist() == [False, False, True, False]


def test_a_head_is_normalisation_and_a_linear_map():
    heads = PseudoClassifiers(8, 3, 2)
    states = torch.randn(5, 2, 8)
    by_hand = torch.stack(
        [
            torch.nn.functional.layer_norm(states[:, i], (8,)) @ heads.weight[i] + heads.bias[i]
            for i in range(2)
        ],
        1,
    )
    torch.testing.assert_close(heads(states), by_hand)


def test_the_pooler_is_an_option_that_learns():
    heads = PseudoClassifiers(8, 3, 2, pooler=True)
    heads(torch.randn(5, 2, 8)).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in heads.parameters())


@pytest.mark.parametrize("shape", [(5, 3, 8), (5, 2, 9)])
def test_states_of_another_network_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected states \(B, 2, 8\)"):
        PseudoClassifiers(8, 3, 2)(torch.zeros(shape))


def test_sizes_below_one_are_refused():
    with pytest.raises(ValueError, match="num_layers must be at least 1, got 0"):
        PseudoClassifiers(8, 3, 0)


def test_layer_states_leave_out_the_embeddings_and_the_last_layer(task, teacher):
    hidden = tuple(
        torch.full((2, 6, 4), float(layer)) for layer in range(5)
    )  # embeddings and four layers
    assert pooled_hidden_states(load_classifier(teacher.folder, task, seed=0), hidden, {})[
        0, :, 0
    ].tolist() == [1.0, 2.0, 3.0]


def test_the_last_entry_is_the_networks_own_classifier(task, teacher, parts):
    network = load_classifier(teacher.folder, task, seed=0).eval()
    batch = parts[0].batch([0, 1, 2])
    both = ClassifierWithHeads(network, PseudoClassifiers(16, 2, 3))(**batch.inputs)
    assert both.shape == (3, 4, 2)
    torch.testing.assert_close(both[:, -1], network(**batch.inputs).logits)


def test_padding_changes_no_layers_answer(task, teacher, parts):
    frozen = teacher.load(task)
    shortest = min(range(64), key=parts[0].lengths.__getitem__)
    longest = max(range(64), key=parts[0].lengths.__getitem__)
    alone, padded = (
        frozen(**parts[0].batch([shortest]).inputs),
        frozen(**parts[0].batch([shortest, longest]).inputs),
    )
    torch.testing.assert_close(padded[:1], alone, rtol=1e-4, atol=1e-5)


def test_the_teacher_stays_in_evaluation_mode_and_builds_no_graph(task, teacher, parts):
    frozen = teacher.load(task)
    outer = torch.nn.ModuleDict({"teacher": frozen})
    batch = parts[0].batch([0, 1, 2, 3])
    outer.train()
    first, second = frozen(**batch.inputs), frozen(**batch.inputs)
    assert torch.equal(first, second)
    assert not first.requires_grad and not any(
        parameter.requires_grad for parameter in frozen.parameters()
    )
    awake = frozen.module.train()  # the broken form: dropout on
    assert not torch.equal(awake(**batch.inputs), awake(**batch.inputs))


def test_fitting_reaches_the_optimum_and_all_layers_at_once_equal_each_alone():
    generator = torch.Generator().manual_seed(0)
    states, labels = (
        torch.randn(400, 3, 6, generator=generator),
        torch.randint(0, 2, (400,), generator=generator),
    )
    states[:, 2, 0] += 3 * labels  # the last layer knows the label
    together = fit_pseudo_classifiers(states, labels, 2)
    for layer in range(3):
        alone = fit_pseudo_classifiers(states[:, layer : layer + 1], labels, 2)
        torch.testing.assert_close(together.weight[layer], alone.weight[0], rtol=1e-2, atol=1e-3)
    right = (together(states).argmax(-1) == labels.unsqueeze(1)).float().mean(0)
    assert right[2] > 0.85 > 0.65 > right[0]


def test_fitting_equals_scikit_learn():
    from sklearn.linear_model import LogisticRegression

    generator = torch.Generator().manual_seed(1)
    states, labels = (
        torch.randn(300, 1, 5, generator=generator),
        torch.randint(0, 3, (300,), generator=generator),
    )
    states[:, 0, 1] += labels
    heads = fit_pseudo_classifiers(states, labels, 3, l2=1e-2)
    x = torch.nn.functional.layer_norm(states[:, 0], (5,)).numpy()
    reference = LogisticRegression(C=1 / (2 * 1e-2 * 300), tol=1e-8, max_iter=5000).fit(
        x, labels.numpy()
    )
    ours = heads(states)[:, 0].softmax(-1).detach().numpy()
    assert abs(ours - reference.predict_proba(x)).max() < 2e-3


def test_fitting_values_for_regression():
    states = torch.randn(300, 2, 5, generator=torch.Generator().manual_seed(2))
    labels = torch.nn.functional.layer_norm(states[:, 1], (5,))[:, 0] * 2 + 3
    heads = fit_pseudo_classifiers(states, labels, 1, regression=True, l2=0.0)
    away = (heads(states).squeeze(-1) - labels.unsqueeze(1)).abs().mean(0)
    assert away[1] < 0.01 < away[0]


def test_the_backbone_is_untouched_by_training_the_heads(task, tiny, teacher, runtime, parts):
    before = load_classifier(teacher.folder, task, seed=0).state_dict()
    loaded = teacher.load(task).module.network.state_dict()
    assert all(torch.equal(before[name], loaded[name]) for name in before)
    again = fit_heads(teacher, task, config=tiny, runtime=runtime)
    assert len(again["layers"]) == 4


def test_cached_outputs_equal_live_ones_by_row_after_shuffling_at_another_batch_size(
    task, tiny, teacher, runtime, parts
):
    train = parts[0]
    cached = cache_teacher(teacher, task, "train", train, runtime=runtime)
    frozen = teacher.load(task)
    away = lambda batch, rows: float((cached[rows] - frozen(**batch.inputs)).abs().max())
    batches = list(training_batches(train, 8, seed=7, epoch=3))
    aligned, by_one = (
        max(away(b, rows(b)) for b in batches)
        for rows in (lambda b: b.rows, lambda b: b.rows.roll(1))
    )
    assert aligned < 1e-5 and by_one > 20 * aligned, "and a misalignment by one row shows"


def test_a_row_that_was_never_asked_for_is_not_a_number(task, teacher, runtime, parts):
    cached = cache_teacher(teacher, task, "train", parts[0], runtime=runtime)
    missing = set(range(len(cached))) - set(parts[0].rows.tolist())
    assert missing and cached[sorted(missing)].isnan().all()


def test_another_precision_or_other_rows_are_asked_anew(task, teacher, runtime, parts):
    from ukd.config.paths import cache_folder

    count = lambda: len(list((cache_folder() / "outputs").iterdir()))
    cache_teacher(teacher, task, "train", parts[0], runtime=runtime)
    before = count()
    cache_teacher(teacher, task, "train", parts[0], runtime=runtime)
    assert count() == before
    cache_teacher(teacher, task, "train", parts[0].first(20), runtime=runtime)
    cache_teacher(teacher, task, "train", parts[0], runtime=replace(runtime, precision="bf16"))
    assert count() == before + 2


def test_a_pass_that_is_killed_leaves_nothing_behind(task, teacher, runtime, parts, monkeypatch):
    from ukd.config.paths import cache_folder
    from ukd.training import teacher_cache as outputs

    before = sorted((cache_folder() / "outputs").iterdir())

    def die(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(outputs, "write_json", die)
    with pytest.raises(KeyboardInterrupt):
        cache_teacher(teacher, task, "train", parts[0].first(11), runtime=runtime)
    assert sorted((cache_folder() / "outputs").iterdir()) == before


def test_a_teacher_below_its_floor_stops_or_warns(task, capsys, monkeypatch):
    with pytest.raises(
        ValueError,
        match="the teacher reaches 51.0 on the development part of sentiment, below the floor of 65",
    ):
        check_min_score(task, {"accuracy": 51.0}, enforce=True)
    monkeypatch.delenv("UKD_QUIET")
    check_min_score(task, {"accuracy": 51.0}, enforce=False)
    assert "warning: the teacher reaches 51.0" in capsys.readouterr().err


def test_heads_fitted_on_labels_beat_the_majority_where_heads_without_labels_collapse():
    """Trained against each other without labels, heads on both sides agree on a constant; trained on labels they don't."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    labels = torch.randint(0, 2, (256,), generator=generator)
    states = torch.randn(256, 2, 8, generator=generator)
    states[..., :4] += 2 * labels.view(-1, 1, 1) - 1
    right = lambda heads: (heads(states).argmax(-1) == labels.unsqueeze(1)).float().mean()
    assert right(fit_pseudo_classifiers(states, labels, 2)) > 0.9
    teacher, student = PseudoClassifiers(8, 2, 2), PseudoClassifiers(8, 2, 2)
    solver = torch.optim.Adam([*teacher.parameters(), *student.parameters()], lr=0.05)
    for _ in range(200):
        solver.zero_grad()
        ukd.intermediate_loss(student(states), teacher(states)).loss.backward()
        solver.step()
    assert ukd.intermediate_loss(student(states), teacher(states)).loss < 1e-6, "a perfect match"
    assert right(teacher) < 0.6 and student(states).softmax(-1).std(0).max() < 0.01, (
        "that says the same of every example"
    )


def test_predict_leaves_the_frozen_teacher_frozen(task, teacher, runtime, parts):
    frozen = teacher.load(task)
    assert not predict(frozen, parts[1], runtime).requires_grad
    assert isinstance(frozen, Frozen) and not frozen.module.training
