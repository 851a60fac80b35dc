"""Wrappers around LiveKit's methods, the only code that LiveKit calls. Each opens, delegates and closes."""
