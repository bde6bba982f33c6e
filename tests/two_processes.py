"""Train two stages of one epoch and write curves and weights.

`test_train.py` runs this under `torch.distributed.run`, in one process and in two.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from accelerate import PartialState
from test_train import Net, batches, two_terms

from ukd.config.runtime import Runtime
from ukd.training.loop import Schedule, fit

model = Net()
runtime = Runtime("cpu", "float32", 1, "test")
curve = []
for _ in range(2):
    history = fit(model, batches(32), two_terms, Schedule(1, 4, 0.01), runtime)
    curve += history["curve"]
state = PartialState()
if state.is_main_process:
    weights = []
    for parameter in model.parameters():
        weights += parameter.flatten().tolist()
    result = {"processes": state.num_processes, "curve": curve, "weights": weights}
    Path(sys.argv[1]).write_text(json.dumps(result), encoding="utf-8")
