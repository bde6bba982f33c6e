"""Universal-KD: intermediate-layer knowledge distillation in the output space (Wu et al., EMNLP 2021).

    task = ukd.load_task("sentiment")
    profile = ukd.profile("smoke")
    teacher = ukd.train_teacher(task, profile=profile)
    ukd.train_heads(teacher, task, profile=profile)
    record = ukd.distill(task, ukd.method("universal-kd"), teacher, profile=profile, seed=1)
"""

import os

# Threads that wait for each other by spinning come to a standstill when anything else runs on their cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from ukd.config import compute
from ukd.data import load_task
from ukd.distill import distill
from ukd.heads import LayerwiseClassifier, PseudoClassifiers
from ukd.losses import intermediate_loss, kd_loss, label_loss
from ukd.methods import METHODS, method
from ukd.outputs import teacher_outputs
from ukd.own import own_task
from ukd.probing import fit_heads, train_heads
from ukd.profiles import PROFILES, profile
from ukd.projection import attend
from ukd.records import read_records
from ukd.teacher import train_teacher

__version__ = "0.1.0"
__all__ = [
    "METHODS", "PROFILES", "LayerwiseClassifier", "PseudoClassifiers", "attend", "compute", "distill", "fit_heads",
    "intermediate_loss", "kd_loss", "label_loss", "load_task", "method", "own_task", "profile", "read_records", "teacher_outputs",
    "train_heads", "train_teacher",
]  # fmt: skip
