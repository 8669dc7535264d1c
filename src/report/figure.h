/* SPDX-License-Identifier: Apache-2.0
 *
 * Figures as people read them: thousands separated, prices per million. For eyes only;
 * what is computed with goes through money_format_integer.
 */
#ifndef ENTENTE_REPORT_FIGURE_H
#define ENTENTE_REPORT_FIGURE_H

#include "base/money.h"

#define FIGURE_BYTES 72

struct span figure_count(char out[FIGURE_BYTES], int64_t n);                     /* "1,234,567" */
struct span figure_money(char out[FIGURE_BYTES], money m, unsigned decimals_min); /* exact: "14,400.00", "0.264" */
struct span figure_price(char out[FIGURE_BYTES], int64_t price);                 /* per million units: "0.22"; "-" for PRICE_NONE */
struct span figure_rate(char out[FIGURE_BYTES], struct rate r);                  /* "5.5%", "1/3" */

#endif
