"""The network that is pretrained: BERT's two losses, and a stack of layers that grows."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoModelForPreTraining, BertConfig, BertForPreTraining, set_seed

from data.encoder.make.batches import IGNORED
from data.encoder.make.settings import HEAD_WIDTH, PretrainingConfig
from ukd.config.runtime import attention_kernel
from ukd.data.batches import Batch

LOSSES = ("masked words", "second segment")
ROUNDS = 3  # of a stage, at least
LEAST_LAYERS = 3  # of the first stage
# (part of the depth, share of the steps): most of the time goes to few layers.
STACKING = ((4, 0.44), (2, 0.22), (1, 0.34))


class BertPretraining(nn.Module):
    """BERT's two losses, with the vocabulary head computed at the masked positions only."""

    def __init__(self, network: BertForPreTraining) -> None:
        super().__init__()
        self.network = network

    def forward(self, labels: Tensor, wrong: Tensor, **inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Cross-entropies of the masked words and of the second segment, in nats.

        Args:
            labels: (B, tokens), IGNORED where nothing was masked.
            wrong: (B,), 1 for a wrong second segment.
        """
        output = self.network.bert(**inputs)
        masked = labels != IGNORED
        words = self.network.cls.predictions(output.last_hidden_state[masked])
        segment = self.network.cls.seq_relationship(output.pooler_output)
        word_loss = F.cross_entropy(words.float(), labels[masked])
        return word_loss, F.cross_entropy(segment.float(), wrong)


def losses(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """Both losses of a batch by name."""
    return dict(zip(LOSSES, model(batch.labels, batch.rows, **batch.inputs), strict=True))


@torch.no_grad()
def held_out_losses(model: BertPretraining, batches: list[Batch]) -> dict[str, float]:
    """Mean losses over fixed held-out batches, in nats."""
    model.eval()
    device = next(model.parameters()).device
    values = []
    for batch in batches:
        terms = losses(model, batch.to(device))
        values.append(torch.stack(list(terms.values())))
    return dict(zip(LOSSES, torch.stack(values).mean(0).tolist(), strict=True))


def unigram_losses(
    drawn: Iterable[Batch], held_out: dict[str, list[Batch]], size: int
) -> dict[str, float]:
    """Loss of guessing by the frequency of single words, in nats, for each held-out text."""
    counts = torch.ones(size)
    for batch in drawn:
        counts += torch.bincount(batch.labels[batch.labels != IGNORED], minlength=size).cpu()
    surprise = -(counts / counts.sum()).log()
    found = {}
    for name, batches in held_out.items():
        masked = [batch.labels[batch.labels != IGNORED].cpu() for batch in batches]
        found[name] = float(surprise[torch.cat(masked)].mean())
    return found


def stages_of(layers: int, steps: int) -> list[tuple[int, int]]:
    """(layers, steps) of each stage: a quarter of the depth, then half, then all of it.

    Twelve post-norm layers learn next to nothing in minutes, and three do. A stack that starts
    from two copies of a trained one goes on from where that was. Source: Gong et al. 2019,
    "Efficient training of BERT by progressively stacking"; the shares are our choice.
    """
    stages = []
    for part, share in STACKING:
        depth = max(min(LEAST_LAYERS, layers), layers // part)
        stages.append((depth, max(ROUNDS, round(share * steps))))
    return stages


def narrow_bert(config: PretrainingConfig, layers: int, vocabulary: int) -> BertConfig:
    """BERT's post-norm stack, narrow (our choice).

    Without dropout: pretraining hardly sees a text twice, and what is masked is drawn anew.
    """
    return BertConfig(
        vocab_size=vocabulary,
        hidden_size=config.width,
        num_hidden_layers=layers,
        num_attention_heads=max(2, config.width // HEAD_WIDTH),
        intermediate_size=4 * config.width,
        max_position_embeddings=2 * config.max_length,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )


def grown(trained: BertForPreTraining | None, config: BertConfig, seed: int) -> BertForPreTraining:
    """A network of `config` whose layer i starts as layer i mod L of the trained one's L layers.

    Without a trained one it is drawn by `seed`.
    """
    set_seed(seed)
    network = AutoModelForPreTraining.from_config(config, attn_implementation=attention_kernel())
    if trained is None:
        return network
    kept = {name: value for name, value in trained.state_dict().items() if ".layer." not in name}
    network.load_state_dict(kept, strict=False)
    sources = trained.bert.encoder.layer
    for index, layer in enumerate(network.bert.encoder.layer):
        layer.load_state_dict(sources[index % len(sources)].state_dict())
    return network
