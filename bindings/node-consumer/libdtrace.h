/*
 * libdtrace.h - what this package does with libdtrace, which is loaded at run time.
 *
 * A consumer is one handle of libdtrace. What an operation yields (records, aggregations, drops, errors) is appended to
 * its output, a sequence of fields: tag and length, 32 bits each, then so many bytes; decode.js reads it.
 * Any thread may call; libdtrace is entered by one at a time, as its compiler has global state.
 */
#ifndef LIBDTRACE_H
#define LIBDTRACE_H

#include <stdbool.h>
#include <stddef.h>

/* Of index.js. */
enum operation { OPEN, COMPILE, GO, READ, AGGREGATE, SETOPT, STOP };

/* Of decode.js. */
enum tag { PROBE, SIGNED, UNSIGNED, STRING, BYTES, FRAMES, END, AGGREGATION, RESULT, DROP, FAULT, FAILED, DONE };

struct consumer;

/* Once in a process. NULL, or why there is no libdtrace: then nothing else may be called. */
const char *libdtrace_load(void);
const char *libdtrace_version(void);
/* An interface that was never seen at work: of another system than Linux. */
bool libdtrace_is_untried(void);

struct consumer *consumer_new(void);
/* COMPILE takes a program, SETOPT an option and its value or NULL. What fails adds FAILED. After STOP all do. */
void consumer_do(struct consumer *consumer, enum operation operation, const char *text, const char *value);
/* The output so far, to be freed; none remains. False if there was no memory for it: it is lost. */
bool consumer_take(struct consumer *consumer, char **output, size_t *size);
/* For each user one release; the last stops the consumer. */
void consumer_keep(struct consumer *consumer);
void consumer_release(struct consumer *consumer);

#endif
