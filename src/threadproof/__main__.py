"""`python -m threadproof` is the `threadproof` command."""

import sys

from threadproof.cli import main

sys.exit(main())
