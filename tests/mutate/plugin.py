"""A pytest plugin that runs tests with a mutant in place of its chart.

    MUTANT="Connection: exit of stopping without disarm_deadline" python -m pytest -p tests.mutate.plugin tests/worker

`MUTANT=identity`: with every chart unchanged, but made the way mutants are.
"""

import os

from tests.mutate.install import install

install(os.environ["MUTANT"])
