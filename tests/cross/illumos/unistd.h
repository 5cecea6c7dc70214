/* Stand-in for illumos's <unistd.h>: the declarations that libusdt uses, no more. */
#ifndef UNISTD_H
#define UNISTD_H
#include <sys/types.h>
#define _SC_PAGESIZE 11
int close(int);
pid_t getpid(void);
int ioctl(int, int, ...);
long sysconf(int);
#endif
