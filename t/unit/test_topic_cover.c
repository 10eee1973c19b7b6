
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Filters as parts of filters: every pair of short filters is compared with
 * what the names say that match them.
 */

/* sources: wire/ngx_mqtt_topic.c wire/ngx_mqtt_topic_cover.c */


#include "tap.h"
#include "bytes.h"
#include "ngx_mqtt_wire.h"


#define MAX_LEVELS  4
#define MAX_NAMES   1024
#define MAX_TEXT    32


static const char  *filter_levels[] = { "a", "b", "", "$x", "+", "#" };

/* "c" stands for all names that no filter has */

static const char  *name_levels[] = { "a", "b", "", "$x", "c" };

static char         filters[MAX_NAMES][MAX_TEXT];
static char         names[MAX_NAMES][MAX_TEXT];
static size_t       nfilters;
static size_t       nnames;


static ngx_str_t
str(char *text)
{
    ngx_str_t  s;

    s.data = (u_char *) text;
    s.len = strlen(text);

    return s;
}


static size_t
make(char texts[][MAX_TEXT], const char **levels, size_t nlevels,
    size_t depth)
{
    char    text[MAX_TEXT];
    size_t  d, i, k, n, total, digits;

    n = 0;

    for (d = 1, total = nlevels; d <= depth; d++, total *= nlevels) {

        for (i = 0; i < total; i++) {
            text[0] = '\0';

            for (k = 0, digits = i; k < d; k++, digits /= nlevels) {

                if (k) {
                    strcat(text, "/");
                }

                strcat(text, levels[digits % nlevels]);
            }

            if (text[0] == '\0' || n == MAX_NAMES) {
                continue;
            }

            strcpy(texts[n++], text);
        }
    }

    return n;
}


static size_t
valid_filters(size_t n)
{
    size_t     i, k;
    ngx_str_t  filter;

    for (i = 0, k = 0; i < n; i++) {
        filter = str(filters[i]);

        if (ngx_mqtt_topic_filter_check(&filter, NULL) == NGX_OK) {
            memmove(filters[k++], filters[i], MAX_TEXT);
        }
    }

    return k;
}


/* what the function is to say, from the names; "+" needs a name to tell */

static ngx_uint_t
expected(ngx_str_t *filter, ngx_str_t *part)
{
    size_t     i;
    ngx_str_t  name;

    for (i = 0; i < nnames; i++) {
        name = str(names[i]);

        if (ngx_mqtt_topic_match(part, &name)
            && !ngx_mqtt_topic_match(filter, &name))
        {
            return 0;
        }
    }

    return 1;
}


int
main(void)
{
    size_t      i, k, wrong, strict;
    ngx_str_t   filter, part;
    ngx_uint_t  covers, whole;

    nfilters = valid_filters(make(filters, filter_levels, 6, 3));
    nnames = make(names, name_levels, 5, MAX_LEVELS);

    ok(nfilters > 100 && nnames > 700, "%zu filters, %zu names", nfilters,
       nnames);

    wrong = 0;
    strict = 0;

    for (i = 0; i < nfilters; i++) {
        for (k = 0; k < nfilters; k++) {
            filter = str(filters[i]);
            part = str(filters[k]);

            covers = ngx_mqtt_topic_covers(&filter, &part);

            whole = expected(&filter, &part);

            if (covers && !whole && wrong++ < 10) {
                printf("# \"%s\" is no part of \"%s\"\n", filters[k],
                       filters[i]);
            }

            strict += (!covers && whole);
        }
    }

    is(wrong, 0, "nothing is taken for a part that is none");

    /*
     * "#" and "+/#", "/#" and "/+/#", "/#" and "/+/+/#" differ in the name
     * without any byte only, which nobody can publish to
     */

    is(strict, 3, "and no other part is missed");

    return done_testing();
}
