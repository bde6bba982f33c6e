"""Training: teachers, their heads and cached logits, distillation, and the record of a run."""
