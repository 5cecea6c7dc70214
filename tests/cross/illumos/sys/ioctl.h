/* Stand-in for illumos's <sys/ioctl.h>: the declarations that libusdt uses, no more. */
#ifndef SYS_IOCTL_H
#define SYS_IOCTL_H
#endif
