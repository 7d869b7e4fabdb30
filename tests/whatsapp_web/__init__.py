"""The project's own stand-in for WhatsApp Web: a page, its server and a door for tests.

Start reading in README.md; tests use `tests.whatsapp_web.client.WhatsAppWeb`.
"""
