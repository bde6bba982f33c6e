"""Pseudo classifiers: a small classifier on every layer, so that every layer says what it thinks the label is.

B batch, L layers with a pseudo classifier (all below the last), D hidden size, C classes (1 for regression).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel

from ukd.students import pool


class PseudoClassifiers(nn.Module):
    """One small classifier per layer: layer states (B, L, D) to logits (B, L, C).

    Normalisation over D, an optional tanh pooler, and a linear map, each layer with its own weights. The normalisation has
    no weights of its own: before a linear map they would add nothing, and without them fitting the heads is convex.

    Source: a classifier on every intermediate layer is the paper's abstract; its form is our choice.
    """

    def __init__(self, hidden_size: int, num_labels: int, num_layers: int, *, pooler: bool = False) -> None:
        super().__init__()
        for name, size in (("hidden_size", hidden_size), ("num_labels", num_labels), ("num_layers", num_layers)):
            if size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        self.weight = nn.Parameter(torch.empty(num_layers, hidden_size, num_labels).normal_(std=0.02))
        self.bias = nn.Parameter(torch.zeros(num_layers, num_labels))
        self.pooler = nn.Parameter(torch.eye(hidden_size).repeat(num_layers, 1, 1)) if pooler else None

    def forward(self, states: Tensor) -> Tensor:
        """states: (B, L, D) -> logits (B, L, C). Raises ValueError for another number of layers or hidden size."""
        if states.shape[1:] != self.weight.shape[:2]:
            raise ValueError(f"expected states (B, {self.weight.shape[0]}, {self.weight.shape[1]}), got {tuple(states.shape)}")
        x = F.layer_norm(states, states.shape[-1:])
        if self.pooler is not None:
            x = torch.tanh(torch.einsum("bld,lde->ble", x, self.pooler))
        return torch.einsum("bld,ldc->blc", x, self.weight) + self.bias


class LayerwiseClassifier(nn.Module):
    """A sequence classifier with pseudo classifiers on the layers below its last: inputs to logits (B, L + 1, C).

    The last entry is the network's own classifier, untouched. Without `heads` it is the only one. The states are the first
    token's, or pooled as the network's configuration says (`pooling`: max or mean, our choice for BiLSTM and CNN); padding
    never enters them.
    """

    def __init__(self, network: PreTrainedModel, heads: PseudoClassifiers | None = None) -> None:
        super().__init__()
        self.network, self.heads = network, heads
        self.match: nn.Module | None = None  # what compares its states with a teacher's, where a method has that

    def forward(self, *, states: str | None = None, **inputs: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Tokenised inputs, each (B, tokens), to logits (B, L + 1, C), the network's own last.

        With `states` ("first" or "mean") also the states (B, L, D) of the layers below the last, pooled in that way.
        """
        output = self.network(**inputs, output_hidden_states=self.heads is not None or states is not None)
        logits = output.logits.unsqueeze(1)  # (B, 1, C)
        if self.heads is not None:
            logits = torch.cat([self.heads(layer_states(self.network, output.hidden_states, inputs)), logits], dim=1)
        return logits if states is None else (logits, layer_states(self.network, output.hidden_states, inputs, states))


def layer_states(
    network: PreTrainedModel, hidden_states: tuple[Tensor, ...], inputs: dict[str, Tensor], how: str | None = None
) -> Tensor:
    """States of the layers below the last, L + 2 of (B, tokens, D) to (B, L, D), pooled as asked or as its configuration says."""
    how = how or getattr(network.config, "pooling", "first")
    return torch.stack([pool(layer, inputs.get("attention_mask"), how) for layer in hidden_states[1:-1]], dim=1)


class Frozen(nn.Module):
    """A network that only answers: no parameter learns, no graph is built, and `.train()` of an outer module can't wake dropout."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Frozen:
        """Keep the frozen network in evaluation mode whatever the outer module does."""
        super().train(mode)
        self.module.eval()
        return self

    @torch.no_grad()
    def forward(self, **inputs: Tensor) -> Tensor:
        """What the frozen network answers."""
        return self.module(**inputs)
