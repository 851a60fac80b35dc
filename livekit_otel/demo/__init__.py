"""``livekit-otel demo``: a complete voice call on this machine, without keys or network access.

A scripted caller with synthesised speech talks to an agent through LiveKit's own VAD and end-of-turn model, a real
local recognizer (pocketsphinx), a rule-based language model that streams and counts tokens, and a real local voice
(eSpeak NG). The call is traced to a file, and LiveKit's own report is compared with the report rebuilt from that file.
"""
