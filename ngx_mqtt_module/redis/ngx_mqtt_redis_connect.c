
/*
 * Copyright (C) ngx_mqtt_module authors
 */


/*
 * The life of the connection to Redis:
 *
 *     LOST -> CONNECT -> (TLS ->) LOGIN -> READY
 *       ^________|_________|________|________|
 *
 * (1) One timer serves all states: the retry, the time to connect, the time
 *     to log in, the time to answer.
 * (2) Each round tries every address once, without a pause; rounds are apart
 *     50 ms, doubling to 2 s, with jitter.  A replica, or a server that still
 *     loads its data, counts as a failed address.
 * (3) Redis' absence is logged when it begins and at most every ten seconds
 *     while it lasts; nginx's own messages about the attempts are muted with
 *     the log's level.
 * (4) Both events are marked "channel": worker_shutdown_timeout does not
 *     close the connection under the clients that are being drained, and the
 *     worker may exit with it (P21).  ngx_mqtt_redis_stop() closes it.
 *
 * Called from: ngx_mqtt_redis.c, ngx_mqtt_redis_login.c, the event loop.
 */


#include "ngx_mqtt_redis_core.h"


#define NGX_MQTT_REDIS_BACKOFF_MIN  50
#define NGX_MQTT_REDIS_BACKOFF_MAX  2000
#define NGX_MQTT_REDIS_LOG_EVERY    10000
#define NGX_MQTT_REDIS_DETAIL       200


static void ngx_mqtt_redis_connect_handler(ngx_event_t *ev);
static void ngx_mqtt_redis_connected(ngx_mqtt_redis_t *r);
#if (NGX_SSL)
static void ngx_mqtt_redis_tls(ngx_mqtt_redis_t *r);
static void ngx_mqtt_redis_tls_handler(ngx_connection_t *c);
static ngx_int_t ngx_mqtt_redis_tls_verify(ngx_mqtt_redis_t *r);
static ngx_int_t ngx_mqtt_redis_tls_check_address(ngx_connection_t *c,
    ngx_str_t *name);
#endif
static void ngx_mqtt_redis_report(ngx_mqtt_redis_t *r, ngx_uint_t level,
    ngx_err_t err, char *text, ngx_str_t *detail);


void
ngx_mqtt_redis_connect(ngx_mqtt_redis_t *r)
{
    ngx_int_t          rc;
    ngx_addr_t        *addr;
    ngx_connection_t  *c;

    r->state = NGX_MQTT_REDIS_CONNECT;
    r->log.action = "connecting to Redis";

    r->quiet = r->down
               && (r->own || ngx_current_msec - r->logged
                             < NGX_MQTT_REDIS_LOG_EVERY);

    r->log.log_level = r->worker->log->log_level;

    if (r->quiet && r->log.log_level < NGX_LOG_DEBUG_FIRST) {
        r->log.log_level = ngx_min(r->log.log_level, NGX_LOG_ALERT);
    }

    addr = &r->addrs[r->addr];

    ngx_memzero(&r->peer, sizeof(ngx_peer_connection_t));

    r->peer.sockaddr = addr->sockaddr;
    r->peer.socklen = addr->socklen;
    r->peer.name = &addr->name;
    r->peer.get = ngx_event_get_peer;
    r->peer.log = &r->log;
    r->peer.log_error = NGX_ERROR_ERR;
    r->peer.so_keepalive = 1;

    if (ngx_mqtt_redis_reader_create(r) != NGX_OK) {
        ngx_mqtt_redis_lost(r, NGX_ENOMEM, "cannot create a reader", NULL);
        return;
    }

    rc = ngx_event_connect_peer(&r->peer);

    if (rc == NGX_ERROR || rc == NGX_DECLINED) {
        ngx_mqtt_redis_lost(r, 0, "cannot connect", NULL);
        return;
    }

    c = r->peer.connection;

    c->data = r;
    c->read->handler = ngx_mqtt_redis_connect_handler;
    c->write->handler = ngx_mqtt_redis_connect_handler;
    c->read->channel = 1;
    c->write->channel = 1;

    r->log.connection = c->number;

    ngx_mqtt_redis_set_timer(r, r->conf->connect_timeout);

    if (rc == NGX_OK) {
        ngx_mqtt_redis_connected(r);
    }
}


static void
ngx_mqtt_redis_connect_handler(ngx_event_t *ev)
{
    int                err;
    socklen_t          len;
    ngx_connection_t  *c;
    ngx_mqtt_redis_t  *r;

    c = ev->data;
    r = c->data;

    err = 0;
    len = sizeof(int);

    /*
     * BSDs and Linux return 0 and set a pending error in err,
     * Solaris returns -1 and sets errno
     */

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, (void *) &err, &len) == -1) {
        err = ngx_socket_errno;
    }

    if (err) {
        ngx_mqtt_redis_lost(r, err, "cannot connect", NULL);
        return;
    }

    ngx_mqtt_redis_connected(r);
}


static void
ngx_mqtt_redis_connected(ngx_mqtt_redis_t *r)
{
    if (ngx_tcp_nodelay(r->peer.connection) != NGX_OK) {
        ngx_mqtt_redis_lost(r, 0, "cannot set up the socket", NULL);
        return;
    }

#if (NGX_SSL)

    if (r->conf->ssl) {
        ngx_mqtt_redis_tls(r);
        return;
    }

#endif

    ngx_mqtt_redis_login(r);
}


#if (NGX_SSL)

static void
ngx_mqtt_redis_tls(ngx_mqtt_redis_t *r)
{
    ngx_str_t         *name;
    ngx_connection_t  *c;

    c = r->peer.connection;
    name = &r->conf->ssl_name;

    r->state = NGX_MQTT_REDIS_TLS;
    r->log.action = "SSL handshaking with Redis";

    c->pool = ngx_create_pool(256, &r->log);

    if (c->pool == NULL
        || ngx_ssl_create_connection(r->conf->ssl, c, NGX_SSL_CLIENT)
           != NGX_OK)
    {
        ngx_mqtt_redis_lost(r, 0, "cannot create an SSL connection", NULL);
        return;
    }

#ifdef SSL_CTRL_SET_TLSEXT_HOSTNAME

    if (name->len && !r->conf->ssl_name_address
        && SSL_set_tlsext_host_name(c->ssl->connection, (char *) name->data)
           == 0)
    {
        ngx_mqtt_redis_lost(r, 0, "cannot set the SSL server name", NULL);
        return;
    }

#endif

    if (ngx_ssl_handshake(c) == NGX_AGAIN) {
        c->ssl->handler = ngx_mqtt_redis_tls_handler;
        return;
    }

    ngx_mqtt_redis_tls_handler(c);
}


static void
ngx_mqtt_redis_tls_handler(ngx_connection_t *c)
{
    ngx_mqtt_redis_t  *r;

    r = c->data;

    if (!c->ssl->handshaked) {
        ngx_mqtt_redis_lost(r, 0, "SSL handshake failed", NULL);
        return;
    }

    if (r->conf->ssl_verify && ngx_mqtt_redis_tls_verify(r) != NGX_OK) {
        return;
    }

    ngx_mqtt_redis_login(r);
}


static ngx_int_t
ngx_mqtt_redis_tls_verify(ngx_mqtt_redis_t *r)
{
    long               rc;
    ngx_int_t          match;
    ngx_str_t          detail;
    ngx_connection_t  *c;

    c = r->peer.connection;

    rc = SSL_get_verify_result(c->ssl->connection);

    if (rc != X509_V_OK) {
        detail.data = (u_char *) X509_verify_cert_error_string(rc);
        detail.len = ngx_strlen(detail.data);

        ngx_mqtt_redis_lost(r, 0, "SSL certificate verify error", &detail);
        return NGX_ERROR;
    }

    if (r->conf->ssl_name_address) {
        match = ngx_mqtt_redis_tls_check_address(c, &r->conf->ssl_name);

    } else {
        match = ngx_ssl_check_host(c, &r->conf->ssl_name);
    }

    if (match != NGX_OK) {
        ngx_mqtt_redis_lost(r, 0, "SSL certificate does not match",
                            &r->conf->ssl_name);
        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_mqtt_redis_tls_check_address(ngx_connection_t *c, ngx_str_t *name)
{
    int    rc;
    X509  *cert;

    cert = SSL_get_peer_certificate(c->ssl->connection);
    if (cert == NULL) {
        return NGX_ERROR;
    }

    rc = X509_check_ip_asc(cert, (char *) name->data, 0);

    X509_free(cert);

    return (rc == 1) ? NGX_OK : NGX_ERROR;
}

#endif


/*
 * The only place where a connection, or the attempt to make one, ends by
 * itself.  The caller touches neither the connection nor a reply afterwards.
 */

void
ngx_mqtt_redis_lost(ngx_mqtt_redis_t *r, ngx_err_t err, char *text,
    ngx_str_t *detail)
{
    if (r->state != NGX_MQTT_REDIS_READY) {
        r->addr = (r->addr + 1) % r->naddrs;
        r->tried++;

        if (r->tried < r->naddrs) {
            ngx_mqtt_redis_report(r, NGX_LOG_INFO, err, text, detail);

            ngx_mqtt_redis_close(r);
            ngx_mqtt_redis_requeue_all(r, NGX_MQTT_REDIS_KEEP_ALL);
            ngx_mqtt_redis_set_timer(r, 1);

            return;
        }
    }

    ngx_mqtt_redis_report(r, r->down ? NGX_LOG_WARN : NGX_LOG_ERR, err, text,
                          detail);

    r->down = 1;
    r->tried = 0;

    ngx_mqtt_redis_close(r);
    ngx_mqtt_redis_requeue_all(r, NGX_MQTT_REDIS_KEEP_WAITING);
    ngx_mqtt_redis_set_timer(r, ngx_mqtt_redis_delay(r));

    if (ngx_mqtt_redis_is_node(r)) {
        ngx_mqtt_redis_cluster_lost(r);
    }
}


static void
ngx_mqtt_redis_report(ngx_mqtt_redis_t *r, ngx_uint_t level, ngx_err_t err,
    char *text, ngx_str_t *detail)
{
    if (r->quiet) {
        return;
    }

    /* the other connection tells of it */

    if (r->own) {
        level = NGX_LOG_INFO;
    }

    if (level < NGX_LOG_INFO) {
        r->logged = ngx_current_msec;
    }

    if (detail && detail->len) {
        ngx_log_error(level, &r->log, err,
                      "Redis is unavailable: %s: \"%*s\"", text,
                      ngx_min(detail->len, NGX_MQTT_REDIS_DETAIL),
                      detail->data);
        return;
    }

    ngx_log_error(level, &r->log, err, "Redis is unavailable: %s", text);
}


void
ngx_mqtt_redis_close(ngx_mqtt_redis_t *r)
{
    ngx_pool_t        *pool;
    ngx_connection_t  *c;

    if (r->state == NGX_MQTT_REDIS_READY && !r->own
        && !ngx_mqtt_redis_is_node(r))
    {
        ngx_mqtt_count_sub(r->worker, NGX_MQTT_STAT_redis_up, 1);
    }

    c = r->peer.connection;

    if (c) {

#if (NGX_SSL)

        if (c->ssl) {
            c->ssl->no_wait_shutdown = 1;
            c->ssl->no_send_shutdown = 1;

            (void) ngx_ssl_shutdown(c);
        }

#endif

        pool = c->pool;

        ngx_close_connection(c);

        if (pool) {
            ngx_destroy_pool(pool);
        }

        r->peer.connection = NULL;
    }

    if (r->flush.posted) {
        ngx_delete_posted_event(&r->flush);
    }

    if (r->again.timer_set) {
        ngx_del_timer(&r->again);
    }

    r->lacking = 0;

    ngx_mqtt_redis_reader_free(r);

    r->out_pos = r->out;
    r->out_last = r->out;

    r->state = NGX_MQTT_REDIS_LOST;
    r->log.connection = 0;
}


ngx_msec_t
ngx_mqtt_redis_delay(ngx_mqtt_redis_t *r)
{
    r->backoff = r->backoff ? r->backoff * 2 : NGX_MQTT_REDIS_BACKOFF_MIN;
    r->backoff = ngx_min(r->backoff, NGX_MQTT_REDIS_BACKOFF_MAX);

    return r->backoff / 2 + ngx_random() % r->backoff;
}


void
ngx_mqtt_redis_set_timer(ngx_mqtt_redis_t *r, ngx_msec_t delay)
{
    /* ngx_add_timer() alone ignores changes of less than 300 ms (P44) */

    if (r->timer.timer_set) {
        ngx_del_timer(&r->timer);
    }

    ngx_add_timer(&r->timer, delay);
}


void
ngx_mqtt_redis_timer_handler(ngx_event_t *ev)
{
    ngx_mqtt_redis_t  *r;

    r = ev->data;

    ev->timedout = 0;

    switch (r->state) {

    case NGX_MQTT_REDIS_LOST:
        ngx_mqtt_redis_connect(r);
        break;

    case NGX_MQTT_REDIS_READY:
        ngx_mqtt_redis_check(r);
        break;

    case NGX_MQTT_REDIS_STOPPED:
        break;

    default: /* CONNECT, TLS, LOGIN */
        ngx_mqtt_redis_lost(r, NGX_ETIMEDOUT, "no connection", NULL);
        break;
    }
}


u_char *
ngx_mqtt_redis_log_error(ngx_log_t *log, u_char *buf, size_t len)
{
    u_char            *p;
    ngx_mqtt_redis_t  *r;

    r = log->data;
    p = buf;

    if (log->action) {
        p = ngx_snprintf(buf, len, " while %s", log->action);
        len -= p - buf;
        buf = p;
    }

    p = ngx_snprintf(buf, len, ", gateway: \"%V\"", &r->worker->gateway->name);

    if (r->peer.name) {
        len -= p - buf;
        buf = p;

        p = ngx_snprintf(buf, len, ", redis: \"%V\"", r->peer.name);
    }

    return p;
}
