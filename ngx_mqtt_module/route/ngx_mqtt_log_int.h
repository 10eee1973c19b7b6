
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


/* a log that a message has to go to */

typedef struct {
    ngx_str_t                 filter;
    uint64_t                  group;       /* 0: not that of one */
} ngx_mqtt_log_match_t;


typedef struct ngx_mqtt_group_logs_s  ngx_mqtt_group_logs_t;


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
    ngx_array_t               matches;     /* of ngx_mqtt_log_match_t */

    ngx_mqtt_group_logs_t    *groups;
};


/* the hash, the list, the tally */

#define NGX_MQTT_LOG_KEYS         3

/* the keys of a log in one block; freed by the caller */
ngx_int_t ngx_mqtt_log_keys(ngx_mqtt_worker_t *w, ngx_str_t *filter,
    ngx_str_t *keys);
void ngx_mqtt_log_keys_free(ngx_mqtt_worker_t *w, ngx_str_t *keys);

/* what was received before, ms since the epoch, is too old */
u_char *ngx_mqtt_log_oldest(ngx_mqtt_worker_t *w, u_char *p);

/* ngx_mqtt_log_trim.c: drops what no reader needs; nobody waits for it */
void ngx_mqtt_log_trim(ngx_mqtt_worker_t *w, ngx_str_t *filter);

ngx_int_t ngx_mqtt_log_index_start(ngx_mqtt_worker_t *w);
void ngx_mqtt_log_index_stop(ngx_mqtt_worker_t *w);

/* 1: the node needs a newer version; ask for what has changed in Redis */
ngx_uint_t ngx_mqtt_log_behind(ngx_mqtt_worker_t *w);
void ngx_mqtt_log_index_ask(ngx_mqtt_worker_t *w);

/*
 * Groups in the index, ngx_mqtt_group.c: is() tells them by the name of their
 * log; indexed() when the index is up to date; tick() with each poll.
 */

#define NGX_MQTT_GROUP_KEYS       4

ngx_int_t ngx_mqtt_group_start(ngx_mqtt_worker_t *w);
void ngx_mqtt_group_stop(ngx_mqtt_worker_t *w);
ngx_uint_t ngx_mqtt_group_is(ngx_str_t *log);
ngx_uint_t ngx_mqtt_group_count(ngx_mqtt_worker_t *w);
ngx_int_t ngx_mqtt_group_index(ngx_mqtt_worker_t *w, ngx_str_t *log,
    ngx_uint_t add);
void ngx_mqtt_group_clear(ngx_mqtt_worker_t *w);
void ngx_mqtt_group_match(ngx_mqtt_worker_t *w, ngx_str_t *topic);
void ngx_mqtt_group_indexed(ngx_mqtt_worker_t *w);
void ngx_mqtt_group_tick(ngx_mqtt_worker_t *w);

/* ngx_mqtt_group_take.c: all keys of its log in one block */
ngx_int_t ngx_mqtt_group_keys(ngx_mqtt_worker_t *w, ngx_str_t *log,
    ngx_str_t *keys);
void ngx_mqtt_group_keys_free(ngx_mqtt_worker_t *w, ngx_str_t *keys);


#endif /* _NGX_MQTT_LOG_INT_H_INCLUDED_ */
