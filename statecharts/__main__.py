"""`python -m statecharts`: see `statecharts.tools.cli`."""

import sys

from statecharts.tools.cli import main

sys.exit(main())
