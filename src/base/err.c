/* SPDX-License-Identifier: Apache-2.0
 *
 * The table behind err.def.
 */
#include "base/err.h"

static const struct {
    const char *name, *code, *sentence;
    short status;
    unsigned char fault;
    bool is_retryable;
} errors[ERR_COUNT] = {
#define ERR(NAME, code, status, fault, retry, sentence) {#NAME, code, sentence, status, ERR_FAULT_##fault, retry},
#include "base/err.def"
#undef ERR
};

static enum err known(enum err e)
{
    return ALWAYS((unsigned)e < ERR_COUNT) ? e : ERR_INTERNAL;
}

const char *err_name(enum err e)
{
    return errors[known(e)].name;
}

const char *err_code(enum err e)
{
    return errors[known(e)].code;
}

const char *err_sentence(enum err e)
{
    return errors[known(e)].sentence;
}

int err_status(enum err e)
{
    return errors[known(e)].status;
}

enum err_fault err_fault(enum err e)
{
    return errors[known(e)].fault;
}

bool err_is_retryable(enum err e)
{
    return errors[known(e)].is_retryable;
}
