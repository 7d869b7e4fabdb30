"""Addresses, as the contract has them."""

from whatsapp_contract.addresses import canonical, chat_of, is_group

__all__ = ["canonical", "chat_of", "is_group"]
