"""Other tracing in the same process: the real packages beside us, each case in a process of its own."""
