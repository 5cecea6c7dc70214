/* Stand-in for illumos's <assert.h>: the declarations that libusdt uses, no more. */
#ifndef ASSERT_H
#define ASSERT_H
#define static_assert _Static_assert
#endif
