"""The encoder from nothing, and the teacher made of it: deterministic, cached by what made it, never half-made."""

import gzip
import json
import lzma
import os
import random
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import ukd
from data.encoder.make import pretrain
from data.encoder.make.cooccurrence import set_words, word_vectors
from data.encoder.make.masked import Pretraining
from data.encoder.make.pretrain import encoder_from_nothing, encoder_from_text, stack, stacking
from data.encoder.make.prose import documents, fingerprint, held_out_documents, mixture, passages
from data.encoder.make.text import POOL, PairedText, examples, spoil
from data.encoder.make.tokenizer import wordpiece
from data.synthetic.make import discourse
from ukd.cli.main import main
from ukd.config.paths import cache_folder, data_folder
from ukd.models.encoders import narrow_bert
from ukd.training.teacher import train_teacher


@pytest.fixture(scope="module")
def tokenizer():
    return wordpiece(islice(discourse(1), 500), 400, 32)


def test_training_again_gives_the_same_weights(tiny, runtime, tmp_path, monkeypatch):
    first = load_file(encoder_from_nothing(tiny, runtime) / "model.safetensors")
    monkeypatch.setenv("UKD_CACHE", str(tmp_path))
    again = load_file(encoder_from_nothing(tiny, runtime) / "model.safetensors")
    assert first.keys() == again.keys() and all(
        torch.equal(first[name], again[name]) for name in first
    )


def test_the_encoder_loads_as_any_transformers_model(tiny, runtime):
    from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer

    folder = encoder_from_nothing(tiny, runtime)
    tokens = AutoTokenizer.from_pretrained(folder)(
        "Anna is taller than Bruno.", return_tensors="pt"
    )
    assert AutoModel.from_pretrained(folder)(**tokens).last_hidden_state.shape[-1] == tiny.width
    assert (
        AutoModelForMaskedLM.from_pretrained(folder)(**tokens).logits.shape[-1] <= tiny.vocabulary
    )


def test_changed_settings_are_a_new_encoder_and_a_new_teacher(
    task, tiny, runtime, teacher, monkeypatch
):
    count = lambda kind: len(
        [p for p in (cache_folder() / kind).iterdir() if not p.name.startswith(".")]
    )
    before = count("encoders"), count("teachers")
    encoder_from_nothing(replace(tiny, pretrain_steps=15), runtime)
    assert train_teacher(task, config=tiny, runtime=runtime).key == teacher.key
    assert train_teacher(task, config=tiny, runtime=runtime, seed=7).key != teacher.key
    assert train_teacher(task, config=tiny, runtime=runtime, learning_rate=7e-4).key != teacher.key
    assert (count("encoders"), count("teachers")) == (before[0] + 1, before[1] + 2)


def test_a_pretraining_that_is_killed_leaves_nothing_that_looks_whole(tiny, runtime, monkeypatch):
    def die(*args, **kwargs):
        raise KeyboardInterrupt

    encoder_from_nothing(tiny, runtime)
    before = sorted((cache_folder() / "encoders").iterdir())
    monkeypatch.setattr(pretrain, "save", die)
    with pytest.raises(KeyboardInterrupt):
        encoder_from_nothing(replace(tiny, pretrain_steps=12), runtime)
    assert sorted((cache_folder() / "encoders").iterdir()) == before


def test_an_encoder_in_a_folder_is_known_by_its_content_and_not_by_its_path(
    task, tiny, runtime, tmp_path
):
    import shutil

    folder = encoder_from_nothing(tiny, runtime)
    for name in ("one", "two"):
        shutil.copytree(folder, tmp_path / name / "encoder")
    keys = [
        train_teacher(
            task, config=tiny, encoder=str(tmp_path / name / "encoder"), runtime=runtime
        ).key
        for name in ("one", "two")
    ]
    assert keys[0] == keys[1]
    os.remove(tmp_path / "two" / "encoder" / "model.safetensors")
    with pytest.raises(ValueError, match="no model could be loaded"):
        train_teacher(task, config=tiny, encoder=str(tmp_path / "two" / "encoder"), runtime=runtime)
    with pytest.raises(ValueError, match="pass a folder made by save_pretrained"):
        train_teacher(task, config=tiny, encoder="no/such/model", runtime=runtime)


def test_the_student_can_not_have_more_layers_than_the_encoder(task, tiny, teacher, runtime):
    with pytest.raises(ValueError, match="has 4 layers, so its first 9 can't be taken"):
        ukd.distill(
            task,
            ukd.get_method("kd"),
            teacher,
            config=replace(tiny, student_depth=9),
            seed=1,
            runtime=runtime,
        )


def test_the_stages_double_the_depth_and_copy_the_layers(tiny):
    assert [layers for layers, _ in stacking(12, 1000)] == [3, 6, 12]
    assert sum(steps for _, steps in stacking(12, 1000)) == 1000
    small = stack(None, narrow_bert(replace(tiny, teacher_depth=2), 100, 1))
    large = stack(small, narrow_bert(replace(tiny, teacher_depth=4), 100, 2))
    for index in range(4):
        for one, other in zip(
            large.bert.encoder.layer[index].parameters(),
            small.bert.encoder.layer[index % 2].parameters(),
            strict=True,
        ):
            assert torch.equal(one, other)
    assert torch.equal(
        large.bert.embeddings.word_embeddings.weight, small.bert.embeddings.word_embeddings.weight
    )


def test_the_loss_at_masked_positions_equals_the_librarys_over_all(tiny, tokenizer):
    network = stack(None, narrow_bert(replace(tiny, teacher_depth=2), len(tokenizer), 1)).eval()
    batch = next(PairedText(tokenizer, 32, 8).batches(discourse(5), seed=1))
    ours = sum(Pretraining(network)(batch.labels, batch.rows, **batch.inputs))
    theirs = network(**batch.inputs, labels=batch.labels, next_sentence_label=batch.rows).loss
    torch.testing.assert_close(ours, theirs)


def test_a_batch_larger_than_the_pool_is_made(tokenizer):
    assert (
        next(PairedText(tokenizer, 32, POOL + 8).batches(discourse(5), seed=1)).labels.shape[0]
        == POOL + 8
    )


def test_text_is_masked_by_its_own_dice(tokenizer):
    text = PairedText(tokenizer, 32, 8)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = list(islice(text.batches(discourse(5), seed=1), 3))
    assert torch.equal(before, torch.get_rng_state())
    again = list(islice(text.batches(discourse(5), seed=1), 3))
    other = list(islice(text.batches(discourse(5), seed=2), 3))
    same = lambda a, b: all(
        x.inputs["input_ids"].equal(y.inputs["input_ids"]) for x, y in zip(a, b, strict=True)
    )
    assert same(first, again) and not same(first, other)
    masked = torch.cat([(batch.labels != -100).sum().view(1) for batch in first]).sum()
    shown = sum(int(batch.inputs["attention_mask"].sum()) for batch in first)
    assert 0.05 < masked / shown < 0.25
    for batch in first:
        special = torch.isin(batch.labels, torch.tensor(tokenizer.all_special_ids))
        assert not special.any(), "special tokens are never to guess"


def test_about_half_of_the_second_segments_are_wrong_and_wrong_ones_differ():
    rng = random.Random(0)
    found = list(islice(examples(discourse(7), rng), 2000))
    assert 0.40 < sum(shown != right for shown, right in found) / len(found) < 0.5
    segments = ("Nils was saved by Laura in the hotel.", "Nils was rescued by Laura in the hotel.")
    plain, stock = (
        {"was", "by", "in", "the", "hotel"},
        {"name": ["Nils", "Laura", "Olga"], "the": ["hotel", "garden"]},
    )
    changed = {
        spoil(segments, "Something else entirely.", stock, plain, random.Random(seed))
        for seed in range(400)
    }
    assert (
        "Laura was rescued by Nils in the hotel." in changed
        and segments[1] in changed
        and "Something else entirely." in changed
    )
    assert {
        "Olga was rescued by Laura in the hotel.",
        "Nils was rescued by Laura in the garden.",
    } <= changed, "replaced by one of its kind"


def test_the_right_word_is_asked_for_wherever_another_is_shown(tokenizer):
    text = PairedText(tokenizer, 32, 8)
    right, asked = [2, 10, 12, 11, 13, 14, 15, 3], set()
    for seed in range(20):
        labels = torch.full((8,), -100)
        text.ask_for_the_right_word(
            labels, [2, 10, 11, 12, 13, 14, 15, 3], right, random.Random(seed)
        )
        assert labels[[2, 3]].tolist() == [12, 11]
        kept = [place for place in (1, 4, 5, 6) if labels[place] != -100]
        assert all(labels[place] == right[place] for place in kept) and len(kept) <= 2
        asked |= set(kept)
    assert asked == {1, 4, 5, 6}, "where the shown word is right, it is asked for as well"
    for shown in ([2, 10, 3], [2, 20, 21, 22, 23, 24, 25, 3]):
        untouched = torch.full((8,), -100)
        text.ask_for_the_right_word(
            untouched, shown, [2, 10, 12, 11, 13, 14, 15, 3], random.Random(0)
        )
        assert (untouched == -100).all(), "another length, or little in common: nothing is asked"


def test_the_encoder_says_how_it_was_made(tiny, runtime):
    folder = encoder_from_nothing(tiny, runtime)
    said = json.loads((folder / "pretraining.json").read_text())
    assert [stage["layers"] for stage in said["stages"]] == [3, 3, 4]
    assert all(
        stage["held_out"]["discourse"]["masked words"] > 0 and stage["curve"]
        for stage in said["stages"]
    )


# --- from a text file -------------------------------------------------------------------------------------------------------

TEXT = "\n\n".join("\n".join(islice(discourse(seed), 40)) for seed in range(5))


@pytest.fixture(scope="module")
def text_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt.xz"
    with lzma.open(path, "wt", encoding="utf-8") as file:
        file.write(TEXT)
    return path


SMALL = {"width": 32, "teacher_layers": 3, "vocabulary": 400, "pretrain_batch": 8, "max_length": 32}


def test_documents_and_passages(text_file, tmp_path):
    texts = documents(text_file)
    assert len(texts) == 5 and all(len(document) == 40 for document in texts)
    plain = tmp_path / "plain.txt"
    plain.write_text(TEXT, encoding="utf-8")
    assert fingerprint(documents(plain)) == fingerprint(texts), "the same text, however compressed"
    found = list(passages(texts[0], 30, random.Random(1)))
    assert " ".join(found) == " ".join(texts[0]), "nothing is lost and nothing is twice"
    assert all(len(text.split()) <= 30 or text.count(". ") == 0 for text in found)
    plain.write_text("one\n\ntwo", encoding="utf-8")
    with pytest.raises(ValueError, match="2 documents .*are held out"):
        documents(plain)
    with pytest.raises(ValueError, match="no text file at"):
        documents(tmp_path / "missing.txt")
    torn = bytearray(gzip.compress(TEXT.encode()))
    torn[40:60] = b"?" * 20
    for name, content in (
        ("cut.xz", text_file.read_bytes()[:99]),
        ("wrong.gz", b"no gzip"),
        ("torn.gz", torn),
        ("latin.txt", "Über".encode("latin-1")),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name} can't be read as UTF-8 text"):
            documents(tmp_path / name)


def test_short_documents_are_held_out_until_there_are_enough(tmp_path, runtime):
    assert held_out_documents([9] * 10, 5) == held_out_documents([1] * 10, 5) == 2, "two at least"
    assert held_out_documents([1] * 100, 5) == 5 and held_out_documents([1] * 30, 5) == 3, (
        "a tenth at most"
    )
    path = tmp_path / "short.txt"
    path.write_text("\n\n".join(islice(discourse(1), 400)), encoding="utf-8")
    out = encoder_from_text(str(path), str(tmp_path / "out"), steps=9, runtime=runtime, **SMALL)
    assert json.loads((out / "pretraining.json").read_text())["text"]["documents"] == 400


def test_an_encoder_that_appears_meanwhile_is_kept(text_file, runtime, tmp_path, monkeypatch):
    make = lambda: encoder_from_text(
        text_file, tmp_path / "new" / "out", steps=9, runtime=runtime, **SMALL
    )

    def save_late(*args, **shards):
        (tmp_path / "new" / "out").mkdir()
        (tmp_path / "new" / "out" / "theirs").touch()

    with (
        monkeypatch.context() as patch,
        pytest.raises(FileExistsError, match="made by another meanwhile"),
    ):
        patch.setattr(pretrain, "save", save_late)
        make()
    assert [path.name for path in (tmp_path / "new").rglob("*")] == ["out", "theirs"]
    with pytest.raises(ValueError, match="multiple of 32, got 100"):
        encoder_from_text(
            text_file, tmp_path / "wide", steps=9, runtime=runtime, **SMALL | {"width": 100}
        )


def test_empty_lines_between_paragraphs_are_noticed_before_the_training(tmp_path, runtime):
    path = tmp_path / "text.txt"
    path.write_text("\n\n".join(islice(discourse(1), 20)), encoding="utf-8")
    with pytest.raises(
        ValueError, match="put empty lines between documents and not between paragraphs"
    ):
        encoder_from_text(path, tmp_path / "out", steps=9, runtime=runtime, **SMALL)


def test_another_depth_is_another_pretraining(text_file, runtime, tmp_path):
    layers = []
    for depth in (3, 6):
        out = encoder_from_text(
            text_file,
            tmp_path / str(depth),
            steps=9,
            runtime=runtime,
            **SMALL | {"teacher_layers": depth},
        )
        layers.append(json.loads((out / "config.json").read_text())["num_hidden_layers"])
    assert layers == [3, 6]


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_mixture_keeps_its_share(share):
    found = list(islice(mixture(["PROSE"], share)(3), 2000))
    assert found.count("PROSE") / 2000 == pytest.approx(share, abs=0.04)
    assert found == list(islice(mixture(["PROSE"], share)(3), 2000))


@pytest.mark.parametrize(
    ("share", "read"), [(0.0, {"discourse"}), (0.5, {"prose", "discourse"}), (1.0, {"prose"})]
)
def test_a_pretraining_is_judged_by_what_it_reads_alone(share, read, text_file, runtime, tmp_path):
    out = encoder_from_text(
        text_file, tmp_path / "out", steps=9, share=share, runtime=runtime, **SMALL
    )
    stages = json.loads((out / "pretraining.json").read_text())["stages"]
    assert all(set(stage["held_out"]) == read for stage in stages)
    last = [found["masked words"] for found in stages[-1]["held_out"].values()]
    assert sum(last) / len(last) == pytest.approx(
        -max(epoch["dev"] for epoch in stages[-1]["epochs"]), rel=1e-4
    )


def test_a_killed_pretraining_resumes_bit_exactly_and_is_sealed(
    text_file, runtime, tmp_path, monkeypatch, killed
):
    monkeypatch.setattr(
        pretrain, "trained_wordpiece", wordpiece
    )  # the library's trainer breaks ties by chance
    make = lambda name: encoder_from_text(
        text_file, tmp_path / name, steps=20, runtime=runtime, **SMALL
    )
    whole = load_file(make("whole") / "model.safetensors")
    monkeypatch.setenv("UKD_CACHE", str(tmp_path / "cache"))
    with killed(5):
        make("again")
    assert not (tmp_path / "again").exists()
    again = load_file(make("again") / "model.safetensors")
    assert whole.keys() == again.keys() and all(
        torch.equal(whole[name], again[name]) for name in whole
    )
    assert all(tensor.dtype == torch.float16 for tensor in whole.values())
    said = json.loads((tmp_path / "again" / "pretraining.json").read_text())
    assert [stage["layers"] for stage in said["stages"]] == [3, 3, 3] and set(said["unigram"]) == {
        "prose",
        "discourse",
    }
    sums = (tmp_path / "again" / "SHA256SUMS").read_text()
    assert "model.safetensors" in sums and "tokenizer.json" in sums
    with pytest.raises(FileExistsError, match="encoders are never overwritten"):
        make("again")


def test_minutes_become_steps_once(text_file, runtime, tmp_path, monkeypatch, killed):
    monkeypatch.setenv("UKD_CACHE", str(tmp_path / "cache"))
    make = lambda: encoder_from_text(
        text_file, tmp_path / "out", minutes=0.02, runtime=runtime, **SMALL
    )
    with monkeypatch.context() as patch, killed(2):
        patch.setattr(pretrain, "CALIBRATION_STEPS", (1, 2))
        patch.setattr(pretrain, "_calibrated", lambda *_: 30)
        make()
    monkeypatch.setattr(
        pretrain, "_calibrated", lambda *_: pytest.fail("calibrated again after an interruption")
    )
    out = make()
    said = json.loads((out / "pretraining.json").read_text())
    planned = json.loads(
        next((tmp_path / "cache" / "pretraining").rglob("stages.json")).read_text()
    )["stages"]
    assert said["minutes asked for"] == 0.02
    assert [stage["epochs"][-1]["step"] for stage in said["stages"]] == [
        steps // 3 * 3 for _, steps in planned
    ]


def two_kinds(count=400):
    """Lines in which cats and dogs stand next to the same words, and cars do not; token 0 never occurs."""
    rng = random.Random(0)
    animal = lambda: [rng.choice((1, 2)), rng.choice((3, 4)), rng.choice((5, 6))]
    return [animal() for _ in range(count)] + [[]] + [[7, rng.choice((8, 9))] for _ in range(count)]


def test_words_are_as_alike_as_what_stands_next_to_them():
    vectors, seen = word_vectors(two_kinds(), 10, 4)
    alike = vectors @ vectors.T
    assert alike[1, 2] > 0.9 > 0.5 > alike[1, 7] and alike[8, 9] > 0.9
    assert np.allclose(np.diag(alike)[1:], 1) and not vectors[0].any()
    assert seen.sum() == 400 * 5 and seen[0] == 0 and seen[7] == 400
    shared = np.zeros((10, 10))  # the same by a loop: only what stands in one line is near
    for line in two_kinds():
        for i, one in enumerate(line):
            for j, other in enumerate(line):
                shared[one, other] += i != j and abs(i - j) <= 5
    often = shared.sum(1)
    chance = often**0.75 / (often**0.75).sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        wanted = np.nan_to_num(np.maximum(np.log(shared / (often[:, None] * chance)), 0), posinf=0)
    left, values, _ = np.linalg.svd(wanted)
    wanted = left[:, :4] * np.sqrt(values[:4])
    wanted /= np.maximum(np.linalg.norm(wanted, axis=1, keepdims=True), 1e-9)
    assert np.allclose(alike, wanted @ wanted.T, atol=1e-3)


def test_new_words_take_the_place_of_seen_ones_alone_in_the_space_that_is_known():
    torch.manual_seed(0)
    vectors, seen = word_vectors(two_kinds(), 10, 4)
    embeddings = torch.nn.Embedding(10, 6)
    before = embeddings.weight.detach().clone()
    turned = torch.from_numpy(vectors).float() @ torch.randn(
        4, 6
    )  # a space that is the vectors' own but for a linear map
    embeddings.weight.data = (
        turned * (torch.arange(10) > 0)[:, None] + before * (torch.arange(10) == 0)[:, None]
    )
    set_words(embeddings, vectors, seen)
    assert torch.equal(embeddings.weight[0], before[0]), "a token that was never seen keeps its own"
    assert torch.allclose(embeddings.weight[1:], turned[1:], atol=1e-4), (
        "what is known already stays"
    )
    embeddings.weight.data = before.clone()
    set_words(embeddings, vectors, seen)
    spread = lambda rows: (rows - rows.mean(0)).norm()
    assert not torch.allclose(embeddings.weight[1:], before[1:], atol=0.1)
    assert float(spread(embeddings.weight.detach()[1:])) == pytest.approx(
        float(spread(before[1:])), rel=0.1
    )


def test_an_encoder_goes_on_with_new_words(text_file, runtime, tmp_path, monkeypatch):
    options = {"compute": runtime, **SMALL, "share": 1.0}
    start = encoder_from_text(text_file, tmp_path / "start", steps=9, **options)
    given = []
    monkeypatch.setattr(
        "ukd.cooccurrence.set_words", lambda *given_: (given.append(given_), set_words(*given_))
    )
    out = encoder_from_text(
        text_file, tmp_path / "out", steps=9, start=start, new_words=True, seed=2, **options
    )
    said = json.loads((out / "pretraining.json").read_text())
    assert said["new words"] is True and said["start"]["new words"] is False and len(given) == 1
    words = [
        load_file(folder / "model.safetensors")["bert.embeddings.word_embeddings.weight"]
        .float()
        .numpy()
        for folder in (start, out)
    ]
    _, vectors, seen = given[0]
    pairs = np.triu_indices((seen > 20).sum(), 1)
    before, after, wanted = (
        (rows[seen > 20] @ rows[seen > 20].T)[pairs] for rows in (*words, vectors)
    )
    close = np.corrcoef((before, after, wanted))[2]
    assert close[1] > 0.5 > close[0] + 0.2, "nine steps leave them about where they were put"
    with pytest.raises(ValueError, match="pass the encoder to start from"):
        encoder_from_text(text_file, tmp_path / "other", steps=9, new_words=True, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either steps or minutes"),
        ({"steps": 1, "minutes": 1.0}, "either steps or minutes"),
        ({"steps": 9, "share": 2.0}, "between 0 and 1"),
        ({"steps": 9, "preset": "wide"}, "unknown preset 'wide'; choose one of: narrow-12"),
    ],
)
def test_wrong_settings_are_refused(options, message, text_file, runtime, tmp_path):
    with pytest.raises(ValueError, match=message):
        encoder_from_text(text_file, tmp_path / "out", runtime=runtime, **options)


def test_going_on_from_an_encoder_is_checked_before_anything_runs(tmp_path, capsys, runtime):
    text = tmp_path / "text.txt"
    text.write_text("\n\n".join("One line. And another one here." for _ in range(5)))
    command = [
        "pretrain",
        "--text",
        str(text),
        "--steps",
        "3",
        "--out",
        str(tmp_path / "out"),
        "--start",
    ]
    embedded = str(data_folder() / "encoder")
    for options, said in (
        ([str(tmp_path)], "lacks *.safetensors"),
        ([embedded, "--width", "64"], "has hidden_size 128, and 64 is asked for"),
        ([embedded], "was made with seed 1, and would read the same text again"),
        ([embedded, "--seed", "2"], "passages to hold out"),
    ):
        assert main([*command, *options]) == 2
        assert said in capsys.readouterr().err
    with pytest.raises(ValueError, match="has max_position_embeddings 256, and 128 is asked for"):
        encoder_from_text(
            text, tmp_path / "out", steps=3, start=embedded, seed=2, max_length=64, runtime=runtime
        )
    for wrong in ("0.5", "0.1,0.2", "1,1,1,1", "-1,0,0,0", "nan,0,0,0", "a,b,c,d"):
        with pytest.raises(SystemExit):
            main([*command, embedded, f"--wrong={wrong}"])
        assert "must be four probabilities" in capsys.readouterr().err
