
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/* What the files of the logs share. */


#ifndef _NGX_MQTT_LOG_INT_H_INCLUDED_
#define _NGX_MQTT_LOG_INT_H_INCLUDED_


#include "ngx_mqtt_log.h"
#include "ngx_mqtt_bus.h"
#include "ngx_mqtt_redis.h"


#define NGX_MQTT_LOG_POLL         1000     /* ms */

/* an entry: uid, time of receipt, flags, and the message as in a frame */

#define NGX_MQTT_LOG_ENTRY_HEAD   (NGX_MQTT_LOG_UID + 8 + 1)
#define NGX_MQTT_LOG_SEVERAL      0x01

/* keys of the index */

#define NGX_MQTT_LOG_INDEX_KEYS   4


struct ngx_mqtt_logs_s {
    ngx_str_t                 keys[NGX_MQTT_LOG_INDEX_KEYS];

    /* the index, as far as this worker knows it */

    uint64_t                  index;       /* incarnation */
    uint64_t                  version;
    ngx_mqtt_filters_t        wildcards;
    ngx_mqtt_hash_t           levels;      /* first levels of exact ones */
    ngx_event_t               timer;
    uint64_t                  zone_index;  /* in the zone, when we asked */
    uint64_t                  zone_version;
    unsigned                  asking:1;
    unsigned                  again:1;     /* a newer version is needed */
    unsigned                  awaited:1;   /* publishers wait for it */

    /* of messages */

    u_char                    node[8];
    uint64_t                  messages;
    ngx_array_t               matches;     /* of ngx_str_t */
};


/* both keys of a log in one block; freed by the caller */
ngx_int_t ngx_mqtt_log_keys(ngx_mqtt_worker_t *w, ngx_str_t *filter,
    ngx_str_t *keys);
void ngx_mqtt_log_keys_free(ngx_mqtt_worker_t *w, ngx_str_t *keys);

ngx_int_t ngx_mqtt_log_index_start(ngx_mqtt_worker_t *w);
void ngx_mqtt_log_index_stop(ngx_mqtt_worker_t *w);

/* what has changed in Redis */
void ngx_mqtt_log_index_ask(ngx_mqtt_worker_t *w);


#endif /* _NGX_MQTT_LOG_INT_H_INCLUDED_ */
