/* SPDX-License-Identifier: Apache-2.0
 *
 * The program's errors; the list itself is err.def. ERR_OK is 0. Functions that can fail return enum err and are
 * MUST_CHECK; outputs named ret_x are untouched on failure.
 */
#ifndef ENTENTE_BASE_ERR_H
#define ENTENTE_BASE_ERR_H

#include "base/check.h"

enum err {
#define ERR(NAME, code, status, fault, retry, sentence) ERR_##NAME,
#include "base/err.def"
#undef ERR
    ERR_COUNT
};

enum err_fault { ERR_FAULT_NOBODY, ERR_FAULT_CLIENT, ERR_FAULT_PROVIDER, ERR_FAULT_US };

const char *err_name(enum err e);     /* "PROVIDER_RESET" */
const char *err_code(enum err e);     /* "provider_lost", what clients see */
const char *err_sentence(enum err e); /* for people, no final stop */
int err_status(enum err e);           /* HTTP status */
enum err_fault err_fault(enum err e);
bool err_is_retryable(enum err e);

#endif
