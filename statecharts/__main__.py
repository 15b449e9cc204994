"""`python -m statecharts`: see `statecharts.tools.cli`."""

import io
import sys

from statecharts.tools.cli import main

if isinstance(sys.stdout, io.TextIOWrapper):
    sys.stdout.reconfigure(encoding="utf-8")  # arrows and bars, whatever the locale
sys.exit(main())
