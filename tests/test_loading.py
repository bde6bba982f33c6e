"""What is loaded is what the files hold: each way to damage or mistake a model has its error."""

import json
from dataclasses import replace

import pytest
import torch
import transformers
from made_models import SIZES
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForSequenceClassification

import ukd
from ukd.models.bundled import bundled_encoder
from ukd.models.encoders import load_classifier, load_tokenizer, new_student
from ukd.models.family_check import check_family
from ukd.training.initial_student import initial_student

SMALL = {"d_model": 16, "d_ff": 32, "d_kv": 8, "num_layers": 2, "num_heads": 2}
GPT2 = {"n_embd": 16, "n_layer": 4, "n_head": 2, "n_positions": 130}
XLNET = {"d_model": 16, "n_layer": 4, "n_head": 2, "d_inner": 32}
BART = {
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
}


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(bundled_encoder())


@pytest.fixture
def encoder(tiny_encoder, tmp_path):
    """Folder of a tiny BERT of three layers."""
    return tiny_encoder(tmp_path / "encoder")


def _weights(change):
    """A damage: the weights after `change` of the dictionary that holds them."""

    def damage(folder):
        path = folder / "model.safetensors"
        save_file(change(load_file(path)), path, {"format": "pt"})

    return damage


def _settings(file, **changes):
    """A damage: other values in a JSON file; None takes a value out."""

    def damage(folder):
        values = json.loads((folder / file).read_text(encoding="utf-8")) | changes
        kept = {name: value for name, value in values.items() if value is not None}
        (folder / file).write_text(json.dumps(kept), encoding="utf-8")

    return damage


def _without(*endings):
    """A damage: no files that end so."""

    def damage(folder):
        for path in list(folder.iterdir()):
            if path.name.endswith(endings):
                path.unlink()

    return damage


def _cut(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:100])


def _without_layer(number):
    return _weights(lambda all_: {n: w for n, w in all_.items() if f"layer.{number}." not in n})


def _with_value(number):
    """A damage: one such number among the weights of the second layer."""

    def change(weights):
        name = next(name for name in weights if "layer.1." in name)
        weights[name].view(-1)[0] = number
        return weights

    return _weights(change)


PREFIXED = _weights(lambda all_: {f"module.{name}": weight for name, weight in all_.items()})
ADAPTER = _weights(lambda all_: all_ | {"encoder.layer.0.adapter.weight": torch.ones(2)})
POSITIONS = "embeddings.position_embeddings.weight"
SHORTER = _weights(lambda all_: all_ | {POSITIONS: torch.zeros(9, 16)})
DAMAGES = {
    "other names": (PREFIXED, r"missing.*weights of module instead.*save_pretrained"),
    "a layer less": (_without_layer(2), r"16 weights of .* are missing, such as .*layer\.2\."),
    "more layers told": (_settings("config.json", num_hidden_layers=5), r"32 weights .* missing"),
    "fewer layers told": (_settings("config.json", num_hidden_layers=2), "16 weights .* unknown"),
    "an adapter": (ADAPTER, "1 weights of .* are unknown to its network, such as .*adapter"),
    "another shape": (SHORTER, r"another shape .*position_embeddings.weight is \(9, 16\)"),
    "another width told": (_settings("config.json", hidden_size=32), "have another shape than its"),
    "not a number": (_with_value(float("nan")), r"damaged: .*layer\.1\..*not finite; restore"),
    "infinite": (_with_value(float("inf")), r"damaged: .*layer\.1\..*not finite; restore"),
    "a cut file": (_cut, "no model could be loaded from .*: pass a folder"),
    "no weights": (_without(".safetensors"), "no model could be loaded from .*: pass a folder"),
    "no configuration": (_without("config.json"), "no model could be loaded from .*"),
    "an unknown network": (
        _settings("config.json", model_type="no-such"),
        "no model could be loaded",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_encoder_is_refused_in_one_line(name, encoder, task):
    damage, text = DAMAGES[name]
    load_classifier(encoder, task, seed=0)
    damage(encoder)
    with pytest.raises(ValueError, match=text) as error:
        load_classifier(encoder, task, seed=0)
    assert "\n" not in str(error.value)
    assert str(encoder) in str(error.value)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize(
    "damage", [_without_layer(2), _settings("config.json", num_hidden_layers=5)]
)
def test_layers_that_are_not_taken_must_be_there_too(damage, layers, encoder, task):
    load_classifier(encoder, task, seed=0, layers=layers)
    damage(encoder)
    with pytest.raises(ValueError, match=r"weights of .* are missing, such as .*layer\.[234]"):
        load_classifier(encoder, task, seed=0, layers=layers)


@pytest.mark.parametrize(
    "kind", ["ForMaskedLM", "ForPreTraining", "ForTokenClassification", "ForQuestionAnswering"]
)
def test_the_heads_of_other_jobs_are_left_without_a_word(kind, encoder, task, tmp_path, capsys):
    network = getattr(transformers, f"Bert{kind}").from_pretrained(encoder)
    network.save_pretrained(tmp_path / "other")
    capsys.readouterr()
    found = load_classifier(tmp_path / "other", task, seed=3)
    assert not capsys.readouterr().err
    expected = load_classifier(encoder, task, seed=3).bert.encoder.state_dict()
    assert all(
        torch.equal(found.bert.encoder.state_dict()[name], expected[name]) for name in expected
    )
    # A classifier of words is none of whole texts.
    saved = getattr(network, "classifier", None)
    assert saved is None or not torch.equal(found.classifier.weight, saved.weight)


def test_weights_of_a_part_that_is_not_used_are_named(encoder, task, capsys):
    _weights(lambda all_: all_ | {"topics.weight": torch.ones(2)})(encoder)
    load_classifier(encoder, task, seed=0)
    assert "has weights that are not used: topics" in capsys.readouterr().err


def test_embeddings_come_from_the_file_or_are_refused(encoder, task):
    PREFIXED(encoder)
    with pytest.raises(ValueError, match="weights of .* are missing"):
        new_student("bilstm", encoder, task, seed=0, embeddings="teacher")


@pytest.mark.parametrize("family", ["Bert", "Roberta", "GPT2"])
def test_a_tokenizer_is_never_invented(family, tmp_path):
    sizes = GPT2 if family == "GPT2" else SIZES
    config = getattr(transformers, f"{family}Config")(vocab_size=100, **sizes)
    AutoModel.from_config(config).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="has no tokenizer: save the one"):
        load_tokenizer(tmp_path)


def test_padding_on_the_left_is_set_right_and_kept_so(encoder, task, tokenizer):
    _settings("tokenizer_config.json", padding_side="left")(encoder)
    assert transformers.AutoTokenizer.from_pretrained(encoder).padding_side == "left"
    found = load_tokenizer(encoder)
    texts = ["room", "room and so on and so on"]
    expected = tokenizer(texts, padding=True)["input_ids"]
    assert found(texts, padding=True)["input_ids"] == expected
    found.save_pretrained(encoder)
    assert transformers.AutoTokenizer.from_pretrained(encoder).padding_side == "right"


def _save(folder, family, tokenizer, sizes):
    """A random network of a family, with the bundled tokenizer."""
    torch.manual_seed(0)
    special = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    kind = getattr(transformers, f"{family}Config")
    options = {"vocab_size": len(tokenizer)} | special | sizes
    AutoModel.from_config(kind(**options)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


REFUSED = {
    "GPT2": (GPT2, r"first token of .*\(gpt2\).* sees no other, as in decoders: pass an encoder"),
    "GPTNeoX": (SIZES, r"first token of .*\(gpt_neox\).* sees no other, as in decoders"),
    "Llama": (SIZES | {"num_key_value_heads": 2}, r"\(llama\).* sees no other, as in decoders"),
    "Bert": (SIZES | {"is_decoder": True}, r"first token .*\(bert\).* sees no other"),
    "XLNet": (XLNET, r"\(xlnet\) reads a text otherwise when a longer one is beside it"),
    "Canine": (SIZES, r"\(canine\) gives 9 hidden states .*, and 5 of .*: pass an encoder"),
    "T5": (SMALL, r"is an encoder-decoder \(t5\).*: pass an encoder, such as those of BERT"),
    "Bart": (BART, r"is an encoder-decoder \(bart\).*: pass an encoder"),
}


def _train_head(folder, task, tiny, cpu, **changes):
    config = replace(tiny, encoder=str(folder), teacher_depth=None, **changes)
    return ukd.train_teacher(task, config=config, runtime=cpu)


@pytest.fixture
def no_training(monkeypatch):
    """Whatever is refused is refused before it trains."""

    def fit(*args, **options):
        raise AssertionError("training began")

    monkeypatch.setattr("ukd.training.teacher.fit", fit)


@pytest.mark.parametrize("family", REFUSED)
def test_a_family_that_does_not_fit_is_refused_before_training(
    family, task, tiny, cpu, tokenizer, tmp_path, no_training
):
    sizes, text = REFUSED[family]
    _save(tmp_path, family, tokenizer, sizes)
    with pytest.raises(ValueError, match=text) as error:
        _train_head(tmp_path, task, tiny, cpu)
    assert "\n" not in str(error.value)


def _without_padding(folder):
    kind = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": None}
    _settings("tokenizer_config.json", **kind)(folder)


def _one_entry_more(folder):
    tokenizer = load_tokenizer(folder)
    tokenizer.add_tokens(["qqzz"])
    tokenizer.save_pretrained(folder)


UNFIT = {
    "no padding token": (_without_padding, {}, "has no padding token"),
    "a word more": (_one_entry_more, {}, "8193 entries, and its network 8192 .* resize_token_emb"),
    "more tokens than positions": (
        _settings("tokenizer_config.json", model_max_length=None),
        {"max_length": 300},
        "has positions for 256 tokens, and 300 are asked for: lower --max-length to 256",
    ),
    "weights that are not finite": (_with_value(float("nan")), {}, "damaged: .* not finite"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_an_encoder_that_does_not_fit_is_refused_before_training(
    name, task, tiny, cpu, encoder, no_training
):
    change, options, text = UNFIT[name]
    change(encoder)
    with pytest.raises(ValueError, match=text):
        _train_head(encoder, task, tiny, cpu, **options)


def test_an_encoder_of_one_layer_can_not_be_a_teacher(
    task, tiny, cpu, tiny_encoder, tmp_path, no_training
):
    with pytest.raises(ValueError, match="at least 2 layers, .* 1 is taken from .*--teacher-depth"):
        _train_head(tiny_encoder(tmp_path, layers=1), task, tiny, cpu)


@pytest.mark.parametrize(
    ("family", "sizes", "most"),
    [("Bert", SIZES, 130), ("Roberta", SIZES, 128), ("MPNet", SIZES, 128), ("Electra", SIZES, 130)],
)
def test_as_many_tokens_are_read_as_there_are_positions(
    family, sizes, most, task, tokenizer, tmp_path
):
    special = {"pad_token_id": 1} if family in ("Roberta", "MPNet") else {}
    _save(tmp_path, family, tokenizer, sizes | special)
    network = load_classifier(tmp_path, task, seed=0)
    check_family(network, tokenizer, tmp_path, most)
    with pytest.raises(ValueError, match=f"positions for {most} tokens, and {most + 1} are asked"):
        check_family(network, tokenizer, tmp_path, most + 1)


@pytest.mark.parametrize("kind", ["bilstm", "gated-cnn"])
def test_new_students_fit(kind, task, tokenizer, encoder):
    network = new_student(kind, encoder, task, seed=0)
    check_family(network, tokenizer, encoder, 64, texts=2)


STUDENTS = {
    "weights of other names": (PREFIXED, "weights of .* are missing"),
    "no weights": (_without(".safetensors"), "no model could be loaded from"),
    "a layer less": (_without_layer(1), "16 weights of .* are missing"),
    "no tokenizer": (_without("tokenizer.json", "tokenizer_config.json"), "has no tokenizer"),
}


@pytest.mark.parametrize("name", STUDENTS)
def test_a_student_that_is_not_pretrained_is_refused_before_its_teacher_is_trained(
    name, task, tiny, cpu, tiny_encoder, tmp_path, no_training
):
    damage, text = STUDENTS[name]
    student = tiny_encoder(tmp_path / "student")
    damage(student)
    teacher = tiny_encoder(tmp_path / "teacher")
    with pytest.raises(ValueError, match=text):
        _train_head(teacher, task, tiny, cpu, student=str(student))


@pytest.mark.parametrize("student", ["layers", "pretrained"])
def test_a_student_never_starts_from_a_trained_classifier(student, task, teacher, tiny):
    trained = AutoModelForSequenceClassification.from_pretrained(teacher.folder)
    fine_tuned = replace(teacher, encoder=str(teacher.folder))
    kind = "layers" if student == "layers" else str(teacher.folder)
    config = replace(tiny, student=kind, student_depth=2)
    start = initial_student(task, ukd.get_method("kd"), fine_tuned, config, seed=1).network
    again = initial_student(task, ukd.get_method("kd"), fine_tuned, config, seed=1).network
    assert not torch.equal(start.classifier.weight, trained.classifier.weight)
    assert torch.equal(start.classifier.weight, again.classifier.weight)
    layer = start.bert.encoder.layer[0].output.dense.weight
    assert torch.equal(layer, trained.bert.encoder.layer[0].output.dense.weight)
    assert not start.training
    # The teacher itself keeps what it has learned.
    kept = load_classifier(teacher.folder, task, seed=1).classifier.weight
    assert torch.equal(kept, trained.classifier.weight)
