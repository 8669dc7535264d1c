#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fits a workload to a production trace and writes src/sim/trace_fit.h.

usage: tools/fit_trace.py azure-llm-2023-conv.csv > src/sim/trace_fit.h

The trace itself (Azure/AzurePublicDataset, CC-BY-4.0) is not in the tree; these figures of it are. What is kept:
  - the distributions of input tokens, output tokens and time between arrivals, as 65 quantiles each;
  - how input and output go together, and each gap with the next: correlations of normal scores, for a Gaussian copula;
  - burstiness beyond single gaps: how much the rate of a 30 s window wanders, as the deviation of its logarithm, with what the gaps
    alone would give taken out, and its correlation from window to window.
"""
import csv
import datetime
import math
import statistics
import sys

QUANTILES = 65
WINDOW_S = 30.0


def seconds(text):
    whole, _, part = text.partition(".")
    moment = datetime.datetime.strptime(whole, "%Y-%m-%d %H:%M:%S").replace(tzinfo=datetime.timezone.utc)
    return moment.timestamp() + float("0." + (part or "0"))


def quantiles(values):
    ordered = sorted(values)
    last = len(ordered) - 1
    return [ordered[round(i * last / (QUANTILES - 1))] for i in range(QUANTILES)]


def normal_scores(values):
    order = sorted(range(len(values)), key=lambda i: values[i])
    scores = [0.0] * len(values)
    for rank, i in enumerate(order):
        scores[i] = statistics.NormalDist().inv_cdf((rank + 0.5) / len(values))
    return scores


def correlation(a, b):
    return statistics.correlation(a, b)


def wander(times, gaps):
    """Deviation of ln(rate of a window), less what independent gaps of the same kind would give; and its correlation to the next."""
    windows = {}
    for t in times:
        windows[int((t - times[0]) // WINDOW_S)] = windows.get(int((t - times[0]) // WINDOW_S), 0) + 1
    counts = [windows.get(i, 0) for i in range(max(windows))]
    logs = [math.log(max(c, 1)) for c in counts]
    mean = statistics.mean(counts)
    cv2 = statistics.pvariance(gaps) / statistics.mean(gaps) ** 2
    own = cv2 / mean  # variance of a renewal count, relative
    return math.sqrt(max(statistics.pvariance(logs) - own, 0.0)), correlation(logs[:-1], logs[1:])


def table(name, values, form):
    lines = [", ".join(form % v for v in values[i:i + 13]) for i in range(0, len(values), 13)]
    print("static const double %s[FIT_QUANTILES] = {\n    %s,\n};" % (name, ",\n    ".join(lines)))


def main():
    with open(sys.argv[1], newline="") as f:
        rows = [(seconds(r["TIMESTAMP"]), int(r["ContextTokens"]), int(r["GeneratedTokens"])) for r in csv.DictReader(f)]
    times, inputs, outputs = zip(*rows)
    gaps = [b - a for a, b in zip(times, times[1:])]
    sigma, persistence = wander(times, gaps)
    scores = normal_scores(inputs), normal_scores(outputs), normal_scores(gaps)
    print("""/* SPDX-License-Identifier: Apache-2.0
 *
 * Figures of a production trace, made by tools/fit_trace.py: %d conversations of the Azure LLM inference service on 2023-11-16,
 * azure-llm-2023-conv of Azure/AzurePublicDataset (Splitwise, ISCA 2024), CC-BY-4.0. Quantiles, not rows: the trace is not in here.
 */
#ifndef ENTENTE_SIM_TRACE_FIT_H
#define ENTENTE_SIM_TRACE_FIT_H

#define FIT_QUANTILES %d
#define FIT_ROWS %d
#define FIT_INPUT_OUTPUT %.3f /* correlation of normal scores */
#define FIT_GAP_NEXT %.3f     /* of each gap with the next */
#define FIT_WINDOW_S %.0f
#define FIT_WINDOW_SIGMA %.3f /* of ln(rate of a window), beyond what the gaps give */
#define FIT_WINDOW_NEXT %.3f  /* correlation of a window with the next */

/* From the least to the most, evenly spaced in probability. */""" % (len(rows), QUANTILES, len(rows), correlation(scores[0], scores[1]),
          correlation(scores[2][:-1], scores[2][1:]), WINDOW_S, sigma, persistence))
    table("fit_input_tokens", quantiles(inputs), "%d")
    table("fit_output_tokens", quantiles(outputs), "%d")
    table("fit_gap_us", [g * 1e6 for g in quantiles(gaps)], "%.0f")
    print("\n#endif")


if __name__ == "__main__":
    main()
