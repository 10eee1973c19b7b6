
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The growing hash of ngx_mqtt_hash.h: chained, doubled at load factor one.
 *
 * Keys come from strangers, so the hash is seeded at random per process;
 * otherwise chosen client ids could all fall into one bucket.
 */


#include "ngx_mqtt.h"


#define NGX_MQTT_HASH_MIN  8


static ngx_int_t ngx_mqtt_hash_resize(ngx_mqtt_hash_t *h, ngx_uint_t size);


static uint64_t  ngx_mqtt_hash_seed;


uint32_t
ngx_mqtt_hash_key(u_char *data, size_t len)
{
    if (ngx_mqtt_hash_seed == 0) {
        ngx_mqtt_hash_seed = (uint64_t) ngx_random() << 32
                             ^ (uint64_t) ngx_random() << 8
                             ^ (uint64_t) ngx_pid ^ 1;
    }

    return ngx_mqtt_hash_seeded(ngx_mqtt_hash_seed, data, len);
}


ngx_mqtt_hash_node_t *
ngx_mqtt_hash_find(ngx_mqtt_hash_t *h, ngx_str_t *key)
{
    uint32_t               hash;
    ngx_mqtt_hash_node_t  *node;

    if (h->count == 0) {
        return NULL;
    }

    hash = ngx_mqtt_hash_key(key->data, key->len);

    for (node = h->buckets[hash & (h->size - 1)]; node; node = node->next) {

        if (node->hash == hash
            && node->key.len == key->len
            && ngx_memcmp(node->key.data, key->data, key->len) == 0)
        {
            return node;
        }
    }

    return NULL;
}


ngx_int_t
ngx_mqtt_hash_insert(ngx_mqtt_hash_t *h, ngx_mqtt_hash_node_t *node)
{
    ngx_mqtt_hash_node_t  **bucket;

    if (h->count >= h->size) {

        /* a table that can't grow is slow, not wrong */

        if (ngx_mqtt_hash_resize(h, h->size ? h->size * 2 : NGX_MQTT_HASH_MIN)
            != NGX_OK
            && h->size == 0)
        {
            return NGX_ERROR;
        }
    }

    node->hash = ngx_mqtt_hash_key(node->key.data, node->key.len);

    bucket = &h->buckets[node->hash & (h->size - 1)];

    node->next = *bucket;
    *bucket = node;

    h->count++;

    return NGX_OK;
}


void
ngx_mqtt_hash_remove(ngx_mqtt_hash_t *h, ngx_mqtt_hash_node_t *node)
{
    ngx_mqtt_hash_node_t  **next;

    next = &h->buckets[node->hash & (h->size - 1)];

    while (*next) {

        if (*next == node) {
            *next = node->next;
            node->next = NULL;
            h->count--;
            return;
        }

        next = &(*next)->next;
    }
}


void
ngx_mqtt_hash_free(ngx_mqtt_hash_t *h)
{
    if (h->buckets) {
        ngx_free(h->buckets);
    }

    ngx_memzero(h, sizeof(ngx_mqtt_hash_t));
}


static ngx_int_t
ngx_mqtt_hash_resize(ngx_mqtt_hash_t *h, ngx_uint_t size)
{
    ngx_uint_t              i;
    ngx_mqtt_hash_node_t   *node, *next, **buckets, **bucket;

    buckets = ngx_calloc(size * sizeof(ngx_mqtt_hash_node_t *),
                         ngx_cycle->log);
    if (buckets == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < h->size; i++) {

        for (node = h->buckets[i]; node; node = next) {
            next = node->next;

            bucket = &buckets[node->hash & (size - 1)];
            node->next = *bucket;
            *bucket = node;
        }
    }

    if (h->buckets) {
        ngx_free(h->buckets);
    }

    h->buckets = buckets;
    h->size = size;

    return NGX_OK;
}
