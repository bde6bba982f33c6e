"""The hidden space: student states match teacher states, as in the baselines of Universal-KD.

B batch, S student layers, T teacher layers (those below the last on both sides), D student width, E
teacher width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ukd.methods.method import HiddenStateConfig
from ukd.projection import static_layer_map, upcast


class HiddenStateLoss(nn.Module):
    """Distance between student states and the teacher states they see, with learned projections.

    A projection is learned where the method has one (`config.width`, on both sides), where the
    widths differ (student's to the teacher's), and for groups (each to the student's width).

    Raises ValueError for a student with as many layers as the teacher, or more.

    Sources: PKD (Sun et al. 2019), ALP-KD (Passban et al. 2021), RAIL-KD (Haidar et al. 2022), CKD
    (Wu et al. 2020), read from summaries. The distances are our choice: squared, summed over the
    width for unit vectors, else averaged.
    """

    def __init__(
        self, config: HiddenStateConfig, s_layers: int, t_layers: int, s_width: int, t_width: int
    ) -> None:
        super().__init__()
        if s_layers < 1 or t_layers < s_layers:
            raise ValueError(
                f"matching hidden states needs 1 to {t_layers} student layers below the last, got "
                f"{s_layers}: take a student with fewer layers than the teacher, or a method in "
                "the output space (universal-kd, uniform)"
            )
        self.config = config
        self.groups: list[tuple[int, int]] = []
        self.student: nn.Module = nn.Identity()
        self.teacher: nn.Module = nn.Identity()
        if config.layer_map == "groups":
            self.groups = _groups(s_layers, t_layers)
            sizes = [end - begin for begin, end in self.groups]
            self.teacher = nn.ModuleList(nn.Linear(size * t_width, s_width) for size in sizes)
        elif config.width:
            self.student = nn.Linear(s_width, config.width)
            self.teacher = nn.Linear(t_width, config.width)
        elif s_width != t_width:
            self.student = nn.Linear(s_width, t_width)

    def forward(self, student: Tensor, teacher: Tensor, epoch: int = 0, seed: int = 0) -> Tensor:
        """student (B, S, D), teacher (B, T, E) -> distance of each layer (S,), mean over the batch.

        epoch, seed: of a random layer map.
        """
        student = self.student(upcast(student))
        teacher = upcast(teacher)
        if self.groups:
            seen = self._seen_groups(teacher)
        else:
            teacher = self.teacher(teacher)
            weights = self.layer_map_weights(student, teacher, epoch, seed)
            seen = weights @ teacher  # (B, S, T) (B, T, E) -> (B, S, E)
        if self.config.normalise:
            difference = F.normalize(student, dim=-1) - F.normalize(seen, dim=-1)
            return difference.square().sum(-1).mean(0)
        return (student - seen).square().mean(-1).mean(0)

    def _seen_groups(self, teacher: Tensor) -> Tensor:
        """Each group of teacher layers, concatenated and projected: (B, T, E) -> (B, S, D)."""
        seen = []
        for project, (begin, end) in zip(self.teacher, self.groups, strict=True):
            seen.append(project(teacher[:, begin:end].flatten(1)))
        return torch.stack(seen, 1)

    def layer_map_weights(self, student: Tensor, teacher: Tensor, epoch: int, seed: int) -> Tensor:
        """How much each student layer takes from each teacher layer, (B, S, T)."""
        config = self.config
        if config.layer_map == "attention":
            scores = student @ teacher.transpose(1, 2) / config.attention_temperature
            weights = torch.softmax(scores, -1)
            return weights.detach() if config.detach_attention else weights
        drawn_by = layer_map_seed(seed, epoch)
        weights = static_layer_map(config.layer_map, student, teacher, seed=drawn_by)
        return weights.to(teacher).expand(len(student), *weights.shape)


def _groups(s_layers: int, t_layers: int) -> list[tuple[int, int]]:
    """Teacher layers split into as many neighbouring groups as the student has layers."""
    ends = [round((s + 1) * t_layers / s_layers) for s in range(s_layers)]
    return list(zip([0, *ends[:-1]], ends, strict=True))


def layer_map_seed(seed: int, epoch: int) -> int:
    """Seed of a run's random layer map in an epoch of a stage."""
    return 10_000 * seed + epoch
