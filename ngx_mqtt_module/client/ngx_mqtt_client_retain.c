
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Retained messages to a client that subscribes, 3.3.1.3 and 3.8.3.1.
 *
 * (1) Every filter of a SUBSCRIBE that asks for retained messages is a job;
 *     the jobs of a client run one after another.
 * (2) A message is delivered only when the client has room for it, the next
 *     page is asked for only when the last one is delivered: a look-up never
 *     makes a client slow, and however many messages match, none is dropped.
 * (3) What is looked up is older than what is delivered live in the meantime:
 *     a topic that had a live message with RETAIN since the SUBSCRIBE of the
 *     job is left out, or the client would be left with the older one.
 * (4) Jobs are freed with the client, never while it is being closed: closing
 *     may start inside of a delivery.
 *
 * Called from: SUBSCRIBE, UNSUBSCRIBE, pages of a look-up, and whatever makes
 * room: acknowledgements, an empty output.
 */


#include "ngx_mqtt_client.h"
#include "ngx_mqtt_retain.h"


/* topics remembered for (3) */

#define NGX_MQTT_RETAINED_LIVE  1024


typedef struct {
    ngx_queue_t                queue;        /* in retained->jobs */
    ngx_mqtt_client_t         *client;
    ngx_mqtt_retain_lookup_t   lookup;
    uint32_t                   id;           /* of the subscription */
    uint32_t                   since;        /* retained->nlive at SUBSCRIBE */
    unsigned                   qos:2;        /* granted */
    unsigned                   no_local:1;
    unsigned                   waiting:1;    /* for a page */
} ngx_mqtt_retained_job_t;


/* a topic that was delivered live, its bytes behind the struct */

typedef struct {
    ngx_mqtt_hash_node_t       node;
    uint32_t                   number;       /* of its last message */
} ngx_mqtt_retained_live_t;


struct ngx_mqtt_retained_s {
    ngx_queue_t                jobs;
    ngx_mqtt_hash_t            live;
    uint32_t                   nlive;        /* messages */
};


static void ngx_mqtt_retained_page(ngx_mqtt_retain_lookup_t *lookup,
    ngx_int_t rc);
static ngx_int_t ngx_mqtt_retained_send(ngx_mqtt_client_t *mc,
    ngx_mqtt_retained_job_t *job);
static ngx_uint_t ngx_mqtt_retained_skip(ngx_mqtt_client_t *mc,
    ngx_mqtt_retained_job_t *job, ngx_mqtt_msg_t *m);
static void ngx_mqtt_retained_remove(ngx_mqtt_client_t *mc,
    ngx_mqtt_retained_job_t *job);
static void ngx_mqtt_retained_free(ngx_mqtt_client_t *mc);


ngx_int_t
ngx_mqtt_client_retained_start(ngx_mqtt_client_t *mc, ngx_str_t *filter,
    ngx_uint_t options, uint32_t id)
{
    ngx_mqtt_worker_t        *w;
    ngx_mqtt_retained_t      *retained;
    ngx_mqtt_retained_job_t  *job;

    w = mc->worker;

    if (ngx_mqtt_client_get_extra(mc) == NULL) {
        return NGX_ERROR;
    }

    /* a second SUBSCRIBE begins again */

    ngx_mqtt_client_retained_cancel(mc, filter);

    retained = mc->extra->retained;

    if (retained == NULL) {
        retained = ngx_mqtt_calloc(w, sizeof(ngx_mqtt_retained_t));
        if (retained == NULL) {
            return NGX_ERROR;
        }

        ngx_queue_init(&retained->jobs);
        mc->extra->retained = retained;
    }

    job = ngx_mqtt_alloc(w, sizeof(ngx_mqtt_retained_job_t));
    if (job == NULL) {
        return NGX_ERROR;
    }

    if (ngx_mqtt_retain_lookup(w, &job->lookup, filter) != NGX_OK) {
        ngx_mqtt_free(w, job, sizeof(ngx_mqtt_retained_job_t));
        return NGX_ERROR;
    }

    job->lookup.done = ngx_mqtt_retained_page;
    job->lookup.data = job;

    job->client = mc;
    job->id = id;
    job->since = retained->nlive;
    job->qos = options & NGX_MQTT_SUB_QOS;
    job->no_local = (options & NGX_MQTT_SUB_NO_LOCAL) ? 1 : 0;
    job->waiting = 0;

    ngx_queue_insert_tail(&retained->jobs, &job->queue);

    ngx_mqtt_client_retained_run(mc);

    return NGX_OK;
}


void
ngx_mqtt_client_retained_cancel(ngx_mqtt_client_t *mc, ngx_str_t *filter)
{
    ngx_queue_t              *q;
    ngx_mqtt_retained_t      *retained;
    ngx_mqtt_retained_job_t  *job;

    if (mc->extra == NULL || mc->extra->retained == NULL) {
        return;
    }

    retained = mc->extra->retained;

    for (q = ngx_queue_head(&retained->jobs);
         q != ngx_queue_sentinel(&retained->jobs);
         q = ngx_queue_next(q))
    {
        job = ngx_queue_data(q, ngx_mqtt_retained_job_t, queue);

        if (job->lookup.filter.len == filter->len
            && ngx_memcmp(job->lookup.filter.data, filter->data, filter->len)
               == 0)
        {
            ngx_mqtt_retained_remove(mc, job);
            ngx_mqtt_client_retained_run(mc);
            return;
        }
    }
}


void
ngx_mqtt_client_retained_run(ngx_mqtt_client_t *mc)
{
    ngx_queue_t              *q;
    ngx_mqtt_retained_t      *retained;
    ngx_mqtt_retained_job_t  *job;

    retained = mc->extra->retained;

    while (!ngx_queue_empty(&retained->jobs)) {
        q = ngx_queue_head(&retained->jobs);
        job = ngx_queue_data(q, ngx_mqtt_retained_job_t, queue);

        if (job->waiting || ngx_mqtt_retained_send(mc, job) != NGX_OK) {
            return;
        }

        if (!job->lookup.finished
            && ngx_mqtt_retain_next(&job->lookup) == NGX_OK)
        {
            job->waiting = 1;
            return;
        }

        ngx_mqtt_retained_remove(mc, job);
    }

    ngx_mqtt_retained_free(mc);
}


static void
ngx_mqtt_retained_page(ngx_mqtt_retain_lookup_t *lookup, ngx_int_t rc)
{
    ngx_mqtt_retained_job_t  *job;

    job = lookup->data;

    job->waiting = 0;

    if (!job->client->closing) {
        ngx_mqtt_client_retained_run(job->client);
    }
}


/* NGX_AGAIN: there is no room; NGX_ERROR: the client is closing */

static ngx_int_t
ngx_mqtt_retained_send(ngx_mqtt_client_t *mc, ngx_mqtt_retained_job_t *job)
{
    ngx_uint_t                 qos;
    ngx_mqtt_msg_t            *m;
    ngx_mqtt_copy_t            copy;
    ngx_mqtt_retain_lookup_t  *lookup;

    lookup = &job->lookup;

    ngx_memzero(&copy, sizeof(ngx_mqtt_copy_t));

    copy.retain = 1;
    copy.ids = &job->id;
    copy.nids = job->id ? 1 : 0;

    while (lookup->next < lookup->nmsgs) {
        m = lookup->msgs[lookup->next];
        qos = ngx_min(job->qos, m->qos);

        if (!ngx_mqtt_client_has_room(mc, qos)) {
            return NGX_AGAIN;
        }

        lookup->next++;

        if (!ngx_mqtt_retained_skip(mc, job, m)) {

            /* it is one of the past, unlike those of (3) */

            m->retain = 0;

            ngx_mqtt_count(mc->worker, NGX_MQTT_STAT_retained_sent);

            copy.qos = qos;
            ngx_mqtt_client_deliver(&mc->subscriber, m, &copy);
        }

        ngx_mqtt_msg_unref(m);

        if (mc->closing) {
            return NGX_ERROR;
        }
    }

    ngx_mqtt_retain_page_free(lookup);

    return NGX_OK;
}


static ngx_uint_t
ngx_mqtt_retained_skip(ngx_mqtt_client_t *mc, ngx_mqtt_retained_job_t *job,
    ngx_mqtt_msg_t *m)
{
    ngx_mqtt_hash_node_t      *node;
    ngx_mqtt_retained_live_t  *live;

    node = ngx_mqtt_hash_find(&mc->extra->retained->live, &m->topic);

    if (node) {
        live = (ngx_mqtt_retained_live_t *) node;

        if ((int32_t) (live->number - job->since) > 0) {
            return 1;
        }
    }

    /* [MQTT-3.8.3-3] */

    return job->no_local
           && m->origin.len == mc->node.key.len
           && ngx_memcmp(m->origin.data, mc->node.key.data, m->origin.len)
              == 0;
}


void
ngx_mqtt_client_retained_live(ngx_mqtt_client_t *mc, ngx_mqtt_msg_t *m)
{
    ngx_mqtt_worker_t         *w;
    ngx_mqtt_retained_t       *retained;
    ngx_mqtt_hash_node_t      *node;
    ngx_mqtt_retained_live_t  *live;

    w = mc->worker;
    retained = mc->extra->retained;

    retained->nlive++;

    node = ngx_mqtt_hash_find(&retained->live, &m->topic);

    if (node) {
        live = (ngx_mqtt_retained_live_t *) node;
        live->number = retained->nlive;
        return;
    }

    if (retained->live.count == NGX_MQTT_RETAINED_LIVE) {
        return;
    }

    live = ngx_mqtt_alloc(w, sizeof(ngx_mqtt_retained_live_t) + m->topic.len);
    if (live == NULL) {
        return;
    }

    live->number = retained->nlive;
    live->node.key.len = m->topic.len;
    live->node.key.data = (u_char *) live + sizeof(ngx_mqtt_retained_live_t);
    ngx_memcpy(live->node.key.data, m->topic.data, m->topic.len);

    if (ngx_mqtt_hash_insert(&retained->live, &live->node) != NGX_OK) {
        ngx_mqtt_free(w, live,
                      sizeof(ngx_mqtt_retained_live_t) + m->topic.len);
    }
}


static void
ngx_mqtt_retained_remove(ngx_mqtt_client_t *mc, ngx_mqtt_retained_job_t *job)
{
    ngx_queue_remove(&job->queue);
    ngx_mqtt_retain_lookup_end(&job->lookup);

    ngx_mqtt_free(mc->worker, job, sizeof(ngx_mqtt_retained_job_t));
}


void
ngx_mqtt_client_retained_discard(ngx_mqtt_client_t *mc)
{
    ngx_queue_t          *q;
    ngx_mqtt_retained_t  *retained;

    retained = mc->extra->retained;

    if (retained == NULL) {
        return;
    }

    while (!ngx_queue_empty(&retained->jobs)) {
        q = ngx_queue_head(&retained->jobs);
        ngx_mqtt_retained_remove(mc, ngx_queue_data(q, ngx_mqtt_retained_job_t,
                                                    queue));
    }

    ngx_mqtt_retained_free(mc);
}


static void
ngx_mqtt_retained_free(ngx_mqtt_client_t *mc)
{
    ngx_uint_t             i;
    ngx_mqtt_worker_t     *w;
    ngx_mqtt_retained_t   *retained;
    ngx_mqtt_hash_node_t  *node;

    w = mc->worker;
    retained = mc->extra->retained;

    for (i = 0; i < retained->live.size; i++) {

        while (retained->live.buckets[i]) {
            node = retained->live.buckets[i];

            ngx_mqtt_hash_remove(&retained->live, node);
            ngx_mqtt_free(w, node,
                          sizeof(ngx_mqtt_retained_live_t) + node->key.len);
        }
    }

    ngx_mqtt_hash_free(&retained->live);
    ngx_mqtt_free(w, retained, sizeof(ngx_mqtt_retained_t));

    mc->extra->retained = NULL;
}
