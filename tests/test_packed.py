"""Packed text: rows are full and read on, what is wrong says so, and what is asked for is the right token."""

import copy
import json
from itertools import islice

import pytest
import torch
from safetensors.torch import load_file

from data.encoder.make.packed import PackedText
from data.encoder.make.pretrain import encoder_from_text
from data.encoder.make.text import Wrong
from data.encoder.make.tokenizer import wordpiece
from data.synthetic.make import discourse
from ukd.cli.main import main
from ukd.data import data_folder
from ukd.training.loop import Checkpointer

NEVER = Wrong(0, 0, 0, 0)
SMALL = {"width": 32, "teacher_layers": 3, "pretrain_batch": 8, "max_length": 32}


@pytest.fixture(scope="module")
def paragraphs():
    return list(islice(discourse(1), 400))


@pytest.fixture(scope="module")
def tokenizer(paragraphs):
    return wordpiece(paragraphs, 400, 32)


@pytest.fixture(scope="module")
def packed(tokenizer, paragraphs):
    return lambda wrong=NEVER, length=32: PackedText(tokenizer, length, 64, paragraphs, wrong)


def drawn(text, count=12, seed=1):
    return list(islice(text.batches(text.running, seed), count))


def same(one, other):
    """Whether two lists of batches are the same in everything."""
    tensors = lambda batch: (*batch.inputs.values(), batch.labels, batch.rows)
    pairs = zip(one, other, strict=True)
    return all(
        a.shape == b.shape and torch.equal(a, b)
        for x, y in pairs
        for a, b in zip(tensors(x), tensors(y), strict=True)
    )


def rows(text, length=32, count=200):
    """Rows before anything is masked: shown, right, where the second segment is, which are wrong."""
    fits = text.running.starts[text.running.starts < len(text.running.tokens) - 2 * text.length]
    return text.rows(text.running, fits, length, count, torch.Generator().manual_seed(3))


def test_running_text_is_the_paragraphs_sentence_after_sentence(packed, paragraphs, tokenizer):
    running = packed().running
    whole = [
        token
        for text in paragraphs
        for token in tokenizer(text, add_special_tokens=False)["input_ids"]
    ]
    assert running.tokens.tolist() == whole
    assert running.starts[0] == 0 and (running.starts.diff() > 0).all()
    before = running.tokens[running.starts[1:] - 1]
    assert set(tokenizer.convert_ids_to_tokens(before.unique())) <= set(".?!"), (
        "a sentence starts where another has ended"
    )


def test_a_tokenizer_that_cuts_or_fills_up_is_read_whole(tokenizer, paragraphs):
    long = " ".join(text.rstrip(".") for text in paragraphs[:40])
    whole = PackedText(tokenizer, 32, 64, [long]).running.tokens
    other = copy.deepcopy(tokenizer)
    other.backend_tokenizer.enable_truncation(16)
    other.backend_tokenizer.enable_padding(length=64)
    assert len(whole) > 64 and torch.equal(PackedText(other, 32, 64, [long]).running.tokens, whole)
    assert other.backend_tokenizer.truncation["max_length"] == 16, "it stays as it was"


def test_every_batch_has_as_many_tokens_and_no_padding(packed, tokenizer):
    found = drawn(packed(Wrong(0.25, 0.25, 0, 0)))
    assert {batch.labels.shape for batch in found} == {(64, 32), (128, 16), (256, 8)}
    for batch in found:
        shown, second, kept = (
            batch.inputs["input_ids"],
            batch.inputs["token_type_ids"],
            batch.labels == -100,
        )
        assert (shown[kept] != tokenizer.pad_token_id).all() and (
            shown[:, 0] == tokenizer.cls_token_id
        ).all()
        ends = (shown == tokenizer.sep_token_id) & kept
        assert ends.sum(1).eq(2).all() and ends[:, -1].all() and kept[:, 0].all()
        assert (
            (second.diff(dim=1) >= 0).all()
            and second.any(1).all()
            and (second.sum(1) < shown.shape[1] - 2).all()
        )


def test_a_right_row_is_running_text_from_the_start_of_a_sentence(packed, tokenizer):
    text = packed()
    shown, right, second, wrong = rows(text)
    assert not wrong.any() and torch.equal(shown, right)
    tokens, starts, breaks = text.running.tokens, set(text.running.starts.tolist()), 0
    windows = tokens.unfold(0, 29, 1)
    for row, of_second in zip(shown, second, strict=True):
        inner = row[(row != tokenizer.sep_token_id) & (row != tokenizer.cls_token_id)]
        places = [
            at for at in (windows == inner).all(1).nonzero().flatten().tolist() if at in starts
        ]
        assert places, tokenizer.decode(row)
        size = int((~of_second).sum()) - 2
        breaks += any(at + size in starts for at in places)
    assert breaks / len(shown) > 0.8, "the second segment mostly starts with a sentence"
    assert len(set((~second).sum(1).tolist())) > 8, "segments of many lengths"


def test_what_is_wrong_is_said_and_as_often_as_asked_for(packed):
    shown, right, second, wrong = rows(packed(Wrong(0, 0.5, 0, 0)), count=2000)
    moved = shown != right
    assert 0.35 < wrong.float().mean() < 0.5, (
        "half, less those that two equal tokens or one place fall to"
    )
    assert torch.equal(wrong, moved.any(1)) and set(moved.sum(1).tolist()) == {0, 2}
    assert not (moved & ~second).any(), "the first segment stays as it is"
    assert torch.equal(shown.sort(1).values, right.sort(1).values), "exchanged, not replaced"
    shown, right, _, wrong = rows(packed(Wrong(0.3, 0, 0, 0)), count=2000)
    assert torch.equal(shown, right) and wrong.float().mean() == pytest.approx(0.3, abs=0.04)


def inside(text, found):
    """How many second segments start inside a sentence."""
    starts, tokens = text.running.starts.tolist(), text.running.tokens
    seconds = [row[of_second] for row, of_second in zip(found[1], found[2], strict=True)]
    return sum(
        not any(torch.equal(tokens[at : at + 3], second[:3]) for at in starts) for second in seconds
    )


def test_a_foreign_second_segment_is_from_elsewhere(packed):
    right, foreign = rows(packed(NEVER)), rows(packed(Wrong(1, 0, 0, 0)))
    assert foreign[3].all()
    changed = (right[1] != foreign[1]) & right[2]
    assert torch.equal(right[2], foreign[2]) and changed.any(1).float().mean() > 0.95
    assert torch.equal(right[1][~right[2]], foreign[1][~right[2]])
    counts = [inside(packed(), found) for found in (right, foreign)]
    assert counts[0] > 0 and 0.5 < counts[1] / counts[0] < 2, (
        "how it starts does not tell which is foreign"
    )
    assert (
        len(
            {
                tuple(row[of_second].tolist())
                for row, of_second in zip(foreign[1], foreign[2], strict=True)
            }
        )
        > 190
    )


def test_a_seventh_is_asked_for_and_the_exchanged_too(packed, tokenizer):
    text = packed(Wrong(0, 0.5, 0, 0))
    shown, right, *_ = rows(text, count=4000)
    seen, labels = text.masked(shown, right, torch.Generator().manual_seed(5))
    asked, moved = labels != -100, shown != right
    assert asked[moved].all() and torch.equal(labels[asked], right[asked])
    plain = asked & ~moved
    words = (right != tokenizer.cls_token_id) & (right != tokenizer.sep_token_id)
    assert plain[words & ~moved].float().mean() == pytest.approx(0.15, abs=0.01)
    masked = seen == tokenizer.mask_token_id
    assert masked[plain].float().mean() == pytest.approx(0.8, abs=0.02) and not masked[~asked].any()
    assert (seen == right)[plain & ~masked].float().mean() == pytest.approx(0.5, abs=0.06)
    assert len(seen[plain & ~masked & (seen != right)].unique()) > 100, "random tokens, of all"
    assert torch.equal(seen[~asked], right[~asked])


def test_the_same_seed_draws_the_same_and_processes_share_a_batch(packed):
    text = packed(Wrong(0.25, 0.25, 0, 0))
    assert same(drawn(text), drawn(text)) and not same(
        drawn(text, 1, seed=1), drawn(text, 1, seed=2)
    )
    epoch = lambda number, rank=0, world=1: next(text.epoch(7, 1, number, rank, world))
    assert same([epoch(2)], [epoch(2)]) and not same([epoch(2)], [epoch(3)])
    for rank in range(2):
        share, whole = epoch(2, rank, 2), epoch(2)
        assert torch.equal(share.labels, whole.labels[rank::2]) and torch.equal(
            share.rows, whole.rows[rank::2]
        )
        assert all(
            torch.equal(share.inputs[name], tensor[rank::2])
            for name, tensor in whole.inputs.items()
        )


def test_text_that_is_too_short_and_segments_of_a_kind_are_refused(tokenizer, paragraphs):
    text = PackedText(tokenizer, 32, 8, paragraphs[:1])
    with pytest.raises(ValueError, match="tokens is too short for rows of 32: pass a longer one"):
        next(text.batches(text.running, 1))
    with pytest.raises(ValueError, match="pass 0 for both, got .*0.1"):
        PackedText(tokenizer, 32, 8, paragraphs, Wrong(0.1, 0.1, 0.1, 0))
    for length in (16, 30):
        with pytest.raises(
            ValueError, match=f"rows of a multiple of 4 tokens, 32 at least, got {length}"
        ):
            PackedText(tokenizer, length, 8, paragraphs)


@pytest.fixture(scope="module")
def novel(tmp_path_factory):
    path = tmp_path_factory.mktemp("novel") / "text.txt"
    stream = discourse(1)
    path.write_text(
        "\n\n".join("\n".join(islice(stream, 120)) for _ in range(12)), encoding="utf-8"
    )
    return path


def test_an_encoder_of_packed_text_says_so_and_shares_a_tokenizer(
    novel, runtime, tmp_path, monkeypatch
):
    monkeypatch.setenv("UKD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("ukd.pretrain.SHARD", "300kB")
    given = data_folder() / "encoder"
    out = encoder_from_text(
        novel,
        tmp_path / "out",
        preset="small-12",
        steps=12,
        tokenizer=given,
        runtime=runtime,
        **SMALL,
    )
    said = json.loads((out / "pretraining.json").read_text(encoding="utf-8"))
    assert (
        said["packed"]
        and said["text"]["share"] == 1
        and said["wrong segments"]["other"] == 0.25
        and said["rate"] == 7e-4
    )
    assert (out / "tokenizer.json").read_bytes() == (given / "tokenizer.json").read_bytes()
    assert (
        len(list(out.glob("model-*.safetensors"))) > 1 and not (out / "model.safetensors").exists()
    )
    losses = [point["masked words"] for stage in said["stages"] for point in stage["curve"]]
    assert losses[-1] < losses[0] and set(said["unigram"]) == {"prose"}
    go_on = {"preset": "small-12", "steps": 9, "start": out, "seed": 2, "compute": runtime, **SMALL}
    again = encoder_from_text(novel, tmp_path / "again", **go_on)
    assert json.loads((again / "pretraining.json").read_text(encoding="utf-8"))["start"] == said
    next(out.glob("model-*.safetensors")).unlink()
    with pytest.raises(ValueError, match="no model could be loaded from"):
        encoder_from_text(novel, tmp_path / "third", **go_on)


def test_a_run_that_was_cut_off_goes_on_as_if_it_had_not_been(
    novel, runtime, tmp_path, monkeypatch
):
    same_each_time = {
        "preset": "small-12",
        "steps": 12,
        "tokenizer": data_folder() / "encoder",
        "compute": runtime,
        **SMALL,
    }
    make = lambda out: encoder_from_text(novel, tmp_path / out, **same_each_time)
    monkeypatch.setenv("UKD_CACHE", str(tmp_path / "one"))
    whole = load_file(make("whole") / "model.safetensors")
    monkeypatch.setenv("UKD_CACHE", str(tmp_path / "other"))
    saved = Checkpointer.save

    def stop(state, next_epoch):
        saved(state, next_epoch)
        if len(list((tmp_path / "other").rglob("stage-*.safetensors"))) == 2 and next_epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Checkpointer, "save", stop)
        make("again")
    again = load_file(make("again") / "model.safetensors")
    assert whole.keys() == again.keys() and all(
        torch.equal(whole[name], again[name]) for name in whole
    )


def test_a_held_out_part_that_is_too_short_is_refused_before_the_training(
    tmp_path, runtime, monkeypatch
):
    monkeypatch.setenv("UKD_CACHE", str(tmp_path / "cache"))
    stream, path = discourse(1), tmp_path / "text.txt"
    texts = ["\n".join(islice(stream, 200)) for _ in range(5)]
    path.write_text("\n\n".join([*texts, "The end.", "A note."]), encoding="utf-8")
    with pytest.raises(
        ValueError,
        match="the last 2 documents of .* tokens to hold out, of 256 needed: pass a longer text",
    ):
        encoder_from_text(
            path, tmp_path / "out", preset="small-12", steps=9, runtime=runtime, **SMALL
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            "--preset small-12 --share 0.5",
            "small-12 reads the file alone: leave --share out, got 0.5",
        ),
        ("--preset small-12 --wrong 0.1,0.1,0.1,0.1", "pass 0 for both"),
        ("--tokenizer nowhere", "there is no tokenizer.json in nowhere"),
        ("--tokenizer {encoder} --start {encoder} --seed 9", "leave out --start or --tokenizer"),
    ],
)
def test_what_does_not_go_together_is_refused(
    novel, tmp_path, options, message, capsys, monkeypatch
):
    monkeypatch.setenv("UKD_CACHE", str(tmp_path / "cache"))
    chosen = options.format(encoder=data_folder() / "encoder")
    assert (
        main(
            [
                "pretrain",
                "--text",
                str(novel),
                "--steps",
                "9",
                "--out",
                str(tmp_path / "out"),
                *chosen.split(),
            ]
        )
        == 2
    )
    assert message in capsys.readouterr().err
