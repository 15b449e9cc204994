"""Event loops, and what runs on them or between them: timers, mailboxes, signals."""
