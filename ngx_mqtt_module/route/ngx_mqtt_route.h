
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Who gets a message: the subscriptions of this worker, and the directory of
 * the filters that other workers of this node have.
 *
 * (1) A filter stands once in the worker, whatever the number of its
 *     subscriptions; it stands in the node's directory before the client is
 *     told that it exists.
 * (2) A subscriber gets one copy of a message, with the highest QoS of the
 *     matching subscriptions and all their identifiers (CONTRACT).
 * (3) A shared subscription, 4.8.2, gives a message to one of its members in
 *     the node, beside what that one gets for other subscriptions; see
 *     ngx_mqtt_share.c.
 * (4) A message that stands in logs (ngx_mqtt_log.h) comes with its numbers:
 *     a reader's copy says which of them it is.
 *
 * Called from: client/ (subscribe), gateway/ (publish), bus frames.
 */


#ifndef _NGX_MQTT_ROUTE_H_INCLUDED_
#define _NGX_MQTT_ROUTE_H_INCLUDED_


#include "ngx_mqtt.h"
#include "ngx_mqtt_msg.h"


typedef struct ngx_mqtt_filter_node_s  ngx_mqtt_filter_node_t;
typedef struct ngx_mqtt_share_s        ngx_mqtt_share_t;
typedef struct ngx_mqtt_trie_node_s    ngx_mqtt_trie_node_t;
typedef struct ngx_mqtt_sub_s          ngx_mqtt_sub_t;
typedef struct ngx_mqtt_reader_s       ngx_mqtt_reader_t;


/* levels of a filter with wildcards: matching recurses that deep */

#define NGX_MQTT_TRIE_DEPTH  1024


/* what of a client the routes know: embedded in it */

struct ngx_mqtt_subscriber_s {
    ngx_mqtt_sub_t           *subs;          /* linked by sub->next */
    ngx_uint_t                nsubs;
    uint64_t                  stamp;         /* of the message matched last */
    uint32_t                  delivery;      /* index in its deliveries */
    uint32_t                  stalled;       /* 1: a share may be for it */
};


struct ngx_mqtt_sub_s {
    ngx_queue_t               queue;         /* in its filter or share */
    ngx_mqtt_sub_t           *next;          /* of the same subscriber */
    ngx_mqtt_subscriber_t    *subscriber;
    ngx_mqtt_filter_node_t   *filter;
    ngx_mqtt_share_t         *share;         /* NULL: not shared */
    ngx_mqtt_reader_t        *reader;        /* of the filter's log, or NULL */
    uint32_t                  id;            /* 0: none */
    uint8_t                   options;       /* NGX_MQTT_SUB_... */
};


struct ngx_mqtt_filter_node_s {
    ngx_mqtt_hash_node_t      node;          /* in the exact table; the key is
                                                the filter also in the trie */
    ngx_queue_t               subs;
    ngx_mqtt_share_t         *shares;
    ngx_mqtt_trie_node_t     *trie;          /* NULL: exact */
};


/* the members that a shared subscription has in this worker */

struct ngx_mqtt_share_s {
    ngx_mqtt_hash_node_t      node;          /* key: the bytes of id */
    ngx_mqtt_share_t         *next;          /* of the same filter */
    ngx_queue_t               members;       /* the next one at the head */
    ngx_uint_t                nmembers;
    uint64_t                  id;            /* in all workers of the node */
    uint64_t                  serial;        /* of the search that found it */
    ngx_uint_t                full;          /* asked in vain, one after the
                                                other */
    ngx_uint_t                stalled;       /* 1: no member has room */
    ngx_str_t                 name;
};


/* the filters of one worker */

typedef struct {
    ngx_mqtt_hash_t           exact;
    ngx_mqtt_trie_node_t     *root;
    ngx_uint_t                nwildcards;
} ngx_mqtt_filters_t;


/* where a message stands in the logs of filters; 0: in this one it does not */

#define NGX_MQTT_LOG_UID     16

typedef struct {
    ngx_str_t                 filter;
    uint64_t                  number;
    uint64_t                  group;         /* 0: not the log of one */
} ngx_mqtt_log_position_t;

typedef struct {
    u_char                    uid[NGX_MQTT_LOG_UID];
    ngx_uint_t                n;
    ngx_mqtt_log_position_t   positions[];
} ngx_mqtt_logged_t;


/* the message of a log, for one reader */

typedef struct {
    ngx_mqtt_reader_t        *reader;
    uint64_t                  number;
} ngx_mqtt_log_ref_t;


/* identifiers of one copy; as many as a client may have subscriptions */

#define NGX_MQTT_ROUTE_IDS  1024


/* what a subscriber gets: hooks->deliver; valid only inside the call */

struct ngx_mqtt_copy_s {
    ngx_uint_t                qos;           /* min(message, granted) */
    ngx_uint_t                retain;        /* Retain As Published */
    uint32_t                 *ids;           /* of the subscriptions */
    ngx_uint_t                nids;
    ngx_mqtt_log_ref_t       *refs;
    ngx_uint_t                nrefs;
    ngx_uint_t                readers;       /* subscriptions that have one */
    u_char                   *uid;           /* NULL: in one log at most */
};


/* one subscriber's share in a message */

typedef struct {
    ngx_mqtt_subscriber_t    *subscriber;
    ngx_uint_t                qos;
    ngx_uint_t                retain;
    ngx_uint_t                ids;           /* the last one's index + 1 */
    ngx_uint_t                refs;          /* the same */
    ngx_uint_t                readers;
} ngx_mqtt_delivery_t;


/* worker life */

ngx_int_t ngx_mqtt_route_start(ngx_mqtt_worker_t *w);
void ngx_mqtt_route_stop(ngx_mqtt_worker_t *w);


/*
 * The filter is valid and without its "$share/name/" prefix; share is empty
 * for an ordinary one.  A subscription of the same filter and share is
 * replaced, and *existed set.  NULL when out of memory, also of the zone.
 */

ngx_mqtt_sub_t *ngx_mqtt_route_subscribe(ngx_mqtt_worker_t *w,
    ngx_mqtt_subscriber_t *subscriber, ngx_str_t *filter, ngx_str_t *share,
    ngx_uint_t options, uint32_t id, ngx_uint_t *existed);

/* NGX_DECLINED: there is no such subscription */
ngx_int_t ngx_mqtt_route_unsubscribe(ngx_mqtt_worker_t *w,
    ngx_mqtt_subscriber_t *subscriber, ngx_str_t *filter, ngx_str_t *share);

/* NULL: there is no such subscription */
ngx_mqtt_sub_t *ngx_mqtt_route_find(ngx_mqtt_subscriber_t *subscriber,
    ngx_str_t *filter, ngx_str_t *share);

/* the client leaves */
void ngx_mqtt_route_unsubscribe_all(ngx_mqtt_worker_t *w,
    ngx_mqtt_subscriber_t *subscriber);


/* ngx_mqtt_trie.c: the filters of a worker; NULL when out of memory */

ngx_mqtt_filter_node_t *ngx_mqtt_filters_find(ngx_mqtt_filters_t *filters,
    ngx_str_t *filter);
ngx_mqtt_filter_node_t *ngx_mqtt_filters_add(ngx_mqtt_worker_t *w,
    ngx_mqtt_filters_t *filters, ngx_str_t *filter);
void ngx_mqtt_filters_remove(ngx_mqtt_worker_t *w,
    ngx_mqtt_filters_t *filters, ngx_mqtt_filter_node_t *node);
void ngx_mqtt_filters_match(ngx_mqtt_filters_t *filters, ngx_str_t *topic,
    void (*matched)(void *data, ngx_mqtt_filter_node_t *node), void *data);
void ngx_mqtt_filters_each(ngx_mqtt_worker_t *w, ngx_mqtt_filters_t *filters,
    void (*each)(ngx_mqtt_worker_t *w, ngx_mqtt_filter_node_t *node,
    void *data), void *data);

/* takes all filters with wildcards out; free() is for those that are empty */
void ngx_mqtt_filters_clear(ngx_mqtt_worker_t *w,
    ngx_mqtt_filters_t *filters);
void ngx_mqtt_filters_free(ngx_mqtt_worker_t *w, ngx_mqtt_filters_t *filters);


/*
 * ngx_mqtt_directory.c: filters of all workers of the node, in the zone.
 *
 * A worker adds a filter when its first ordinary subscription appears and
 * removes it with the last, and tells the number of its members in a group
 * when it changes; NGX_ERROR when the zone is full, nothing has changed then.
 * A worker whose members of a group are all stalled says so.
 *
 * find() sets in "workers" the slots, other than our own, that have a filter
 * that matches, and returns 1 when there is one; into "groups" come all groups
 * that match, unless nobody else has a filter that might.  A slot may be found
 * without need: its worker has just died, or adds its filters again after
 * somebody was killed in the middle of a change; then "each" is called and has
 * to call "add" for all of them, with the group, or 0 for an ordinary one.
 */

#define NGX_MQTT_WORKERS_WORDS  (NGX_MQTT_ZONE_SLOTS / 64)

typedef struct {
    uint64_t                  bits[NGX_MQTT_WORKERS_WORDS];
    uint64_t                  groups;        /* 0: there are none; otherwise
                                                groups->serial */
} ngx_mqtt_workers_t;

typedef struct ngx_mqtt_groups_s  ngx_mqtt_groups_t;

typedef void (*ngx_mqtt_directory_add_pt)(ngx_mqtt_worker_t *w,
    ngx_str_t *filter, uint64_t group, ngx_uint_t members);
typedef void (*ngx_mqtt_directory_each_pt)(ngx_mqtt_worker_t *w,
    ngx_mqtt_directory_add_pt add);

ngx_int_t ngx_mqtt_directory_start(ngx_mqtt_worker_t *w);
void ngx_mqtt_directory_stop(ngx_mqtt_worker_t *w);
void ngx_mqtt_directory_on_rebuild(ngx_mqtt_worker_t *w,
    ngx_mqtt_directory_each_pt each);
ngx_int_t ngx_mqtt_directory_add(ngx_mqtt_worker_t *w, ngx_str_t *filter);
void ngx_mqtt_directory_remove(ngx_mqtt_worker_t *w, ngx_str_t *filter);
ngx_int_t ngx_mqtt_directory_share(ngx_mqtt_worker_t *w, ngx_str_t *filter,
    uint64_t group, ngx_uint_t members);
void ngx_mqtt_directory_stall(ngx_mqtt_worker_t *w, ngx_str_t *filter,
    uint64_t group, ngx_uint_t stalled);
ngx_uint_t ngx_mqtt_directory_find(ngx_mqtt_worker_t *w, ngx_str_t *topic,
    ngx_mqtt_workers_t *workers, ngx_mqtt_groups_t *groups);

/* a worker is dead: also ngx_mqtt_zone_bury(), if nobody has done it yet */
void ngx_mqtt_directory_bury(ngx_mqtt_worker_t *w, ngx_uint_t slot,
    uint64_t generation);


/*
 * A message to the subscribers of this node, in two steps.  prepare() finds
 * the other workers that have subscribers and returns NGX_BUSY when one of
 * them can take no more.  publish() delivers: NGX_OK when a subscription
 * matched, also in another worker, NGX_DECLINED when none did.  "exclude" is
 * the subscriber whose No Local subscriptions do not count, or NULL; "logged"
 * is NULL for a message that is in no log.
 */

ngx_int_t ngx_mqtt_route_prepare(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_workers_t *workers);
ngx_int_t ngx_mqtt_route_publish(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_workers_t *workers, ngx_mqtt_subscriber_t *exclude,
    ngx_mqtt_logged_t *logged);

/*
 * A message that was read from a log, to this one reader: delivered as if it
 * had just come.  "own" is set when the subscriber has published it.
 */
void ngx_mqtt_route_replay(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_subscriber_t *subscriber, ngx_uint_t own,
    ngx_mqtt_log_ref_t *ref, u_char *uid);


/*
 * ngx_mqtt_share.c.  A QoS 1 or 2 message that a member of a shared
 * subscription has got through hooks->deliver_shared() comes back once: it is
 * done(), because it needs no other member anymore, or given up with again(),
 * and another member gets it at the end of the turn.
 */

void ngx_mqtt_share_done(ngx_mqtt_shared_t *sd);
void ngx_mqtt_share_again(ngx_mqtt_shared_t *sd);

/* 1: the subscriber is the only member of the group that it was for */
ngx_uint_t ngx_mqtt_share_alone(ngx_mqtt_shared_t *sd,
    ngx_mqtt_subscriber_t *subscriber);

/* the subscriber has room again; needed only while it is "stalled" */
void ngx_mqtt_share_ready(ngx_mqtt_worker_t *w,
    ngx_mqtt_subscriber_t *subscriber);

/* the shared subscription that it was for, and the id of one */
uint64_t ngx_mqtt_share_of(ngx_mqtt_shared_t *sd);
uint64_t ngx_mqtt_share_id(ngx_mqtt_worker_t *w, ngx_str_t *filter,
    ngx_str_t *name);

/*
 * 1 while one of the workers, or this one, has a client that is to be waited
 * for, or has not read what it was sent; "workers" may be NULL: any of the
 * node.  For whoever can wait, and asks again after a moment.
 */
ngx_uint_t ngx_mqtt_route_behind(ngx_mqtt_worker_t *w,
    ngx_mqtt_workers_t *workers);

/*
 * Behind publish(), for whoever has to know that the message survives this
 * process: an op of step(), which may be NULL, completes for each of the
 * workers when it will have the message, or is gone.
 */
void ngx_mqtt_route_sent(ngx_mqtt_worker_t *w, ngx_mqtt_workers_t *workers,
    ngx_mqtt_op_t *(*step)(void *data), void *data);


#endif /* _NGX_MQTT_ROUTE_H_INCLUDED_ */
