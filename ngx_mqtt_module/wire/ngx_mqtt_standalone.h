
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * What wire/ and mapping/ take from nginx, for a build without nginx
 * (-DNGX_MQTT_STANDALONE=1): unit tests and fuzz targets.
 *
 * (1) Names, types and values are those of ngx_config.h, ngx_core.h and
 *     ngx_string.h, so that a source file cannot tell the difference.
 * (2) Macros and inline functions only: there is no object to link with.
 *
 * Included by wire/ngx_mqtt_wire.h, never together with nginx's headers.
 */


#ifndef _NGX_MQTT_STANDALONE_H_INCLUDED_
#define _NGX_MQTT_STANDALONE_H_INCLUDED_


#include <sys/types.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>


#define ngx_inline                     inline


typedef intptr_t                       ngx_int_t;
typedef uintptr_t                      ngx_uint_t;
typedef intptr_t                       ngx_flag_t;


#define NGX_OK                         0
#define NGX_ERROR                      -1
#define NGX_AGAIN                      -2
#define NGX_BUSY                       -3
#define NGX_DONE                       -4
#define NGX_DECLINED                   -5
#define NGX_ABORT                      -6


#define LF                             (u_char) '\n'
#define CR                             (u_char) '\r'

#define NGX_INT32_LEN                  (sizeof("-2147483648") - 1)
#define NGX_INT64_LEN                  (sizeof("-9223372036854775808") - 1)

#define NGX_MAX_INT_T_VALUE            INTPTR_MAX


typedef struct {
    size_t                             len;
    u_char                            *data;
} ngx_str_t;

typedef struct {
    ngx_str_t                          key;
    ngx_str_t                          value;
} ngx_keyval_t;


#define ngx_string(str)     { sizeof(str) - 1, (u_char *) str }
#define ngx_null_string     { 0, NULL }

#define ngx_str_set(str, text)                                                \
    (str)->len = sizeof(text) - 1; (str)->data = (u_char *) text
#define ngx_str_null(str)   (str)->len = 0; (str)->data = NULL


#define ngx_abs(value)      (((value) >= 0) ? (value) : - (value))
#define ngx_max(val1, val2) ((val1 < val2) ? (val2) : (val1))
#define ngx_min(val1, val2) ((val1 > val2) ? (val2) : (val1))

#define ngx_align(d, a)     (((d) + (a - 1)) & ~(a - 1))


#define ngx_memzero(buf, n)       (void) memset(buf, 0, n)
#define ngx_memset(buf, c, n)     (void) memset(buf, c, n)

#define ngx_memcpy(dst, src, n)   (void) memcpy(dst, src, n)
#define ngx_cpymem(dst, src, n)   (((u_char *) memcpy(dst, src, n)) + (n))
#define ngx_copy                  ngx_cpymem

#define ngx_memmove(dst, src, n)  (void) memmove(dst, src, n)
#define ngx_memcmp(s1, s2, n)     memcmp(s1, s2, n)


#define ngx_strlen(s)             strlen((const char *) s)
#define ngx_strcmp(s1, s2)        strcmp((const char *) s1, (const char *) s2)
#define ngx_strncmp(s1, s2, n)                                                \
    strncmp((const char *) s1, (const char *) s2, n)

#define ngx_tolower(c)                                                        \
    (u_char) ((c >= 'A' && c <= 'Z') ? (c | 0x20) : c)
#define ngx_toupper(c)                                                        \
    (u_char) ((c >= 'a' && c <= 'z') ? (c & ~0x20) : c)


static ngx_inline u_char *
ngx_strlchr(u_char *p, u_char *last, u_char c)
{
    while (p < last) {
        if (*p == c) {
            return p;
        }

        p++;
    }

    return NULL;
}


static ngx_inline ngx_int_t
ngx_strncasecmp(u_char *s1, u_char *s2, size_t n)
{
    u_char  c1, c2;

    for ( /* void */ ; n; n--) {
        c1 = ngx_tolower(*s1);
        c2 = ngx_tolower(*s2);

        if (c1 != c2) {
            return (ngx_int_t) c1 - (ngx_int_t) c2;
        }

        if (c1 == '\0') {
            break;
        }

        s1++;
        s2++;
    }

    return 0;
}


static ngx_inline ngx_int_t
ngx_atoi(u_char *line, size_t n)
{
    ngx_int_t  value;

    if (n == 0) {
        return NGX_ERROR;
    }

    for (value = 0; n; n--, line++) {
        if (*line < '0' || *line > '9') {
            return NGX_ERROR;
        }

        if (value > (NGX_MAX_INT_T_VALUE - (*line - '0')) / 10) {
            return NGX_ERROR;
        }

        value = value * 10 + (*line - '0');
    }

    return value;
}


#endif /* _NGX_MQTT_STANDALONE_H_INCLUDED_ */
