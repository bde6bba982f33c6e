"""Any sequence classifier of transformers' Auto class: tiny random ones of several families."""

from dataclasses import replace

import pytest
import torch
import transformers
from made_models import SIZES
from transformers import AutoModel

import ukd
from ukd.heads import ClassifierWithHeads, PseudoClassifiers
from ukd.models.bundled import bundled_encoder
from ukd.models.encoders import load_classifier, load_tokenizer
from ukd.training.network_sizes import encoder_size

DISTILBERT = {
    "dim": 16,
    "n_layers": 4,
    "n_heads": 2,
    "hidden_dim": 32,
    "max_position_embeddings": 130,
}
FAMILIES = {
    "Bert": SIZES,
    "Roberta": SIZES,
    "Electra": SIZES | {"embedding_size": 16},
    "DebertaV2": SIZES,
    "MPNet": SIZES,
    "DistilBert": DISTILBERT,
    "Albert": SIZES | {"embedding_size": 16},
}
TEXTS = ["the meal was good", "i did not find the picnic greasy"]


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    """A function to a folder with a random encoder of a family and the bundled tokenizer."""
    folders = {}

    def folder_of(family):
        if family not in folders:
            folder = tmp_path_factory.mktemp(family)
            tokenizer = load_tokenizer(bundled_encoder())
            torch.manual_seed(0)
            kind = getattr(transformers, f"{family}Config")
            config = kind(vocab_size=len(tokenizer), pad_token_id=0, **FAMILIES[family])
            AutoModel.from_config(config).save_pretrained(folder)
            tokenizer.save_pretrained(folder)
            folders[family] = folder
        return folders[family]

    return folder_of


@pytest.mark.parametrize("family", FAMILIES)
def test_its_layers_are_those_of_the_library_and_padding_never_enters(family, encoders, task):
    network = load_classifier(encoders(family), task, seed=1)
    model = ClassifierWithHeads(network, PseudoClassifiers(16, task.num_labels, 3)).eval()
    tokens = load_tokenizer(encoders(family))(TEXTS, padding=True, return_tensors="pt")
    tokens.pop("token_type_ids", None)
    longer = {name: torch.nn.functional.pad(tensor, (0, 5)) for name, tensor in tokens.items()}
    logits = model(**tokens)
    assert logits.shape == (2, 4, 2)
    torch.testing.assert_close(logits, model(**longer), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(logits[:, -1], network(**tokens).logits)


# Without token types, with its own attention, with other names of its sizes, with shared layers.
@pytest.mark.slow
@pytest.mark.parametrize("family", ["Roberta", "DebertaV2", "DistilBert", "Albert"])
def test_it_teaches_and_its_first_layers_learn(family, encoders, task, tiny, runtime, tmp_path):
    config = replace(
        tiny, encoder=str(encoders(family)), teacher_depth=None, teacher_epochs=1, student_epochs=2
    )
    teacher = ukd.train_teacher(task, config=config, runtime=runtime)
    method = ukd.get_method("universal-kd")
    options = {"config": config, "seed": 1, "runtime": runtime, "folder": tmp_path}
    record = ukd.distill(task, method, teacher, **options)
    assert record.teacher.layers == 4
    shape = len(record.attention["mean"]), len(record.attention["mean"][0])
    assert shape == (config.student_depth - 1, 3)


@pytest.mark.parametrize(("family", "inner"), [("DistilBert", 32), ("Albert", 32), ("MPNet", 32)])
def test_its_operations_are_counted(family, inner, encoders):
    network = encoder_size(str(encoders(family)))
    assert network.layers == 4
    layer = 2 * (4 * 16**2 + 2 * 16 * inner) + 4 * 8 * 16
    assert network.forward(8) == 8 * 4 * layer


def test_layers_that_are_shared_can_not_be_selected_from(encoders, task):
    with pytest.raises(ValueError, match="no stack of 4 layers .*: take its first layers"):
        load_classifier(encoders("Albert"), task, seed=0, layers=2, selection="last")


@pytest.mark.parametrize(
    ("selection", "indices"), [("first", [0, 1]), ("spread", [1, 3]), ("last", [2, 3])]
)
def test_layers_are_selected_as_asked(selection, indices, encoders, task, tmp_path):
    whole = load_classifier(encoders("Bert"), task, seed=0)
    part = load_classifier(encoders("Bert"), task, seed=0, layers=2, selection=selection)
    for layer, index in zip(part.bert.encoder.layer, indices, strict=True):
        expected = whole.bert.encoder.layer[index].state_dict()
        found = layer.state_dict()
        assert all(torch.equal(found[name], expected[name]) for name in expected)
    part.save_pretrained(tmp_path)
    again = load_classifier(tmp_path, task, seed=0)
    inputs = {"input_ids": torch.arange(5, 25).reshape(2, 10)}
    torch.testing.assert_close(again.eval()(**inputs).logits, part.eval()(**inputs).logits)


def test_layers_that_are_not_there_are_refused(encoders, task):
    with pytest.raises(ValueError, match="has 4 layers, so 5 of them can't be taken"):
        load_classifier(encoders("Bert"), task, seed=0, layers=5)
    with pytest.raises(ValueError, match="'middle'; choose one of: first, spread, last"):
        load_classifier(encoders("Bert"), task, seed=0, layers=2, selection="middle")


def test_a_classifier_with_other_outputs_and_a_folder_without_a_model_are_refused(
    teacher, tmp_path
):
    entailment = ukd.load_task("entailment")
    with pytest.raises(ValueError, match="has a classifier with 2 outputs, and entailment needs 3"):
        load_classifier(teacher.folder, entailment, seed=0)
    with pytest.raises(ValueError, match="no model could be loaded from .*: pass a folder made by"):
        load_classifier(tmp_path, entailment, seed=0)


def test_a_model_with_another_order_of_labels_is_refused(task, teacher, tmp_path):
    network = load_classifier(teacher.folder, task, seed=0)
    assert network.config.id2label[0] == "negative"
    network.config.id2label = {0: "positive", 1: "negative"}
    network.config.label2id = {"positive": 0, "negative": 1}
    network.save_pretrained(tmp_path)
    load_tokenizer(teacher.folder).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"\['positive', 'negative'\].*\['negative', 'positive'\]"):
        load_classifier(tmp_path, task, seed=0)
