"""Where user functions run: one protocol, `Executor`, and the executors of each `isolation` (docs/decisions/isolation.md)."""

from connect.execution.executor import Executor
from connect.execution.invocation import Invocation
from connect.execution.outcome import Outcome

__all__ = ["Executor", "Invocation", "Outcome"]
