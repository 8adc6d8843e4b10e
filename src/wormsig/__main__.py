"""`python -m wormsig` is the `wormsig` command."""

from wormsig.cli.main import main

if __name__ == "__main__":
    main()
