
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/* What the files of session/ share. */


#ifndef _NGX_MQTT_SESSION_INT_H_INCLUDED_
#define _NGX_MQTT_SESSION_INT_H_INCLUDED_


#include "ngx_mqtt_session.h"
#include "ngx_mqtt_bus.h"
#include "ngx_mqtt_redis.h"


/* on their way, of either kind; then whoever makes more of them waits */

#define NGX_MQTT_SESSION_EVENTS        1000


/*
 * What is still to be done for a client id after a script has changed its
 * session: one object for an id, however many things there are.
 */

typedef struct {
    ngx_mqtt_hash_node_t        node;      /* in ss->chores, by client id */
    ngx_mqtt_worker_t          *worker;
    ngx_queue_t                 events;    /* wills being published, ends
                                              of connections being told */
    ngx_uint_t                  refs;      /* things under way */
    ngx_uint_t                  kept;      /* left to somebody else */
} ngx_mqtt_chores_t;


/* a session that is being claimed, ngx_mqtt_claim.c */

typedef struct {
    ngx_mqtt_hash_node_t        node;      /* key: the bytes of id */
    ngx_queue_t                 queue;     /* in ss->waiting */
    uint64_t                    id;
    ngx_msec_t                  since;     /* somebody was asked */
    ngx_msec_t                  deadline;
    ngx_mqtt_peer_t             peer;      /* the owner asked to give up */

    ngx_mqtt_worker_t          *worker;
    ngx_mqtt_chores_t          *chores;    /* of who is dead */
    ngx_mqtt_op_t              *op;        /* the caller's */
    ngx_mqtt_session_claimed_t  claimed;

    u_char                     *fields;    /* claimed.fields, their bytes */
    size_t                      size;      /* of that block */
    ngx_str_t                   settled;   /* bytes that were read later */
    ngx_uint_t                  next;      /* of the fields, to look at */
    unsigned                    unread:1;  /* some of them have changed */
    unsigned                    settling:1;

    uint32_t                    expiry;
    ngx_uint_t                  lasting;
    ngx_str_t                   client_id; /* bytes behind the struct */
} ngx_mqtt_claim_t;

#define ngx_mqtt_claim_same_peer(a, b)                                        \
    ((a)->node == (b)->node && (a)->slot == (b)->slot                         \
     && (a)->generation == (b)->generation)


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
    ngx_mqtt_session_ends_t     *ends;    /* NULL: nothing is told */

    ngx_mqtt_hash_t      chores;          /* by client id */
    ngx_mqtt_hash_t      settles;         /* by client id */
    ngx_mqtt_hash_t      claims;          /* waiting for TAKEN, by id */
    ngx_queue_t          waiting;         /* the same, oldest first */
    ngx_uint_t           nclaims;         /* all that have not completed */
    uint64_t             last_claim;
    ngx_event_t          timer;           /* of the oldest one waiting */

    ngx_uint_t           nwills;          /* being published */
    ngx_uint_t           nends;           /* of connections, being told */

    ngx_event_t          lease_event;
    ngx_event_t          due_event;
    ngx_queue_t          orphans;         /* dead workers being taken over */
    ngx_queue_t          releases;        /* to be tried again */

    unsigned             leased:1;        /* in the set of leases */
    unsigned             renewing:1;
    unsigned             fenced:1;        /* being taken over ourselves */
    unsigned             taken:1;         /* that is over */
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

/* a command about one field of a session; the op is that of the command */
void ngx_mqtt_session_ask(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    char *command, ngx_str_t *field, ngx_uint_t flags, ngx_mqtt_op_t *op);

/* "{w:<owner>}c": its client ids; freed by the caller */
ngx_int_t ngx_mqtt_session_owned_key(ngx_mqtt_worker_t *w, ngx_str_t *owner,
    ngx_str_t *key);

/* the expiry interval as the scripts take it */
u_char *ngx_mqtt_session_expiry(u_char *p, uint32_t expiry);

/*
 * Whoever takes over from this worker looks at the sessions of its list only:
 * a client id is listed before it is claimed or has chores, and unlisted when
 * neither is true any more.
 */
void ngx_mqtt_session_list(ngx_mqtt_worker_t *w, ngx_str_t *ids,
    ngx_uint_t n);
void ngx_mqtt_session_unlist(ngx_mqtt_worker_t *w, ngx_str_t *client_id);

/* ngx_mqtt_claim.c */

void ngx_mqtt_claim_finish(ngx_mqtt_claim_t *claim);
void ngx_mqtt_claim_fail(ngx_mqtt_claim_t *claim);

/* a worker of this node by its name; NGX_DECLINED: of another one */
ngx_int_t ngx_mqtt_session_parse_owner(ngx_mqtt_worker_t *w,
    ngx_str_t *owner, ngx_mqtt_peer_t *peer);


/* ngx_mqtt_claim_owner.c */

void ngx_mqtt_claim_init(ngx_mqtt_worker_t *w);
void ngx_mqtt_claim_fail_all(ngx_mqtt_worker_t *w);

/* ngx_mqtt_claim_next() follows, at once or later */
void ngx_mqtt_claim_take_over(ngx_mqtt_claim_t *claim, ngx_str_t *owner);

/*
 * Asks claim->peer to close its client, and for what is in flight there.
 * NGX_AGAIN: ngx_mqtt_claim_next() follows; NGX_OK: nothing is waited for;
 * NGX_DECLINED: he cannot be told.
 */
ngx_int_t ngx_mqtt_claim_ask(ngx_mqtt_claim_t *claim);

/*
 * Answers a claim, "id" is its number, of another worker or of this one: the
 * client is closed, and no QoS 2 publish of it was in flight; or some are, and
 * another answer follows; or they were, and the session knows of them.
 */

#define NGX_MQTT_CLAIM_CLEAN           0
#define NGX_MQTT_CLAIM_SETTLING        1
#define NGX_MQTT_CLAIM_SETTLED         2

void ngx_mqtt_claim_answer(ngx_mqtt_worker_t *w, ngx_mqtt_peer_t *peer,
    uint64_t id, ngx_uint_t state);


/* ngx_mqtt_claim_settle.c: the owner has given up, or there is none */

void ngx_mqtt_claim_next(ngx_mqtt_claim_t *claim);


/* ngx_mqtt_settle.c */

/*
 * A claim wants to know of all publishes in flight of a client id: NGX_AGAIN
 * when it will be answered, NGX_OK when there are none.
 */
ngx_int_t ngx_mqtt_settle_wait(ngx_mqtt_worker_t *w, ngx_str_t *client_id,
    ngx_mqtt_peer_t *peer, uint64_t id);


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
 * is empty, because something is due.
 */

#define NGX_MQTT_CHORES_DISCARD        0     /* the will is */
#define NGX_MQTT_CHORES_LOST           1     /* the will is to be published */
#define NGX_MQTT_CHORES_TELL           2     /* only the ends of connections */

void ngx_mqtt_chores_end(ngx_mqtt_chores_t *ch, ngx_str_t *dead,
    ngx_uint_t how, ngx_mqtt_op_t *op);

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
