
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The node's directory: which workers have a subscription that matches.
 *
 * (1) A filter stands in the store (ngx_mqtt_directory_store.h) before add()
 *     returns.  Who publishes afterwards finds it.
 * (2) Everything but the gates happens under the zone's mutex, a filter or
 *     a few hundred buckets at a time (P27).
 * (3) dir->torn is set while the store is changed.  Whoever takes the lock and
 *     finds it set follows a worker that was killed in the middle: it makes
 *     an empty store of a new epoch.  Each worker that sees another epoch adds
 *     its filters again; until it is done, it is "pending", and that matches
 *     everything.  Nothing of the torn store is read, or lost, or leaks.
 * (4) The gates let a publish that nobody else wants pass without the lock:
 *     it is closed when all pairs counted there are our own.  A new epoch and
 *     dir->npending are stored before the gates are cleared, so that whoever
 *     reads an epoch, nobody pending, the gates and the same epoch again has
 *     read gates of a complete store.
 * (5) The slot of a worker that is gone is given to another one only after all
 *     filters were taken from it: slot->directory says whether there may be
 *     some.  The sweep goes over the buckets in small steps, by any worker
 *     that finds a reason or comes by once a second; its position is in the
 *     zone, so that somebody else goes on when a sweeper dies.
 *
 * Called from: ngx_mqtt_route.c, gateway/ (life, bury).
 */


#include "ngx_mqtt_route_int.h"
#include "ngx_mqtt_directory_store.h"


#if (NGX_MQTT_DIR_SLOTS != NGX_MQTT_ZONE_SLOTS)
#error NGX_MQTT_DIR_SLOTS must be NGX_MQTT_ZONE_SLOTS
#endif


/* slot->directory */

#define NGX_MQTT_DIRECTORY_NONE        0
#define NGX_MQTT_DIRECTORY_USED        1
#define NGX_MQTT_DIRECTORY_SWEEP       2   /* of a worker that is gone */

#define NGX_MQTT_DIRECTORY_INTERVAL    1000
#define NGX_MQTT_DIRECTORY_RETRY       10  /* intervals */
#define NGX_MQTT_DIRECTORY_WARN        60  /* seconds */

#define NGX_MQTT_DIRECTORY_STEP        256 /* buckets and nodes per lock */
#define NGX_MQTT_DIRECTORY_STEPS       8   /* per turn of the event loop */


struct ngx_mqtt_directory_s {
    ngx_mqtt_worker_t            *worker;
    ngx_mqtt_zone_t              *zone;
    ngx_mqtt_dir_t               *dir;
    ngx_shmtx_t                  *mutex;

    ngx_mqtt_directory_each_pt    each;

    uint64_t                      epoch;    /* of the store we are in */
    ngx_event_t                   timer;
    ngx_event_t                   rebuild_event;
    ngx_event_t                   sweep_event;
    ngx_uint_t                    intervals;
    time_t                        warned;
    unsigned                      failed:1;

    uint32_t                      own[NGX_MQTT_DIR_GATES + 1];
};


static void ngx_mqtt_directory_init_event(ngx_mqtt_worker_t *w,
    ngx_event_t *ev, ngx_event_handler_pt handler);
static void ngx_mqtt_directory_delete_event(ngx_event_t *ev);
static ngx_uint_t ngx_mqtt_directory_closed(ngx_mqtt_directory_t *d,
    ngx_str_t *topic, ngx_uint_t gate);
static ngx_mqtt_dir_t *ngx_mqtt_directory_lock(ngx_mqtt_directory_t *d);
static void ngx_mqtt_directory_unlock(ngx_mqtt_directory_t *d);
static void ngx_mqtt_directory_reset(ngx_mqtt_directory_t *d);
static void ngx_mqtt_directory_arrived(ngx_mqtt_directory_t *d,
    ngx_uint_t slot);
static ngx_int_t ngx_mqtt_directory_count(ngx_mqtt_worker_t *w,
    ngx_str_t *filter, ngx_int_t rc, ngx_int_t n);
static void ngx_mqtt_directory_group(void *data, ngx_mqtt_dir_t *dir,
    ngx_mqtt_dir_node_t *node);
static void ngx_mqtt_directory_full(ngx_mqtt_worker_t *w);
static void ngx_mqtt_directory_rebuild(ngx_event_t *ev);
static void ngx_mqtt_directory_readd(ngx_mqtt_worker_t *w, ngx_str_t *filter,
    uint64_t group, ngx_uint_t members);
static void ngx_mqtt_directory_sweep_handler(ngx_event_t *ev);
static ngx_uint_t ngx_mqtt_directory_sweep(ngx_mqtt_directory_t *d);
static void ngx_mqtt_directory_sweep_begin(ngx_mqtt_directory_t *d);
static void ngx_mqtt_directory_sweep_end(ngx_mqtt_directory_t *d);
static void ngx_mqtt_directory_timer(ngx_event_t *ev);


#define ngx_mqtt_directory_change(dir)                                        \
    (dir)->torn = 1;                                                          \
    ngx_memory_barrier()

#define ngx_mqtt_directory_changed(dir)                                       \
    ngx_memory_barrier();                                                     \
    (dir)->torn = 0


ngx_int_t
ngx_mqtt_directory_start(ngx_mqtt_worker_t *w)
{
    ngx_mqtt_dir_t        *dir;
    ngx_slab_pool_t       *sp;
    ngx_mqtt_directory_t  *d;

    d = ngx_pcalloc(w->cycle->pool, sizeof(ngx_mqtt_directory_t));
    if (d == NULL) {
        return NGX_ERROR;
    }

    sp = (ngx_slab_pool_t *) w->gateway->shm_zone->shm.addr;

    d->worker = w;
    d->zone = ngx_mqtt_zone(w->gateway);
    d->dir = d->zone->directory;
    d->mutex = &sp->mutex;

    if (d->zone->directory_size < NGX_MQTT_DIR_MIN) {
        ngx_log_error(NGX_LOG_EMERG, w->log, 0,
                      "zone of mqtt_gateway \"%V\" is too small",
                      &w->gateway->name);
        return NGX_ERROR;
    }

    ngx_mqtt_directory_init_event(w, &d->timer, ngx_mqtt_directory_timer);
    ngx_mqtt_directory_init_event(w, &d->rebuild_event,
                                  ngx_mqtt_directory_rebuild);
    ngx_mqtt_directory_init_event(w, &d->sweep_event,
                                  ngx_mqtt_directory_sweep_handler);

    dir = ngx_mqtt_directory_lock(d);

    /* no better slot was left: see ngx_mqtt_zone_attach() */

    while (w->slot->directory != NGX_MQTT_DIRECTORY_NONE) {
        w->slot->directory = NGX_MQTT_DIRECTORY_SWEEP;
        (void) ngx_mqtt_directory_sweep(d);

        ngx_mqtt_directory_unlock(d);
        dir = ngx_mqtt_directory_lock(d);
    }

    ngx_mqtt_directory_change(dir);

    ngx_mqtt_directory_arrived(d, w->slot_index);
    w->slot->directory = NGX_MQTT_DIRECTORY_USED;
    ngx_mqtt_dir_bit_set(dir->live, w->slot_index);

    ngx_mqtt_directory_changed(dir);
    ngx_mqtt_directory_unlock(d);

    ngx_mqtt_directory_delete_event(&d->rebuild_event);

    ngx_add_timer(&d->timer, NGX_MQTT_DIRECTORY_INTERVAL);

    w->directory = d;

    /* we may have come in place of somebody who was killed */

    ngx_post_event(&d->sweep_event, &ngx_posted_events);

    return NGX_OK;
}


static void
ngx_mqtt_directory_init_event(ngx_mqtt_worker_t *w, ngx_event_t *ev,
    ngx_event_handler_pt handler)
{
    ev->handler = handler;
    ev->data = &w->ident;
    ev->log = w->log;
    ev->cancelable = 1;
}


static void
ngx_mqtt_directory_delete_event(ngx_event_t *ev)
{
    if (ev->posted) {
        ngx_delete_posted_event(ev);
    }

    if (ev->timer_set) {
        ngx_del_timer(ev);
    }
}


/* filters that are still there are left to a sweep of somebody else */

void
ngx_mqtt_directory_stop(ngx_mqtt_worker_t *w)
{
    ngx_mqtt_dir_t        *dir;
    ngx_mqtt_directory_t  *d;

    d = w->directory;

    dir = ngx_mqtt_directory_lock(d);
    ngx_mqtt_directory_change(dir);

    if (w->counters[NGX_MQTT_STAT_directory_filters] == 0) {
        ngx_mqtt_directory_arrived(d, w->slot_index);
        ngx_mqtt_dir_bit_clear(dir->live, w->slot_index);
        w->slot->directory = NGX_MQTT_DIRECTORY_NONE;
    }

    ngx_mqtt_directory_changed(dir);
    ngx_mqtt_directory_unlock(d);

    ngx_mqtt_directory_delete_event(&d->timer);
    ngx_mqtt_directory_delete_event(&d->rebuild_event);
    ngx_mqtt_directory_delete_event(&d->sweep_event);

    w->directory = NULL;
}


void
ngx_mqtt_directory_on_rebuild(ngx_mqtt_worker_t *w,
    ngx_mqtt_directory_each_pt each)
{
    w->directory->each = each;
}


ngx_int_t
ngx_mqtt_directory_add(ngx_mqtt_worker_t *w, ngx_str_t *filter)
{
    ngx_int_t              rc;
    ngx_mqtt_dir_t        *dir;
    ngx_mqtt_directory_t  *d;

    d = w->directory;

    dir = ngx_mqtt_directory_lock(d);
    ngx_mqtt_directory_change(dir);

    rc = ngx_mqtt_dir_insert(dir, filter, w->slot_index);

    return ngx_mqtt_directory_count(w, filter, rc, 1);
}


void
ngx_mqtt_directory_remove(ngx_mqtt_worker_t *w, ngx_str_t *filter)
{
    ngx_int_t              rc;
    ngx_mqtt_dir_t        *dir;
    ngx_mqtt_directory_t  *d;

    d = w->directory;

    dir = ngx_mqtt_directory_lock(d);
    ngx_mqtt_directory_change(dir);

    rc = ngx_mqtt_dir_delete(dir, filter, w->slot_index);

    (void) ngx_mqtt_directory_count(w, filter, rc, -1);
}


ngx_int_t
ngx_mqtt_directory_share(ngx_mqtt_worker_t *w, ngx_str_t *filter,
    uint64_t group, ngx_uint_t members)
{
    ngx_int_t              rc;
    ngx_mqtt_dir_t        *dir;
    ngx_mqtt_directory_t  *d;

    d = w->directory;

    dir = ngx_mqtt_directory_lock(d);
    ngx_mqtt_directory_change(dir);

    rc = ngx_mqtt_dir_share(dir, filter, group, w->slot_index, members);

    return ngx_mqtt_directory_count(w, filter, rc, members ? 1 : -1);
}


/* advice only: nothing is torn */

void
ngx_mqtt_directory_stall(ngx_mqtt_worker_t *w, ngx_str_t *filter,
    uint64_t group, ngx_uint_t stalled)
{
    ngx_mqtt_dir_t  *dir;

    dir = ngx_mqtt_directory_lock(w->directory);

    ngx_mqtt_dir_stall(dir, filter, group, w->slot_index, stalled);

    ngx_mqtt_directory_unlock(w->directory);
}


/* the end of a change: NGX_OK of the store means one pair more or less */

static ngx_int_t
ngx_mqtt_directory_count(ngx_mqtt_worker_t *w, ngx_str_t *filter,
    ngx_int_t rc, ngx_int_t n)
{
    ngx_uint_t             gate;
    ngx_mqtt_directory_t  *d;

    d = w->directory;

    if (rc == NGX_OK) {
        gate = ngx_mqtt_dir_gate(d->zone->seed, filter);

        d->own[gate] += (uint32_t) n;
        ngx_mqtt_count_add(w, NGX_MQTT_STAT_directory_filters, n);
    }

    ngx_mqtt_directory_changed(d->dir);
    ngx_mqtt_directory_unlock(d);

    if (rc == NGX_ERROR) {
        ngx_mqtt_directory_full(w);
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_uint_t
ngx_mqtt_directory_find(ngx_mqtt_worker_t *w, ngx_str_t *topic,
    ngx_mqtt_workers_t *workers, ngx_mqtt_groups_t *groups)
{
    uint64_t               wanted[NGX_MQTT_DIR_WORDS], any;
    ngx_uint_t             i, gate;
    ngx_mqtt_dir_t        *dir;
    ngx_mqtt_directory_t  *d;

    d = w->directory;

    ngx_memzero(workers, sizeof(ngx_mqtt_workers_t));

    gate = ngx_mqtt_dir_gate(d->zone->seed, topic);

    if (ngx_mqtt_directory_closed(d, topic, gate)) {
        return 0;
    }

    dir = ngx_mqtt_directory_lock(d);

    ngx_memcpy(wanted, dir->live, sizeof(wanted));
    ngx_mqtt_dir_bit_clear(wanted, w->slot_index);

    for (i = 0; i < NGX_MQTT_DIR_WORDS; i++) {
        workers->bits[i] = dir->pending[i] & wanted[i];
        wanted[i] &= ~dir->pending[i];
    }

    if (dir->npending || ngx_mqtt_dir_has_groups(dir, gate)) {
        ngx_mqtt_groups_reset(groups, workers);

        groups->incomplete = ngx_mqtt_dir_bit(dir->pending, w->slot_index)
                             != 0;

        ngx_mqtt_dir_match(dir, topic, wanted, workers->bits,
                           ngx_mqtt_directory_group, groups);

        if (groups->groups.nelts || groups->more) {
            workers->groups = groups->serial;
        }

    } else {
        ngx_mqtt_dir_match(dir, topic, wanted, workers->bits, NULL, NULL);
    }

    ngx_mqtt_directory_unlock(d);

    any = 0;

    for (i = 0; i < NGX_MQTT_DIR_WORDS; i++) {
        any |= workers->bits[i];
    }

    return any != 0;
}


static void
ngx_mqtt_directory_group(void *data, ngx_mqtt_dir_t *dir,
    ngx_mqtt_dir_node_t *node)
{
    ngx_mqtt_groups_t *groups = data;

    uint32_t                ref;
    uint64_t                id;
    ngx_mqtt_group_t       *group;
    ngx_mqtt_dir_member_t  *member;

    id = ngx_mqtt_dir_group_id(node);

    if (groups->only && groups->only != id) {
        return;
    }

    group = ngx_mqtt_groups_add(groups, id);
    if (group == NULL) {
        return;
    }

    group->turn = node->u.group.turn++;

    for (ref = node->workers; ref; ref = member->next) {
        member = ngx_mqtt_dir_member(dir, ref);

        if (ngx_mqtt_groups_add_worker(groups, group, member->slot,
                                       member->count, member->stalled)
            != NGX_OK)
        {
            return;
        }
    }
}


/* nobody else has a filter that might match; the order of reads matters */

static ngx_uint_t
ngx_mqtt_directory_closed(ngx_mqtt_directory_t *d, ngx_str_t *topic,
    ngx_uint_t gate)
{
    ngx_mqtt_dir_t  *dir;

    dir = d->dir;

    if (dir->epoch != d->epoch) {
        return 0;
    }

    ngx_memory_barrier();

    if (dir->npending) {
        return 0;
    }

    ngx_memory_barrier();

    if (dir->gates[gate] != d->own[gate]) {
        return 0;
    }

    /* 4.7.2: a wildcard at the first level does not match "$..." */

    if (topic->data[0] != '$'
        && dir->gates[NGX_MQTT_DIR_GATES] != d->own[NGX_MQTT_DIR_GATES])
    {
        return 0;
    }

    ngx_memory_barrier();

    return dir->epoch == d->epoch;
}


static ngx_mqtt_dir_t *
ngx_mqtt_directory_lock(ngx_mqtt_directory_t *d)
{
    ngx_mqtt_dir_t  *dir;

    dir = d->dir;

    ngx_shmtx_lock(d->mutex);

    if (dir->torn || dir->epoch == 0) {
        ngx_mqtt_directory_reset(d);
    }

    if (dir->epoch != d->epoch) {
        d->epoch = dir->epoch;

        ngx_memzero(d->own, sizeof(d->own));
        d->worker->counters[NGX_MQTT_STAT_directory_filters] = 0;

        ngx_post_event(&d->rebuild_event, &ngx_posted_events);
    }

    return dir;
}


static void
ngx_mqtt_directory_unlock(ngx_mqtt_directory_t *d)
{
    ngx_shmtx_unlock(d->mutex);
}


/* an empty store, whatever was there; torn until it is complete */

static void
ngx_mqtt_directory_reset(ngx_mqtt_directory_t *d)
{
    uint32_t               n;
    ngx_uint_t             i;
    ngx_mqtt_dir_t        *dir;
    ngx_mqtt_zone_slot_t  *slot;

    dir = d->dir;

    ngx_mqtt_directory_change(dir);

    ngx_memzero(dir->pending, sizeof(dir->pending));
    ngx_memzero(dir->swept, sizeof(dir->swept));

    dir->sweeping = 0;
    n = 0;

    for (i = 0; i < d->zone->nslots; i++) {
        slot = &d->zone->slots[i];

        if (slot->generation
            && slot->directory == NGX_MQTT_DIRECTORY_USED)
        {
            ngx_mqtt_dir_bit_set(dir->pending, i);
            n++;

        } else {
            slot->directory = NGX_MQTT_DIRECTORY_NONE;
        }
    }

    ngx_memcpy(dir->live, dir->pending, sizeof(dir->live));

    dir->npending = n;
    ngx_memory_barrier();

    dir->epoch++;
    ngx_memory_barrier();

    (void) ngx_mqtt_dir_format(dir, d->zone->directory_size, d->zone->seed);

    ngx_mqtt_directory_changed(dir);
}


/* its filters are in the store, or it will never have any again */

static void
ngx_mqtt_directory_arrived(ngx_mqtt_directory_t *d, ngx_uint_t slot)
{
    ngx_mqtt_dir_t  *dir;

    dir = d->dir;

    if (ngx_mqtt_dir_bit(dir->pending, slot)) {
        ngx_mqtt_dir_bit_clear(dir->pending, slot);
        dir->npending--;
    }
}


static void
ngx_mqtt_directory_full(ngx_mqtt_worker_t *w)
{
    ngx_mqtt_directory_t  *d;

    d = w->directory;

    ngx_mqtt_count(w, NGX_MQTT_STAT_directory_full);

    if (d->warned == 0
        || ngx_time() - d->warned >= NGX_MQTT_DIRECTORY_WARN)
    {
        d->warned = ngx_time();

        ngx_log_error(NGX_LOG_WARN, w->log, 0,
                      "zone is full, subscriptions are refused, "
                      "gateway: \"%V\"", &w->gateway->name);
    }
}


static void
ngx_mqtt_directory_rebuild(ngx_event_t *ev)
{
    uint64_t               epoch;
    ngx_mqtt_dir_t        *dir;
    ngx_mqtt_worker_t     *w;
    ngx_mqtt_directory_t  *d;

    w = ngx_mqtt_event_worker(ev);
    d = w->directory;

    if (!d->failed) {
        ngx_log_error(NGX_LOG_NOTICE, w->log, 0,
                      "a worker was killed while it changed the zone, "
                      "subscriptions are added again, gateway: \"%V\"",
                      &w->gateway->name);
    }

    epoch = d->epoch;
    d->failed = 0;

    if (d->each) {
        d->each(w, ngx_mqtt_directory_readd);
    }

    dir = ngx_mqtt_directory_lock(d);

    /* else the event is posted again, or the timer will do it */

    if (d->epoch == epoch && !d->failed) {
        ngx_mqtt_directory_change(dir);
        ngx_mqtt_directory_arrived(d, w->slot_index);
        ngx_mqtt_directory_changed(dir);
    }

    ngx_mqtt_directory_unlock(d);
}


static void
ngx_mqtt_directory_readd(ngx_mqtt_worker_t *w, ngx_str_t *filter,
    uint64_t group, ngx_uint_t members)
{
    ngx_int_t  rc;

    if (w->directory->failed) {
        return;
    }

    rc = group ? ngx_mqtt_directory_share(w, filter, group, members)
               : ngx_mqtt_directory_add(w, filter);

    if (rc != NGX_OK) {
        w->directory->failed = 1;
    }
}


void
ngx_mqtt_directory_bury(ngx_mqtt_worker_t *w, ngx_uint_t slot,
    uint64_t generation)
{
    (void) ngx_mqtt_zone_bury(w, slot, generation);

    if (w->directory) {
        ngx_post_event(&w->directory->sweep_event, &ngx_posted_events);
    }
}


static void
ngx_mqtt_directory_sweep_handler(ngx_event_t *ev)
{
    ngx_uint_t             i;
    ngx_mqtt_worker_t     *w;
    ngx_mqtt_directory_t  *d;

    w = ngx_mqtt_event_worker(ev);
    d = w->directory;

    for (i = 0; i < NGX_MQTT_DIRECTORY_STEPS; i++) {
        (void) ngx_mqtt_directory_lock(d);

        if (!ngx_mqtt_directory_sweep(d)) {
            ngx_mqtt_directory_unlock(d);
            return;
        }

        ngx_mqtt_directory_unlock(d);
    }

    ngx_post_event(ev, &ngx_posted_next_events);
}


/* one step; 0: there is nothing to sweep */

static ngx_uint_t
ngx_mqtt_directory_sweep(ngx_mqtt_directory_t *d)
{
    ngx_uint_t       n;
    ngx_mqtt_dir_t  *dir;

    dir = d->dir;

    ngx_mqtt_directory_change(dir);

    if (!dir->sweeping) {
        ngx_mqtt_directory_sweep_begin(d);
    }

    if (dir->sweeping) {

        for (n = 0;
             n < NGX_MQTT_DIRECTORY_STEP && dir->cursor < dir->buckets;
             n++)
        {
            n += ngx_mqtt_dir_sweep(dir, dir->cursor++, dir->swept);
        }

        if (dir->cursor >= dir->buckets) {
            ngx_mqtt_directory_sweep_end(d);
        }

        n = 1;

    } else {
        n = 0;
    }

    ngx_mqtt_directory_changed(dir);

    return n;
}


static void
ngx_mqtt_directory_sweep_begin(ngx_mqtt_directory_t *d)
{
    ngx_uint_t             i;
    ngx_mqtt_dir_t        *dir;
    ngx_mqtt_zone_slot_t  *slot;

    dir = d->dir;

    for (i = 0; i < d->zone->nslots; i++) {
        slot = &d->zone->slots[i];

        if (slot->directory == NGX_MQTT_DIRECTORY_SWEEP
            || (slot->directory == NGX_MQTT_DIRECTORY_USED
                && slot->generation == 0))
        {
            slot->directory = NGX_MQTT_DIRECTORY_SWEEP;

            ngx_mqtt_directory_arrived(d, i);
            ngx_mqtt_dir_bit_clear(dir->live, i);
            ngx_mqtt_dir_bit_set(dir->swept, i);

            dir->sweeping = 1;
        }
    }

    dir->cursor = 0;
}


static void
ngx_mqtt_directory_sweep_end(ngx_mqtt_directory_t *d)
{
    ngx_uint_t       i;
    ngx_mqtt_dir_t  *dir;

    dir = d->dir;

    for (i = 0; i < d->zone->nslots; i++) {
        if (ngx_mqtt_dir_bit(dir->swept, i)) {
            d->zone->slots[i].directory = NGX_MQTT_DIRECTORY_NONE;
        }
    }

    ngx_memzero(dir->swept, sizeof(dir->swept));
    dir->sweeping = 0;
}


static void
ngx_mqtt_directory_timer(ngx_event_t *ev)
{
    ngx_uint_t             i;
    ngx_mqtt_dir_t        *dir;
    ngx_mqtt_worker_t     *w;
    ngx_mqtt_directory_t  *d;

    w = ngx_mqtt_event_worker(ev);
    d = w->directory;
    dir = d->dir;

    if (dir->torn || dir->epoch != d->epoch) {
        (void) ngx_mqtt_directory_lock(d);
        ngx_mqtt_directory_unlock(d);
    }

    /* the zone was full when we added our filters again */

    if (ngx_mqtt_dir_bit(dir->pending, w->slot_index)
        && ++d->intervals % NGX_MQTT_DIRECTORY_RETRY == 0)
    {
        ngx_post_event(&d->rebuild_event, &ngx_posted_events);
    }

    for (i = 0; i < d->zone->nslots; i++) {

        if (d->zone->slots[i].generation == 0
            && d->zone->slots[i].directory != NGX_MQTT_DIRECTORY_NONE)
        {
            ngx_post_event(&d->sweep_event, &ngx_posted_events);
            break;
        }
    }

    ngx_add_timer(&d->timer, NGX_MQTT_DIRECTORY_INTERVAL);
}
