"""`python -m zcc.lab.servers NAME …`: one of the lab's servers in the foreground.

web NAME PORT [CERTIFICATE KEY]      echo KIND ADDRESS PORT      names ADDRESS ZONE-AS-JSON
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path


def main(words: Sequence[str]) -> None:
    """Run the server that `words` name until killed."""
    match list(words):
        case ["web", name, port, *files] if len(files) in (0, 2):
            from zcc.lab.servers import web  # noqa: PLC0415

            web.serve(name, int(port), *map(Path, files))
        case ["echo", kind, address, port]:
            from zcc.lab.servers import echo  # noqa: PLC0415

            echo.serve(kind, address, int(port))
        case ["names", address, zone]:
            from zcc.lab.servers import names  # noqa: PLC0415

            names.serve(address, json.loads(zone))
        case _:
            sys.exit(__doc__)


main(sys.argv[1:])
