"""List the turns of a trace file in which the caller waited too long, and the stage that took most of the wait.

python examples/slow_turns.py trace.jsonl 1.5
"""

import sys

import livekit_otel


def main(source: str, limit: float) -> None:
    for report in livekit_otel.build_reports(livekit_otel.read_spans(source)):
        for turn in report.turns:
            waited = turn.latency.e2e_latency
            if waited is not None and waited > limit:
                stage, seconds = max(turn.silence.items(), key=lambda item: item[1])
                print(f"{report.session_id} turn {turn.index}: {waited:.2f} s, {seconds:.2f} s of it {stage}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python examples/slow_turns.py SOURCE [SECONDS]")
    main(sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 1.0)
