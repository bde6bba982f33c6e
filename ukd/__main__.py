"""`python -m ukd`."""

import sys

from ukd.cli.main import main

sys.exit(main())
