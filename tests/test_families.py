"""Any sequence classifier that transformers' Auto class loads can teach: tiny random ones of every family, without the hub."""

from dataclasses import replace

import pytest
import torch
import transformers
from transformers import AutoModel

import ukd
from ukd.heads import ClassifierWithHeads, PseudoClassifiers
from ukd.models.encoders import load_classifier, load_tokenizer

SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 130,
}
FAMILIES = {
    "Bert": SIZES,
    "Roberta": SIZES,
    "Electra": SIZES | {"embedding_size": 16},
    "DebertaV2": SIZES,
    "MPNet": SIZES,
    "DistilBert": {
        "dim": 16,
        "n_layers": 4,
        "n_heads": 2,
        "hidden_dim": 32,
        "max_position_embeddings": 130,
    },
    "Albert": SIZES | {"embedding_size": 16},
}


@pytest.fixture(params=list(FAMILIES))
def encoder(request, teacher, tmp_path):
    """A folder with a random encoder of the family and the tiny teacher's tokenizer."""
    tokenizer = load_tokenizer(teacher.folder)
    torch.manual_seed(0)
    config = getattr(transformers, f"{request.param}Config")(
        vocab_size=len(tokenizer), pad_token_id=0, **FAMILIES[request.param]
    )
    AutoModel.from_config(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return tmp_path


def test_its_layers_are_those_of_the_library_and_padding_never_enters(encoder, task):
    network = load_classifier(encoder, task, seed=1)
    model = ClassifierWithHeads(network, PseudoClassifiers(16, task.num_labels, 3)).eval()
    tokens = load_tokenizer(encoder)(
        ["the meal was good", "i did not find the picnic greasy"], padding=True, return_tensors="pt"
    )
    inputs = {name: tensor for name, tensor in tokens.items() if name != "token_type_ids"}
    longer = {name: torch.nn.functional.pad(tensor, (0, 5)) for name, tensor in inputs.items()}
    one, other = model(**inputs), model(**longer)
    assert one.shape == (2, 4, 2)
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(one[:, -1], network(**inputs).logits)


def test_it_teaches_and_its_first_layers_learn(encoder, task, tiny, runtime, tmp_path):
    budget = replace(tiny, teacher_epochs=1, student_epochs=2)
    teacher = ukd.train_teacher(task, config=budget, encoder=str(encoder), runtime=runtime)
    record = ukd.distill(
        task,
        ukd.get_method("universal-kd"),
        teacher,
        config=budget,
        seed=1,
        runtime=runtime,
        folder=tmp_path / "runs",
    )
    assert record["teacher"]["layers"] == 4 and len(record["attention"]["mean"][0]) == 3
    assert len(record["attention"]["mean"]) == budget.student_depth - 1


def test_a_classifier_with_other_outputs_and_a_folder_without_a_model_are_refused(
    teacher, tiny, runtime, tmp_path
):
    with pytest.raises(ValueError, match="has a classifier with 2 outputs, and entailment needs 3"):
        load_classifier(teacher.folder, ukd.load_task("entailment"), seed=0)
    with pytest.raises(
        ValueError, match="has no config.json; pass a folder made by save_pretrained"
    ):
        ukd.train_teacher(
            ukd.load_task("sentiment"), config=tiny, encoder=str(tmp_path), runtime=runtime
        )


def test_a_model_with_another_order_of_labels_is_refused(task, teacher, tmp_path):
    network = load_classifier(teacher.folder, task, seed=0)
    network.config.id2label, network.config.label2id = (
        {0: "positive", 1: "negative"},
        {"positive": 0, "negative": 1},
    )
    network.save_pretrained(tmp_path)
    load_tokenizer(teacher.folder).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"\['positive', 'negative'\].*\['negative', 'positive'\]"):
        load_classifier(tmp_path, task, seed=0)
    assert load_classifier(teacher.folder, task, seed=0).config.id2label[0] == "negative"
