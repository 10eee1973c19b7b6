
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Limits of CONNECT, in a zone of their own.
 *
 * (1) The rate is one number, the time at which the next CONNECT would be in
 *     time were they evenly spaced; it is changed by compare and swap.
 * (2) Failures are counted in a table of fixed size, in sets of four entries:
 *     who has no place takes that of the least recent one in its set that is
 *     not banned.  So a flood of addresses takes no memory, and may at most
 *     make the gateway forget failures.
 * (3) The table changes under the slab mutex; it is read without, where a torn
 *     entry lets somebody through for once or refuses him once.
 * (4) Times are those of the monotonic clock, which all processes share.
 *
 * Called from: client/, for CONNECT.
 */


#include "ngx_mqtt_limit.h"


#define NGX_MQTT_LIMIT_ZONE      (1024 * 1024)
#define NGX_MQTT_LIMIT_SETS      4096
#define NGX_MQTT_LIMIT_WAYS      4

#define NGX_MQTT_LIMIT_ADDRESS   0x01
#define NGX_MQTT_LIMIT_CLIENT    0x02


typedef struct {
    uint64_t                   key;         /* 0: empty */
    uint32_t                   start;       /* of the counting, seconds */
    uint32_t                   failures;
    uint32_t                   until;       /* banned, seconds; 0: is not */
} ngx_mqtt_limit_entry_t;


typedef struct {
    ngx_atomic_t               next;        /* us */
    uint64_t                   seed;
    ngx_mqtt_limit_entry_t     entries[NGX_MQTT_LIMIT_SETS
                                       * NGX_MQTT_LIMIT_WAYS];
} ngx_mqtt_limit_zone_t;


struct ngx_mqtt_limit_s {
    ngx_shm_zone_t            *shm_zone;
    ngx_uint_t                 interval;    /* us per CONNECT; 0: no limit */
    ngx_uint_t                 burst;
    ngx_uint_t                 failures;    /* 0: no bans */
    time_t                     within;      /* seconds */
    time_t                     period;
    ngx_uint_t                 by;
};


static ngx_mqtt_limit_t *ngx_mqtt_limit_conf(ngx_conf_t *cf,
    ngx_mqtt_gateway_t *gw);
static ngx_int_t ngx_mqtt_limit_init_zone(ngx_shm_zone_t *shm_zone,
    void *data);
static ngx_int_t ngx_mqtt_limit_ban_parameter(ngx_mqtt_limit_t *limit,
    ngx_str_t *value);
static ngx_uint_t ngx_mqtt_limit_over_rate(ngx_mqtt_limit_t *limit);
static uint64_t ngx_mqtt_limit_key(ngx_mqtt_limit_zone_t *zone,
    ngx_uint_t kind, u_char *data, size_t len);
static uint64_t ngx_mqtt_limit_address(ngx_mqtt_limit_zone_t *zone,
    ngx_connection_t *c);
static ngx_uint_t ngx_mqtt_limit_banned(ngx_mqtt_limit_zone_t *zone,
    uint64_t key);
static ngx_uint_t ngx_mqtt_limit_fail(ngx_mqtt_limit_t *limit, uint64_t key);
static ngx_mqtt_limit_entry_t *ngx_mqtt_limit_entry(
    ngx_mqtt_limit_zone_t *zone, uint64_t key, uint32_t now);


static ngx_str_t  ngx_mqtt_limit_tag = ngx_string("mqtt_limit:");


#define ngx_mqtt_limit_zone(limit)                                            \
    ((ngx_mqtt_limit_zone_t *)                                                \
     ((ngx_slab_pool_t *) (limit)->shm_zone->shm.addr)->data)

#define ngx_mqtt_limit_now()  ((uint32_t) (ngx_current_msec / 1000) + 1)


char *
ngx_mqtt_limit_rate_directive(ngx_conf_t *cf, ngx_mqtt_gateway_t *gw)
{
    ngx_int_t          rate, burst;
    ngx_str_t         *value;
    ngx_mqtt_limit_t  *limit;

    limit = ngx_mqtt_limit_conf(cf, gw);
    if (limit == NULL) {
        return NGX_CONF_ERROR;
    }

    if (limit->interval) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (value[1].len < 4
        || ngx_strcmp(value[1].data + value[1].len - 3, "r/s") != 0)
    {
        goto invalid;
    }

    rate = ngx_atoi(value[1].data, value[1].len - 3);

    if (rate < 1 || rate > 1000000) {
        goto invalid;
    }

    burst = rate;

    if (cf->args->nelts == 3) {
        value++;

        if (ngx_strncmp(value[1].data, "burst=", 6) != 0) {
            goto invalid;
        }

        burst = ngx_atoi(value[1].data + 6, value[1].len - 6);

        if (burst < 1 || burst > 1000000) {
            goto invalid;
        }
    }

    limit->interval = 1000000 / rate;
    limit->burst = burst;

    return NGX_CONF_OK;

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "invalid parameter \"%V\"",
                       &value[1]);
    return NGX_CONF_ERROR;
}


char *
ngx_mqtt_limit_ban_directive(ngx_conf_t *cf, ngx_mqtt_gateway_t *gw)
{
    ngx_str_t         *value;
    ngx_uint_t         i;
    ngx_mqtt_limit_t  *limit;

    limit = ngx_mqtt_limit_conf(cf, gw);
    if (limit == NULL) {
        return NGX_CONF_ERROR;
    }

    if (limit->failures) {
        return "is duplicate";
    }

    limit->within = 60;
    limit->period = 300;
    limit->by = NGX_MQTT_LIMIT_ADDRESS;

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_mqtt_limit_ban_parameter(limit, &value[i]) != NGX_OK) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\"", &value[i]);
            return NGX_CONF_ERROR;
        }
    }

    if (limit->failures == 0) {
        return "needs \"failures=\"";
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_mqtt_limit_ban_parameter(ngx_mqtt_limit_t *limit, ngx_str_t *value)
{
    ngx_int_t  n;
    ngx_str_t  s;

    if (ngx_strncmp(value->data, "failures=", 9) == 0) {
        n = ngx_atoi(value->data + 9, value->len - 9);

        if (n < 1 || n > 1000000) {
            return NGX_ERROR;
        }

        limit->failures = n;

        return NGX_OK;
    }

    if (ngx_strncmp(value->data, "within=", 7) == 0
        || ngx_strncmp(value->data, "for=", 4) == 0)
    {
        n = (value->data[0] == 'w') ? 7 : 4;

        s.data = value->data + n;
        s.len = value->len - n;

        if (n == 7) {
            limit->within = ngx_parse_time(&s, 1);
            n = limit->within;

        } else {
            limit->period = ngx_parse_time(&s, 1);
            n = limit->period;
        }

        return (n < 1 || n > 31536000) ? NGX_ERROR : NGX_OK;
    }

    if (ngx_strcmp(value->data, "by=address") == 0) {
        limit->by = NGX_MQTT_LIMIT_ADDRESS;
        return NGX_OK;
    }

    if (ngx_strcmp(value->data, "by=clientid") == 0) {
        limit->by = NGX_MQTT_LIMIT_CLIENT;
        return NGX_OK;
    }

    if (ngx_strcmp(value->data, "by=both") == 0) {
        limit->by = NGX_MQTT_LIMIT_ADDRESS|NGX_MQTT_LIMIT_CLIENT;
        return NGX_OK;
    }

    return NGX_ERROR;
}


/* of this gateway, with its zone, when the first directive comes */

static ngx_mqtt_limit_t *
ngx_mqtt_limit_conf(ngx_conf_t *cf, ngx_mqtt_gateway_t *gw)
{
    ngx_str_t          name;
    ngx_mqtt_limit_t  *limit;

    if (gw->limit) {
        return gw->limit;
    }

    limit = ngx_pcalloc(cf->pool, sizeof(ngx_mqtt_limit_t));
    if (limit == NULL) {
        return NULL;
    }

    name.len = ngx_mqtt_limit_tag.len + gw->name.len;

    name.data = ngx_pnalloc(cf->pool, name.len);
    if (name.data == NULL) {
        return NULL;
    }

    ngx_sprintf(name.data, "%V%V", &ngx_mqtt_limit_tag, &gw->name);

    limit->shm_zone = ngx_shared_memory_add(cf, &name, NGX_MQTT_LIMIT_ZONE,
                                            &ngx_mqtt_module);
    if (limit->shm_zone == NULL) {
        return NULL;
    }

    limit->shm_zone->init = ngx_mqtt_limit_init_zone;
    limit->shm_zone->data = limit;

    gw->limit = limit;

    return limit;
}


/* the master, also while old workers use it: only attaches then, P25 */

static ngx_int_t
ngx_mqtt_limit_init_zone(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_slab_pool_t        *shpool;
    ngx_mqtt_limit_zone_t  *zone;

    shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    if (data || shm_zone->shm.exists) {
        return NGX_OK;
    }

    zone = ngx_slab_calloc(shpool, sizeof(ngx_mqtt_limit_zone_t));
    if (zone == NULL) {
        return NGX_ERROR;
    }

    zone->seed = (uint64_t) ngx_random() << 32 ^ (uint64_t) ngx_random();

    shpool->data = zone;

    return NGX_OK;
}


ngx_uint_t
ngx_mqtt_limit_connect(ngx_mqtt_worker_t *w, ngx_connection_t *c,
    ngx_str_t *client_id)
{
    ngx_mqtt_limit_t       *limit;
    ngx_mqtt_limit_zone_t  *zone;

    limit = w->gateway->limit;

    if (limit == NULL) {
        return 0;
    }

    if (limit->failures) {
        zone = ngx_mqtt_limit_zone(limit);

        if (((limit->by & NGX_MQTT_LIMIT_ADDRESS)
             && ngx_mqtt_limit_banned(zone, ngx_mqtt_limit_address(zone, c)))
            || ((limit->by & NGX_MQTT_LIMIT_CLIENT) && client_id->len
                && ngx_mqtt_limit_banned(zone,
                                  ngx_mqtt_limit_key(zone,
                                                     NGX_MQTT_LIMIT_CLIENT,
                                                     client_id->data,
                                                     client_id->len))))
        {
            ngx_mqtt_count(w, NGX_MQTT_STAT_connects_banned);
            ngx_log_error(NGX_LOG_INFO, c->log, 0, "client is banned");

            return NGX_MQTT_BANNED;
        }
    }

    if (limit->interval && ngx_mqtt_limit_over_rate(limit)) {
        ngx_mqtt_count(w, NGX_MQTT_STAT_connects_limited);
        ngx_log_error(NGX_LOG_INFO, c->log, 0,
                      "client was refused: too many at a time");

        return NGX_MQTT_CONNECTION_RATE_EXCEEDED;
    }

    return 0;
}


static ngx_uint_t
ngx_mqtt_limit_over_rate(ngx_mqtt_limit_t *limit)
{
    ngx_atomic_uint_t       now, next, then;
    ngx_mqtt_limit_zone_t  *zone;

    zone = ngx_mqtt_limit_zone(limit);

    now = (ngx_atomic_uint_t) ngx_current_msec * 1000;

    do {
        next = zone->next;
        then = ngx_max(next, now) + limit->interval;

        if (then - now > limit->burst * limit->interval) {
            return 1;
        }

    } while (!ngx_atomic_cmp_set(&zone->next, next, then));

    return 0;
}


void
ngx_mqtt_limit_failed(ngx_mqtt_worker_t *w, ngx_connection_t *c,
    ngx_str_t *client_id, ngx_uint_t reason)
{
    uint64_t                key;
    ngx_mqtt_limit_t       *limit;
    ngx_mqtt_limit_zone_t  *zone;

    limit = w->gateway->limit;

    if (limit == NULL || limit->failures == 0
        || (reason != NGX_MQTT_BAD_USER_NAME_OR_PASSWORD
            && reason != NGX_MQTT_NOT_AUTHORIZED))
    {
        return;
    }

    zone = ngx_mqtt_limit_zone(limit);

    if (limit->by & NGX_MQTT_LIMIT_ADDRESS) {
        key = ngx_mqtt_limit_address(zone, c);

        if (key && ngx_mqtt_limit_fail(limit, key)) {
            ngx_mqtt_count(w, NGX_MQTT_STAT_bans);
            ngx_log_error(NGX_LOG_NOTICE, c->log, 0,
                          "address is banned for %T s", limit->period);
        }
    }

    if (limit->by & NGX_MQTT_LIMIT_CLIENT) {
        key = ngx_mqtt_limit_key(zone, NGX_MQTT_LIMIT_CLIENT, client_id->data,
                                 client_id->len);

        if (ngx_mqtt_limit_fail(limit, key)) {
            ngx_mqtt_count(w, NGX_MQTT_STAT_bans);
            ngx_log_error(NGX_LOG_NOTICE, c->log, 0,
                          "client id is banned for %T s", limit->period);
        }
    }
}


static uint64_t
ngx_mqtt_limit_key(ngx_mqtt_limit_zone_t *zone, ngx_uint_t kind, u_char *data,
    size_t len)
{
    uint64_t  high, low;

    high = ngx_mqtt_hash_seeded(zone->seed + kind, data, len);
    low = ngx_mqtt_hash_seeded(~zone->seed - kind, data, len);

    return (high << 32 | low) | 1;
}


/* of IPv6 the network, as a host has any number of addresses; 0: no address */

static uint64_t
ngx_mqtt_limit_address(ngx_mqtt_limit_zone_t *zone, ngx_connection_t *c)
{
    struct sockaddr_in   *sin;
#if (NGX_HAVE_INET6)
    struct sockaddr_in6  *sin6;
#endif

    switch (c->sockaddr->sa_family) {

#if (NGX_HAVE_INET6)
    case AF_INET6:
        sin6 = (struct sockaddr_in6 *) c->sockaddr;

        if (IN6_IS_ADDR_V4MAPPED(&sin6->sin6_addr)) {
            return ngx_mqtt_limit_key(zone, NGX_MQTT_LIMIT_ADDRESS,
                                      sin6->sin6_addr.s6_addr + 12, 4);
        }

        return ngx_mqtt_limit_key(zone, NGX_MQTT_LIMIT_ADDRESS,
                                  sin6->sin6_addr.s6_addr, 8);
#endif

    case AF_INET:
        sin = (struct sockaddr_in *) c->sockaddr;

        return ngx_mqtt_limit_key(zone, NGX_MQTT_LIMIT_ADDRESS,
                                  (u_char *) &sin->sin_addr, 4);

    default:
        return 0;
    }
}


static ngx_uint_t
ngx_mqtt_limit_banned(ngx_mqtt_limit_zone_t *zone, uint64_t key)
{
    ngx_uint_t               i;
    ngx_mqtt_limit_entry_t  *entry;

    entry = &zone->entries[(key >> 32) % NGX_MQTT_LIMIT_SETS
                           * NGX_MQTT_LIMIT_WAYS];

    for (i = 0; i < NGX_MQTT_LIMIT_WAYS; i++) {

        if (key && entry[i].key == key) {
            return entry[i].until > ngx_mqtt_limit_now();
        }
    }

    return 0;
}


/* 1 when this failure is one too many */

static ngx_uint_t
ngx_mqtt_limit_fail(ngx_mqtt_limit_t *limit, uint64_t key)
{
    uint32_t                 now;
    ngx_uint_t               banned;
    ngx_slab_pool_t         *shpool;
    ngx_mqtt_limit_entry_t  *entry;

    shpool = (ngx_slab_pool_t *) limit->shm_zone->shm.addr;
    now = ngx_mqtt_limit_now();
    banned = 0;

    ngx_shmtx_lock(&shpool->mutex);

    entry = ngx_mqtt_limit_entry(ngx_mqtt_limit_zone(limit), key, now);

    if (entry) {

        if (now - entry->start >= limit->within) {
            entry->start = now;
            entry->failures = 0;
        }

        if (++entry->failures >= limit->failures && entry->until <= now) {
            entry->until = now + (uint32_t) limit->period;
            entry->failures = 0;

            banned = 1;
        }
    }

    ngx_shmtx_unlock(&shpool->mutex);

    return banned;
}


/* its own, or one that was made free; NULL: all of the set are banned */

static ngx_mqtt_limit_entry_t *
ngx_mqtt_limit_entry(ngx_mqtt_limit_zone_t *zone, uint64_t key, uint32_t now)
{
    ngx_uint_t               i;
    ngx_mqtt_limit_entry_t  *entry, *oldest;

    entry = &zone->entries[(key >> 32) % NGX_MQTT_LIMIT_SETS
                           * NGX_MQTT_LIMIT_WAYS];
    oldest = NULL;

    for (i = 0; i < NGX_MQTT_LIMIT_WAYS; i++) {

        if (entry[i].key == key) {
            return &entry[i];
        }

        if (entry[i].until <= now
            && (oldest == NULL || entry[i].start < oldest->start))
        {
            oldest = &entry[i];
        }
    }

    if (oldest) {
        oldest->until = 0;
        oldest->failures = 0;
        oldest->start = now;
        oldest->key = key;
    }

    return oldest;
}
