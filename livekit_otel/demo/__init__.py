"""``livekit-otel demo``: a whole voice call on this machine, with no key and no network.

A scripted caller, whose speech is synthesised, talks to an agent through LiveKit's own VAD and end-of-turn model, a
real local recognizer (pocketsphinx), a rule-based language model that streams and counts tokens, and a real local
voice (eSpeak NG). The call is traced to a file, and LiveKit's own report is compared with the one rebuilt from that
file.
"""
