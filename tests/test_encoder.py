"""The encoders that come with the kit: whole, as their cards say, and worth having."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from datasets import ClassLabel, Dataset, DatasetDict
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer

from ukd import card
from ukd.cli.main import main
from ukd.config.paths import data_folder
from ukd.config.presets import HUB_PRESETS, PRESETS
from ukd.data.tasks import GLUE
from ukd.data.tasks import SYNTHETIC as SUITE
from ukd.models.bundled import (
    BUNDLED_ENCODERS,
    PROSE,
    RANDOM,
    RANDOM_INIT,
    RANDOM_PROSE,
    SYNTHETIC,
    bundled_encoder,
    default_encoder,
    resolve_encoder,
)

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "data" / "encoder"
SENTENCES = (ROOT / "tests" / "everyday.txt").read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="module", params=BUNDLED_ENCODERS)
def encoder(request):
    return request.param


@pytest.fixture(scope="module")
def guesses(encoder):
    """(rank, loss in nats) of the bracketed word of each everyday sentence, masked; words that are no single entry are left out."""
    folder = bundled_encoder(encoder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForMaskedLM.from_pretrained(folder, dtype=torch.float32).eval()
    found = {}
    for sentence in SENTENCES:
        word = re.search(r"\[(\w+)\]", sentence)[1]
        answer = tokenizer.convert_tokens_to_ids(word)
        if answer == tokenizer.unk_token_id:
            continue
        tokens = tokenizer(sentence.replace(f"[{word}]", tokenizer.mask_token), return_tensors="pt")
        place = (tokens["input_ids"][0] == tokenizer.mask_token_id).nonzero().item()
        with torch.no_grad():
            logits = model(**tokens).logits[0, place]
        found[sentence] = (
            int((logits > logits[answer]).sum()) + 1,
            float(torch.nn.functional.cross_entropy(logits, torch.tensor(answer))),
        )
    return found


def test_everyday_words_are_guessed(guesses):
    assert len(guesses) >= 35
    ranks = sorted(rank for rank, _ in guesses.values())
    assert ranks[len(ranks) // 2] <= 20, ranks


def test_its_loss_on_our_own_sentences_is_well_below_that_of_single_words(guesses, encoder):
    losses = [loss for _, loss in guesses.values()]
    assert sum(losses) / len(losses) < card.committed_encoder(encoder)["unigram"]["prose"] - 1


def test_it_is_what_its_checksums_say_and_small(encoder):
    folder = bundled_encoder(encoder)
    assert folder == data_folder() / BUNDLED_ENCODERS[encoder]
    shards = list(folder.glob("*.safetensors"))
    assert shards and all(path.stat().st_size <= 15 * 2**20 for path in shards)
    assert (
        sum(
            path.stat().st_size
            for name in BUNDLED_ENCODERS.values()
            for path in (data_folder() / name).iterdir()
        )
        <= 30e6
    )
    assert not list(folder.glob("*.bin")), "no pickles"


def test_it_was_checked_early_and_learned(encoder):
    said = card.committed_encoder(encoder)
    for name, single in said["unigram"].items():
        assert said["stages"][-1]["held_out"][name]["masked words"] < single - 1, name


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the bundled encoder to damage."""
    shutil.copytree(FOLDER, tmp_path / "encoder")
    monkeypatch.setattr("ukd.teacher.data_folder", lambda: tmp_path)
    return tmp_path / "encoder"


def test_damaged_and_missing_files_are_refused(copy):
    path = copy / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match="model.safetensors is damaged.*git checkout data/encoder`"
    ):
        bundled_encoder()
    path.unlink()
    with pytest.raises(ValueError, match="the bundled encoder lacks .*model.safetensors"):
        bundled_encoder()
    (copy / "SHA256SUMS").write_text("")
    with pytest.raises(
        ValueError, match="the bundled encoder lacks .*SHA256SUMS.*git checkout data/encoder`"
    ):
        bundled_encoder()
    (copy / "SHA256SUMS").unlink()
    with pytest.raises(
        ValueError, match="the bundled encoder lacks .*SHA256SUMS.*git checkout data/encoder`"
    ):
        bundled_encoder()


@pytest.mark.parametrize("name", RANDOM_INIT)
def test_a_random_encoder_is_the_same_network_with_other_weights(name, tiny, runtime):
    source, full = resolve_encoder(name)
    drawn, kept = (
        AutoModel.from_pretrained(folder, dtype=torch.float32)
        for folder in (source, bundled_encoder(RANDOM_INIT[name]))
    )
    assert drawn.config.num_hidden_layers == kept.config.num_hidden_layers and full.startswith(
        f"{name}-"
    )
    one, other = (model.encoder.layer[0].output.dense.weight for model in (drawn, kept))
    assert one.shape == other.shape and not torch.equal(one, other)
    assert json.loads((Path(source) / "made.json").read_text())["kind"] == RANDOM


def test_real_text_is_served_by_the_encoder_made_for_it_unless_another_is_asked_for():
    assert {default_encoder(PRESETS["cpu"], task) for task in SUITE} == {SYNTHETIC}
    assert {default_encoder(PRESETS["cpu"], task) for task in GLUE} == {PROSE}
    assert default_encoder(PRESETS["cpu"], "sst2", "sentiment") == SYNTHETIC
    assert default_encoder(HUB_PRESETS["bert-4"], "sst2") == "bert-base-uncased"


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """GLUE's RTE in a folder, and the encoders that commands go on to ask for, none of which is made."""
    columns = {
        "sentence1": ["one"] * 40,
        "sentence2": ["two"] * 40,
        "label": [0, 1] * 20,
        "idx": list(range(40)),
    }
    data = Dataset.from_dict(columns).cast_column(
        "label", ClassLabel(names=["entailment", "not_entailment"])
    )
    DatasetDict({"train": data, "validation": data}).save_to_disk(tmp_path / "rte")
    found = []

    def stop(encoder, *_):
        found.append(encoder)
        raise ValueError("far enough")

    for module in ("teacher", "jobs", "describe"):
        monkeypatch.setattr(f"ukd.{module}.resolve_encoder", stop)
    return found, ["--source", str(tmp_path / "rte")]


@pytest.mark.parametrize(
    ("command", "encoder"),
    [
        ("run --task rte --method kd", PROSE),
        ("run --task sentiment --method kd", SYNTHETIC),
        ("reproduce --tasks rte --methods kd", PROSE),
        ("finetune --tasks rte", PROSE),
        ("reproduce --tasks rte --methods kd --teacher random", RANDOM),
        ("reproduce --tasks rte --methods kd --rates 1e-4,2e-4 --search-task sentiment", SYNTHETIC),
    ],
)
def test_commands_take_the_encoder_that_is_for_the_task(command, encoder, asked):
    found, source = asked
    assert main([*command.split(), *(source if "rte" in command else [])]) == 2
    assert found[0] == encoder


def test_fine_tuning_compares_the_encoder_for_the_task_with_random_weights(asked, monkeypatch):
    given = []
    monkeypatch.setattr(
        "ukd.jobs.compare_encoders", lambda plan, encoders, *_: given.append(encoders) or []
    )
    assert main(["finetune", "--tasks", "rte", *asked[1]]) == 0
    assert main(["finetune", "--tasks", "sentiment"]) == 0
    assert given == [(PROSE, RANDOM_PROSE), (SYNTHETIC, RANDOM)]


def test_both_share_one_tokenizer_and_one_text():
    one, other = (bundled_encoder(name) for name in BUNDLED_ENCODERS)
    assert (one / "tokenizer.json").read_bytes() == (other / "tokenizer.json").read_bytes()
    assert len({card.committed_encoder(name)["text"]["sha256"] for name in BUNDLED_ENCODERS}) == 1


def test_the_prose_encoder_knows_prose_better():
    lost = [
        card.committed_encoder(name)["stages"][-1]["held_out"]["prose"]["masked words"]
        for name in BUNDLED_ENCODERS
    ]
    assert lost[1] < lost[0]
