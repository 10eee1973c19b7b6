
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * A message to the workers of other nodes that may want it.
 *
 *     match -> members -> one PUBLISH frame, the same for all of them
 *           -> groups that have no member in this node -> a GROUP frame to one
 *              of their workers, or GROUP_MORE if the message is in their log
 *
 * (1) A group with members in several nodes is served by the node of the
 *     publisher as long as it has members itself; otherwise its workers in
 *     other nodes take turns.
 * (2) QoS 0 does not wait for Redis: it is dropped and counted instead.
 *
 *     GROUP: name str, filter str, message
 *
 * Called from: gateway/, bus frames.
 */


#include "ngx_mqtt_nodes_int.h"


static void ngx_mqtt_nodes_match(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m);
static void ngx_mqtt_nodes_matched(void *data, ngx_mqtt_filter_node_t *node);
static void ngx_mqtt_nodes_add_target(ngx_mqtt_nodes_t *nodes,
    ngx_mqtt_member_t *member);
static void ngx_mqtt_nodes_push(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_logged_t *logged, ngx_mqtt_push_t *push);
static void ngx_mqtt_nodes_push_group(ngx_mqtt_worker_t *w,
    ngx_mqtt_msg_t *m, ngx_mqtt_share_t *share, ngx_mqtt_push_t *push);
static void ngx_mqtt_nodes_push_more(ngx_mqtt_worker_t *w,
    ngx_mqtt_share_t *share, ngx_uint_t count);
static ngx_mqtt_want_t *ngx_mqtt_nodes_choose(ngx_mqtt_worker_t *w,
    ngx_mqtt_share_t *share);
static ngx_int_t ngx_mqtt_nodes_send(ngx_mqtt_worker_t *w,
    ngx_mqtt_member_t *member, ngx_str_t *frame, ngx_uint_t qos,
    ngx_mqtt_push_t *push);
static void ngx_mqtt_nodes_group_frame(ngx_mqtt_worker_t *w,
    ngx_mqtt_peer_t *from, ngx_str_t *body);


void
ngx_mqtt_nodes_publish_init(ngx_mqtt_worker_t *w)
{
    ngx_mqtt_bus_on_frame(w->bus, NGX_MQTT_FRAME_GROUP,
                          ngx_mqtt_nodes_group_frame);
}


ngx_int_t
ngx_mqtt_nodes_prepare(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m)
{
    ngx_uint_t          i;
    ngx_mqtt_nodes_t   *nodes;
    ngx_mqtt_member_t **members;

    nodes = w->nodes;

    if (nodes->nwants == 0) {
        return NGX_DECLINED;
    }

    ngx_mqtt_nodes_match(w, m);

    if (nodes->targets.nelts == 0 && nodes->groups.nelts == 0) {
        return NGX_DECLINED;
    }

    if (m->qos == 0) {
        return NGX_OK;
    }

    if (ngx_mqtt_redis_full(w->redis)) {
        return NGX_BUSY;
    }

    members = nodes->targets.elts;

    for (i = 0; i < nodes->targets.nelts; i++) {

        if (ngx_mqtt_inbox_full(w, members[i])) {
            return NGX_BUSY;
        }
    }

    return NGX_OK;
}


static void
ngx_mqtt_nodes_match(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m)
{
    ngx_str_t                rest, level;
    ngx_mqtt_nodes_t        *nodes;
    ngx_mqtt_filter_node_t  *node;

    nodes = w->nodes;

    nodes->stamp++;
    nodes->targets.nelts = 0;
    nodes->groups.nelts = 0;

    ngx_mqtt_filters_match(&nodes->filters, &m->topic,
                           ngx_mqtt_nodes_matched, nodes);

    rest = m->topic;
    (void) ngx_mqtt_topic_next_level(&rest, &level);

    node = ngx_mqtt_filters_find(&nodes->levels, &level);

    if (node) {
        ngx_mqtt_nodes_matched(nodes, node);
    }
}


static void
ngx_mqtt_nodes_matched(void *data, ngx_mqtt_filter_node_t *node)
{
    ngx_mqtt_nodes_t *nodes = data;

    ngx_queue_t        *q;
    ngx_mqtt_want_t    *want;
    ngx_mqtt_share_t   *share, **group;

    for (q = ngx_queue_head(&node->subs);
         q != ngx_queue_sentinel(&node->subs);
         q = ngx_queue_next(q))
    {
        want = ngx_queue_data(q, ngx_mqtt_want_t, queue);
        ngx_mqtt_nodes_add_target(nodes, want->member);
    }

    for (share = node->shares; share; share = share->next) {
        group = ngx_array_push(&nodes->groups);

        if (group) {
            *group = share;
        }
    }
}


static void
ngx_mqtt_nodes_add_target(ngx_mqtt_nodes_t *nodes, ngx_mqtt_member_t *member)
{
    ngx_mqtt_member_t  **target;

    if (member->stamp == nodes->stamp) {
        return;
    }

    member->stamp = nodes->stamp;

    target = ngx_array_push(&nodes->targets);

    if (target) {
        *target = member;
    }
}


ngx_int_t
ngx_mqtt_nodes_publish(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_logged_t *logged, ngx_mqtt_op_t *op)
{
    ngx_uint_t         i;
    ngx_mqtt_push_t   *push;
    ngx_mqtt_nodes_t  *nodes;
    ngx_mqtt_share_t **groups;

    nodes = w->nodes;

    if (nodes == NULL || nodes->nwants == 0) {
        return NGX_DECLINED;
    }

    ngx_mqtt_nodes_match(w, m);

    if (nodes->targets.nelts == 0 && nodes->groups.nelts == 0) {
        return NGX_DECLINED;
    }

    push = NULL;

    if (op) {
        push = ngx_mqtt_calloc(w, sizeof(ngx_mqtt_push_t));

        if (push == NULL) {
            ngx_mqtt_op_post(op, NGX_DECLINED, NGX_MQTT_UNSPECIFIED_ERROR);
            return NGX_AGAIN;
        }

        push->worker = w;
        push->op = op;
        push->rc = NGX_OK;
    }

    if (nodes->targets.nelts) {
        ngx_mqtt_nodes_push(w, m, logged, push);
    }

    groups = nodes->groups.elts;

    for (i = 0; i < nodes->groups.nelts; i++) {

        if (ngx_mqtt_share_is_here(w, &m->topic, groups[i]->id)) {
            continue;
        }

        if (ngx_mqtt_group_logged(logged, groups[i]->id)) {
            ngx_mqtt_nodes_push_more(w, groups[i], 1);

        } else {
            ngx_mqtt_nodes_push_group(w, m, groups[i], push);
        }
    }

    if (op == NULL) {
        return NGX_OK;
    }

    if (push->pending == 0) {

        /* only groups that are here, or out of memory */

        ngx_mqtt_op_post(op, push->rc, (push->rc == NGX_OK)
                                       ? NGX_MQTT_SUCCESS
                                       : NGX_MQTT_UNSPECIFIED_ERROR);

        ngx_mqtt_free(w, push, sizeof(ngx_mqtt_push_t));
    }

    return NGX_AGAIN;
}


static void
ngx_mqtt_nodes_push(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_logged_t *logged, ngx_mqtt_push_t *push)
{
    u_char               head[NGX_MQTT_FRAME_MSG_HEAD];
    ngx_int_t            rc;
    ngx_str_t            parts[7], frame;
    ngx_uint_t           i;
    ngx_mqtt_member_t  **members;

    rc = ngx_mqtt_route_frame_parts(w, m, logged, head, parts);

    if (rc == NGX_OK) {
        rc = ngx_mqtt_inbox_frame(w, NGX_MQTT_FRAME_PUBLISH, parts, 7,
                                  &frame);
        ngx_mqtt_route_frame_free(w, logged, parts);
    }

    members = w->nodes->targets.elts;

    for (i = 0; rc == NGX_OK && i < w->nodes->targets.nelts; i++) {
        (void) ngx_mqtt_nodes_send(w, members[i], &frame, m->qos, push);
    }

    if (rc == NGX_OK) {
        ngx_mqtt_free(w, frame.data, frame.len);

    } else if (push) {
        push->rc = NGX_DECLINED;
    }
}


static void
ngx_mqtt_nodes_push_group(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_share_t *share, ngx_mqtt_push_t *push)
{
    u_char            head[NGX_MQTT_FRAME_MSG_HEAD], lengths[2][4];
    ngx_str_t         parts[5 + NGX_MQTT_FRAME_MSG_PARTS], frame;
    ngx_mqtt_want_t  *want;

    want = ngx_mqtt_nodes_choose(w, share);

    parts[1] = share->name;
    parts[3] = want->filter->node.key;

    parts[0].data = lengths[0];
    parts[0].len = 4;
    (void) ngx_mqtt_frame_write_u32(lengths[0], (uint32_t) parts[1].len);

    parts[2].data = lengths[1];
    parts[2].len = 4;
    (void) ngx_mqtt_frame_write_u32(lengths[1], (uint32_t) parts[3].len);

    parts[4].data = head;
    parts[4].len = ngx_mqtt_frame_write_msg_head(head, m) - head;
    ngx_mqtt_frame_msg_parts(&parts[5], m);

    if (ngx_mqtt_inbox_frame(w, NGX_MQTT_FRAME_GROUP, parts,
                             5 + NGX_MQTT_FRAME_MSG_PARTS, &frame)
        != NGX_OK)
    {
        if (push) {
            push->rc = NGX_DECLINED;
        }

        return;
    }

    (void) ngx_mqtt_nodes_send(w, want->member, &frame, m->qos, push);

    ngx_mqtt_free(w, frame.data, frame.len);
}


void
ngx_mqtt_nodes_tell(ngx_mqtt_worker_t *w, ngx_str_t *filter, ngx_str_t *name,
    ngx_uint_t count)
{
    ngx_mqtt_share_t        *share;
    ngx_mqtt_filter_node_t  *node;

    if (w->nodes == NULL || w->stopping) {
        return;
    }

    node = ngx_mqtt_filters_find(&w->nodes->filters, filter);

    for (share = node ? node->shares : NULL; share; share = share->next) {

        if (share->name.len == name->len
            && ngx_memcmp(share->name.data, name->data, name->len) == 0)
        {
            ngx_mqtt_nodes_push_more(w, share, count);
            return;
        }
    }
}


/* they are in the log of the group; what is lost of this does no harm */

static void
ngx_mqtt_nodes_push_more(ngx_mqtt_worker_t *w, ngx_mqtt_share_t *share,
    ngx_uint_t count)
{
    u_char            head[NGX_MQTT_GROUP_MORE];
    ngx_str_t         parts[5], frame;
    ngx_mqtt_want_t  *want;

    want = ngx_mqtt_nodes_choose(w, share);

    parts[0].data = head;
    parts[0].len = ngx_mqtt_group_write_more(head, 0, count) - head;
    ngx_str_set(&parts[1], "$share/");
    parts[2] = share->name;
    ngx_str_set(&parts[3], "/");
    parts[4] = want->filter->node.key;

    if (ngx_mqtt_inbox_frame(w, NGX_MQTT_FRAME_GROUP_MORE, parts, 5, &frame)
        == NGX_OK)
    {
        (void) ngx_mqtt_nodes_send(w, want->member, &frame, 0, NULL);

        ngx_mqtt_free(w, frame.data, frame.len);
    }
}


/* the next one, and if it is full the first that is not */

static ngx_mqtt_want_t *
ngx_mqtt_nodes_choose(ngx_mqtt_worker_t *w, ngx_mqtt_share_t *share)
{
    ngx_uint_t        n;
    ngx_queue_t      *q;
    ngx_mqtt_want_t  *want;

    n = share->nmembers;

    do {
        q = ngx_queue_head(&share->members);
        want = ngx_queue_data(q, ngx_mqtt_want_t, queue);

        ngx_queue_remove(q);
        ngx_queue_insert_tail(&share->members, q);

    } while (ngx_mqtt_inbox_full(w, want->member) && --n);

    return want;
}


static ngx_int_t
ngx_mqtt_nodes_send(ngx_mqtt_worker_t *w, ngx_mqtt_member_t *member,
    ngx_str_t *frame, ngx_uint_t qos, ngx_mqtt_push_t *push)
{
    if (qos == 0) {

        if (ngx_mqtt_inbox_full(w, member) || ngx_mqtt_redis_full(w->redis)) {
            ngx_mqtt_count(w, NGX_MQTT_STAT_inbox_dropped);
            return NGX_OK;
        }

        return ngx_mqtt_inbox_send(w, member, frame, 0, NULL);
    }

    if (ngx_mqtt_inbox_send(w, member, frame, NGX_MQTT_REDIS_WAIT, push)
        == NGX_OK)
    {
        return NGX_OK;
    }

    if (push) {
        push->rc = NGX_DECLINED;
    }

    return NGX_ERROR;
}


static void
ngx_mqtt_nodes_group_frame(ngx_mqtt_worker_t *w, ngx_mqtt_peer_t *from,
    ngx_str_t *body)
{
    u_char              *p, *end;
    ngx_str_t            name, filter, bytes;
    ngx_mqtt_msg_t      *m;
    ngx_mqtt_workers_t   tried;

    end = body->data + body->len;
    m = NULL;

    p = ngx_mqtt_frame_read_str(body->data, end, &name);

    if (p) {
        p = ngx_mqtt_frame_read_str(p, end, &filter);
    }

    if (p) {
        bytes.data = p;
        bytes.len = end - p;

        m = ngx_mqtt_frame_read_msg(w, &bytes);
    }

    if (m == NULL) {
        ngx_log_error(NGX_LOG_CRIT, w->log, 0, "GROUP frame was not read");
        return;
    }

    ngx_memzero(&tried, sizeof(ngx_mqtt_workers_t));

    ngx_mqtt_share_to_any(w, m, ngx_mqtt_share_id(w, &filter, &name), NULL,
                          &tried);

    ngx_mqtt_msg_unref(m);
}
