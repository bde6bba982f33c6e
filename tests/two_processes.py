"""Run under `torch.distributed.run` by test_loop.py: the same training in each process."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from accelerate import PartialState
from test_loop import train_two_stages

if __name__ == "__main__":
    curve, weights = train_two_stages()
    state = PartialState()
    if state.is_main_process:
        content = {"processes": state.num_processes, "curve": curve, "weights": weights}
        Path(sys.argv[1]).write_text(json.dumps(content))
