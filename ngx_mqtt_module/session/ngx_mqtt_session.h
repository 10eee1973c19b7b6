
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Durable sessions in Redis: who owns a client id, since when.
 *
 * (1) A session is claimed in one script: the epoch grows, the previous owner
 *     is learned.  The epoch is strictly increasing for a client id, also
 *     when the session was deleted in between.
 * (2) Every later write carries the epoch and is refused when it is stale.
 * (3) A claim is answered only when the previous owner, if it is a worker of
 *     this node, has closed its connection, is dead, or has been silent for
 *     takeover_timeout.
 */


#ifndef _NGX_MQTT_SESSION_H_INCLUDED_
#define _NGX_MQTT_SESSION_H_INCLUDED_


#include "ngx_mqtt.h"


#define NGX_MQTT_SESSION_NEVER         0xffffffff


typedef struct {
    ngx_str_t            client_id;
    uint32_t             expiry;         /* seconds, 0: ends with the
                                            connection, _NEVER: does not */
    ngx_uint_t           clean;          /* start anew */
} ngx_mqtt_session_claim_t;


/* op->result of a successful claim */

typedef struct {
    uint64_t             epoch;
    ngx_uint_t           present;        /* state was there and is resumed */
} ngx_mqtt_session_claimed_t;


ngx_int_t ngx_mqtt_session_start(ngx_mqtt_worker_t *w);
void ngx_mqtt_session_stop(ngx_mqtt_worker_t *w);

/*
 * The op completes with NGX_OK, or NGX_ERROR and SERVER_UNAVAILABLE.  When
 * the op was orphaned meanwhile the session is released again.
 */
void ngx_mqtt_session_claim(ngx_mqtt_worker_t *w,
    ngx_mqtt_session_claim_t *claim, ngx_mqtt_op_t *op);

/*
 * The connection is gone: the session is free to be claimed and lives on for
 * "expiry" seconds.  Waits for Redis when it is away.
 */
void ngx_mqtt_session_release(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    uint64_t epoch, uint32_t expiry);

/*
 * ngx_mqtt_session_online.c: whether a client is connected to any node.  The
 * op completes with NGX_OK, NGX_DECLINED (no), or NGX_ERROR without Redis.
 */
void ngx_mqtt_session_online(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    ngx_mqtt_op_t *op);

/* claims whose op has not completed */
ngx_uint_t ngx_mqtt_session_pending(ngx_mqtt_worker_t *w);


#endif /* _NGX_MQTT_SESSION_H_INCLUDED_ */
