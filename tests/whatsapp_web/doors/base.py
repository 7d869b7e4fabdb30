"""What every group of doors has: the control API."""

from __future__ import annotations

from typing import Any

from tests.whatsapp_web.control_client import ControlClient

Json = dict[str, Any]


class Doors:
    """Some calls of the control API."""

    def __init__(self, control: ControlClient) -> None:
        self._control = control
