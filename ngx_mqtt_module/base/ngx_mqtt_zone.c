
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The shared zone of a gateway; its invariants are in ngx_mqtt_zone.h.
 *
 * The zone's init handler runs in the master, possibly while old workers use
 * the memory and possibly for a configuration that is then rejected (P25): it
 * makes a new zone or attaches to the old one, nothing else.
 */


#include "ngx_mqtt.h"


#define NGX_MQTT_ZONE_MIN                                                     \
    (sizeof(ngx_mqtt_zone_t) + 32 * ngx_pagesize)

/* one page of so many stays free in the slab pool */

#define NGX_MQTT_ZONE_SPARE  16

#define NGX_MQTT_ZONE_MAGIC                                                   \
    (NGX_MQTT_ZONE_LAYOUT << 24 | sizeof(ngx_mqtt_zone_t))


static ngx_int_t ngx_mqtt_zone_init(ngx_shm_zone_t *shm_zone, void *data);
static ngx_int_t ngx_mqtt_zone_init_directory(ngx_slab_pool_t *sp,
    ngx_mqtt_zone_t *zone);
static uint64_t ngx_mqtt_zone_random(ngx_log_t *log);
static ngx_uint_t ngx_mqtt_zone_find_slot(ngx_mqtt_zone_t *zone);
static void ngx_mqtt_zone_free_slot(ngx_mqtt_zone_t *zone,
    ngx_mqtt_zone_slot_t *slot);


#define NGX_MQTT_COUNTER_GAUGE    1
#define NGX_MQTT_COUNTER_COUNTER  0

#define NGX_MQTT_COUNTER_ENTRY(name, kind, text)                              \
    { ngx_string(#name), NGX_MQTT_COUNTER_##kind },

ngx_mqtt_counter_t  ngx_mqtt_counters[] = {
    NGX_MQTT_COUNTERS(NGX_MQTT_COUNTER_ENTRY)
    { ngx_null_string, 0 }
};


ngx_shm_zone_t *
ngx_mqtt_zone_add(ngx_conf_t *cf, ngx_mqtt_gateway_t *gw, size_t size)
{
    ngx_str_t        name;
    ngx_shm_zone_t  *shm_zone;

    if (size < NGX_MQTT_ZONE_MIN) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "zone of mqtt_gateway \"%V\" is too small, "
                           "at least %uzk is needed",
                           &gw->name, NGX_MQTT_ZONE_MIN / 1024 + 1);
        return NULL;
    }

    name.len = sizeof("mqtt_gateway_") - 1 + gw->name.len;
    name.data = ngx_pnalloc(cf->pool, name.len);
    if (name.data == NULL) {
        return NULL;
    }

    ngx_sprintf(name.data, "mqtt_gateway_%V", &gw->name);

    shm_zone = ngx_shared_memory_add(cf, &name, size, &ngx_mqtt_module);
    if (shm_zone == NULL) {
        return NULL;
    }

    shm_zone->init = ngx_mqtt_zone_init;
    shm_zone->data = gw;

    return shm_zone;
}


static ngx_int_t
ngx_mqtt_zone_init(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_mqtt_zone_t  *zone;
    ngx_slab_pool_t  *sp;

    sp = (ngx_slab_pool_t *) shm_zone->shm.addr;

    if (data || shm_zone->shm.exists) {
        zone = sp->data;

        if (zone->layout != NGX_MQTT_ZONE_MAGIC) {
            ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                          "zone \"%V\" was made by another version of "
                          "the module, a restart is needed",
                          &shm_zone->shm.name);
            return NGX_ERROR;
        }

        return NGX_OK;
    }

    zone = ngx_slab_calloc(sp, sizeof(ngx_mqtt_zone_t));
    if (zone == NULL) {
        return NGX_ERROR;
    }

    sp->log_ctx = ngx_slab_alloc(sp, sizeof(" in mqtt zone \"\"")
                                     + shm_zone->shm.name.len);
    if (sp->log_ctx == NULL) {
        return NGX_ERROR;
    }

    ngx_sprintf(sp->log_ctx, " in mqtt zone \"%V\"%Z", &shm_zone->shm.name);

    zone->layout = NGX_MQTT_ZONE_MAGIC;
    zone->node_id = ngx_mqtt_zone_random(shm_zone->shm.log);
    zone->seed = ngx_mqtt_zone_random(shm_zone->shm.log);

    if (ngx_mqtt_zone_init_directory(sp, zone) != NGX_OK) {
        return NGX_ERROR;
    }

    sp->data = zone;

    return NGX_OK;
}


/*
 * The directory gets most of what is left, in one piece.  It manages its
 * memory by itself, because a worker that is killed inside of the slab
 * allocator would leave nothing that could be repaired.
 */

static ngx_int_t
ngx_mqtt_zone_init_directory(ngx_slab_pool_t *sp, ngx_mqtt_zone_t *zone)
{
    size_t  size;

    size = (sp->pfree - sp->pfree / NGX_MQTT_ZONE_SPARE) * ngx_pagesize;

    zone->directory = ngx_slab_alloc(sp, size);
    if (zone->directory == NULL) {
        return NGX_ERROR;
    }

    zone->directory_size = size;

    ngx_memzero(zone->directory, ngx_pagesize);

    return NGX_OK;
}


/* a node is a zone: two masters of a binary upgrade are two nodes (P29) */

static uint64_t
ngx_mqtt_zone_random(ngx_log_t *log)
{
    uint64_t     value;
    ngx_fd_t     fd;
    ngx_time_t  *tp;

    fd = ngx_open_file((u_char *) "/dev/urandom", NGX_FILE_RDONLY,
                       NGX_FILE_OPEN, 0);

    if (fd != NGX_INVALID_FILE) {

        if (ngx_read_fd(fd, &value, sizeof(uint64_t))
            != (ssize_t) sizeof(uint64_t))
        {
            value = 0;
        }

        if (ngx_close_file(fd) == NGX_FILE_ERROR) {
            ngx_log_error(NGX_LOG_CRIT, log, ngx_errno,
                          ngx_close_file_n " \"/dev/urandom\" failed");
        }

        if (value) {
            return value;
        }
    }

    tp = ngx_timeofday();

    return (uint64_t) tp->sec << 32 ^ (uint64_t) tp->msec << 20
           ^ (uint64_t) ngx_getpid();
}


ngx_int_t
ngx_mqtt_zone_attach(ngx_mqtt_worker_t *w)
{
    ngx_uint_t             found;
    ngx_slab_pool_t       *sp;
    ngx_mqtt_zone_t       *zone;
    ngx_mqtt_zone_slot_t  *slot;

    zone = ngx_mqtt_zone(w->gateway);
    sp = (ngx_slab_pool_t *) w->gateway->shm_zone->shm.addr;

    ngx_shmtx_lock(&sp->mutex);

    found = ngx_mqtt_zone_find_slot(zone);

    if (found == NGX_MQTT_ZONE_SLOTS) {
        ngx_shmtx_unlock(&sp->mutex);

        ngx_log_error(NGX_LOG_EMERG, w->log, 0,
                      "mqtt_gateway \"%V\" has no slot left, "
                      "at most %d workers may run at a time",
                      &w->gateway->name, NGX_MQTT_ZONE_SLOTS);
        return NGX_ERROR;
    }

    slot = &zone->slots[found];

    ngx_mqtt_zone_free_slot(zone, slot);

    slot->pid = ngx_pid;
    slot->worker = ngx_worker;
    slot->exiting = 0;
    slot->consumer = 0;
    slot->behind = 0;
    slot->retain_begun = 0;
    slot->retain_oldest = 1;

    ngx_memzero(slot->status, sizeof(slot->status));

    if (found >= zone->nslots) {
        zone->nslots = found + 1;
    }

    w->slot = slot;
    w->slot_index = found;
    w->generation = ++zone->generations;
    w->counters = slot->counters;

    ngx_memory_barrier();
    slot->generation = w->generation;

    ngx_shmtx_unlock(&sp->mutex);

    return NGX_OK;
}


static ngx_uint_t
ngx_mqtt_zone_find_slot(ngx_mqtt_zone_t *zone)
{
    ngx_uint_t             i, found;
    ngx_mqtt_zone_slot_t  *slot;

    found = NGX_MQTT_ZONE_SLOTS;

    for (i = 0; i < NGX_MQTT_ZONE_SLOTS; i++) {
        slot = &zone->slots[i];

        if (slot->generation
            && kill(slot->pid, 0) == -1 && ngx_errno == NGX_ESRCH)
        {
            ngx_mqtt_zone_free_slot(zone, slot);
        }

        if (slot->generation) {
            continue;
        }

        if (found == NGX_MQTT_ZONE_SLOTS
            || (zone->slots[found].directory && !slot->directory))
        {
            found = i;
        }
    }

    return found;
}


void
ngx_mqtt_zone_detach(ngx_mqtt_worker_t *w)
{
    if (w->slot) {
        (void) ngx_mqtt_zone_bury(w, w->slot_index, w->generation);
        w->slot = NULL;
    }
}


ngx_int_t
ngx_mqtt_zone_bury(ngx_mqtt_worker_t *w, ngx_uint_t n, uint64_t generation)
{
    ngx_int_t              rc;
    ngx_slab_pool_t       *sp;
    ngx_mqtt_zone_t       *zone;
    ngx_mqtt_zone_slot_t  *slot;

    zone = ngx_mqtt_zone(w->gateway);
    sp = (ngx_slab_pool_t *) w->gateway->shm_zone->shm.addr;
    slot = &zone->slots[n];

    rc = NGX_DECLINED;

    ngx_shmtx_lock(&sp->mutex);

    if (slot->generation == generation) {
        ngx_mqtt_zone_free_slot(zone, slot);
        rc = NGX_OK;
    }

    ngx_shmtx_unlock(&sp->mutex);

    return rc;
}


/*
 * Each counter is moved, not copied and then cleared: whoever is killed in
 * the middle leaves a sum that is at most one counter off.
 */

static void
ngx_mqtt_zone_free_slot(ngx_mqtt_zone_t *zone, ngx_mqtt_zone_slot_t *slot)
{
    ngx_uint_t         i;
    ngx_atomic_uint_t  value;

    for (i = 0; i < NGX_MQTT_STATS; i++) {
        value = slot->counters[i];
        slot->counters[i] = 0;

        if (!ngx_mqtt_counters[i].gauge) {
            zone->retired[i] += value;
        }
    }

    ngx_memory_barrier();
    slot->generation = 0;
}
