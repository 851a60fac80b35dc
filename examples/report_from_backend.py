"""Read calls back from a trace backend, and print the conversation and how long the caller had to wait.

    pip install .  # in a checkout of livekit_otel
    python examples/report_from_backend.py "jaeger://localhost:16686?service=flower-shop&since=1h"

A file, a directory of files, phoenix://... or langfuse://... also work. livekit-agents is not needed.
"""

import sys

import livekit_otel


def main(source: str) -> None:
    for report in livekit_otel.build_reports(livekit_otel.read_spans(source)):
        print(f"{report.session_id}: {report.duration:.0f} s, {'complete' if report.complete else 'INCOMPLETE'}")
        for turn in report.turns:
            if turn.user_text:
                print(f"  user:  {turn.user_text}")
            if turn.latency.e2e_latency is not None:
                stages = ", ".join(
                    f"{stage} {seconds:.2f}" for stage, seconds in turn.silence.items() if seconds >= 0.005
                )
                print(f"  wait:  {turn.latency.e2e_latency:.2f} s ({stages})")
            if turn.agent_text:
                print(f"  agent: {turn.agent_text}")
        for warning in report.warnings:
            print(f"  warning: {warning}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python examples/report_from_backend.py SOURCE")
    try:
        main(sys.argv[1])
    except livekit_otel.LiveKitOtelError as error:
        sys.exit(str(error))
