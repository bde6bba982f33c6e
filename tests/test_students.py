"""BiLSTM and gated CNN: padding never enters, they are saved and loaded as any transformers model, and they are distilled into."""

from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForSequenceClassification, pipeline

import ukd
from ukd.heads import LayerwiseClassifier, PseudoClassifiers
from ukd.models import load_tokenizer, new_student
from ukd.probing import States
from ukd.students import STUDENTS, pool

KINDS = list(STUDENTS)


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def test_padding_never_enters(kind, task, teacher):
    network = new_student(kind, teacher.folder, task, seed=1)
    heads = PseudoClassifiers(network.config.hidden_size, task.num_labels, network.config.num_hidden_layers - 1)
    model = LayerwiseClassifier(network, heads).eval()
    short = load_tokenizer(teacher.folder)(["the meal was good", "i did not find the picnic greasy"], padding=True, return_tensors="pt")
    long = {name: torch.nn.functional.pad(tensor, (0, 7)) for name, tensor in short.items()}
    one, other = model(**short), model(**long)
    assert one.shape == (2, network.config.num_hidden_layers, 2)
    torch.testing.assert_close(one, other)


def test_as_a_teacher_its_heads_are_fitted_on_the_states_they_read(kind, task, teacher):
    network = new_student(kind, teacher.folder, task, seed=1)
    tokens = load_tokenizer(teacher.folder)(["the meal was good", "i did not find the picnic greasy"], padding=True, return_tensors="pt")
    states = network.eval()(**tokens, output_hidden_states=True).hidden_states
    expected = torch.stack([pool(layer, tokens["attention_mask"], "max") for layer in states[1:-1]], dim=1)
    torch.testing.assert_close(States(network)(**tokens), expected)


def test_pooling_by_hand():
    states, mask = torch.tensor([[[1.0, -5.0], [3.0, -7.0], [9.0, 9.0]]]), torch.tensor([[1, 1, 0]])
    assert pool(states, mask, "max").tolist() == [[3.0, -5.0]]
    assert pool(states, mask, "mean").tolist() == [[2.0, -6.0]]
    assert pool(states, mask, "first").tolist() == [[1.0, -5.0]]
    with pytest.raises(ValueError, match="unknown pooling 'last'; choose one of: first, max, mean"):
        pool(states, mask, "last")


def test_the_start_depends_on_the_seed_alone(kind, task, teacher):
    one, same, other = (new_student(kind, teacher.folder, task, seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_every_method_distils_into_it_and_the_student_goes_round_trip(kind, task, tiny, teacher, compute, tmp_path):
    budget = replace(tiny, student=kind)
    steps = set()
    for name in ukd.METHODS:
        record = ukd.distill(task, ukd.method(name), teacher, profile=budget, seed=1, compute=compute, folder=tmp_path)
        assert record["settings"]["student"] == kind and record["settings"]["student_layers"] is None
        steps.add(record["steps"])
    assert len(steps) == 1
    folder = f"{record['folder']}/student"
    network = AutoModelForSequenceClassification.from_pretrained(folder)
    assert network.config.model_type == f"ukd-{kind}" and network.config.id2label == {0: "negative", 1: "positive"}
    answers = pipeline("text-classification", model=folder)(["The meal was good.", "The meal was not good."])
    assert {answer["label"] for answer in answers} <= {"negative", "positive"}
    kept = new_student(kind, teacher.folder, task, seed=1).state_dict()
    assert any(not torch.equal(kept[name], tensor) for name, tensor in network.state_dict().items()), "it has learned"


def test_it_learns_a_regression(kind, tiny, compute, tmp_path):
    task = ukd.load_task("similarity")
    teacher = ukd.train_teacher(task, profile=tiny, compute=compute)
    budget = replace(tiny, student=kind)
    record = ukd.distill(task, ukd.method("universal-kd"), teacher, profile=budget, seed=1, compute=compute, folder=tmp_path)
    assert set(record["scores"]["validation"]) == {"pearson", "spearman"}


def test_its_own_loss_is_the_librarys_kind(kind, task, teacher):
    network = new_student(kind, teacher.folder, task, seed=1).eval()
    batch = load_tokenizer(teacher.folder)(["the meal was good", "the meal was bad"], padding=True, return_tensors="pt")
    labels = torch.tensor([1, 0])
    found = network(**batch, labels=labels)
    torch.testing.assert_close(found.loss, torch.nn.functional.cross_entropy(found.logits, labels))


def test_an_unknown_student_is_refused(task, teacher):
    with pytest.raises(ValueError, match="unknown student 'gru'; choose one of: layers, bilstm, gated-cnn"):
        new_student("gru", teacher.folder, task, seed=1)
