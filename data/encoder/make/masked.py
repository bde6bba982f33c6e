"""What pretraining trains: a stack that grows, BERT's two losses, and how they are judged on held-out text."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoModelForPreTraining, BertConfig, BertForPreTraining

from ukd.config.runtime import attention_kernel
from ukd.data.batches import Batch

ROUNDS = 3
Shares = tuple[tuple[int, float], ...]
STACKING = ((4, 0.80), (2, 0.12), (1, 0.08))  # part of the depth, share of the steps; for minutes
LONG_STACKING = (
    (4, 0.44),
    (2, 0.22),
    (1, 0.34),
)  # for hours: most of the time goes to the whole depth


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
        return F.cross_entropy(words.float(), labels[chosen]), F.cross_entropy(
            segment.float(), wrong
        )


def losses(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """Both terms by name."""
    return dict(
        zip(
            ("masked words", "second segment"),
            model(batch.labels, batch.rows, **batch.inputs),
            strict=True,
        )
    )


@torch.no_grad()
def held_out_losses(model: Pretraining, batches: list[Batch]) -> dict[str, float]:
    """Mean losses over fixed held-out batches, in nats."""
    model.eval()
    device = next(model.parameters()).device
    found = [torch.stack(list(losses(model, batch.to(device)).values())) for batch in batches]
    return dict(
        zip(("masked words", "second segment"), torch.stack(found).mean(0).tolist(), strict=True)
    )


def unigram_losses(
    drawn: Iterable[Batch], held_out: dict[str, list[Batch]], size: int
) -> dict[str, float]:
    """Loss at the held-out texts' masked positions of always guessing by the frequency of single words, in nats, by text."""
    counts = torch.ones(size)
    for batch in drawn:
        counts += torch.bincount(batch.labels[batch.labels != -100], minlength=size).cpu()
    surprise = -(counts / counts.sum()).log()
    labels = {
        name: torch.cat([batch.labels[batch.labels != -100] for batch in batches]).cpu()
        for name, batches in held_out.items()
    }
    return {name: float(surprise[masked].mean()) for name, masked in labels.items()}


def stacking(layers: int, steps: int, shares: Shares = STACKING) -> list[tuple[int, int]]:
    """(layers, steps) of each stage: a quarter of the depth first (at least 3 layers), then half, then all of it.

    Twelve post-norm layers learn next to nothing in minutes; three do, and a stack that starts from two copies of a
    trained one goes on from where that was. Source: Gong et al. 2019, "Efficient training of BERT by progressively
    stacking"; the shares are our choice.
    """
    return [
        (max(min(3, layers), layers // part), max(ROUNDS, round(share * steps)))
        for part, share in shares
    ]


def stack(trained: BertForPreTraining | None, config: BertConfig) -> BertForPreTraining:
    """A network of `config` whose layer i starts as layer i mod L of the trained one with L layers; new without one."""
    network = AutoModelForPreTraining.from_config(config, attn_implementation=attention_kernel())
    if trained is not None:
        layers, encoder = trained.bert.encoder.layer, network.bert.encoder
        network.load_state_dict(
            {n: t for n, t in trained.state_dict().items() if ".layer." not in n}, strict=False
        )
        for index, layer in enumerate(encoder.layer):
            layer.load_state_dict(layers[index % len(layers)].state_dict())
    return network
