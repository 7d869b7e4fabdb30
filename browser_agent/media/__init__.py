"""Files of messages: known from the moment their message is told, fetched out of the page, verified and stored."""
