"""BiLSTM and gated CNN: padding never enters, they are saved and loaded as any transformers model, and they are distilled into."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AlbertConfig, AutoModel, AutoModelForSequenceClassification, pipeline
from ukd.analysis.grouping import setting

import ukd
from data.encoder.make.pretrain import encoder_from_nothing
from ukd.cli.main import main
from ukd.heads import ClassifierWithHeads, PseudoClassifiers, pool
from ukd.methods.scenarios import DEFAULT_METHODS
from ukd.models.encoders import load_classifier, load_tokenizer, new_student
from ukd.models.students import STUDENTS, BiLSTMLayer, GatedConvLayer
from ukd.training.distill import DistillationRun, fine_tuned_encoder
from ukd.training.teacher_heads import HiddenStateExtractor

KINDS = list(STUDENTS)


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def test_padding_never_enters(kind, task, teacher):
    network = new_student(kind, teacher.folder, task, seed=1)
    heads = PseudoClassifiers(
        network.config.hidden_size, task.num_labels, network.config.num_hidden_layers - 1
    )
    model = ClassifierWithHeads(network, heads).eval()
    short = load_tokenizer(teacher.folder)(
        ["the meal was good", "i did not find the picnic greasy"], padding=True, return_tensors="pt"
    )
    long = {name: torch.nn.functional.pad(tensor, (0, 7)) for name, tensor in short.items()}
    one, other = model(**short), model(**long)
    assert one.shape == (2, network.config.num_hidden_layers, 2)
    torch.testing.assert_close(one, other)


def test_as_a_teacher_its_heads_are_fitted_on_the_states_they_read(kind, task, teacher):
    network = new_student(kind, teacher.folder, task, seed=1)
    tokens = load_tokenizer(teacher.folder)(
        ["the meal was good", "i did not find the picnic greasy"], padding=True, return_tensors="pt"
    )
    states = network.eval()(**tokens, output_hidden_states=True).hidden_states
    expected = torch.stack(
        [pool(layer, tokens["attention_mask"], "max") for layer in states[1:-1]], dim=1
    )
    torch.testing.assert_close(HiddenStateExtractor(network)(**tokens), expected)


def test_pooling_by_hand():
    states, mask = torch.tensor([[[1.0, -5.0], [3.0, -7.0], [9.0, 9.0]]]), torch.tensor([[1, 1, 0]])
    assert pool(states, mask, "max").tolist() == [[3.0, -5.0]]
    assert pool(states, mask, "mean").tolist() == [[2.0, -6.0]]
    assert pool(states, mask, "first").tolist() == [[1.0, -5.0]]
    with pytest.raises(ValueError, match="unknown pooling 'last'; choose one of: first, max, mean"):
        pool(states, mask, "last")


def test_the_start_depends_on_the_seed_alone(kind, task, teacher):
    one, same, other = (
        new_student(kind, teacher.folder, task, seed=seed).state_dict() for seed in (1, 1, 2)
    )
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_every_method_distils_into_it_and_the_student_goes_round_trip(
    kind, task, tiny, teacher, runtime, tmp_path
):
    budget = replace(tiny, student=kind)
    steps = set()
    for name in DEFAULT_METHODS:
        record = ukd.distill(
            task,
            ukd.get_method(name),
            teacher,
            config=budget,
            seed=1,
            runtime=runtime,
            folder=tmp_path,
        )
        assert (
            record["settings"]["student"] == kind and record["settings"]["student_layers"] is None
        )
        steps.add(record["steps"])
    assert len(steps) == 1
    folder = f"{record['folder']}/student"
    network = AutoModelForSequenceClassification.from_pretrained(folder)
    assert network.config.model_type == f"ukd-{kind}" and network.config.id2label == {
        0: "negative",
        1: "positive",
    }
    answers = pipeline("text-classification", model=folder)(
        ["The meal was good.", "The meal was not good."]
    )
    assert {answer["label"] for answer in answers} <= {"negative", "positive"}
    kept = new_student(kind, teacher.folder, task, seed=1).state_dict()
    assert any(
        not torch.equal(kept[name], tensor) for name, tensor in network.state_dict().items()
    ), "it has learned"


def test_it_learns_a_regression(kind, tiny, runtime, tmp_path):
    task = ukd.load_task("similarity")
    teacher = ukd.train_teacher(task, config=tiny, runtime=runtime)
    budget = replace(tiny, student=kind)
    record = ukd.distill(
        task,
        ukd.get_method("universal-kd"),
        teacher,
        config=budget,
        seed=1,
        runtime=runtime,
        folder=tmp_path,
    )
    assert set(record["scores"]["validation"]) == {"pearson", "spearman"}


def test_its_own_loss_is_the_librarys_kind(kind, task, teacher):
    network = new_student(kind, teacher.folder, task, seed=1).eval()
    batch = load_tokenizer(teacher.folder)(
        ["the meal was good", "the meal was bad"], padding=True, return_tensors="pt"
    )
    labels = torch.tensor([1, 0])
    found = network(**batch, labels=labels)
    torch.testing.assert_close(found.loss, torch.nn.functional.cross_entropy(found.logits, labels))


def test_an_unknown_student_is_refused(task, teacher):
    with pytest.raises(
        ValueError, match="unknown student 'gru'; choose one of: layers, bilstm, gated-cnn"
    ):
        new_student("gru", teacher.folder, task, seed=1)


def test_a_pretrained_student_with_its_own_tokenizer_meets_the_teacher_by_row(
    task, tiny, teacher, runtime, tmp_path
):
    """Its tokens are others than the teacher's, and kept and live answers of the teacher are still the same."""
    other = encoder_from_nothing(
        replace(tiny, vocabulary=700, teacher_depth=3, pretrain_steps=3), runtime
    )
    budget = replace(tiny, student=str(other))
    kept, asked = (
        ukd.distill(
            task,
            ukd.get_method("universal-kd"),
            teacher,
            config=budget,
            seed=1,
            runtime=runtime,
            folder=tmp_path,
            live_teacher=live,
        )
        for live in (False, True)
    )
    assert kept["settings"]["student"].startswith(other.name[:7]) and str(other) not in str(
        kept["settings"]
    )
    assert len(kept["attention"]["mean"]) == 2
    assert kept["history"]["teacher"]["curve"][-1] == pytest.approx(
        asked["history"]["teacher"]["curve"][-1], rel=1e-3
    )
    words = pipeline("text-classification", model=str(Path(kept["folder"]) / "student"))
    assert words.tokenizer.vocab_size != load_tokenizer(teacher.folder).vocab_size
    assert words("the meal was good")[0]["label"] in ("negative", "positive")


@pytest.mark.parametrize(
    ("pick", "kept"), [("first", [0, 1]), ("spread", [1, 3]), ("last", [2, 3])]
)
def test_layers_are_picked_as_asked(pick, kept, task, teacher, tmp_path):
    whole = load_classifier(teacher.folder, task, seed=0)
    part = load_classifier(teacher.folder, task, seed=0, layers=2, pick=pick)
    for mine, number in zip(part.bert.encoder.layer, kept, strict=True):
        assert all(
            torch.equal(a, b)
            for a, b in zip(
                mine.parameters(), whole.bert.encoder.layer[number].parameters(), strict=True
            )
        )
    part.save_pretrained(tmp_path)
    again = load_classifier(tmp_path, task, seed=0)
    inputs = {"input_ids": torch.arange(5, 25).reshape(2, 10)}
    torch.testing.assert_close(again.eval()(**inputs).logits, part.eval()(**inputs).logits)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_gated_cnn_runs_in_half_precision(dtype, task, teacher):
    network = new_student("gated-cnn", teacher.folder, task, seed=1).to(dtype)
    assert network(torch.arange(5, 25).reshape(2, 10)).logits.dtype == dtype


def test_a_student_that_can_not_be_made_is_refused_before_the_teacher_is(capsys, monkeypatch):
    monkeypatch.setattr(
        "ukd.teacher.train_teacher", lambda *_, **__: pytest.fail("the teacher was made")
    )
    for command in (["run", "--task", "sentiment"], ["reproduce"]):
        assert main([*command, "--profile", "smoke", "--student", "bilstmm"]) == 2
        assert (
            "unknown student 'bilstmm'; choose one of: layers, bilstm, gated-cnn"
            in capsys.readouterr().err
        )
        assert main([*command, "--profile", "smoke", "--embeddings", "teacher"]) == 2
        assert "'layers' brings its own" in capsys.readouterr().err


def test_the_teachers_own_encoder_can_be_the_student(task, tiny, teacher, runtime, tmp_path):
    source = ukd.teacher.resolve_encoder(teacher.encoder)[0]
    record = ukd.distill(
        task,
        ukd.get_method("kd"),
        teacher,
        config=replace(tiny, student=source),
        seed=1,
        runtime=runtime,
        folder=tmp_path,
    )
    assert (
        record["settings"]["student_layers"] is None
        and record["student_parameters"] == teacher.about["parameters"]
    )


def test_layers_that_are_shared_can_not_be_picked_from(task, teacher, tmp_path):
    sizes = {
        "hidden_size": 16,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "embedding_size": 16,
    }
    config = AlbertConfig(vocab_size=500, **sizes)
    AutoModel.from_config(config).save_pretrained(tmp_path)
    with pytest.raises(
        ValueError, match="no stack of 4 layers of their own to pick from: take its first layers"
    ):
        load_classifier(tmp_path, task, seed=0, layers=2, pick="last")
    with pytest.raises(
        ValueError, match="unknown pick 'middle' of layers; choose one of: first, spread, last"
    ):
        load_classifier(teacher.folder, task, seed=0, layers=2, pick="middle")


@pytest.mark.parametrize("kind", list(STUDENTS))
def test_embeddings_start_from_the_teachers_or_from_a_file(
    kind, task, tiny, teacher, runtime, tmp_path
):
    theirs = load_classifier(teacher.folder, task, seed=0).get_input_embeddings().weight
    network = new_student(kind, teacher.folder, task, seed=1, embeddings="teacher")
    assert (
        torch.equal(network.words.weight, theirs) and network.config.embedding_size == 16
    )  # wider inside: 128
    vectors = tmp_path / "vectors.txt"
    vectors.write_text(
        "400000 3\nthe 1 2 3\nwas -1 0.5 2\nat me@example.org 0.1 0.2 0.3\nunheardof 1 1 1\n"
    )
    network = new_student(kind, teacher.folder, task, seed=1, embeddings=str(vectors))
    tokens = load_tokenizer(teacher.folder).get_vocab()
    assert network.words.weight[tokens["the"]].tolist() == [1, 2, 3] and network.words.weight[
        tokens["was"]
    ].tolist() == [-1, 0.5, 2]
    assert network.words.weight.shape[1] == 3
    budget = replace(tiny, student=kind, embeddings=str(vectors))
    record = ukd.distill(
        task,
        ukd.get_method("no-kd"),
        teacher,
        config=budget,
        seed=1,
        runtime=runtime,
        folder=tmp_path / "runs",
    )
    assert record["settings"]["embeddings"] and str(tmp_path) not in str(record["settings"])
    for wrong in ("no-such-file", str(tmp_path / "empty.txt")):
        (tmp_path / "empty.txt").write_text("nothing here\n")
        with pytest.raises(ValueError, match="neither|holds no word"):
            new_student(kind, teacher.folder, task, seed=1, embeddings=wrong)
    with pytest.raises(ValueError, match="'layers' brings its own"):
        ukd.distill(
            task,
            ukd.get_method("no-kd"),
            teacher,
            config=replace(tiny, embeddings="teacher"),
            seed=1,
            runtime=runtime,
        )


def test_the_bilstm_is_torchs_on_packed_sequences():
    ours, theirs = BiLSTMLayer(8), torch.nn.LSTM(8, 4, batch_first=True, bidirectional=True)
    theirs.load_state_dict(
        {
            **ours.onwards.state_dict(),
            **{f"{name}_reverse": weights for name, weights in ours.backwards.state_dict().items()},
        }
    )
    states, lengths = torch.randn(3, 6, 8), torch.tensor([6, 2, 4])
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        states, lengths, batch_first=True, enforce_sorted=False
    )
    expected = torch.nn.utils.rnn.pad_packed_sequence(theirs(packed)[0], batch_first=True)[0]
    mask = torch.arange(6) < lengths.unsqueeze(1)
    torch.testing.assert_close(ours(states, mask)[mask], expected[mask])


def test_the_gated_cnn_is_torchs_convolution():
    gated, states = GatedConvLayer(8, 5), torch.randn(2, 6, 8)
    mask = torch.ones(2, 6)
    shown = gated.convolution(gated.norm(states).transpose(1, 2))
    expected = states + torch.nn.functional.glu(shown, dim=1).transpose(1, 2)
    torch.testing.assert_close(gated(states, mask), expected)


def test_a_student_may_start_from_the_teachers_layers_as_fine_tuned(
    task, tiny, teacher, runtime, tmp_path
):
    tuned, records = replace(tiny, student_init="teacher"), {}
    options = {"seed": 1, "compute": runtime, "folder": tmp_path}
    for name in ("kd", "takd"):
        records[name] = ukd.distill(task, ukd.get_method(name), teacher, config=tuned, **options)
    start = fine_tuned_encoder(teacher, task)
    made = [
        DistillationRun(
            task, ukd.get_method("kd"), teacher, tuned, seed, "", {}, runtime, tmp_path, start
        )
        .make_student()
        .network
        for seed in (1, 2)
    ]
    theirs = load_classifier(teacher.folder, task, seed=0)
    for layer, same in zip(
        made[0].base_model.encoder.layer, theirs.base_model.encoder.layer, strict=False
    ):
        assert all(
            torch.equal(a, b) for a, b in zip(layer.parameters(), same.parameters(), strict=True)
        )
    assert not torch.equal(
        made[0].classifier.weight, theirs.classifier.weight
    )  # drawn by the seed, not the teacher's
    assert not torch.equal(made[0].classifier.weight, made[1].classifier.weight)
    assert (
        "layers as the fine-tuned teacher has them"
        in setting(records["kd"])
        == setting(records["takd"])
    )
    plain = ukd.distill(task, ukd.get_method("kd"), teacher, config=tiny, **options)
    assert setting(plain) != setting(records["kd"]) and "fine-tuned teacher" not in setting(plain)
    with pytest.raises(
        ValueError, match="unknown start 'end' of the student; choose one of: pretrained, teacher"
    ):
        ukd.distill(
            task, ukd.get_method("kd"), teacher, config=replace(tiny, student_init="end"), **options
        )
