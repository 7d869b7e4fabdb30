"""Chromium, the DevTools connection, and what we ask of WhatsApp Web through wa-js."""
