"""Usage policies: ODRL documents, what they compile to, and why a request is or is not allowed."""
