
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * A session that outlives its connection, 4.1: what the client keeps in Redis.
 *
 * (1) The subscriptions are fields of the session, written before SUBACK.  One
 *     of QoS 1 or 2 is a reader of its filter's log (ngx_mqtt_log.h).
 * (2) A reader takes numbers in order, each once: "read" is the last one, from
 *     a push that comes next to it or from a page of the log.  While it knows
 *     of more ("end"), or has no room, pushes only move "end".
 * (3) Its cursor in Redis follows behind: all up to it are acknowledged.  It
 *     and the state are written within NGX_MQTT_SESSION_DELAY, and when the
 *     connection ends.  What is lost of them makes messages come twice, with
 *     QoS 1, and never skips one.
 * (4) QoS 2 is exact: a packet id stands in the saved state before PUBLISH,
 *     PUBREC, PUBREL or PUBCOMP of it is sent.
 * (5) A message that is in several logs of the session is taken once, from
 *     where it comes first; its uid is remembered for the others.  It is in
 *     flight in all of them that have brought it, so none brings it again.
 *
 * Called from: the packet handlers, routes, Redis replies.
 */


#ifndef _NGX_MQTT_CLIENT_SESSION_H_INCLUDED_
#define _NGX_MQTT_CLIENT_SESSION_H_INCLUDED_


#include "ngx_mqtt_client.h"
#include "ngx_mqtt_log.h"
#include "ngx_mqtt_session.h"


#define NGX_MQTT_SESSION_DELAY  1000    /* ms */

/* the inbox among the readers, and how much of it is acknowledged at a time */

#define NGX_MQTT_SESSION_INBOX       0
#define NGX_MQTT_SESSION_INBOX_DONE  256

/* uids that are remembered at most */

#define NGX_MQTT_SESSION_SEEN   1024


/* a subscription that reads a log; freed with it */

struct ngx_mqtt_reader_s {
    ngx_queue_t               queue;        /* in session->readers */
    ngx_mqtt_client_t        *client;
    ngx_mqtt_sub_t           *sub;          /* NULL: it reads the inbox */
    ngx_mqtt_op_t            *op;           /* attaching, or a page */

    uint64_t                  read;
    uint64_t                  end;
    uint64_t                  pushed;       /* since the page was asked for */
    uint64_t                  cursor;       /* as it is in Redis */
    uint64_t                  done;         /* in the state, when saving */
    uint64_t                  doubt;        /* up to it all may be known */
    uint32_t                  number;       /* of the subscription */
    uint32_t                  npulled;      /* in session->page */
    unsigned                  attached:1;
    unsigned                  strange:1;    /* it was none when attaching */
};


/* a number that is acknowledged, or sent, before lower ones are */

typedef struct {
    uint64_t                  number;
    uint32_t                  reader;       /* its number */
    uint16_t                  packet_id;
    uint8_t                   qos;
} ngx_mqtt_session_mark_t;

typedef struct {
    ngx_mqtt_session_mark_t  *marks;
    uint32_t                  n;
    uint32_t                  size;
} ngx_mqtt_session_marks_t;


typedef struct {
    u_char                    uid[NGX_MQTT_LOG_UID];
    uint32_t                  left;         /* logs in which it is expected */
} ngx_mqtt_session_seen_t;


struct ngx_mqtt_client_session_s {
    ngx_mqtt_client_t        *client;

    ngx_queue_t               unsaved_queue;    /* in w->unsaved */
    ngx_queue_t               saving_queue;     /* in w->saving */

    ngx_queue_t               readers;
    ngx_mqtt_reader_t        *inbox;        /* one of them, or NULL */

    /* ngx_mqtt_client_save.c */

    uint64_t                  asked;        /* the last save that is wanted */
    uint64_t                  sent;         /* ... that Redis was sent */
    uint64_t                  saved;        /* ... that Redis has */
    ngx_queue_t               then;         /* what waits for a save */
    ngx_mqtt_op_t            *save_op;
    ngx_mqtt_session_marks_t  done;         /* acknowledged out of order */
    ngx_mqtt_session_marks_t  resumed;      /* sent on another connection */

    /* ngx_mqtt_client_settle.c */

    uint64_t                 *settled;      /* epochs of earlier connections
                                               whose fields are to go */

    /* ngx_mqtt_client_pull.c */

    ngx_queue_t               page;         /* read, not delivered yet */
    ngx_mqtt_session_seen_t  *seen;

    /* SUBSCRIBE or CONNECT that waits */

    void                     *answer;       /* ngx_mqtt_session_answer_t */
    uint32_t                  pending;
    uint32_t                  pulling;      /* pages under way */
    uint32_t                  nseen;
    uint32_t                  last_number;  /* of a subscription */
    uint32_t                  nsettled;

    unsigned                  unsaved:1;
    unsigned                  saving:1;
    unsigned                  acking:1;     /* the next save moves cursors */
    unsigned                  restored:1;   /* all of it is here */
    unsigned                  ready:1;      /* CONNACK was sent */
    unsigned                  replaying:1;
    unsigned                  again:1;      /* ... what was sent before */
    unsigned                  taken:1;      /* what was sent is not known */
};


/* ngx_mqtt_client_session.c */

/*
 * CONNECT was claimed: makes the session, and what is left of it if it is
 * resumed.  NGX_OK: CONNACK may follow; NGX_AGAIN: it is sent by
 * ngx_mqtt_connect_restored(); NGX_ERROR.
 */
ngx_int_t ngx_mqtt_client_session_start(ngx_mqtt_client_t *mc,
    ngx_mqtt_session_claimed_t *claimed);

/* CONNACK was sent */
void ngx_mqtt_client_session_ready(ngx_mqtt_client_t *mc);

/* the connection ends, before the session is released */
void ngx_mqtt_client_session_leave(ngx_mqtt_client_t *mc);
void ngx_mqtt_client_session_free(ngx_mqtt_client_t *mc);

/*
 * A subscription was made, changed or is about to be removed.  What it takes
 * is counted in session->pending; when ngx_mqtt_client_session_answer() is
 * told what to send, it is sent after all of that.
 */
ngx_int_t ngx_mqtt_client_session_subscribe(ngx_mqtt_client_t *mc,
    ngx_mqtt_sub_t *sub, ngx_str_t *share);
ngx_int_t ngx_mqtt_client_session_unsubscribe(ngx_mqtt_client_t *mc,
    ngx_mqtt_sub_t *sub, ngx_str_t *share);

/* NGX_OK: nothing is pending; NGX_AGAIN: it will be sent; the codes are
   copied */
ngx_int_t ngx_mqtt_client_session_answer(ngx_mqtt_client_t *mc,
    ngx_uint_t type, ngx_mqtt_suback_t *ack);

/* what was to be written was not: claimed by somebody else, or lost */
void ngx_mqtt_client_session_lost(ngx_mqtt_client_t *mc, ngx_mqtt_op_t *op);

ngx_mqtt_reader_t *ngx_mqtt_client_session_reader(
    ngx_mqtt_client_session_t *ss, uint32_t number);

/* forgets which messages were sent, of those that are acknowledged by now */
ngx_int_t ngx_mqtt_client_session_prune(ngx_mqtt_client_t *mc);


/*
 * ngx_mqtt_client_attach.c: the session becomes a reader of the log, for a
 * subscription whose field was written before; the op is one of the client's.
 */
void ngx_mqtt_client_attach(ngx_mqtt_client_t *mc, ngx_str_t *log,
    ngx_mqtt_op_t *op);


/* ngx_mqtt_client_save.c */

/* number of the save that will have the state as it is now */
uint64_t ngx_mqtt_client_save(ngx_mqtt_client_t *mc);

/*
 * Sends a packet when the state as it is now is saved: at once for a clean
 * session.  PUBREC is sent through its slot.
 */
ngx_int_t ngx_mqtt_client_save_then(ngx_mqtt_client_t *mc, ngx_uint_t type,
    uint16_t packet_id, ngx_mqtt_ack_slot_t *slot, ngx_uint_t code);

/* the state has changed, it is enough to save it soon */
void ngx_mqtt_client_save_later(ngx_mqtt_client_t *mc);

/* the saves that this turn wants: from the flush event */
void ngx_mqtt_client_save_handler(ngx_mqtt_worker_t *w);

/* cursors and state, now; without state when the session is not ours */
void ngx_mqtt_client_save_now(ngx_mqtt_client_t *mc, ngx_uint_t state);

void ngx_mqtt_client_save_free(ngx_mqtt_client_t *mc);

/* a message was acknowledged, or will never be sent */
void ngx_mqtt_client_session_settled(ngx_mqtt_client_t *mc,
    ngx_mqtt_outbound_t *ob);

/* ... in one log, lower numbers of which may not be */
ngx_int_t ngx_mqtt_client_session_done(ngx_mqtt_client_t *mc,
    ngx_mqtt_log_ref_t *ref);


/*
 * ngx_mqtt_client_settle.c: QoS 2 publishes in flight when a connection ends.
 *
 * restore() takes what is known of those of earlier connections; fields() are
 * those that are to be written with the state, "open" for the last time and
 * publishes are in flight: at most NGX_MQTT_SETTLE_FIELDS, with their names in
 * "names".
 */

#define NGX_MQTT_SETTLE_FIELDS  32

/* so many of earlier connections do not wait for the next save */

#define NGX_MQTT_SETTLE_SAVE    4

typedef u_char ngx_mqtt_settle_names_t[NGX_MQTT_SETTLE_FIELDS]
                                      [NGX_MQTT_SESSION_SETTLE];

ngx_int_t ngx_mqtt_client_settle_restore(ngx_mqtt_client_t *mc,
    ngx_mqtt_session_claimed_t *claimed);
ngx_uint_t ngx_mqtt_client_settle_fields(ngx_mqtt_client_t *mc,
    ngx_uint_t open, ngx_keyval_t *fields, ngx_mqtt_settle_names_t names);

/* the connection is gone, its last state is written */
void ngx_mqtt_client_settle(ngx_mqtt_client_t *mc);
void ngx_mqtt_client_settle_free(ngx_mqtt_client_t *mc);


/* ngx_mqtt_client_state.c: the saved state as bytes */

ngx_int_t ngx_mqtt_client_state_write(ngx_mqtt_client_t *mc,
    ngx_str_t *state);
ngx_int_t ngx_mqtt_client_state_read(ngx_mqtt_client_t *mc,
    ngx_str_t *state);

/* a QoS 2 message after PUBREC: PUBREL is sent when the session is ready */
ngx_int_t ngx_mqtt_client_state_released(ngx_mqtt_client_t *mc,
    uint16_t packet_id);

ngx_int_t ngx_mqtt_session_mark_add(ngx_mqtt_worker_t *w,
    ngx_mqtt_session_marks_t *set, ngx_mqtt_session_mark_t *mark);
ngx_mqtt_session_mark_t *ngx_mqtt_session_mark_find(
    ngx_mqtt_session_marks_t *set, uint32_t reader, uint64_t number);
void ngx_mqtt_session_mark_remove(ngx_mqtt_session_marks_t *set,
    ngx_mqtt_session_mark_t *mark);


/* ngx_mqtt_client_pull.c */

/*
 * A message that stands in logs: NGX_DECLINED when it is not taken, now or
 * ever.  copy->refs is left with those that are.
 */
ngx_int_t ngx_mqtt_client_session_take(ngx_mqtt_client_t *mc,
    ngx_mqtt_msg_t *m, ngx_mqtt_copy_t *copy);

/* reads on, if there is something and room for it */
void ngx_mqtt_client_session_pull(ngx_mqtt_client_t *mc);

/* the reader goes: what it has read is nothing any more */
void ngx_mqtt_client_session_forget(ngx_mqtt_client_t *mc,
    ngx_mqtt_reader_t *reader);

/* gives a message that was sent on another connection its packet id */
void ngx_mqtt_client_session_resumed(ngx_mqtt_client_t *mc,
    ngx_mqtt_outbound_t *ob);

ngx_uint_t ngx_mqtt_client_session_has_id(ngx_mqtt_client_t *mc,
    uint16_t packet_id);

/* the message with this uid, which is in several logs; NULL: not in "queue" */
ngx_mqtt_outbound_t *ngx_mqtt_client_session_outbound(ngx_queue_t *queue,
    u_char *uid);

ngx_int_t ngx_mqtt_session_seen_add(ngx_mqtt_worker_t *w,
    ngx_mqtt_client_session_t *ss, u_char *uid, ngx_uint_t left);

void ngx_mqtt_client_pull_free(ngx_mqtt_client_t *mc);


/* ngx_mqtt_client_inbox.c */

/* the field "n" of a claimed session; start(): its state has been read, too */
ngx_int_t ngx_mqtt_client_inbox_restore(ngx_mqtt_client_t *mc,
    ngx_str_t *value);
ngx_int_t ngx_mqtt_client_inbox_start(ngx_mqtt_client_t *mc);

/* a message of the inbox, pushed or from a page */
void ngx_mqtt_client_inbox_deliver(ngx_mqtt_reader_t *reader,
    ngx_mqtt_msg_t *m, uint64_t number);

/* moves the reader to the beginning of a page */
void ngx_mqtt_client_inbox_page(ngx_mqtt_reader_t *reader,
    ngx_mqtt_log_page_t *page);

/* 1: much of it was read and not dropped yet */
ngx_uint_t ngx_mqtt_client_inbox_is_long(ngx_mqtt_client_t *mc);


#endif /* _NGX_MQTT_CLIENT_SESSION_H_INCLUDED_ */
