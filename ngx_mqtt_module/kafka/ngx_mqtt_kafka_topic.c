
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Topics whose names are only known when there is a record for them.
 *
 * (1) They follow those of the configuration, under the next indexes, and stay
 *     as long as the worker.
 * (2) Their number is bounded: names come from strangers, and each one costs
 *     librdkafka memory and requests.
 *
 * Called from: gateway/.
 */


#include "ngx_mqtt_kafka_core.h"


#define NGX_MQTT_KAFKA_NAMED       1000    /* topics, at most */


typedef struct {
    ngx_mqtt_hash_node_t       node;       /* by name, a C string */
    ngx_uint_t                 topic;
} ngx_mqtt_kafka_named_t;


static ngx_uint_t ngx_mqtt_kafka_topic_add(ngx_mqtt_kafka_t *k,
    ngx_str_t *name);
static ngx_int_t ngx_mqtt_kafka_topic_room(ngx_mqtt_kafka_t *k);


ngx_uint_t
ngx_mqtt_kafka_topic(ngx_mqtt_kafka_t *k, ngx_str_t *name)
{
    ngx_mqtt_hash_node_t    *node;
    ngx_mqtt_kafka_named_t  *named;

    node = ngx_mqtt_hash_find(&k->named, name);

    if (node) {
        named = ngx_queue_data(node, ngx_mqtt_kafka_named_t, node);
        return named->topic;
    }

    if (k->named.count == NGX_MQTT_KAFKA_NAMED
        || ngx_mqtt_kafka_topic_check(name) != NGX_OK)
    {
        return NGX_MQTT_KAFKA_NO_TOPIC;
    }

    return ngx_mqtt_kafka_topic_add(k, name);
}


static ngx_uint_t
ngx_mqtt_kafka_topic_add(ngx_mqtt_kafka_t *k, ngx_str_t *name)
{
    u_char                  *p;
    ngx_mqtt_kafka_topic_t  *t;
    ngx_mqtt_kafka_named_t  *named;

    if (ngx_mqtt_kafka_topic_room(k) != NGX_OK) {
        return NGX_MQTT_KAFKA_NO_TOPIC;
    }

    named = ngx_palloc(k->worker->cycle->pool,
                       sizeof(ngx_mqtt_kafka_named_t) + name->len + 1);
    if (named == NULL) {
        return NGX_MQTT_KAFKA_NO_TOPIC;
    }

    p = (u_char *) named + sizeof(ngx_mqtt_kafka_named_t);
    (void) ngx_cpystrn(p, name->data, name->len + 1);

    named->node.key.data = p;
    named->node.key.len = name->len;
    named->topic = k->ntopics;

    if (ngx_mqtt_hash_insert(&k->named, &named->node) != NGX_OK) {
        return NGX_MQTT_KAFKA_NO_TOPIC;
    }

    t = &k->topics[k->ntopics++];

    ngx_memzero(t, sizeof(ngx_mqtt_kafka_topic_t));
    t->name = named->node.key;

    /* a name that a broker accepts is one that librdkafka does */

    if (k->producer.client) {
        t->rkt = rd_kafka_topic_new(k->producer.client, (char *) p, NULL);
    }

    return named->topic;
}


static ngx_int_t
ngx_mqtt_kafka_topic_room(ngx_mqtt_kafka_t *k)
{
    size_t                   size;
    ngx_mqtt_kafka_topic_t  *topics;

    if (k->ntopics < k->topics_size) {
        return NGX_OK;
    }

    size = k->ntopics * sizeof(ngx_mqtt_kafka_topic_t);

    topics = ngx_palloc(k->worker->cycle->pool,
                        2 * size + sizeof(ngx_mqtt_kafka_topic_t));
    if (topics == NULL) {
        return NGX_ERROR;
    }

    if (size) {
        ngx_memcpy(topics, k->topics, size);
    }

    k->topics = topics;
    k->topics_size = 2 * k->ntopics + 1;

    return NGX_OK;
}
