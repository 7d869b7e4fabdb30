"""What `whatsapp-container doctor` looks at: one module per part, decisions apart from looking. Nothing is changed."""
