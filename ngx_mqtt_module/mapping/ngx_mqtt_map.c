
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * MQTT topics to Kafka topics.
 *
 * (1) The entries are sorted once, when the configuration is read; a look-up
 *     compares the first level of the topic and nothing else.
 * (2) Nothing is copied: what a look-up gives points into the topic.
 *
 * Called from: stream/ (configuration), gateway/ (every mapped publish).
 */


#include "ngx_mqtt_map.h"


static ngx_int_t ngx_mqtt_map_cmp(ngx_str_t *one, ngx_str_t *two);


ngx_int_t
ngx_mqtt_map_init(ngx_mqtt_map_t *map, ngx_str_t *dup)
{
    ngx_int_t             rc;
    ngx_uint_t            i, n;
    ngx_mqtt_map_entry_t  entry;

    for (n = 1; n < map->nentries; n++) {
        entry = map->entries[n];

        for (i = n; i; i--) {
            rc = ngx_mqtt_map_cmp(&map->entries[i - 1].parent, &entry.parent);

            if (rc == 0) {
                *dup = entry.parent;
                return NGX_ERROR;
            }

            if (rc < 0) {
                break;
            }

            map->entries[i] = map->entries[i - 1];
        }

        map->entries[i] = entry;
    }

    return NGX_OK;
}


ngx_mqtt_map_entry_t *
ngx_mqtt_map_find(ngx_mqtt_map_t *map, ngx_str_t *topic, ngx_str_t *sub)
{
    u_char      *p, *end;
    ngx_int_t    rc;
    ngx_str_t    parent;
    ngx_uint_t   left, right, i;

    if (topic->len == 0 || topic->data[0] == '$') {
        return NULL;
    }

    end = topic->data + topic->len;

    p = ngx_strlchr(topic->data, end, '/');
    if (p == NULL) {
        p = end;
    }

    parent.len = p - topic->data;
    parent.data = topic->data;

    left = 0;
    right = map->nentries;

    while (left < right) {
        i = (left + right) / 2;

        rc = ngx_mqtt_map_cmp(&parent, &map->entries[i].parent);

        if (rc == 0) {
            sub->len = end - p;
            sub->data = p;

            return &map->entries[i];
        }

        if (rc < 0) {
            right = i;

        } else {
            left = i + 1;
        }
    }

    return NULL;
}


/* shorter names first: most comparisons need no look at the bytes */

static ngx_int_t
ngx_mqtt_map_cmp(ngx_str_t *one, ngx_str_t *two)
{
    if (one->len != two->len) {
        return (one->len < two->len) ? -1 : 1;
    }

    return ngx_memcmp(one->data, two->data, one->len);
}
