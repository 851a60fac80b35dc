"""Calls in rooms of a real LiveKit server: a worker with its job processes, and callers who join over WebRTC."""
