
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Shared subscriptions, 4.8.2: a message goes to one member of each group
 * whose filter matches, in whatever worker of the node that member is.
 *
 * (1) A group is known to all workers by an id made of its name and filter;
 *     how many members each worker has stands in the directory before the
 *     client is told that it is one.
 * (2) The worker with the publisher chooses the worker, that one chooses the
 *     member: the next one that can be sent the message at once, or else the
 *     next one that lets it wait.  If it has none it passes the message on, to
 *     a worker that was not asked before; when all were, it is dropped and
 *     counted.  A worker in which no member can be sent anything at once tells
 *     the directory that it is stalled, until one can.
 * (3) A QoS 1 or 2 message belongs to one worker at a time.  A worker that has
 *     sent it to another one keeps it until that one is done with it, and
 *     gives it to somebody else if that one is killed.  A QoS 1 message is
 *     done when its member has acknowledged it, one of QoS 2 when it is sent:
 *     from then on no other member may get it [MQTT-4.8.2-5].
 * (4) A message that a member gives up comes back into shares->again, and is
 *     given to another one behind whatever made the member leave.
 *
 * Called from: ngx_mqtt_route.c, client/ (done, again), ngx_mqtt_share_bus.c.
 * One worker, no locks.
 */


#include "ngx_mqtt_route_int.h"
#include "ngx_mqtt_nodes.h"

#include <ngx_sha1.h>


#define NGX_MQTT_SHARE_WARN  60      /* seconds */


static ngx_mqtt_share_t *ngx_mqtt_share_create(ngx_mqtt_worker_t *w,
    ngx_mqtt_filter_node_t *node, ngx_str_t *name);
static void ngx_mqtt_share_prune(ngx_mqtt_worker_t *w,
    ngx_mqtt_filter_node_t *node, ngx_mqtt_share_t *share);
static ngx_uint_t ngx_mqtt_share_found(ngx_mqtt_worker_t *w,
    ngx_mqtt_msg_t *m, ngx_mqtt_groups_t *found, ngx_mqtt_logged_t *logged);
static ngx_uint_t ngx_mqtt_share_ours(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_groups_t *found, ngx_mqtt_logged_t *logged);
static void ngx_mqtt_share_rest(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_groups_t *found, ngx_mqtt_logged_t *logged);
static ngx_int_t ngx_mqtt_share_route(ngx_mqtt_worker_t *w,
    ngx_mqtt_msg_t *m, ngx_mqtt_groups_t *groups, ngx_mqtt_group_t *group,
    ngx_mqtt_shared_t *sd, ngx_mqtt_workers_t *tried);
static void ngx_mqtt_share_again_handler(ngx_event_t *ev);


ngx_int_t
ngx_mqtt_share_start(ngx_mqtt_worker_t *w)
{
    ngx_event_t        *ev;
    ngx_mqtt_shares_t  *shares;

    shares = ngx_pcalloc(w->cycle->pool, sizeof(ngx_mqtt_shares_t));
    if (shares == NULL) {
        return NGX_ERROR;
    }

    if (ngx_mqtt_groups_init(w, &shares->found) != NGX_OK
        || ngx_mqtt_groups_init(w, &shares->one) != NGX_OK
        || ngx_array_init(&shares->served, w->cycle->pool, 16,
                          sizeof(uint64_t))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_queue_init(&shares->sent);
    ngx_queue_init(&shares->again);

    ev = &shares->again_event;

    ev->handler = ngx_mqtt_share_again_handler;
    ev->data = &w->ident;
    ev->log = w->log;

    w->route->shares = shares;

    ngx_mqtt_share_bus_init(w);
    ngx_mqtt_share_rest_init(w);

    return NGX_OK;
}


/* the clients have gone: what they gave up goes to other workers */

void
ngx_mqtt_share_stop(ngx_mqtt_worker_t *w)
{
    ngx_queue_t        *q;
    ngx_mqtt_shares_t  *shares;

    shares = w->route->shares;

    ngx_mqtt_share_again_handler(&shares->again_event);

    if (shares->again_event.posted) {
        ngx_delete_posted_event(&shares->again_event);
    }

    while (!ngx_queue_empty(&shares->sent)) {
        q = ngx_queue_head(&shares->sent);
        ngx_queue_remove(q);

        ngx_mqtt_shared_free(ngx_queue_data(q, ngx_mqtt_shared_t, queue));
    }

    ngx_mqtt_hash_free(&shares->away);
    ngx_mqtt_hash_free(&shares->ids);

    w->route->shares = NULL;
}


/* a share name has no "/" */

uint64_t
ngx_mqtt_share_id(ngx_mqtt_worker_t *w, ngx_str_t *filter, ngx_str_t *name)
{
    u_char      digest[20];
    uint64_t    id;
    ngx_sha1_t  sha1;

    ngx_sha1_init(&sha1);
    ngx_sha1_update(&sha1, &ngx_mqtt_zone(w->gateway)->seed,
                    sizeof(uint64_t));
    ngx_sha1_update(&sha1, name->data, name->len);
    ngx_sha1_update(&sha1, "/", 1);
    ngx_sha1_update(&sha1, filter->data, filter->len);
    ngx_sha1_final(digest, &sha1);

    ngx_memcpy(&id, digest, sizeof(uint64_t));

    return id ? id : 1;
}


ngx_mqtt_share_t *
ngx_mqtt_share_join(ngx_mqtt_worker_t *w, ngx_mqtt_filter_node_t *node,
    ngx_str_t *name, ngx_mqtt_sub_t *sub)
{
    ngx_mqtt_share_t  *share;

    for (share = node->shares; share; share = share->next) {

        if (share->name.len == name->len
            && ngx_memcmp(share->name.data, name->data, name->len) == 0)
        {
            break;
        }
    }

    if (share == NULL) {
        share = ngx_mqtt_share_create(w, node, name);
        if (share == NULL) {
            return NULL;
        }
    }

    if (ngx_mqtt_directory_share(w, &node->node.key, share->id,
                                 share->nmembers + 1)
        != NGX_OK)
    {
        ngx_mqtt_share_prune(w, node, share);
        return NULL;
    }

    if (share->nmembers == 0
        && ngx_mqtt_interest_add(w, &node->node.key, name) != NGX_OK)
    {
        (void) ngx_mqtt_directory_share(w, &node->node.key, share->id, 0);
        ngx_mqtt_share_prune(w, node, share);
        return NULL;
    }

    share->nmembers++;
    ngx_queue_insert_head(&share->members, &sub->queue);

    ngx_mqtt_share_stall(w, &node->node.key, share, 0);
    ngx_mqtt_group_ready(w, share->id);

    return share;
}


static ngx_mqtt_share_t *
ngx_mqtt_share_create(ngx_mqtt_worker_t *w, ngx_mqtt_filter_node_t *node,
    ngx_str_t *name)
{
    ngx_mqtt_share_t  *share;

    share = ngx_mqtt_calloc(w, sizeof(ngx_mqtt_share_t) + name->len);
    if (share == NULL) {
        return NULL;
    }

    ngx_queue_init(&share->members);

    share->id = ngx_mqtt_share_id(w, &node->node.key, name);

    share->node.key.len = sizeof(uint64_t);
    share->node.key.data = (u_char *) &share->id;

    share->name.len = name->len;
    share->name.data = (u_char *) share + sizeof(ngx_mqtt_share_t);
    ngx_memcpy(share->name.data, name->data, name->len);

    if (ngx_mqtt_hash_insert(&w->route->shares->ids, &share->node)
        != NGX_OK)
    {
        ngx_mqtt_free(w, share, sizeof(ngx_mqtt_share_t) + name->len);
        return NULL;
    }

    share->next = node->shares;
    node->shares = share;

    return share;
}


void
ngx_mqtt_share_leave(ngx_mqtt_worker_t *w, ngx_mqtt_filter_node_t *node,
    ngx_mqtt_share_t *share)
{
    share->nmembers--;

    (void) ngx_mqtt_directory_share(w, &node->node.key, share->id,
                                    share->nmembers);

    if (share->nmembers == 0) {
        ngx_mqtt_interest_remove(w, &node->node.key, &share->name);
        ngx_mqtt_group_left(w, share->id);
    }

    ngx_mqtt_share_prune(w, node, share);
}


static void
ngx_mqtt_share_prune(ngx_mqtt_worker_t *w, ngx_mqtt_filter_node_t *node,
    ngx_mqtt_share_t *share)
{
    ngx_mqtt_share_t  **next;

    if (share->nmembers) {
        return;
    }

    for (next = &node->shares; *next != share; next = &(*next)->next) {
        /* void */
    }

    *next = share->next;

    ngx_mqtt_hash_remove(&w->route->shares->ids, &share->node);
    ngx_mqtt_free(w, share, sizeof(ngx_mqtt_share_t) + share->name.len);
}


ngx_mqtt_share_t *
ngx_mqtt_share_find(ngx_mqtt_worker_t *w, uint64_t id)
{
    ngx_str_t              key;
    ngx_mqtt_hash_node_t  *node;

    key.len = sizeof(uint64_t);
    key.data = (u_char *) &id;

    node = ngx_mqtt_hash_find(&w->route->shares->ids, &key);

    return node ? ngx_queue_data(node, ngx_mqtt_share_t, node) : NULL;
}


ngx_int_t
ngx_mqtt_share_publish(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_workers_t *workers, ngx_mqtt_logged_t *logged)
{
    ngx_uint_t           n;
    ngx_mqtt_groups_t   *found;
    ngx_mqtt_workers_t   again;

    found = &w->route->shares->found;

    if (workers->groups && workers->groups != found->serial) {

        /* another message was prepared in the meantime */

        (void) ngx_mqtt_directory_find(w, &m->topic, &again, found);
        workers = &again;
    }

    if (workers->groups == 0) {

        /* nobody else has members */

        return ngx_mqtt_share_ours(w, m, NULL, logged) ? NGX_OK
                                                       : NGX_DECLINED;
    }

    n = ngx_mqtt_share_found(w, m, found, logged);

    if (found->incomplete) {
        n += ngx_mqtt_share_ours(w, m, found, logged);
    }

    if (found->more) {
        ngx_mqtt_share_rest(w, m, found, logged);
        n++;
    }

    return n ? NGX_OK : NGX_DECLINED;
}


static ngx_uint_t
ngx_mqtt_share_found(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_groups_t *found, ngx_mqtt_logged_t *logged)
{
    ngx_uint_t           i;
    ngx_mqtt_group_t    *group;
    ngx_mqtt_share_t    *share;
    ngx_mqtt_workers_t   tried;

    group = found->groups.elts;

    for (i = 0; i < found->groups.nelts; i++) {

        if (found->incomplete) {
            share = ngx_mqtt_share_find(w, group[i].id);

            if (share) {
                share->serial = found->serial;
            }
        }

        if (ngx_mqtt_group_logged(logged, group[i].id)) {
            ngx_mqtt_group_notice(w, found, &group[i]);
            continue;
        }

        ngx_memzero(&tried, sizeof(ngx_mqtt_workers_t));

        if (ngx_mqtt_share_route(w, m, found, &group[i], NULL, &tried)
            != NGX_OK)
        {
            ngx_mqtt_share_drop(w, m, NULL);
        }
    }

    return i;
}


/* groups that match here, but those that were found */

static ngx_uint_t
ngx_mqtt_share_ours(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_groups_t *found, ngx_mqtt_logged_t *logged)
{
    uint64_t          *ids;
    ngx_uint_t         i, n;
    ngx_mqtt_share_t  *share;

    n = 0;
    ids = w->route->shared.elts;

    for (i = 0; i < w->route->shared.nelts; i++) {
        share = ngx_mqtt_share_find(w, ids[i]);

        if (share == NULL || (found && share->serial == found->serial)) {
            continue;
        }

        n++;

        if (ngx_mqtt_group_logged(logged, ids[i])) {
            ngx_mqtt_group_more(w, ids[i], 1);

        } else if (ngx_mqtt_share_local(w, m, ids[i], NULL) != NGX_OK) {
            ngx_mqtt_share_drop(w, m, NULL);
        }
    }

    return n;
}


/* groups that nobody but their own worker knows */

static void
ngx_mqtt_share_rest(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_groups_t *found, ngx_mqtt_logged_t *logged)
{
    uint64_t          *id, *ids;
    ngx_uint_t         i;
    ngx_array_t       *served;
    ngx_mqtt_group_t  *group;

    served = &w->route->shares->served;
    served->nelts = 0;

    group = found->groups.elts;

    for (i = 0; i < found->groups.nelts; i++) {
        id = ngx_array_push(served);
        if (id) {
            *id = group[i].id;
        }
    }

    ids = w->route->shared.elts;

    for (i = 0; i < w->route->shared.nelts; i++) {
        id = ngx_array_push(served);
        if (id) {
            *id = ids[i];
        }
    }

    /* these get it from their log */

    for (i = 0; logged && i < logged->n; i++) {

        if (logged->positions[i].group && logged->positions[i].number) {
            id = ngx_array_push(served);
            if (id) {
                *id = logged->positions[i].group;
            }
        }
    }

    (void) ngx_mqtt_share_rest_send(w, m, 0, &found->pending, served);
}


ngx_uint_t
ngx_mqtt_share_match(ngx_mqtt_worker_t *w, ngx_str_t *topic)
{
    ngx_mqtt_route_t  *route;

    route = w->route;
    route->shared.nelts = 0;

    ngx_mqtt_filters_match(&route->filters, topic, ngx_mqtt_share_matched,
                           &route->shared);

    return route->shared.nelts;
}


void
ngx_mqtt_share_matched(void *data, ngx_mqtt_filter_node_t *node)
{
    ngx_array_t *ids = data;

    uint64_t          *id;
    ngx_mqtt_share_t  *share;

    for (share = node->shares; share; share = share->next) {
        id = ngx_array_push(ids);

        if (id) {
            *id = share->id;
        }
    }
}


ngx_uint_t
ngx_mqtt_share_is_here(ngx_mqtt_worker_t *w, ngx_str_t *topic, uint64_t id)
{
    ngx_mqtt_groups_t   *one;
    ngx_mqtt_workers_t   workers;

    if (ngx_mqtt_share_find(w, id)) {
        return 1;
    }

    one = &w->route->shares->one;
    one->only = id;

    (void) ngx_mqtt_directory_find(w, topic, &workers, one);

    return workers.groups != 0;
}


void
ngx_mqtt_share_to_any(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m, uint64_t id,
    ngx_mqtt_shared_t *sd, ngx_mqtt_workers_t *tried)
{
    ngx_int_t            rc;
    ngx_mqtt_groups_t   *one;
    ngx_mqtt_workers_t   workers;

    one = &w->route->shares->one;
    one->only = id;

    rc = NGX_DECLINED;

    (void) ngx_mqtt_directory_find(w, &m->topic, &workers, one);

    if (workers.groups && one->groups.nelts) {
        rc = ngx_mqtt_share_route(w, m, one, one->groups.elts, sd, tried);
    }

    if (rc != NGX_OK && !ngx_mqtt_workers_has(tried, w->slot_index)) {
        rc = ngx_mqtt_share_local(w, m, id, sd);
    }

    if (rc != NGX_OK && workers.groups && one->more) {
        rc = ngx_mqtt_share_rest_send(w, m, id, &one->pending, NULL);

        if (rc == NGX_OK && sd) {
            ngx_mqtt_share_done(sd);
        }
    }

    if (rc != NGX_OK) {
        ngx_mqtt_share_drop(w, m, sd);
    }
}


/* "tried" grows, so this ends */

static ngx_int_t
ngx_mqtt_share_route(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_groups_t *groups, ngx_mqtt_group_t *group,
    ngx_mqtt_shared_t *sd, ngx_mqtt_workers_t *tried)
{
    ngx_int_t   rc;
    ngx_uint_t  slot;

    for ( ;; ) {
        slot = ngx_mqtt_group_choose(w, groups, group, tried);

        if (slot == NGX_MQTT_ZONE_SLOTS) {
            return NGX_DECLINED;
        }

        rc = (slot == w->slot_index)
             ? ngx_mqtt_share_local(w, m, group->id, sd)
             : ngx_mqtt_share_send(w, m, group->id, slot, tried, sd);

        if (rc == NGX_OK) {
            return NGX_OK;
        }

        ngx_mqtt_workers_set(tried, slot);
    }
}


void
ngx_mqtt_share_drop(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m,
    ngx_mqtt_shared_t *sd)
{
    ngx_mqtt_shares_t  *shares;

    shares = w->route->shares;

    ngx_mqtt_count(w, NGX_MQTT_STAT_messages_out_dropped);

    if (m->qos && (shares->warned == 0
                   || ngx_time() - shares->warned >= NGX_MQTT_SHARE_WARN))
    {
        shares->warned = ngx_time();

        ngx_log_error(NGX_LOG_WARN, w->log, 0,
                      "no member of a shared subscription takes a message, "
                      "it is dropped, topic: \"%V\", gateway: \"%V\"",
                      &m->topic, &w->gateway->name);
    }

    if (sd) {
        ngx_mqtt_share_done(sd);
    }
}


ngx_mqtt_shared_t *
ngx_mqtt_shared_create(ngx_mqtt_worker_t *w, ngx_mqtt_msg_t *m, uint64_t group)
{
    ngx_mqtt_shared_t  *sd;

    sd = ngx_mqtt_alloc(w, sizeof(ngx_mqtt_shared_t));
    if (sd == NULL) {
        return NULL;
    }

    ngx_mqtt_msg_ref(m);

    sd->worker = w;
    sd->msg = m;
    sd->group = group;
    sd->tag = 0;
    sd->number = 0;
    sd->take = 0;

    return sd;
}


void
ngx_mqtt_shared_free(ngx_mqtt_shared_t *sd)
{
    ngx_mqtt_msg_unref(sd->msg);
    ngx_mqtt_free(sd->worker, sd, sizeof(ngx_mqtt_shared_t));
}


ngx_uint_t
ngx_mqtt_share_alone(ngx_mqtt_shared_t *sd, ngx_mqtt_subscriber_t *subscriber)
{
    ngx_uint_t                i, n;
    ngx_mqtt_sub_t           *sub;
    ngx_mqtt_share_t         *share;
    ngx_mqtt_groups_t        *one;
    ngx_mqtt_worker_t        *w;
    ngx_mqtt_workers_t        workers;
    ngx_mqtt_group_worker_t  *gw;

    w = sd->worker;

    if (sd->number) {

        /* its log keeps it, for whoever comes first */

        return 0;
    }

    share = ngx_mqtt_share_find(w, sd->group);
    n = share ? share->nmembers : 0;

    for (sub = subscriber->subs; sub; sub = sub->next) {

        if (share && sub->share == share) {
            n--;
        }
    }

    if (n) {
        return 0;
    }

    one = &w->route->shares->one;
    one->only = sd->group;

    (void) ngx_mqtt_directory_find(w, &sd->msg->topic, &workers, one);

    if (workers.groups == 0) {
        return 1;
    }

    gw = one->workers.elts;

    for (i = 0; i < one->workers.nelts; i++) {
        if (gw[i].slot != w->slot_index) {
            return 0;
        }
    }

    return !one->more;
}


uint64_t
ngx_mqtt_share_of(ngx_mqtt_shared_t *sd)
{
    return sd->group;
}


void
ngx_mqtt_share_done(ngx_mqtt_shared_t *sd)
{
    if (sd->number) {
        ngx_mqtt_group_done(sd);
        return;
    }

    if (sd->tag) {
        ngx_mqtt_share_send_done(sd);
    }

    ngx_mqtt_shared_free(sd);
}


void
ngx_mqtt_share_again(ngx_mqtt_shared_t *sd)
{
    ngx_mqtt_shares_t  *shares;

    if (sd->number) {
        ngx_mqtt_group_again(sd);
        return;
    }

    shares = sd->worker->route->shares;

    ngx_queue_insert_tail(&shares->again, &sd->queue);
    ngx_post_event(&shares->again_event, &ngx_posted_events);
}


static void
ngx_mqtt_share_again_handler(ngx_event_t *ev)
{
    ngx_queue_t         *q;
    ngx_mqtt_shared_t   *sd;
    ngx_mqtt_shares_t   *shares;
    ngx_mqtt_worker_t   *w;
    ngx_mqtt_workers_t   tried;

    w = ngx_mqtt_event_worker(ev);
    shares = w->route->shares;

    while (!ngx_queue_empty(&shares->again)) {
        q = ngx_queue_head(&shares->again);
        sd = ngx_queue_data(q, ngx_mqtt_shared_t, queue);

        ngx_queue_remove(q);

        ngx_memzero(&tried, sizeof(ngx_mqtt_workers_t));

        ngx_mqtt_share_to_any(w, sd->msg, sd->group, sd, &tried);
    }
}
