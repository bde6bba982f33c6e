"""The table of methods, their loss terms, the hidden space."""

from ukd.config.scenarios import DEFAULT_METHODS, SCENARIOS
from ukd.methods.hidden_states import HiddenStateLoss
from ukd.methods.method import HiddenStateConfig, Method, Stage
from ukd.methods.objective import Objective, annealing, loss_options, select_layers
from ukd.methods.registry import METHODS, get_method, parse_method

__all__ = [
    "DEFAULT_METHODS",
    "HiddenStateConfig",
    "HiddenStateLoss",
    "METHODS",
    "Method",
    "Objective",
    "SCENARIOS",
    "Stage",
    "annealing",
    "get_method",
    "loss_options",
    "parse_method",
    "select_layers",
]
