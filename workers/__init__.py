"""Huey workers: check the agent, reset it, and bring it back through supervisor when it is lost."""
