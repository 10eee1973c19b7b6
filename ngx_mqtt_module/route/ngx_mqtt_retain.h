
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Retained messages, 3.3.1.3: stored in Redis, looked up page by page.
 *
 * (1) The messages of one parent, the first level of their topics, are in one
 *     slot of Redis Cluster and change by one script.
 * (2) The list of parents is for filters that begin with a wildcard.  It is in
 *     another slot: a parent is listed before its first message is
 *     acknowledged, and stands there under a generation, so that taking an
 *     old one off never hides a new one.
 * (3) Nothing is scanned: a page costs Redis a bounded number of steps, and
 *     the next one is asked for when the subscriber has room.
 */


#ifndef _NGX_MQTT_RETAIN_H_INCLUDED_
#define _NGX_MQTT_RETAIN_H_INCLUDED_


#include "ngx_mqtt.h"
#include "ngx_mqtt_msg.h"


/* worker life: a timer that removes what has expired */

ngx_int_t ngx_mqtt_retain_start(ngx_mqtt_worker_t *w);
void ngx_mqtt_retain_stop(ngx_mqtt_worker_t *w);

/*
 * 1 while Redis is behind with too much: whoever can wait should, resume()
 * of the hooks is called then.
 */
ngx_uint_t ngx_mqtt_retain_busy(ngx_mqtt_worker_t *w);

/*
 * Stores m, or removes the message of its topic if the payload is empty.
 * The op, which may be NULL, completes when Redis has it, or with an error
 * and the reason of the refusal.  While Redis is away the write waits.
 */
void ngx_mqtt_retain_store(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_op_t *op);


/*
 * A look-up.  done() gets a page: "nmsgs" messages that have not expired.  The
 * caller unrefs them, moving "next", and then calls
 * ngx_mqtt_retain_page_free(); "finished" is set with the last page.  done()
 * is never called inside of ngx_mqtt_retain_next().  rc is NGX_OK or, with no
 * messages and "finished", NGX_ERROR when Redis did not answer.
 */

typedef struct ngx_mqtt_retain_lookup_s  ngx_mqtt_retain_lookup_t;

typedef void (*ngx_mqtt_retain_page_pt)(ngx_mqtt_retain_lookup_t *lookup,
    ngx_int_t rc);

struct ngx_mqtt_retain_lookup_s {
    ngx_mqtt_worker_t        *worker;
    ngx_mqtt_retain_page_pt   done;
    void                     *data;          /* the caller's */

    ngx_mqtt_msg_t          **msgs;
    ngx_uint_t                nmsgs;
    ngx_uint_t                next;          /* the caller's: those before it
                                                are done with */
    ngx_uint_t                size;          /* of the array */

    ngx_queue_t               ops;           /* the command under way */
    ngx_str_t                 filter;
    ngx_str_t                 parent;        /* data NULL: none yet */
    ngx_str_t                 generation;    /* it is listed under */
    ngx_str_t                 cursor;        /* inside of the parent */

    ngx_str_t                 list;          /* a page of the list */
    u_char                   *list_pos;

    unsigned                  walk:1;        /* over the parents */
    unsigned                  exact:1;
    unsigned                  list_end:1;    /* there are no more pages */
    unsigned                  begun:1;
    unsigned                  finished:1;
};


/* the filter is copied; NGX_ERROR: out of memory */
ngx_int_t ngx_mqtt_retain_lookup(ngx_mqtt_worker_t *w,
    ngx_mqtt_retain_lookup_t *lookup, ngx_str_t *filter);

/*
 * Asks for the next page; not while one is under way or when finished.
 * NGX_ERROR: out of memory, there will be none.
 */
ngx_int_t ngx_mqtt_retain_next(ngx_mqtt_retain_lookup_t *lookup);

void ngx_mqtt_retain_page_free(ngx_mqtt_retain_lookup_t *lookup);

/* at any time, also with messages left and a page under way */
void ngx_mqtt_retain_lookup_end(ngx_mqtt_retain_lookup_t *lookup);


#endif /* _NGX_MQTT_RETAIN_H_INCLUDED_ */
