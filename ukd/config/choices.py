"""The words that options take, for the package and for its command line alike.

It imports nothing: `ukd --help` shows these words, and would be slow with torch.
"""

from __future__ import annotations

SYNTHETIC_TASKS = ("acceptability", "sentiment", "paraphrase", "similarity", "entailment")
GLUE_TASKS = ("cola", "sst2", "mrpc", "qqp", "stsb", "mnli", "qnli", "rte")
LAYER_SELECTIONS = ("first", "spread", "last")
STUDENT_INITS = ("pretrained", "teacher")
SELECTION_SPLITS = ("dev", "validation")
PRECISIONS = ("float32", "bf16", "fp16")
AUTO_PRECISION = "auto"  # the best of them that the device has
STUDENT_LAYERS = ("intermediate", "upper", "last")
TEACHER_LAYERS = ("intermediate", "all")
STAGE_COUNTS = ("one", "two")
SPACES = ("output", "hidden")
EACH_TASK = "each"  # every task chooses its learning rate
