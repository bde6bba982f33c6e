"""One cache for several accounts: what one has made, others read; what is begun, others finish."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from scripts import report_of

SCRIPT = Path(__file__).with_name("accounts.py")
IS_ROOT = sys.platform == "linux" and os.geteuid() == 0


@pytest.fixture
def open_folder():
    """A folder that other accounts reach: pytest's own are for one alone."""
    folder = Path(tempfile.mkdtemp(prefix="ukd-accounts-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.skipif(not IS_ROOT, reason="becoming two other accounts takes root on Linux")
def test_accounts_share_a_cache_and_finish_what_another_has_begun(open_folder, tiny_encoder):
    encoder = tiny_encoder(open_folder / "encoder", layers=4)
    for path in encoder.iterdir():
        path.chmod(0o644)
    limits = {"encoder": str(encoder), "batch_size": 16}
    plan = {"limits": limits, "rows": 90, "methods": ["universal-kd"]}
    found, errors = report_of(SCRIPT, open_folder, plan)
    for name in ("bert", "anna", "stranger"):
        assert found[name]["status"] == 0, errors
    assert "continuing at epoch 2 from labels.safetensors" in found["bert"]["at"]
    made = [text.split("/")[0] for text in found["bert"]["kept"]]
    assert {"teachers", "outputs", "runs"} <= set(made)
    for name in ("anna", "stranger"):
        kept = [text for text in found[name]["kept"] if not text.startswith(".")]
        assert {text.split("/")[0] for text in kept} == {"runs"}, "the cache had everything"
        assert not any("running the teacher" in text for text in found[name]["at"])
    assert found["refused"]["status"] == 1
    (text,) = found["refused"]["raised"]
    assert "Permission denied" in text and "set UKD_CACHE and UKD_RUNS to folders of" in text
    assert found["unchanged"] and found["equal"]
