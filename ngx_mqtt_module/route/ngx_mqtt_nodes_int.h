
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/* What the files about other nodes share. */


#ifndef _NGX_MQTT_NODES_INT_H_INCLUDED_
#define _NGX_MQTT_NODES_INT_H_INCLUDED_


#include "ngx_mqtt_nodes.h"
#include "ngx_mqtt_route_int.h"
#include "ngx_mqtt_log_int.h"
#include "ngx_mqtt_redis.h"


#define NGX_MQTT_NODES_POLL       1000     /* ms */
#define NGX_MQTT_NODES_LAPSE      5000     /* ms without a poll: dead */
#define NGX_MQTT_NODES_SOON       10       /* ms */

#define NGX_MQTT_NODES_KEYS       4

#define NGX_MQTT_INBOX_HEAD       (4 * 8 + 1)

/* as a script takes it: changes that Redis remembers */

#define NGX_MQTT_NODES_CHANGES    "1000"


/* a worker of another node; these live without any client: not counted */

typedef struct {
    ngx_mqtt_hash_node_t      node;        /* in nodes->members, by peer */
    ngx_queue_t               queue;       /* in nodes->list */
    ngx_queue_t               wants;       /* of ngx_mqtt_want_t */
    ngx_mqtt_peer_t           peer;
    ngx_str_t                 inbox;       /* key; bytes behind the struct */
    uint64_t                  stamp;       /* of the message matched last */
    uint64_t                  received;    /* number of its last frame */
    ngx_uint_t                length;      /* of its inbox, as last heard */
    ngx_uint_t                refs;        /* frames under way */
    time_t                    used;
    unsigned                  present:1;   /* in the index */
    unsigned                  removed:1;   /* lives until refs are 0 */
} ngx_mqtt_member_t;


/* what it wants */

typedef struct {
    ngx_queue_t               queue;       /* in the filter's subs, or in the
                                              share's members */
    ngx_queue_t               wants;       /* in member->wants */
    ngx_mqtt_member_t        *member;
    ngx_mqtt_filters_t       *filters;     /* that have the filter */
    ngx_mqtt_filter_node_t   *filter;
    ngx_mqtt_share_t         *share;       /* NULL: not a group */
} ngx_mqtt_want_t;


struct ngx_mqtt_nodes_s {
    ngx_str_t                 owner;       /* this worker */
    u_char                    owner_text[NGX_MQTT_PEER_NAME];
    ngx_str_t                 keys[NGX_MQTT_NODES_KEYS];

    /* ngx_mqtt_inbox.c */

    ngx_mqtt_redis_t         *redis;       /* blocks for the inbox */
    ngx_str_t                 inbox;       /* key */
    u_char                    last[2 * NGX_INT64_LEN + 1];
    size_t                    last_len;    /* id of the last frame */
    ngx_uint_t                page;        /* frames to ask for */
    ngx_event_t               read_event;  /* after a failure */
    time_t                    warned;
    ngx_atomic_uint_t         objects;     /* of the command that waits */
    ngx_atomic_uint_t         bytes;

    /* ngx_mqtt_inbox_send.c */

    uint64_t                  sent;        /* number of the last frame */
    ngx_event_t               room_event;  /* publishers wait for room */

    /* ngx_mqtt_nodes.c: the index, as far as this worker knows it */

    uint64_t                  index;       /* incarnation */
    uint64_t                  version;
    ngx_mqtt_hash_t           members;
    ngx_queue_t               list;
    ngx_uint_t                nmembers;    /* that are present */
    ngx_uint_t                nwants;      /* of all of them */
    ngx_mqtt_filters_t        filters;     /* that are told one by one */
    ngx_mqtt_filters_t        levels;      /* first levels of others */
    ngx_msec_t                lost_at;
    ngx_event_t               poll_event;
    ngx_event_t               notify_event;

    /* ngx_mqtt_interest.c: what we want */

    ngx_mqtt_hash_t           interests;
    ngx_queue_t               changed;     /* to be told */
    ngx_queue_t               telling;     /* in the script under way */
    ngx_queue_t               fresh;       /* told not long ago */
    ngx_uint_t                nwildcards;  /* told one by one */
    ngx_event_t               tell_event;

    /* ngx_mqtt_nodes_publish.c: who is found for a message */

    uint64_t                  stamp;
    ngx_array_t               targets;     /* of ngx_mqtt_member_t * */
    ngx_array_t               groups;      /* of ngx_mqtt_share_t * */

    unsigned                  asking:1;
    unsigned                  again:1;
    unsigned                  lost:1;      /* by Redis: kept for a while */
    unsigned                  left:1;
    unsigned                  closed:1;
};


/* ngx_mqtt_nodes.c */

/* NULL: out of memory */
ngx_mqtt_member_t *ngx_mqtt_nodes_member(ngx_mqtt_worker_t *w,
    ngx_mqtt_peer_t *peer);
void ngx_mqtt_member_unref(ngx_mqtt_member_t *member);

/* the index is to be asked within NGX_MQTT_NODES_SOON */
void ngx_mqtt_nodes_soon(ngx_mqtt_worker_t *w);

void ngx_mqtt_nodes_event(ngx_mqtt_worker_t *w, ngx_event_t *ev,
    ngx_event_handler_pt handler);


/* ngx_mqtt_nodes_index.c */

/*
 * A reply of nodes_since.  NGX_OK; NGX_AGAIN: Redis does not know what we
 * want; NGX_ERROR: it was not understood.
 */
ngx_int_t ngx_mqtt_nodes_apply(ngx_mqtt_worker_t *w,
    ngx_mqtt_redis_reply_t *reply);
void ngx_mqtt_nodes_clear(ngx_mqtt_worker_t *w);
void ngx_mqtt_member_remove(ngx_mqtt_worker_t *w, ngx_mqtt_member_t *member);


/* ngx_mqtt_inbox.c */

ngx_int_t ngx_mqtt_inbox_start(ngx_mqtt_worker_t *w);
/* Redis has lost its data: ids may begin anew */
void ngx_mqtt_inbox_rewind(ngx_mqtt_worker_t *w);

/* "{w:<owner>}i" */
size_t ngx_mqtt_inbox_key_len(ngx_mqtt_worker_t *w);
u_char *ngx_mqtt_inbox_key(u_char *p, ngx_mqtt_worker_t *w,
    ngx_str_t *owner);


/* ngx_mqtt_inbox_send.c */

/* frames under way, for somebody who waits until all inboxes have them */

typedef struct {
    ngx_mqtt_worker_t        *worker;
    ngx_mqtt_op_t            *op;
    ngx_uint_t                pending;
    ngx_int_t                 rc;
} ngx_mqtt_push_t;

void ngx_mqtt_inbox_send_init(ngx_mqtt_worker_t *w);

/* the bytes of a frame, freed by the caller; NGX_ERROR: out of memory */
ngx_int_t ngx_mqtt_inbox_frame(ngx_mqtt_worker_t *w, ngx_uint_t type,
    ngx_str_t *parts, ngx_uint_t nparts, ngx_str_t *frame);

/*
 * Sends a frame, with flags of a command; push, or NULL, is told later, unless
 * it fails at once with NGX_ERROR.
 */
ngx_int_t ngx_mqtt_inbox_send(ngx_mqtt_worker_t *w,
    ngx_mqtt_member_t *member, ngx_str_t *frame, ngx_uint_t flags,
    ngx_mqtt_push_t *push);

/* 1: whoever can wait should, w->resume_event will be posted */
ngx_uint_t ngx_mqtt_inbox_full(ngx_mqtt_worker_t *w,
    ngx_mqtt_member_t *member);


/* ngx_mqtt_interest.c */

void ngx_mqtt_interest_init(ngx_mqtt_worker_t *w);
void ngx_mqtt_interest_free(ngx_mqtt_worker_t *w);
/* everything is told once more; what could not be told is */
void ngx_mqtt_interest_anew(ngx_mqtt_worker_t *w);
void ngx_mqtt_interest_tell(ngx_mqtt_worker_t *w);
/* every other node knows by now what was told some time ago */
void ngx_mqtt_interest_settle(ngx_mqtt_worker_t *w);


/* ngx_mqtt_nodes_publish.c */

void ngx_mqtt_nodes_publish_init(ngx_mqtt_worker_t *w);


#endif /* _NGX_MQTT_NODES_INT_H_INCLUDED_ */
