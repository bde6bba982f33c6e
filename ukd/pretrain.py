"""An encoder from nothing: WordPiece tokenizer, then BERT's two tasks on unlabelled text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch import Tensor, nn
from transformers import BertConfig, BertForPreTraining, BertTokenizerFast, PreTrainedTokenizerBase

from ukd.config import Compute, Profile, cache_folder, digest, say, source_digest
from ukd.data import Batch
from ukd.grammar import discourse
from ukd.models import FINE_TUNING_DROPOUT, narrow_bert, save
from ukd.records import made_once, provenance, write_json
from ukd.text import PairedText
from ukd.train import Schedule, fit

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
RATE, ROUNDS = 1e-3, 3
STACKING = ((4, 0.80), (2, 0.12), (1, 0.08))  # part of the depth, share of the steps
TOKENIZER_PARAGRAPHS, HELD_OUT_BATCHES, HELD_OUT_SEED = 20_000, 32, 9_999


def encoder_from_nothing(profile: Profile, compute: Compute, *, seed: int = 1) -> Path:
    """Folder of the profile's encoder, pretrained on the embedded suite's unlabelled discourse; made once, then cached."""
    made = {
        "kind": "encoder", "width": profile.width, "layers": profile.teacher_layers, "vocabulary": profile.vocabulary,
        "steps": profile.pretrain_steps, "batch": profile.pretrain_batch, "length": profile.max_length, "rate": RATE, "stacking": STACKING,
        "seed": seed, "precision": compute.precision, "torch": torch.__version__,
        "source": source_digest("pretrain", "text", "models", "train", *(f"grammar/{part}" for part in _grammar_modules())),
    }  # fmt: skip
    folder = cache_folder() / "encoders" / f"{profile.name}-{digest(made)}"
    return made_once(folder, lambda building: _pretrain(building, profile, compute, seed), made)


def _grammar_modules() -> list[str]:
    return sorted(path.stem for path in (Path(__file__).parent / "grammar").glob("*.py"))


def _pretrain(folder: Path, profile: Profile, compute: Compute, seed: int) -> None:
    say(f"pretraining a {profile.teacher_layers}-layer encoder, {profile.width} wide, for {profile.pretrain_steps} steps")
    tokenizer = wordpiece(islice(discourse(seed), TOKENIZER_PARAGRAPHS), profile.vocabulary, profile.max_length)
    text = PairedText(tokenizer, profile.max_length, profile.pretrain_batch)
    held_out = list(islice(text.batches(discourse(HELD_OUT_SEED), seed=0), HELD_OUT_BATCHES))
    network, stages = None, []
    for stage, (layers, steps) in enumerate(stacking(profile.teacher_layers, profile.pretrain_steps)):
        network = stack(network, narrow_bert(replace(profile, teacher_layers=layers), len(tokenizer), seed))
        model = Pretraining(network)
        found = fit(
            model,
            partial(text.epoch, text_seed(seed, stage), steps // ROUNDS),
            losses,
            Schedule(ROUNDS, steps // ROUNDS, RATE, warmup=0.05),
            compute,
            label=f"pretraining {layers} layers",
        )
        stages.append({"layers": layers, "held_out": held_out_losses(model, held_out), **found})
        say(f"pretraining {layers} layers, held out: " + ", ".join(f"{name} {value:.3f}" for name, value in stages[-1]["held_out"].items()))
    network.config.hidden_dropout_prob = FINE_TUNING_DROPOUT
    save(network, tokenizer, folder)
    write_json(folder / "pretraining.json", {"stages": stages, **provenance(compute)})


def text_seed(seed: int, stage: int) -> int:
    """Where a stage's discourse starts: every epoch of every stage reads text of its own, and none of the held-out text."""
    return 10_000 * seed + 100 * stage


def stacking(layers: int, steps: int) -> list[tuple[int, int]]:
    """(layers, steps) of each stage: a quarter of the depth first (at least 3 layers), then half, then all of it.

    Twelve post-norm layers learn next to nothing in minutes; three do, and a stack that starts from two copies of a
    trained one goes on from where that was. Source: Gong et al. 2019, "Efficient training of BERT by progressively
    stacking"; the shares are our choice.
    """
    return [(max(min(3, layers), layers // part), max(ROUNDS, round(share * steps))) for part, share in STACKING]


def stack(trained: BertForPreTraining | None, config: BertConfig) -> BertForPreTraining:
    """A network of `config` whose layer i starts as layer i mod L of the trained one with L layers; new without one."""
    network = BertForPreTraining(config)
    if trained is not None:
        layers, encoder = trained.bert.encoder.layer, network.bert.encoder
        network.load_state_dict({n: t for n, t in trained.state_dict().items() if ".layer." not in n}, strict=False)
        for index, layer in enumerate(encoder.layer):
            layer.load_state_dict(layers[index % len(layers)].state_dict())
    return network


def wordpiece(texts: Iterable[str], size: int, max_length: int) -> PreTrainedTokenizerBase:
    """BERT's tokenizer (uncased WordPiece) with at most `size` entries: every character, and the most frequent words.

    The library's own trainer breaks ties by chance, so that no two runs give the same entries; this one gives the same.
    """
    normalizer, splitter = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    words = Counter(word for text in texts for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))
    characters = sorted({character for word in words for character in word})
    entries = [*SPECIAL, *characters, *(f"##{character}" for character in characters)]
    ranked = sorted((word for word in words if len(word) > 1), key=lambda word: (-words[word], word))
    vocabulary = {entry: index for index, entry in enumerate([*entries, *ranked][:size])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer, tokenizer.decoder = normalizer, splitter, decoders.WordPiece()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"]))
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True))
    return BertTokenizerFast(tokenizer_object=tokenizer, model_max_length=2 * max_length, **names)


class Pretraining(nn.Module):
    """BERT's two losses, with the vocabulary head computed at the masked positions only."""

    def __init__(self, network: BertForPreTraining) -> None:
        super().__init__()
        self.network = network

    def forward(self, labels: Tensor, wrong: Tensor, **inputs: Tensor) -> tuple[Tensor, Tensor]:
        """labels: (B, tokens), -100 where nothing was masked; wrong: (B,).

        Returns the cross-entropies of the masked words and of the second segment, in nats.
        """
        output = self.network.bert(**inputs)
        chosen = labels != -100
        words = self.network.cls.predictions(output.last_hidden_state[chosen])
        segment = self.network.cls.seq_relationship(output.pooler_output)
        return F.cross_entropy(words.float(), labels[chosen]), F.cross_entropy(segment.float(), wrong)


def losses(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """Both terms by name."""
    return dict(zip(("masked words", "second segment"), model(batch.labels, batch.rows, **batch.inputs), strict=True))


@torch.no_grad()
def held_out_losses(model: Pretraining, batches: list[Batch]) -> dict[str, float]:
    """Mean losses over fixed held-out batches, in nats."""
    model.eval()
    device = next(model.parameters()).device
    found = [torch.stack(list(losses(model, batch.to(device)).values())) for batch in batches]
    return dict(zip(("masked words", "second segment"), torch.stack(found).mean(0).tolist(), strict=True))
