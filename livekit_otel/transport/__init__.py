"""HTTP: one client with one retry policy, OTLP endpoints, and the one place where credentials are left out of text."""
