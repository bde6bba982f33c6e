"""Where tests run in several processes, the cells of a notebook stay in one, and in order."""

import pytest
from xdist.scheduler import LoadScopeScheduling


class NotebookScheduling(LoadScopeScheduling):
    """Hands out notebooks whole, the longest first, and all other tests one by one."""

    def _split_scope(self, nodeid: str) -> str:
        notebook, _, _ = nodeid.partition(".ipynb::")
        return notebook


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> NotebookScheduling:
    """Called by pytest-xdist; its own grouping by marks does not work with pytest 9.2."""
    return NotebookScheduling(config, log)
