"""A call without a word about tracing, to be run under ``opentelemetry-instrument``; prints LiveKit's own report.

With ``pipeline-only`` its code takes the global provider for ours alone, as docs/alongside.md says.
"""

from __future__ import annotations

import json
import sys

from opentelemetry import trace

from tests.company import call

if __name__ == "__main__":
    if "pipeline-only" in sys.argv:
        import livekit_otel

        livekit_otel.set_tracer_provider(trace.get_tracer_provider(), native_spans=False)
    outcomes = call.run(call.openai_llm, trace.get_tracer("user"), real_time=True)
    print(json.dumps([outcome.report for outcome in outcomes]))
