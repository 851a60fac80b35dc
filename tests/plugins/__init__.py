"""Real plugin packages on loopback servers that speak their providers' protocols."""
