"""The stand-in's server side: the account, its devices, the WebSocket and the control API."""
