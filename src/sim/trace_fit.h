/* SPDX-License-Identifier: Apache-2.0
 *
 * Figures of a production trace, made by tools/fit_trace.py: 19366 conversations of the Azure LLM inference service on 2023-11-16,
 * azure-llm-2023-conv of Azure/AzurePublicDataset (Splitwise, ISCA 2024), CC-BY-4.0. Quantiles, not rows: the trace is not in here.
 */
#ifndef ENTENTE_SIM_TRACE_FIT_H
#define ENTENTE_SIM_TRACE_FIT_H

#define FIT_QUANTILES 65
#define FIT_ROWS 19366
#define FIT_INPUT_OUTPUT 0.014 /* correlation of normal scores */
#define FIT_GAP_NEXT 0.050     /* of each gap with the next */
#define FIT_WINDOW_S 30
#define FIT_WINDOW_SIGMA 0.221 /* of ln(rate of a window), beyond what the gaps give */
#define FIT_WINDOW_NEXT 0.797  /* correlation of a window with the next */

/* From the least to the most, evenly spaced in probability. */
static const double fit_input_tokens[FIT_QUANTILES] = {
    2, 64, 165, 181, 194, 200, 206, 212, 235, 321, 374, 378, 383,
    388, 391, 394, 396, 398, 401, 403, 405, 408, 412, 419, 428, 459,
    818, 910, 966, 986, 1001, 1011, 1020, 1028, 1037, 1044, 1052, 1059, 1067,
    1075, 1083, 1092, 1100, 1110, 1120, 1133, 1147, 1164, 1189, 1233, 1312, 1315,
    1335, 1479, 1766, 2019, 2309, 2584, 3018, 4074, 4079, 4084, 4089, 4107, 14050,
};
static const double fit_output_tokens[FIT_QUANTILES] = {
    7, 18, 33, 40, 45, 49, 53, 56, 60, 64, 68, 72, 75,
    78, 81, 83, 85, 87, 89, 90, 92, 94, 95, 97, 99, 101,
    104, 107, 110, 114, 118, 123, 129, 135, 141, 149, 157, 163, 171,
    181, 195, 217, 223, 373, 377, 385, 389, 393, 395, 396, 397, 399,
    402, 407, 411, 414, 416, 420, 427, 429, 440, 456, 502, 568, 1000,
};
static const double fit_gap_us[FIT_QUANTILES] = {
    2, 1075, 2714, 5678, 8853, 11638, 14825, 18300, 21498, 24605, 27639, 30831, 33999,
    37127, 40857, 44482, 48272, 52191, 56141, 59787, 63914, 67814, 71779, 75970, 80248, 84808,
    89026, 93245, 98254, 102895, 107372, 112616, 118424, 124079, 130585, 136380, 142313, 149109, 156008,
    163106, 171038, 178570, 186387, 194871, 205148, 215362, 225601, 235866, 246733, 258701, 270662, 285442,
    302090, 318663, 338173, 357000, 378154, 403486, 432243, 470495, 515451, 580774, 667015, 799733, 4314579,
};

#endif
