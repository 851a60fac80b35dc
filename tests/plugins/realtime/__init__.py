"""Real speech-to-speech plugins on loopback servers that speak OpenAI's realtime protocol and Gemini Live's."""
