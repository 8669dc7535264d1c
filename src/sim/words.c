/* SPDX-License-Identifier: Apache-2.0
 *
 * The words of simulated answers. They were chosen so that each, with the blank before it, is one token of o200k_base and of cl100k_base;
 * the vocabularies' patterns never look across a blank or from a letter to a full stop.
 */
#include "sim/words.h"

#include "sim/random.h"

#define W(word) {" " word, sizeof word}

static const struct span openers[] = {
    W("The"), W("A"), W("In"), W("This"), W("We"), W("When"), W("For"), W("It"), W("As"), W("One"), W("There"), W("They"), W("After"), W("Many"),
    W("Some"), W("But"), W("If"), W("To"), W("On"), W("At"), W("Most"), W("Each"), W("Our"), W("No"), W("All"), W("From"),
};

static const struct span words[] = {
    W("river"), W("stone"), W("light"), W("paper"), W("window"), W("garden"), W("morning"), W("evening"), W("road"), W("house"), W("market"),
    W("letter"), W("number"), W("answer"), W("question"), W("story"), W("water"), W("winter"), W("summer"), W("city"), W("village"), W("field"),
    W("table"), W("door"), W("hand"), W("voice"), W("music"), W("color"), W("line"), W("point"), W("circle"), W("order"), W("price"), W("value"),
    W("reason"), W("result"), W("change"), W("part"), W("whole"), W("side"), W("end"), W("year"), W("day"), W("hour"), W("week"), W("month"),
    W("people"), W("friend"), W("child"), W("woman"), W("man"), W("family"), W("work"), W("office"), W("school"), W("book"), W("page"), W("word"),
    W("name"), W("place"), W("country"), W("north"), W("south"), W("east"), W("west"), W("wind"), W("rain"), W("snow"), W("fire"), W("earth"),
    W("tree"), W("forest"), W("mountain"), W("sea"), W("ship"), W("train"), W("bridge"), W("wall"), W("room"), W("kitchen"), W("bread"), W("wine"),
    W("apple"), W("salt"), W("sugar"), W("coffee"), W("glass"), W("metal"), W("gold"), W("silver"), W("iron"), W("clear"), W("quiet"), W("small"),
    W("large"), W("early"), W("late"), W("open"), W("closed"), W("warm"), W("cold"), W("dark"), W("bright"), W("slow"), W("quick"), W("old"),
    W("new"), W("long"), W("short"), W("deep"), W("high"), W("low"), W("near"), W("far"), W("first"), W("last"), W("next"), W("same"), W("other"),
    W("and"), W("or"), W("with"), W("without"), W("under"), W("over"), W("between"), W("before"), W("after"), W("through"), W("because"),
    W("while"), W("where"), W("that"), W("which"), W("is"), W("was"), W("has"), W("had"), W("can"), W("will"), W("may"), W("must"), W("does"),
    W("makes"), W("takes"), W("gives"), W("holds"), W("keeps"), W("brings"), W("turns"), W("shows"), W("finds"), W("leaves"), W("moves"),
    W("the"), W("a"), W("an"), W("of"), W("to"), W("in"), W("on"), W("at"), W("by"), W("for"), W("from"), W("into"), W("about"), W("their"),
    W("its"), W("his"), W("her"), W("our"), W("no"), W("not"), W("never"), W("always"), W("often"), W("again"), W("still"), W("almost"), W("very"),
    W("here"), W("there"), W("then"), W("now"), W("today"), W("soon"), W("once"), W("twice"), W("two"), W("three"), W("four"), W("many"),
    W("few"), W("some"), W("all"), W("each"), W("every"), W("both"), W("half"),
};

#define SENTENCE_LEAST 6u
#define SENTENCE_MORE 11u

void sim_words_init(struct sim_words *w, uint64_t seed)
{
    *w = (struct sim_words){.random = seed};
}

static struct span open_sentence(struct sim_words *w)
{
    struct span word = openers[sim_random_below(&w->random, COUNT_OF(openers))];
    w->left = SENTENCE_LEAST + (unsigned)sim_random_below(&w->random, SENTENCE_MORE);
    if (!w->started)
        word = span_from(word, 1); /* a text begins without a blank */
    w->started = true;
    return word;
}

struct span sim_words_next(struct sim_words *w)
{
    if (w->left == 0)
        return open_sentence(w);
    if (--w->left == 0)
        return SPAN(".");
    return words[sim_random_below(&w->random, COUNT_OF(words))];
}

enum err sim_words_write(struct buf *out, uint64_t seed, uint64_t tokens)
{
    struct sim_words w;
    enum err e = ERR_OK;
    sim_words_init(&w, seed);
    while (!e && tokens--)
        e = buf_append(out, sim_words_next(&w));
    return e;
}

static bool is_word_byte(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (unsigned char)c >= 0x80; }

size_t sim_words_end(struct span text, size_t at)
{
    if (at < text.n)
        at++;
    while (at < text.n && is_word_byte(text.p[at]))
        at++;
    return at;
}
