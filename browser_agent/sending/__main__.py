"""python -m browser_agent.sending: fetch one file. A request on stdin, its answer on stdout, both JSON."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

from whatsapp_contract.errors import ContractError

from .source.fetching import fetch
from .source.https import NoSuchHost
from .source.rules import Rules


def main() -> int:
    request = json.loads(sys.stdin.buffer.read())
    try:
        rules = Rules.model_validate(request["rules"])
        answer = asdict(fetch(request["source"], Path(request["target"]), rules, request["within_s"]))
    except ContractError as error:
        answer = {"error": error.code, "message": str(error), "no_such_host": isinstance(error, NoSuchHost)}
    sys.stdout.write(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
