"""`python -m streamgauge`: the command line without an installed script. It knows no verb."""

from __future__ import annotations

from streamgauge.cli.main import main

__all__: list[str] = []

if __name__ == "__main__":
    main()
