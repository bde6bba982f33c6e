"""The hidden space: student states match teacher states, the way of the methods that Universal-KD is compared with.

B batch, S student layers, T teacher layers (those below the last on both sides), D student width, E teacher width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ukd.losses import fixed_weights
from ukd.methods import Hidden
from ukd.projection import full_precision


class HiddenMatch(nn.Module):
    """Distance between student states and what they see of the teacher's, with the projections that it takes.

    A projection is learned where the method has one (`term.width` on both sides), where the widths differ (student's to the
    teacher's), and for concatenated groups (group to the student's width). Without any of these there is nothing to learn.

    Sources: PKD (Sun et al. 2019), ALP-KD (Passban et al. 2021), RAIL-KD (Haidar et al. 2022), CKD (Wu et al. 2020), read from
    summaries; squared distances, of unit vectors summed and of others averaged over the width, are our choice.
    """

    def __init__(self, term: Hidden, s_layers: int, t_layers: int, s_width: int, t_width: int) -> None:
        super().__init__()
        if s_layers < 1 or t_layers < s_layers:
            raise ValueError(f"matching hidden states needs 1 to {t_layers} student layers below the last, got {s_layers}: take a student "
                             "with fewer layers than the teacher, or a method in the output space (universal-kd, uniform)")  # fmt: skip
        self.term, self.student, self.teacher = term, nn.Identity(), nn.Identity()
        if term.mapping == "groups":
            ends = [round((s + 1) * t_layers / s_layers) for s in range(s_layers)]
            self.groups = list(zip([0, *ends[:-1]], ends, strict=True))
            self.teacher = nn.ModuleList(nn.Linear((end - begin) * t_width, s_width) for begin, end in self.groups)
        elif term.width:
            self.student, self.teacher = nn.Linear(s_width, term.width), nn.Linear(t_width, term.width)
        elif s_width != t_width:
            self.student = nn.Linear(s_width, t_width)

    def forward(self, student: Tensor, teacher: Tensor, epoch: int = 0, seed: int = 0) -> Tensor:
        """student: (B, S, D), teacher: (B, T, E) -> the layers' distances (S,), means over the batch.

        epoch, seed: by which a random map is drawn.
        """
        student, teacher = self.student(full_precision(student)), full_precision(teacher)
        if self.term.mapping == "groups":
            seen = torch.stack([
                project(teacher[:, begin:end].flatten(1)) for project, (begin, end) in zip(self.teacher, self.groups, strict=True)
            ], 1)  # fmt: skip
        else:
            teacher = self.teacher(teacher)
            seen = self.weights(student, teacher, epoch, seed) @ teacher  # (B, S, T) (B, T, E) -> (B, S, E)
        if self.term.normalise:
            return (F.normalize(student, dim=-1) - F.normalize(seen, dim=-1)).square().sum(-1).mean(0)
        return (student - seen).square().mean(-1).mean(0)

    def weights(self, student: Tensor, teacher: Tensor, epoch: int, seed: int) -> Tensor:
        """What each student layer takes from each teacher layer, (B, S, T)."""
        if self.term.mapping == "attention":
            found = torch.softmax(student @ teacher.transpose(1, 2) / self.term.kappa, -1)
            return found if self.term.attention_grad else found.detach()
        found = fixed_weights(self.term.mapping, student.shape[1], teacher.shape[1], seed=10_000 * seed + epoch)
        return found.to(teacher).expand(len(student), *found.shape)
