/* Stand-in for illumos's <stdlib.h>: the declarations that libusdt uses, no more. */
#ifndef STDLIB_H
#define STDLIB_H
#include <stddef.h>
void *calloc(size_t, size_t);
void *realloc(void *, size_t);
void free(void *);
char *getenv(const char *);
long strtol(const char *, char **, int);
#endif
