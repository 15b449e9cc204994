"""Where user functions run: one protocol, and the rooms behind it (DESIGN: user code cannot starve the connection)."""

from connect.execution.executor import Executor, Invocation, Outcome

__all__ = ["Executor", "Invocation", "Outcome"]
