"""Whether the user's module is being imported, by its name."""

import contextvars

importing_apps: contextvars.ContextVar[bool] = contextvars.ContextVar("importing_apps", default=False)
"""True while the user's module is imported. A worker must not be started then: `start()` would run inside the import for ever."""
