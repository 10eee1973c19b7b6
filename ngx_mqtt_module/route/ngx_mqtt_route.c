
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Routes: subscribe, unsubscribe, publish; the invariants are in
 * ngx_mqtt_route.h.
 *
 * A message that is published goes the same way in every worker: the filters
 * that match are collected into one delivery per subscriber, then each is
 * delivered.  Delivering only queues output and may mark clients for closing,
 * so what was collected stays valid.
 *
 * Called from: client/, gateway/, bus frames.  One worker, no locks.
 */


#include "ngx_mqtt_route_int.h"
#include "ngx_mqtt_nodes.h"


static void ngx_mqtt_route_each(ngx_mqtt_worker_t *w,
    ngx_mqtt_directory_add_pt add);
static void ngx_mqtt_route_each_filter(ngx_mqtt_worker_t *w,
    ngx_mqtt_filter_node_t *node, void *data);
static ngx_mqtt_filter_node_t *ngx_mqtt_route_filter(ngx_mqtt_worker_t *w,
    ngx_str_t *filter);
static ngx_int_t ngx_mqtt_route_join(ngx_mqtt_worker_t *w,
    ngx_mqtt_filter_node_t *node, ngx_str_t *share, ngx_mqtt_sub_t *sub);
static void ngx_mqtt_route_remove(ngx_mqtt_worker_t *w, ngx_mqtt_sub_t *sub);
static void ngx_mqtt_route_prune(ngx_mqtt_worker_t *w,
    ngx_mqtt_filter_node_t *node);
static void ngx_mqtt_route_begin(ngx_mqtt_route_t *route, ngx_mqtt_msg_t *m,
    ngx_mqtt_subscriber_t *exclude, ngx_mqtt_logged_t *logged);
static void ngx_mqtt_route_matched(void *data, ngx_mqtt_filter_node_t *node);
static uint64_t ngx_mqtt_route_number(ngx_mqtt_logged_t *logged,
    ngx_str_t *filter);
static void ngx_mqtt_route_collect(ngx_mqtt_route_t *route,
    ngx_mqtt_sub_t *sub);
static void ngx_mqtt_route_add_ref(ngx_mqtt_route_t *route,
    ngx_mqtt_delivery_t *dv, ngx_mqtt_log_ref_t *ref);
static ngx_mqtt_delivery_t *ngx_mqtt_route_delivery(ngx_mqtt_route_t *route,
    ngx_mqtt_subscriber_t *subscriber);
static void ngx_mqtt_route_deliver(ngx_mqtt_route_t *route, u_char *uid);


ngx_int_t
ngx_mqtt_route_start(ngx_mqtt_worker_t *w)
{
    ngx_mqtt_route_t  *route;

    route = ngx_pcalloc(w->cycle->pool, sizeof(ngx_mqtt_route_t));
    if (route == NULL) {
        return NGX_ERROR;
    }

    route->worker = w;

    if (ngx_array_init(&route->deliveries, w->cycle->pool, 64,
                       sizeof(ngx_mqtt_delivery_t))
        != NGX_OK
        || ngx_array_init(&route->ids, w->cycle->pool, 64,
                          sizeof(ngx_mqtt_route_id_t))
           != NGX_OK
        || ngx_array_init(&route->refs, w->cycle->pool, 64,
                          sizeof(ngx_mqtt_route_ref_t))
           != NGX_OK
        || ngx_array_init(&route->shared, w->cycle->pool, 64,
                          sizeof(uint64_t))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    w->route = route;

    ngx_mqtt_directory_on_rebuild(w, ngx_mqtt_route_each);

    if (ngx_mqtt_share_start(w) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_mqtt_route_bus_init(w);
}


void
ngx_mqtt_route_stop(ngx_mqtt_worker_t *w)
{
    if (w->route->shares) {
        ngx_mqtt_share_stop(w);
    }

    ngx_mqtt_filters_free(w, &w->route->filters);
    w->route = NULL;
}


static void
ngx_mqtt_route_each(ngx_mqtt_worker_t *w, ngx_mqtt_directory_add_pt add)
{
    ngx_mqtt_filters_each(w, &w->route->filters, ngx_mqtt_route_each_filter,
                          &add);
}


static void
ngx_mqtt_route_each_filter(ngx_mqtt_worker_t *w, ngx_mqtt_filter_node_t *node,
    void *data)
{
    ngx_mqtt_directory_add_pt *add = data;

    ngx_mqtt_share_t  *share;

    if (!ngx_queue_empty(&node->subs)) {
        (*add)(w, &node->node.key, 0, 1);
    }

    for (share = node->shares; share; share = share->next) {
        share->stalled = 0;
        (*add)(w, &node->node.key, share->id, share->nmembers);
    }
}


ngx_mqtt_sub_t *
ngx_mqtt_route_subscribe(ngx_mqtt_worker_t *w,
    ngx_mqtt_subscriber_t *subscriber, ngx_str_t *filter, ngx_str_t *share,
    ngx_uint_t options, uint32_t id, ngx_uint_t *existed)
{
    ngx_mqtt_sub_t          *sub;
    ngx_mqtt_filter_node_t  *node;

    sub = ngx_mqtt_route_find(subscriber, filter, share);

    if (sub) {
        *existed = 1;

        sub->options = (uint8_t) options;
        sub->id = id;

        return sub;
    }

    *existed = 0;

    node = ngx_mqtt_route_filter(w, filter);
    if (node == NULL) {
        return NULL;
    }

    sub = ngx_mqtt_alloc(w, sizeof(ngx_mqtt_sub_t));

    if (sub == NULL || ngx_mqtt_route_join(w, node, share, sub) != NGX_OK) {
        ngx_mqtt_free(w, sub, sizeof(ngx_mqtt_sub_t));
        ngx_mqtt_route_prune(w, node);
        return NULL;
    }

    sub->subscriber = subscriber;
    sub->filter = node;
    sub->reader = NULL;
    sub->options = (uint8_t) options;
    sub->id = id;

    sub->next = subscriber->subs;
    subscriber->subs = sub;
    subscriber->nsubs++;

    ngx_mqtt_count(w, NGX_MQTT_STAT_subscriptions);

    return sub;
}


ngx_int_t
ngx_mqtt_route_unsubscribe(ngx_mqtt_worker_t *w,
    ngx_mqtt_subscriber_t *subscriber, ngx_str_t *filter, ngx_str_t *share)
{
    ngx_mqtt_sub_t  *sub, **next;

    sub = ngx_mqtt_route_find(subscriber, filter, share);

    if (sub == NULL) {
        return NGX_DECLINED;
    }

    for (next = &subscriber->subs; *next != sub; next = &(*next)->next) {
        /* void */
    }

    *next = sub->next;
    subscriber->nsubs--;

    ngx_mqtt_route_remove(w, sub);

    return NGX_OK;
}


void
ngx_mqtt_route_unsubscribe_all(ngx_mqtt_worker_t *w,
    ngx_mqtt_subscriber_t *subscriber)
{
    ngx_mqtt_sub_t  *sub, *next;

    for (sub = subscriber->subs; sub; sub = next) {
        next = sub->next;
        ngx_mqtt_route_remove(w, sub);
    }

    subscriber->subs = NULL;
    subscriber->nsubs = 0;
}


/* a client has few subscriptions, a filter may have a million subscribers */

ngx_mqtt_sub_t *
ngx_mqtt_route_find(ngx_mqtt_subscriber_t *subscriber, ngx_str_t *filter,
    ngx_str_t *share)
{
    ngx_str_t       *key, *name;
    ngx_mqtt_sub_t  *sub;

    for (sub = subscriber->subs; sub; sub = sub->next) {
        key = &sub->filter->node.key;

        if (key->len != filter->len
            || ngx_memcmp(key->data, filter->data, filter->len) != 0)
        {
            continue;
        }

        if (sub->share == NULL) {

            if (share->len == 0) {
                return sub;
            }

            continue;
        }

        name = &sub->share->name;

        if (name->len == share->len
            && ngx_memcmp(name->data, share->data, share->len) == 0)
        {
            return sub;
        }
    }

    return NULL;
}


static ngx_mqtt_filter_node_t *
ngx_mqtt_route_filter(ngx_mqtt_worker_t *w, ngx_str_t *filter)
{
    ngx_mqtt_filters_t      *filters;
    ngx_mqtt_filter_node_t  *node;

    filters = &w->route->filters;

    node = ngx_mqtt_filters_find(filters, filter);

    return node ? node : ngx_mqtt_filters_add(w, filters, filter);
}


/* the node is told before the client is */

static ngx_int_t
ngx_mqtt_route_join(ngx_mqtt_worker_t *w, ngx_mqtt_filter_node_t *node,
    ngx_str_t *share, ngx_mqtt_sub_t *sub)
{
    if (share->len) {
        sub->share = ngx_mqtt_share_join(w, node, share, sub);
        return sub->share ? NGX_OK : NGX_ERROR;
    }

    if (ngx_queue_empty(&node->subs)) {

        if (ngx_mqtt_directory_add(w, &node->node.key) != NGX_OK) {
            return NGX_ERROR;
        }

        if (ngx_mqtt_interest_add(w, &node->node.key, share) != NGX_OK) {
            ngx_mqtt_directory_remove(w, &node->node.key);
            return NGX_ERROR;
        }
    }

    ngx_queue_insert_tail(&node->subs, &sub->queue);
    sub->share = NULL;

    return NGX_OK;
}


static void
ngx_mqtt_route_remove(ngx_mqtt_worker_t *w, ngx_mqtt_sub_t *sub)
{
    ngx_str_t                name;
    ngx_mqtt_filter_node_t  *node;

    node = sub->filter;

    ngx_queue_remove(&sub->queue);

    if (sub->share) {
        ngx_mqtt_share_leave(w, node, sub->share);

    } else if (ngx_queue_empty(&node->subs)) {
        ngx_str_null(&name);
        ngx_mqtt_interest_remove(w, &node->node.key, &name);
        ngx_mqtt_directory_remove(w, &node->node.key);
    }

    ngx_mqtt_route_prune(w, node);

    ngx_mqtt_free(w, sub, sizeof(ngx_mqtt_sub_t));
    ngx_mqtt_count_sub(w, NGX_MQTT_STAT_subscriptions, 1);
}


static void
ngx_mqtt_route_prune(ngx_mqtt_worker_t *w, ngx_mqtt_filter_node_t *node)
{
    if (ngx_queue_empty(&node->subs) && node->shares == NULL) {
        ngx_mqtt_filters_remove(w, &w->route->filters, node);
    }
}


ngx_int_t
ngx_mqtt_route_prepare(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_workers_t *workers)
{
    ngx_mqtt_groups_t  *groups;

    groups = &w->route->shares->found;

    if (ngx_mqtt_directory_find(w, &m->topic, workers, groups)
        && ngx_mqtt_route_check(w, workers) != NGX_OK)
    {
        return NGX_BUSY;
    }

    return workers->groups ? ngx_mqtt_groups_check(w, groups) : NGX_OK;
}


ngx_int_t
ngx_mqtt_route_publish(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_workers_t *workers, ngx_mqtt_subscriber_t *exclude,
    ngx_mqtt_logged_t *logged)
{
    ngx_int_t  rc, local;

    rc = ngx_mqtt_route_send(w, m, workers, logged);
    local = ngx_mqtt_route_local(w, m, exclude, logged);

    if ((workers->groups || w->route->shared.nelts)
        && ngx_mqtt_share_publish(w, m, workers, logged) == NGX_OK)
    {
        rc = NGX_OK;
    }

    return (rc == NGX_OK || local == NGX_OK) ? NGX_OK : NGX_DECLINED;
}


ngx_int_t
ngx_mqtt_route_local(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_subscriber_t *exclude, ngx_mqtt_logged_t *logged)
{
    ngx_mqtt_route_t  *route;

    route = w->route;

    ngx_mqtt_route_begin(route, m, exclude, logged);

    ngx_mqtt_filters_match(&route->filters, &m->topic,
                           ngx_mqtt_route_matched, route);

    ngx_mqtt_route_deliver(route, (logged && logged->n > 1) ? logged->uid
                                                            : NULL);

    return route->matches ? NGX_OK : NGX_DECLINED;
}


void
ngx_mqtt_route_replay(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_subscriber_t *subscriber, ngx_uint_t own,
    ngx_mqtt_log_ref_t *ref, u_char *uid)
{
    ngx_mqtt_sub_t       *sub;
    ngx_mqtt_route_t     *route;
    ngx_mqtt_delivery_t  *dv;

    route = w->route;

    ngx_mqtt_route_begin(route, m, own ? subscriber : NULL, NULL);

    for (sub = subscriber->subs; sub; sub = sub->next) {

        if (sub->share == NULL
            && ngx_mqtt_topic_match(&sub->filter->node.key, &m->topic))
        {
            ngx_mqtt_route_collect(route, sub);
        }
    }

    if (route->deliveries.nelts) {
        dv = route->deliveries.elts;

        ngx_mqtt_route_add_ref(route, dv, ref);
        ngx_mqtt_route_deliver(route, uid);
    }
}


static void
ngx_mqtt_route_begin(ngx_mqtt_route_t *route, ngx_mqtt_msg_t *m,
    ngx_mqtt_subscriber_t *exclude, ngx_mqtt_logged_t *logged)
{
    route->msg = m;
    route->exclude = exclude;
    route->logged = logged;
    route->number = 0;
    route->stamp++;
    route->matches = 0;
    route->deliveries.nelts = 0;
    route->ids.nelts = 0;
    route->refs.nelts = 0;
    route->shared.nelts = 0;
}


static void
ngx_mqtt_route_matched(void *data, ngx_mqtt_filter_node_t *node)
{
    ngx_mqtt_route_t *route = data;

    ngx_queue_t  *q;

    if (route->logged) {
        route->number = ngx_mqtt_route_number(route->logged, &node->node.key);
    }

    for (q = ngx_queue_head(&node->subs);
         q != ngx_queue_sentinel(&node->subs);
         q = ngx_queue_next(q))
    {
        ngx_mqtt_route_collect(route,
                               ngx_queue_data(q, ngx_mqtt_sub_t, queue));
    }

    /* for publish(), who knows of the other members */

    if (node->shares) {
        ngx_mqtt_share_matched(&route->shared, node);
    }
}


static uint64_t
ngx_mqtt_route_number(ngx_mqtt_logged_t *logged, ngx_str_t *filter)
{
    ngx_str_t   *key;
    ngx_uint_t   i;

    for (i = 0; i < logged->n; i++) {
        key = &logged->positions[i].filter;

        if (key->len == filter->len
            && ngx_memcmp(key->data, filter->data, key->len) == 0)
        {
            return logged->positions[i].number;
        }
    }

    return 0;
}


static void
ngx_mqtt_route_collect(ngx_mqtt_route_t *route, ngx_mqtt_sub_t *sub)
{
    ngx_uint_t             qos;
    ngx_mqtt_log_ref_t     ref;
    ngx_mqtt_delivery_t   *dv;
    ngx_mqtt_route_id_t   *id;

    route->matches++;

    if (sub->subscriber == route->exclude
        && (sub->options & NGX_MQTT_SUB_NO_LOCAL))
    {
        return;
    }

    dv = ngx_mqtt_route_delivery(route, sub->subscriber);
    if (dv == NULL) {
        return;
    }

    qos = sub->options & NGX_MQTT_SUB_QOS;
    qos = ngx_min(qos, route->msg->qos);

    dv->qos = ngx_max(dv->qos, qos);

    if (route->msg->retain
        && (sub->options & NGX_MQTT_SUB_RETAIN_AS_PUBLISHED))
    {
        dv->retain = 1;
    }

    if (sub->reader && sub->share == NULL) {
        dv->readers++;

        if (route->number) {
            ref.reader = sub->reader;
            ref.number = route->number;

            ngx_mqtt_route_add_ref(route, dv, &ref);
        }
    }

    if (sub->id) {
        id = ngx_array_push(&route->ids);
        if (id == NULL) {
            return;
        }

        id->id = sub->id;
        id->next = dv->ids;
        dv->ids = route->ids.nelts;
    }
}


static void
ngx_mqtt_route_add_ref(ngx_mqtt_route_t *route, ngx_mqtt_delivery_t *dv,
    ngx_mqtt_log_ref_t *ref)
{
    ngx_mqtt_route_ref_t  *rr;

    rr = ngx_array_push(&route->refs);
    if (rr == NULL) {
        return;
    }

    rr->ref = *ref;
    rr->next = dv->refs;
    dv->refs = route->refs.nelts;
}


static ngx_mqtt_delivery_t *
ngx_mqtt_route_delivery(ngx_mqtt_route_t *route,
    ngx_mqtt_subscriber_t *subscriber)
{
    ngx_mqtt_delivery_t  *dv;

    if (subscriber->stamp == route->stamp) {
        dv = route->deliveries.elts;
        return &dv[subscriber->delivery];
    }

    dv = ngx_array_push(&route->deliveries);
    if (dv == NULL) {
        return NULL;
    }

    dv->subscriber = subscriber;
    dv->qos = 0;
    dv->retain = 0;
    dv->ids = 0;
    dv->refs = 0;
    dv->readers = 0;

    subscriber->stamp = route->stamp;
    subscriber->delivery = (uint32_t) route->deliveries.nelts - 1;

    return dv;
}


static void
ngx_mqtt_route_deliver(ngx_mqtt_route_t *route, u_char *uid)
{
    uint32_t               ids[NGX_MQTT_ROUTE_IDS];
    ngx_uint_t             i, next;
    ngx_mqtt_copy_t        copy;
    ngx_mqtt_log_ref_t     refs[NGX_MQTT_ROUTE_IDS];
    ngx_mqtt_delivery_t   *dv;
    ngx_mqtt_route_id_t   *id;
    ngx_mqtt_route_ref_t  *ref;

    id = route->ids.elts;
    ref = route->refs.elts;
    dv = route->deliveries.elts;

    copy.ids = ids;
    copy.refs = refs;
    copy.uid = uid;

    for (i = 0; i < route->deliveries.nelts; i++) {
        copy.qos = dv[i].qos;
        copy.retain = dv[i].retain;
        copy.readers = dv[i].readers;
        copy.nids = 0;
        copy.nrefs = 0;

        for (next = dv[i].ids;
             next && copy.nids < NGX_MQTT_ROUTE_IDS;
             next = id[next - 1].next)
        {
            ids[copy.nids++] = id[next - 1].id;
        }

        for (next = dv[i].refs;
             next && copy.nrefs < NGX_MQTT_ROUTE_IDS;
             next = ref[next - 1].next)
        {
            refs[copy.nrefs++] = ref[next - 1].ref;
        }

        route->worker->hooks->deliver(dv[i].subscriber, route->msg, &copy);
    }
}
