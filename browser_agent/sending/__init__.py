"""Messages out: accepted and kept, carried one by one, their acknowledgements told."""
