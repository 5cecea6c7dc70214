/* Stand-in for illumos's <errno.h>: the declarations that libusdt uses, no more. */
#ifndef ERRNO_H
#define ERRNO_H
int *___errno(void);
#define errno (*___errno())
#define EAGAIN 11
#define ENOMEM 12
#define ENODEV 19
#define EINVAL 22
#define ENOENT 2
#define ENXIO 6
#define E2BIG 7
#define ERANGE 34
#define ENOTSUP 48
#define ENOSYS 89
#endif
