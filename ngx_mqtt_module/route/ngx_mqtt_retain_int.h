
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/* What the files of retained messages share. */


#ifndef _NGX_MQTT_RETAIN_INT_H_INCLUDED_
#define _NGX_MQTT_RETAIN_INT_H_INCLUDED_


#include "ngx_mqtt_retain.h"
#include "ngx_mqtt_bus.h"
#include "ngx_mqtt_redis.h"


/* keys of one parent, in this order in all scripts */

#define NGX_MQTT_RETAIN_MESSAGES       0
#define NGX_MQTT_RETAIN_TOPICS         1
#define NGX_MQTT_RETAIN_EXPIRY         2
#define NGX_MQTT_RETAIN_KEYS           3


struct ngx_mqtt_retain_s {
    ngx_str_t                 parents;       /* key: the list of parents */
    ngx_str_t                 expiry;        /* key: parents by the time at
                                                which something expires */
    ngx_event_t               timer;
    unsigned                  purging:1;     /* commands of it are under way */

    /* ngx_mqtt_retain_order.c */

    uint64_t                  begun;         /* writes */
    ngx_queue_t               writes;        /* under way, by number */
    ngx_queue_t               waits;         /* look-ups that wait for some */
    ngx_event_t               order;
};


/* the number of a write, part of it */

typedef struct {
    ngx_queue_t               queue;         /* in rt->writes */
    uint64_t                  value;         /* 0: it has none */
} ngx_mqtt_retain_number_t;


/*
 * The keys of a parent, in one block that the caller frees with
 * ngx_mqtt_retain_keys_free(); NGX_ERROR: out of memory.
 */
ngx_int_t ngx_mqtt_retain_keys(ngx_mqtt_worker_t *w, ngx_str_t *parent,
    ngx_str_t *keys);
void ngx_mqtt_retain_keys_free(ngx_mqtt_worker_t *w, ngx_str_t *keys);

/* a generation of a parent has ended: off the list */
void ngx_mqtt_retain_unlist(ngx_mqtt_worker_t *w, ngx_str_t *parent,
    ngx_str_t *generation);

/* removes at most max expired messages of the parent */
void ngx_mqtt_retain_purge(ngx_mqtt_worker_t *w, ngx_str_t *parent,
    ngx_uint_t max);

/* ms since the epoch, as text */
u_char *ngx_mqtt_retain_now(u_char *p);


/* ngx_mqtt_retain_expire.c */

ngx_int_t ngx_mqtt_retain_expire_init(ngx_mqtt_worker_t *w);

/* something of the parent expires at this time, ms since the epoch */
void ngx_mqtt_retain_expire_note(ngx_mqtt_worker_t *w, ngx_str_t *parent,
    ngx_str_t *time);


/* ngx_mqtt_retain_order.c */

void ngx_mqtt_retain_order_init(ngx_mqtt_worker_t *w);

/* after all clients are gone: whoever waits is not told */
void ngx_mqtt_retain_order_stop(ngx_mqtt_worker_t *w);

/* around a write, from before it is known who gets the message now */
void ngx_mqtt_retain_order_begin(ngx_mqtt_worker_t *w,
    ngx_mqtt_retain_number_t *number);
void ngx_mqtt_retain_order_done(ngx_mqtt_worker_t *w,
    ngx_mqtt_retain_number_t *number);

/*
 * NGX_OK: no write is under way in any worker of the node; NGX_AGAIN: done()
 * is called when those begun until now are, or after a second; NGX_ERROR: out
 * of memory.
 */
ngx_int_t ngx_mqtt_retain_order_wait(ngx_mqtt_worker_t *w,
    ngx_queue_t *owner, ngx_mqtt_op_pt done, void *data);


#endif /* _NGX_MQTT_RETAIN_INT_H_INCLUDED_ */
