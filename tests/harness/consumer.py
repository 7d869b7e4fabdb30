"""A consumer in a process of its own, to be killed: prints each event's code, and stops still at one of them.

python -m tests.harness.consumer URL SESSION GROUP NAME CLAIM_IDLE_S STILL_AT
"""

import sys
import time

from whatsapp_contract.client import AgentClient
from whatsapp_contract.redis_connection import connect


def main(url: str, session: str, group: str, name: str, claim_idle_s: str, still_at: str) -> None:
    client = AgentClient(connect(url), session)
    for event in client.follow(group=group, consumer=name, claim_idle_s=float(claim_idle_s)):
        print(event.data["code"], flush=True)
        while event.data["code"] == still_at:
            time.sleep(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
