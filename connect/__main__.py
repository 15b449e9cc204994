"""`python -m connect`, or `statechart-connect`."""

import sys


def main() -> None:
    """Run the command. From here on a signal ends it with an exit code, and without a traceback."""
    try:
        from connect.cli import starting

        starting.begin()
        from connect.loops.quick_import import quickly

        quickly("connect.cli.commands").main()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
