"""The bundled encoder: whole, small, and worth having."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer

from ukd.models import bundled
from ukd.models.bundled import RANDOM_INIT, bundled_encoder, resolve_encoder

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "data" / "encoder"
SENTENCES = (ROOT / "tests" / "everyday.txt").read_text(encoding="utf-8").splitlines()
RECORD = json.loads((FOLDER / "pretraining.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def guesses():
    """(rank, loss in nats) of the bracketed word of each everyday sentence, masked.

    Words that are no single entry of the tokenizer are left out.
    """
    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    model = AutoModelForMaskedLM.from_pretrained(FOLDER, dtype=torch.float32).eval()
    found = []
    for sentence in SENTENCES:
        word = re.search(r"\[(\w+)\]", sentence)[1]
        answer = tokenizer.convert_tokens_to_ids(word)
        if answer == tokenizer.unk_token_id:
            continue
        tokens = tokenizer(sentence.replace(f"[{word}]", tokenizer.mask_token), return_tensors="pt")
        place = (tokens["input_ids"][0] == tokenizer.mask_token_id).nonzero().item()
        with torch.no_grad():
            logits = model(**tokens).logits[0, place]
        loss = F.cross_entropy(logits, torch.tensor(answer))
        found.append((int((logits > logits[answer]).sum()) + 1, float(loss)))
    return found


def test_everyday_words_are_guessed(guesses):
    assert len(guesses) >= 35
    ranks = sorted(rank for rank, _ in guesses)
    assert ranks[len(ranks) // 2] <= 20, ranks


def test_its_loss_on_our_own_sentences_is_well_below_that_of_single_words(guesses):
    losses = [loss for _, loss in guesses]
    assert sum(losses) / len(losses) < RECORD["unigram"]["prose"] - 1


def test_its_files_are_checked_and_small():
    assert bundled_encoder() == FOLDER
    assert not list(FOLDER.glob("*.bin")), "no pickles"
    sizes = [path.stat().st_size for path in FOLDER.iterdir() if path.is_file()]
    assert sum(sizes) < 15 * 2**20


def test_it_learned_from_its_text():
    for name, single in RECORD["unigram"].items():
        assert RECORD["stages"][-1]["held_out"][name]["masked words"] < single - 1, name


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the bundled encoder to damage."""
    ignored = shutil.ignore_patterns("make")
    shutil.copytree(FOLDER, tmp_path / "encoder", ignore=ignored)
    monkeypatch.setattr(bundled, "data_folder", lambda: tmp_path)
    return tmp_path / "encoder"


def test_a_damaged_file_is_refused(copy):
    path = copy / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match="model.safetensors is damaged.*git checkout data/encoder`"
    ):
        bundled_encoder()


def test_a_missing_file_is_refused(copy):
    (copy / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="the bundled encoder lacks .*model.safetensors"):
        bundled_encoder()
    (copy / "SHA256SUMS").write_text("")
    with pytest.raises(ValueError, match="lacks .*SHA256SUMS.*git checkout data/encoder`"):
        bundled_encoder()
    (copy / "SHA256SUMS").unlink()
    with pytest.raises(ValueError, match="lacks .*SHA256SUMS.*git checkout data/encoder`"):
        bundled_encoder()


def test_a_random_encoder_is_the_same_network_with_other_weights():
    source, name = resolve_encoder(RANDOM_INIT)
    drawn = AutoModel.from_pretrained(source, dtype=torch.float32)
    kept = AutoModel.from_pretrained(FOLDER, dtype=torch.float32)
    assert drawn.config.num_hidden_layers == kept.config.num_hidden_layers
    assert name.startswith("random-")
    one, other = (model.encoder.layer[0].output.dense.weight for model in (drawn, kept))
    assert one.shape == other.shape and not torch.equal(one, other)
    assert json.loads((Path(source) / "made.json").read_text())["kind"] == RANDOM_INIT


def test_an_encoder_in_a_folder_is_known_by_its_content_and_not_by_its_path(copy, tmp_path):
    other = tmp_path / "elsewhere" / "encoder"
    shutil.copytree(copy, other)
    assert resolve_encoder(str(copy))[1] == resolve_encoder(str(other))[1]
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"hidden_dropout_prob": 0.2}))
    assert resolve_encoder(str(copy))[1] != resolve_encoder(str(other))[1]
    (other / "config.json").unlink()
    with pytest.raises(ValueError, match="no model could be loaded .* save_pretrained"):
        resolve_encoder(str(other))


def test_an_encoder_of_the_hub_keeps_its_name():
    assert resolve_encoder("bert-base-uncased") == ("bert-base-uncased", "bert-base-uncased")
