
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/* What the files of session/ share. */


#ifndef _NGX_MQTT_SESSION_INT_H_INCLUDED_
#define _NGX_MQTT_SESSION_INT_H_INCLUDED_


#include "ngx_mqtt_session.h"
#include "ngx_mqtt_bus.h"
#include "ngx_mqtt_redis.h"


/* "<node, 16 hex digits>:<slot>:<generation>" */

#define NGX_MQTT_SESSION_OWNER_LEN                                            \
    (16 + 1 + NGX_INT_T_LEN + 1 + NGX_INT64_LEN)


struct ngx_mqtt_sessions_s {
    uint64_t             node_id;
    ngx_str_t            owner;           /* this worker, as in Redis */
    u_char               owner_text[NGX_MQTT_SESSION_OWNER_LEN];

    ngx_mqtt_hash_t      claims;          /* waiting for TAKEN, by id */
    ngx_queue_t          waiting;         /* the same, oldest first */
    ngx_uint_t           nclaims;         /* all that have not completed */
    uint64_t             last_claim;
    ngx_event_t          timer;           /* of the oldest one waiting */
};


void ngx_mqtt_claim_init(ngx_mqtt_worker_t *w);
ngx_int_t ngx_mqtt_claim_parse_owner(ngx_mqtt_worker_t *w, ngx_str_t *owner,
    ngx_mqtt_peer_t *peer);
void ngx_mqtt_claim_fail_all(ngx_mqtt_worker_t *w);

/* the key of a session; freed by the caller, key->len bytes */
ngx_int_t ngx_mqtt_session_key(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    ngx_str_t *key);

/* the expiry interval as the scripts take it */
u_char *ngx_mqtt_session_expiry(u_char *p, uint32_t expiry);


#endif /* _NGX_MQTT_SESSION_INT_H_INCLUDED_ */
