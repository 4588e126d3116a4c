"""`python -m lstmcli` is `lstm`."""

from __future__ import annotations

from lstmcli.cli import main

if __name__ == "__main__":
    main()
