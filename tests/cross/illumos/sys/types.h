/* Stand-in for illumos's <sys/types.h>: the declarations that libusdt uses, no more. */
#ifndef SYS_TYPES_H
#define SYS_TYPES_H
#include <stddef.h>
typedef long off_t;
typedef long ssize_t;
typedef int pid_t;
#endif
