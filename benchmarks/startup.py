"""From the start of everything to the first code, and from a restart with a kept profile to ready."""

import shutil
from pathlib import Path

from tests.harness.service import Service
from tests.whatsapp_web.client import WhatsAppWeb
from whatsapp_contract.events import Event

from . import bare
from .report import Figure, median_worst

ROUNDS = 5


def run(folder: Path) -> list[Figure]:
    to_code, to_ready, bare_code, bare_main = [], [], [], []
    # The stand-in's own times of syncing are set to nothing, so that nothing has to be subtracted.
    with WhatsAppWeb(sync_ms=0, resume_ms=0) as whatsapp:
        for _ in range(ROUNDS):
            shutil.rmtree(folder, ignore_errors=True)
            with Service(folder, whatsapp.url) as service:
                to_code.append(_since_start(service, service.wait_event("qr")))
                whatsapp.scan(whatsapp.code_on_show())
                ready = service.wait_event("ready")
                service.stop()
                service.start()
                to_ready.append(_since_start(service, service.wait_event("ready", after=str(ready.id))))
                service.stop()
                bare_main.append(
                    bare.seconds_to_main(service.data_dir / "sessions/test-session/profile", whatsapp.url)
                )
            whatsapp.reset()
            bare_code.append(bare.seconds_to_code(folder / "bare", whatsapp.url))
    return [
        Figure(
            "whole service started to first qr",
            median_worst(to_code),
            f"{median_worst(bare_code)} Chromium alone to the code",
            "2.0 s",
        ),
        Figure(
            "restarted with a kept profile to ready",
            median_worst(to_ready),
            f"{median_worst(bare_main)} Chromium and wa-js alone",
            "1.6 s",
        ),
    ]


def _since_start(service: Service, event: Event) -> float:
    """By Redis' own clock, which is this machine's."""
    return int(str(event.id).split("-", maxsplit=1)[0]) / 1000 - service.started_at
