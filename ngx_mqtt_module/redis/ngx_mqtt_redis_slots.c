
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * Redis Cluster: the slot of a key, and the map of slots as a node tells it.
 *
 * A map is taken as it is, even from a node that knows less than others: what
 * is wrong in it leads to a redirection, which leads to the next map.
 *
 * Called from: redis/.
 */


#include "ngx_mqtt_redis_core.h"


static ngx_uint_t ngx_mqtt_redis_crc16(u_char *p, size_t len);
static ngx_int_t ngx_mqtt_redis_cluster_range(ngx_mqtt_redis_t *node,
    ngx_mqtt_redis_reply_t *range);
static ngx_mqtt_redis_t *ngx_mqtt_redis_cluster_primary(
    ngx_mqtt_redis_t *node, ngx_mqtt_redis_reply_t *reply);


/*
 * The slot of a command: of the hash tag of its key.  XREAD names its one
 * behind STREAMS; one without a key may go to anybody.
 */

ngx_uint_t
ngx_mqtt_redis_slot(ngx_uint_t argc, ngx_str_t *argv)
{
    u_char     *p, *last;
    ngx_str_t  *key;

    /* a script is called with its first key alone */

    key = &argv[argc > 1 ? 1 : 0];

    if (argc > 2 && argv[0].len == 5
        && ngx_strncmp(argv[0].data, "XREAD", 5) == 0)
    {
        key = &argv[argc - 2];
    }

    p = ngx_strlchr(key->data, key->data + key->len, '{');

    if (p) {
        last = ngx_strlchr(++p, key->data + key->len, '}');

        if (last && last > p) {
            return ngx_mqtt_redis_crc16(p, last - p) % NGX_MQTT_REDIS_SLOTS;
        }
    }

    return ngx_mqtt_redis_crc16(key->data, key->len) % NGX_MQTT_REDIS_SLOTS;
}


/* CRC-16/XMODEM, half a byte at a time */

static ngx_uint_t
ngx_mqtt_redis_crc16(u_char *p, size_t len)
{
    u_char           *end;
    ngx_uint_t        crc;

    static uint16_t   table[] = {
        0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5, 0x60c6, 0x70e7,
        0x8108, 0x9129, 0xa14a, 0xb16b, 0xc18c, 0xd1ad, 0xe1ce, 0xf1ef
    };

    crc = 0;

    for (end = p + len; p < end; p++) {
        crc = (crc << 4 & 0xffff) ^ table[(crc >> 12 ^ *p >> 4) & 0x0f];
        crc = (crc << 4 & 0xffff) ^ table[(crc >> 12 ^ *p) & 0x0f];
    }

    return crc;
}


/* { { first, last, { host, port, id, { "ip", address } }, replicas } ... } */

ngx_int_t
ngx_mqtt_redis_cluster_slots(ngx_mqtt_redis_t *node,
    ngx_mqtt_redis_reply_t *reply)
{
    ngx_uint_t                 i;
    ngx_queue_t               *q;
    ngx_mqtt_redis_t          *front;
    ngx_mqtt_redis_cluster_t  *cluster;

    front = node->front;
    cluster = front->cluster;

    if (cluster->asked == node) {
        cluster->asked = NULL;
    }

    cluster->asked_at = ngx_current_msec;

    if (reply->type != NGX_MQTT_REDIS_ARRAY || reply->nelts == 0) {
        ngx_mqtt_redis_lost(node, 0, "the node knows no slots", NULL);
        return NGX_ERROR;
    }

    for (i = 0; i < NGX_MQTT_REDIS_SLOTS; i++) {
        cluster->slots[i].told = 0;
    }

    for (i = 0; i < reply->nelts; i++) {

        if (ngx_mqtt_redis_cluster_range(node, reply->elts[i]) != NGX_OK) {
            ngx_mqtt_redis_lost(node, 0, "unexpected map of slots", NULL);
            return NGX_ERROR;
        }
    }

    for (i = 0; i < NGX_MQTT_REDIS_SLOTS; i++) {

        if (!cluster->slots[i].told) {
            ngx_mqtt_redis_cluster_give(front, i, NULL);
        }
    }

    cluster->known = 1;
    cluster->stale = 0;

    for (q = ngx_queue_head(&cluster->nodes);
         q != ngx_queue_sentinel(&cluster->nodes);
         q = ngx_queue_next(q))
    {
        node = ngx_queue_data(q, ngx_mqtt_redis_t, link);

        ngx_mqtt_redis_detour_node(node);

        if (node->nslots && !node->own) {
            ngx_mqtt_redis_cluster_need(node);
        }
    }

    ngx_mqtt_redis_cluster_post(front);

    return NGX_OK;
}


static ngx_int_t
ngx_mqtt_redis_cluster_range(ngx_mqtt_redis_t *node,
    ngx_mqtt_redis_reply_t *range)
{
    int64_t                    first, last;
    ngx_mqtt_redis_t          *primary;
    ngx_mqtt_redis_cluster_t  *cluster;

    if (range->type != NGX_MQTT_REDIS_ARRAY || range->nelts < 3) {
        return NGX_ERROR;
    }

    first = range->elts[0]->integer;
    last = range->elts[1]->integer;

    if (first < 0 || last < first || last >= NGX_MQTT_REDIS_SLOTS) {
        return NGX_ERROR;
    }

    primary = ngx_mqtt_redis_cluster_primary(node, range->elts[2]);
    if (primary == NULL) {
        return NGX_ERROR;
    }

    cluster = node->front->cluster;

    for ( /* void */ ; first <= last; first++) {
        cluster->slots[first].told = 1;
        ngx_mqtt_redis_cluster_give(node->front, first, primary);
    }

    return NGX_OK;
}


/* where names are preferred the address stands behind them */

static ngx_mqtt_redis_t *
ngx_mqtt_redis_cluster_primary(ngx_mqtt_redis_t *node,
    ngx_mqtt_redis_reply_t *reply)
{
    in_port_t                port;
    ngx_uint_t               i;
    ngx_mqtt_redis_t        *primary;
    ngx_mqtt_redis_reply_t  *more;

    if (reply->type != NGX_MQTT_REDIS_ARRAY || reply->nelts < 2
        || reply->elts[1]->integer <= 0 || reply->elts[1]->integer > 65535)
    {
        return NULL;
    }

    port = (in_port_t) reply->elts[1]->integer;

    primary = ngx_mqtt_redis_cluster_node_name(node, &reply->elts[0]->str,
                                               port);

    if (primary || reply->nelts < 4
        || reply->elts[3]->type != NGX_MQTT_REDIS_ARRAY)
    {
        return primary;
    }

    more = reply->elts[3];

    for (i = 0; i + 1 < more->nelts; i += 2) {

        if (more->elts[i]->str.len == 2
            && ngx_strncmp(more->elts[i]->str.data, "ip", 2) == 0)
        {
            return ngx_mqtt_redis_cluster_node_name(node,
                                                    &more->elts[i + 1]->str,
                                                    port);
        }
    }

    return NULL;
}


/*
 * A node as others tell it: an address, or nothing where it is the one of the
 * node that was asked.  Names are not resolved here, as this would block.
 */

ngx_mqtt_redis_t *
ngx_mqtt_redis_cluster_node_name(ngx_mqtt_redis_t *r, ngx_str_t *host,
    in_port_t port)
{
    socklen_t       socklen;
    ngx_sockaddr_t  sa;

    if (port == 0) {
        return NULL;
    }

    ngx_memzero(&sa, sizeof(ngx_sockaddr_t));

    if (host->len == 0) {
        socklen = r->address.socklen;
        ngx_memcpy(&sa, r->address.sockaddr, socklen);

    } else {
        sa.sockaddr_in.sin_addr.s_addr = ngx_inet_addr(host->data, host->len);

        if (sa.sockaddr_in.sin_addr.s_addr != INADDR_NONE) {
            sa.sockaddr_in.sin_family = AF_INET;
            socklen = sizeof(struct sockaddr_in);

#if (NGX_HAVE_INET6)

        } else if (ngx_inet6_addr(host->data, host->len,
                                  sa.sockaddr_in6.sin6_addr.s6_addr)
                   == NGX_OK)
        {
            sa.sockaddr_in6.sin6_family = AF_INET6;
            socklen = sizeof(struct sockaddr_in6);

#endif

        } else {
            return NULL;
        }
    }

    ngx_inet_set_port(&sa.sockaddr, port);

    return ngx_mqtt_redis_cluster_node(r->front, &sa.sockaddr, socklen);
}
