
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * TAP for unit tests in C: ok(), is(), is_bytes(), done_testing().
 *
 * (1) Each check prints one line; diagnostics go to stdout as comments.
 * (2) main() returns done_testing(), 1 if any check failed, so that a
 *     failure is seen even by those who do not read TAP.
 */


#ifndef _TAP_H_INCLUDED_
#define _TAP_H_INCLUDED_


#include <stdarg.h>
#include <stdio.h>
#include <stddef.h>
#include <string.h>


static unsigned  tap_run;
static unsigned  tap_failed;


__attribute__((format(printf, 2, 3), unused))
static int
ok(int passed, const char *fmt, ...)
{
    va_list  args;

    tap_run++;

    if (!passed) {
        tap_failed++;
    }

    printf("%sok %u - ", passed ? "" : "not ", tap_run);

    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);

    printf("\n");
    fflush(stdout);

    return passed;
}


__attribute__((unused))
static int
is(long long got, long long expected, const char *name)
{
    if (!ok(got == expected, "%s", name)) {
        printf("#      got: %lld (0x%llx)\n# expected: %lld (0x%llx)\n",
               got, got, expected, expected);
        return 0;
    }

    return 1;
}


__attribute__((unused))
static void
tap_dump(const char *title, const unsigned char *p, size_t len)
{
    size_t  i;

    printf("# %8s:", title);

    for (i = 0; i < len; i++) {
        printf(" %02x", p[i]);
    }

    printf("\n");
}


__attribute__((unused))
static int
is_bytes(const unsigned char *got, size_t got_len,
    const unsigned char *expected, size_t expected_len, const char *name)
{
    int  same;

    same = (got_len == expected_len
            && (got_len == 0 || memcmp(got, expected, got_len) == 0));

    if (!ok(same, "%s", name)) {
        tap_dump("got", got, got_len);
        tap_dump("expected", expected, expected_len);
    }

    return same;
}


__attribute__((unused))
static int
done_testing(void)
{
    printf("1..%u\n", tap_run);
    fflush(stdout);

    return tap_failed ? 1 : 0;
}


#endif /* _TAP_H_INCLUDED_ */
