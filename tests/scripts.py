"""Scripts of the tests that need a process of their own."""

import json
import os
import subprocess
import sys


def report_of(script, folder, plan):
    """What a script prints of a plan, read from JSON, and the end of its standard error."""
    done = subprocess.run(
        [sys.executable, str(script), str(folder), json.dumps(plan)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(script.parents[1])},
        capture_output=True,
        text=True,
        timeout=1800,
    )
    errors = done.stderr[-3000:]
    assert done.returncode == 0, errors
    return json.loads(done.stdout), errors
