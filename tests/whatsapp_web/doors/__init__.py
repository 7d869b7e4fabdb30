"""What a test can do to the account, by subject; `client.WhatsAppWeb` has all of it."""
