
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Frames into the inboxes of workers of other nodes, through the ordinary
 * connection: in the order in which they were sent.
 *
 * (1) An inbox of NGX_MQTT_INBOX_FULL frames is full for those who can wait;
 *     it is looked at until half of that is left.
 * (2) One of twice that loses its oldest frames, which is counted.  Its reader
 *     is dead, and not known to be, or other nodes do not wait.
 *
 * Called from: ngx_mqtt_nodes_publish.c, the bus, Redis replies.
 */


#include "ngx_mqtt_nodes_int.h"


#define NGX_MQTT_INBOX_FULL    10000
#define NGX_MQTT_INBOX_MAX     "20000"
#define NGX_MQTT_INBOX_EXPIRE  "300"            /* seconds */
#define NGX_MQTT_INBOX_LOOK    20               /* ms */


static ngx_int_t ngx_mqtt_inbox_bus_send(ngx_mqtt_worker_t *w,
    ngx_mqtt_peer_t *peer, ngx_uint_t type, ngx_str_t *parts,
    ngx_uint_t nparts);
static void ngx_mqtt_inbox_sent(ngx_mqtt_op_t *op);
static void ngx_mqtt_inbox_pushed(ngx_mqtt_push_t *push, ngx_int_t rc);
static void ngx_mqtt_inbox_look(ngx_event_t *ev);
static void ngx_mqtt_inbox_looked(ngx_mqtt_op_t *op);


void
ngx_mqtt_inbox_send_init(ngx_mqtt_worker_t *w)
{
    ngx_mqtt_nodes_event(w, &w->nodes->room_event, ngx_mqtt_inbox_look);
    ngx_mqtt_bus_on_remote(w->bus, ngx_mqtt_inbox_bus_send);
}


/* frames of the bus: nobody waits for them, and they wait for nobody */

static ngx_int_t
ngx_mqtt_inbox_bus_send(ngx_mqtt_worker_t *w, ngx_mqtt_peer_t *peer,
    ngx_uint_t type, ngx_str_t *parts, ngx_uint_t nparts)
{
    ngx_int_t           rc;
    ngx_str_t           frame;
    ngx_mqtt_member_t  *member;

    if (w->nodes == NULL) {
        return NGX_DECLINED;
    }

    member = ngx_mqtt_nodes_member(w, peer);

    if (member == NULL
        || ngx_mqtt_inbox_frame(w, type, parts, nparts, &frame) != NGX_OK)
    {
        return NGX_ERROR;
    }

    rc = ngx_mqtt_inbox_send(w, member, &frame, 0, NULL);

    ngx_mqtt_free(w, frame.data, frame.len);

    if (rc != NGX_OK) {
        return NGX_ERROR;
    }

    return member->present ? NGX_OK : NGX_DECLINED;
}


ngx_int_t
ngx_mqtt_inbox_frame(ngx_mqtt_worker_t *w, ngx_uint_t type, ngx_str_t *parts,
    ngx_uint_t nparts, ngx_str_t *frame)
{
    u_char      *p;
    ngx_uint_t   i;

    frame->len = NGX_MQTT_INBOX_HEAD;

    for (i = 0; i < nparts; i++) {
        frame->len += parts[i].len;
    }

    p = ngx_mqtt_alloc(w, frame->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    frame->data = p;

    p = ngx_mqtt_frame_write_u64(p, ++w->nodes->sent);
    p = ngx_mqtt_frame_write_u64(p, ngx_mqtt_zone(w->gateway)->node_id);
    p = ngx_mqtt_frame_write_u64(p, w->slot_index);
    p = ngx_mqtt_frame_write_u64(p, w->generation);
    *p++ = (u_char) type;

    for (i = 0; i < nparts; i++) {

        if (parts[i].len) {
            p = ngx_cpymem(p, parts[i].data, parts[i].len);
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_mqtt_inbox_send(ngx_mqtt_worker_t *w, ngx_mqtt_member_t *member,
    ngx_str_t *frame, ngx_uint_t flags, ngx_mqtt_push_t *push)
{
    ngx_str_t       argv[5];
    ngx_mqtt_op_t  *op;

    op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_inbox_sent, member);

    if (op == NULL) {
        ngx_mqtt_count(w, NGX_MQTT_STAT_inbox_dropped);
        return NGX_ERROR;
    }

    op->ctx = push;

    if (push) {
        push->pending++;
    }

    member->refs++;
    member->used = ngx_time();

    argv[0] = member->inbox;
    ngx_str_set(&argv[1], NGX_MQTT_INBOX_MAX);
    ngx_str_set(&argv[2], NGX_MQTT_INBOX_EXPIRE);
    argv[3] = *frame;
    ngx_str_set(&argv[4], "0");

    ngx_mqtt_redis_script(w->redis, NGX_MQTT_LUA_INBOX_ADD, 1, 5, argv,
                          flags|NGX_MQTT_REDIS_MARK, op);

    return NGX_OK;
}


/* { length, dropped } */

static void
ngx_mqtt_inbox_sent(ngx_mqtt_op_t *op)
{
    ngx_mqtt_push_t         *push;
    ngx_mqtt_member_t       *member;
    ngx_mqtt_worker_t       *w;
    ngx_mqtt_redis_reply_t  *reply;

    w = op->worker;
    member = op->data;
    push = op->ctx;
    reply = op->result;

    if (op->rc == NGX_OK
        && reply->type == NGX_MQTT_REDIS_ARRAY && reply->nelts == 2)
    {
        ngx_mqtt_count(w, NGX_MQTT_STAT_inbox_frames_out);

        if (member->present) {
            member->length = (ngx_uint_t) reply->elts[0]->integer;
        }

        if (reply->elts[1]->integer > 0) {
            ngx_mqtt_count_add(w, NGX_MQTT_STAT_inbox_dropped,
                               (ngx_uint_t) reply->elts[1]->integer);
        }

    } else {
        ngx_mqtt_count(w, NGX_MQTT_STAT_inbox_dropped);
    }

    ngx_mqtt_member_unref(member);

    if (push) {
        ngx_mqtt_inbox_pushed(push, op->rc);
    }
}


static void
ngx_mqtt_inbox_pushed(ngx_mqtt_push_t *push, ngx_int_t rc)
{
    if (push->rc == NGX_OK) {
        push->rc = rc;
    }

    if (--push->pending) {
        return;
    }

    ngx_mqtt_op_complete(push->op, push->rc,
                         (push->rc == NGX_OK) ? NGX_MQTT_SUCCESS
                                              : NGX_MQTT_UNSPECIFIED_ERROR,
                         NULL);

    ngx_mqtt_free(push->worker, push, sizeof(ngx_mqtt_push_t));
}


ngx_uint_t
ngx_mqtt_inbox_full(ngx_mqtt_worker_t *w, ngx_mqtt_member_t *member)
{
    if (member->length < NGX_MQTT_INBOX_FULL) {
        return 0;
    }

    if (!w->nodes->room_event.timer_set) {
        ngx_add_timer(&w->nodes->room_event, NGX_MQTT_INBOX_LOOK);
    }

    return 1;
}


static void
ngx_mqtt_inbox_look(ngx_event_t *ev)
{
    ngx_str_t           argv[2];
    ngx_uint_t          full;
    ngx_queue_t        *q;
    ngx_mqtt_op_t      *op;
    ngx_mqtt_nodes_t   *nodes;
    ngx_mqtt_member_t  *member;
    ngx_mqtt_worker_t  *w;

    w = ngx_mqtt_event_worker(ev);
    nodes = w->nodes;
    full = 0;

    for (q = ngx_queue_head(&nodes->list);
         q != ngx_queue_sentinel(&nodes->list);
         q = ngx_queue_next(q))
    {
        member = ngx_queue_data(q, ngx_mqtt_member_t, queue);

        if (member->length < NGX_MQTT_INBOX_FULL) {
            continue;
        }

        op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_inbox_looked, member);

        if (op == NULL) {
            break;
        }

        full = 1;
        member->refs++;

        ngx_str_set(&argv[0], "XLEN");
        argv[1] = member->inbox;

        ngx_mqtt_redis_command(w->redis, 2, argv,
                               NGX_MQTT_REDIS_WAIT|NGX_MQTT_REDIS_READ, op);
    }

    /* one that is gone is not full */

    if (!full) {
        ngx_post_event(&w->resume_event, &ngx_posted_events);
    }
}


static void
ngx_mqtt_inbox_looked(ngx_mqtt_op_t *op)
{
    ngx_mqtt_member_t       *member;
    ngx_mqtt_worker_t       *w;
    ngx_mqtt_redis_reply_t  *reply;

    w = op->worker;
    member = op->data;
    reply = op->result;

    if (op->rc == NGX_OK && reply->type == NGX_MQTT_REDIS_INTEGER
        && reply->integer <= NGX_MQTT_INBOX_FULL / 2)
    {
        member->length = (ngx_uint_t) reply->integer;

        ngx_post_event(&w->resume_event, &ngx_posted_events);

    } else if (op->rc != NGX_ERROR) {

        /* of one that is gone the length is 0 */

        (void) ngx_mqtt_inbox_full(w, member);
    }

    ngx_mqtt_member_unref(member);
}
