"""What the teacher's layers say of every example: asked once, kept on disk, found by the number of the row."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor

from ukd.config import Compute, cache_folder, digest, say
from ukd.data import Encoded, Task
from ukd.records import whole_folder, write_json
from ukd.teacher import Teacher
from ukd.train import predict


def teacher_outputs(teacher: Teacher, task: Task, split: str, data: Encoded, *, compute: Compute) -> Tensor:
    """What every teacher layer says of every row of a split: (rows of the split, T, C), NaN where a row was not asked for.

    Computed once per teacher, heads, tokens, rows and precision; later runs read the file. Output-space distillation needs nothing else.
    """
    key = digest(teacher.key, teacher.heads.name, data.fingerprint(), compute.precision)
    folder = cache_folder() / "outputs" / f"{task.name}-{split}-{key}"
    if not (folder / "made.json").is_file():
        say(f"asking the teacher once about {len(data)} {split} examples of {task.name}")
        logits = predict(teacher.load(task), data, compute)
        whole = torch.full((int(data.rows.max()) + 1, *logits.shape[1:]), float("nan"))
        whole[data.rows] = logits
        with whole_folder(folder) as building:
            np.save(building / "outputs.npy", whole.numpy())
            write_json(building / "made.json", {"teacher": teacher.key, "split": split, "settings": asdict(compute)})
    return torch.from_numpy(np.load(folder / "outputs.npy"))
