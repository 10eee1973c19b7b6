
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The inbox of a worker: a stream in Redis, "{w:<owner>}i", into which workers
 * of other nodes write frames.
 *
 *     XREAD BLOCK -> a page of frames -> their handlers -> XDEL, XREAD ...
 *
 * (1) Reading has a connection of its own, as it blocks.  A connection that
 *     was lost loses nothing: the next one goes on behind the last frame.
 * (2) A page is about NGX_MQTT_INBOX_BYTES: as many frames are asked for as
 *     would have been that much the last time.
 * (3) A frame that its sender has sent again, because the reply was lost, is
 *     marked, and is dropped when it was there already.
 * (4) An inbox that nobody reads any more expires.
 *
 * A frame: its number u64, node u64, slot u64 and generation u64 of the
 * sender, type u8, body.
 *
 * Called from: ngx_mqtt_nodes.c (life), Redis replies.
 */


#include "ngx_mqtt_nodes_int.h"


#define NGX_MQTT_INBOX_PAGE    256              /* frames */
#define NGX_MQTT_INBOX_BYTES   (1024 * 1024)
#define NGX_MQTT_INBOX_FIRST   16
#define NGX_MQTT_INBOX_RETRY   1000             /* ms */
#define NGX_MQTT_INBOX_WARN    60               /* seconds */


static void ngx_mqtt_inbox_read(ngx_mqtt_worker_t *w);
static void ngx_mqtt_inbox_replied(ngx_mqtt_op_t *op);
static void ngx_mqtt_inbox_page(ngx_mqtt_worker_t *w,
    ngx_mqtt_redis_reply_t *reply);
static size_t ngx_mqtt_inbox_entry(ngx_mqtt_worker_t *w,
    ngx_mqtt_redis_reply_t *entry);
static void ngx_mqtt_inbox_take(ngx_mqtt_worker_t *w, ngx_str_t *frame,
    ngx_uint_t repeated);
static void ngx_mqtt_inbox_retry(ngx_event_t *ev);


ngx_int_t
ngx_mqtt_inbox_start(ngx_mqtt_worker_t *w)
{
    ngx_mqtt_nodes_t  *nodes;

    nodes = w->nodes;

    nodes->inbox.data = ngx_pnalloc(w->cycle->pool,
                                    ngx_mqtt_inbox_key_len(w));
    if (nodes->inbox.data == NULL) {
        return NGX_ERROR;
    }

    nodes->inbox.len = ngx_mqtt_inbox_key(nodes->inbox.data, w, &nodes->owner)
                       - nodes->inbox.data;

    nodes->redis = ngx_mqtt_redis_open(w);
    if (nodes->redis == NULL) {
        return NGX_ERROR;
    }

    ngx_mqtt_nodes_event(w, &nodes->read_event, ngx_mqtt_inbox_retry);

    nodes->page = NGX_MQTT_INBOX_FIRST;

    ngx_mqtt_inbox_rewind(w);
    ngx_mqtt_inbox_read(w);

    return NGX_OK;
}


void
ngx_mqtt_inbox_rewind(ngx_mqtt_worker_t *w)
{
    w->nodes->last[0] = '0';
    w->nodes->last_len = 1;
}


size_t
ngx_mqtt_inbox_key_len(ngx_mqtt_worker_t *w)
{
    return w->gateway->redis_prefix.len + sizeof("{w:}i") - 1
           + NGX_MQTT_PEER_NAME;
}


u_char *
ngx_mqtt_inbox_key(u_char *p, ngx_mqtt_worker_t *w, ngx_str_t *owner)
{
    return ngx_sprintf(p, "%V{w:%V}i", &w->gateway->redis_prefix, owner);
}


/*
 * What is counted goes with the clients: the command that always waits here is
 * not.
 */

static void
ngx_mqtt_inbox_read(ngx_mqtt_worker_t *w)
{
    u_char             count[NGX_INT_T_LEN], block[NGX_INT_T_LEN];
    ngx_str_t          argv[8];
    ngx_atomic_t       objects, bytes;
    ngx_mqtt_op_t     *op;
    ngx_mqtt_nodes_t  *nodes;

    nodes = w->nodes;

    objects = w->counters[NGX_MQTT_STAT_alloc_objects];
    bytes = w->counters[NGX_MQTT_STAT_alloc_bytes];

    op = ngx_mqtt_op_get(w, NULL, ngx_mqtt_inbox_replied, w);

    if (op == NULL) {
        ngx_add_timer(&nodes->read_event, NGX_MQTT_INBOX_RETRY);
        return;
    }

    ngx_str_set(&argv[0], "XREAD");
    ngx_str_set(&argv[1], "COUNT");
    argv[2].data = count;
    argv[2].len = ngx_sprintf(count, "%ui", nodes->page) - count;
    ngx_str_set(&argv[3], "BLOCK");
    argv[4].data = block;
    argv[4].len = ngx_sprintf(block, "%M",
                              ngx_mqtt_redis_block(nodes->redis))
                  - block;
    ngx_str_set(&argv[5], "STREAMS");
    argv[6] = nodes->inbox;
    argv[7].data = nodes->last;
    argv[7].len = nodes->last_len;

    ngx_mqtt_redis_command(nodes->redis, 8, argv,
                           NGX_MQTT_REDIS_WAIT|NGX_MQTT_REDIS_READ, op);

    nodes->objects = w->counters[NGX_MQTT_STAT_alloc_objects] - objects;
    nodes->bytes = w->counters[NGX_MQTT_STAT_alloc_bytes] - bytes;

    w->counters[NGX_MQTT_STAT_alloc_objects] = objects;
    w->counters[NGX_MQTT_STAT_alloc_bytes] = bytes;
}


static void
ngx_mqtt_inbox_replied(ngx_mqtt_op_t *op)
{
    ngx_mqtt_nodes_t        *nodes;
    ngx_mqtt_worker_t       *w;
    ngx_mqtt_redis_reply_t  *reply;

    w = op->worker;
    nodes = w->nodes;
    reply = op->result;

    ngx_mqtt_count_add(w, NGX_MQTT_STAT_alloc_objects, nodes->objects);
    ngx_mqtt_count_add(w, NGX_MQTT_STAT_alloc_bytes, nodes->bytes);

    if (op->rc != NGX_OK) {

        if (reply && ngx_time() - nodes->warned >= NGX_MQTT_INBOX_WARN) {
            nodes->warned = ngx_time();

            ngx_log_error(NGX_LOG_ERR, w->log, 0,
                          "inbox of the worker was not read: %V, "
                          "gateway: \"%V\"", &reply->str, &w->gateway->name);
        }

        if (!nodes->closed) {
            ngx_add_timer(&nodes->read_event, NGX_MQTT_INBOX_RETRY);
        }

        return;
    }

    /* { { key, { { id, { field, value ... } } ... } } }, or NIL */

    if (reply->type == NGX_MQTT_REDIS_ARRAY && reply->nelts == 1
        && reply->elts[0]->type == NGX_MQTT_REDIS_ARRAY
        && reply->elts[0]->nelts == 2
        && reply->elts[0]->elts[1]->type == NGX_MQTT_REDIS_ARRAY)
    {
        ngx_mqtt_inbox_page(w, reply->elts[0]->elts[1]);
    }

    if (!nodes->closed) {
        ngx_mqtt_inbox_read(w);
    }
}


static void
ngx_mqtt_inbox_page(ngx_mqtt_worker_t *w, ngx_mqtt_redis_reply_t *reply)
{
    size_t                   bytes;
    ngx_str_t                argv[2 + NGX_MQTT_INBOX_PAGE], *id;
    ngx_uint_t               i, n;
    ngx_mqtt_nodes_t        *nodes;
    ngx_mqtt_redis_reply_t  *entry;

    nodes = w->nodes;
    bytes = 0;
    n = 0;

    for (i = 0; i < reply->nelts && n < NGX_MQTT_INBOX_PAGE; i++) {
        entry = reply->elts[i];

        if (entry->type != NGX_MQTT_REDIS_ARRAY || entry->nelts != 2) {
            continue;
        }

        id = &entry->elts[0]->str;

        if (id->len == 0 || id->len > sizeof(nodes->last)) {
            continue;
        }

        bytes += ngx_mqtt_inbox_entry(w, entry->elts[1]);

        ngx_memcpy(nodes->last, id->data, id->len);
        nodes->last_len = id->len;

        argv[2 + n++] = *id;
    }

    if (n == 0) {
        return;
    }

    nodes->page = NGX_MQTT_INBOX_BYTES / (bytes / n + 1);
    nodes->page = ngx_min(nodes->page, NGX_MQTT_INBOX_PAGE);
    nodes->page = ngx_max(nodes->page, 1);

    ngx_str_set(&argv[0], "XDEL");
    argv[1] = nodes->inbox;

    ngx_mqtt_redis_command(nodes->redis, 2 + n, argv, 0, NULL);
}


static size_t
ngx_mqtt_inbox_entry(ngx_mqtt_worker_t *w, ngx_mqtt_redis_reply_t *entry)
{
    /* { "f", frame }, and { "r", "1" } when it was sent again */

    if (entry->type != NGX_MQTT_REDIS_ARRAY || entry->nelts < 2) {
        return 0;
    }

    ngx_mqtt_inbox_take(w, &entry->elts[1]->str, entry->nelts > 2);

    return entry->elts[1]->str.len;
}


static void
ngx_mqtt_inbox_take(ngx_mqtt_worker_t *w, ngx_str_t *frame,
    ngx_uint_t repeated)
{
    u_char             *p, *end;
    uint64_t            number;
    ngx_str_t           body;
    ngx_uint_t          type;
    ngx_mqtt_peer_t     peer;
    ngx_mqtt_member_t  *member;

    if (frame->len < NGX_MQTT_INBOX_HEAD) {
        ngx_log_error(NGX_LOG_ERR, w->log, 0, "malformed frame in the inbox");
        return;
    }

    p = frame->data;
    end = p + frame->len;

    p = ngx_mqtt_frame_read_u64(p, end, &number);
    p = ngx_mqtt_frame_read_u64(p, end, &peer.node);
    p = ngx_mqtt_frame_read_u64(p, end, &peer.slot);
    p = ngx_mqtt_frame_read_u64(p, end, &peer.generation);

    type = *p++;

    body.data = p;
    body.len = end - p;

    member = ngx_mqtt_nodes_member(w, &peer);

    if (member == NULL || (repeated && number <= member->received)) {
        return;
    }

    member->received = ngx_max(member->received, number);

    ngx_mqtt_count(w, NGX_MQTT_STAT_inbox_frames_in);

    ngx_mqtt_bus_frame(w->bus, &peer, type, &body);
}


static void
ngx_mqtt_inbox_retry(ngx_event_t *ev)
{
    ngx_mqtt_inbox_read(ngx_mqtt_event_worker(ev));
}
