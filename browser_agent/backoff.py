"""How long to wait before the next try: whatsapp_contract.backoff, under the name it has here."""

from whatsapp_contract.backoff import Backoff

__all__ = ["Backoff"]
