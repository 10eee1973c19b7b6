
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Topic filters as sets of topic names: whether one is part of another.
 *
 * Called from: auth/, for subscriptions.
 */


#include "ngx_mqtt_wire.h"


#define ngx_mqtt_level_is(level, c)                                           \
    ((level).len == 1 && (level).data[0] == (c))


ngx_uint_t
ngx_mqtt_topic_covers(ngx_str_t *filter, ngx_str_t *part)
{
    ngx_str_t   frest, prest, f, p;
    ngx_uint_t  first;

    frest = *filter;
    prest = *part;

    for (first = 1; /* void */ ; first = 0) {

        if (!ngx_mqtt_topic_next_level(&frest, &f)) {

            /* "a" is all of "a", and less than "a/#" and "a/b" */

            return !ngx_mqtt_topic_next_level(&prest, &p);
        }

        if (!ngx_mqtt_topic_next_level(&prest, &p)) {

            /* "a/#" includes "a" */

            return ngx_mqtt_level_is(f, '#');
        }

        if (first && p.len && p.data[0] == '$'
            && (ngx_mqtt_level_is(f, '#') || ngx_mqtt_level_is(f, '+')))
        {
            /* [MQTT-4.7.2-1] */
            return 0;
        }

        if (ngx_mqtt_level_is(f, '#')) {
            return 1;
        }

        if (ngx_mqtt_level_is(p, '#')) {
            return 0;
        }

        if (ngx_mqtt_level_is(f, '+')) {
            continue;
        }

        if (f.len != p.len || ngx_memcmp(f.data, p.data, f.len) != 0) {
            return 0;
        }
    }
}
