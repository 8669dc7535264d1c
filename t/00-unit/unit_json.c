/* SPDX-License-Identifier: Apache-2.0
 *
 * The JSON reader. Two tables (documents to accept, documents to refuse, in the categories of the well-known suite by
 * N. Seriot; the cases are ours), then properties: every cut, every mixture of reading and skipping, a second validator
 * written as naively as possible, every position of an odd byte against the vectors' block sizes.
 */
#include "unit.h"

#include "base/block.h"
#include "base/json.h"
#include "base/json_scan.h"
#include "base/limits.h"
#include "unit_random.h"

/* A test that runs without AVX2, and then with it where the machine has it. */
static void try_both(void (*run)(void))
{
    bool has_avx2 = json_scan_uses_avx2;
    json_scan_uses_avx2 = false;
    run();
    json_scan_uses_avx2 = has_avx2;
    if (has_avx2)
        run();
}

#define TEST_BOTH(name)          \
    static void name##_run(void); \
    TEST(name) { try_both(name##_run); } \
    static void name##_run(void)

struct json_case {
    const char *name;
    struct span text;
    enum err expected;
};

#define ACCEPT(name, text) {name, {"" text, sizeof(text) - 1}, ERR_OK}
#define REFUSE(name, text) {name, {"" text, sizeof(text) - 1}, ERR_JSON}
#define REFUSE_UTF8(name, text) {name, {"" text, sizeof(text) - 1}, ERR_UTF8}

static const struct json_case accepted[] = {
    ACCEPT("null", "null"),
    ACCEPT("true", "true"),
    ACCEPT("false", "false"),
    ACCEPT("lonely_string", "\"asd\""),
    ACCEPT("lonely_empty_string", "\"\""),
    ACCEPT("lonely_number", "42"),
    ACCEPT("lonely_negative", "-0.1"),
    ACCEPT("space_before", " []"),
    ACCEPT("space_after", "[] \n\r\t"),
    ACCEPT("all_four_spaces", "\t\n\r [\t\n\r 1\t\n\r ,\t\n\r 2\t\n\r ]\t\n\r "),
    ACCEPT("array_empty", "[]"),
    ACCEPT("array_empty_with_space", "[ \n ]"),
    ACCEPT("array_of_empty_string", "[\"\"]"),
    ACCEPT("array_of_null", "[null]"),
    ACCEPT("array_of_several_nulls", "[1,null,null,null,2]"),
    ACCEPT("array_mixed", "[null, 1, \"1\", {}, [], true, false]"),
    ACCEPT("array_nested", "[[[[]]],[[]]]"),
    ACCEPT("array_space_before_close", "[2 ]"),
    ACCEPT("object_empty", "{}"),
    ACCEPT("object_empty_with_space", "{\n}"),
    ACCEPT("object_one", "{\"a\":1}"),
    ACCEPT("object_two", "{\"a\":1,\"b\":2}"),
    ACCEPT("object_spaces", "{ \"a\" : 1 , \"b\" : 2 }"),
    ACCEPT("object_empty_key", "{\"\":0}"),
    ACCEPT("object_duplicate_key", "{\"a\":1,\"a\":2}"),
    ACCEPT("object_escaped_key", "{\"\\u0066oo\":1}"),
    ACCEPT("object_key_with_nul_escape", "{\"a\\u0000b\":1}"),
    ACCEPT("object_nested", "{\"a\":{\"b\":{\"c\":[{}]}}}"),
    ACCEPT("object_in_array_in_object", "{\"a\":[{\"b\":[]},{\"c\":{}}],\"d\":null}"),
    ACCEPT("object_newlines", "{\n\"a\": \"b\"\n}"),
    ACCEPT("number_zero", "[0]"),
    ACCEPT("number_minus_zero", "[-0]"),
    ACCEPT("number_minus_zero_exponent", "[-0e1]"),
    ACCEPT("number_zero_exponent", "[0e1]"),
    ACCEPT("number_zero_plus_exponent", "[0e+1]"),
    ACCEPT("number_integer", "[123]"),
    ACCEPT("number_fraction", "[123.456789]"),
    ACCEPT("number_tiny", "[0.0000000000000000000000000000000000000000000000000001]"),
    ACCEPT("number_exponent", "[1e22]"),
    ACCEPT("number_capital_exponent", "[1E22]"),
    ACCEPT("number_capital_minus_exponent", "[1E-2]"),
    ACCEPT("number_capital_plus_exponent", "[1E+2]"),
    ACCEPT("number_fraction_exponent", "[123.456e78]"),
    ACCEPT("number_exponent_leading_zero", "[1e007]"),
    ACCEPT("number_huge_exponent", "[1e99999999999999999999]"),
    ACCEPT("number_many_digits", "[123123123123123123123123123123123123123123123]"),
    ACCEPT("number_after_space", "[ 4]"),
    ACCEPT("string_ascii_printable", "[\" !#$%&'()*+,-./09:;<=>?@AZ[]^_`az{|}~\"]"),
    ACCEPT("string_all_short_escapes", "[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]"),
    ACCEPT("string_u_escape", "[\"\\u0060\\u012a\\u12AB\"]"),
    ACCEPT("string_u_escape_mixed_case", "[\"\\uaBcD\\uDeF0\"]"),
    ACCEPT("string_escaped_control", "[\"\\u0012\"]"),
    ACCEPT("string_escaped_nul", "[\"\\u0000\"]"),
    ACCEPT("string_escaped_backslash_then_n", "[\"\\\\n\"]"),
    ACCEPT("string_double_escape", "[\"\\\\a\"]"),
    ACCEPT("string_escaped_quote", "[\"\\\"\"]"),
    ACCEPT("string_backslash_last", "[\"\\\\\"]"),
    ACCEPT("string_surrogate_pair", "[\"\\ud801\\udc37\"]"),
    ACCEPT("string_two_pairs", "[\"\\ud83d\\ude39\\ud83d\\udc8d\"]"),
    ACCEPT("string_lone_high_surrogate_escape", "[\"\\ud800\"]"),
    ACCEPT("string_lone_low_surrogate_escape", "[\"\\udfff\"]"),
    ACCEPT("string_swapped_surrogates", "[\"\\udc00\\ud800\"]"),
    ACCEPT("string_high_then_text", "[\"\\ud800abc\"]"),
    ACCEPT("string_noncharacter_escape", "[\"\\uFFFF\\uFDD0\"]"),
    ACCEPT("string_del", "[\"\x7f\"]"),
    ACCEPT("string_utf8_2", "[\"\xc2\x80\xdf\xbf\"]"),
    ACCEPT("string_utf8_3", "[\"\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\"]"),
    ACCEPT("string_utf8_4", "[\"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"]"),
    ACCEPT("string_bom_inside", "[\"\xef\xbb\xbf\"]"),
    ACCEPT("string_line_separators", "[\"\xe2\x80\xa8\xe2\x80\xa9\"]"),
    ACCEPT("string_c1_control", "[\"\xc2\x85\"]"),
    ACCEPT("string_euro", "[\"\xe2\x82\xac 5\"]"),
    ACCEPT("string_mixed_scripts", "{\"m\":\"Gr\xc3\xbc\xc3\x9f Gott \xe4\xbd\xa0\xe5\xa5\xbd \xf0\x9f\x98\x80 ok\"}"),
    ACCEPT("string_like_json", "[\"{\\\"a\\\":[1,2]}\"]"),
    ACCEPT("string_with_comment_inside", "[\"a/*b*/c//d\"]"),
    ACCEPT("chat_request", "{\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\\n\"}],\"stream\":true,\"n\":1}"),
};

static const struct json_case refused[] = {
    REFUSE("empty", ""),
    REFUSE("only_space", " \n"),
    REFUSE("bom", "\xef\xbb\xbf{}"),
    REFUSE("half_bom", "\xef\xbb{}"),
    REFUSE("utf16", "[\0\"\0]\0"),
    REFUSE("nul", "\0"),
    REFUSE("nul_after", "[]\0"),
    REFUSE("form_feed", "[\f]"),
    REFUSE("vertical_tab", "[\v1]"),
    REFUSE("no_break_space", "[\xc2\xa0]"),
    REFUSE("word_joiner", "[\xe2\x81\xa0]"),
    REFUSE("two_documents", "1 2"),
    REFUSE("two_objects", "{}{}"),
    REFUSE("trailing_word", "[1]x"),
    REFUSE("trailing_comma_document", "[],"),
    REFUSE("trailing_bracket", "[1]]"),
    REFUSE("trailing_brace", "{}}"),
    REFUSE("trailing_quote", "\"a\"\""),
    REFUSE("trailing_hash", "{\"a\":\"b\"}#{}"),
    REFUSE("comment_block", "[/* */]"),
    REFUSE("comment_line", "[1]// x"),
    REFUSE("comment_after_object", "{\"a\":\"b\"}/**/"),
    REFUSE("lone_open_bracket", "["),
    REFUSE("lone_close_bracket", "]"),
    REFUSE("lone_open_brace", "{"),
    REFUSE("lone_close_brace", "}"),
    REFUSE("lone_quote", "\""),
    REFUSE("lone_backslash", "\\"),
    REFUSE("lone_comma", ","),
    REFUSE("lone_colon", ":"),
    REFUSE("angle_brackets", "<null>"),
    REFUSE("single_quoted", "'a'"),
    REFUSE("capital_true", "[True]"),
    REFUSE("capitals_null", "[NULL]"),
    REFUSE("incomplete_true", "[tru]"),
    REFUSE("incomplete_false", "[fals"),
    REFUSE("incomplete_null", "nul"),
    REFUSE("null_and_more", "nulll"),
    REFUSE("true_and_more", "[truex]"),
    REFUSE("undefined", "[undefined]"),
    REFUSE("array_comma_only", "[,]"),
    REFUSE("array_comma_first", "[,1]"),
    REFUSE("array_comma_last", "[1,]"),
    REFUSE("array_comma_twice", "[1,,2]"),
    REFUSE("array_commas_last", "[\"\",,]"),
    REFUSE("array_no_comma", "[1 2]"),
    REFUSE("array_no_comma_strings", "[\"a\" \"b\"]"),
    REFUSE("array_no_comma_container", "[3[4]]"),
    REFUSE("array_colon", "[\"a\":1]"),
    REFUSE("array_semicolon", "[1;2]"),
    REFUSE("array_unclosed", "[1,2"),
    REFUSE("array_unclosed_after_comma", "[1,"),
    REFUSE("array_unclosed_nested", "[[1]"),
    REFUSE("array_closed_by_brace", "[1}"),
    REFUSE("array_inner_closed_by_brace", "[[1},2]"),
    REFUSE("array_star", "[*]"),
    REFUSE("array_newlines_unclosed", "[1,\n1\n,1"),
    REFUSE("object_comma_only", "{,}"),
    REFUSE("object_comma_first", "{,\"a\":1}"),
    REFUSE("object_comma_last", "{\"a\":1,}"),
    REFUSE("object_comma_twice", "{\"a\":1,,\"b\":2}"),
    REFUSE("object_no_colon", "{\"a\" 1}"),
    REFUSE("object_two_colons", "{\"a\"::1}"),
    REFUSE("object_comma_for_colon", "{\"a\",1}"),
    REFUSE("object_equals", "{\"a\"=1}"),
    REFUSE("object_no_value", "{\"a\":}"),
    REFUSE("object_no_value_comma", "{\"a\":,\"b\":1}"),
    REFUSE("object_key_only", "{\"a\"}"),
    REFUSE("object_key_number", "{1:1}"),
    REFUSE("object_key_null", "{null:1}"),
    REFUSE("object_key_bare", "{a:1}"),
    REFUSE("object_key_single_quotes", "{'a':1}"),
    REFUSE("object_key_array", "{[]:1}"),
    REFUSE("object_no_comma", "{\"a\":1 \"b\":2}"),
    REFUSE("object_closed_by_bracket", "{\"a\":1]"),
    REFUSE("object_opened_closed_by_bracket", "{]"),
    REFUSE("object_two_values", "{\"a\":1 2}"),
    REFUSE("object_unclosed", "{\"a\":1"),
    REFUSE("object_unclosed_colon", "{\"a\":"),
    REFUSE("object_unclosed_comma", "{\"a\":1,"),
    REFUSE("object_garbage_at_end", "{\"a\":1 x}"),
    REFUSE("number_plus", "[+1]"),
    REFUSE("number_minus_only", "[-]"),
    REFUSE("number_minus_space", "[- 1]"),
    REFUSE("number_minus_minus", "[--1]"),
    REFUSE("number_minus_word", "[-foo]"),
    REFUSE("number_leading_zero", "[012]"),
    REFUSE("number_minus_leading_zero", "[-012]"),
    REFUSE("number_two_zeros", "[00]"),
    REFUSE("number_point_first", "[.5]"),
    REFUSE("number_minus_point", "[-.5]"),
    REFUSE("number_point_last", "[5.]"),
    REFUSE("number_point_exponent", "[5.e1]"),
    REFUSE("number_two_points", "[1.2.3]"),
    REFUSE("number_exponent_only", "[1e]"),
    REFUSE("number_exponent_sign_only", "[1e+]"),
    REFUSE("number_exponent_minus_only", "[1E-]"),
    REFUSE("number_exponent_two_signs", "[1e+-1]"),
    REFUSE("number_exponent_fraction", "[1e1.5]"),
    REFUSE("number_two_exponents", "[1e1e1]"),
    REFUSE("number_exponent_first", "[e1]"),
    REFUSE("number_hex", "[0x1F]"),
    REFUSE("number_hex_digit", "[1a]"),
    REFUSE("number_infinity", "[Infinity]"),
    REFUSE("number_minus_infinity", "[-Infinity]"),
    REFUSE("number_nan", "[NaN]"),
    REFUSE("number_expression", "[1+2]"),
    REFUSE("number_underscore", "[1_000]"),
    REFUSE("number_space_inside", "[1 000]"),
    REFUSE("number_full_width_digit", "[\xef\xbc\x91]"),
    REFUSE("number_at_end_incomplete", "-"),
    REFUSE("string_unclosed", "[\"a"),
    REFUSE("string_unclosed_escape", "[\"a\\"),
    REFUSE("string_unclosed_escaped_quote", "[\"a\\\"]"),
    REFUSE("string_unclosed_u", "[\"\\u00"),
    REFUSE("string_escape_x", "[\"\\x41\"]"),
    REFUSE("string_escape_a", "[\"\\a\"]"),
    REFUSE("string_escape_zero", "[\"\\0\"]"),
    REFUSE("string_escape_quote", "[\"\\'\"]"),
    REFUSE("string_escape_capital_u", "[\"\\U0041\"]"),
    REFUSE("string_escape_newline", "[\"\\\n\"]"),
    REFUSE("string_escape_nul", "[\"\\\0\"]"),
    REFUSE("string_escape_utf8", "[\"\\\xc3\xa9\"]"),
    REFUSE("string_u_short", "[\"\\u00A\"]"),
    REFUSE("string_u_not_hex", "[\"\\u00g0\"]"),
    REFUSE("string_u_empty", "[\"\\u\"]"),
    REFUSE("string_u_sign", "[\"\\u+041\"]"),
    REFUSE("string_u_space", "[\"\\u 041\"]"),
    REFUSE("string_u_after_pair_short", "[\"\\ud800\\u1\"]"),
    REFUSE("string_newline", "[\"a\nb\"]"),
    REFUSE("string_tab", "[\"a\tb\"]"),
    REFUSE("string_nul", "[\"a\0b\"]"),
    REFUSE("string_1f", "[\"a\x1f\"]"),
    REFUSE("string_key_newline", "{\"a\n\":1}"),
    REFUSE_UTF8("utf8_lone_tail", "[\"\x80\"]"),
    REFUSE_UTF8("utf8_lone_tail_bf", "[\"\xbf\"]"),
    REFUSE_UTF8("utf8_overlong_2", "[\"\xc0\xaf\"]"),
    REFUSE_UTF8("utf8_overlong_2_max", "[\"\xc1\xbf\"]"),
    REFUSE_UTF8("utf8_overlong_3", "[\"\xe0\x80\xaf\"]"),
    REFUSE_UTF8("utf8_overlong_3_max", "[\"\xe0\x9f\xbf\"]"),
    REFUSE_UTF8("utf8_overlong_4", "[\"\xf0\x80\x80\xaf\"]"),
    REFUSE_UTF8("utf8_overlong_4_max", "[\"\xf0\x8f\xbf\xbf\"]"),
    REFUSE_UTF8("utf8_surrogate_low_end", "[\"\xed\xa0\x80\"]"),
    REFUSE_UTF8("utf8_surrogate_high_end", "[\"\xed\xbf\xbf\"]"),
    REFUSE_UTF8("utf8_above_10ffff", "[\"\xf4\x90\x80\x80\"]"),
    REFUSE_UTF8("utf8_f5", "[\"\xf5\x80\x80\x80\"]"),
    REFUSE_UTF8("utf8_five_bytes", "[\"\xf8\x88\x80\x80\x80\"]"),
    REFUSE_UTF8("utf8_fe", "[\"\xfe\"]"),
    REFUSE_UTF8("utf8_ff", "[\"\xff\"]"),
    REFUSE_UTF8("utf8_cut_2", "[\"\xc3\"]"),
    REFUSE_UTF8("utf8_cut_3", "[\"\xe2\x82\"]"),
    REFUSE_UTF8("utf8_cut_4", "[\"\xf0\x9f\x98\"]"),
    REFUSE_UTF8("utf8_cut_by_escape", "[\"\xe2\x82\\u00ac\"]"),
    REFUSE_UTF8("utf8_cut_by_character", "[\"\xe2\xc3\xa9\"]"),
    REFUSE_UTF8("utf8_latin1", "[\"caf\xe9\"]"),
    REFUSE_UTF8("utf8_key", "{\"\xc0\x80\":1}"),
    REFUSE_UTF8("utf8_after_good", "[\"\xe4\xbd\xa0\xe5\xa5\"]"),
};

static enum err check_copy(struct span s)
{
    struct span copy = exact_copy(s);
    enum err e = json_check(copy);
    free((void *)copy.p);
    return e;
}

/* Reads the next value whole; each value is skipped with a chance of skip_percent, else taken apart. */
static enum err walk_value(struct json *j, unsigned skip_percent)
{
    struct json_string string;
    struct span number;
    bool truth;
    if (random_below(100) < skip_percent)
        return json_skip(j, NULL);
    switch (json_peek(j)) {
    case JSON_STRING: return json_read_string(j, &string);
    case JSON_NUMBER: return json_read_number(j, &number);
    case JSON_BOOL: return json_read_bool(j, &truth);
    case JSON_NULL: return json_read_null(j);
    case JSON_NOTHING: return json_skip(j, NULL);
    case JSON_ARRAY:
        if (json_enter_array(j) == ERR_OK)
            while (json_next_item(j))
                if (walk_value(j, skip_percent))
                    break;
        return j->error;
    case JSON_OBJECT:
        if (json_enter_object(j) == ERR_OK)
            while (json_next_key(j, &string))
                if (walk_value(j, skip_percent))
                    break;
        return j->error;
    }
    return ERR_INTERNAL;
}

/* The verdict of a walk, and where it ended. */
static enum err walk(struct span s, unsigned skip_percent, size_t *ret_offset)
{
    struct json j;
    json_init(&j, s);
    enum err e = walk_value(&j, skip_percent);
    if (!e)
        e = json_finish(&j);
    EXPECT_EQ(e, j.error);
    EXPECT((e == ERR_OK) == (j.error_what == NULL));
    *ret_offset = json_offset(&j);
    return e;
}

TEST_BOTH(documents_that_rfc_8259_allows_are_accepted)
{
    for (size_t i = 0; i < COUNT_OF(accepted); i++)
        if (check_copy(accepted[i].text) != ERR_OK)
            UNIT_FAIL("%s: refused", accepted[i].name);
}

TEST_BOTH(documents_that_rfc_8259_forbids_are_refused)
{
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        enum err e = check_copy(refused[i].text);
        if (e != refused[i].expected)
            UNIT_FAIL("%s: %s, expected %s", refused[i].name, err_name(e), err_name(refused[i].expected));
    }
}

TEST_BOTH(a_request_cut_anywhere_is_never_taken_for_whole)
{
    for (size_t i = 0; i < COUNT_OF(accepted); i++) {
        struct span s = span_trim(accepted[i].text);
        if (strchr("[{\"tfn", s.p[0]) == NULL)
            continue; /* a number cut short is a number */
        size_t whole = s.n;
        while (strchr(" \n\r\t", s.p[whole - 1]))
            whole--;
        for (size_t n = 0; n < whole; n++)
            if (check_copy(span_to(s, n)) == ERR_OK)
                UNIT_FAIL("%s: cut at %zu accepted", accepted[i].name, n);
    }
}

TEST_BOTH(reading_and_skipping_agree_on_every_document)
{
    random_state = 1;
    for (size_t i = 0; i < COUNT_OF(accepted) + COUNT_OF(refused); i++) {
        const struct json_case *c = i < COUNT_OF(accepted) ? &accepted[i] : &refused[i - COUNT_OF(accepted)];
        size_t read_offset, skip_offset;
        enum err read = walk(c->text, 0, &read_offset), skipped = walk(c->text, 100, &skip_offset);
        if (read != c->expected || skipped != c->expected || read_offset != skip_offset)
            UNIT_FAIL("%s: read %s at %zu, skipped %s at %zu", c->name, err_name(read), read_offset, err_name(skipped), skip_offset);
    }
}

/* A validator that shares nothing with the reader: recursive, one byte at a time. */
struct naive {
    const unsigned char *p, *end;
    unsigned depth;
};

static int naive_byte(struct naive *v)
{
    return v->p < v->end ? *v->p : -1;
}

static void naive_space(struct naive *v)
{
    while (naive_byte(v) == ' ' || naive_byte(v) == '\n' || naive_byte(v) == '\r' || naive_byte(v) == '\t')
        v->p++;
}

static bool naive_take(struct naive *v, const char *text)
{
    size_t n = strlen(text);
    if ((size_t)(v->end - v->p) < n || memcmp(v->p, text, n) != 0)
        return false;
    v->p += n;
    return true;
}

static bool naive_utf8(struct naive *v)
{
    unsigned first = *v->p++, more = first >= 0xf8 ? 9 : first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : first >= 0xc0 ? 1 : first >= 0x80 ? 9 : 0;
    unsigned smallest[] = {0, 0x80, 0x800, 0x10000}, c = more == 0 ? first : first & (0x3fu >> more);
    if (more == 9)
        return false;
    for (unsigned i = 0; i < more; i++) {
        if (naive_byte(v) < 0 || (naive_byte(v) & 0xc0) != 0x80)
            return false;
        c = c << 6 | (*v->p++ & 0x3f);
    }
    return c >= smallest[more] && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
}

static bool naive_string(struct naive *v)
{
    if (!naive_take(v, "\""))
        return false;
    while (naive_byte(v) >= 0x20 && naive_byte(v) != '"') {
        if (!naive_take(v, "\\")) {
            if (!naive_utf8(v))
                return false;
        } else if (naive_take(v, "u")) {
            for (int i = 0; i < 4; i++, v->p++)
                if (naive_byte(v) < 0 || !strchr("0123456789abcdefABCDEF", naive_byte(v)) || naive_byte(v) == 0)
                    return false;
        } else if (naive_byte(v) <= 0 || !strchr("\"\\/bfnrt", *v->p++)) {
            return false;
        }
    }
    return naive_take(v, "\"");
}

static bool naive_digits(struct naive *v)
{
    const unsigned char *before = v->p;
    while (naive_byte(v) >= '0' && naive_byte(v) <= '9')
        v->p++;
    return v->p > before;
}

static bool naive_number(struct naive *v)
{
    naive_take(v, "-");
    if (!naive_take(v, "0") && !naive_digits(v))
        return false;
    if (naive_take(v, ".") && !naive_digits(v))
        return false;
    if (naive_take(v, "e") || naive_take(v, "E")) {
        if (!naive_take(v, "+"))
            naive_take(v, "-");
        return naive_digits(v);
    }
    return true;
}

static bool naive_value(struct naive *v);

static bool naive_members(struct naive *v, const char *closing)
{
    bool is_object = closing[0] == '}', good = ++v->depth <= LIMIT_JSON_DEPTH;
    naive_space(v);
    if (good && naive_take(v, closing))
        return v->depth--, true;
    while (good) {
        naive_space(v);
        if (is_object) {
            good = naive_string(v);
            naive_space(v);
            good = good && naive_take(v, ":");
        }
        good = good && naive_value(v);
        if (good && naive_take(v, closing))
            return v->depth--, true;
        good = good && naive_take(v, ",");
    }
    return false;
}

static bool naive_value(struct naive *v)
{
    naive_space(v);
    bool good = naive_byte(v) == '"'                             ? naive_string(v)
                : naive_take(v, "{")                             ? naive_members(v, "}")
                : naive_take(v, "[")                             ? naive_members(v, "]")
                : naive_byte(v) == '-' || naive_byte(v) <= '9'   ? naive_number(v)
                                                                 : naive_take(v, "true") || naive_take(v, "false") || naive_take(v, "null");
    naive_space(v);
    return good;
}

static bool naive_check(struct span s)
{
    struct naive v = {(const unsigned char *)s.p, (const unsigned char *)s.p + s.n, 0};
    return naive_value(&v) && v.p == v.end;
}

/* Random documents */

static void put(struct buf *b, const char *text)
{
    if (buf_append(b, span_str(text)))
        abort();
}

static void put_random_string(struct buf *b)
{
    static const char *const pieces[] = {"a", "hello, world", "\\n", "\\\"", "\\u00e9", "\\ud83d\\ude00", "\xc3\xa9", "\xe4\xbd\xa0",
        "\xf0\x9f\x98\x80", "The quick brown fox jumps over the lazy dog. ", "{", "]", ",", ":", "0123456789abcdef", "\xd0\x9f\xd1\x80\xd0\xb8"};
    put(b, "\"");
    for (unsigned n = random_below(12); n > 0; n--)
        put(b, pieces[random_below(COUNT_OF(pieces))]);
    put(b, "\"");
}

static void put_random_space(struct buf *b)
{
    static const char *const spaces[] = {"", "", "", " ", "\n  ", "\t", "\r\n"};
    put(b, spaces[random_below(COUNT_OF(spaces))]);
}

static void put_random_value(struct buf *b, unsigned depth)
{
    static const char *const scalars[] = {"0", "-1", "12.5", "1e9", "-0.25E-3", "true", "false", "null", "1234567890123456789"};
    unsigned kind = random_below(depth > 6 ? 2 : 5);
    put_random_space(b);
    if (kind == 0)
        put(b, scalars[random_below(COUNT_OF(scalars))]);
    else if (kind == 1)
        put_random_string(b);
    else {
        bool is_object = kind > 3;
        put(b, is_object ? "{" : "[");
        unsigned n = random_below(5);
        for (unsigned i = 0; i < n; i++) {
            put(b, i ? "," : "");
            put_random_space(b);
            if (is_object) {
                put_random_string(b);
                put_random_space(b);
                put(b, ":");
            }
            put_random_value(b, depth + 1);
        }
        put_random_space(b);
        put(b, is_object ? "}" : "]");
    }
    put_random_space(b);
}

/* Replaces, removes or doubles one byte. */
static void damage(struct buf *b)
{
    static const char odd[] = "\"\\{}[]:,0-.eE+ntfu \n\x01\x80\xc3\xe2\xed\xf0\xff/d8";
    if (buf_bytes(b) == 0)
        return;
    size_t at = b->at + random_below((unsigned)buf_bytes(b));
    switch (random_below(3)) {
    case 0: b->p[at] = odd[random_below(sizeof odd)]; break;
    case 1: b->p[at] = b->p[b->at + random_below((unsigned)buf_bytes(b))]; break;
    default: memmove(b->p + at, b->p + at + 1, b->end - at - 1); b->end--; break;
    }
}

static void compare_verdicts(struct span text, unsigned round)
{
    struct span s = exact_copy(text);
    size_t offset[3];
    enum err checked = walk(s, 100, &offset[0]), read = walk(s, 0, &offset[1]), mixed = walk(s, 40, &offset[2]);
    if (checked != read || checked != mixed || offset[0] != offset[1] || offset[0] != offset[2])
        UNIT_FAIL("round %u: skip %s, read %s, mixed %s: %.*s", round, err_name(checked), err_name(read), err_name(mixed), SPAN_ARG(s));
    if ((checked == ERR_OK) != naive_check(s))
        UNIT_FAIL("round %u: %s at %zu, but the naive validator disagrees: %.*s", round, err_name(checked), offset[0], SPAN_ARG(s));
    free((void *)s.p);
}

TEST_BOTH(any_mixture_of_reads_and_skips_accepts_exactly_the_valid_documents)
{
    struct buf b;
    buf_init(&b, 16 * MIB);
    for (unsigned round = 1; round <= 4000; round++) {
        random_seed(round);
        put_random_value(&b, 0);
        if (round % 4 == 0 && json_check(buf_span(&b)) != ERR_OK)
            UNIT_FAIL("round %u: a generated document was refused", round);
        for (unsigned i = round % 4; i > 0; i--)
            damage(&b);
        compare_verdicts(buf_span(&b), round);
        buf_clear(&b);
    }
    buf_fini(&b);
}

TEST_BOTH(an_odd_byte_is_found_wherever_it_stands_in_a_long_string)
{
    static const char odd[] = {'"', '\\', '\n', 0, 0x1f, (char)0x80, (char)0xff, (char)0xc3};
    char text[404];
    for (size_t n = 0; n < 200; n++)
        for (size_t at = 0; at < n; at++)
            for (size_t k = 0; k < sizeof odd; k++) {
                memset(text, 'x', sizeof text);
                text[0] = text[n + 1] = '"';
                text[at + 1] = odd[k];
                struct json j;
                json_init(&j, span_of(text, n + 2));
                enum err e = json_skip(&j, NULL);
                size_t where = odd[k] == '"' ? at + 2 : odd[k] == '\\' && at == n - 1 ? n + 2 : at + 1;
                bool is_right = (e == ERR_OK) == (odd[k] == '"') && json_offset(&j) == where;
                if (!is_right)
                    UNIT_FAIL("byte %02x at %zu of %zu: %s, offset %zu", (unsigned char)odd[k], at, n, err_name(e), json_offset(&j));
            }
}

/* Keys are looked at 16 bytes at a time: of every length, with and without blanks around, and cut at every byte. */
TEST(keys_of_every_length_are_read_and_nothing_behind_the_end)
{
    static const char *const commas[] = {",", ", ", " ,\n", ",  "}, *const colons[] = {":", ": ", " :", ":\t ", ":  "};
    char text[128];
    for (int n = 0; n <= 40; n++)
        for (size_t c = 0; c < COUNT_OF(commas) * COUNT_OF(colons); c++) {
            const char *comma = commas[c % COUNT_OF(commas)], *colon = colons[c / COUNT_OF(commas)];
            int bytes = snprintf(text, sizeof text, "{\"a\"%s1%s\"%.*s\"%s2}", colon, comma, n, "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk", colon);
            for (int cut = 1; cut <= bytes; cut++) {
                struct span copy = exact_copy(span_of(text, (size_t)cut)), number = SPAN_NONE;
                struct json_string key = {SPAN_NONE, false};
                struct json j;
                json_init(&j, copy);
                enum err e = json_enter_object(&j);
                while (!e && json_next_key(&j, &key))
                    e = json_peek(&j) != JSON_NOTHING && *j.at == ' ' ? ERR_INTERNAL : json_read_number(&j, &number);
                bool whole = !e && json_finish(&j) == ERR_OK && key.raw.n == (size_t)n && span_eq(number, SPAN("2"));
                if (whole != (cut == bytes))
                    UNIT_FAIL("a key of %d, cut at %d of %d: %s", n, cut, bytes, err_name(j.error));
                free((void *)copy.p);
            }
        }
}

/* One character at every alignment, among ASCII and among other characters, so that the vectors see each case of a
 * character over the edge of a block. */
static void try_utf8(const unsigned char *bytes, size_t n)
{
#define HELLO "\xe4\xbd\xa0\xe5\xa5\xbd\xe4\xb8\x96\xe7\x95\x8c"
    static const char *const around[] = {"", "abcdefghijklmnopqrstuvwxyz0123456789", HELLO HELLO HELLO HELLO, "\xd0\x9f\xd1\x80\xd0\xb8"};
    char text[512];
    for (unsigned trial = 0; trial < 4; trial++) {
        size_t at = 0, pad = random_below(70);
        const char *before = around[random_below(4)], *after = around[random_below(4)];
        text[at++] = '"';
        memset(text + at, 'y', pad);
        at += pad;
        memcpy(text + at, before, strlen(before));
        at += strlen(before);
        size_t odd_at = at;
        memcpy(text + at, bytes, n);
        at += n;
        memcpy(text + at, after, strlen(after));
        at += strlen(after);
        memset(text + at, 'z', pad);
        at += pad;
        text[at++] = '"';
        struct naive v = {(const unsigned char *)text, (const unsigned char *)text + at, 0};
        bool is_good = naive_string(&v) && v.p == v.end;
        struct json j;
        json_init(&j, span_of(text, at));
        enum err e = json_skip(&j, NULL);
        if (is_good != (e == ERR_OK) || (!is_good && (json_offset(&j) < odd_at || json_offset(&j) >= odd_at + n)))
            UNIT_FAIL("%02x %02x %02x %02x (%zu) in %.*s: %s at %zu, odd at %zu", bytes[0], bytes[1], bytes[2], bytes[3], n, (int)at, text,
                      err_name(e), json_offset(&j), odd_at);
    }
}

TEST_BOTH(only_well_formed_utf8_reaches_a_provider)
{
    static const unsigned char edges[] = {0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc2, 0xe0, 0xed, 0xf0, 0xff};
    unsigned char c[4] = {0};
    random_state = 7;
    for (unsigned a = 0x80; a < 0x100; a++) {
        c[0] = (unsigned char)a;
        try_utf8(c, 1);
        for (unsigned b = 0x40; b < 0x100; b += 1) {
            c[1] = (unsigned char)b;
            if (b != '"' && b != '\\')
                try_utf8(c, 2);
        }
        for (unsigned i = 0; i < COUNT_OF(edges) * COUNT_OF(edges) * COUNT_OF(edges); i++) {
            c[1] = edges[i % COUNT_OF(edges)];
            c[2] = edges[i / COUNT_OF(edges) % COUNT_OF(edges)];
            c[3] = edges[i / COUNT_OF(edges) / COUNT_OF(edges)];
            if (i < COUNT_OF(edges) * COUNT_OF(edges))
                try_utf8(c, 3);
            try_utf8(c, 4);
        }
    }
}

/* A string of odd pieces, read by the reader and by the naive one: where it ends and whether it has escapes. */
static void try_string(struct span text)
{
    struct naive v = {(const unsigned char *)text.p, (const unsigned char *)text.p + text.n, 0};
    bool is_good = naive_string(&v);
    size_t end = (size_t)((const char *)v.p - text.p);
    struct json j;
    struct json_string string = {{NULL, 0}, false};
    json_init(&j, text);
    enum err e = json_read_string(&j, &string);
    if (is_good != (e == ERR_OK) || (is_good && json_offset(&j) != end))
        UNIT_FAIL("%s at %zu, expected %s at %zu: %.*s", err_name(e), json_offset(&j), is_good ? "good" : "bad", end, SPAN_ARG(text));
    EXPECT_EQ(string.has_escapes, is_good && memchr(text.p, '\\', end) != NULL);
}

TEST_BOTH(backslashes_at_the_edge_of_a_vector_neither_end_nor_hide_the_string)
{
    static const char *const pieces[] = {"\\\\", "\\\\\\\\", "\\\"", "\\n", "\\/", "\\t\\r\\b\\f", "\\u00e9", "x", "yz", "0123456789abcdef", "\xc3\xa9",
        "\xe4\xbd\xa0", "\xf0\x9f\x98\x80", "The quick brown fox jumps over the dog", "/nrtbfu"};
    static const char *const last[] = {"", "", "", "", "\\", "\\x", "\\u12", "\\\xc3\xa9", "\xe4\xbd", "\n", "\xff"};
    struct buf b;
    buf_init(&b, MIB);
    for (unsigned round = 0; round < 20000; round++) {
        random_seed(round + 1);
        unsigned count = random_below(40), only = random_below(3) ? COUNT_OF(pieces) : 3;
        put(&b, "\"");
        for (unsigned i = 0; i < count; i++)
            put(&b, pieces[random_below(only)]);
        put(&b, last[random_below(COUNT_OF(last))]);
        for (unsigned i = random_below(40); i > 0; i--)
            put(&b, pieces[random_below(COUNT_OF(pieces))]);
        put(&b, "\"");
        for (unsigned i = random_below(100); i > 0; i--)
            put(&b, random_below(2) ? "\\" : "\"");
        struct span copy = exact_copy(buf_span(&b));
        try_string(copy);
        free((void *)copy.p);
        buf_clear(&b);
    }
    buf_fini(&b);
}

TEST(nesting_is_bounded_however_the_document_is_walked)
{
    char text[2 * (LIMIT_JSON_DEPTH + 1)];
    for (unsigned kind = 0; kind < 2; kind++)
        for (size_t depth = LIMIT_JSON_DEPTH; depth <= LIMIT_JSON_DEPTH + 1; depth++) {
            size_t offset[2];
            memset(text, '[', depth);
            memset(text + depth, ']', depth);
            enum err expected = depth > LIMIT_JSON_DEPTH ? ERR_DEPTH : ERR_OK;
            EXPECT_EQ(walk(span_of(text, 2 * depth), 100, &offset[0]), expected);
            EXPECT_EQ(walk(span_of(text, 2 * depth), 0, &offset[1]), expected);
            EXPECT_EQ(offset[0], offset[1]);
            if (expected)
                EXPECT_EQ(offset[0], LIMIT_JSON_DEPTH);
        }
}

TEST(a_million_open_brackets_do_not_use_up_the_stack)
{
    size_t n = 1000000;
    char *text = malloc(n);
    memset(text, '[', n);
    EXPECT_EQ(json_check(span_of(text, n)), ERR_DEPTH);
    for (size_t i = 0; i + 4 < n; i += 5)
        memcpy(text + i, "{\"\":[", 5);
    EXPECT_EQ(json_check(span_of(text, n)), ERR_DEPTH);
    free(text);
}

UNIT_MAIN
