"""`python -m ukd`."""

import sys

from ukd.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
