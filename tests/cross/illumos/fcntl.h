/* Stand-in for illumos's <fcntl.h>: the declarations that libusdt uses, no more. */
#ifndef FCNTL_H
#define FCNTL_H
#define O_RDWR 2
#define O_CLOEXEC 0x800000
int open(const char *, int, ...);
#endif
