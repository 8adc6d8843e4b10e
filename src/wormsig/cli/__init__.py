"""Click: options in, words and exit codes out; the only place that starts the reactor.

No decision about money is taken here: a command turns its options into the values that `app` takes, and what `app`
returns into text. Every command is a module of `commands/` with one object called `command`, imported when it is
used: `wormsig --version` and `--help` load neither Twisted nor bitcointx.
"""
