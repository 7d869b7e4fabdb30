"""python -m benchmarks [name ...]: prints the figures beside their floor, with the machine. Takes about 20 minutes.

Those of the image need one: `tools/image-test --figures` builds it.
"""

import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from . import (
    backfill,
    evidence,
    footprint,
    image,
    media,
    page,
    recovery,
    sessions,
    startup,
    ticks,
    traffic,
    web,
    webhooks,
)
from .report import Figure, machine, table

BENCHMARKS: dict[str, Callable[[Path], list[Figure]]] = {
    "startup": startup.run,
    "traffic": traffic.run,
    "backfill": backfill.run,
    "ticks": ticks.run,
    "evidence": evidence.run,
    "footprint": footprint.run,
    "recovery": recovery.run,
    "sessions": sessions.run,
    "media": media.run,
    "web": web.run,
    "webhooks": webhooks.run,
    "page": page.run,
    "image": image.run,
}
NEED_AN_IMAGE = {"image"}


def main(names: list[str]) -> int:
    unknown = set(names) - BENCHMARKS.keys()
    if unknown:
        print(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    figures: list[Figure] = []
    failed: list[str] = []
    for name in names or [name for name in BENCHMARKS if name not in NEED_AN_IMAGE]:
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="whatsapp-bench-") as folder:
            try:
                figures += BENCHMARKS[name](Path(folder) / name)
            except Exception:
                traceback.print_exc()
                failed.append(name)
        print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    print(machine())
    print(table(figures))
    if failed:
        print(f"without the figures of {', '.join(failed)}, which failed: see above", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
