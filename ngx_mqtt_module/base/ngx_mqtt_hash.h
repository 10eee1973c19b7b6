
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * A growing hash of strings whose nodes are embedded in their objects: the
 * clients of a worker by client id, the exact topic filters.
 *
 * (1) The table doubles when it is full and never shrinks.
 * (2) The key's bytes belong to the object and live as long as the node.
 */


#ifndef _NGX_MQTT_HASH_H_INCLUDED_
#define _NGX_MQTT_HASH_H_INCLUDED_


typedef struct ngx_mqtt_hash_node_s  ngx_mqtt_hash_node_t;

struct ngx_mqtt_hash_node_s {
    ngx_mqtt_hash_node_t   *next;
    ngx_str_t               key;
    uint32_t                hash;
};


typedef struct {
    ngx_mqtt_hash_node_t  **buckets;
    ngx_uint_t              size;        /* a power of two, or 0 */
    ngx_uint_t              count;
} ngx_mqtt_hash_t;


static ngx_inline uint32_t
ngx_mqtt_hash_seeded(uint64_t seed, u_char *data, size_t len)
{
    uint64_t  h, k;

    h = seed ^ (len * 0x9e3779b97f4a7c15ULL);

    while (len >= 8) {
        ngx_memcpy(&k, data, 8);

        h = (h ^ k) * 0xff51afd7ed558ccdULL;
        h ^= h >> 32;

        data += 8;
        len -= 8;
    }

    k = 0;
    ngx_memcpy(&k, data, len);

    h = (h ^ k) * 0xc4ceb9fe1a85ec53ULL;
    h ^= h >> 29;
    h *= 0xff51afd7ed558ccdULL;

    return (uint32_t) (h >> 32);
}


/* with a seed of this process */
uint32_t ngx_mqtt_hash_key(u_char *data, size_t len);

ngx_mqtt_hash_node_t *ngx_mqtt_hash_find(ngx_mqtt_hash_t *h, ngx_str_t *key);

/* node->key is set by the caller; NGX_ERROR: no memory for the first table */
ngx_int_t ngx_mqtt_hash_insert(ngx_mqtt_hash_t *h, ngx_mqtt_hash_node_t *node);
void ngx_mqtt_hash_remove(ngx_mqtt_hash_t *h, ngx_mqtt_hash_node_t *node);
void ngx_mqtt_hash_free(ngx_mqtt_hash_t *h);


#endif /* _NGX_MQTT_HASH_H_INCLUDED_ */
