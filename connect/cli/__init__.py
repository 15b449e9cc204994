"""The command: `python -m connect`, or `statechart-connect`. A file for each subcommand; `commands` puts them together."""
