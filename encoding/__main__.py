"""``python -m encoding``: an interruption ends it alike while its modules are still loading."""

import sys

try:
    from encoding.cli import main

    code = main()
except KeyboardInterrupt:
    print("Interrupted.", file=sys.stderr)
    code = 130
raise SystemExit(code)
