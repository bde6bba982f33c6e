"""`python -m ukd`."""

import sys

from ukd.cli import main

sys.exit(main())
