"""Wrappers around methods of LiveKit: each opens, delegates and closes. The only code that LiveKit calls."""
