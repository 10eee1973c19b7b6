
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Packets as readable strings, and memory that catches over-reads.
 *
 *     30             hex digits, in pairs
 *     'text'         the bytes of the text
 *     <text>         a string: two bytes of length, then the text
 *     { ... }        a variable byte integer, the length of what is inside
 *     blanks         nothing
 *
 * It is written without any function of the codec, so that a codec that is
 * wrong in the same way in both directions is found out.
 */


#ifndef _BYTES_H_INCLUDED_
#define _BYTES_H_INCLUDED_


#include <sys/mman.h>
#include <unistd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define BYTES_MAX  (256 * 1024)


static unsigned char *bytes_group(const char **text, unsigned char *p);


__attribute__((unused))
static void
bytes_die(const char *text)
{
    printf("Bail out! bad bytes, at: %s\n", text);
    exit(2);
}


static unsigned
bytes_hex(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }

    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }

    bytes_die("a hex digit");

    return 0;
}


static unsigned char *
bytes_text(const char **text, char close, unsigned char *p)
{
    const char  *s;

    for (s = *text; *s != close; s++) {
        if (*s == '\0') {
            bytes_die(*text);
        }

        *p++ = (unsigned char) *s;
    }

    *text = s + 1;

    return p;
}


static unsigned char *
bytes_item(const char **text, unsigned char *p)
{
    size_t          len;
    unsigned char  *start;

    switch (*(*text)++) {

    case ' ':
        return p;

    case '\'':
        return bytes_text(text, '\'', p);

    case '<':
        start = p;
        p = bytes_text(text, '>', p + 2);

        len = p - start - 2;
        start[0] = (unsigned char) (len / 256);
        start[1] = (unsigned char) (len % 256);

        return p;

    case '{':
        start = p;
        p = bytes_group(text, p);

        if (*(*text)++ != '}') {
            bytes_die(*text);
        }

        /* make room for the length */

        len = p - start;

        if (len < 128) {
            memmove(start + 1, start, len);
            start[0] = (unsigned char) len;
            return p + 1;
        }

        if (len < 16384) {
            memmove(start + 2, start, len);
            start[0] = (unsigned char) (len % 128 + 128);
            start[1] = (unsigned char) (len / 128);
            return p + 2;
        }

        memmove(start + 3, start, len);
        start[0] = (unsigned char) (len % 128 + 128);
        start[1] = (unsigned char) (len / 128 % 128 + 128);
        start[2] = (unsigned char) (len / 16384);
        return p + 3;

    default:
        *p++ = (unsigned char) (bytes_hex((*text)[-1]) * 16
                                + bytes_hex((*text)[0]));
        (*text)++;
        return p;
    }
}


static unsigned char *
bytes_group(const char **text, unsigned char *p)
{
    while (**text != '\0' && **text != '}') {
        p = bytes_item(text, p);
    }

    return p;
}


/* into "out", of BYTES_MAX; returns the length */

__attribute__((unused))
static size_t
bytes_parse(const char *text, unsigned char *out)
{
    unsigned char  *p;

    p = bytes_group(&text, out);

    if (*text != '\0') {
        bytes_die(text);
    }

    return p - out;
}


/* a copy whose last byte is the last one before a page without access */

__attribute__((unused))
static unsigned char *
bytes_guard(const unsigned char *data, size_t len)
{
    size_t                 page;
    unsigned char         *p;
    static unsigned char  *end;

    if (end == NULL) {
        page = (size_t) sysconf(_SC_PAGESIZE);

        p = mmap(NULL, BYTES_MAX + page, PROT_READ|PROT_WRITE,
                 MAP_PRIVATE|MAP_ANONYMOUS, -1, 0);

        if (p == MAP_FAILED
            || mprotect(p + BYTES_MAX, page, PROT_NONE) == -1)
        {
            printf("Bail out! no memory\n");
            exit(2);
        }

        end = p + BYTES_MAX;
    }

    if (len) {
        memcpy(end - len, data, len);
    }

    return end - len;
}


#endif /* _BYTES_H_INCLUDED_ */
