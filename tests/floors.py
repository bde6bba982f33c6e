"""Print the lowest versions that pyproject.toml admits, as pip constraints for `make test-floors`.

torch stays at its exact version: an older one may be missing where the tests run.
"""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def requirements() -> dict[str, str]:
    """Name to lowest version, of the kit and of its development tools."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    return dict(re.fullmatch(r"([\w-]+)>=([\d.]+)", line).groups() for line in lines)


def constraints() -> dict[str, str]:
    """Name to exact version, from constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


if __name__ == "__main__":
    for name, version in {**requirements(), "torch": constraints()["torch"]}.items():
        print(f"{name}=={version}")
