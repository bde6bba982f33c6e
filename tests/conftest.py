"""Shared fixtures: everything runs in temporary folders, on a profile that is tiny, and without the hub."""

import os
from contextlib import contextmanager

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["UKD_QUIET"] = "1"

import pytest

import ukd
from ukd import train
from ukd.config import Compute
from ukd.probing import train_heads
from ukd.teacher import train_teacher

TINY = {"width": 16, "pretrain_steps": 6, "max_train": 96, "max_validation": 64, "batch": 16}


@pytest.fixture(scope="session", autouse=True)
def folders(tmp_path_factory):
    """Cache and runs of this test session, apart from the user's."""
    patch = pytest.MonkeyPatch()
    patch.setenv("UKD_CACHE", str(tmp_path_factory.mktemp("cache")))
    patch.setenv("UKD_RUNS", str(tmp_path_factory.mktemp("runs")))
    yield
    patch.undo()


@pytest.fixture(scope="session")
def compute():
    """float32 on whatever device there is, so that equalities hold closely."""
    return ukd.compute("float32")


@pytest.fixture(scope="session")
def cpu():
    """float32 on the CPU."""
    return Compute("cpu", "float32", 1, "tests")


@pytest.fixture(scope="session")
def tiny():
    """A profile of seconds."""
    return ukd.profile("smoke", **TINY)


@pytest.fixture(scope="session")
def task():
    """The embedded sentiment task."""
    return ukd.load_task("sentiment")


@pytest.fixture(scope="session")
def teacher(task, tiny, compute):
    """A tiny teacher with its pseudo classifiers, made once for all tests."""
    made = train_teacher(task, profile=tiny, compute=compute)
    train_heads(made, task, profile=tiny, compute=compute)
    return made


@pytest.fixture
def killed():
    """`with killed(n):` ends what trains inside at the end of its n-th epoch, before that epoch is saved."""

    @contextmanager
    def until(number):
        finish, calls = train.Progress.finish_epoch, []

        def die(self, *args):
            calls.append(1)
            if len(calls) == number:
                raise KeyboardInterrupt
            return finish(self, *args)

        with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(train.Progress, "finish_epoch", die)
            yield

    return until
