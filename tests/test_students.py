"""BiLSTM and gated CNN: padding never enters, and their layers are torch's."""

import pytest
import torch

from ukd.heads import ClassifierWithHeads, PseudoClassifiers, pool
from ukd.models.bundled import bundled_encoder
from ukd.models.encoders import load_classifier, load_tokenizer, new_student
from ukd.models.students import STUDENTS, BiLSTMLayer, GatedConvLayer

TEXTS = ["the meal was good", "i did not find the picnic greasy"]
SOURCE = bundled_encoder()


@pytest.fixture(params=list(STUDENTS))
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(SOURCE)


def test_padding_never_enters(kind, task, tokenizer):
    network = new_student(kind, SOURCE, task, seed=1)
    layers = network.config.num_hidden_layers
    heads = PseudoClassifiers(network.config.hidden_size, task.num_labels, layers - 1)
    model = ClassifierWithHeads(network, heads).eval()
    short = tokenizer(TEXTS, padding=True, return_tensors="pt")
    long = {name: torch.nn.functional.pad(tensor, (0, 7)) for name, tensor in short.items()}
    logits = model(**short)
    assert logits.shape == (2, layers, 2)
    torch.testing.assert_close(logits, model(**long))


def test_pooling_by_hand():
    states = torch.tensor([[[1.0, -5.0], [3.0, -7.0], [9.0, 9.0]]])
    mask = torch.tensor([[1, 1, 0]])
    assert pool(states, mask, "max").tolist() == [[3.0, -5.0]]
    assert pool(states, mask, "mean").tolist() == [[2.0, -6.0]]
    assert pool(states, mask, "first").tolist() == [[1.0, -5.0]]
    with pytest.raises(ValueError, match="unknown pooling 'last'; choose one of: first, max, mean"):
        pool(states, mask, "last")


def test_the_start_depends_on_the_seed_alone(kind, task):
    weights = [new_student(kind, SOURCE, task, seed=seed).state_dict() for seed in (1, 1, 2)]
    one, same, other = weights
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_its_own_loss_is_the_librarys_kind(kind, task, tokenizer):
    network = new_student(kind, SOURCE, task, seed=1).eval()
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    labels = torch.tensor([1, 0])
    found = network(**batch, labels=labels)
    torch.testing.assert_close(found.loss, torch.nn.functional.cross_entropy(found.logits, labels))


def test_an_unknown_student_is_refused(task):
    with pytest.raises(ValueError, match="unknown student 'gru'; choose one of: layers, bilstm, g"):
        new_student("gru", SOURCE, task, seed=1)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_gated_cnn_runs_in_half_precision(dtype, task):
    network = new_student("gated-cnn", SOURCE, task, seed=1).to(dtype)
    assert network(torch.arange(5, 25).reshape(2, 10)).logits.dtype == dtype


def test_its_configuration_is_saved_and_loaded(kind, task, tmp_path):
    network = new_student(kind, SOURCE, task, seed=1)
    network.save_pretrained(tmp_path)
    again = load_classifier(tmp_path, task, seed=2)
    sizes = ("hidden_size", "num_hidden_layers", "embedding_size", "pooling", "dropout", "kernel")
    for name in sizes:
        found = getattr(again.config, name, None)
        assert found == getattr(network.config, name, None), name
    expected = network.state_dict()
    assert all(torch.equal(expected[name], value) for name, value in again.state_dict().items())


def test_embeddings_start_from_the_teachers(kind, task, teacher, tiny_encoder, tmp_path):
    narrow = tiny_encoder(tmp_path, width=16)
    expected = load_classifier(narrow, task, seed=0).get_input_embeddings().weight
    network = new_student(kind, narrow, task, seed=1, embeddings="teacher")
    assert torch.equal(network.words.weight, expected)
    assert network.config.embedding_size == 16 < network.config.hidden_size


def test_embeddings_start_from_a_file(kind, task, tokenizer, tmp_path):
    vectors = tmp_path / "vectors.txt"
    lines = ["400000 3", "the 1 2 3", "was -1 0.5 2", "at me@x.org 0.1 0.2 0.3", "unheardof 1 1 1"]
    vectors.write_text("\n".join(lines))
    network = new_student(kind, SOURCE, task, seed=1, embeddings=str(vectors))
    entry = tokenizer.get_vocab()
    assert network.words.weight[entry["the"]].tolist() == [1, 2, 3]
    assert network.words.weight[entry["was"]].tolist() == [-1, 0.5, 2]
    assert network.words.weight.shape[1] == 3


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "is neither"), ("nothing here\n", "holds no word"), ("the 1 2\nwas 1\n", "lengths")],
)
def test_unusable_embeddings_are_refused(content, words, task, tmp_path):
    path = tmp_path / "vectors.txt"
    if content is not None:
        path.write_text(content.replace("was 1\n", "was 1 2 3\n"))
    with pytest.raises(ValueError, match=words):
        new_student("bilstm", SOURCE, task, seed=1, embeddings=str(path))


def test_the_bilstm_is_torchs_on_packed_sequences():
    layer = BiLSTMLayer(8)
    theirs = torch.nn.LSTM(8, 4, batch_first=True, bidirectional=True)
    weights = layer.onwards.state_dict()
    for name, tensor in layer.backwards.state_dict().items():
        weights[f"{name}_reverse"] = tensor
    theirs.load_state_dict(weights)
    states = torch.randn(3, 6, 8)
    lengths = torch.tensor([6, 2, 4])
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        states, lengths, batch_first=True, enforce_sorted=False
    )
    expected = torch.nn.utils.rnn.pad_packed_sequence(theirs(packed)[0], batch_first=True)[0]
    mask = torch.arange(6) < lengths.unsqueeze(1)
    torch.testing.assert_close(layer(states, mask)[mask], expected[mask])


def test_the_gated_cnn_is_torchs_convolution():
    layer = GatedConvLayer(8, 5)
    states = torch.randn(2, 6, 8)
    convolved = layer.convolution(layer.norm(states).transpose(1, 2))
    expected = states + torch.nn.functional.glu(convolved, dim=1).transpose(1, 2)
    torch.testing.assert_close(layer(states, torch.ones(2, 6)), expected)
