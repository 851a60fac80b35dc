"""HTTP: one client with a retry policy, OTLP endpoints, and the removal of credentials from text."""
