
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/* What the files of session/ share. */


#ifndef _NGX_MQTT_SESSION_INT_H_INCLUDED_
#define _NGX_MQTT_SESSION_INT_H_INCLUDED_


#include "ngx_mqtt_session.h"
#include "ngx_mqtt_bus.h"
#include "ngx_mqtt_redis.h"


/*
 * What is still to be done for a client id after a script has changed its
 * session: one object for an id, however many things there are.
 */

typedef struct {
    ngx_mqtt_hash_node_t        node;      /* in ss->chores, by client id */
    ngx_mqtt_worker_t          *worker;
    ngx_uint_t                  refs;      /* things under way */
} ngx_mqtt_chores_t;


struct ngx_mqtt_sessions_s {
    ngx_str_t            owner;           /* this worker, as in Redis */
    u_char               owner_text[NGX_MQTT_PEER_NAME];

    ngx_mqtt_session_detach_pt  detach;

    ngx_mqtt_hash_t      chores;          /* by client id */
    ngx_mqtt_hash_t      claims;          /* waiting for TAKEN, by id */
    ngx_queue_t          waiting;         /* the same, oldest first */
    ngx_uint_t           nclaims;         /* all that have not completed */
    uint64_t             last_claim;
    ngx_event_t          timer;           /* of the oldest one waiting */
};


void ngx_mqtt_claim_init(ngx_mqtt_worker_t *w);
void ngx_mqtt_claim_fail_all(ngx_mqtt_worker_t *w);

/* ngx_mqtt_chores.c */

/* one reference, to be given back with _unref(); NULL: out of memory */
ngx_mqtt_chores_t *ngx_mqtt_chores_get(ngx_mqtt_worker_t *w,
    ngx_str_t *client_id);
void ngx_mqtt_chores_unref(ngx_mqtt_chores_t *ch);

/* the readers to be detached, as the scripts return them: filter, epoch ... */
void ngx_mqtt_chores_detach(ngx_mqtt_chores_t *ch,
    ngx_mqtt_redis_reply_t *filters);


/* ngx_mqtt_session.c */

uint64_t ngx_mqtt_session_number(ngx_str_t *text);

/* the key of a session; freed by the caller, key->len bytes */
ngx_int_t ngx_mqtt_session_key(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    ngx_str_t *key);

/* the expiry interval as the scripts take it */
u_char *ngx_mqtt_session_expiry(u_char *p, uint32_t expiry);


#endif /* _NGX_MQTT_SESSION_INT_H_INCLUDED_ */
