/* SPDX-License-Identifier: Apache-2.0
 *
 * What a caller gets out of JSON and puts into it: keys, values, numbers, escapes, where an error is and what it says. Which
 * documents are JSON at all is in unit_json.c.
 */
#include "unit.h"

#include "base/block.h"
#include "base/json.h"
#include "base/limits.h"
#include "unit_random.h"

TEST(an_error_says_where_it_is_and_what_was_expected)
{
    static const struct {
        const char *text;
        size_t offset;
        const char *what;
    } rows[] = {
        {"{\"a\" 1}", 5, "expected a colon"},
        {"{\"a\":1 \"b\":2}", 7, "expected a comma or the closing bracket"},
        {"{\"a\":1,}", 7, "expected a key in quotes"},
        {"[1,]", 3, "expected a value"},
        {"[\"a\\x\"]", 3, "this escape does not exist"},
        {"[\"a\nb\"]", 3, "a control character must be escaped inside a string"},
        {"[\"ab\xff\"]", 4, "these bytes are not UTF-8"},
        {"[\"ab", 4, "the document ends inside a string"},
        {"[1", 2, "the document ends inside an object or array"},
        {"[-]", 2, "a minus needs a digit after it"},
        {"[1.]", 3, "a decimal point needs a digit after it"},
        {"[1e]", 3, "an exponent needs a digit"},
        {"[trap]", 3, "expected true, false or null"},
        {"[] x", 3, "something follows the document"},
        {"  ", 2, "the document ends where a value is due"},
        {"{\"a\":", 5, "the document ends where a value is due"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct json j;
        json_init(&j, span_str(rows[i].text));
        enum err e = json_skip(&j, NULL);
        EXPECT((e ? e : json_finish(&j)) != ERR_OK);
        EXPECT_EQ(json_offset(&j), rows[i].offset);
        EXPECT_STR(j.error_what, rows[i].what);
    }
}

TEST(after_an_error_every_call_repeats_it_and_changes_no_output)
{
    struct json j;
    struct json_string string = {SPAN("before"), false};
    int64_t number = 5;
    bool truth = true;
    json_init(&j, SPAN("[1, x, 2]"));
    EXPECT_EQ(json_skip(&j, NULL), ERR_JSON);
    EXPECT_EQ(json_offset(&j), 4);
    EXPECT_EQ(json_read_string(&j, &string), ERR_JSON);
    EXPECT_EQ(json_read_i64(&j, &number), ERR_JSON);
    EXPECT_EQ(json_read_bool(&j, &truth), ERR_JSON);
    EXPECT_EQ(json_read_null(&j), ERR_JSON);
    EXPECT_EQ(json_enter_object(&j), ERR_JSON);
    EXPECT_EQ(json_enter_array(&j), ERR_JSON);
    EXPECT(!json_next_key(&j, &string));
    EXPECT(!json_next_item(&j));
    EXPECT_EQ(json_peek(&j), JSON_NOTHING);
    EXPECT_EQ(json_finish(&j), ERR_JSON);
    EXPECT_EQ(json_offset(&j), 4);
    EXPECT_SPAN(string.raw, "before");
    EXPECT_EQ(number, 5);
    EXPECT(truth);
}

TEST(a_value_of_another_type_is_an_error_and_not_a_guess)
{
    struct json j;
    struct json_string string;
    double real;
    int64_t number;
    bool truth;
    json_init(&j, SPAN("1"));
    EXPECT_EQ(json_read_string(&j, &string), ERR_JSON);
    json_init(&j, SPAN("\"1\""));
    EXPECT_EQ(json_read_i64(&j, &number), ERR_JSON);
    json_init(&j, SPAN("\"1\""));
    EXPECT_EQ(json_read_double(&j, &real), ERR_JSON);
    json_init(&j, SPAN("0"));
    EXPECT_EQ(json_read_bool(&j, &truth), ERR_JSON);
    json_init(&j, SPAN("false"));
    EXPECT_EQ(json_read_null(&j), ERR_JSON);
    json_init(&j, SPAN("[]"));
    EXPECT_EQ(json_enter_object(&j), ERR_JSON);
    json_init(&j, SPAN("{}"));
    EXPECT_EQ(json_enter_array(&j), ERR_JSON);
    EXPECT_STR(j.error_what, "expected an array");
}

TEST(a_caller_that_forgets_a_value_gets_an_error_and_no_endless_loop)
{
    struct json j;
    struct json_string key;
    unsigned turns = 0;
    json_init(&j, SPAN("[1,2]"));
    REQUIRE(json_enter_array(&j) == ERR_OK);
    while (json_next_item(&j) && turns < 10)
        turns++;
    EXPECT_EQ(turns, 1);
    EXPECT_EQ(j.error, ERR_JSON);
    json_init(&j, SPAN("{\"a\":1}"));
    REQUIRE(json_enter_object(&j) == ERR_OK);
    EXPECT_EQ(json_skip(&j, NULL), ERR_JSON); /* without asking for the key */
    json_init(&j, SPAN("{\"a\":1}"));
    REQUIRE(json_enter_object(&j) == ERR_OK);
    REQUIRE(json_next_key(&j, &key));
    EXPECT_EQ(json_finish(&j), ERR_JSON);
    json_init(&j, SPAN("1]"));
    REQUIRE(json_skip(&j, NULL) == ERR_OK);
    EXPECT(!json_next_item(&j));
    EXPECT_EQ(j.error, ERR_JSON);
}

TEST(a_walk_gives_keys_values_and_the_bytes_of_what_it_skipped)
{
    struct json j;
    struct json_string key, text;
    struct span value;
    int64_t number;
    json_init(&j, SPAN(" { \"model\" : \"m\\n\", \"tools\": [ {\"a\":1} , 2 ] , \"n\":-12 } "));
    REQUIRE(json_peek(&j) == JSON_OBJECT);
    REQUIRE(json_enter_object(&j) == ERR_OK);
    REQUIRE(json_next_key(&j, &key));
    EXPECT_SPAN(key.raw, "model");
    EXPECT(!key.has_escapes);
    REQUIRE(json_peek(&j) == JSON_STRING && json_read_string(&j, &text) == ERR_OK);
    EXPECT_SPAN(text.raw, "m\\n");
    EXPECT(text.has_escapes);
    REQUIRE(json_next_key(&j, &key) && json_skip(&j, &value) == ERR_OK);
    EXPECT_SPAN(value, "[ {\"a\":1} , 2 ]");
    REQUIRE(json_next_key(&j, &key) && json_read_i64(&j, &number) == ERR_OK);
    EXPECT_EQ(number, -12);
    EXPECT(!json_next_key(&j, &key));
    EXPECT_EQ(json_finish(&j), ERR_OK);
}

TEST(whole_numbers_are_exact_or_refused)
{
    static const struct {
        const char *text;
        bool is_whole;
        int64_t value;
    } rows[] = {
        {"0", true, 0}, {"-0", true, 0}, {"7", true, 7}, {"-7", true, -7}, {"1.0", true, 1}, {"1e3", true, 1000},
        {"1.50e1", true, 15}, {"12000e-3", true, 12}, {"-2.5E+1", true, -25}, {"0e999999999999999999999", true, 0},
        {"0.000e-5", true, 0}, {"100e-2", true, 1}, {"9007199254740993", true, 9007199254740993},
        {"9223372036854775807", true, INT64_MAX}, {"-9223372036854775808", true, INT64_MIN},
        {"922337203685477580.7e1", true, INT64_MAX}, {"9223372036854775807.000", true, INT64_MAX},
        {"9223372036854775808", false, 0}, {"-9223372036854775809", false, 0}, {"1e19", false, 0}, {"1.5", false, 0},
        {"15e-1", false, 0}, {"1e-1", false, 0}, {"1e99999999999999999999", false, 0}, {"1e-99999999999999999999", false, 0},
        {"0.1", false, 0}, {"18446744073709551616", false, 0}, {"99999999999999999999999999", false, 0},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct json j;
        int64_t value = 0;
        json_init(&j, span_str(rows[i].text));
        bool is_whole = json_read_i64(&j, &value) == ERR_OK;
        if (is_whole != rows[i].is_whole || value != rows[i].value)
            UNIT_FAIL("%s: %s %" PRId64, rows[i].text, is_whole ? "whole" : "refused", value);
    }
}

TEST(real_numbers_are_read_and_absurd_ones_refused)
{
    struct json j;
    double value = 0;
    json_init(&j, SPAN("0.7"));
    EXPECT(json_read_double(&j, &value) == ERR_OK && value == 0.7);
    json_init(&j, SPAN("-1e-400"));
    EXPECT(json_read_double(&j, &value) == ERR_OK && value == 0);
    json_init(&j, SPAN("1e400"));
    EXPECT_EQ(json_read_double(&j, &value), ERR_JSON);
}

static const struct {
    struct span raw, text;
} escapes[] = {
    {SPAN("plain"), SPAN("plain")},
    {SPAN("\\\"\\\\\\/\\b\\f\\n\\r\\t"), SPAN("\"\\/\b\f\n\r\t")},
    {SPAN("a\\u0041b\\u00e9\\u20AC"), SPAN("aAb\xc3\xa9\xe2\x82\xac")},
    {SPAN("\\ud83d\\ude00"), SPAN("\xf0\x9f\x98\x80")},
    {SPAN("\\uDBFF\\uDFFF"), SPAN("\xf4\x8f\xbf\xbf")},
    {SPAN("\\u0000"), SPAN("\0")},
    {SPAN("\\ud800"), SPAN("\xef\xbf\xbd")},
    {SPAN("\\ud800x"), SPAN("\xef\xbf\xbdx")},
    {SPAN("\\udc00\\ud800"), SPAN("\xef\xbf\xbd\xef\xbf\xbd")},
    {SPAN("\\ud800\\ud83d\\ude00"), SPAN("\xef\xbf\xbd\xf0\x9f\x98\x80")},
    {SPAN("\\ud800\\n"), SPAN("\xef\xbf\xbd\n")},
    {SPAN("\\ud800\\u0041"), SPAN("\xef\xbf\xbd" "A")},
    {SPAN("\xe4\xbd\xa0\\u597d"), SPAN("\xe4\xbd\xa0\xe5\xa5\xbd")},
};

TEST(escaped_text_becomes_what_the_client_wrote)
{
    struct arena a;
    struct buf b;
    arena_init(&a, 256);
    buf_init(&b, KIB);
    for (size_t i = 0; i < COUNT_OF(escapes); i++) {
        struct json_string s = {escapes[i].raw, span_find(escapes[i].raw, '\\') >= 0};
        EXPECT(span_eq(json_unescape(&a, s), escapes[i].text));
        EXPECT(json_key_is(s, escapes[i].text));
        EXPECT(!json_key_is(s, SPAN("other")));
        EXPECT(!json_key_is(s, span_to(escapes[i].text, escapes[i].text.n - 1)));
        EXPECT_EQ(json_unescape_to(&b, s), ERR_OK);
        EXPECT(span_eq(buf_span(&b), escapes[i].text));
        buf_clear(&b);
    }
    buf_fini(&b);
    arena_fini(&a);
}

TEST(made_up_escapes_never_read_past_their_end)
{
    char raw[6], out[sizeof raw * 2];
    static const char letters[] = "\\u0d8";
    struct buf b;
    buf_init(&b, sizeof out);
    for (unsigned i = 0; i < 5 * 5 * 5 * 5 * 5; i++) {
        for (unsigned k = 0, rest = i; k < 5; k++, rest /= 5)
            raw[k] = letters[rest % 5];
        struct span copy = exact_copy(span_of(raw, 5));
        struct json_string s = {copy, true};
        EXPECT(json_unescape_to(&b, s) == ERR_OK && buf_bytes(&b) <= 5);
        EXPECT(json_key_is(s, buf_span(&b)));
        buf_clear(&b);
        free((void *)copy.p);
    }
    buf_fini(&b);
}

TEST(written_strings_are_read_back_and_safe_in_a_log)
{
    static const struct {
        struct span text, written;
    } rows[] = {
        {SPAN(""), SPAN("\"\"")},
        {SPAN("plain"), SPAN("\"plain\"")},
        {SPAN("a\"b\\c/"), SPAN("\"a\\\"b\\\\c/\"")},
        {SPAN("\b\f\n\r\t"), SPAN("\"\\b\\f\\n\\r\\t\"")},
        {SPAN("\0\x01\x1b[31m\x7f"), SPAN("\"\\u0000\\u0001\\u001b[31m\\u007f\"")},
        {SPAN("\xc2\x85\xc2\x9b\xe2\x80\xa8\xe2\x80\xa9"), SPAN("\"\\u0085\\u009b\\u2028\\u2029\"")},
        {SPAN("\xe4\xbd\xa0\xc2\xa0\xf0\x9f\x98\x80"), SPAN("\"\xe4\xbd\xa0\xc2\xa0\xf0\x9f\x98\x80\"")},
        {SPAN("a\xff\xe2\x82z"), SPAN("\"a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\"")},
    };
    struct buf b;
    buf_init(&b, KIB);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        EXPECT_EQ(json_write_string(&b, rows[i].text), ERR_OK);
        if (!span_eq(buf_span(&b), rows[i].written))
            UNIT_FAIL("row %zu: %.*s", i, SPAN_ARG(buf_span(&b)));
        EXPECT_EQ(json_check(buf_span(&b)), ERR_OK);
        buf_clear(&b);
    }
    buf_fini(&b);
}

TEST(any_text_written_is_read_back_the_same)
{
    struct arena a;
    struct buf b;
    arena_init(&a, 1024);
    buf_init(&b, 64 * KIB);
    random_state = 3;
    for (unsigned round = 0; round < 500; round++) {
        char text[200];
        size_t n = random_below(sizeof text);
        for (size_t i = 0; i < n; i++)
            text[i] = (char)random_below(0x80);
        struct json j;
        struct json_string s;
        EXPECT_EQ(json_write_string(&b, span_of(text, n)), ERR_OK);
        json_init(&j, buf_span(&b));
        EXPECT(json_read_string(&j, &s) == ERR_OK && json_finish(&j) == ERR_OK);
        EXPECT(span_eq(json_unescape(&a, s), span_of(text, n)));
        buf_clear(&b);
    }
    buf_fini(&b);
    arena_fini(&a);
}

TEST(a_string_that_does_not_fit_leaves_no_half_behind)
{
    struct buf b;
    buf_init(&b, 10);
    REQUIRE(buf_append(&b, SPAN("abc")) == ERR_OK);
    EXPECT_EQ(json_write_string(&b, SPAN("\n\n\n\n")), ERR_TOO_LARGE);
    EXPECT_SPAN(buf_span(&b), "abc");
    EXPECT_EQ(json_write_string(&b, SPAN("12345")), ERR_OK);
    EXPECT_SPAN(buf_span(&b), "abc\"12345\"");
    buf_fini(&b);
}

TEST(paths_find_what_a_provider_said_in_its_error)
{
    struct arena a;
    struct span document = SPAN("{\"x\":[1],\"error\":{\"m\\u0065ssage\":\"no \\\"key\\\"\",\"code\":401,\"inner\":{}},\"y\":2}"), text;
    int64_t number = 0;
    arena_init(&a, 256);
    EXPECT(json_find_string(&a, document, "error.message", &text));
    EXPECT_SPAN(text, "no \"key\"");
    EXPECT(json_find_i64(document, "error.code", &number) && number == 401);
    EXPECT_SPAN(json_find(document, "error.inner"), "{}");
    EXPECT_SPAN(json_find(document, "x"), "[1]");
    EXPECT(json_find(document, "error.absent").p == NULL);
    EXPECT(json_find(document, "y.z").p == NULL);
    EXPECT(json_find(SPAN("{\"x\":1,oops"), "y").p == NULL);
    EXPECT(!json_find_string(&a, document, "error.code", &text));
    EXPECT(!json_find_i64(document, "error.message", &number));
    arena_fini(&a);
}

UNIT_MAIN
