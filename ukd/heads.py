"""Pseudo classifiers: a small classifier on every layer, so that every layer makes a prediction.

B batch, N tokens, L layers with a pseudo classifier (all below the last), D hidden size, C classes
(1 for regression).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

POOLINGS = ("first", "max", "mean")


class PseudoClassifiers(nn.Module):
    """One small classifier per layer: pooled states (B, L, D) to logits (B, L, C).

    Each layer has a normalisation over D, an optional tanh pooler, and a linear map of its own. The
    normalisation has no weights: before a linear map they would add nothing, and without them
    fitting the heads is convex.

    Source: a classifier on every intermediate layer is the paper's abstract. Its form is ours.
    """

    def __init__(
        self, hidden_size: int, num_labels: int, num_layers: int, *, pooler: bool = False
    ) -> None:
        super().__init__()
        sizes = {"hidden_size": hidden_size, "num_labels": num_labels, "num_layers": num_layers}
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name} must be at least 1, got {size}")
        self.weight = nn.Parameter(torch.empty(num_layers, hidden_size, num_labels))
        nn.init.normal_(self.weight, std=0.02)
        self.bias = nn.Parameter(torch.zeros(num_layers, num_labels))
        self.pooler = None
        if pooler:
            self.pooler = nn.Parameter(torch.eye(hidden_size).repeat(num_layers, 1, 1))

    def forward(self, states: Tensor) -> Tensor:
        """states: (B, L, D) -> logits (B, L, C). Raises ValueError for other sizes of L or D."""
        layers, hidden_size = self.weight.shape[:2]
        if states.shape[1:] != (layers, hidden_size):
            got = tuple(states.shape)
            raise ValueError(f"expected states (B, {layers}, {hidden_size}), got {got}")
        x = F.layer_norm(states, states.shape[-1:])
        if self.pooler is not None:
            x = torch.tanh(torch.einsum("bld,lde->ble", x, self.pooler))
        return torch.einsum("bld,ldc->blc", x, self.weight) + self.bias


class ClassifierWithHeads(nn.Module):
    """A sequence classifier with pseudo classifiers: inputs to logits (B, L + 1, C).

    The last entry is the network's own classifier, untouched; without `heads` it is the only one.
    The states are the first token's, or pooled as the network's configuration says (`pooling`: max
    or mean, our choice for BiLSTM and CNN). Padding never enters them.
    """

    def __init__(self, network: nn.Module, heads: PseudoClassifiers | None = None) -> None:
        super().__init__()
        self.network = network
        self.heads = heads
        # The hidden-state loss of baselines such as PKD, whose projections learn with the student.
        self.hidden_loss: nn.Module | None = None

    def forward(
        self, *, states: str | None = None, **inputs: Tensor
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Tokenised inputs, each (B, N), to logits (B, L + 1, C), the network's own last.

        With `states` ("first", "max" or "mean") also the states (B, L, D) of the layers below the
        last, pooled in that way.
        """
        needs_states = self.heads is not None or states is not None
        output = self.network(**inputs, output_hidden_states=needs_states)
        logits = output.logits.unsqueeze(1)  # (B, 1, C)
        if self.heads is not None:
            pooled = pooled_hidden_states(self.network, output.hidden_states, inputs)
            logits = torch.cat([self.heads(pooled), logits], dim=1)  # (B, L + 1, C)
        if states is None:
            return logits
        return logits, pooled_hidden_states(self.network, output.hidden_states, inputs, states)


class Frozen(nn.Module):
    """A network that only predicts.

    No parameter learns, no graph is built, and `.train()` of an outer module leaves dropout off.
    """

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
        """The frozen network's output."""
        return self.module(**inputs)


def pooled_hidden_states(
    network: nn.Module,
    hidden_states: tuple[Tensor, ...],
    inputs: dict[str, Tensor],
    pooling: str | None = None,
) -> Tensor:
    """States of the layers below the last, pooled: L + 2 tensors (B, N, D) to (B, L, D).

    The first of `hidden_states` is the embedding and the last belongs to the network's classifier.
    pooling: "first", "max" or "mean"; by default as the network's configuration says, else "first".
    """
    pooling = pooling or getattr(network.config, "pooling", "first")
    mask = inputs.get("attention_mask")
    return torch.stack([pool(layer, mask, pooling) for layer in hidden_states[1:-1]], dim=1)


def pool(states: Tensor, mask: Tensor | None, pooling: str) -> Tensor:
    """States (B, N, D) of the tokens in mask (B, N) to (B, D).

    pooling: the "first" token's state, or the "max" or "mean" over the mask. Raises ValueError for
    another one, and for a missing mask where it decides.
    """
    if pooling == "first":
        return states[:, 0]
    if mask is None:
        raise ValueError(f"pooling {pooling!r} needs attention_mask (B, N): padding must not count")
    mask = mask.bool().unsqueeze(-1)  # (B, N, 1)
    if pooling == "max":
        # Adding costs less than filling: its gradient is not copied.
        return (states + (~mask).to(states.dtype) * torch.finfo(states.dtype).min).amax(1)
    if pooling == "mean":
        return (states * mask).sum(1) / mask.sum(1).clamp(min=1)
    raise ValueError(f"unknown pooling {pooling!r}; choose one of: {', '.join(POOLINGS)}")
