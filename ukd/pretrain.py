"""An encoder from nothing: WordPiece tokenizer and masked-language-model pretraining on unlabelled text, as BERT is made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor, nn
from transformers import BertForMaskedLM, BertTokenizerFast, DataCollatorForLanguageModeling, PreTrainedTokenizerBase

from ukd.config import Compute, Profile, cache_folder, digest, say, source_digest
from ukd.data import Batch
from ukd.grammar import discourse
from ukd.models import FINE_TUNING_DROPOUT, narrow_bert, save
from ukd.records import made_once, provenance, write_json
from ukd.train import Schedule, fit

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
RATE, ROUNDS = 1e-3, 6
TOKENIZER_PARAGRAPHS, HELD_OUT_BATCHES = 20_000, 8


def encoder_from_nothing(profile: Profile, compute: Compute, *, seed: int = 1) -> Path:
    """Folder of the profile's encoder, pretrained on the embedded suite's unlabelled discourse; made once, then cached."""
    made = {
        "kind": "encoder", "width": profile.width, "layers": profile.teacher_layers, "vocabulary": profile.vocabulary,
        "steps": profile.pretrain_steps, "batch": profile.pretrain_batch, "length": profile.max_length, "rate": RATE,
        "seed": seed, "precision": compute.precision, "torch": torch.__version__,
        "source": source_digest("pretrain", "models", "train", *(f"grammar/{part}" for part in _grammar_modules())),
    }  # fmt: skip
    folder = cache_folder() / "encoders" / f"{profile.name}-{digest(made)}"
    return made_once(folder, lambda building: _pretrain(building, profile, compute, seed), made)


def _grammar_modules() -> list[str]:
    return sorted(path.stem for path in (Path(__file__).parent / "grammar").glob("*.py"))


def _pretrain(folder: Path, profile: Profile, compute: Compute, seed: int) -> None:
    say(f"pretraining a {profile.teacher_layers}-layer encoder, {profile.width} wide, for {profile.pretrain_steps} steps")
    tokenizer = wordpiece(islice(discourse(seed), TOKENIZER_PARAGRAPHS), profile.vocabulary, profile.max_length)
    model = MaskedLanguageModel(BertForMaskedLM(narrow_bert(profile, len(tokenizer), seed)))
    text = MaskedText(tokenizer, profile.max_length, profile.pretrain_batch)
    per_round = max(1, profile.pretrain_steps // ROUNDS)
    held_out = list(islice(text.batches(discourse(10_000 + seed), seed=0), HELD_OUT_BATCHES))
    history = fit(
        model,
        lambda epoch, rank, world: islice(text.batches(discourse(100 * seed + epoch), seed=epoch), per_round),
        lambda model, batch: {"masked words": model(batch.labels, **batch.inputs)},
        Schedule(ROUNDS, per_round, RATE),
        compute,
        score=lambda model: -held_out_loss(model, held_out),
        label="pretraining",
    )
    model.network.config.hidden_dropout_prob = FINE_TUNING_DROPOUT
    save(model.network, tokenizer, folder)
    write_json(folder / "pretraining.json", {**history, **provenance(compute)})


def wordpiece(texts: Iterable[str], size: int, max_length: int) -> PreTrainedTokenizerBase:
    """BERT's tokenizer (uncased WordPiece) with at most `size` entries, trained on the given texts."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    ids = [(token, tokenizer.token_to_id(token)) for token in ("[SEP]", "[CLS]")]
    tokenizer.post_processor = processors.BertProcessing(*ids)
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True))
    return BertTokenizerFast(tokenizer_object=tokenizer, model_max_length=2 * max_length, **names)


class MaskedText:
    """Packed sequences of text with BERT's dynamic masking: no padding, 15% of the tokens to guess."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, length: int, batch: int) -> None:
        self.tokenizer, self.length, self.batch = tokenizer, length, batch

    def batches(self, paragraphs: Iterable[str], seed: int) -> Iterator[Batch]:
        """Batches of `batch` sequences of exactly `length` tokens, masked afresh; `labels` is -100 where nothing was masked."""
        mask = DataCollatorForLanguageModeling(self.tokenizer, mlm_probability=0.15, seed=seed)  # apart from dropout's dice
        sequences = self._packed(paragraphs)
        while len(rows := list(islice(sequences, self.batch))) == self.batch:
            masked = mask([{"input_ids": row} for row in rows])
            yield Batch({"input_ids": masked["input_ids"]}, masked["labels"], torch.arange(self.batch))

    def _packed(self, paragraphs: Iterable[str]) -> Iterator[list[int]]:
        room, start, end = [], [self.tokenizer.cls_token_id], self.tokenizer.sep_token_id
        paragraphs = iter(paragraphs)
        while texts := list(islice(paragraphs, 256)):
            for tokens in self.tokenizer(texts, add_special_tokens=False)["input_ids"]:
                room += [*tokens, end]
                while len(room) >= self.length - 1:
                    yield start + room[: self.length - 1]
                    room = room[self.length - 1 :]


class MaskedLanguageModel(nn.Module):
    """BERT's masked-language-model loss, with the vocabulary head computed at the masked positions only."""

    def __init__(self, network: BertForMaskedLM) -> None:
        super().__init__()
        self.network = network

    def forward(self, labels: Tensor, **inputs: Tensor) -> Tensor:
        """labels: (B, tokens), -100 where nothing was masked; returns the cross-entropy in nats per masked token."""
        states = self.network.bert(**inputs).last_hidden_state  # (B, tokens, D)
        chosen = labels != -100
        return F.cross_entropy(self.network.cls(states[chosen]).float(), labels[chosen])


@torch.no_grad()
def held_out_loss(model: MaskedLanguageModel, batches: list[Batch]) -> float:
    """Mean masked loss over fixed held-out batches, in nats per masked token."""
    model.eval()
    device = next(model.parameters()).device
    batches = [batch.to(device) for batch in batches]
    return sum(float(model(batch.labels, **batch.inputs)) for batch in batches) / len(batches)
