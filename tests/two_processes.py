"""Run under `torch.distributed.run` by test_loop.py: two stages of one epoch each."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from accelerate import PartialState
from test_loop import Net, batches, two_terms

from ukd.config.runtime import Runtime
from ukd.training.loop import Schedule, fit


def main(path: Path) -> None:
    model = Net()
    runtime = Runtime("cpu", "float32", 1, "test")
    curve = []
    for _ in range(2):
        curve += fit(model, batches(32), two_terms, Schedule(1, 4, 0.01), runtime)["curve"]
    state = PartialState()
    if state.is_main_process:
        weights = [value for tensor in model.parameters() for value in tensor.flatten().tolist()]
        content = {"processes": state.num_processes, "curve": curve, "weights": weights}
        path.write_text(json.dumps(content))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
