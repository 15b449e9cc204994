"""Event loops, and helpers for them: timers, signals, and mailboxes for calls from one loop to another."""
