/* SPDX-License-Identifier: Apache-2.0
 *
 * Three grades of assertion, all on in production.
 *
 * CHECK   a broken promise of our own: stop at once with file and line.
 * ALWAYS  believed true and still defended: returns the truth, counts and logs the first time it is false.
 * NEVER   believed false and still defended.
 * Bytes from outside never reach a CHECK: they get an error from err.def.
 */
#ifndef ENTENTE_BASE_CHECK_H
#define ENTENTE_BASE_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(format_at, args_at) __attribute__((format(printf, format_at, args_at)))
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define CONTAINER_OF(pointer, type, member) ((type *)(void *)((char *)(pointer) - offsetof(type, member)))

/* 1 in a build with AddressSanitizer: caches keep nothing there, so that a use after free shows. */
#if defined(__SANITIZE_ADDRESS__)
#define UNDER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_ASAN 1
#endif
#endif
#ifndef UNDER_ASAN
#define UNDER_ASAN 0
#endif

_Noreturn void check_failed(const char *expression, const char *file, int line);
bool check_surprise(const char *expression, const char *file, int line); /* returns false */
bool check_surprise_true(const char *expression, const char *file, int line); /* returns true */
uint64_t check_surprises(void); /* so far, in this process; for metrics */

#define CHECK(x) (LIKELY(x) ? (void)0 : check_failed(#x, __FILE__, __LINE__))
#define ALWAYS(x) (LIKELY(x) ? true : check_surprise(#x, __FILE__, __LINE__))
#define NEVER(x) (UNLIKELY(x) ? check_surprise_true(#x, __FILE__, __LINE__) : false)

/* Long-lived structs carry a magic number, checked where a void pointer becomes a type. */
#define MAGIC(a, b, c, d) ((unsigned)(a) << 24 | (unsigned)(b) << 16 | (unsigned)(c) << 8 | (unsigned)(d))
#define CHECK_MAGIC(object, value) CHECK((object) != NULL && (object)->magic == (value))

#endif
