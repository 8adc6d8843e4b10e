"""One module per command; `wormsig.cli.main.COMMANDS` is the list."""
