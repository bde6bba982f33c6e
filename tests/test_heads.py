"""Pseudo classifiers, the frozen teacher, and how the teacher's heads are fitted."""

import shutil
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from datasets import DatasetDict
from sklearn.linear_model import LogisticRegression

import ukd
from ukd.data.batches import tokenized_splits, training_batches
from ukd.data.tasks import fingerprint
from ukd.heads import (
    ClassifierWithHeads,
    Frozen,
    PseudoClassifiers,
    pool,
    pooled_hidden_states,
)
from ukd.models.encoders import load_classifier, load_tokenizer
from ukd.training.loop import predict
from ukd.training.scoring import check_min_score
from ukd.training.teacher_cache import cache_teacher, online_logits
from ukd.training.teacher_heads import NEWTON_CLASSES, fit_heads, fit_pseudo_classifiers

LABELS = torch.arange(40) % 3


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
    by_hand = []
    for layer in range(2):
        x = F.layer_norm(states[:, layer], (8,))
        by_hand.append(x @ heads.weight[layer] + heads.bias[layer])
    torch.testing.assert_close(heads(states), torch.stack(by_hand, 1))


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


def test_pooled_states_leave_out_the_embeddings_and_the_last_layer(task, teacher):
    # Embeddings and four layers.
    hidden = tuple(torch.full((2, 6, 4), float(layer)) for layer in range(5))
    network = load_classifier(teacher.folder, task, seed=0)
    pooled = pooled_hidden_states(network, hidden, {})
    assert pooled[0, :, 0].tolist() == [1.0, 2.0, 3.0]


def test_the_last_entry_is_the_networks_own_classifier(task, teacher, parts):
    network = load_classifier(teacher.folder, task, seed=0).eval()
    batch = parts[0].batch([0, 1, 2])
    heads = PseudoClassifiers(network.config.hidden_size, 2, 3)
    both = ClassifierWithHeads(network, heads)(**batch.inputs)
    assert both.shape == (3, 4, 2)
    torch.testing.assert_close(both[:, -1], network(**batch.inputs).logits)


def test_padding_changes_no_layers_answer(task, teacher, parts):
    frozen = teacher.load(task)
    shortest = min(range(64), key=parts[0].lengths.__getitem__)
    longest = max(range(64), key=parts[0].lengths.__getitem__)
    alone = frozen(**parts[0].batch([shortest]).inputs)
    padded = frozen(**parts[0].batch([shortest, longest]).inputs)
    torch.testing.assert_close(padded[:1], alone, rtol=1e-4, atol=1e-5)


def test_the_teacher_stays_in_evaluation_mode_and_builds_no_graph(task, teacher, parts):
    frozen = teacher.load(task)
    outer = torch.nn.ModuleDict({"teacher": frozen})
    batch = parts[0].batch([0, 1, 2, 3])
    outer.train()
    first = frozen(**batch.inputs)
    second = frozen(**batch.inputs)
    assert torch.equal(first, second) and not first.requires_grad
    assert not any(parameter.requires_grad for parameter in frozen.parameters())
    awake = frozen.module.train()  # the broken form: dropout on
    assert not torch.equal(awake(**batch.inputs), awake(**batch.inputs))


# --- fitting ---


def test_fitting_reaches_the_optimum_and_all_layers_at_once_equal_each_alone():
    rng = torch.Generator().manual_seed(0)
    states = torch.randn(400, 3, 6, generator=rng)
    labels = torch.randint(0, 2, (400,), generator=rng)
    states[:, 2, 0] += 3 * labels  # the last layer knows the label
    together = fit_pseudo_classifiers(states, labels, 2)
    for layer in range(3):
        alone = fit_pseudo_classifiers(states[:, layer : layer + 1], labels, 2)
        torch.testing.assert_close(together.weight[layer], alone.weight[0], rtol=1e-2, atol=1e-3)
    right = (together(states).argmax(-1) == labels.unsqueeze(1)).float().mean(0)
    assert right[2] > 0.85 > 0.65 > right[0]


@pytest.mark.parametrize("classes", [3, NEWTON_CLASSES, NEWTON_CLASSES + 1, 20])
def test_fitting_equals_scikit_learn(classes):
    """On both sides of the number of classes where the solver changes."""
    rng = torch.Generator().manual_seed(1)
    count = 1000
    states = torch.randn(count, 1, 24, generator=rng)
    labels = torch.randint(0, classes, (count,), generator=rng)
    states[:, 0] += torch.randn(classes, 24, generator=rng)[labels]
    # One direction that all examples share, as real states have it.
    states[:, 0] += 4 * torch.randn(24, generator=rng)
    heads = fit_pseudo_classifiers(states, labels, classes, l2=1e-3)
    x = F.layer_norm(states[:, 0], (24,)).double().numpy()
    inverse_penalty = 1 / (2 * 1e-3 * count)
    reference = LogisticRegression(C=inverse_penalty, tol=1e-8, max_iter=20_000)
    expected = reference.fit(x, labels.numpy()).predict_proba(x)
    ours = heads(states)[:, 0].softmax(-1).detach().numpy()
    assert abs(ours - expected).max() < 1e-3


def test_both_solvers_find_one_optimum(monkeypatch):
    rng = torch.Generator().manual_seed(2)
    states = torch.randn(300, 2, 16, generator=rng)
    labels = torch.randint(0, 4, (300,), generator=rng)
    newton = fit_pseudo_classifiers(states, labels, 4)
    monkeypatch.setattr("ukd.training.teacher_heads.NEWTON_CLASSES", 1)
    quasi = fit_pseudo_classifiers(states, labels, 4)
    # Equal biases for all classes change nothing, so that logits may differ by a constant.
    expected = newton(states).softmax(-1)
    torch.testing.assert_close(quasi(states).softmax(-1), expected, rtol=1e-3, atol=1e-4)
    assert not torch.equal(newton.weight, quasi.weight)


def test_a_class_without_examples_is_never_predicted():
    rng = torch.Generator().manual_seed(3)
    states = torch.randn(200, 1, 8, generator=rng)
    labels = torch.randint(0, 11, (200,), generator=rng)
    probabilities = fit_pseudo_classifiers(states, labels, 12)(states).softmax(-1)
    assert probabilities.isfinite().all() and probabilities[..., 11].max() < 0.01


def test_fitting_values_for_regression():
    states = torch.randn(300, 2, 5, generator=torch.Generator().manual_seed(2))
    labels = F.layer_norm(states[:, 1], (5,))[:, 0] * 2 + 3
    heads = fit_pseudo_classifiers(states, labels, 1, regression=True, l2=0.0)
    error = (heads(states).squeeze(-1) - labels.unsqueeze(1)).abs().mean(0)
    assert error[1] < 0.01 < error[0]


@pytest.mark.parametrize(
    ("labels", "options", "error"),
    [
        (LABELS.unsqueeze(1), {}, "labels .N,., got"),
        (LABELS[:1], {}, "labels .N,., got"),  # would be every row's
        (LABELS.float(), {"num_labels": 3, "regression": True}, "values have one output"),
        (0 * LABELS, {"num_labels": 1}, "classes at least two"),
        (0 * LABELS + 2, {}, "all 40 labels are .2.: there is nothing to tell apart"),
        (torch.nan * LABELS, {"num_labels": 1, "regression": True}, "not finite"),
        (LABELS, {"l2": -1.0}, "l2 must be finite and at least 0, got -1.0"),
    ],
)
def test_labels_that_would_fit_heads_without_a_meaning_are_refused(labels, options, error):
    states = torch.randn(40, 2, 8, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match=error):
        fit_pseudo_classifiers(states, labels, **({"num_labels": 3} | options))


def test_the_backbone_is_untouched_by_training_the_heads(task, tiny, teacher, runtime, parts):
    before = load_classifier(teacher.folder, task, seed=0).state_dict()
    loaded = teacher.load(task).module.network.state_dict()
    assert all(torch.equal(before[name], loaded[name]) for name in before)
    again = fit_heads(teacher, task, config=tiny, runtime=runtime)
    assert len(again["layers"]) == 4


def test_heads_see_the_rows_and_the_precision_of_their_teacher(
    task, tiny, teacher, runtime, tmp_path
):
    """Whatever config and precision a later run has: one teacher has one set of heads."""
    folder = shutil.copytree(teacher.folder, tmp_path / "teacher")
    copy = replace(teacher, folder=folder)
    shutil.rmtree(copy.heads)
    assert copy.heads_key is None and copy.load(task).module.heads is None
    other = replace(tiny, max_train=40, max_validation=32, max_length=16)
    half = replace(runtime, precision="bf16")
    heads = fit_heads(copy, task, config=other, runtime=half)
    assert heads == fit_heads(teacher, task, config=tiny, runtime=runtime)
    assert copy.heads_key == teacher.heads_key


def test_cached_logits_equal_online_ones_by_row_after_shuffling_at_another_batch_size(
    task, teacher, runtime, parts
):
    cached = cache_teacher(teacher, task, "train", parts[0], runtime=runtime)
    frozen = teacher.load(task)

    def difference(batch, rows):
        return float((cached[rows] - frozen(**batch.inputs)).abs().max())

    batches = list(training_batches(parts[0], 8, seed=7, epoch=3))
    aligned = max(difference(batch, batch.rows) for batch in batches)
    by_one = max(difference(batch, batch.rows.roll(1)) for batch in batches)
    assert aligned < 1e-4 and by_one > 20 * aligned, "and a misalignment by one row shows"


def test_a_teacher_below_its_least_score_stops_or_warns(task, capsys, monkeypatch):
    words = "reaches 51.0 on the development part of sentiment, below the least score of 65"
    with pytest.raises(ValueError, match=words):
        check_min_score(task, {"accuracy": 51.0}, enforce=True)
    monkeypatch.delenv("UKD_QUIET")
    check_min_score(task, {"accuracy": 51.0}, enforce=False)
    assert "warning: the teacher reaches 51.0" in capsys.readouterr().err


def test_heads_fitted_on_labels_beat_the_majority_where_heads_without_labels_collapse():
    """Heads on both sides, trained against each other without labels, agree on a constant."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    labels = torch.randint(0, 2, (256,), generator=generator)
    states = torch.randn(256, 2, 8, generator=generator)
    states[..., :4] += 2 * labels.view(-1, 1, 1) - 1

    def right(heads):
        return (heads(states).argmax(-1) == labels.unsqueeze(1)).float().mean()

    assert right(fit_pseudo_classifiers(states, labels, 2)) > 0.9
    teacher = PseudoClassifiers(8, 2, 2)
    student = PseudoClassifiers(8, 2, 2)
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


@pytest.mark.parametrize("change", ["name", "data"])
def test_a_teacher_of_another_task_or_other_data_is_refused(
    task, tiny, teacher, runtime, parts, change
):
    """Its heads are fitted once: of other labels they would be kept for its own task as well."""
    other = replace(task, name="rte")
    if change == "data":
        dataset = DatasetDict(train=task.dataset["validation"], validation=task.dataset["train"])
        other = replace(task, dataset=dataset, fingerprint=fingerprint(dataset, task.spec))
    for use in (
        lambda: fit_heads(teacher, other, config=tiny, runtime=runtime),
        lambda: cache_teacher(teacher, other, "train", parts[0], runtime=runtime),
        lambda: online_logits(teacher, other, runtime),
        lambda: ukd.distill(
            other, ukd.get_method("kd"), teacher, config=tiny, seed=1, runtime=runtime
        ),
    ):
        with pytest.raises(ValueError, match="is of sentiment with data .*, and this is"):
            use()


def test_a_table_is_of_the_rows_and_the_tokens_that_the_teacher_reads(
    task, tiny, teacher, runtime, parts, monkeypatch
):
    with pytest.raises(ValueError, match="rows of 'train', and the split named is 'validation'"):
        cache_teacher(teacher, task, "validation", parts[1], runtime=runtime)
    few = parts[2].first(2)
    monkeypatch.setattr(type(few.tokenizer), "get_vocab", lambda self: {"a": id(self)})
    with pytest.raises(ValueError, match="tokens of another vocabulary than the teacher's"):
        cache_teacher(teacher, task, "validation", few, runtime=runtime)


def test_padding_on_the_left_is_refused(task, tiny, teacher):
    tokenizer = load_tokenizer(teacher.folder)
    tokenizer.padding_side = "left"
    with pytest.raises(ValueError, match="pads on the left, where the first token is read"):
        tokenized_splits(task, tokenizer, tiny)[0].batch([0, 1])


@pytest.mark.parametrize("rate", [0, 0.0, -1e-3, float("inf"), float("nan")])
def test_a_rate_that_none_can_be_is_refused_and_not_replaced(task, tiny, teacher, runtime, rate):
    options = {"config": tiny, "runtime": runtime, "learning_rate": rate}
    with pytest.raises(ValueError, match="learning_rate must be a positive number, got"):
        ukd.train_teacher(task, **options)
    with pytest.raises(ValueError, match="learning_rate must be a positive number, got"):
        ukd.distill(task, ukd.get_method("kd"), teacher, seed=1, **options)


def test_heads_of_a_sorted_file_see_every_class(
    task, tiny, teacher, runtime, tmp_path, monkeypatch
):
    """Also where train is not divided, and has more rows than the heads are fitted on."""
    order = task.dataset["train"].sort("label")
    dataset = DatasetDict({**task.dataset, "train": order})
    by_label = replace(task, dataset=dataset, fingerprint=fingerprint(dataset, task.spec))
    settings = teacher.about["settings"] | {
        "selection_split": "validation",
        "data": by_label.key,
    }
    folder = shutil.copytree(teacher.folder, tmp_path / "teacher")
    shutil.rmtree(folder / teacher.heads.name)
    about = teacher.about | {"settings": settings}
    monkeypatch.setattr("ukd.training.teacher_heads.MOST_EXAMPLES", 20)
    seen = []

    def spy(states, labels, *args, **options):
        seen.append(labels)
        return fit_pseudo_classifiers(states, labels, *args, **options)

    monkeypatch.setattr("ukd.training.teacher_heads.fit_pseudo_classifiers", spy)
    sorted_teacher = replace(teacher, folder=folder, about=about)
    found = fit_heads(sorted_teacher, by_label, config=tiny, runtime=runtime)
    assert found["examples"] == 20 and len(seen[0].unique()) == task.num_labels


@pytest.mark.parametrize("pooling", ["max", "mean"])
def test_pooling_over_tokens_needs_the_mask(pooling):
    states = torch.randn(2, 3, 4)
    assert pool(states, None, "first").equal(states[:, 0])
    with pytest.raises(ValueError, match=f"pooling '{pooling}' needs attention_mask"):
        pool(states, None, pooling)
