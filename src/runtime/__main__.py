"""`python -m fastbook.runtime` is the `fastbook` command."""

import sys

from .cli import main

sys.exit(main())
