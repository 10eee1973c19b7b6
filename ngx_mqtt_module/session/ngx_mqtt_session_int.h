
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/* What the files of session/ share. */


#ifndef _NGX_MQTT_SESSION_INT_H_INCLUDED_
#define _NGX_MQTT_SESSION_INT_H_INCLUDED_


#include "ngx_mqtt_session.h"
#include "ngx_mqtt_bus.h"
#include "ngx_mqtt_redis.h"


#define NGX_MQTT_SESSION_WILLS         1000


/*
 * What is still to be done for a client id after a script has changed its
 * session: one object for an id, however many things there are.
 */

typedef struct {
    ngx_mqtt_hash_node_t        node;      /* in ss->chores, by client id */
    ngx_mqtt_worker_t          *worker;
    ngx_queue_t                 wills;     /* being published */
    ngx_uint_t                  refs;      /* things under way */
    ngx_uint_t                  kept;      /* left to somebody else */
} ngx_mqtt_chores_t;


/* the keys that are not a client's */

typedef enum {
    NGX_MQTT_SESSION_KEY_LEASES = 0,
    NGX_MQTT_SESSION_KEY_MARKS,
    NGX_MQTT_SESSION_KEY_TAKEN,
    NGX_MQTT_SESSION_KEY_DUE,
    NGX_MQTT_SESSION_KEY_OWNED,          /* client ids of this worker */
    NGX_MQTT_SESSION_KEYS
} ngx_mqtt_session_key_e;


struct ngx_mqtt_sessions_s {
    ngx_str_t            owner;           /* this worker, as in Redis */
    u_char               owner_text[NGX_MQTT_PEER_NAME];
    ngx_str_t            keys[NGX_MQTT_SESSION_KEYS];

    ngx_mqtt_session_detach_pt   detach;
    ngx_mqtt_session_publish_pt  publish;
    ngx_mqtt_session_dead_pt     dead;

    ngx_mqtt_hash_t      chores;          /* by client id */
    ngx_mqtt_hash_t      claims;          /* waiting for TAKEN, by id */
    ngx_queue_t          waiting;         /* the same, oldest first */
    ngx_uint_t           nclaims;         /* all that have not completed */
    uint64_t             last_claim;
    ngx_event_t          timer;           /* of the oldest one waiting */

    ngx_uint_t           nwills;          /* being published */

    ngx_event_t          lease_event;
    ngx_event_t          due_event;
    ngx_queue_t          orphans;         /* dead workers being taken over */
    ngx_queue_t          releases;        /* to be tried again */

    unsigned             leased:1;        /* in the set of leases */
    unsigned             renewing:1;
    unsigned             fenced:1;        /* being taken over ourselves */
    unsigned             looking:1;       /* for what is due */
    unsigned             leaving:1;       /* nothing new is begun */
    unsigned             left_behind:1;   /* something has to be taken over */
};


/* ngx_mqtt_session.c */

/* the key of a session; freed by the caller, key->len bytes */
ngx_int_t ngx_mqtt_session_key(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    ngx_str_t *key);

/* the same and that of its inbox, in one block; freed by _free() */
ngx_int_t ngx_mqtt_session_key_pair(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    ngx_str_t *keys);
void ngx_mqtt_session_key_pair_free(ngx_mqtt_worker_t *w, ngx_str_t *keys);

/* "{w:<owner>}c": its client ids; freed by the caller */
ngx_int_t ngx_mqtt_session_owned_key(ngx_mqtt_worker_t *w, ngx_str_t *owner,
    ngx_str_t *key);

/* the expiry interval as the scripts take it */
u_char *ngx_mqtt_session_expiry(u_char *p, uint32_t expiry);

/* 0 where there is no number */
uint64_t ngx_mqtt_session_number(ngx_str_t *text);

/*
 * Whoever takes over from this worker looks at the sessions of its list only:
 * a client id is listed before it is claimed or has chores, and unlisted when
 * neither is true any more.
 */
void ngx_mqtt_session_list(ngx_mqtt_worker_t *w, ngx_str_t *ids,
    ngx_uint_t n);
void ngx_mqtt_session_unlist(ngx_mqtt_worker_t *w, ngx_str_t *client_id);

/* ngx_mqtt_claim.c */

void ngx_mqtt_claim_init(ngx_mqtt_worker_t *w);
void ngx_mqtt_claim_fail_all(ngx_mqtt_worker_t *w);

/* a worker of this node by its name; NGX_DECLINED: of another one */
ngx_int_t ngx_mqtt_session_parse_owner(ngx_mqtt_worker_t *w,
    ngx_str_t *owner, ngx_mqtt_peer_t *peer);


/* ngx_mqtt_chores.c */

/* one reference, to be given back with _unref(); NULL: out of memory */
ngx_mqtt_chores_t *ngx_mqtt_chores_get(ngx_mqtt_worker_t *w,
    ngx_str_t *client_id);
void ngx_mqtt_chores_unref(ngx_mqtt_chores_t *ch);

/* wills and readers as the scripts return them */
void ngx_mqtt_chores_run(ngx_mqtt_chores_t *ch,
    ngx_mqtt_redis_reply_t *wills, ngx_mqtt_redis_reply_t *filters);

/*
 * session_end.lua for a listed client id, because an owner is dead or, if that
 * is empty, because something is due; "lost": the will is to be published.
 */
void ngx_mqtt_chores_end(ngx_mqtt_chores_t *ch, ngx_str_t *dead,
    ngx_uint_t lost, ngx_mqtt_op_t *op);

/*
 * The reply of session_end.lua: starts what is to be done.  "when" is valid as
 * long as the reply.  NGX_ERROR: there is no reply.
 */
ngx_int_t ngx_mqtt_chores_ended(ngx_mqtt_chores_t *ch, ngx_mqtt_op_t *op,
    ngx_int_t *state, ngx_str_t *when);

/* "number" of the will in the session, 0: it is not there */
void ngx_mqtt_chores_publish(ngx_mqtt_chores_t *ch, uint64_t number,
    ngx_mqtt_msg_t *m);


/* ngx_mqtt_release.c */

void ngx_mqtt_release_retry(ngx_mqtt_worker_t *w);
void ngx_mqtt_release_stop(ngx_mqtt_worker_t *w);


/* ngx_mqtt_lease.c */

void ngx_mqtt_lease_init(ngx_mqtt_worker_t *w);

/* "how": see lease_end.lua */
void ngx_mqtt_lease_end(ngx_mqtt_worker_t *w, ngx_str_t *owner, char *how);


/* ngx_mqtt_orphans.c */

/* the sessions of a dead worker; "known": whatever its lease says */
void ngx_mqtt_orphans_take(ngx_mqtt_worker_t *w, ngx_str_t *owner,
    ngx_uint_t known);
/* goes on with those that are being taken over */
void ngx_mqtt_orphans_renew(ngx_mqtt_worker_t *w);
void ngx_mqtt_orphans_stop(ngx_mqtt_worker_t *w);


/* ngx_mqtt_janitor.c */

void ngx_mqtt_janitor_init(ngx_mqtt_worker_t *w);
/* something of this session is due at "when", ms of Redis' clock */
void ngx_mqtt_janitor_note(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    ngx_str_t *when);
/* not any more, unless something else is by now */
void ngx_mqtt_janitor_forget(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    ngx_str_t *when);


#endif /* _NGX_MQTT_SESSION_INT_H_INCLUDED_ */
