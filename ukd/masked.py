"""BERT's two losses as pretraining computes them, and how they are judged on held-out text."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import BertForPreTraining

from ukd.data import Batch


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


def unigram_losses(drawn: Iterable[Batch], held_out: dict[str, list[Batch]], size: int) -> dict[str, float]:
    """Loss at the held-out texts' masked positions of always guessing by the frequency of single words, in nats, by text."""
    counts = torch.ones(size)
    for batch in drawn:
        counts += torch.bincount(batch.labels[batch.labels != -100], minlength=size)
    surprise = -(counts / counts.sum()).log()
    labels = {name: torch.cat([batch.labels[batch.labels != -100] for batch in batches]) for name, batches in held_out.items()}
    return {name: float(surprise[masked].mean()) for name, masked in labels.items()}
