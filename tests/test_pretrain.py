"""Pretraining of an encoder: its text, its losses, a run that is killed, and what it refuses."""

import gzip
import json
import lzma
import random
from dataclasses import replace
from itertools import islice

import pytest
import torch
import transformers
from packaging.version import Version
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer
from typer.testing import CliRunner

from data.encoder.make import __main__ as command
from data.encoder.make import calibration, pretrain
from data.encoder.make.batches import IGNORED, SegmentBatches
from data.encoder.make.documents import (
    fingerprint,
    held_out_count,
    mixture,
    read_documents,
    split_passages,
)
from data.encoder.make.network import BertPretraining, grown, narrow_bert, stages_of
from data.encoder.make.pretrain import pretrain_encoder
from data.encoder.make.segments import POOL, segment_pairs, spoil
from data.encoder.make.settings import PretrainingConfig, WrongSegments
from data.encoder.make.tokenizer import load_tokenizer
from data.synthetic.make import discourse
from ukd.models.bundled import bundled_encoder

TEXT = "\n\n".join("\n".join(islice(discourse(seed), 40)) for seed in range(5))
SMALL = PretrainingConfig("small", 3, 32, vocabulary=400, batch_size=8, max_length=32)


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(bundled_encoder(), 32)


@pytest.fixture(scope="module")
def text_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt.xz"
    with lzma.open(path, "wt", encoding="utf-8") as file:
        file.write(TEXT)
    return path


@pytest.fixture
def quick(monkeypatch, tmp_path, tokenizer):
    """Pretraining in seconds, in a cache of its own.

    It takes the bundled tokenizer: the library's trainer breaks ties by chance.
    """
    monkeypatch.setenv("UKD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pretrain, "UNIGRAM_BATCHES", 10)
    monkeypatch.setattr(pretrain, "train_tokenizer", lambda *_: tokenizer)


def record_of(folder):
    return json.loads((folder / "pretraining.json").read_text(encoding="utf-8"))


# --- the text


def test_documents_are_read_plain_or_compressed(text_file, tmp_path):
    documents = read_documents(text_file)
    assert [len(document) for document in documents] == [40] * 5
    plain = tmp_path / "plain.txt"
    plain.write_text(TEXT, encoding="utf-8")
    assert fingerprint(read_documents(plain)) == fingerprint(documents)


def test_passages_lose_nothing_and_repeat_nothing(text_file):
    document = read_documents(text_file)[0]
    passages = list(split_passages(document, 30, random.Random(1)))
    assert " ".join(passages) == " ".join(document)
    assert all(len(text.split()) <= 30 or text.count(". ") == 0 for text in passages)


def test_a_text_that_is_missing_or_too_short_is_refused(tmp_path):
    path = tmp_path / "text.txt"
    with pytest.raises(ValueError, match="no text file at"):
        read_documents(path)
    path.write_text("one\n\ntwo", encoding="utf-8")
    with pytest.raises(ValueError, match="2 documents .*are held out"):
        read_documents(path)


def test_a_damaged_text_is_refused(text_file, tmp_path):
    torn = bytearray(gzip.compress(TEXT.encode()))
    torn[40:60] = b"?" * 20
    damaged = {
        "cut.xz": text_file.read_bytes()[:99],
        "wrong.gz": b"no gzip",
        "torn.gz": torn,
        "latin.txt": "Über".encode("latin-1"),
    }
    for name, content in damaged.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name} can't be read as UTF-8 text"):
            read_documents(tmp_path / name)


def test_short_documents_are_held_out_until_there_are_enough():
    assert held_out_count([9] * 10, 5) == held_out_count([1] * 10, 5) == 2, "two at least"
    assert held_out_count([1] * 100, 5) == 5
    assert held_out_count([1] * 30, 5) == 3, "a tenth at most"


def test_empty_lines_between_paragraphs_are_noticed_before_the_training(quick, tmp_path, cpu):
    path = tmp_path / "text.txt"
    path.write_text("\n\n".join(islice(discourse(1), 20)), encoding="utf-8")
    with pytest.raises(ValueError, match="put empty lines between documents and not between"):
        pretrain_encoder(path, tmp_path / "out", config=SMALL, steps=9, runtime=cpu)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_mixture_keeps_its_share(share):
    found = list(islice(mixture(["PROSE"], share)(3), 2000))
    assert found.count("PROSE") / 2000 == pytest.approx(share, abs=0.04)
    assert found == list(islice(mixture(["PROSE"], share)(3), 2000))


# --- segments and batches


def test_about_half_of_the_second_segments_are_wrong_and_wrong_ones_differ():
    pairs = list(islice(segment_pairs(discourse(7), random.Random(0), WrongSegments()), 2000))
    assert 0.40 < sum(shown != right for shown, right in pairs) / len(pairs) < 0.5


def test_wrong_segments_of_each_kind_occur():
    segments = ("Nils was saved by Laura in the hotel.", "Nils was rescued by Laura in the hotel.")
    uncapitalised = {"was", "by", "in", "the", "hotel"}
    stock = {"name": ["Nils", "Laura", "Olga"], "the": ["hotel", "garden"]}
    changed = set()
    for seed in range(400):
        rng = random.Random(seed)
        changed.add(spoil(segments, "Another.", stock, uncapitalised, rng, WrongSegments()))
    assert segments[1] in changed and "Another." in changed
    assert "Laura was rescued by Nils in the hotel." in changed, "two of a kind exchanged"
    replaced = {
        "Olga was rescued by Laura in the hotel.",
        "Nils was rescued by Laura in the garden.",
    }
    assert replaced <= changed, "one replaced by another of its kind"


def test_the_right_word_is_asked_for_wherever_another_is_shown(tokenizer):
    text = SegmentBatches(tokenizer, 32, 8, discourse)
    right = [2, 10, 12, 11, 13, 14, 15, 3]
    asked = set()
    for seed in range(20):
        labels = torch.full((8,), IGNORED)
        shown = [2, 10, 11, 12, 13, 14, 15, 3]
        text.ask_for_right_words(labels, shown, right, random.Random(seed))
        assert labels[[2, 3]].tolist() == [12, 11]
        kept = [place for place in (1, 4, 5, 6) if labels[place] != IGNORED]
        assert all(labels[place] == right[place] for place in kept) and len(kept) <= 2
        asked |= set(kept)
    assert asked == {1, 4, 5, 6}, "where the shown word is right, it is asked for as well"


@pytest.mark.parametrize("shown", [[2, 10, 3], [2, 20, 21, 22, 23, 24, 25, 3]])
def test_nothing_is_asked_of_a_segment_with_another_length_or_little_in_common(shown, tokenizer):
    text = SegmentBatches(tokenizer, 32, 8, discourse)
    labels = torch.full((8,), IGNORED)
    text.ask_for_right_words(labels, shown, [2, 10, 12, 11, 13, 14, 15, 3], random.Random(0))
    assert (labels == IGNORED).all()


def test_text_has_a_random_generator_of_its_own(tokenizer):
    text = SegmentBatches(tokenizer, 32, 8, discourse)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, again, other = (list(islice(text.batches(discourse(5), seed=s), 3)) for s in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())

    def tokens(batches):
        return [batch.inputs["input_ids"].tolist() for batch in batches]

    assert tokens(first) == tokens(again) != tokens(other)
    masked = sum(int((batch.labels != IGNORED).sum()) for batch in first)
    shown = sum(int(batch.inputs["attention_mask"].sum()) for batch in first)
    assert 0.05 < masked / shown < 0.25
    special = torch.tensor(tokenizer.all_special_ids)
    assert not any(torch.isin(batch.labels, special).any() for batch in first)


@pytest.mark.skipif(
    Version(transformers.__version__) < Version("5.20"),
    reason="collators of transformers before 5.20 mask other words in every batch",
)
def test_processes_share_a_batch_and_every_epoch_has_text_of_its_own(tokenizer):
    text = SegmentBatches(tokenizer, 32, 8, discourse)
    whole = next(text.epoch(0, 1, 0, 0, 1))
    halves = [next(text.epoch(0, 1, 0, rank, 2)) for rank in (0, 1)]
    for rank, half in enumerate(halves):
        assert torch.equal(half.inputs["input_ids"], whole.inputs["input_ids"][rank::2])
    later = next(text.epoch(0, 1, 1, 0, 1))
    assert later.inputs["input_ids"].tolist() != whole.inputs["input_ids"].tolist()


def test_a_batch_may_be_larger_than_the_pool(tokenizer):
    text = SegmentBatches(tokenizer, 32, POOL + 8, discourse)
    assert next(text.batches(discourse(5), seed=1)).labels.shape[0] == POOL + 8


# --- the network


def test_the_stages_double_the_depth_and_copy_the_layers():
    assert [layers for layers, _ in stages_of(12, 1000)] == [3, 6, 12]
    assert sum(steps for _, steps in stages_of(12, 1000)) == 1000
    small = grown(None, narrow_bert(SMALL, 2, 100), seed=1)
    large = grown(small, narrow_bert(SMALL, 4, 100), seed=2)
    for index, layer in enumerate(large.bert.encoder.layer):
        source = small.bert.encoder.layer[index % 2].state_dict()
        assert all(torch.equal(value, source[name]) for name, value in layer.state_dict().items())
    words = [network.bert.embeddings.word_embeddings.weight for network in (small, large)]
    assert torch.equal(*words)


def test_the_loss_at_masked_positions_equals_the_librarys_over_all(tokenizer):
    network = grown(None, narrow_bert(SMALL, 2, len(tokenizer)), seed=1).eval()
    batch = next(SegmentBatches(tokenizer, 32, 8, discourse).batches(discourse(5), seed=1))
    ours = sum(BertPretraining(network)(batch.labels, batch.rows, **batch.inputs))
    output = network(**batch.inputs, labels=batch.labels, next_sentence_label=batch.rows)
    torch.testing.assert_close(ours, output.loss)


# --- whole runs


@pytest.mark.long
def test_a_killed_pretraining_resumes_bit_exactly(
    quick, text_file, cpu, tmp_path, killed, monkeypatch
):
    def make(name):
        return pretrain_encoder(text_file, tmp_path / name, config=SMALL, steps=20, runtime=cpu)

    whole = load_file(make("whole") / "model.safetensors")
    monkeypatch.setenv("UKD_CACHE", str(tmp_path / "other cache"))
    with killed(5):
        make("again")
    assert not (tmp_path / "again").exists()
    again = load_file(make("again") / "model.safetensors")
    assert whole.keys() == again.keys()
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    assert all(tensor.dtype == torch.float16 for tensor in whole.values())
    record = record_of(tmp_path / "again")
    assert [stage["layers"] for stage in record["stages"]] == [3, 3, 3]
    assert set(record["unigram"]) == {"prose", "discourse"}
    sums = (tmp_path / "again" / "SHA256SUMS").read_text()
    assert "model.safetensors" in sums and "tokenizer.json" in sums
    with pytest.raises(FileExistsError, match="encoders are never overwritten"):
        make("again")


@pytest.mark.long
def test_an_encoder_loads_as_any_transformers_model(text_file, cpu, tmp_path, monkeypatch):
    """With a tokenizer that is trained on the text; the others take the bundled one."""
    monkeypatch.setenv("UKD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pretrain, "UNIGRAM_BATCHES", 10)
    config = replace(SMALL, layers=6)
    out = pretrain_encoder(text_file, tmp_path / "out", config=config, steps=9, runtime=cpu)
    tokens = AutoTokenizer.from_pretrained(out)("Anna is here.", return_tensors="pt")
    model = AutoModel.from_pretrained(out)
    assert model.config.num_hidden_layers == 6 and model.config.hidden_dropout_prob > 0
    assert model(**tokens).last_hidden_state.shape[-1] == SMALL.width
    words = AutoModelForMaskedLM.from_pretrained(out)(**tokens).logits.shape[-1]
    assert words == record_of(out)["vocabulary"] <= SMALL.vocabulary
    assert all(stage["curve"] for stage in record_of(out)["stages"])


@pytest.mark.long
@pytest.mark.parametrize(
    ("share", "read"),
    [(0.0, {"discourse"}), (0.5, {"prose", "discourse"}), (1.0, {"prose"})],
)
def test_a_pretraining_is_judged_by_what_it_reads(share, read, quick, text_file, cpu, tmp_path):
    config = replace(SMALL, text_share=share)
    out = pretrain_encoder(text_file, tmp_path / "out", config=config, steps=9, runtime=cpu)
    stages = record_of(out)["stages"]
    assert all(set(stage["held_out"]) == read for stage in stages)
    last = [losses["masked words"] for losses in stages[-1]["held_out"].values()]
    best = max(epoch["dev"] for epoch in stages[-1]["epochs"])
    assert sum(last) / len(last) == pytest.approx(-best, rel=1e-4)


@pytest.mark.long
def test_minutes_become_steps_once(quick, text_file, cpu, tmp_path, monkeypatch, killed):
    def make():
        return pretrain_encoder(
            text_file, tmp_path / "out", config=SMALL, minutes=0.02, runtime=cpu
        )

    with monkeypatch.context() as patch, killed(2):
        patch.setattr(pretrain, "steps_for_minutes", lambda *_: 30)
        make()
    monkeypatch.setattr(pretrain, "steps_for_minutes", lambda *_: pytest.fail("calibrated again"))
    record = record_of(make())
    plan = next((tmp_path / "cache" / "pretraining").rglob("stages.json"))
    stages = json.loads(plan.read_text(encoding="utf-8"))["stages"]
    assert record["minutes asked for"] == 0.02
    taken = [stage["epochs"][-1]["step"] for stage in record["stages"]]
    assert taken == [steps // 3 * 3 for _, steps in stages]


@pytest.mark.long
def test_a_calibration_gives_steps(tokenizer, cpu, monkeypatch):
    monkeypatch.setattr(calibration, "FEW_STEPS", 1)
    monkeypatch.setattr(calibration, "MANY_STEPS", 5)
    text = SegmentBatches(tokenizer, 32, 8, discourse)
    one, two = (pretrain.steps_for_minutes(minutes, SMALL, text, cpu) for minutes in (1, 10))
    assert 0 < one < two


@pytest.mark.long
def test_an_encoder_that_appears_meanwhile_is_kept(quick, text_file, cpu, tmp_path, monkeypatch):
    out = tmp_path / "new" / "out"

    def save_late(*_, **__):
        out.mkdir()
        (out / "theirs").touch()

    monkeypatch.setattr(pretrain, "save", save_late)
    with pytest.raises(FileExistsError, match="made by another process meanwhile"):
        pretrain_encoder(text_file, out, config=SMALL, steps=9, runtime=cpu)
    assert [path.name for path in (tmp_path / "new").rglob("*")] == ["out", "theirs"]


# --- refusals


def test_settings_that_can_not_be_used_are_refused():
    with pytest.raises(ValueError, match="multiple of 32, got 100"):
        replace(SMALL, width=100)
    with pytest.raises(ValueError, match="between 0 and 1, got 2"):
        replace(SMALL, text_share=2.0)


@pytest.mark.parametrize("shares", [(1, 1, 1, 1), (-1, 0, 0, 0), (float("nan"), 0, 0, 0)])
def test_wrong_segments_are_probabilities(shares):
    with pytest.raises(ValueError, match="must be four probabilities"):
        WrongSegments(*shares)


@pytest.mark.parametrize("budget", [{}, {"steps": 1, "minutes": 1.0}])
def test_steps_or_minutes_are_given(budget, text_file, cpu, tmp_path):
    with pytest.raises(ValueError, match="either steps or minutes"):
        pretrain_encoder(text_file, tmp_path / "out", config=SMALL, runtime=cpu, **budget)


def test_the_command_says_what_is_wrong(text_file, tmp_path, monkeypatch):
    app = command.typer.Typer()
    app.command()(command.main)
    arguments = ["--text", str(text_file), "--out", str(tmp_path / "out"), "--steps", "9"]
    answer = CliRunner().invoke(app, [*arguments, "--width", "100"])
    assert answer.exit_code == 2 and "multiple of 32" in answer.output
    monkeypatch.setattr(command, "pretrain_encoder", lambda text, out, **_: out)
    answer = CliRunner().invoke(app, arguments)
    assert answer.exit_code == 0 and answer.output.strip().endswith("out")
